//! Events: taken one by one, or handed to a callback.

use std::ffi::{CString, c_char, c_void};
use std::ptr;

use meshage::event::Event;

use crate::boundary::{Failure, c_string, free, status, value};
use crate::callback::{Callback, meshage_drop_cb};
use crate::convert::{Wait, out, required};
use crate::handle::meshage_node;
use crate::node::limit;
use crate::status::meshage_status::{self, MESHAGE_ERR_CLOSED, MESHAGE_ERR_IO};

/// What happened on the mesh.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum meshage_event_kind {
    /// A direct peer connected.
    MESHAGE_EVENT_LINK_UP = 1,
    /// The link to a direct peer is gone.
    MESHAGE_EVENT_LINK_DOWN = 2,
    /// A node became reachable on the mesh.
    MESHAGE_EVENT_NODE_JOINED = 3,
    /// A node left the mesh, or can no longer be reached.
    MESHAGE_EVENT_NODE_LEFT = 4,
    /// The effective network changed.
    MESHAGE_EVENT_TOPOLOGY = 5,
    /// Two reachable nodes claim this name.
    MESHAGE_EVENT_NAME_CONFLICT = 6,
    /// Events were dropped because nobody took them: take a fresh snapshot.
    MESHAGE_EVENT_OVERFLOW = 7,
}

use meshage_event_kind::*;

/// Something that happened on the mesh. It does not change; any thread may read it.
pub struct meshage_event {
    kind: i32,
    node: CString,
}

/// What an event callback is.
pub(crate) type EventFn =
    unsafe extern "C" fn(user_data: *mut c_void, borrowed: *const meshage_event);

/// Called for an event. The event is borrowed: it lives until the callback returns.
pub type meshage_event_cb =
    Option<unsafe extern "C" fn(user_data: *mut c_void, borrowed: *const meshage_event)>;

impl From<Event> for meshage_event {
    fn from(event: Event) -> Self {
        let kind = match &event {
            Event::LinkUp { .. } => MESHAGE_EVENT_LINK_UP,
            Event::LinkDown { .. } => MESHAGE_EVENT_LINK_DOWN,
            Event::NodeJoined { .. } => MESHAGE_EVENT_NODE_JOINED,
            Event::NodeLeft { .. } => MESHAGE_EVENT_NODE_LEFT,
            Event::Topology => MESHAGE_EVENT_TOPOLOGY,
            Event::NameConflict { .. } => MESHAGE_EVENT_NAME_CONFLICT,
            Event::Overflow => MESHAGE_EVENT_OVERFLOW,
            // An event that this version has no number for still means: something changed.
            _ => MESHAGE_EVENT_TOPOLOGY,
        };
        let node = event.node().map(|name| c_string(name.as_str())).unwrap_or_default();
        Self { kind: kind as i32, node }
    }
}

/// The kind of an event, a `meshage_event_kind`; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_event_kind_of(event: Option<&meshage_event>) -> i32 {
    value(0, || event.map_or(0, |event| event.kind))
}

/// The node that an event is about, "" where it is about none; NULL for NULL. Borrowed: lives as
/// long as the event.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_event_node(event: Option<&meshage_event>) -> *const c_char {
    value(ptr::null(), || event.map_or(ptr::null(), |event| event.node.as_ptr()))
}

/// Waits for an event. Each event since the node's creation comes once, in order; up to 4,096 wait,
/// then one `MESHAGE_EVENT_OVERFLOW` stands for those that were dropped. `*out` is yours to free
/// with `meshage_event_free`.
///
/// Errors: NULL; INVALID; TIMEOUT, with a time of 0 AGAIN; CLOSED (and all were taken); FORKED.
/// Blocks; wakes when the node is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_next_event(
    node: *mut meshage_node,
    timeout_ms: i32,
    out: *mut *mut meshage_event,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let out = unsafe { self::out(out, ptr::null_mut()) };
    status(|| {
        // SAFETY: the caller's promise.
        let node = unsafe { meshage_node::enter(node)? };
        let out = required(out, "out")?;
        let wait = Wait::parse(timeout_ms)?;
        let event =
            node.events.next(limit(&node, wait)).map_err(|error| wait.judge(error.into()))?;
        *out = Box::into_raw(Box::new(event.into()));
        Ok(())
    })
}

/// Calls `cb` for every event from now on, from the node's own dispatch thread, one at a time. It
/// takes nothing away from `meshage_next_event`: both receive every event. A new callback replaces
/// the old one; NULL takes it away. The old one may be running while this returns: its `drop` runs
/// when it is done.
///
/// `drop` may be NULL. It is called exactly once, whatever this answers: after the last use of
/// `user_data`, which is at once where `cb` is NULL or this fails.
///
/// Errors: NULL (the node), CLOSED, IO (no thread), FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_on_event(
    node: *mut meshage_node,
    cb: meshage_event_cb,
    user_data: *mut c_void,
    drop: meshage_drop_cb,
) -> meshage_status {
    let callback = Callback::new(cb, user_data, drop);
    status(move || {
        // SAFETY: the caller's promise.
        let node = unsafe { meshage_node::enter(node)? };
        let callback = callback.present();
        let inner = node.node.node();
        if callback.is_some() && inner.is_closed() {
            return Err(Failure::new(MESHAGE_ERR_CLOSED, "the node is closed"));
        }
        let events = callback.is_some().then(|| inner.events());
        node.callbacks.event.set(callback);
        let started = node.callbacks.changed(&node, events);
        started.map_err(|error| {
            node.callbacks.event.set(None);
            Failure::new(MESHAGE_ERR_IO, format!("no thread for callbacks: {error}"))
        })
    })
}

/// Frees an event. NULL is nothing to free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_event_free(event: *mut meshage_event) {
    // SAFETY: the caller's promise.
    unsafe { free(event) }
}
