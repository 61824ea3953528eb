//! The simulated world: computers, the network between them, and virtual time.
//!
//! It owns the clock and the heap of what happens next, and offers what a test or a chaos plan does
//! to a world. It may read no real clock, draw no real chance and spawn no thread: one seed, one
//! history. What a happening does to a node is in [`super::driver`].
//!
//! ```text
//!      heap: (time, serial) ──► happening ──► computer ──► Router · Plane      the real ones
//!        ▲                                                    │
//!        └──────────── arrivals, timers ◄── connections ◄─────┘  frames as bytes
//! ```

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::config::DEFAULT_PORT;
use crate::forward::fib::Fib;
use crate::forward::plane::{Limits, Plane};
use crate::message::Message;
use crate::name::{Instance, NodeName};
use crate::protocol::io::{DialId, Reply, RequestId};
use crate::protocol::router::{Router, RouterConfig};
use crate::route::RouteTable;
use crate::topology::Mesh;
use crate::wire::hello::Purpose;
use crate::wire::solicitation::Solicitation;

use super::connection::{Connection, ConnectionId, Side};
use super::history::History;
use super::network::{Machine, Network, Path};
use super::node::{Computer, Condition, Life, NodeSpec, Recorder};
use super::report::Figures;
use super::rng::SimRng;
use super::trace_hash::TraceHash;

/// The port that every simulated node listens on.
pub(super) const PORT: u16 = DEFAULT_PORT;

/// Something that happens at a time.
#[derive(Debug)]
pub(super) enum SimEvent {
    /// A node asked to be woken.
    Wake { machine: Machine, life: u64 },
    /// A control task comes to its next input.
    Turn { machine: Machine, life: u64 },
    /// The next segment of a pipe arrives at the other end.
    Arrive { connection: ConnectionId, from: Side },
    /// A connection reaches the listener's computer.
    Knock { connection: ConnectionId },
    /// A dial that nobody answered is given up.
    DialTimeout { connection: ConnectionId },
    /// A handshake that is not over is given up.
    HandshakeTimeout { connection: ConnectionId, side: Side },
    /// A name that is none was looked up.
    Unresolved { machine: Machine, life: u64, dial: DialId, purpose: Purpose, address: String },
    /// A datagram arrives.
    Datagram { from: Machine, to: Machine, solicitation: Arc<Solicitation> },
}

#[derive(Debug)]
struct Scheduled {
    at: Duration,
    serial: u64,
    happening: SimEvent,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

/// A simulated world.
#[derive(Debug)]
pub struct Sim {
    pub(super) now: Duration,
    heap: BinaryHeap<Reverse<Scheduled>>,
    serial: u64,
    pub(super) computers: Vec<Computer>,
    hosts: BTreeMap<String, Machine>,
    pub(super) network: Network,
    pub(super) connections: Vec<Connection>,
    pub(super) history: History,
    pub(super) figures: Figures,
    pub(super) trace_hash: TraceHash,
    /// For lives: instances, router seeds.
    births: SimRng,
    /// For the order in which a driver comes to do things.
    pub(super) races: SimRng,
    lives: u64,
    pub(super) replies: BTreeMap<RequestId, Reply>,
    pub(super) requests: u64,
    /// What applications took out of their inboxes, where a test wants to see it.
    pub(super) inboxes: Option<BTreeMap<Machine, Vec<Message>>>,
    pub(super) snooped: BTreeMap<Machine, Vec<Message>>,
    pub(super) checks: u64,
}

/// Where virtual time begins. Routers and planes take an `Instant`, and the only way to make one is
/// to read the clock: it is read once per process, and only differences from it are ever used.
fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    #[allow(
        clippy::disallowed_methods,
        reason = "the origin of virtual time, never read as a time"
    )]
    *EPOCH.get_or_init(Instant::now)
}

