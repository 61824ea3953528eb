//! The thread that runs an application's callbacks. It does no I/O, so that a slow callback slows
//! nobody's messages.
//!
//! One thread a node, started with the first callback. It holds no lock while it runs one; a
//! callback may therefore call anything, closing its own node included.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, ThreadId};

use tokio::sync::Notify;

use crate::message::Message;

/// How many snooped messages wait at most; as many as an inbox holds.
pub(crate) const SNOOP_MESSAGES_MAX: usize = 1024;
/// How many bytes of snooped messages wait at most: a relay's memory is for what it relays.
pub(crate) const SNOOP_BYTES_MAX: usize = 64 << 20;

/// Something to run once.
pub(crate) type Job = Box<dyn FnOnce() + Send>;
/// What sees the messages passing through.
pub(crate) type Snooper = Box<dyn FnMut(Message) + Send>;

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    snooped: VecDeque<Message>,
    snooped_bytes: usize,
    /// Taken out while it runs; a changed `snooper_number` then means that it is not wanted back.
    snooper: Option<Snooper>,
    snooper_number: u64,
    thread: Option<ThreadId>,
    handle: Option<JoinHandle<()>>,
    ending: bool,
}

/// The queue of that thread.
#[derive(Default)]
pub(crate) struct Dispatch {
    state: Mutex<State>,
    wake: Condvar,
    ended: Notify,
}

enum Next {
    Job(Job),
    Snoop(Message, Snooper, u64),
    End,
}

impl Dispatch {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a job on the thread, after all that were given before.
    pub(crate) fn run(self: &Arc<Self>, job: Job) {
        let mut state = self.lock();
        state.jobs.push_back(job);
        self.start(&mut state);
        drop(state);
        self.wake.notify_one();
    }

    /// Hands a message to the snooper; `false` where it was dropped.
    pub(crate) fn snoop(&self, message: Message) -> bool {
        let mut state = self.lock();
        let bytes = state.snooped_bytes + message.body.len();
        if state.snooped.len() >= SNOOP_MESSAGES_MAX || bytes > SNOOP_BYTES_MAX {
            return false;
        }
        state.snooped_bytes = bytes;
        state.snooped.push_back(message);
        drop(state);
        self.wake.notify_one();
        true
    }

    /// Replaces the snooper. One that is running at the moment is dropped when it is done.
    pub(crate) fn set_snooper(self: &Arc<Self>, snooper: Option<Snooper>) {
        let mut state = self.lock();
        state.snooper_number += 1;
        state.snooped.clear();
        state.snooped_bytes = 0;
        let wanted = snooper.is_some() && !state.ending;
        let old = std::mem::replace(&mut state.snooper, snooper);
        if wanted {
            self.start(&mut state);
        }
        drop(state);
        drop(old);
    }

    /// Whether this is the thread.
    pub(crate) fn is_current(&self) -> bool {
        self.lock().thread == Some(thread::current().id())
    }

    /// Lets the thread end once it has run all jobs.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ending = true;
        state.snooped.clear();
        state.snooped_bytes = 0;
        state.snooper_number += 1;
        let snooper = state.snooper.take();
        drop(state);
        drop(snooper);
        self.wake.notify_one();
    }

    /// Waits until the thread has ended. On the thread itself: does not wait.
    pub(crate) async fn ended(&self) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            let thread = self.lock().thread;
            if thread.is_none() || thread == Some(thread::current().id()) {
                return;
            }
            ended.await;
        }
    }

    /// Waits, without a runtime, until the thread is gone from the system too.
    pub(crate) fn join(&self) {
        let handle = if self.is_current() { None } else { self.lock().handle.take() };
        if let Some(handle) = handle {
            // A panic of the thread was reported when it happened.
            let _ = handle.join();
        }
    }

    fn start(self: &Arc<Self>, state: &mut State) {
        if state.thread.is_some() {
            return;
        }
        let me = self.clone();
        let spawned =
            thread::Builder::new().name("meshage-callback".into()).spawn(move || me.work());
        match spawned {
            Ok(handle) => {
                state.thread = Some(handle.thread().id());
                state.handle = Some(handle);
            }
            // The jobs wait for the next attempt, which comes with the next job.
            Err(error) => tracing::error!(%error, "no thread for callbacks"),
        }
    }

    fn work(&self) {
        loop {
            match self.next() {
                Next::Job(job) => guarded(job),
                Next::Snoop(message, mut snooper, number) => {
                    guarded(|| snooper(message));
                    let mut state = self.lock();
                    if state.snooper_number == number {
                        state.snooper = Some(snooper);
                    } else {
                        drop(state);
                        drop(snooper);
                    }
                }
                Next::End => break,
            }
        }
        self.ended.notify_waiters();
    }

    fn next(&self) -> Next {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Next::Job(job);
            }
            let number = state.snooper_number;
            if !state.snooped.is_empty()
                && let Some(snooper) = state.snooper.take()
                && let Some(message) = state.snooped.pop_front()
            {
                state.snooped_bytes -= message.body.len();
                return Next::Snoop(message, snooper, number);
            }
            if state.ending {
                state.thread = None;
                return Next::End;
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A callback that panics ends itself, not the thread.
fn guarded(callback: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(callback)).is_err() {
        tracing::error!("a callback panicked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Encoding;
    use crate::name::{Instance, MessageId, NodeName};
    use std::sync::mpsc;
    use std::time::Duration;

    const SOON: Duration = Duration::from_secs(10);

    fn message(id: u64) -> Message {
        let source = NodeName::new("a").expect("valid");
        Message {
            source,
            instance: Instance(1),
            id: MessageId(id),
            recipients: Vec::new(),
            route: Vec::new(),
            encoding: Encoding::BYTES,
            body: "x".into(),
        }
    }

    #[test]
    fn jobs_run_in_order_even_after_one_that_panics() {
        let dispatch = Arc::new(Dispatch::default());
        let (sender, results) = mpsc::channel();
        for number in 0..3 {
            let sender = sender.clone();
            dispatch.run(Box::new(move || {
                sender.send(number).expect("received");
                assert_ne!(number, 1, "this one panics");
            }));
        }
        let got: Vec<_> = (0..3).map(|_| results.recv_timeout(SOON).expect("runs")).collect();
        assert_eq!(got, [0, 1, 2]);
        dispatch.end();
        dispatch.join();
        assert!(dispatch.lock().thread.is_none());
    }

    #[test]
    fn a_slow_snooper_loses_messages_and_bounds_memory() {
        let dispatch = Arc::new(Dispatch::default());
        let taken =
            (0..2 * SNOOP_MESSAGES_MAX as u64).filter(|&id| dispatch.snoop(message(id))).count();
        assert_eq!(taken, SNOOP_MESSAGES_MAX);
    }

    #[test]
    fn a_snooper_that_takes_itself_away_is_dropped_once_it_is_done() {
        let dispatch = Arc::new(Dispatch::default());
        let (sender, dropped) = mpsc::channel();
        struct OnDrop(mpsc::Sender<()>);
        impl Drop for OnDrop {
            fn drop(&mut self) {
                let _ = self.0.send(());
            }
        }
        let (guard, me) = (OnDrop(sender), dispatch.clone());
        dispatch.set_snooper(Some(Box::new(move |_| {
            let _alive = &guard;
            me.set_snooper(None);
        })));
        assert!(dispatch.snoop(message(1)));
        dropped.recv_timeout(SOON).expect("dropped");
        dispatch.end();
        dispatch.join();
    }
}
