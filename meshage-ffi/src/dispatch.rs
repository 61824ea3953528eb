//! The callbacks of one node, and the thread that takes messages and events to them.
//!
//! One thread a node, started with the first callback for messages or events. It takes one message
//! at a time, so that what waits stays in the node's queue, where it is bounded. (Snooped messages
//! and reports come on the core's own callback thread.)
//!
//! ```text
//!   node.recv()   ──┐
//!   events.next() ──┼──► one thread ──► on_message / on_event
//!   a changed slot ─┘
//! ```

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use meshage::error::RecvError;
use meshage::event::Event;
use meshage::message::Message;
use meshage::node;

use crate::callback::{Callback, Inside, Slot, Under, lock};
use crate::event::{EventFn, meshage_event};
use crate::handle::meshage_node;
use crate::message::{MessageFn, SnoopFn, meshage_message};

/// After how many messages the thread looks whether there is an event: as many as arrive in a read
/// of the smallest size.
const MESSAGES_IN_A_ROW: usize = 128;
/// After how much time it does at the latest: no event waits noticeably for slow callbacks.
const ROW_TIME_MAX: Duration = Duration::from_millis(5);

/// The callbacks of one node.
#[derive(Default)]
pub(crate) struct Callbacks {
    pub(crate) message: Slot<MessageFn>,
    pub(crate) event: Slot<EventFn>,
    pub(crate) snoop: Arc<Slot<SnoopFn>>,
    /// Snoop callbacks that run, and reports that were promised.
    pub(crate) under: Arc<Under>,
    /// Calls that wait for a message, to be woken when a callback takes the messages over.
    pub(crate) receivers: Receivers,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Counts the changes, so that the thread sees that there was one.
    changes: u64,
    stopping: bool,
    /// The subscription of the newest event callback, until the thread takes it over.
    events: Option<node::Events>,
    waker: Option<Waker>,
    thread: Option<JoinHandle<()>>,
}

