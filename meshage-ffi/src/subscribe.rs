//! Setting the callbacks of a node: messages, messages in transit, events.

use std::ffi::c_void;
use std::sync::Arc;

use crate::callback::{Callback, CallbackScope, Slot, meshage_drop_cb};
use crate::callbacks::Callbacks;
use crate::dispatch::callback_changed;
use crate::event::meshage_event_cb;
use crate::failure::Failure;
use crate::handle::{call, meshage_node};
use crate::message::{meshage_message, meshage_message_cb, meshage_snoop_cb};
use crate::status::meshage_status::{self, MESHAGE_ERR_IO};

/// The callback to set, `None` to remove it. A closed node accepts only the removal.
fn accepted<F>(
    node: &meshage_node,
    callback: Callback<Option<F>>,
) -> Result<Option<Callback<F>>, Failure> {
    let callback = callback.non_null();
    if callback.is_some() && node.node.node().is_closed() {
        return Err(Failure::closed());
    }
    Ok(callback)
}

/// Has `set` set the callback of a node, `None` to remove it.
///
/// # Safety
/// As [`meshage_node::enter`].
unsafe fn subscribe<F>(
    node: *mut meshage_node,
    callback: Callback<Option<F>>,
    set: impl FnOnce(&Arc<meshage_node>, Option<Callback<F>>) -> Result<(), Failure>,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let node = unsafe { meshage_node::enter(node) };
    call(node, |node| set(node, accepted(node, callback)?))
}

/// Puts a callback of the dispatch thread into its slot.
fn set<F>(
    node: &Arc<meshage_node>,
    slot: impl Fn(&Callbacks) -> &Slot<F>,
    callback: Option<Callback<F>>,
    events: Option<meshage::node::Events>,
) -> Result<(), Failure> {
    slot(&node.callbacks).set(callback);
    callback_changed(node, events).inspect_err(|_| slot(&node.callbacks).set(None))
}

/// Sets the callback for messages. `cb` is called with every message, including those already in
/// the queue, on the node's dispatch thread, one at a time. While a callback is set, `meshage_recv`
/// and `meshage_poll` return STATE; calls that are already waiting return STATE too, without a
/// message.
///
/// A new callback replaces the old one; NULL removes it. The old callback may still be running when
/// this function returns; its `drop` is called when it has returned.
///
/// The next message waits until the callback returns. Once the queue is full, senders wait as well.
///
/// `drop` may be NULL. It is called exactly once, whatever this function returns: after the last
/// use of `user_data`, or at once if `cb` is NULL or this function fails.
///
/// Errors: NULL (the node), CLOSED (not if `cb` is NULL: a closed node too lets its callback be
/// removed), IO (the thread cannot be started), FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_on_message(
    node: *mut meshage_node,
    cb: meshage_message_cb,
    user_data: *mut c_void,
    drop: meshage_drop_cb,
) -> meshage_status {
    let callback = Callback::new(cb, user_data, drop);
    // SAFETY: the caller's promise.
    unsafe {
        subscribe(node, callback, |node, callback| {
            set(node, |callbacks| &callbacks.message, callback, None)
        })
    }
}

/// Sets the callback for messages in transit. `cb` is called with every complete message that the
/// node forwards and that is not addressed to it. If the callback is slow, messages are not passed
/// to it; the counter `net_snoops_dropped` counts them. The callback runs on the node's callback
/// thread, one message at a time; the reports of `meshage_send_async` wait for it.
///
/// A new callback replaces the old one; NULL removes it. The old callback may still be running when
/// this function returns; its `drop` is called when it has returned.
///
/// `drop` may be NULL. It is called exactly once, whatever this function returns: after the last
/// use of `user_data`, or at once if `cb` is NULL or this function fails.
///
/// Errors: NULL (the node), CLOSED (not if `cb` is NULL: a closed node too lets its callback be
/// removed), IO (the thread cannot be started), FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_on_snoop(
    node: *mut meshage_node,
    cb: meshage_snoop_cb,
    user_data: *mut c_void,
    drop: meshage_drop_cb,
) -> meshage_status {
    let callback = Callback::new(cb, user_data, drop);
    let set = |node: &Arc<meshage_node>, callback| {
        let callbacks = &node.callbacks;
        let Some(callback) = callback else {
            // Only starting a thread can fail.
            let _ = node.node.node().set_snoop(None);
            callbacks.snoop.set(None);
            return Ok(());
        };
        callbacks.snoop.set(Some(callback));
        let slot = callbacks.snoop.clone();
        let in_flight = callbacks.in_flight.clone();
        let started = node.node.node().set_snoop(Some(Box::new(move |message| {
            // Counted before the slot is read: a thread that empties the slot and then waits for
            // the count to reach 0 waits for this call.
            let _counted = in_flight.enter();
            let Some(callback) = slot.current() else { return };
            let message = meshage_message::received(message);
            let _scope = CallbackScope::enter();
            // SAFETY: the application's function with its data, and a message that outlives the
            // call.
            unsafe { (callback.function)(callback.user_data(), &raw const message) };
        })));
        started.map_err(|error| {
            callbacks.snoop.set(None);
            Failure::new(MESHAGE_ERR_IO, error)
        })
    };
    // SAFETY: the caller's promise.
    unsafe { subscribe(node, callback, set) }
}

/// Sets the callback for events. `cb` is called with every event from now on, on the node's
/// dispatch thread, one at a time. `meshage_next_event` returns all events as well: the two are
/// independent.
///
/// To know the whole mesh from the start, set the callback first and take a snapshot with
/// `meshage_node_mesh` afterwards: what changes in between is in both, and nothing is missed. So a
/// node that is joined may be known already, and one that left may be unknown.
///
/// A new callback replaces the old one; NULL removes it. The old callback may still be running when
/// this function returns; its `drop` is called when it has returned.
///
/// `drop` may be NULL. It is called exactly once, whatever this function returns: after the last
/// use of `user_data`, or at once if `cb` is NULL or this function fails.
///
/// Errors: NULL (the node), CLOSED (not if `cb` is NULL: a closed node too lets its callback be
/// removed), IO (the thread cannot be started), FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_on_event(
    node: *mut meshage_node,
    cb: meshage_event_cb,
    user_data: *mut c_void,
    drop: meshage_drop_cb,
) -> meshage_status {
    let callback = Callback::new(cb, user_data, drop);
    // SAFETY: the caller's promise.
    unsafe {
        subscribe(node, callback, |node, callback| {
            let events = callback.is_some().then(|| node.node.node().events());
            set(node, |callbacks| &callbacks.event, callback, events)
        })
    }
}
