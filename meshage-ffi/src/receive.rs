//! Receiving messages and events from a node's queues.

use std::ffi::{c_int, c_void};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::ptr;
use std::task::Poll;
use std::time::{Duration, Instant};

use meshage::blocking;
use meshage::error::RecvError;
use meshage::message::Message;

use crate::callback::CallbackScope;
use crate::convert::{Wait, out, required};
use crate::event::meshage_event;
use crate::failure::Failure;
use crate::handle::{call, meshage_node, query};
use crate::message::{meshage_message, meshage_message_cb};
use crate::status::meshage_status::{self, MESHAGE_ERR_INVALID, MESHAGE_ERR_IO, MESHAGE_ERR_STATE};
use crate::system::c_descriptor;

/// Takes one message from the queue. Fails if a message callback is set, or is set while this
/// waits.
fn take(node: &meshage_node, wait: Wait) -> Result<Message, Failure> {
    let taken = match try_take(node) {
        Some(Err(RecvError::Timeout)) => wait_to_take(node, node.limit(wait)),
        taken => taken,
    };
    let Some(taken) = taken else {
        let text = "a message callback is set: remove it to receive from the queue";
        return Err(Failure::new(MESHAGE_ERR_STATE, text));
    };
    taken.map_err(|error| wait.timeout_to_again(error.into()))
}

/// Takes a message without waiting; `None` if a message callback is set.
fn try_take(node: &meshage_node) -> Option<Result<Message, RecvError>> {
    node.callbacks.message.unless_set(|| node.node.node().try_recv())
}

/// Waits for a message; `None` as soon as a message callback is set.
fn wait_to_take(
    node: &meshage_node,
    limit: Option<Duration>,
) -> Option<Result<Message, RecvError>> {
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let mut message = pin!(node.node.node().recv());
    let mut receiver = None;
    let taking = pin!(poll_fn(|cx| {
        receiver.get_or_insert_with(|| node.callbacks.receivers.enter(cx.waker()));
        match node.callbacks.message.unless_set(|| message.as_mut().poll(cx)) {
            Some(Poll::Ready(taken)) => Poll::Ready(Some(taken)),
            Some(Poll::Pending) => Poll::Pending,
            None => Poll::Ready(None),
        }
    }));
    blocking::block_until(deadline, taking).unwrap_or(Some(Err(RecvError::Timeout)))
}

/// Waits for a message and takes it from the queue. Free `*out` with `meshage_message_free`. If
/// several threads wait, each message goes to one of them. After the node is closed, the messages
/// that are still in the queue are returned first, then CLOSED.
///
/// Errors: NULL; INVALID; TIMEOUT (AGAIN if `timeout_ms` is 0); CLOSED; STATE (a message callback
/// is set); FORKED. Blocks; returns early when the node is closed or a message callback is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_recv(
    node: *mut meshage_node,
    timeout_ms: i32,
    out: *mut *mut meshage_message,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let (out, node) = unsafe { (self::out(out, ptr::null_mut()), meshage_node::enter(node)) };
    query(node, out, |node| Ok(meshage_message::new_raw(take(node, Wait::parse(timeout_ms)?)?)))
}

/// Waits for a message, then calls `cb` with it and with up to `max` - 1 further messages that are
/// already in the queue, one after another, on the calling thread. The callback owns each message.
/// `*handled` is the number of calls of `cb`; `handled` may be NULL. If the callback closes or
/// frees the node, no further call follows.
///
/// Errors: NULL (the node or `cb`); INVALID (`max` is 0, or the time); TIMEOUT (AGAIN if
/// `timeout_ms` is 0); CLOSED; STATE (a message callback is set); FORKED. Blocks; returns early
/// when the node is closed or a message callback is set.
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
    let (mut handled, node) = unsafe { (out(handled, 0), meshage_node::enter(node)) };
    call(node, |node| {
        let cb = required(cb, "cb")?;
        if max == 0 {
            return Err(Failure::new(MESHAGE_ERR_INVALID, "max is 0: it must be at least 1"));
        }
        let closed_before = node.node.node().is_closed();
        let mut message = take(node, Wait::parse(timeout_ms)?)?;
        for count in 1..=max {
            let owned = meshage_message::new_raw(message);
            let scope = CallbackScope::enter();
            // SAFETY: the application's function with its data, and a message that it now owns.
            unsafe { cb(user_data, owned) };
            drop(scope);
            if let Some(handled) = &mut handled {
                **handled = count;
            }
            let closed_by_callback = !closed_before && node.node.node().is_closed();
            if count == max || closed_by_callback {
                break;
            }
            // Taken one at a time: if the callback closes the node, the rest stays in the queue.
            message = match try_take(node) {
                Some(Ok(message)) => message,
                Some(Err(_)) | None => break,
            };
        }
        Ok(())
    })
}

/// Returns in `*fd` a file descriptor for poll(2), select(2) and epoll(7). It is readable while a
/// message is in the queue, and once the node is closed (level-triggered). Do not read from it:
/// take the messages with `meshage_recv`. Every call returns the same descriptor. The node owns it
/// and closes it when it is freed.
///
/// Errors: NULL; IO (no descriptor is available); FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_recv_fd(
    node: *mut meshage_node,
    fd: *mut c_int,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let (fd, node) = unsafe { (out(fd, 0), meshage_node::enter(node)) };
    call(node, |node| {
        let fd = required(fd, "fd")?;
        let opened = node.node.node().recv_fd();
        let opened = opened.map_err(|error| Failure::new(MESHAGE_ERR_IO, error))?;
        *fd = c_descriptor(opened)?;
        Ok(())
    })
}

/// Waits for an event and takes it from the event queue. Every event since the creation of the node
/// is returned once, in order. The queue holds up to 4,096 events; if it is full, further events
/// are dropped and one `MESHAGE_EVENT_OVERFLOW` takes their place. Free `*out` with
/// `meshage_event_free`.
///
/// A node is alone when it is created. So the events alone, from the first one on, say which nodes
/// are on the mesh; no node is missed, whenever the first call is made. After an OVERFLOW, continue
/// from a new snapshot (`meshage_node_mesh`): what changes while it is taken is in both, so a node
/// that is joined may be known already, and one that left may be unknown.
///
/// Errors: NULL; INVALID; TIMEOUT (AGAIN if `timeout_ms` is 0); CLOSED (and the queue is empty);
/// FORKED. Blocks; returns early when the node is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_next_event(
    node: *mut meshage_node,
    timeout_ms: i32,
    out: *mut *mut meshage_event,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let (out, node) = unsafe { (self::out(out, ptr::null_mut()), meshage_node::enter(node)) };
    query(node, out, |node| {
        let wait = Wait::parse(timeout_ms)?;
        let event = node.events.next(node.limit(wait));
        let event = event.map_err(|error| wait.timeout_to_again(error.into()))?;
        Ok(meshage_event::new_raw(event))
    })
}
