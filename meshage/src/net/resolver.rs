//! Resolves host names on threads of its own, because the system's function blocks.
//!
//! ```text
//!  dials ── names ──► bounded queue ──► a few threads, which end when they are idle
//! ```
//!
//! The runtime's own threads for blocking calls are not used: if the system refuses such a thread,
//! the runtime panics or leaves the call waiting.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::counters::Counters;
use super::sys::threads;
use super::tasks;

/// The most threads that resolve names: as many as the dials of a burst.
const THREADS_MAX: usize = 8;
/// How long an idle thread waits for the next name.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// The limit on the names that wait for a thread. A dial waits 10 s at most, so more names than
/// this wait only if a program dials more than a hundred names a second that do not resolve.
pub(super) const NAMES_MAX: usize = 1024;

type Answer = io::Result<Vec<SocketAddr>>;
/// The system's function, or another one in tests.
type Lookup = fn(&str, u16) -> Answer;

struct Job {
    host: String,
    port: u16,
    answer: oneshot::Sender<Answer>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    closed: bool,
    /// Those that may still run.
    handles: Vec<JoinHandle<()>>,
}

struct Inner {
    state: Mutex<State>,
    wakeup: Condvar,
    /// Notified when a thread ends.
    ended: Condvar,
    lookup: Lookup,
    counters: Arc<Counters>,
}

/// The resolver of one node.
pub(crate) struct Resolver(Arc<Inner>);

impl Drop for Resolver {
    fn drop(&mut self) {
        self.close();
    }
}

