//! The blocking facade: the same node for programs without a runtime of their own. The C and Python
//! bindings are conversions around it.
//!
//! Every waiting call takes an `Option<Duration>`: `None` waits for ever, zero does not wait.
#![expect(unused_variables, clippy::todo, reason = "the signatures, until the bodies land")]

use std::time::Duration;

use crate::config::Config;
use crate::error::{DialError, HangupError, RecvError, SendError, StartError, WaitError};
use crate::event::Event;
use crate::message::{Message, Outgoing, Report};
use crate::name::NodeName;
use crate::node::{self, Awaited};
use crate::topology::Mesh;

/// A node with a runtime of its own. Every call may be made from any thread, at any time, from
/// inside a callback too. Dropping it closes it and waits until it is closed, except on one of its
/// own threads, where the waiting is left to another.
pub struct Node {}

/// A send under way. Dropping it lets go; it does not cancel.
#[must_use = "a send under way is waited for, canceled or let go"]
pub struct Pending {}

/// A subscription to a node's events.
pub struct Events {}

impl Node {
    /// Starts a node.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(config: Config) -> Result<Self, StartError> {
        todo!()
    }
    /// The asynchronous node, for all that does not wait: names, degree, mesh, stats, close ….
    pub fn node(&self) -> &node::Node {
        todo!()
    }
    /// As [`node::Node::dial_timeout`].
    ///
    /// # Errors
    /// [`DialError`].
    pub fn dial(&self, address: &str, timeout: Option<Duration>) -> Result<NodeName, DialError> {
        todo!()
    }
    /// As [`node::Node::hangup`].
    ///
    /// # Errors
    /// [`HangupError`].
    pub fn hangup(&self, peer: &str) -> Result<(), HangupError> {
        todo!()
    }
    /// As [`node::Node::send`]. How long it waits is the message's own timeout.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send(&self, outgoing: Outgoing) -> Result<Report, SendError> {
        todo!()
    }
    /// As [`node::Node::start_send`].
    ///
    /// # Errors
    /// [`SendError`].
    pub fn start_send(&self, outgoing: Outgoing) -> Result<Pending, SendError> {
        todo!()
    }
    /// As [`node::Node::recv`].
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn recv(&self, timeout: Option<Duration>) -> Result<Message, RecvError> {
        todo!()
    }
    /// As [`node::Node::recv_many`].
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn recv_many(
        &self,
        max: usize,
        timeout: Option<Duration>,
    ) -> Result<Vec<Message>, RecvError> {
        todo!()
    }
    /// As [`node::Node::wait_for`].
    ///
    /// # Errors
    /// [`WaitError`].
    pub fn wait_for(&self, awaited: Awaited, timeout: Option<Duration>) -> Result<Mesh, WaitError> {
        todo!()
    }
    /// As [`node::Node::events`].
    pub fn events(&self) -> Events {
        todo!()
    }
    /// Waits until closing is done; `false` if it is not in time.
    pub fn join(&self, timeout: Option<Duration>) -> bool {
        todo!()
    }
}

impl Pending {
    /// Waits for the end of the send; `None` if it has not ended in time (ask again).
    pub fn wait(&mut self, timeout: Option<Duration>) -> Option<Result<Report, SendError>> {
        todo!()
    }
    /// As [`node::Pending::cancel`].
    pub fn cancel(&self) {
        todo!()
    }
}

impl Events {
    /// Waits for an event.
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Event, RecvError> {
        todo!()
    }
}