impl Sim {
    /// An empty world of this seed; with `trace`, every event is printed.
    pub fn new(seed: u64, trace: bool) -> Self {
        let chance = SimRng::new(seed);
        Self {
            now: Duration::ZERO,
            heap: BinaryHeap::new(),
            serial: 0,
            computers: Vec::new(),
            hosts: BTreeMap::new(),
            network: Network::new(Path::default(), chance.fork(1)),
            connections: Vec::new(),
            history: History::default(),
            figures: Figures::default(),
            trace_hash: TraceHash::new(trace),
            births: chance.fork(2),
            races: chance.fork(3),
            lives: 0,
            replies: BTreeMap::new(),
            requests: 0,
            inboxes: None,
            snooped: BTreeMap::new(),
            checks: 0,
        }
    }

    /// Nodes in a line, each linked to the next, every table full.
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

    /// Nodes `n000`, `n001` … of one degree, started together, that know nothing of each other.
    pub fn group(nodes: usize, degree: u32) -> Self {
        let mut sim = Self::new(1, false);
        for number in 0..nodes {
            sim.add(NodeSpec::new(&format!("n{number:03}"), degree));
        }
        sim
    }

    /// Starts a node on a computer of its own.
    pub fn add(&mut self, spec: NodeSpec) -> Machine {
        let machine = Machine(self.computers.len());
        let host = spec.host.clone();
        self.computers.push(Computer {
            spec,
            condition: Condition::Off,
            life: None,
            deferred: Vec::new(),
            continued_at: Duration::ZERO,
        });
        let taken = self.hosts.insert(host, machine);
        assert!(taken.is_none(), "two computers of one host name");
        self.figures.computers.push(Default::default());
        self.start(machine);
        machine
    }

    /// Starts a node anew on a computer where none runs.
    pub fn start(&mut self, machine: Machine) {
        let computer = &mut self.computers[machine.0];
        assert!(computer.life.is_none(), "a node runs there already");
        let spec = &computer.spec;
        self.lives += 1;
        let instance = Instance(self.births.number());
        let now = epoch() + self.now;
        let config = RouterConfig {
            name: spec.name.clone(),
            namespace: spec.namespace.clone(),
            version: "sim".into(),
            degree: spec.degree,
            listen_port: PORT,
            msa_timeout: spec.msa_timeout,
            seeds: spec.seeds.clone(),
        };
        let limits = Limits { max_message: spec.max_message, receive_buffer: spec.receive_buffer };
        let was_off = computer.condition == Condition::Off;
        self.trace_hash.line(self.now, || format!("start {} {instance}", spec.host));
        computer.life = Some(Life {
            number: self.lives,
            instance,
            router: Router::new(config, instance, self.births.seed(), now),
            plane: Plane::new(spec.name.clone(), instance, limits, Recorder::default()),
            links: BTreeMap::new(),
            open: Default::default(),
            next_link: 1,
            wake: None,
            queued: Default::default(),
            turn_at: Duration::ZERO,
            reading: true,
            fib_stale: false,
            told_nodes: Default::default(),
            told_peers: Default::default(),
            spins: 0,
        });
        computer.condition = Condition::On;
        self.trace_hash.event(self.now, b'b', machine.0 as u64, instance.0);
        if was_off {
            self.release();
        }
        self.settle(machine);
    }

    // ---- time -------------------------------------------------------------------------------

    /// Virtual time since the world began.
    pub fn now(&self) -> Duration {
        self.now
    }

    pub(super) fn instant(&self) -> Instant {
        epoch() + self.now
    }

    pub(super) fn since_epoch(at: Instant) -> Duration {
        at.saturating_duration_since(epoch())
    }

    pub(super) fn schedule(&mut self, at: Duration, happening: SimEvent) {
        self.serial += 1;
        let at = at.max(self.now);
        self.heap.push(Reverse(Scheduled { at, serial: self.serial, happening }));
    }

