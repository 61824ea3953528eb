//! A subscription to the events of a node.

use std::sync::{Arc, Mutex, PoisonError};

use meshage::event::Event;
use meshage::node::Events;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::block::block_on;
use crate::completions::Completions;
use crate::convert::{Seconds, event_parts, wait_limit};
use crate::errors;
use crate::handle::NodeHandle;
use crate::reply::Reply;

/// A subscription. One caller at a time may wait on it. Events are queued up to a limit.
#[pyclass(frozen, module = "meshage._meshage")]
pub(crate) struct EventStream {
    node: Arc<NodeHandle>,
    slot: Slot,
}

/// Holds the subscription while no caller waits on it.
type Slot = Arc<Mutex<Option<Events>>>;

/// The subscription while a caller waits on it. Dropping the guard returns it to its slot.
struct EventsGuard {
    events: Option<Events>,
    slot: Slot,
}

impl EventsGuard {
    async fn next(&mut self) -> Option<Event> {
        match &mut self.events {
            Some(events) => events.next().await,
            None => None,
        }
    }
}

impl Drop for EventsGuard {
    fn drop(&mut self) {
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = self.events.take();
    }
}

impl EventStream {
    pub(crate) fn new(node: Arc<NodeHandle>) -> Self {
        let events = node.node().events();
        Self { node, slot: Arc::new(Mutex::new(Some(events))) }
    }

    fn take(&self) -> PyResult<EventsGuard> {
        self.node.unforked()?;
        let events = self.slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        if events.is_none() {
            return Err(PyRuntimeError::new_err(
                "another caller is waiting on this event stream: open one for each caller",
            ));
        }
        Ok(EventsGuard { events, slot: Arc::clone(&self.slot) })
    }
}

#[pymethods]
impl EventStream {
    /// Waits for an event and returns its kind and its node, or `None` once the node is closed.
    fn next(&self, py: Python<'_>, timeout: Option<Seconds>) -> PyResult<Option<(u8, String)>> {
        let mut events = self.take()?;
        match block_on(py, &self.node, events.next(), wait_limit(timeout))? {
            Some(event) => Ok(event.as_ref().map(event_parts)),
            None => Err(errors::timed_out("no event arrived in time")),
        }
    }

    /// Starts the same wait for an event loop.
    fn begin_next(&self, completions: &Completions) -> PyResult<u64> {
        let mut events = self.take()?;
        let operation = Box::pin(async move { Reply::Event(events.next().await) });
        Ok(completions.begin(&self.node, operation))
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        if self.node.is_forked() {
            std::mem::forget(self.slot.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}
