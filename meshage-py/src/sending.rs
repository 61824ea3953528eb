//! Sends that a thread waits for: at once, or after it has begun others.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meshage::error::SendError;
use meshage::message::{Outgoing, Report};
use meshage::node::Pending;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::block::{block_on, in_slices};
use crate::convert::{Seconds, wait_limit};
use crate::errors;
use crate::held::Held;

/// How a send ended.
type Ended = Result<Report, SendError>;

/// Sends and waits for the acknowledgements. Interrupted, it cancels the send.
///
/// # Errors
/// What became of the send, or what a signal handler raised.
pub(crate) fn send<'py>(
    py: Python<'py>,
    node: &Held,
    outgoing: Outgoing,
) -> PyResult<Bound<'py, PyList>> {
    let mut under_way = UnderWay(None);
    let begun = in_slices(py, None, |until| {
        let pending = match &mut under_way.0 {
            Some(pending) => pending,
            None => match node.node().start_send(outgoing.clone()) {
                Ok(pending) => under_way.0.insert(pending),
                Err(SendError::Again) => return Some(None),
                Err(error) => return Some(Some(Err(error))),
            },
        };
        node.wait_until(Some(until), pin!(pending.wait())).map(Some)
    });
    let ended = match begun? {
        Some(Some(ended)) => {
            under_way.0 = None;
            ended
        }
        // The local queue is full.
        Some(None) | None => match block_on(py, node, node.node().send(outgoing), None)? {
            Some(ended) => ended,
            None => unreachable!("a wait without a limit ends with its send"),
        },
    };
    settle(py, ended)
}

/// A send whose waiting was given up is canceled.
struct UnderWay(Option<Pending>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(pending) = &self.0 {
            pending.cancel();
        }
    }
}

/// The recipients for the caller, or the exception.
fn settle(py: Python<'_>, ended: Ended) -> PyResult<Bound<'_, PyList>> {
    errors::settle(py, &ended.map_err(|error| errors::send(&error))?)
}

/// A send under way. Forgotten, it goes on.
#[pyclass(frozen, weakref, module = "meshage")]
pub(crate) struct Sending {
    node: Arc<Held>,
    /// Held for moments only.
    pending: Mutex<Pending>,
    awaited: AtomicBool,
}

impl Sending {
    /// Begins a send.
    ///
    /// # Errors
    /// Nothing was sent.
    pub(crate) fn begin(node: &Arc<Held>, outgoing: Outgoing) -> PyResult<Self> {
        let pending = node.here()?.node().start_send(outgoing);
        let pending = Mutex::new(pending.map_err(|error| errors::send(&error))?);
        Ok(Self { node: Arc::clone(node), pending, awaited: AtomicBool::new(false) })
    }

    /// The send, where it is this process's.
    fn pending(&self) -> PyResult<MutexGuard<'_, Pending>> {
        self.node.here()?;
        Ok(self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Sending {
    /// Whether it has ended.
    fn done(&self) -> PyResult<bool> {
        Ok(self.pending()?.try_wait().is_some())
    }

    /// Waits for the end; gives or raises what a waiting send does.
    #[pyo3(signature = (timeout = None))]
    fn result<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<Seconds>,
    ) -> PyResult<Bound<'py, PyList>> {
        let ended = self.pending()?.try_wait();
        if let Some(ended) = ended {
            return settle(py, ended);
        }
        if self.awaited.swap(true, Ordering::AcqRel) {
            return Err(PyRuntimeError::new_err("another caller waits for the end of this send"));
        }
        let ending = poll_fn(|cx| self.lock().poll_wait(cx));
        let ended = block_on(py, &self.node, ending, wait_limit(timeout));
        self.awaited.store(false, Ordering::Release);
        match ended? {
            Some(ended) => settle(py, ended),
            None => Err(errors::timed_out("the send has not ended in time")),
        }
    }

    /// Ends it at once, if it has not ended: what has not left is canceled.
    fn cancel(&self) -> PyResult<()> {
        self.pending()?.cancel();
        Ok(())
    }
}