impl Callbacks {
    /// Tells the thread that a callback was set or taken away, and starts it where there is none.
    pub(crate) fn changed(
        &self,
        node: &Arc<meshage_node>,
        events: Option<node::Events>,
    ) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.changes += 1;
        let replaced = events.and_then(|events| state.events.replace(events));
        let wanted = self.message.is_set() || self.event.is_set();
        if wanted && state.thread.is_none() && !state.stopping {
            let node = node.clone();
            let thread = thread::Builder::new().name("meshage-dispatch".into());
            state.thread = Some(thread.spawn(move || Dispatcher::default().run(&node))?);
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

    /// Lets the thread end after the callback that it may be running.
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

    /// Waits until the thread has ended. Never called on it: inside a callback others wait.
    pub(crate) fn join(&self) {
        let thread = lock(&self.state).thread.take();
        if let Some(thread) = thread {
            // A panic there was reported when it happened.
            let _ = thread.join();
        }
    }

    /// Takes all callbacks away, once none runs and no report is outstanding.
    pub(crate) fn drain(&self) {
        self.snoop.set(None);
        self.under.wait();
        self.message.set(None);
        self.event.set(None);
    }

    /// Whether something changed since `seen`; where not, `waker` is told of the next change.
    fn has_changed(&self, seen: u64, waker: &Waker) -> bool {
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
pub(crate) struct Receivers(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    last: u64,
    wakers: BTreeMap<u64, Waker>,
}

/// One call that waits, as long as this lives.
pub(crate) struct Receiver<'a>(&'a Receivers, u64);

impl Receivers {
    pub(crate) fn enter(&self, waker: &Waker) -> Receiver<'_> {
        let mut waiting = lock(&self.0);
        waiting.last += 1;
        let number = waiting.last;
        waiting.wakers.insert(number, waker.clone());
        Receiver(self, number)
    }

    fn wake(&self) {
        let wakers: Vec<Waker> = lock(&self.0).wakers.values().cloned().collect();
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Receiver<'_> {
    fn drop(&mut self) {
        lock(&self.0.0).wakers.remove(&self.1);
    }
}

/// What the thread has to do next.
enum Work {
    Changed,
    Message(Result<Message, RecvError>),
    Event(Option<Event>),
}

/// What the thread knows.
#[derive(Default)]
struct Dispatcher {
    seen: u64,
    events: Option<node::Events>,
    inbox_is_closed: bool,
}

impl Dispatcher {
    fn run(&mut self, node: &meshage_node) {
        let callbacks = &node.callbacks;
        loop {
            let mut state = lock(&callbacks.state);
            if state.stopping {
                return;
            }
            self.seen = state.changes;
            let replaced = state.events.take().and_then(|events| self.events.replace(events));
            drop(state);
            drop(replaced);
            let message = callbacks.message.current();
            let event = callbacks.event.current();
            if event.is_none() {
                self.events = None;
            }
            match self.wait(node, message.is_some()) {
                Work::Changed => {}
                Work::Message(Ok(arrived)) => self.deliver(node, message.as_deref(), arrived),
                Work::Message(Err(_)) => self.inbox_is_closed = true,
                Work::Event(Some(happened)) => report(event, happened),
                Work::Event(None) => self.events = None,
            }
        }
    }

    /// Takes a message to the callback, and then others that are there, until something changes.
    fn deliver(
        &self,
        node: &meshage_node,
        callback: Option<&Callback<MessageFn>>,
        arrived: Message,
    ) {
        let Some(callback) = callback else { return };
        let began = Instant::now();
        deliver(callback, arrived);
        for _ in 1..MESSAGES_IN_A_ROW {
            let changed = lock(&node.callbacks.state).changes != self.seen;
            if changed || began.elapsed() > ROW_TIME_MAX {
                return;
            }
            // None, or none any more: who waits for the next hears of it.
            let Ok(arrived) = node.node.node().try_recv() else { return };
            deliver(callback, arrived);
        }
    }

    /// Events go before a row of messages: they are few, and a flood must not hide that a node left.
    fn wait(&mut self, node: &meshage_node, wants_messages: bool) -> Work {
        let wants_messages = wants_messages && !self.inbox_is_closed;
        let seen = self.seen;
        let mut message = pin!(wants_messages.then(|| node.node.node().recv()).into_poll());
        let mut event = pin!(self.events.as_mut().map(node::Events::next).into_poll());
        block_on(poll_fn(|cx| {
            if node.callbacks.has_changed(seen, cx.waker()) {
                return Poll::Ready(Work::Changed);
            }
            if let Poll::Ready(event) = event.as_mut().poll_next(cx) {
                return Poll::Ready(Work::Event(event));
            }
            message.as_mut().poll_next(cx).map(Work::Message)
        }))
    }
}

fn deliver(callback: &Callback<MessageFn>, message: Message) {
    let message = meshage_message::publish(message);
    let _inside = Inside::enter();
    // SAFETY: the program's function with its own data, and a message that is now its own.
    unsafe { (callback.function)(callback.user_data(), message) };
}

fn report(callback: Option<Arc<Callback<EventFn>>>, event: Event) {
    let Some(callback) = callback else { return };
    let event = meshage_event::from(event);
    let _inside = Inside::enter();
    // SAFETY: the program's function with its own data, and an event that outlives the call.
    unsafe { (callback.function)(callback.user_data(), &raw const event) };
}

/// A future that may be missing; a missing one is never ready.
struct Maybe<F>(Option<F>);

trait IntoPoll<F> {
    fn into_poll(self) -> Maybe<F>;
}

impl<F: Future> IntoPoll<F> for Option<F> {
    fn into_poll(self) -> Maybe<F> {
        Maybe(self)
    }
}

impl<F: Future> Maybe<F> {
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the future is not moved out of the pinned place.
        match unsafe { self.map_unchecked_mut(|maybe| &mut maybe.0) }.as_pin_mut() {
            Some(future) => future.poll(cx),
            None => Poll::Pending,
        }
    }
}

/// Wakes a parked thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on the calling thread.
fn block_on<F: Future>(future: F) -> F::Output {
    match block_until(None, future) {
        Some(output) => output,
        None => unreachable!("invariant F1: a wait without a deadline ends with its future"),
    }
}

/// Runs a future on the calling thread, to its end or to the deadline. Only for futures without
/// timers of their own.
pub(crate) fn block_until<F: Future>(deadline: Option<Instant>, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
        match deadline {
            None => thread::park(),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return None;
                }
                thread::park_timeout(left);
            }
        }
    }
}
