//! Sends that a thread waits for: immediately, or after it has started several.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meshage::error::SendError;
use meshage::message::{Outgoing, Report};
use meshage::node::Pending;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::block::{block_on, in_slices};
use crate::convert::{Seconds, wait_limit};
use crate::errors;
use crate::handle::NodeHandle;

/// The result of a send.
type SendResult = Result<Report, SendError>;

/// Sends a message and waits for the acknowledgements. A signal handler that raises cancels the
/// send.
///
/// # Errors
/// The failure of the send, or the exception that a signal handler raised.
pub(crate) fn send<'py>(
    py: Python<'py>,
    node: &NodeHandle,
    outgoing: Outgoing,
) -> PyResult<Bound<'py, PyList>> {
    let mut outstanding = CancelOnDrop(None);
    let attempt = in_slices(py, None, |until| {
        let pending = match &mut outstanding.0 {
            Some(pending) => pending,
            None => match node.node().start_send(outgoing.clone()) {
                Ok(pending) => outstanding.0.insert(pending),
                Err(SendError::Again) => return Some(None),
                Err(error) => return Some(Some(Err(error))),
            },
        };
        node.wait_until(until, pin!(pending.wait())).map(Some)
    });
    let result = match attempt? {
        Some(Some(result)) => {
            outstanding.0 = None;
            result
        }
        // The local queue is full.
        Some(None) | None => match block_on(py, node, node.node().send(outgoing), None)? {
            Some(result) => result,
            None => unreachable!("a wait without a limit ends with a result"),
        },
    };
    into_python(py, result)
}

/// Cancels an outstanding send when the wait for it is abandoned.
struct CancelOnDrop(Option<Pending>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(pending) = &self.0 {
            pending.cancel();
        }
    }
}

/// The names of the recipients, or the exception to raise.
fn into_python(py: Python<'_>, result: SendResult) -> PyResult<Bound<'_, PyList>> {
    errors::delivered_or_error(py, &result.map_err(|error| errors::send(&error))?)
}

/// An outstanding send. Dropping the object does not cancel it.
#[pyclass(frozen, weakref, module = "meshage")]
pub(crate) struct Sending {
    node: Arc<NodeHandle>,
    /// The lock is never held across a wait.
    pending: Mutex<Pending>,
    awaited: AtomicBool,
}

impl Sending {
    /// Starts a send.
    ///
    /// # Errors
    /// The send could not be started. Nothing was sent.
    pub(crate) fn begin(node: &Arc<NodeHandle>, outgoing: Outgoing) -> PyResult<Self> {
        let pending = node.call(|node| node.start_send(outgoing))?;
        let pending = Mutex::new(pending.map_err(|error| errors::send(&error))?);
        Ok(Self { node: Arc::clone(node), pending, awaited: AtomicBool::new(false) })
    }

    /// The send, if it was started in this process.
    fn pending(&self) -> PyResult<MutexGuard<'_, Pending>> {
        self.node.unforked()?;
        Ok(self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Sending {
    /// Whether the send has completed.
    fn done(&self) -> PyResult<bool> {
        Ok(self.pending()?.try_wait().is_some())
    }

    /// Waits for the result. Returns or raises what a blocking send does.
    #[pyo3(signature = (timeout = None))]
    fn result<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<Seconds>,
    ) -> PyResult<Bound<'py, PyList>> {
        let completed = self.pending()?.try_wait();
        if let Some(result) = completed {
            return into_python(py, result);
        }
        if self.awaited.swap(true, Ordering::AcqRel) {
            return Err(errors::busy("another caller is waiting for the result of this send"));
        }
        let completion = poll_fn(|cx| self.lock().poll_wait(cx));
        let result = block_on(py, &self.node, completion, wait_limit(timeout));
        self.awaited.store(false, Ordering::Release);
        match result? {
            Some(result) => into_python(py, result),
            None => Err(errors::timed_out("the send did not complete in time")),
        }
    }

    /// Ends the send at once if it is outstanding. The outcome for a recipient is `CANCELED` if the
    /// message was not transmitted to it, and `TIMEOUT` if it was.
    fn cancel(&self) -> PyResult<()> {
        self.pending()?.cancel();
        Ok(())
    }
}