    /// Lets time go by until then.
    pub fn run_to(&mut self, until: Duration) {
        while let Some(Reverse(next)) = self.heap.peek() {
            if next.at > until {
                break;
            }
            let Some(Reverse(next)) = self.heap.pop() else {
                break;
            };
            self.now = next.at;
            self.happen(next.happening);
        }
        self.now = self.now.max(until);
    }

    /// Lets so much time go by.
    pub fn run_for(&mut self, time: Duration) {
        self.run_to(self.now + time);
    }

    /// Lets time go by until the condition holds, looked at every millisecond, and says how long it
    /// took; `None` if it did not come to hold within the limit.
    pub fn run_until(
        &mut self,
        limit: Duration,
        mut holds: impl FnMut(&Self) -> bool,
    ) -> Option<Duration> {
        self.run_until_stepping(limit, Duration::from_millis(1), &mut holds)
    }

    /// As [`Sim::run_until`], looking less often.
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

    /// Lets every table become what it has to be.
    ///
    /// # Panics
    /// If that takes longer than a minute.
    pub fn settle_down(&mut self) {
        let step = Duration::from_millis(10);
        let done = self.run_until_stepping(Duration::from_secs(60), step, &mut Self::is_settled);
        assert!(done.is_some(), "the mesh did not settle in a minute: {}", self.why_unsettled());
    }

    // ---- nodes ------------------------------------------------------------------------------

    /// The computer of this host name.
    ///
    /// # Panics
    /// If there is none: worlds are written by us.
    pub fn machine(&self, host: &str) -> Machine {
        match self.hosts.get(host) {
            Some(machine) => *machine,
            None => panic!("no computer is called {host:?}"),
        }
    }

    pub(super) fn resolve(&self, address: &str) -> Option<Machine> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        self.hosts.get(host).copied()
    }

    /// The name that a computer is dialled by.
    pub fn host(&self, machine: Machine) -> String {
        self.computers[machine.0].spec.host.clone()
    }

    /// Every computer.
    pub fn machines(&self) -> impl Iterator<Item = Machine> + use<> {
        (0..self.computers.len()).map(Machine)
    }

    pub(super) fn life(&self, machine: Machine) -> Option<&Life> {
        self.computers[machine.0].life.as_ref()
    }

    /// How a computer is.
    pub fn condition(&self, machine: Machine) -> Condition {
        self.computers[machine.0].condition
    }

    /// Whether a node runs there and is not stopped.
    pub fn is_running(&self, machine: Machine) -> bool {
        let computer = &self.computers[machine.0];
        computer.life.is_some() && computer.condition == Condition::On
    }

    /// The life of the node there, if one runs.
    pub fn instance(&self, machine: Machine) -> Option<Instance> {
        self.life(machine).map(|life| life.instance)
    }

    /// The routes in force at a node; `None` where none runs.
    pub fn routes(&self, machine: Machine) -> Option<Arc<RouteTable>> {
        self.life(machine).map(|life| life.router.routes())
    }

    /// How many nodes a node can reach, itself included; 0 where none runs.
    pub fn knows(&self, machine: Machine) -> usize {
        self.life(machine).map_or(0, |life| life.router.routes().nodes())
    }

    /// The topology as a node sees it.
    pub fn mesh(&self, host: &str) -> Mesh {
        self.routes(self.machine(host)).map(|routes| routes.mesh()).unwrap_or_default()
    }

    /// The direct peers of a node, as its router says.
    pub fn peers(&self, machine: Machine) -> Vec<NodeName> {
        self.life(machine).map(|life| life.router.peers()).unwrap_or_default()
    }

    pub(super) fn install(&mut self, machine: Machine) {
        let now = self.instant();
        let Some(life) = &mut self.computers[machine.0].life else {
            return;
        };
        life.fib_stale = false;
        let links = life.links.iter().map(|(&link, wire)| (link, wire.outbound.clone())).collect();
        self.figures.upheavals += 1;
        life.plane.install(Fib { routes: life.router.routes(), links }, now);
    }
}
