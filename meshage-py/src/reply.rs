//! The result of an operation of the core, and its conversion for Python.

use std::future::Future;
use std::pin::Pin;

use meshage::error::{DialError, HangupError, SendError, WaitError};
use meshage::message::Report;
use meshage::name::NodeName;
use meshage::topology::Mesh;
use pyo3::prelude::*;

use crate::convert::adjacency;
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
    /// A wait without a value.
    Done,
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
            Self::Done => Ok(py.None().into_bound(py)),
        }
    }
}
