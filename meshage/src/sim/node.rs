//! One simulated host, and the incarnation of the node that runs on it.
//!
//! It owns a router, a data plane and the events that the application received. The loop that feeds
//! them is in [`super::driver`]. A restart is another [`Incarnation`] on the same host.

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
use crate::secure::{Key, KeyId, KeyRing};

use super::connection::{ConnectionId, Side};
use super::event::SimEvent;
use super::history::SendId;
use super::sealed::NodeSecurity;

/// The configuration of a simulated node.
#[derive(Debug, Clone)]
pub struct NodeSpec {
    /// The node's name, and by default also the host name.
    pub name: NodeName,
    /// The host name that other nodes dial.
    pub host_name: String,
    /// Its namespace.
    pub namespace: Namespace,
    /// The wanted number of links.
    pub degree: u32,
    /// The announcement period when nothing changes.
    pub msa_timeout: Duration,
    /// The capacity of the inbox, in messages.
    pub receive_buffer: usize,
    /// The largest body that it sends or receives.
    pub max_message: usize,
    /// The seed addresses, which it dials forever.
    pub seeds: Vec<String>,
    /// The maximum delay of its control task before it handles an input. The readers of its links
    /// do not wait for it.
    pub lag: Duration,
    /// Its pre-shared keys, the primary one first. Without a key it is open.
    pub keys: Vec<Key>,
    /// How far its clock is ahead of the one that is furthest behind.
    pub clock_ahead: Duration,
}

impl NodeSpec {
    /// A node of this name with the defaults of a real node.
    ///
    /// # Panics
    /// If the name is not valid, which is an error of the test.
    pub fn new(name: &str, degree: u32) -> Self {
        #[expect(clippy::expect_used, reason = "an invalid name is an error of the test")]
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
            keys: Vec::new(),
            clock_ahead: Duration::ZERO,
        }
    }
}

/// The state of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostState {
    /// The host runs.
    Running,
    /// The process is stopped: the kernel still accepts traffic, but the process does not read it.
    Stopped,
    /// The host has no power: it sends and answers nothing.
    Off,
}

/// One simulated host.
#[derive(Debug)]
pub(super) struct SimHost {
    pub(super) spec: NodeSpec,
    pub(super) state: HostState,
    pub(super) incarnation: Option<Incarnation>,
    /// The events that arrived while the process was stopped, in order.
    pub(super) deferred: Vec<SimEvent>,
    /// When the process was last resumed. Deadlines do not hold while it is stopped.
    pub(super) continued_at: Duration,
    /// Its keys; `None` if it is open.
    pub(super) ring: Option<KeyRing>,
    pub(super) keys_changed_at: Duration,
    /// The ids of all keys that it ever had.
    pub(super) keys_ever: BTreeSet<KeyId>,
    /// The mesh that it can be a part of: hosts with different numbers have never had a key in
    /// common.
    pub(super) mesh: usize,
}

/// The most datagrams that wait for a stopped process: a kernel's buffer of small datagrams.
pub(super) const DEFERRED_MAX: usize = 256;

/// One link, as its driver holds it.
#[derive(Debug)]
pub(super) struct SimLink {
    pub(super) connection: ConnectionId,
    pub(super) side: Side,
    pub(super) outbound: Arc<Outbound>,
}

/// One incarnation of a node.
pub(super) struct Incarnation {
    /// Unique in a simulation.
    pub(super) number: u64,
    pub(super) instance: Instance,
    pub(super) router: Router,
    pub(super) plane: Plane<Recorder>,
    pub(super) links: BTreeMap<LinkId, SimLink>,
    /// Every connection end that it holds, including those that are not links yet.
    pub(super) open: BTreeSet<(ConnectionId, Side)>,
    pub(super) next_link: u64,
    /// The time of the scheduled wakeup, if there is one.
    pub(super) wake: Option<Duration>,
    /// The queued inputs of the control task, and when it handles the last of them.
    pub(super) queued: VecDeque<Input>,
    pub(super) next_input_at: Duration,
    /// Whether the application reads its inbox.
    pub(super) reading: bool,
    /// Whether the routes or the links changed since the last installation in the data plane.
    pub(super) fib_stale: bool,
    /// Since when the routes in the data plane are in force.
    pub(super) routes_since: Duration,
    /// The nodes and the peers, as reported to the application by events.
    pub(super) reported_nodes: BTreeSet<NodeName>,
    pub(super) reported_peers: BTreeSet<NodeName>,
    /// Every instance that was ever reported as a node that joined.
    pub(super) known_instances: BTreeSet<Instance>,
    /// Readers that wait until control frames have taken effect.
    pub(super) waiting_readers: BTreeSet<(ConnectionId, Side)>,
    /// Nodes that joined, which the application greets next.
    pub(super) greetings: Vec<NodeName>,
    /// The keys of a closed node.
    pub(super) security: Option<NodeSecurity>,
    /// The key ids in the events of the application about nodes that have other keys.
    pub(super) heard_keys: BTreeSet<KeyId>,
    /// The number of consecutive wakeups without a change of the time.
    pub(super) immediate_wakes: u32,
}

impl std::fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incarnation").field("instance", &self.instance).finish_non_exhaustive()
    }
}

/// Records what the data plane reports to the application, until the simulation takes it.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    completed: Mutex<Vec<(SendId, Result<Report, SendError>)>>,
    snooped: Mutex<Vec<Message>>,
}

impl Recorder {
    /// The completions since the last call.
    pub(super) fn completed(&self) -> Vec<(SendId, Result<Report, SendError>)> {
        std::mem::take(&mut self.completed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The snooped messages since the last call.
    pub(super) fn snooped(&self) -> Vec<Message> {
        std::mem::take(&mut self.snooped.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink for Recorder {
    type Completion = SendId;

    fn complete(&self, ended: &mut Vec<(SendId, Result<Report, SendError>)>) {
        self.completed.lock().unwrap_or_else(PoisonError::into_inner).append(ended);
    }

    // The simulation checks the inbox, the local queue and the deadline after every event, so it
    // does not need these notifications.
    fn inbox_filled(&self) {}

    fn send_space(&self) {}

    fn snooped(&self, message: Message) {
        self.snooped.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    }

    fn deadline_moved(&self) {}
}
