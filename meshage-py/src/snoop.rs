//! Messages that pass through the node, for a Python thread that passes them to the snoop callback.

use pyo3::prelude::*;

use crate::message::Message;
use crate::queue::{Receiver, Sender, bounded};

/// The most messages that wait for the snoop callback: as many as for the application.
const SNOOPED_MAX: usize = meshage::config::RECEIVE_BUFFER;

/// The most bytes of these messages, those included that the callback is processing: the core's
/// limit.
const SNOOPED_BYTES_MAX: usize = 64 << 20;

/// The messages that passed through the node.
#[pyclass(frozen, module = "meshage._meshage")]
pub(crate) struct SnoopQueue(Receiver<meshage::message::Message>);

impl SnoopQueue {
    /// Creates a queue and returns its sending end for the core.
    pub(crate) fn open() -> (Sender<meshage::message::Message>, Self) {
        let (sender, receiver) =
            bounded(SNOOPED_MAX, SNOOPED_BYTES_MAX, |message: &meshage::message::Message| {
                message.body.len()
            });
        (sender, Self(receiver))
    }
}

#[pymethods]
impl SnoopQueue {
    /// Waits for messages and takes all of them. Returns none once snooping has ended.
    fn take(&self, py: Python<'_>) -> PyResult<Vec<Message>> {
        Ok(self.0.take(py)?.into_iter().map(Message::from).collect())
    }

    /// Ends the queue.
    fn end(&self) {
        self.0.end();
    }
}
