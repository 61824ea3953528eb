//! Messages that pass through the node, for a Python thread that passes them to the snoop callback.

use meshage::RawDescriptor;

use pyo3::prelude::*;

use crate::errors;
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
    ///
    /// # Errors
    /// The system has no free descriptors.
    pub(crate) fn open() -> PyResult<(Sender<meshage::message::Message>, Self)> {
        let size = |message: &meshage::message::Message| message.body.len();
        let (sender, receiver) =
            bounded(SNOOPED_MAX, SNOOPED_BYTES_MAX, size).map_err(|error| {
                errors::resource("cannot open the queue of snooped messages", &error)
            })?;
        Ok((sender, Self(receiver)))
    }
}

#[pymethods]
impl SnoopQueue {
    /// The descriptor to wait for; see `Receiver::detach`.
    fn detach(&self) -> Option<RawDescriptor> {
        self.0.detach()
    }

    /// Takes all queued messages.
    fn take(&self) -> Vec<Message> {
        self.0.take().into_iter().map(Message::from).collect()
    }

    /// Ends the queue.
    fn end(&self) {
        self.0.end();
    }
}
