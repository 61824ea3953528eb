//! The one composition of the data plane's parts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::error::SendError;
use crate::message::{Message, Outgoing, Report};
use crate::name::{Instance, LinkId, MessageId, NodeName};
use crate::route::RouteTable;
use crate::stats::Stats;
use crate::wire::WireError;
use crate::wire::deframe::RawFrame;

use super::outbound::Outbound;

/// The routes with their live queues: one immutable snapshot.
#[derive(Debug)]
pub struct Fib {
    /// Where everything goes.
    pub routes: Arc<RouteTable>,
    /// What goes there. A route over a link that is not here leads nowhere.
    pub links: BTreeMap<LinkId, Arc<Outbound>>,
}

/// What the data plane calls when something happens; never with a lock held.
pub trait Host: Send + Sync {
    /// What a send is completed through.
    type Completion: Send;
    /// A send has an outcome for each of its recipients, or the node closed first.
    fn complete(&self, completion: Self::Completion, result: Result<Report, SendError>);
    /// The inbox was empty and is no more; or the node closed.
    fn inbox_filled(&self);
    /// The local queue was full and has room again; or the node closed.
    fn send_space(&self);
    /// A whole message passed through that is not for this node.
    fn snooped(&self, message: Message);
    /// [`Plane::poll_timeout`] is earlier than it was.
    fn deadline_moved(&self);
}

/// The bounds of one node's data plane.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest body, in bytes.
    pub max_message: usize,
    /// How many messages wait for the application at most.
    pub receive_buffer: usize,
}

/// The data plane of one node.
pub struct Plane<H: Host> {
    host: H,
}

#[expect(unused_variables, clippy::todo, reason = "the signatures, until the bodies land")]
impl<H: Host> Plane<H> {
    /// A data plane that can reach nobody yet.
    pub fn new(name: NodeName, instance: Instance, limits: Limits, host: H) -> Self {
        Self { host }
    }
    /// What it reports to.
    pub fn host(&self) -> &H {
        &self.host
    }
    /// The snapshot in force.
    pub fn fib(&self) -> Arc<Fib> {
        todo!()
    }
    /// Puts a new snapshot in force: whatever was in flight over what no longer stands is lost.
    pub fn install(&self, fib: Fib, now: Instant) {
        todo!()
    }
    /// Begins a send. Never waits. `deadline` `None` waits for ever.
    ///
    /// # Errors
    /// [`SendError`], with the completion given back: it will not be called.
    pub fn send(
        &self,
        outgoing: Outgoing,
        deadline: Option<Instant>,
        completion: H::Completion,
        now: Instant,
    ) -> Result<MessageId, (SendError, Outgoing, H::Completion)> {
        todo!()
    }
    /// Ends a send at once, with what is known of it.
    pub fn cancel(&self, id: MessageId, now: Instant) {
        todo!()
    }
    /// Takes the data and acknowledgement frames of a batch that one reader read; passes over the
    /// others. Acknowledgements that the batch gives rise to leave together.
    ///
    /// # Errors
    /// A frame in breach of the protocol: the link is to be closed.
    pub fn receive(
        &self,
        link: LinkId,
        frames: &[RawFrame],
        now: Instant,
    ) -> Result<(), WireError> {
        todo!()
    }
    /// A link's queue that was full has room again.
    pub fn writable(&self, link: LinkId, now: Instant) {
        todo!()
    }
    /// Takes up to `max` messages out of the inbox.
    pub fn take(&self, max: usize, now: Instant) -> Vec<Message> {
        todo!()
    }
    /// How many messages wait in the inbox.
    pub fn waiting(&self) -> usize {
        todo!()
    }
    /// Whether whole messages in transit go to [`Host::snooped`].
    pub fn set_snoop(&self, on: bool) {
        todo!()
    }
    /// Does what is due.
    pub fn handle_timeout(&self, now: Instant) {
        todo!()
    }
    /// When [`Plane::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }
    /// Takes no more sends; what is under way goes on until [`Plane::close`].
    pub fn stop(&self) {
        todo!()
    }
    /// Whether no send is under way.
    pub fn is_idle(&self) -> bool {
        todo!()
    }
    /// Ends every send that is under way with [`SendError::Closed`]; takes no more.
    pub fn close(&self, now: Instant) {
        todo!()
    }
    /// The data plane's counters.
    pub fn count(&self, stats: &mut Stats) {
        todo!()
    }
}
