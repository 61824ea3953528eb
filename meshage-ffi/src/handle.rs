//! The handle of a node: what a `meshage_node *` points to.
//!
//! The handle is reference-counted. The application holds one reference, from `meshage_node_create`
//! to `meshage_node_free`; every call holds another while it runs. A node may therefore be freed
//! while other threads wait in it: their calls return CLOSED, and the last call frees the memory.

use std::ffi::CString;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use meshage::blocking;
use meshage::error::RecvError;
use meshage::event::Event;

use crate::boundary::{c_string, status};
use crate::callback::{CallbackScope, lock};
use crate::callbacks::Callbacks;
use crate::convert::{Wait, required};
use crate::failure::Failure;
use crate::status::meshage_status::{self, MESHAGE_ERR_FORKED};

/// A participant of the mesh. Every function on it may be called from any thread at any time.
pub struct meshage_node {
    pub(crate) node: blocking::Node,
    pub(crate) name: CString,
    pub(crate) port: u16,
    pub(crate) events: EventQueue,
    pub(crate) callbacks: Callbacks,
}

/// The handles that a forked child freed and whose memory is kept, because a thread that exists only
/// in the parent used it or locked a part of it at the fork. They stay reachable here, so that leak
/// checkers do not report them.
static ABANDONED: Mutex<Vec<Abandoned>> = Mutex::new(Vec::new());

struct Abandoned {
    _node: *const meshage_node,
}

// SAFETY: never dereferenced.
unsafe impl Send for Abandoned {}

impl meshage_node {
    /// Creates the handle of a node.
    pub(crate) fn new_raw(node: blocking::Node) -> *mut Self {
        let name = c_string(node.node().name().as_str());
        let port = node.node().port();
        let events = EventQueue::new(node.events());
        let callbacks = Callbacks::default();
        Arc::into_raw(Arc::new(Self { node, name, port, events, callbacks })).cast_mut()
    }

    /// A reference to the node, for the duration of a call. Fails for NULL and in a forked child.
    ///
    /// # Safety
    /// `handle` is NULL or came from [`Self::new_raw`] and was not freed when the call began.
    pub(crate) unsafe fn enter(handle: *const Self) -> Result<Arc<Self>, Failure> {
        // SAFETY: the caller's promise.
        let node = required(unsafe { Self::enter_any(handle) }, "node")?;
        if node.node.is_forked() {
            let text = "the node was created by the parent process: create one after fork()";
            return Err(Failure::new(MESHAGE_ERR_FORKED, text));
        }
        Ok(node)
    }

    /// The same in a forked child too, for reading what never changes.
    ///
    /// # Safety
    /// As [`Self::enter`].
    pub(crate) unsafe fn enter_any(handle: *const Self) -> Option<Arc<Self>> {
        if handle.is_null() {
            return None;
        }
        // SAFETY: the application still holds its reference, so another can be added.
        unsafe {
            Arc::increment_strong_count(handle);
            Some(Arc::from_raw(handle))
        }
    }

    /// Releases the application's reference: closes the node and waits for its callbacks. Inside a
    /// callback, a new thread waits instead.
    ///
    /// # Safety
    /// As [`Self::enter`]; no call begins with this handle any more.
    pub(crate) unsafe fn release(handle: *const Self) {
        // SAFETY: the caller's promise; this takes the application's reference.
        let node = unsafe { Arc::from_raw(handle) };
        if node.node.is_forked() {
            abandon(node);
            return;
        }
        node.node.node().close();
        if !CallbackScope::is_current() {
            node.finish();
            return;
        }
        let finishing = node.clone();
        let thread = std::thread::Builder::new().name("meshage-free".into());
        if thread.spawn(move || finishing.finish()).is_err() {
            // No thread can wait. The node is closed; its callbacks end without further action.
            node.callbacks.stop();
        }
    }

    /// How long a call of this node may wait; `None` is without limit.
    pub(crate) fn limit(&self, wait: Wait) -> Option<Duration> {
        let default = self.node.node().timeout();
        // The longest duration means no limit: a deadline computed from it would overflow.
        wait.limit(default).filter(|limit| *limit != Duration::MAX)
    }

    fn finish(&self) {
        self.callbacks.stop();
        self.callbacks.join();
        // Only starting a thread can fail.
        let _ = self.node.node().set_snoop(None);
        self.node.join(None);
        self.callbacks.drain();
    }
}

/// Releases the application's reference in a forked child. Never waits: nothing is freed that was
/// locked at the fork.
fn abandon(node: Arc<meshage_node>) {
    if Arc::strong_count(&node) == 1 && node.events.is_unlocked() && node.callbacks.is_unlocked() {
        drop(node);
        return;
    }
    if let Ok(mut abandoned) = ABANDONED.try_lock() {
        abandoned.push(Abandoned { _node: Arc::into_raw(node) });
    } else {
        std::mem::forget(node);
    }
}

/// Runs a call on a node that [`meshage_node::enter`] returned.
pub(crate) fn call(
    node: Result<Arc<meshage_node>, Failure>,
    call: impl FnOnce(&Arc<meshage_node>) -> Result<(), Failure>,
) -> meshage_status {
    status(|| call(&node?))
}

/// The same for a call whose result goes to the required out-parameter `out`.
pub(crate) fn query<T>(
    node: Result<Arc<meshage_node>, Failure>,
    out: Option<&mut T>,
    query: impl FnOnce(&Arc<meshage_node>) -> Result<T, Failure>,
) -> meshage_status {
    call(node, |node| {
        // Checked before the call, which may take something from a queue.
        let out = required(out, "out")?;
        *out = query(node)?;
        Ok(())
    })
}

/// The events of a node since its creation. One caller at a time reads them; the others wait for
/// their turn, each within its own time limit.
pub(crate) struct EventQueue {
    /// `None` while a caller reads from it.
    events: Mutex<Option<blocking::Events>>,
    returned: Condvar,
}

impl EventQueue {
    fn new(events: blocking::Events) -> Self {
        Self { events: Mutex::new(Some(events)), returned: Condvar::new() }
    }

    /// Whether no thread uses the queue.
    fn is_unlocked(&self) -> bool {
        self.events.try_lock().is_ok_and(|events| events.is_some())
    }

    /// Waits for an event.
    pub(crate) fn next(&self, limit: Option<Duration>) -> Result<Event, RecvError> {
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let remaining = || deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let mut slot = lock(&self.events);
        let mut events = loop {
            if let Some(events) = slot.take() {
                break events;
            }
            slot = match remaining() {
                None => self.returned.wait(slot).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return Err(RecvError::Timeout),
                Some(remaining) => {
                    let waited = self.returned.wait_timeout(slot, remaining);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        };
        drop(slot);
        let event = events.next(remaining());
        *lock(&self.events) = Some(events);
        self.returned.notify_one();
        event
    }
}
