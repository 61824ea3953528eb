//! A subscription to the events of a node.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meshage::event::Event;
use meshage::node::Events;
use meshage::topology::Mesh;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::block::block_on;
use crate::completions::Completions;
use crate::convert::{EventParts, Seconds, adjacency, event_parts, wait_limit};
use crate::errors;
use crate::handle::NodeHandle;
use crate::reply::Reply;

/// A subscription. One caller at a time may wait on it. Events are queued up to a limit.
#[pyclass(frozen, module = "meshage._meshage")]
pub(crate) struct EventStream {
    node: Arc<NodeHandle>,
    slot: Slot,
    /// The topology at the moment of the subscription.
    mesh: Mesh,
}

/// Holds the subscription while no caller waits on it.
type Slot = Arc<Mutex<Option<Subscription>>>;

struct Subscription {
    events: Events,
    /// An event that was taken for a caller that has been cancelled since. The next caller gets it.
    next: Option<Event>,
}

/// The subscription while a caller waits on it. Dropping the guard returns it to its slot.
struct SubscriptionGuard {
    subscription: Option<Subscription>,
    slot: Slot,
}

impl SubscriptionGuard {
    /// The next event; `None` once the node is closed.
    async fn next(&mut self) -> Option<Event> {
        self.wait().await;
        self.take()
    }

    /// Waits until an event is there or the node is closed.
    async fn wait(&mut self) {
        if let Some(Subscription { events, next: next @ None }) = &mut self.subscription {
            *next = events.next().await;
        }
    }

    /// Takes an event if there is one.
    fn take(&mut self) -> Option<Event> {
        let Subscription { events, next } = self.subscription.as_mut()?;
        next.take().or_else(|| events.try_next())
    }
}

impl Drop for SubscriptionGuard {
    fn drop(&mut self) {
        *lock(&self.slot) = self.subscription.take();
    }
}

impl EventStream {
    /// Subscribes to the events of a node.
    ///
    /// # Errors
    /// `ForkError` in a forked child.
    pub(crate) fn new(node: Arc<NodeHandle>) -> PyResult<Self> {
        let (events, mesh) = node.call(|node| {
            let events = node.events();
            let mesh = events.mesh();
            (events, mesh)
        })?;
        let slot = Arc::new(Mutex::new(Some(Subscription { events, next: None })));
        Ok(Self { node, slot, mesh })
    }

    fn guard(&self) -> PyResult<SubscriptionGuard> {
        self.node.unforked()?;
        let subscription = lock(&self.slot).take();
        if subscription.is_none() {
            return Err(errors::busy(
                "another caller is waiting on this event stream: open one for each caller",
            ));
        }
        Ok(SubscriptionGuard { subscription, slot: Arc::clone(&self.slot) })
    }
}

#[pymethods]
impl EventStream {
    /// The topology at the moment of the subscription.
    fn mesh<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        adjacency(py, &self.mesh)
    }

    /// Waits for an event and returns its parts, or `None` once the node is closed.
    fn next(&self, py: Python<'_>, timeout: Option<Seconds>) -> PyResult<Option<EventParts>> {
        let mut guard = self.guard()?;
        match block_on(py, &self.node, guard.next(), wait_limit(timeout))? {
            Some(event) => Ok(event.as_ref().map(event_parts)),
            None => Err(errors::timed_out("no event arrived in time")),
        }
    }

    /// Starts to wait, for an event loop, until an event is there or the node is closed.
    fn begin_wait(&self, completions: &Completions) -> PyResult<u64> {
        let mut guard = self.guard()?;
        let operation = Box::pin(async move {
            guard.wait().await;
            // The caller takes the event when it runs, so that a cancelled one loses none.
            drop(guard);
            Reply::Done
        });
        completions.begin(&self.node, operation)
    }

    /// Takes an event if there is one.
    fn try_next(&self) -> PyResult<Option<EventParts>> {
        Ok(self.guard()?.take().as_ref().map(event_parts))
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        if self.node.is_forked() {
            std::mem::forget(lock(&self.slot).take());
        }
    }
}

fn lock(slot: &Slot) -> MutexGuard<'_, Option<Subscription>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}
