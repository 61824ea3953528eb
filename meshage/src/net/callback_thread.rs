//! The thread that runs an application's callbacks. It does no I/O, so that a slow callback does
//! not delay messages.
//!
//! Each node has one such thread, which starts with the first callback. It holds no lock while a
//! callback runs. A callback may therefore call any function, and may close its own node.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::Notify;

use super::completion::ReadyCallback;
use super::parker::thread_number;
use super::sys::threads;
use crate::message::Message;

/// The limit on queued snooped messages: the default capacity of an inbox.
pub(crate) const SNOOP_MESSAGES_MAX: usize = 1024;
/// The limit on the bytes of queued snooped messages: a relay needs its memory for relaying.
pub(crate) const SNOOP_BYTES_MAX: usize = 64 << 20;

/// The number of callbacks for which a list keeps its memory: a window of sends of a usual size.
const CALLBACKS_KEPT: usize = 1024;

/// The callback that receives copies of relayed messages.
pub(crate) type Snooper = Box<dyn FnMut(Message) + Send>;

#[derive(Default)]
struct State {
    callbacks: Vec<ReadyCallback>,
    snooped: VecDeque<Message>,
    snooped_bytes: usize,
    /// Taken out while it runs. If `snooper_generation` has changed by then, it is not put back.
    snooper: Option<Snooper>,
    snooper_generation: u64,
    is_running: bool,
    /// The number of the thread, which it sets itself.
    thread: Option<usize>,
    handle: Option<JoinHandle<()>>,
    ending: bool,
    /// Whether the thread waits on the condition variable. Only then does it have to be woken.
    idle: bool,
}

/// The callback thread of a node, with its queue.
#[derive(Default)]
pub(crate) struct CallbackThread {
    state: Mutex<State>,
    wakeup: Condvar,
    ended: Notify,
}

#[expect(clippy::large_enum_variant, reason = "one at a time, never stored")]
enum Work {
    Callbacks,
    Snoop(Message, Snooper, u64),
    End,
}

impl CallbackThread {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues callbacks. They run in the order of queueing.
    pub(crate) fn run(self: &Arc<Self>, callbacks: impl IntoIterator<Item = ReadyCallback>) {
        let mut state = self.lock();
        state.callbacks.extend(callbacks);
        if let Err(error) = self.start(&mut state) {
            // Only if the thread panicked. The next callback tries again.
            tracing::error!(%error, "the thread for callbacks does not start again");
        }
        self.wake(state);
    }

    /// Starts the thread if it does not run. A callback is promised only after this has succeeded.
    ///
    /// # Errors
    /// The system has no thread.
    pub(crate) fn ensure_running(self: &Arc<Self>) -> io::Result<()> {
        let mut state = self.lock();
        // The callbacks of a node that closes still run: the data plane queues them before its end.
        if state.ending { Ok(()) } else { self.start(&mut state) }
    }

    /// Releases the lock, and wakes the thread if it waits.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        if idle {
            self.wakeup.notify_one();
        }
    }

    /// Queues a message for the snooper. Returns `false` if the queue is full.
    pub(crate) fn snoop(&self, message: Message) -> bool {
        let mut state = self.lock();
        let bytes = state.snooped_bytes + message.body.len();
        if state.snooped.len() >= SNOOP_MESSAGES_MAX || bytes > SNOOP_BYTES_MAX {
            return false;
        }
        state.snooped_bytes = bytes;
        state.snooped.push_back(message);
        self.wake(state);
        true
    }

    /// Replaces the snooper. If it is running, it is dropped when it returns.
    ///
    /// # Errors
    /// The system has no thread. The snooper is dropped, and there is none.
    pub(crate) fn set_snooper(self: &Arc<Self>, mut snooper: Option<Snooper>) -> io::Result<()> {
        let mut state = self.lock();
        let mut started = Ok(());
        let mut refused = None;
        if snooper.is_some() && !state.ending {
            started = self.start(&mut state);
            if started.is_err() {
                refused = snooper.take();
            }
        }
        state.snooper_generation += 1;
        state.snooped.clear();
        state.snooped_bytes = 0;
        let old = std::mem::replace(&mut state.snooper, snooper);
        drop(state);
        drop((old, refused));
        started
    }

    /// Whether the current thread is this one.
    pub(crate) fn is_current(&self) -> bool {
        self.lock().thread == Some(thread_number())
    }

    /// Makes the thread end once it has run all queued callbacks.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ending = true;
        state.snooped.clear();
        state.snooped_bytes = 0;
        state.snooper_generation += 1;
        let snooper = state.snooper.take();
        self.wake(state);
        drop(snooper);
    }

    /// Waits until the thread has ended. Returns at once if called on the thread itself.
    pub(crate) async fn ended(&self) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.is_over() {
                return;
            }
            ended.await;
        }
    }

    /// Whether the thread does not run, or is the current one.
    fn is_over(&self) -> bool {
        let state = self.lock();
        !state.is_running || state.thread == Some(thread_number())
    }

    /// Joins the thread, which needs no runtime. Does nothing if called on the thread itself.
    pub(crate) fn join(&self) {
        let handle = if self.is_current() { None } else { self.lock().handle.take() };
        if let Some(handle) = handle {
            // A panic of the thread was reported when it occurred.
            let _ = handle.join();
        }
    }

    fn start(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        if !state.is_running {
            let this = self.clone();
            state.handle = Some(threads::spawn("meshage-callback", move || this.work())?);
            state.is_running = true;
        }
        Ok(())
    }

    fn work(&self) {
        self.lock().thread = Some(thread_number());
        let _ended = EndOnDrop(self);
        // Two lists are swapped, so that a batch costs one lock and no allocation.
        let mut callbacks = Vec::new();
        loop {
            match self.next_work(&mut callbacks) {
                Work::Callbacks => {
                    for callback in callbacks.drain(..) {
                        catch_panic(move || callback.run());
                    }
                    callbacks.shrink_to(CALLBACKS_KEPT);
                }
                Work::Snoop(message, mut snooper, generation) => {
                    catch_panic(|| snooper(message));
                    let mut state = self.lock();
                    if state.snooper_generation == generation {
                        state.snooper = Some(snooper);
                    } else {
                        drop(state);
                        drop(snooper);
                    }
                }
                Work::End => break,
            }
        }
    }

    /// Waits for work. Moves all queued callbacks to `callbacks`, which must be empty.
    fn next_work(&self, callbacks: &mut Vec<ReadyCallback>) -> Work {
        let mut state = self.lock();
        loop {
            if !state.callbacks.is_empty() {
                std::mem::swap(&mut state.callbacks, callbacks);
                return Work::Callbacks;
            }
            let generation = state.snooper_generation;
            if !state.snooped.is_empty()
                && let Some(snooper) = state.snooper.take()
                && let Some(message) = state.snooped.pop_front()
            {
                state.snooped_bytes -= message.body.len();
                return Work::Snoop(message, snooper, generation);
            }
            if state.ending {
                // Under the same lock, so that callbacks queued from now on start a thread.
                state.is_running = false;
                state.thread = None;
                return Work::End;
            }
            state.idle = true;
            state = self.wakeup.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle = false;
        }
    }
}

