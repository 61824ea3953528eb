//! An event as the application reads it.

use std::ffi::{CString, c_char, c_void};
use std::ptr;

use meshage::event::Event;
use meshage::name::NodeName;

use crate::boundary::{c_string, free, read};

/// The kinds of events.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum meshage_event_kind {
    /// A link to a peer was established.
    MESHAGE_EVENT_LINK_UP = 1,
    /// The link to a peer was closed or broke.
    MESHAGE_EVENT_LINK_DOWN = 2,
    /// A node became reachable.
    MESHAGE_EVENT_NODE_JOINED = 3,
    /// A node left the mesh or became unreachable.
    MESHAGE_EVENT_NODE_LEFT = 4,
    /// The effective network changed.
    MESHAGE_EVENT_TOPOLOGY = 5,
    /// Two reachable nodes use this name.
    MESHAGE_EVENT_NAME_CONFLICT = 6,
    /// Events were dropped because the queue was full: read the topology again.
    MESHAGE_EVENT_OVERFLOW = 7,
}

use meshage_event_kind::*;

/// An event: a change on the mesh. Immutable; any number of threads may read it.
pub struct meshage_event {
    kind: i32,
    node: CString,
}

/// The type of an event callback that is not NULL.
pub(crate) type EventFn =
    unsafe extern "C" fn(user_data: *mut c_void, borrowed: *const meshage_event);

/// Called with an event. The event is borrowed: it is valid until the callback returns.
pub type meshage_event_cb =
    Option<unsafe extern "C" fn(user_data: *mut c_void, borrowed: *const meshage_event)>;

impl meshage_event {
    pub(crate) fn new_raw(event: Event) -> *mut Self {
        Box::into_raw(Box::new(event.into()))
    }
}

impl From<Event> for meshage_event {
    fn from(event: Event) -> Self {
        let of = |kind: meshage_event_kind, node: Option<&NodeName>| Self {
            kind: kind as i32,
            node: node.map(|name| c_string(name.as_str())).unwrap_or_default(),
        };
        match &event {
            Event::LinkUp(node) => of(MESHAGE_EVENT_LINK_UP, Some(node)),
            Event::LinkDown(node) => of(MESHAGE_EVENT_LINK_DOWN, Some(node)),
            Event::NodeJoined(node) => of(MESHAGE_EVENT_NODE_JOINED, Some(node)),
            Event::NodeLeft(node) => of(MESHAGE_EVENT_NODE_LEFT, Some(node)),
            Event::Topology => of(MESHAGE_EVENT_TOPOLOGY, None),
            Event::NameConflict(node) => of(MESHAGE_EVENT_NAME_CONFLICT, Some(node)),
            Event::Overflow => of(MESHAGE_EVENT_OVERFLOW, None),
            // An event that this version has no number for is reported as a change.
            _ => of(MESHAGE_EVENT_TOPOLOGY, None),
        }
    }
}

/// Returns the kind of an event, a `meshage_event_kind`; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_event_kind_of(event: Option<&meshage_event>) -> i32 {
    read(event, 0, |event| event.kind)
}

/// Returns the name of the node that an event concerns; "" if it concerns no single node; NULL for
/// NULL. Borrowed: valid as long as the event.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_event_node(event: Option<&meshage_event>) -> *const c_char {
    read(event, ptr::null(), |event| event.node.as_ptr())
}

/// Frees an event. Does nothing for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_event_free(event: *mut meshage_event) {
    // SAFETY: the caller's promise.
    unsafe { free(event) }
}
