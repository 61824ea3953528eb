//! The operations of a node that both Python classes use: one runs them to completion, the other
//! hands them to an event loop.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use meshage::error::RecvError;
use meshage::message::Outgoing;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::{Core, messages};
use crate::block::block_on;
use crate::convert::{AwaitedNodes, Seconds};
use crate::errors;
use crate::message::Message;
use crate::reply::{Operation, Reply};
use crate::sending;

/// The time limit of a dial without a `timeout`: the core's 10 s.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

impl Core {
    pub(super) fn send_operation(&self, outgoing: Outgoing) -> PyResult<Operation> {
        let node = self.node.unforked()?.clone();
        Ok(Box::pin(async move { Reply::Sent(node.send(outgoing).await) }))
    }

    pub(super) fn send_and_wait<'py>(
        &self,
        py: Python<'py>,
        outgoing: Outgoing,
    ) -> PyResult<Bound<'py, PyList>> {
        self.node.unforked()?;
        sending::send(py, &self.node, outgoing)
    }

    pub(super) fn dial_operation(
        &self,
        address: String,
        timeout: Option<Seconds>,
    ) -> PyResult<Operation> {
        let node = self.node.unforked()?.clone();
        let timeout = timeout.map_or(DIAL_TIMEOUT, |Seconds(timeout)| timeout);
        Ok(Box::pin(async move { Reply::Dialled(node.dial_timeout(&address, timeout).await) }))
    }

    pub(super) fn hangup_operation(&self, peer: String) -> PyResult<Operation> {
        let node = self.node.unforked()?.clone();
        Ok(Box::pin(async move { Reply::HungUp(node.hangup(&peer).await) }))
    }

    pub(super) fn wait_operation(
        &self,
        nodes: AwaitedNodes,
        timeout: Option<Seconds>,
    ) -> PyResult<Operation> {
        let node = self.node.open()?.clone();
        let timeout = timeout.map_or(Duration::MAX, |Seconds(timeout)| timeout);
        Ok(Box::pin(async move { Reply::Waited(node.wait_for(nodes.0, timeout).await) }))
    }

    pub(super) fn close_operation(&self) -> PyResult<Operation> {
        self.node.unforked()?;
        let node = Arc::clone(&self.node);
        Ok(Box::pin(async move {
            node.node().closed().await;
            node.release();
            poll_fn(|cx| node.ended().poll(cx)).await;
            Reply::Done
        }))
    }

    /// Takes up to `max` queued messages.
    pub(super) fn take(&self, max: usize) -> PyResult<Option<Vec<Message>>> {
        match self.node.call(|node| node.try_recv_many(max))? {
            Ok(batch) => Ok(Some(messages(batch))),
            Err(RecvError::Timeout) => Ok(None),
            Err(error) => Err(errors::recv(error)),
        }
    }

    /// Runs an operation to completion on this thread.
    pub(super) fn run<'py>(
        &self,
        py: Python<'py>,
        operation: Operation,
    ) -> PyResult<Bound<'py, PyAny>> {
        match block_on(py, &self.node, operation, None)? {
            Some(reply) => reply.into_python(py),
            None => unreachable!("a wait without a limit ends with a reply"),
        }
    }
}
