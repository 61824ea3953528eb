//! The simulation: hosts, the network between them, and virtual time.
//!
//! It owns the clock and the event queue, and offers the operations of tests and chaos plans. It
//! must not read a real clock, use randomness other than that of its seed, or spawn a thread: one
//! seed gives one history. [`super::driver`] applies events to nodes.
//!
//! ```text
//!      heap: (time, serial) ──► event ──► host ──► Router · Plane      the real ones
//!        ▲                                                    │
//!        └──────────── arrivals, timers ◄── connections ◄─────┘  frames as bytes
//! ```

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::config::DEFAULT_PORT;
use crate::forward::delivery::FirstNumbers;
use crate::forward::fib::Fib;
use crate::forward::plane::{Limits, Plane};
use crate::message::Message;
use crate::name::{Instance, MessageId, NodeName};
use crate::protocol::flooding::TREE_NODES_MIN;
use crate::protocol::io::{Reply, RequestId};
use crate::protocol::router::{Router, RouterConfig};
use crate::route::RouteTable;
use crate::secure::KeyRing;
use crate::topology::Mesh;

use super::connection::Connection;
use super::event::{Scheduled, SimEvent};
use super::history::History;
use super::network::{HostId, Network, Path};
use super::node::{HostState, Incarnation, NodeSpec, Recorder, SimHost};
use super::report::SimCounters;
use super::rng::SimRng;
use super::sealed::NodeSecurity;
use super::trace_hash::TraceHash;

/// The port that every simulated node listens on.
pub(super) const PORT: u16 = DEFAULT_PORT;

/// A simulation.
#[derive(Debug)]
pub struct Sim {
    pub(super) now: Duration,
    heap: BinaryHeap<Reverse<Scheduled>>,
    serial: u64,
    pub(super) hosts: Vec<SimHost>,
    by_host_name: BTreeMap<String, HostId>,
    pub(super) network: Network,
    pub(super) connections: Vec<Connection>,
    pub(super) history: History,
    pub(super) counters: SimCounters,
    pub(super) trace_hash: TraceHash,
    /// For incarnations: instance IDs and router seeds.
    incarnation_rng: SimRng,
    /// The secrets of the sequence numbers.
    number_rng: SimRng,
    /// For the order of concurrent steps in a driver.
    pub(super) race_rng: SimRng,
    /// For nonces and keys of closed hosts.
    pub(super) secure_rng: SimRng,
    incarnations: u64,
    pub(super) replies: BTreeMap<RequestId, Reply>,
    pub(super) requests: u64,
    /// The messages that applications took from their inboxes, if the test records them.
    pub(super) inboxes: Option<BTreeMap<HostId, Vec<Message>>>,
    pub(super) snooped: BTreeMap<HostId, Vec<Message>>,
    pub(super) checks: u64,
    /// The number of sealed writes and datagrams, of which a sample is checked.
    pub(super) sealed_writes: u64,
    /// Whether each application sends a message to every node that joins.
    pub(super) greets: bool,
    /// How many links each broadcast of this node has crossed, if they are counted.
    pub(super) crossings: Option<(Instance, BTreeMap<MessageId, u64>)>,
    /// From how many nodes on announcements are flooded over trees.
    pub(super) tree_nodes_min: usize,
    /// When an application was last informed that a link ended.
    pub(super) last_link_down: Option<Duration>,
}

/// The origin of virtual time. Routers and planes take an `Instant`, which can only be made by
/// reading the clock. It is read once per process, and only differences from it are used.
fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    #[allow(
        clippy::disallowed_methods,
        reason = "the origin of virtual time, never read as a time"
    )]
    *EPOCH.get_or_init(Instant::now)
}

impl Sim {
    /// An empty simulation of this seed. With `trace`, every event is printed.
    pub fn new(seed: u64, trace: bool) -> Self {
        let rng = SimRng::new(seed);
        Self {
            now: Duration::ZERO,
            heap: BinaryHeap::new(),
            serial: 0,
            hosts: Vec::new(),
            by_host_name: BTreeMap::new(),
            network: Network::new(Path::default(), rng.fork(1)),
            connections: Vec::new(),
            history: History::default(),
            counters: SimCounters::default(),
            trace_hash: TraceHash::new(trace),
            incarnation_rng: rng.fork(2),
            number_rng: rng.fork(5),
            race_rng: rng.fork(3),
            secure_rng: rng.fork(4),
            incarnations: 0,
            replies: BTreeMap::new(),
            requests: 0,
            inboxes: None,
            snooped: BTreeMap::new(),
            checks: 0,
            sealed_writes: 0,
            greets: false,
            crossings: None,
            tree_nodes_min: TREE_NODES_MIN,
            last_link_down: None,
        }
    }

