//! Messages that pass through the node, for a Python thread that shows them to the application.

use pyo3::prelude::*;

use crate::message::Message;
use crate::queue::{Feeder, Queue, queue};

/// How many messages wait for the snooping callback: as many as for the application.
const SNOOPED_MAX: usize = meshage::config::RECEIVE_BUFFER;

/// How many bytes of them, those included that the callback is at: as many as wait in the core.
const SNOOPED_BYTES_MAX: usize = 64 << 20;

/// The messages that passed through, until nobody puts any in.
#[pyclass(frozen, module = "meshage._meshage")]
pub(crate) struct SnoopQueue(Queue<meshage::message::Message>);

impl SnoopQueue {
    /// A queue, and its other end for the core.
    pub(crate) fn open() -> (Feeder<meshage::message::Message>, Self) {
        let (feeder, queue) =
            queue(SNOOPED_MAX, SNOOPED_BYTES_MAX, |message: &meshage::message::Message| {
                message.body.len()
            });
        (feeder, Self(queue))
    }
}

#[pymethods]
impl SnoopQueue {
    /// Waits for messages and takes all there are; none once snooping has ended.
    fn take(&self, py: Python<'_>) -> PyResult<Vec<Message>> {
        Ok(self.0.take(py)?.into_iter().map(Message::from).collect())
    }

    /// Ends it.
    fn end(&self) {
        self.0.end();
    }
}
