//! The callbacks that are set on one node, and the state of its dispatch thread.
//!
//! Owns the slots and the wakers of calls that wait for a message. `dispatch.rs` has the thread.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::thread::JoinHandle;

use meshage::node;

use crate::callback::{InFlight, Slot, lock};
use crate::event::EventFn;
use crate::message::{MessageFn, SnoopFn};

/// The callbacks of one node.
#[derive(Default)]
pub(crate) struct Callbacks {
    pub(crate) message: Slot<MessageFn>,
    pub(crate) event: Slot<EventFn>,
    pub(crate) snoop: Arc<Slot<SnoopFn>>,
    /// Snoop callbacks that are running, and report callbacks that are certain to run.
    pub(crate) in_flight: Arc<InFlight>,
    /// The calls that wait for a message. They are woken when a message callback is set.
    pub(crate) receivers: Receivers,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The number of changes so far. The thread compares it with the number that it has seen.
    changes: u64,
    stopping: bool,
    /// The subscription of the newest event callback, until the thread takes it.
    events: Option<node::Events>,
    waker: Option<Waker>,
    thread: Option<JoinHandle<()>>,
}

/// What the dispatch thread reads at the start of a round.
pub(crate) struct Round {
    /// The changes that this round accounts for.
    pub(crate) changes: u64,
    /// A new subscription to events, if there is one.
    pub(crate) events: Option<node::Events>,
}

impl Callbacks {
    /// Notifies the dispatch thread that a callback was set or removed. Calls `start` if the thread
    /// is needed and not running.
    pub(crate) fn changed(
        &self,
        events: Option<node::Events>,
        start: impl FnOnce() -> io::Result<JoinHandle<()>>,
    ) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.changes += 1;
        let replaced = events.and_then(|events| state.events.replace(events));
        let is_needed = self.message.is_set() || self.event.is_set();
        if is_needed && state.thread.is_none() && !state.stopping {
            state.thread = Some(start()?);
        }
        let waker = state.waker.take();
        drop(state);
        drop(replaced);
        if let Some(waker) = waker {
            waker.wake();
        }
        if self.message.is_set() {
            self.receivers.wake();
        }
        Ok(())
    }

    /// Makes the dispatch thread end after the callback that it may be running.
    pub(crate) fn stop(&self) {
        let mut state = lock(&self.state);
        state.stopping = true;
        state.changes += 1;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits until the dispatch thread has ended. Never called on that thread: inside a callback,
    /// another thread waits.
    pub(crate) fn join(&self) {
        let thread = lock(&self.state).thread.take();
        if let Some(thread) = thread {
            // A panic of the thread was reported when it happened.
            let _ = thread.join();
        }
    }

    /// Waits until no callback is running and no report is outstanding; removes all callbacks.
    pub(crate) fn drain(&self) {
        self.snoop.set(None);
        self.in_flight.wait();
        self.message.set(None);
        self.event.set(None);
    }

    /// Whether no thread uses these callbacks or holds a lock of them, and there is no handle of a
    /// thread, which must not be released in a forked child.
    pub(crate) fn is_unlocked(&self) -> bool {
        self.state.try_lock().is_ok_and(|state| state.thread.is_none())
            && self.message.is_unlocked()
            && self.event.is_unlocked()
            && self.snoop.is_unlocked()
            && self.in_flight.is_unlocked()
            && self.receivers.is_unlocked()
    }

    /// Begins a round of the dispatch thread; `None` if it has to end.
    pub(crate) fn begin_round(&self) -> Option<Round> {
        let mut state = lock(&self.state);
        if state.stopping {
            return None;
        }
        Some(Round { changes: state.changes, events: state.events.take() })
    }

    /// Whether a callback was set or removed since `seen`.
    pub(crate) fn has_changed(&self, seen: u64) -> bool {
        lock(&self.state).changes != seen
    }

    /// The same; if nothing has changed, the next change wakes `waker`.
    pub(crate) fn has_changed_or_register(&self, seen: u64, waker: &Waker) -> bool {
        let mut state = lock(&self.state);
        if state.changes != seen {
            return true;
        }
        state.waker = Some(waker.clone());
        false
    }
}

/// The calls that wait for a message.
#[derive(Default)]
pub(crate) struct Receivers(Mutex<Wakers>);

impl Receivers {
    fn is_unlocked(&self) -> bool {
        self.0.try_lock().is_ok()
    }
}

#[derive(Default)]
struct Wakers {
    last: u64,
    by_number: BTreeMap<u64, Waker>,
}

/// One waiting call, registered for as long as the value lives.
pub(crate) struct Receiver<'a>(&'a Receivers, u64);

impl Receivers {
    pub(crate) fn enter(&self, waker: &Waker) -> Receiver<'_> {
        let mut wakers = lock(&self.0);
        wakers.last += 1;
        let number = wakers.last;
        wakers.by_number.insert(number, waker.clone());
        Receiver(self, number)
    }

    fn wake(&self) {
        let wakers: Vec<Waker> = lock(&self.0).by_number.values().cloned().collect();
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Receiver<'_> {
    fn drop(&mut self) {
        lock(&self.0.0).by_number.remove(&self.1);
    }
}
