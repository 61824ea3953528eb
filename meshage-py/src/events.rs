//! A subscription to what happens on the mesh.

use std::sync::{Arc, Mutex, PoisonError};

use crate::held::Held;
use meshage::event::Event;
use meshage::node::Events;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::block::block_on;
use crate::completions::Completions;
use crate::convert::{Seconds, wait_limit};
use crate::errors;
use crate::reply::Reply;

/// A subscription. One caller at a time waits on it; what nobody waits for is kept, up to a bound.
#[pyclass(frozen, module = "meshage._meshage")]
pub(crate) struct EventStream {
    node: Arc<Held>,
    events: Home,
}

/// Where the subscription is while nobody waits on it.
type Home = Arc<Mutex<Option<Events>>>;

/// The subscription while somebody waits on it; it goes home when the wait ends or is given up.
struct Borrowed {
    events: Option<Events>,
    home: Home,
}

impl Borrowed {
    async fn next(&mut self) -> Option<Event> {
        match &mut self.events {
            Some(events) => events.next().await,
            None => None,
        }
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = self.events.take();
    }
}

impl EventStream {
    pub(crate) fn new(node: Arc<Held>) -> Self {
        let events = node.node().events();
        Self { node, events: Arc::new(Mutex::new(Some(events))) }
    }

    fn borrow(&self) -> PyResult<Borrowed> {
        self.node.here()?;
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner).take();
        if events.is_none() {
            return Err(PyRuntimeError::new_err(
                "another caller waits on this stream of events: open one for each",
            ));
        }
        Ok(Borrowed { events, home: Arc::clone(&self.events) })
    }
}

#[pymethods]
impl EventStream {
    /// Waits for an event: its kind and its node. `None` once the node is closed.
    fn next(&self, py: Python<'_>, timeout: Option<Seconds>) -> PyResult<Option<(u8, String)>> {
        let mut borrowed = self.borrow()?;
        match block_on(py, &self.node, borrowed.next(), wait_limit(timeout))? {
            Some(event) => Ok(event.as_ref().map(event_parts)),
            None => Err(errors::timed_out("nothing happened in time")),
        }
    }

    /// The same, for an event loop.
    fn begin_next(&self, completions: &Completions) -> PyResult<u64> {
        let mut borrowed = self.borrow()?;
        let operation = Box::pin(async move { Reply::Happened(borrowed.next().await) });
        Ok(completions.begin(&self.node, operation))
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        if self.node.is_forked() {
            std::mem::forget(self.events.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

/// An event's number in `meshage.EventKind`, and the node it is about ("" where none).
pub(crate) fn event_parts(event: &Event) -> (u8, String) {
    let (kind, node) = match event {
        Event::LinkUp(node) => (1, Some(node)),
        Event::LinkDown(node) => (2, Some(node)),
        Event::NodeJoined(node) => (3, Some(node)),
        Event::NodeLeft(node) => (4, Some(node)),
        Event::Topology => (5, None),
        Event::NameConflict(node) => (6, Some(node)),
        Event::Overflow | _ => (7, None),
    };
    (kind, node.map(ToString::to_string).unwrap_or_default())
}
