//! What an operation of the core ends with, and how Python hears of it.

use std::future::Future;
use std::pin::Pin;

use meshage::error::{DialError, HangupError, SendError, WaitError};
use meshage::event::Event;
use meshage::message::Report;
use meshage::name::NodeName;
use meshage::topology::Mesh;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::errors;
use crate::events::event_parts;

/// An operation under way. Dropping it cancels it.
pub(crate) type Operation = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// How an operation ended.
pub(crate) enum Reply {
    /// A send.
    Sent(Result<Report, SendError>),
    /// A dial.
    Dialled(Result<NodeName, DialError>),
    /// A hang-up.
    HungUp(Result<(), HangupError>),
    /// A wait for nodes.
    Reached(Result<Mesh, WaitError>),
    /// A wait for an event; `None` once the node is closed.
    Happened(Option<Event>),
    /// A wait for the end of closing.
    Closed,
}

impl Reply {
    /// The value for the caller, or the exception.
    pub(crate) fn into_python(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        match self {
            Self::Sent(result) => {
                let report = result.map_err(|error| errors::send(&error))?;
                Ok(errors::settle(py, &report)?.into_any())
            }
            Self::Dialled(result) => {
                result.map_err(|error| errors::dial(&error))?;
                Ok(py.None().into_bound(py))
            }
            Self::HungUp(result) => {
                result.map_err(|error| errors::hangup(&error))?;
                Ok(py.None().into_bound(py))
            }
            Self::Reached(result) => {
                Ok(adjacency(py, &result.map_err(|error| errors::wait(&error))?)?.into_any())
            }
            Self::Happened(event) => Ok(event.as_ref().map(event_parts).into_pyobject(py)?),
            Self::Closed => Ok(py.None().into_bound(py)),
        }
    }
}

/// The topology as a dictionary: each node with its neighbours, both sorted.
pub(crate) fn adjacency<'py>(py: Python<'py>, mesh: &Mesh) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (node, neighbors) in mesh.iter() {
        dict.set_item(node.as_str(), PyTuple::new(py, neighbors.iter().map(NodeName::as_str))?)?;
    }
    Ok(dict)
}
