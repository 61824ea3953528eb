//! An event as the application reads it.

use std::ffi::{CString, c_char, c_void};
use std::ptr;

use meshage::event::{Departure, Event};

use crate::boundary::{c_string, free, read};
use crate::names::{c_strings, nth};

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
    /// No solicitation can be sent, so that no other node can be found. `meshage_event_reason` has
    /// the cause. The node goes on trying.
    MESHAGE_EVENT_DISCOVERY_FAILED = 8,
    /// A node has none of this node's keys, or does not encrypt, so there is no link to it:
    /// `meshage_event_address` has its address, and `meshage_event_key_id` the ids of its keys. At
    /// most one event a minute for each address.
    MESHAGE_EVENT_KEY_MISMATCH = 9,
    /// The ticket of the node was revoked, or has ended: it can no longer join.
    MESHAGE_EVENT_REVOKED = 10,
}

/// How a node departed.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum meshage_departure {
    /// The event is not `MESHAGE_EVENT_NODE_LEFT`.
    MESHAGE_DEPARTURE_NONE = 0,
    /// The node was closed, and announced that it leaves.
    MESHAGE_DEPARTURE_LEFT = 1,
    /// The node can no longer be reached: it failed, or the network between the two nodes did.
    MESHAGE_DEPARTURE_FAILED = 2,
}

use meshage_departure::*;
use meshage_event_kind::*;

/// An event: a change on the mesh. Immutable; any number of threads may read it.
pub struct meshage_event {
    kind: i32,
    node: CString,
    instance: u64,
    reason: CString,
    departure: i32,
    address: CString,
    key_ids: Vec<CString>,
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
        let kind = match &event {
            Event::LinkUp { .. } => MESHAGE_EVENT_LINK_UP,
            Event::LinkDown { .. } => MESHAGE_EVENT_LINK_DOWN,
            Event::NodeJoined { .. } => MESHAGE_EVENT_NODE_JOINED,
            Event::NodeLeft { .. } => MESHAGE_EVENT_NODE_LEFT,
            Event::Topology => MESHAGE_EVENT_TOPOLOGY,
            Event::NameConflict { .. } => MESHAGE_EVENT_NAME_CONFLICT,
            Event::Overflow => MESHAGE_EVENT_OVERFLOW,
            Event::DiscoveryFailed { .. } => MESHAGE_EVENT_DISCOVERY_FAILED,
            Event::KeyMismatch { .. } => MESHAGE_EVENT_KEY_MISMATCH,
            Event::Revoked { .. } => MESHAGE_EVENT_REVOKED,
            // An event that this version has no number for is reported as a change.
            _ => MESHAGE_EVENT_TOPOLOGY,
        };
        let departure = match event.departure() {
            None => MESHAGE_DEPARTURE_NONE,
            Some(Departure::Left) => MESHAGE_DEPARTURE_LEFT,
            Some(Departure::Failed) => MESHAGE_DEPARTURE_FAILED,
        };
        Self {
            kind: kind as i32,
            node: event.node().map(|name| c_string(name.as_str())).unwrap_or_default(),
            instance: event.instance().map_or(0, |instance| instance.0),
            reason: event.reason().map(|reason| c_string(&reason)).unwrap_or_default(),
            departure: departure as i32,
            address: event.address().map(|at| c_string(&at.to_string())).unwrap_or_default(),
            key_ids: c_strings(event.key_ids()),
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

/// Returns the instance of the node that an event concerns, as in `meshage_message_instance`: a node
/// that was restarted has another one. 0 if the event concerns no single life of a node (TOPOLOGY,
/// NAME_CONFLICT, DISCOVERY_FAILED, OVERFLOW), and for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_event_instance(event: Option<&meshage_event>) -> u64 {
    read(event, 0, |event| event.instance)
}

/// Returns in words why the event happened: why a link ended ("silent for 3 s", "the peer left"),
/// how a node departed, what two nodes with one name led to, why discovery failed. "" for the other
/// events; NULL for NULL. For people: the texts may change. Borrowed: valid as long as the event.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_event_reason(event: Option<&meshage_event>) -> *const c_char {
    read(event, ptr::null(), |event| event.reason.as_ptr())
}

/// Returns how a node departed, a `meshage_departure`: `MESHAGE_DEPARTURE_LEFT` or
/// `MESHAGE_DEPARTURE_FAILED` for NODE_LEFT, else `MESHAGE_DEPARTURE_NONE`, also for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_event_departure(event: Option<&meshage_event>) -> i32 {
    read(event, MESHAGE_DEPARTURE_NONE as i32, |event| event.departure)
}

/// Returns the address of the node that a KEY_MISMATCH event is about, as "host:port"; "" for the
/// other events; NULL for NULL. Borrowed: valid as long as the event.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_event_address(event: Option<&meshage_event>) -> *const c_char {
    read(event, ptr::null(), |event| event.address.as_ptr())
}

/// Returns the number of key ids that the node of a KEY_MISMATCH event named; 0 if it does not
/// encrypt, for the other events, and for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_event_key_id_count(event: Option<&meshage_event>) -> usize {
    read(event, 0, |event| event.key_ids.len())
}

/// Returns key id `i` that the node of a KEY_MISMATCH event named, counted from 0; NULL if `i` is
/// past the end or for NULL. Borrowed: valid as long as the event.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_event_key_id(event: Option<&meshage_event>, i: usize) -> *const c_char {
    read(event, ptr::null(), |event| nth(&event.key_ids, i))
}

/// Frees an event. Does nothing for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_event_free(event: *mut meshage_event) {
    // SAFETY: the caller's promise.
    unsafe { free(event) }
}
