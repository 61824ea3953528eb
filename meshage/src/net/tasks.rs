//! No task ends unnoticed: its panic is counted and logged, and handed to the code that has to act.
//!
//! A panic is an error of this library. It must not leave a dial without an answer, a link without
//! a reader, or a node that accepts no more connections.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::counters::Counters;

/// The pause before a task that panicked is started again, so that a task that panics every time
/// takes no processor time and logs ten lines a second.
pub(super) const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// The panic of a task, which was counted and logged; carries its text.
#[derive(Debug)]
pub(super) struct Panicked(pub(super) String);

impl std::fmt::Display for Panicked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "an error of this library: {}", self.0)
    }
}

/// Runs a task. A panic ends the task, is counted and logged under `name`, and is returned.
pub(super) async fn observe<T>(
    name: &'static str,
    counters: &Counters,
    task: impl Future<Output = T> + Send,
) -> Result<T, Panicked> {
    let caught = CatchPanic(Some(Box::pin(task))).await;
    caught.map_err(|panic| Panicked(note_panic(name, counters, panic.as_ref())))
}

/// Counts and logs the panic of a task, and returns its text.
pub(super) fn note_panic(
    name: &'static str,
    counters: &Counters,
    panic: &(dyn Any + Send),
) -> String {
    let panic = text(panic);
    counters.tasks_panicked.one();
    tracing::error!(task = name, %panic, "a task panicked");
    panic
}

/// Runs a task that is started again, after a pause, each time that it panics.
pub(super) async fn keep_running<F: Future<Output = ()> + Send>(
    name: &'static str,
    counters: &Counters,
    mut task: impl FnMut() -> F,
) {
    while observe(name, counters, task()).await.is_err() {
        tokio::time::sleep(RESTART_PAUSE).await;
    }
}

/// The text of a panic.
fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a text").to_owned()
}

/// A future that catches a panic of another. The other is dropped when it has ended.
struct CatchPanic<F>(Option<Pin<Box<F>>>);

impl<F: Future> Future for CatchPanic<F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let polled = match &mut this.0 {
                Some(future) => future.as_mut().poll(cx),
                None => Poll::Pending,
            };
            if polled.is_ready() {
                this.0 = None;
            }
            polled
        }));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => {
                // What the task owns is dropped. A second panic while it is dropped changes nothing.
                let task = this.0.take();
                let _ = catch_unwind(AssertUnwindSafe(|| drop(task)));
                Poll::Ready(Err(panic))
            }
        }
    }
}

/// Points at which tests make a task panic.
#[cfg(test)]
pub(super) mod inject {
    use std::sync::Mutex;

    static ARMED: Mutex<Vec<(&'static str, String)>> = Mutex::new(Vec::new());

    /// Makes the next passage of this point panic, in tasks of the node with this name.
    pub(crate) fn arm(point: &'static str, node: &str) {
        ARMED.lock().expect("no panic while it is locked").push((point, node.into()));
    }

    /// A point at which a test may make a task of this node panic.
    pub(crate) fn point(point: &'static str, node: &str) {
        let mut armed = ARMED.lock().expect("no panic while it is locked");
        if let Some(index) = armed.iter().position(|(p, n)| *p == point && n == node) {
            armed.swap_remove(index);
            drop(armed);
            panic!("injected at {point}");
        }
    }
}

/// A point at which a test may make a task panic.
#[cfg(not(test))]
pub(super) mod inject {
    pub(crate) fn point(_: &'static str, _: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn panicked(counters: &Counters) -> u64 {
        let mut stats = crate::stats::Stats::default();
        counters.count(&mut stats);
        stats.iter().find(|(name, _)| *name == "tasks_panicked").expect("a counter").1
    }

    #[tokio::test]
    async fn a_panic_is_counted_and_returned() {
        let counters = Counters::default();
        let ended = observe("fine", &counters, async { 7 }).await;
        assert_eq!(ended.expect("no panic"), 7);
        assert_eq!(panicked(&counters), 0);
        let ended: Result<(), _> = observe("bad", &counters, async { panic!("text {}", 1) }).await;
        assert_eq!(ended.expect_err("a panic").0, "text 1");
        assert_eq!(panicked(&counters), 1);
    }

    #[tokio::test]
    async fn a_task_that_panics_runs_again() {
        let counters = Counters::default();
        let runs = AtomicUsize::new(0);
        keep_running("restarted", &counters, || async {
            assert!(runs.fetch_add(1, Ordering::Relaxed) >= 2, "twice it panics");
        })
        .await;
        assert_eq!(runs.load(Ordering::Relaxed), 3);
        assert_eq!(panicked(&counters), 2);
    }
}
