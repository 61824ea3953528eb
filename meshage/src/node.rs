//! A node, asynchronously.
#![expect(unused_variables, clippy::todo, reason = "the signatures, until the bodies land")]

use std::time::Duration;

use bytes::Bytes;

use crate::config::Config;
use crate::error::{
    ConfigError, DialError, HangupError, RecvError, SendError, StartError, WaitError,
};
use crate::event::Event;
use crate::message::{Message, Outgoing, Report};
use crate::name::{Instance, Namespace, NodeName};
use crate::stats::Stats;
use crate::topology::Mesh;

/// A participant of the mesh. Cheap to clone; the node closes when the last clone is dropped.
#[derive(Clone)]
pub struct Node {}

/// What [`Node::wait_for`] waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Awaited {
    /// All of these are reachable.
    Nodes(Vec<NodeName>),
    /// So many nodes are on the mesh, this one included.
    Count(usize),
}

/// A send under way, from [`Node::start_send`]. Dropping it lets go; it does not cancel.
#[must_use = "a send under way is waited for, canceled or let go"]
pub struct Pending {}

/// A subscription to a node's events: holds up to [`EVENTS_MAX`], then one [`Event::Overflow`].
pub struct Events {}

/// How many events wait for their application: a mesh of 1,000 nodes joining.
pub const EVENTS_MAX: usize = 4096;

