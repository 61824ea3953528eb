//! The handle of a node: what a `meshage_node *` points to.
//!
//! The handle is counted. The program holds one count, from `meshage_node_create` to
//! `meshage_node_free`; every call holds another while it is inside. So a node may be freed while
//! other threads wait in it: they wake with CLOSED, and the last one out takes the memory along.

use std::ffi::CString;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use meshage::blocking;
use meshage::error::RecvError;
use meshage::event::Event;

use crate::boundary::{Failure, c_string};
use crate::callback::{Inside, lock};
use crate::convert::required;
use crate::dispatch::Callbacks;
use crate::status::meshage_status::MESHAGE_ERR_FORKED;

/// A participant of the mesh. Every function on it may be called from any thread at any time.
pub struct meshage_node {
    pub(crate) node: blocking::Node,
    pub(crate) name: CString,
    pub(crate) port: u16,
    pub(crate) events: Seat,
    pub(crate) callbacks: Callbacks,
}

/// Handles that a forked child let go. The threads that would close them do not exist there, so
/// they are kept, and known, instead of leaked.
static ABANDONED: Mutex<Vec<Abandoned>> = Mutex::new(Vec::new());

struct Abandoned {
    _node: *const meshage_node,
}

// SAFETY: never dereferenced.
unsafe impl Send for Abandoned {}

impl meshage_node {
    /// A handle for C.
    pub(crate) fn publish(node: blocking::Node) -> *mut Self {
        let name = c_string(node.node().name().as_str());
        let port = node.node().port();
        let events = Seat::new(node.events());
        let callbacks = Callbacks::default();
        Arc::into_raw(Arc::new(Self { node, name, port, events, callbacks })).cast_mut()
    }

    /// The node of a call, held until the call leaves.
    ///
    /// # Safety
    /// `handle` is NULL or came from [`Self::publish`] and was not freed when the call began.
    pub(crate) unsafe fn enter(handle: *const Self) -> Result<Arc<Self>, Failure> {
        // SAFETY: the caller's promise.
        let node = required(unsafe { Self::enter_any(handle) }, "node")?;
        if node.node.is_forked() {
            let text = "the node belongs to the parent process: create one after fork()";
            return Err(Failure::new(MESHAGE_ERR_FORKED, text));
        }
        Ok(node)
    }

    /// The same for what never changes, in a forked child too.
    ///
    /// # Safety
    /// As [`Self::enter`].
    pub(crate) unsafe fn enter_any(handle: *const Self) -> Option<Arc<Self>> {
        if handle.is_null() {
            return None;
        }
        // SAFETY: the program's own count is still there, so that ours can be added to it.
        unsafe {
            Arc::increment_strong_count(handle);
            Some(Arc::from_raw(handle))
        }
    }

    /// Gives the program's count back: closes the node, and waits for its callbacks; inside a
    /// callback a thread of its own does the waiting.
    ///
    /// # Safety
    /// As [`Self::enter`]; no call begins with this handle any more.
    pub(crate) unsafe fn release(handle: *const Self) {
        // SAFETY: the caller's promise; this takes the program's count.
        let node = unsafe { Arc::from_raw(handle) };
        if node.node.is_forked() {
            let _node = Arc::into_raw(node);
            lock(&ABANDONED).push(Abandoned { _node });
            return;
        }
        node.node.node().close();
        if !Inside::is_current() {
            node.finish();
            return;
        }
        let elsewhere = node.clone();
        let thread = std::thread::Builder::new().name("meshage-free".into());
        if thread.spawn(move || elsewhere.finish()).is_err() {
            // Without a thread nobody can wait. The node is closed; its callbacks end by themselves.
            node.callbacks.stop();
        }
    }

    fn finish(&self) {
        self.callbacks.stop();
        self.callbacks.join();
        self.node.node().set_snoop(None);
        self.node.join(None);
        self.callbacks.drain();
    }
}

/// A node's events, from its creation on. One caller waits at a time; the others wait for the
/// seat, each within its own time.
pub(crate) struct Seat {
    events: Mutex<Option<blocking::Events>>,
    vacated: Condvar,
}

impl Seat {
    fn new(events: blocking::Events) -> Self {
        Self { events: Mutex::new(Some(events)), vacated: Condvar::new() }
    }

    /// Waits for an event.
    pub(crate) fn next(&self, limit: Option<Duration>) -> Result<Event, RecvError> {
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let left = || deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let mut seat = lock(&self.events);
        let mut events = loop {
            if let Some(events) = seat.take() {
                break events;
            }
            seat = match left() {
                None => self.vacated.wait(seat).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return Err(RecvError::Timeout),
                Some(left) => {
                    let waited = self.vacated.wait_timeout(seat, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        };
        drop(seat);
        let event = events.next(left());
        *lock(&self.events) = Some(events);
        self.vacated.notify_one();
        event
    }
}