/// Records the end of the thread, for whatever reason, and notifies those that wait for it.
struct EndOnDrop<'a>(&'a CallbackThread);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if state.thread == Some(thread_number()) {
            state.is_running = false;
            state.thread = None;
        }
        drop(state);
        self.0.ended.notify_waiters();
    }
}

/// Runs a callback. A panic ends the callback, not the thread.
fn catch_panic(callback: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(callback)).is_err() {
        tracing::error!("a callback panicked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Encoding, Report};
    use crate::name::{Instance, MessageId, Names, NodeName};
    use crate::net::completion::{Completion, CompletionState};
    use std::sync::mpsc;
    use std::time::Duration;

    const SOON: Duration = Duration::from_secs(10);

    fn message(id: u64) -> Message {
        let source = NodeName::new("a").expect("valid");
        Message {
            source,
            instance: Instance(1),
            id: MessageId(id),
            recipients: Names::new(),
            route: Names::new(),
            encoding: Encoding::BYTES,
            body: "x".into(),
        }
    }

    #[test]
    fn callbacks_run_in_order_even_after_one_that_panics() {
        let thread = Arc::new(CallbackThread::default());
        let (sender, called) = mpsc::channel();
        let callback = |number| {
            let sender = sender.clone();
            let completion = CompletionState::with_callback(move |_| {
                sender.send(number).expect("received");
                assert_ne!(number, 1, "this one panics");
            });
            Completion::new(completion).complete(Ok(Report::default())).expect("a callback")
        };
        thread.run([callback(0), callback(1), callback(2)]);
        thread.run([callback(3)]);
        let numbers: Vec<_> = (0..4).map(|_| called.recv_timeout(SOON).expect("runs")).collect();
        assert_eq!(numbers, [0, 1, 2, 3]);
        thread.end();
        thread.join();
        assert!(!thread.lock().is_running);
    }

    #[test]
    fn the_queue_of_a_slow_snooper_is_bounded() {
        let thread = Arc::new(CallbackThread::default());
        let queued =
            (0..2 * SNOOP_MESSAGES_MAX as u64).filter(|&id| thread.snoop(message(id))).count();
        assert_eq!(queued, SNOOP_MESSAGES_MAX);
    }

    #[test]
    fn a_snooper_that_removes_itself_is_dropped_when_it_returns() {
        let thread = Arc::new(CallbackThread::default());
        let (sender, dropped) = mpsc::channel();
        struct OnDrop(mpsc::Sender<()>);
        impl Drop for OnDrop {
            fn drop(&mut self) {
                let _ = self.0.send(());
            }
        }
        let (guard, clone) = (OnDrop(sender), thread.clone());
        let snooper: Snooper = Box::new(move |_| {
            let _alive = &guard;
            clone.set_snooper(None).expect("no thread is needed");
        });
        thread.set_snooper(Some(snooper)).expect("a thread");
        assert!(thread.snoop(message(1)));
        dropped.recv_timeout(SOON).expect("dropped");
        thread.end();
        thread.join();
    }
}
