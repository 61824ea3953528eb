//! Receiving: from the queue, through a descriptor, or by a callback.

use std::ffi::{c_int, c_void};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::ptr;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use meshage::error::RecvError;
use meshage::message::Message;

use crate::boundary::{Failure, status};
use crate::callback::{Callback, Inside, meshage_drop_cb};
use crate::convert::{Wait, out, required};
use crate::dispatch::block_until;
use crate::handle::meshage_node;
use crate::message::{meshage_message, meshage_message_cb, meshage_snoop_cb};
use crate::node::limit;
use crate::status::meshage_status::{
    self, MESHAGE_ERR_CLOSED, MESHAGE_ERR_INVALID, MESHAGE_ERR_IO, MESHAGE_ERR_STATE,
};
use crate::system::c_descriptor;

/// Takes one message from the queue, unless a callback takes them, or comes to while this waits.
fn take(node: &Arc<meshage_node>, wait: Wait) -> Result<Message, Failure> {
    let taken = match try_take(node) {
        Some(Err(RecvError::Timeout)) => wait_to_take(node, limit(node, wait)),
        taken => taken,
    };
    let Some(taken) = taken else {
        let text = "a message callback is set: take it away to receive from the queue";
        return Err(Failure::new(MESHAGE_ERR_STATE, text));
    };
    taken.map_err(|error| wait.judge(error.into()))
}

/// Takes a message that is there; none where a callback takes them.
fn try_take(node: &meshage_node) -> Option<Result<Message, RecvError>> {
    node.callbacks.message.unless_set(|| node.node.node().try_recv())
}

/// Waits for a message; none as soon as a callback takes them.
fn wait_to_take(
    node: &meshage_node,
    limit: Option<Duration>,
) -> Option<Result<Message, RecvError>> {
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let mut message = pin!(node.node.node().recv());
    let mut receiver = None;
    let taken = block_until(
        deadline,
        poll_fn(|cx| {
            receiver.get_or_insert_with(|| node.callbacks.receivers.enter(cx.waker()));
            match node.callbacks.message.unless_set(|| message.as_mut().poll(cx)) {
                Some(Poll::Ready(taken)) => Poll::Ready(Some(taken)),
                Some(Poll::Pending) => Poll::Pending,
                None => Poll::Ready(None),
            }
        }),
    );
    taken.unwrap_or(Some(Err(RecvError::Timeout)))
}

/// Waits for a message. `*out` is yours to free with `meshage_message_free`. Several threads may
/// wait: each message goes to one of them. After the node was closed, what is in its queue still
/// comes, then CLOSED.
///
/// Errors: NULL; INVALID; TIMEOUT, with a time of 0 AGAIN; CLOSED; STATE (a callback is set);
/// FORKED. Blocks; wakes when the node is closed, or a callback is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_recv(
    node: *mut meshage_node,
    timeout_ms: i32,
    out: *mut *mut meshage_message,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let out = unsafe { self::out(out, ptr::null_mut()) };
    status(|| {
        // SAFETY: the caller's promise.
        let node = unsafe { meshage_node::enter(node)? };
        let out = required(out, "out")?;
        *out = meshage_message::publish(take(&node, Wait::parse(timeout_ms)?)?);
        Ok(())
    })
}

/// Waits for a first message, then hands up to `max` of those that are there to `cb`, one after the
/// other, on this thread. Each is the callback's to free. `*handled`, which may be NULL, is how many
/// were handed over. Where the callback closes or frees the node, this stops after it.
///
/// Errors: NULL (the node or `cb`); INVALID (`max` is 0); TIMEOUT, with a time of 0 AGAIN; CLOSED;
/// STATE (a callback is set); FORKED. Blocks; wakes when the node is closed, or a callback is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_poll(
    node: *mut meshage_node,
    timeout_ms: i32,
    max: usize,
    cb: meshage_message_cb,
    user_data: *mut c_void,
    handled: *mut usize,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let mut handled = unsafe { out(handled, 0) };
    status(|| {
        // SAFETY: the caller's promise.
        let node = unsafe { meshage_node::enter(node)? };
        let cb = required(cb, "cb")?;
        if max == 0 {
            return Err(Failure::new(MESHAGE_ERR_INVALID, "max is 0: at least one message"));
        }
        let closed_before = node.node.node().is_closed();
        let mut message = take(&node, Wait::parse(timeout_ms)?)?;
        for count in 1..=max {
            let owned = meshage_message::publish(message);
            let inside = Inside::enter();
            // SAFETY: the program's function with its own data, and a message that is now its own.
            unsafe { cb(user_data, owned) };
            drop(inside);
            if let Some(handled) = &mut handled {
                **handled = count;
            }
            let closed_inside = !closed_before && node.node.node().is_closed();
            if count == max || closed_inside {
                break;
            }
            // One at a time: what a callback that ends the program has not seen stays in the queue.
            message = match try_take(&node) {
                Some(Ok(message)) => message,
                Some(Err(_)) | None => break,
            };
        }
        Ok(())
    })
}

