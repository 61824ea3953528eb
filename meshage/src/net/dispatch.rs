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

use super::completion::{CompletionState, SendResult};
use crate::message::Message;

/// How many snooped messages wait at most; as many as an inbox holds.
pub(crate) const SNOOP_MESSAGES_MAX: usize = 1024;
/// How many bytes of snooped messages wait at most: a relay's memory is for what it relays.
pub(crate) const SNOOP_BYTES_MAX: usize = 64 << 20;

/// For how many callbacks a list keeps its memory: a window of sends of a usual size.
const CALLS_KEPT: usize = 1024;

/// A callback that is to be run with the end of its send.
pub(crate) struct Call {
    pub(super) ending: Arc<CompletionState>,
    pub(super) result: SendResult,
}

/// What sees the messages passing through.
pub(crate) type Snooper = Box<dyn FnMut(Message) + Send>;

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    snooped: VecDeque<Message>,
    snooped_bytes: usize,
    /// Taken out while it runs; a changed `snooper_number` then means that it is not wanted back.
    snooper: Option<Snooper>,
    snooper_number: u64,
    thread: Option<ThreadId>,
    handle: Option<JoinHandle<()>>,
    ending: bool,
    /// The thread waits to be woken: whoever gives it something need do so only then.
    idle: bool,
}

/// The queue of that thread.
#[derive(Default)]
pub(crate) struct Dispatch {
    state: Mutex<State>,
    woken: Condvar,
    ended: Notify,
}

#[expect(clippy::large_enum_variant, reason = "one at a time, never kept")]
enum Next {
    Calls,
    Snoop(Message, Snooper, u64),
    End,
}

impl Dispatch {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs callbacks on the thread, after all that were given before.
    pub(crate) fn run(self: &Arc<Self>, calls: impl IntoIterator<Item = Call>) {
        let mut state = self.lock();
        state.calls.extend(calls);
        self.start(&mut state);
        self.wake(state);
    }

    /// Lets go of the lock and wakes the thread where it waits.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        if idle {
            self.woken.notify_one();
        }
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
        self.wake(state);
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

    /// Lets the thread end once it has run all callbacks.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ending = true;
        state.snooped.clear();
        state.snooped_bytes = 0;
        state.snooper_number += 1;
        let snooper = state.snooper.take();
        self.wake(state);
        drop(snooper);
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
            // The callbacks wait for the next attempt, which comes with the next callback.
            Err(error) => tracing::error!(%error, "no thread for callbacks"),
        }
    }

    fn work(&self) {
        // Two lists take turns, so that a batch costs one lock and no memory.
        let mut calls = Vec::new();
        loop {
            match self.next(&mut calls) {
                Next::Calls => {
                    for Call { ending, result } in calls.drain(..) {
                        guarded(move || ending.call(result));
                    }
                    calls.shrink_to(CALLS_KEPT);
                }
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

    /// Waits for something to do. Callbacks come all at once, in `calls`, which is empty.
    fn next(&self, calls: &mut Vec<Call>) -> Next {
        let mut state = self.lock();
        loop {
            if !state.calls.is_empty() {
                std::mem::swap(&mut state.calls, calls);
                return Next::Calls;
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
            state.idle = true;
            state = self.woken.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle = false;
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
    use crate::message::{Encoding, Report};
    use crate::name::{Instance, MessageId, Names, NodeName};
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
        let dispatch = Arc::new(Dispatch::default());
        let (sender, results) = mpsc::channel();
        let call = |number| {
            let sender = sender.clone();
            let ending = CompletionState::called(move |_| {
                sender.send(number).expect("received");
                assert_ne!(number, 1, "this one panics");
            });
            Call { ending, result: Ok(Report::default()) }
        };
        dispatch.run([call(0), call(1), call(2)]);
        dispatch.run([call(3)]);
        let got: Vec<_> = (0..4).map(|_| results.recv_timeout(SOON).expect("runs")).collect();
        assert_eq!(got, [0, 1, 2, 3]);
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