impl Node {
    /// Starts a node on the current tokio runtime.
    ///
    /// # Errors
    /// [`StartError`] where the port is taken or the address is not this machine's.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        todo!()
    }
    /// Its name.
    pub fn name(&self) -> &NodeName {
        todo!()
    }
    /// Its namespace.
    pub fn namespace(&self) -> &Namespace {
        todo!()
    }
    /// This life of it.
    pub fn instance(&self) -> Instance {
        todo!()
    }
    /// The TCP port it listens on.
    pub fn port(&self) -> u16 {
        todo!()
    }
    /// How many links it wants.
    pub fn degree(&self) -> u32 {
        todo!()
    }
    /// Wants so many links from now on.
    ///
    /// # Errors
    /// [`ConfigError::Range`] beyond 256.
    pub fn set_degree(&self, degree: u32) -> Result<(), ConfigError> {
        todo!()
    }
    /// How often it announces its links though nothing changed.
    pub fn msa_timeout(&self) -> Duration {
        todo!()
    }
    /// Announces so often from now on.
    ///
    /// # Errors
    /// [`ConfigError::Range`] outside 100 ms to 24 h.
    pub fn set_msa_timeout(&self, period: Duration) -> Result<(), ConfigError> {
        todo!()
    }
    /// How long a send waits where it does not say.
    pub fn timeout(&self) -> Duration {
        todo!()
    }
    /// Sends wait so long from now on where they do not say.
    pub fn set_timeout(&self, timeout: Duration) {
        todo!()
    }
    /// Announces its links now.
    pub fn msa(&self) {
        todo!()
    }
    /// Links to the node that listens at `host`, `host:port` or `[v6]:port`; gives its name.
    /// Times out after 10 s.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn dial(&self, address: &str) -> Result<NodeName, DialError> {
        todo!()
    }
    /// The same, with a time limit of its own.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn dial_timeout(
        &self,
        address: &str,
        timeout: Duration,
    ) -> Result<NodeName, DialError> {
        todo!()
    }
    /// Closes the link to a peer.
    ///
    /// # Errors
    /// [`HangupError::NotAPeer`] where there is no such link.
    pub async fn hangup(&self, peer: &str) -> Result<(), HangupError> {
        todo!()
    }
    /// Sends to the named nodes and waits for their acknowledgements.
    ///
    /// # Errors
    /// [`SendError`] where nothing was sent.
    pub async fn set(
        &self,
        recipients: impl IntoIterator<Item = NodeName>,
        body: impl Into<Bytes>,
    ) -> Result<Report, SendError> {
        todo!()
    }
    /// Sends to every reachable node and waits for their acknowledgements.
    ///
    /// # Errors
    /// [`SendError`] where nothing was sent.
    pub async fn broadcast(&self, body: impl Into<Bytes>) -> Result<Report, SendError> {
        todo!()
    }
    /// Sends a message made by hand and waits for the acknowledgements. Dropping the future
    /// cancels the send.
    ///
    /// # Errors
    /// [`SendError`] where nothing was sent.
    pub async fn send(&self, outgoing: Outgoing) -> Result<Report, SendError> {
        todo!()
    }
    /// Begins a send and gives back at once.
    ///
    /// # Errors
    /// [`SendError::Again`] where the local queue is full, or another error: nothing was sent.
    pub fn start_send(&self, outgoing: Outgoing) -> Result<Pending, SendError> {
        todo!()
    }
    /// Begins a send; `done` is called once, from a thread that does no I/O, when it has ended.
    ///
    /// # Errors
    /// As [`Node::start_send`]; `done` is not called then.
    pub fn send_with(
        &self,
        outgoing: Outgoing,
        done: impl FnOnce(Result<Report, SendError>) + Send + 'static,
    ) -> Result<Pending, SendError> {
        todo!()
    }
    /// The nodes that a broadcast would go to now, sorted.
    pub fn broadcast_recipients(&self) -> Vec<NodeName> {
        todo!()
    }
    /// Waits for a message. Dropping the future loses none.
    ///
    /// # Errors
    /// [`RecvError::Closed`] once the node is closed and its queue is empty.
    pub async fn recv(&self) -> Result<Message, RecvError> {
        todo!()
    }
    /// Waits for a message, then takes up to `max` that are there.
    ///
    /// # Errors
    /// As [`Node::recv`].
    pub async fn recv_many(&self, max: usize) -> Result<Vec<Message>, RecvError> {
        todo!()
    }
    /// Takes a message if there is one.
    ///
    /// # Errors
    /// [`RecvError::Timeout`] where there is none, [`RecvError::Closed`] once the node is closed.
    pub fn try_recv(&self) -> Result<Message, RecvError> {
        todo!()
    }
    /// Waits until nodes are reachable; gives the topology then.
    ///
    /// # Errors
    /// [`WaitError`].
    pub async fn wait_for(&self, awaited: Awaited, timeout: Duration) -> Result<Mesh, WaitError> {
        todo!()
    }
    /// The topology as this node knows it, itself included.
    pub fn mesh(&self) -> Mesh {
        todo!()
    }
    /// The topology in Graphviz's language.
    pub fn dot(&self) -> String {
        self.mesh().to_dot()
    }
    /// The nodes it has links to, sorted.
    pub fn peers(&self) -> Vec<NodeName> {
        todo!()
    }
    /// The counters.
    pub fn stats(&self) -> Stats {
        todo!()
    }
    /// Subscribes to what happens from now on.
    pub fn events(&self) -> Events {
        todo!()
    }
    /// Calls `snoop` for every whole message that passes through and is not for this node, from a
    /// thread that does no I/O; `None` stops it. Messages are dropped, and counted, where it is slow.
    pub fn set_snoop(&self, snoop: Option<Box<dyn FnMut(Message) + Send>>) {
        todo!()
    }
    /// A descriptor that is readable while a message waits, and once the node is closed. It belongs
    /// to the node.
    ///
    /// # Errors
    /// The system's, where it has no descriptor left.
    #[cfg(unix)]
    pub fn recv_fd(&self) -> std::io::Result<std::os::fd::RawFd> {
        todo!()
    }
    /// Begins to close and gives back at once: takes no more sends, wakes every waiter, flushes for
    /// up to 2 s, tells the peers.
    pub fn close(&self) {
        todo!()
    }
    /// Whether [`Node::close`] was called.
    pub fn is_closed(&self) -> bool {
        todo!()
    }
    /// Waits until closing is done: nothing of the node is left running, its port is free.
    pub async fn closed(&self) {
        todo!()
    }
}

impl Pending {
    /// Waits for the end of the send.
    ///
    /// # Errors
    /// [`SendError::Closed`] if the node closed first.
    pub async fn wait(&mut self) -> Result<Report, SendError> {
        todo!()
    }
    /// Ends the send at once: what has not left is [`crate::message::Outcome::Canceled`], what has is
    /// [`crate::message::Outcome::Timeout`].
    pub fn cancel(&self) {
        todo!()
    }
}

impl Events {
    /// Waits for an event; `None` once the node is closed and all were taken.
    pub async fn next(&mut self) -> Option<Event> {
        todo!()
    }
    /// Takes an event if there is one.
    pub fn try_next(&mut self) -> Option<Event> {
        todo!()
    }
}
