//! One simulated host, and the incarnation of the node that runs on it.
//!
//! It owns a router, a data plane and what the application there sees. The loop that feeds them is
//! the world's ([`super::simulation`]); a start after a crash is another [`Incarnation`] on the same host.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::SendError;
use crate::forward::outbound::Outbound;
use crate::forward::plane::{Plane, Sink};
use crate::message::{Message, Report};
use crate::name::{Instance, LinkId, Namespace, NodeName};
use crate::protocol::io::Input;
use crate::protocol::router::Router;

use super::connection::{ConnectionId, Side};
use super::event::SimEvent;
use super::history::SendId;

/// What a node is started with.
#[derive(Debug, Clone)]
pub struct NodeSpec {
    /// Its name; unless another host name is given, its host is found by it too.
    pub name: NodeName,
    /// The name that others dial.
    pub host_name: String,
    /// Its namespace.
    pub namespace: Namespace,
    /// How many links it wants.
    pub degree: u32,
    /// How often it announces though nothing changed.
    pub msa_timeout: Duration,
    /// How many messages wait for its application at most.
    pub receive_buffer: usize,
    /// The largest body it sends or takes.
    pub max_message: usize,
    /// Whom it dials for ever.
    pub seeds: Vec<String>,
    /// How late its control task comes to an input at the most: the readers of its links do not
    /// wait for it.
    pub lag: Duration,
}

impl NodeSpec {
    /// A node of this name with the defaults of a real one.
    ///
    /// # Panics
    /// If the name is none: worlds are written by us.
    pub fn new(name: &str, degree: u32) -> Self {
        #[expect(clippy::expect_used, reason = "a world with a wrong name is a mistake of ours")]
        let node_name = NodeName::new(name).expect("a valid node name");
        Self {
            name: node_name,
            host_name: name.into(),
            namespace: Namespace::default(),
            degree,
            msa_timeout: crate::config::DEFAULT_MSA_TIMEOUT,
            receive_buffer: crate::config::RECEIVE_BUFFER,
            max_message: crate::config::MAX_MESSAGE,
            seeds: Vec::new(),
            lag: Duration::ZERO,
        }
    }
}

/// How a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostState {
    /// It runs.
    Running,
    /// Its process is stopped: the kernel still takes what arrives, nobody reads it.
    Stopped,
    /// It has no power: nothing leaves, nothing is answered.
    Off,
}

/// One host.
#[derive(Debug)]
pub(super) struct SimHost {
    pub(super) spec: NodeSpec,
    pub(super) state: HostState,
    pub(super) incarnation: Option<Incarnation>,
    /// What happened while the process was stopped, in order.
    pub(super) deferred: Vec<SimEvent>,
    /// When the process was last continued: nobody is on time while stopped.
    pub(super) continued_at: Duration,
}

/// How many datagrams a stopped process finds when it goes on: a kernel's buffer of small ones.
pub(super) const DEFERRED_MAX: usize = 256;

/// One link as its driver sees it.
#[derive(Debug)]
pub(super) struct SimLink {
    pub(super) connection: ConnectionId,
    pub(super) side: Side,
    pub(super) outbound: Arc<Outbound>,
}

/// One incarnation of a node.
pub(super) struct Incarnation {
    /// Never used twice in a world.
    pub(super) number: u64,
    pub(super) instance: Instance,
    pub(super) router: Router,
    pub(super) plane: Plane<Recorder>,
    pub(super) links: BTreeMap<LinkId, SimLink>,
    /// Every end of a connection that it holds, links and those that are not yet.
    pub(super) open: BTreeSet<(ConnectionId, Side)>,
    pub(super) next_link: u64,
    /// When it is next woken, if that is on the heap.
    pub(super) wake: Option<Duration>,
    /// What its control task has yet to come to, and when it comes to the last of it.
    pub(super) queued: VecDeque<Input>,
    pub(super) next_input_at: Duration,
    /// Whether the application reads its inbox.
    pub(super) reading: bool,
    /// The routes or the links changed since the data plane was told.
    pub(super) fib_stale: bool,
    /// The nodes that exist, and the peers, as events told the application.
    pub(super) reported_nodes: BTreeSet<NodeName>,
    pub(super) reported_peers: BTreeSet<NodeName>,
    /// How often in a row it was woken without time going by.
    pub(super) immediate_wakes: u32,
}

impl std::fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incarnation").field("instance", &self.instance).finish_non_exhaustive()
    }
}

/// What the data plane tells the application, kept until the world takes it.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    completed: Mutex<Vec<(SendId, Result<Report, SendError>)>>,
    snooped: Mutex<Vec<Message>>,
}

impl Recorder {
    /// The sends that ended since the last call.
    pub(super) fn completed(&self) -> Vec<(SendId, Result<Report, SendError>)> {
        std::mem::take(&mut self.completed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The messages seen in transit since the last call.
    pub(super) fn snooped(&self) -> Vec<Message> {
        std::mem::take(&mut self.snooped.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink for Recorder {
    type Completion = SendId;

    fn complete(&self, ended: &mut Vec<(SendId, Result<Report, SendError>)>) {
        self.completed.lock().unwrap_or_else(PoisonError::into_inner).append(ended);
    }

    // The world looks at the inbox, the local queue and the deadline after every event, so that
    // being told of them is of no use to it.
    fn inbox_filled(&self) {}

    fn send_space(&self) {}

    fn snooped(&self, message: Message) {
        self.snooped.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    }

    fn deadline_moved(&self) {}
}