    /// Nodes in a line, each linked to the next, with complete tables.
    pub fn line<const N: usize>(names: [&str; N]) -> Self {
        let mut sim = Self::new(1, false);
        sim.inboxes = Some(BTreeMap::new());
        for name in names {
            sim.add(NodeSpec::new(name, 0));
        }
        for pair in names.windows(2) {
            sim.dial(pair[0], pair[1]);
        }
        sim.settle_down();
        sim
    }

    /// Nodes `n000`, `n001` … of one degree, started together, without knowledge of each other.
    pub fn group(nodes: usize, degree: u32) -> Self {
        let mut sim = Self::new(1, false);
        for number in 0..nodes {
            sim.add(NodeSpec::new(&format!("n{number:03}"), degree));
        }
        sim
    }

    /// From now on, each application sends a message to every node that joins, at once.
    pub fn greet_new_nodes(&mut self) {
        self.greets = true;
    }

    /// Starts a node on a new host.
    pub fn add(&mut self, spec: NodeSpec) -> HostId {
        let host_id = HostId(self.hosts.len());
        let host_name = spec.host_name.clone();
        #[expect(clippy::expect_used, reason = "too many keys are an error of the test")]
        let ring = (!spec.keys.is_empty())
            .then(|| KeyRing::new(spec.keys.iter().cloned()).expect("at most eight keys"));
        self.hosts.push(SimHost {
            spec,
            state: HostState::Off,
            incarnation: None,
            deferred: Vec::new(),
            continued_at: Duration::ZERO,
            keys_ever: ring.iter().flat_map(KeyRing::ids).collect(),
            ring,
            keys_changed_at: self.now,
            mesh: 0,
        });
        let taken = self.by_host_name.insert(host_name, host_id);
        assert!(taken.is_none(), "two hosts of one host name");
        self.counters.hosts.push(Default::default());
        self.label_meshes();
        self.start(host_id);
        host_id
    }

    /// Restarts a node on a host where none runs.
    pub fn start(&mut self, host_id: HostId) {
        let host = &mut self.hosts[host_id.0];
        assert!(host.incarnation.is_none(), "a node runs there already");
        let spec = &host.spec;
        self.incarnations += 1;
        let instance = Instance(self.incarnation_rng.number());
        let now = epoch() + self.now;
        let config = RouterConfig {
            name: spec.name.clone(),
            namespace: spec.namespace.clone(),
            version: "sim".into(),
            degree: spec.degree,
            listen_port: PORT,
            msa_timeout: spec.msa_timeout,
            seeds: spec.seeds.clone(),
            membership: None,
            tree_nodes_min: self.tree_nodes_min,
        };
        let limits = Limits { max_message: spec.max_message, receive_buffer: spec.receive_buffer };
        let was_off = host.state == HostState::Off;
        self.trace_hash.line(self.now, || format!("start {} {instance}", spec.host_name));
        host.incarnation = Some(Incarnation {
            number: self.incarnations,
            instance,
            router: Router::new(config, instance, self.incarnation_rng.seed(), now),
            plane: Plane::new(
                spec.name.clone(),
                instance,
                limits,
                FirstNumbers::new(self.number_rng.seed()),
                Recorder::default(),
            ),
            links: BTreeMap::new(),
            open: Default::default(),
            next_link: 1,
            wake: None,
            queued: Default::default(),
            next_input_at: Duration::ZERO,
            reading: true,
            fib_stale: false,
            routes_since: self.now,
            reported_nodes: Default::default(),
            reported_peers: Default::default(),
            known_instances: Default::default(),
            waiting_readers: Default::default(),
            greetings: Vec::new(),
            security: host.ring.clone().map(|ring| NodeSecurity::new(ring, &mut self.secure_rng)),
            heard_keys: Default::default(),
            immediate_wakes: 0,
        });
        host.state = HostState::Running;
        self.trace_hash.event(self.now, b'b', host_id.0 as u64, instance.0);
        if was_off {
            self.release();
        }
        self.settle(host_id);
    }

    // ---- time -------------------------------------------------------------------------------

    /// The virtual time since the start.
    pub fn now(&self) -> Duration {
        self.now
    }

    pub(super) fn instant(&self) -> Instant {
        epoch() + self.now
    }

    pub(super) fn since_epoch(at: Instant) -> Duration {
        at.saturating_duration_since(epoch())
    }

    pub(super) fn schedule(&mut self, at: Duration, event: SimEvent) {
        self.serial += 1;
        let at = at.max(self.now);
        self.heap.push(Reverse(Scheduled { at, serial: self.serial, event }));
    }

