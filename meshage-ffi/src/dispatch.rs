//! The dispatch thread of a node: calls the callbacks for messages and events.
//!
//! Each node has at most one; the first callback for messages or events starts it. The thread takes
//! one message at a time, so that the others stay in the node's queue, which is bounded. (Snoop and
//! report callbacks run on the core's own callback thread.)
//!
//! ```text
//!   node.recv()   ──┐
//!   events.next() ──┼──► one thread ──► on_message / on_event
//!   a changed slot ─┘
//! ```

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use meshage::blocking;
use meshage::error::RecvError;
use meshage::event::Event;
use meshage::message::Message;
use meshage::node;

use crate::callback::{Callback, CallbackScope};
use crate::event::{EventFn, meshage_event};
use crate::failure::Failure;
use crate::handle::meshage_node;
use crate::message::{MessageFn, meshage_message};
use crate::status::meshage_status::MESHAGE_ERR_IO;

/// The thread checks for an event after this many messages: as many as one read of the smallest
/// messages brings.
const MESSAGES_IN_A_ROW: usize = 128;
/// The thread checks for an event after this time at the latest, so that slow callbacks do not
/// delay events noticeably.
const ROW_TIME_MAX: Duration = Duration::from_millis(5);

/// Notifies the dispatch thread of a node that a callback was set or removed, and starts the thread
/// if it is needed.
pub(crate) fn callback_changed(
    node: &Arc<meshage_node>,
    events: Option<node::Events>,
) -> Result<(), Failure> {
    let start = || {
        let node = node.clone();
        let thread = thread::Builder::new().name("meshage-dispatch".into());
        thread.spawn(move || run(&node))
    };
    node.callbacks.changed(events, start).map_err(|error| {
        Failure::new(MESHAGE_ERR_IO, format!("cannot start the thread for callbacks: {error}"))
    })
}

/// Runs the thread. A panic is an error of the library: it is counted, and the thread goes on.
fn run(node: &meshage_node) {
    let mut dispatcher = Dispatcher::default();
    while let Err(panic) = catch_unwind(AssertUnwindSafe(|| dispatcher.run(node))) {
        node.node.node().note_panic("dispatch", panic.as_ref());
    }
}

/// The next step of the thread.
enum Work {
    Changed,
    Message(Result<Message, RecvError>),
    Event(Option<Event>),
}

/// The state of the thread.
#[derive(Default)]
struct Dispatcher {
    seen: u64,
    events: Option<node::Events>,
    inbox_is_closed: bool,
}

impl Dispatcher {
    fn run(&mut self, node: &meshage_node) {
        let callbacks = &node.callbacks;
        while let Some(round) = callbacks.begin_round() {
            self.seen = round.changes;
            if round.events.is_some() {
                self.events = round.events;
            }
            let message = callbacks.message.current();
            let event = callbacks.event.current();
            if event.is_none() {
                self.events = None;
            }
            match self.wait(node, message.is_some()) {
                Work::Changed => {}
                Work::Message(Ok(received)) => self.deliver(node, message.as_deref(), received),
                Work::Message(Err(_)) => self.inbox_is_closed = true,
                Work::Event(Some(occurred)) => call_with_event(event.as_deref(), occurred),
                Work::Event(None) => self.events = None,
            }
        }
    }

    /// Calls the callback with a message, and then with further messages that are already queued,
    /// until a callback changes.
    fn deliver(
        &self,
        node: &meshage_node,
        callback: Option<&Callback<MessageFn>>,
        received: Message,
    ) {
        let Some(callback) = callback else { return };
        let began = Instant::now();
        call_with_message(callback, received);
        for _ in 1..MESSAGES_IN_A_ROW {
            if node.callbacks.has_changed(self.seen) || began.elapsed() > ROW_TIME_MAX {
                return;
            }
            // If the queue is empty or closed, the next wait handles that.
            let Ok(received) = node.node.node().try_recv() else { return };
            call_with_message(callback, received);
        }
    }

    /// Events have priority over messages: they are few, and a flood of messages must not delay the
    /// event that a node left.
    fn wait(&mut self, node: &meshage_node, wants_messages: bool) -> Work {
        let wants_messages = wants_messages && !self.inbox_is_closed;
        let seen = self.seen;
        let mut message = pin!(OptionFuture(wants_messages.then(|| node.node.node().recv())));
        let mut event = pin!(OptionFuture(self.events.as_mut().map(node::Events::next)));
        let work = pin!(poll_fn(|cx| {
            if node.callbacks.has_changed_or_register(seen, cx.waker()) {
                return Poll::Ready(Work::Changed);
            }
            if let Poll::Ready(event) = event.as_mut().poll_next(cx) {
                return Poll::Ready(Work::Event(event));
            }
            message.as_mut().poll_next(cx).map(Work::Message)
        }));
        match blocking::block_until(None, work) {
            Some(work) => work,
            None => unreachable!("invariant F1: a wait without a deadline ends with its future"),
        }
    }
}

fn call_with_message(callback: &Callback<MessageFn>, message: Message) {
    let message = meshage_message::new_raw(message);
    let _scope = CallbackScope::enter();
    // SAFETY: the application's function with its data, and a message that it now owns.
    unsafe { (callback.function)(callback.user_data(), message) };
}

fn call_with_event(callback: Option<&Callback<EventFn>>, event: Event) {
    let Some(callback) = callback else { return };
    let event = meshage_event::from(event);
    let _scope = CallbackScope::enter();
    // SAFETY: the application's function with its data, and an event that outlives the call.
    unsafe { (callback.function)(callback.user_data(), &raw const event) };
}

/// A future that may be absent; an absent one is never ready.
struct OptionFuture<F>(Option<F>);

impl<F: Future> OptionFuture<F> {
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the future is not moved out of the pinned value.
        match unsafe { self.map_unchecked_mut(|option| &mut option.0) }.as_pin_mut() {
            Some(future) => future.poll(cx),
            None => Poll::Pending,
        }
    }
}
