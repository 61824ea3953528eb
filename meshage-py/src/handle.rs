//! The core's node, shared by the objects of this module.

use std::ops::Deref;
use std::thread;

use meshage::blocking;
use meshage::node::Node;
use pyo3::prelude::*;

use crate::errors;

/// A node that its users share. The node is closed when the last user drops the handle.
pub(crate) struct NodeHandle(Option<blocking::Node>);

impl NodeHandle {
    pub(crate) fn new(node: blocking::Node) -> Self {
        Self(Some(node))
    }

    /// The node, if it was started in this process.
    ///
    /// # Errors
    /// `ForkError` in a forked child.
    pub(crate) fn unforked(&self) -> PyResult<&blocking::Node> {
        if self.is_forked() { Err(errors::forked()) } else { Ok(self) }
    }

    /// The node, if it was started in this process and is not closed.
    ///
    /// # Errors
    /// `ForkError` or `NodeClosed`.
    pub(crate) fn open(&self) -> PyResult<&Node> {
        let node = self.unforked()?.node();
        if node.is_closed() { Err(errors::closed()) } else { Ok(node) }
    }
}

impl Deref for NodeHandle {
    type Target = blocking::Node;

    fn deref(&self) -> &blocking::Node {
        self.0.as_ref().expect("present until the handle is dropped")
    }
}

impl Drop for NodeHandle {
    /// Closing takes up to 2 s, and the last reference may be dropped by the garbage collector,
    /// which holds the interpreter. A separate thread does the waiting.
    fn drop(&mut self) {
        let Some(node) = self.0.take() else { return };
        if node.is_forked() {
            // The node's threads exist only in the parent: this frees what can be freed, and does
            // not wait.
            drop(node);
            return;
        }
        node.node().close();
        // If the thread cannot be started, the closure and the node in it are dropped here.
        let _ = thread::Builder::new().name("meshage-close".into()).spawn(move || drop(node));
    }
}