    /// Advances the time to `until`.
    pub fn run_to(&mut self, until: Duration) {
        while let Some(Reverse(next)) = self.heap.peek() {
            if next.at > until {
                break;
            }
            let Some(Reverse(next)) = self.heap.pop() else {
                break;
            };
            self.now = next.at;
            self.handle_event(next.event);
        }
        self.now = self.now.max(until);
    }

    /// Advances the time by `time`.
    pub fn run_for(&mut self, time: Duration) {
        self.run_to(self.now + time);
    }

    /// Advances the time until the condition holds, which is checked every millisecond. Returns how
    /// long it took, or `None` if the condition did not hold within the limit.
    pub fn run_until(
        &mut self,
        limit: Duration,
        mut holds: impl FnMut(&Self) -> bool,
    ) -> Option<Duration> {
        self.run_until_stepping(limit, Duration::from_millis(1), &mut holds)
    }

    /// As [`Sim::run_until`], with a given interval of the checks.
    pub fn run_until_stepping(
        &mut self,
        limit: Duration,
        step: Duration,
        holds: &mut impl FnMut(&Self) -> bool,
    ) -> Option<Duration> {
        let began = self.now;
        loop {
            if holds(self) {
                return Some(self.now - began);
            }
            if self.now - began >= limit {
                return None;
            }
            self.run_for(step);
        }
    }

    /// Advances the time until every table is complete and correct.
    ///
    /// # Panics
    /// If that takes longer than a minute.
    pub fn settle_down(&mut self) {
        let step = Duration::from_millis(10);
        let done = self.run_until_stepping(Duration::from_secs(60), step, &mut Self::is_settled);
        assert!(done.is_some(), "the mesh did not settle in a minute: {}", self.unsettled_reason());
    }

    // ---- nodes ------------------------------------------------------------------------------

    /// The host of this host name.
    ///
    /// # Panics
    /// If there is none, which is an error of the test.
    pub fn host(&self, host_name: &str) -> HostId {
        match self.by_host_name.get(host_name) {
            Some(host_id) => *host_id,
            None => panic!("no host is called {host_name:?}"),
        }
    }

    pub(super) fn resolve(&self, address: &str) -> Option<HostId> {
        let host_name = address.rsplit_once(':').map_or(address, |(host_name, _)| host_name);
        self.by_host_name.get(host_name).copied()
    }

    /// The host name of a host.
    pub fn host_name(&self, host_id: HostId) -> String {
        self.hosts[host_id.0].spec.host_name.clone()
    }

    /// Every host.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.hosts.len()).map(HostId)
    }

    pub(super) fn incarnation(&self, host_id: HostId) -> Option<&Incarnation> {
        self.hosts[host_id.0].incarnation.as_ref()
    }

    /// The state of a host.
    pub fn host_state(&self, host_id: HostId) -> HostState {
        self.hosts[host_id.0].state
    }

    /// Whether a node runs on the host and is not stopped.
    pub fn is_running(&self, host_id: HostId) -> bool {
        let host = &self.hosts[host_id.0];
        host.incarnation.is_some() && host.state == HostState::Running
    }

    /// The incarnation of the node there, if one runs.
    pub fn instance(&self, host_id: HostId) -> Option<Instance> {
        self.incarnation(host_id).map(|incarnation| incarnation.instance)
    }

    /// The routes of a node; `None` where none runs.
    pub fn routes(&self, host_id: HostId) -> Option<Arc<RouteTable>> {
        self.incarnation(host_id).map(|incarnation| incarnation.router.routes())
    }

    /// The number of nodes that a node can reach, itself included; 0 where none runs.
    pub fn known_nodes(&self, host_id: HostId) -> usize {
        self.incarnation(host_id).map_or(0, |incarnation| incarnation.router.routes().nodes())
    }

    /// The topology as a node sees it.
    pub fn mesh(&self, host_name: &str) -> Mesh {
        self.routes(self.host(host_name)).map(|routes| routes.mesh()).unwrap_or_default()
    }

    /// The direct peers of a node, as its router reports them.
    pub fn peers(&self, host_id: HostId) -> Vec<NodeName> {
        self.incarnation(host_id).map(|incarnation| incarnation.router.peers()).unwrap_or_default()
    }

    pub(super) fn install(&mut self, host_id: HostId) {
        let now = self.instant();
        let Some(incarnation) = &mut self.hosts[host_id.0].incarnation else {
            return;
        };
        incarnation.fib_stale = false;
        let links = incarnation
            .links
            .iter()
            .map(|(&link, sim_link)| (link, sim_link.outbound.clone()))
            .collect();
        self.counters.order_disruptions += 1;
        let routes = incarnation.router.routes();
        if !Arc::ptr_eq(&routes, &incarnation.plane.fib().routes) {
            incarnation.routes_since = self.now;
        }
        incarnation.plane.install(Fib::new(routes, links), now);
    }
}