impl Resolver {
    /// A resolver without threads.
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self::with_lookup(counters, |host, port| Ok((host, port).to_socket_addrs()?.collect()))
    }

    fn with_lookup(counters: Arc<Counters>, lookup: Lookup) -> Self {
        let (wakeup, ended) = (Condvar::new(), Condvar::new());
        Self(Arc::new(Inner { state: Mutex::default(), wakeup, ended, lookup, counters }))
    }

    /// Makes the threads end: idle ones at once, others when the system has answered.
    pub(super) fn close(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.jobs.clear();
        drop(state);
        self.0.wakeup.notify_all();
    }

    /// Waits until the threads of a closed resolver have ended. Those that the system does not
    /// answer in time end later.
    pub(crate) fn join(&self, limit: Duration) {
        let state = self.0.lock();
        let waited = self.0.ended.wait_timeout_while(state, limit, |state| state.threads > 0);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let handles = std::mem::take(&mut state.handles);
        let have_ended = state.threads == 0;
        drop(state);
        for handle in handles.into_iter().filter(|handle| have_ended || handle.is_finished()) {
            // A panic of the thread was reported when it occurred.
            let _ = handle.join();
        }
    }

    /// Resolves a name.
    pub(super) async fn resolve(&self, host: &str, port: u16) -> Answer {
        let (answer, answered) = oneshot::channel();
        let submitted = self.submit(Job { host: host.into(), port, answer });
        if let Err(error) = submitted {
            self.0.counters.net_resolves_refused.one();
            return Err(error);
        }
        answered.await.unwrap_or_else(|_| Err(io::Error::other("the node is closed")))
    }

    fn submit(&self, job: Job) -> io::Result<()> {
        let mut state = self.0.lock();
        if state.closed {
            return Err(io::Error::other("the node is closed"));
        }
        // The dials of these have ended.
        state.jobs.retain(|job| !job.answer.is_closed());
        if state.jobs.len() >= NAMES_MAX {
            let text = format!("{NAMES_MAX} other names are being resolved: dial later");
            return Err(io::Error::other(text));
        }
        if state.jobs.len() >= state.idle && state.threads < THREADS_MAX {
            let inner = self.0.clone();
            match threads::spawn("meshage-resolve", move || inner.work()) {
                Ok(handle) => {
                    state.threads += 1;
                    state.handles.retain(|handle| !handle.is_finished());
                    state.handles.push(handle);
                }
                // The threads that there are resolve this name later.
                Err(error) if state.threads > 0 => {
                    tracing::debug!(%error, "no further thread to resolve names");
                }
                Err(error) => return Err(error),
            }
        }
        state.jobs.push_back(job);
        drop(state);
        self.0.wakeup.notify_one();
        Ok(())
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(Job { host, port, answer }) = self.next() {
            let found = catch_unwind(AssertUnwindSafe(|| (self.lookup)(&host, port)));
            let found = found.unwrap_or_else(|panic| {
                let panic = tasks::note_panic("resolver", &self.counters, panic.as_ref());
                Err(io::Error::other(format!("an error of this library: {panic}")))
            });
            // Fails only if the dial has ended.
            let _ = answer.send(found);
        }
    }

    /// Waits for a name. `None` ends the thread, which is no longer counted.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            while let Some(job) = state.jobs.pop_front() {
                if !job.answer.is_closed() {
                    return Some(job);
                }
            }
            if state.closed {
                return self.end(state);
            }
            state.idle += 1;
            let waited = self.wakeup.wait_timeout(state, KEEP_ALIVE);
            let (relocked, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = relocked;
            state.idle -= 1;
            if timeout.timed_out() && state.jobs.is_empty() {
                return self.end(state);
            }
        }
    }

    fn end(&self, mut state: MutexGuard<'_, State>) -> Option<Job> {
        state.threads -= 1;
        drop(state);
        self.ended.notify_all();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::thread;

    fn resolver(lookup: Lookup) -> Resolver {
        Resolver::with_lookup(Arc::default(), lookup)
    }

    #[tokio::test]
    async fn names_are_resolved_and_errors_returned() {
        let resolver = resolver(|host, port| match host {
            "there" => Ok(vec![SocketAddr::from(([10, 0, 0, 1], port))]),
            "panic" => panic!("on purpose"),
            _ => Err(io::Error::other("unknown")),
        });
        let found = resolver.resolve("there", 7).await.expect("resolved");
        assert_eq!(found, [SocketAddr::from(([10, 0, 0, 1], 7))]);
        let error = resolver.resolve("nowhere", 7).await.expect_err("unknown");
        assert_eq!(error.to_string(), "unknown");
        let error = resolver.resolve("panic", 7).await.expect_err("a panic is an error");
        assert!(error.to_string().contains("on purpose"), "{error}");
        resolver.resolve("there", 7).await.expect("the thread survived the panic");
        resolver.close();
        resolver.join(Duration::from_secs(20));
        let state = resolver.0.lock();
        assert_eq!((state.threads, state.handles.len()), (0, 0));
    }

    #[tokio::test]
    async fn threads_and_waiting_names_are_bounded() {
        static RUNNING: AtomicUsize = AtomicUsize::new(0);
        static IS_OPEN: AtomicBool = AtomicBool::new(false);
        let resolver = Arc::new(resolver(|_, _| {
            RUNNING.fetch_add(1, Ordering::SeqCst);
            while !IS_OPEN.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
            Ok(Vec::new())
        }));
        let mut answers = Vec::new();
        for _ in 0..THREADS_MAX + NAMES_MAX + 1 {
            let (answer, answered) = oneshot::channel();
            if resolver.submit(Job { host: "x".into(), port: 1, answer }).is_ok() {
                answers.push(answered);
            }
            // Each thread has taken its name before the next one is submitted.
            while RUNNING.load(Ordering::SeqCst) < answers.len().min(THREADS_MAX) {
                thread::yield_now();
            }
        }
        assert_eq!(answers.len(), THREADS_MAX + NAMES_MAX);
        assert_eq!(RUNNING.load(Ordering::SeqCst), THREADS_MAX);
        let error = resolver.resolve("one more", 1).await.expect_err("the queue is full");
        assert!(error.to_string().contains("dial later"), "{error}");
        IS_OPEN.store(true, Ordering::SeqCst);
        for answered in answers {
            answered.await.expect("answered").expect("resolved");
        }
    }
}