/// A descriptor for poll(2) and its kin: readable while a message waits, and once the node is closed
/// (level-triggered). Do not read from it: take the messages with `meshage_recv`. It is the same at
/// every call, belongs to the node, and ends with it.
///
/// Errors: NULL; IO (no descriptor left); FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_recv_fd(
    node: *mut meshage_node,
    fd: *mut c_int,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let fd = unsafe { out(fd, 0) };
    status(|| {
        // SAFETY: the caller's promise.
        let node = unsafe { meshage_node::enter(node)? };
        let fd = required(fd, "fd")?;
        let opened = node.node.node().recv_fd();
        let opened = opened.map_err(|error| Failure::new(MESHAGE_ERR_IO, error))?;
        *fd = c_descriptor(opened)?;
        Ok(())
    })
}

/// Calls `cb` for every message, those that wait already included, from the node's own dispatch
/// thread, one at a time. While a callback is set, `meshage_recv` and `meshage_poll` answer STATE,
/// calls that were waiting before included: they wake, and take no message. A new callback replaces
/// the old one; NULL takes it away. The old one may be running while this returns: its `drop` runs
/// when it is done.
///
/// A message that the callback has not returned from holds up the next, and when the queue is full,
/// the senders.
///
/// `drop` may be NULL. It is called exactly once, whatever this answers: after the last use of
/// `user_data`, which is at once where `cb` is NULL or this fails.
///
/// Errors: NULL (the node), CLOSED, IO (no thread), FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_on_message(
    node: *mut meshage_node,
    cb: meshage_message_cb,
    user_data: *mut c_void,
    drop: meshage_drop_cb,
) -> meshage_status {
    let callback = Callback::new(cb, user_data, drop);
    status(move || {
        // SAFETY: the caller's promise.
        let node = unsafe { meshage_node::enter(node)? };
        let callback = callback.present();
        if callback.is_some() && node.node.node().is_closed() {
            return Err(Failure::new(MESHAGE_ERR_CLOSED, "the node is closed"));
        }
        node.callbacks.message.set(callback);
        let started = node.callbacks.changed(&node, None);
        started.map_err(|error| {
            node.callbacks.message.set(None);
            Failure::new(MESHAGE_ERR_IO, format!("no thread for callbacks: {error}"))
        })
    })
}

/// Calls `cb` for every whole message that passes through the node and is not for it. Messages are
/// dropped, and counted, where it is slow. It runs on a thread of the node's that does no I/O, one
/// message at a time; reports of `meshage_send_async` wait for it. A new callback replaces the old
/// one; NULL takes it away. The old one may be running while this returns: its `drop` runs when it
/// is done.
///
/// `drop` may be NULL. It is called exactly once, whatever this answers: after the last use of
/// `user_data`, which is at once where `cb` is NULL or this fails.
///
/// Errors: NULL (the node), CLOSED, FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_on_snoop(
    node: *mut meshage_node,
    cb: meshage_snoop_cb,
    user_data: *mut c_void,
    drop: meshage_drop_cb,
) -> meshage_status {
    let callback = Callback::new(cb, user_data, drop);
    status(move || {
        // SAFETY: the caller's promise.
        let node = unsafe { meshage_node::enter(node)? };
        let inner = node.node.node();
        let Some(callback) = callback.present() else {
            inner.set_snoop(None);
            node.callbacks.snoop.set(None);
            return Ok(());
        };
        if inner.is_closed() {
            return Err(Failure::new(MESHAGE_ERR_CLOSED, "the node is closed"));
        }
        node.callbacks.snoop.set(Some(callback));
        let slot = node.callbacks.snoop.clone();
        let under = node.callbacks.under.clone();
        inner.set_snoop(Some(Box::new(move |message| {
            // Counted before the slot is read: whoever empties the slot and then waits, waits for us.
            let _counted = under.count();
            let Some(callback) = slot.current() else { return };
            let message = meshage_message::received(message);
            let _inside = Inside::enter();
            // SAFETY: the program's function with its own data, and a message that outlives the call.
            unsafe { (callback.function)(callback.user_data(), &raw const message) };
        })));
        Ok(())
    })
}
