//! The result of an operation of the core, and its conversion for Python.

use std::future::Future;
use std::pin::Pin;

use meshage::error::{DialError, HangupError, SendError, WaitError};
use meshage::event::Event;
use meshage::message::Report;
use meshage::name::NodeName;
use meshage::topology::Mesh;
use pyo3::prelude::*;

use crate::convert::{adjacency, event_parts};
use crate::errors;

/// A pending operation. Dropping it cancels it.
pub(crate) type Operation = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// The result of an operation.
pub(crate) enum Reply {
    /// A send.
    Sent(Result<Report, SendError>),
    /// A dial.
    Dialled(Result<NodeName, DialError>),
    /// A hang-up.
    HungUp(Result<(), HangupError>),
    /// A wait for nodes.
    Waited(Result<Mesh, WaitError>),
    /// A wait for an event; `None` once the node is closed.
    Event(Option<Event>),
    /// A wait until the node has closed.
    Closed,
}

impl Reply {
    /// The value to return to the caller, or the exception to raise.
    pub(crate) fn into_python(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        match self {
            Self::Sent(result) => {
                let report = result.map_err(|error| errors::send(&error))?;
                Ok(errors::delivered_or_error(py, &report)?.into_any())
            }
            Self::Dialled(result) => {
                result.map_err(|error| errors::dial(&error))?;
                Ok(py.None().into_bound(py))
            }
            Self::HungUp(result) => {
                result.map_err(|error| errors::hangup(&error))?;
                Ok(py.None().into_bound(py))
            }
            Self::Waited(result) => {
                Ok(adjacency(py, &result.map_err(|error| errors::wait(&error))?)?.into_any())
            }
            Self::Event(event) => Ok(event.as_ref().map(event_parts).into_pyobject(py)?),
            Self::Closed => Ok(py.None().into_bound(py)),
        }
    }
}
