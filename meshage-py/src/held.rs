//! The node of the core, as the module's objects share it.

use std::ops::Deref;
use std::thread;

use meshage::blocking;
use meshage::node::Node;
use pyo3::prelude::*;

use crate::errors;

/// A node, held by everything that uses it; when the last lets go, it is closed.
pub(crate) struct Held(Option<blocking::Node>);

impl Held {
    pub(crate) fn new(node: blocking::Node) -> Self {
        Self(Some(node))
    }

    /// The node, unless it stayed behind in a parent process.
    ///
    /// # Errors
    /// `ForkError`.
    pub(crate) fn here(&self) -> PyResult<&blocking::Node> {
        if self.is_forked() { Err(errors::forked()) } else { Ok(self) }
    }

    /// The node, unless it is closed, too.
    ///
    /// # Errors
    /// `ForkError` or `NodeClosed`.
    pub(crate) fn open(&self) -> PyResult<&Node> {
        let node = self.here()?.node();
        if node.is_closed() { Err(errors::closed()) } else { Ok(node) }
    }
}

impl Deref for Held {
    type Target = blocking::Node;

    fn deref(&self) -> &blocking::Node {
        self.0.as_ref().expect("held until it is dropped")
    }
}

impl Drop for Held {
    /// Closing takes up to 2 s, and the last to let go may be the garbage collector, which holds the
    /// interpreter: the waiting is left to a thread of its own.
    fn drop(&mut self) {
        let Some(node) = self.0.take() else { return };
        if node.is_forked() {
            // Its threads are in the parent: there is nobody here to wait for.
            std::mem::forget(node);
            return;
        }
        node.node().close();
        // If there is no thread left to start, the closure, and the node in it, is dropped here.
        let _ = thread::Builder::new().name("meshage-close".into()).spawn(move || drop(node));
    }
}
