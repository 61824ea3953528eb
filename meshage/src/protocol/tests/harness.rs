//! A few routers, connections between them, and a virtual clock.
//!
//! Frames arrive in order after a latency; a dial takes three latencies. A node can be killed (its
//! connections close), unplugged (its connections fall silent) or frozen (it gets no processor
//! time). Nodes in different groups receive nothing from each other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

use crate::config::DEFAULT_MSA_TIMEOUT;
use crate::error::DialError;
use crate::event::{Event, LinkEnd};
use crate::name::{Instance, LinkId, Namespace, NodeName};
use crate::protocol::flooding::TREE_NODES_MIN;
use crate::protocol::io::{
    Address, CloseReason, Command, DialId, Input, Output, PeerProof, Reply, RequestId, Role,
};
use crate::protocol::membership::MembershipConfig;
use crate::protocol::router::{Router, RouterConfig};
use crate::protocol::wall_clock::WallClock;
use crate::secure::{AuthError, Refusal};
use crate::stats::Stats;
use crate::wire::control::ControlFrame;
use crate::wire::hello::{Hello, Purpose};
use crate::wire::solicitation::Solicitation;

/// The index of a node in its harness.
pub(super) type NodeId = usize;

pub(super) struct Node {
    pub(super) router: Router,
    pub(super) events: Vec<Event>,
    pub(super) replies: Vec<(RequestId, Reply)>,
    pub(super) closes: Vec<CloseReason>,
    pub(super) installs: usize,
    /// What the node brings into handshakes, at levels allowed and signed.
    pub(super) membership: Option<MembershipConfig>,
    pub(super) sends: usize,
    pub(super) name: String,
    alive: bool,
    frozen: bool,
    unplugged: bool,
    /// Why its datagrams cannot be sent.
    pub(super) unsent: Option<&'static str>,
    group: usize,
    deferred: Vec<HarnessEvent>,
    ends: BTreeMap<LinkId, End>,
    links: u64,
    wake: Option<Instant>,
}

#[derive(Clone, Copy)]
struct End {
    node: NodeId,
    link: LinkId,
    /// When the last frame in flight arrives. Later frames do not arrive before it.
    last: Instant,
}

enum HarnessEvent {
    Wake,
    Input(Input),
    /// A frame or a keep-alive, for a link that may have ended in the meantime.
    Frame(LinkId, Option<ControlFrame>),
    Closed(LinkId),
    /// A connection arrives: the dialling node, its dial and its hello.
    Connect(NodeId, DialId, Hello),
}

pub(super) struct Harness {
    pub(super) now: Instant,
    pub(super) nodes: Vec<Node>,
    pub(super) datagrams: usize,
    pub(super) latency: std::ops::RangeInclusive<Duration>,
    /// Check every router after every step.
    pub(super) checks: bool,
    start: Instant,
    queue: BTreeMap<(Instant, u64), (NodeId, HarnessEvent)>,
    serial: u64,
    requests: u64,
    rng: ChaCha8Rng,
}

pub(super) fn config(name: &str, degree: u32) -> RouterConfig {
    RouterConfig {
        name: NodeName::new(name).expect("valid"),
        namespace: Namespace::default(),
        version: String::new(),
        degree,
        listen_port: 9000,
        msa_timeout: DEFAULT_MSA_TIMEOUT,
        seeds: Vec::new(),
        membership: None,
        tree_nodes_min: TREE_NODES_MIN,
    }
}

impl Harness {
    pub(super) fn new(seed: u64) -> Self {
        let now = Instant::now();
        Self {
            now,
            nodes: Vec::new(),
            datagrams: 0,
            latency: Duration::from_millis(5)..=Duration::from_millis(5),
            checks: true,
            start: now,
            queue: BTreeMap::new(),
            serial: 0,
            requests: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Nodes "n0000", "n0001" … of the same degree, started together.
    pub(super) fn group(seed: u64, count: usize, degree: u32) -> Self {
        let mut harness = Self::new(seed);
        for i in 0..count {
            harness.start(config(&format!("n{i:04}"), degree));
        }
        harness
    }

    pub(super) fn start(&mut self, config: RouterConfig) -> NodeId {
        let id = self.nodes.len();
        let name = config.name.as_str().to_owned();
        let random = Instance(self.rng.random());
        let membership = config.membership.clone();
        let instance = membership.as_ref().map_or(random, MembershipConfig::instance);
        let router = Router::new(config, instance, self.rng.random(), self.now);
        self.nodes.push(Node {
            router,
            events: Vec::new(),
            replies: Vec::new(),
            closes: Vec::new(),
            installs: 0,
            membership,
            sends: 0,
            name,
            alive: true,
            frozen: false,
            unplugged: false,
            unsent: None,
            group: 0,
            deferred: Vec::new(),
            ends: BTreeMap::new(),
            links: 0,
            wake: None,
        });
        self.drain(id);
        id
    }

    pub(super) fn find(&self, name: &str) -> NodeId {
        self.nodes
            .iter()
            .position(|node| node.name == name && node.alive)
            .expect("a living node of this name")
    }

    /// The link of a node to another one.
    pub(super) fn link(&self, from: &str, to: &str) -> LinkId {
        let (from, to) = (self.find(from), self.find(to));
        let ends = &self.nodes[from].ends;
        *ends.iter().find(|(_, end)| end.node == to).expect("a link").0
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    pub(super) fn dial(&mut self, from: &str, to: &str) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        let from = self.find(from);
        self.command(from, Command::Dial { request, address: to.into() });
        request
    }

    pub(super) fn command(&mut self, node: NodeId, command: Command) {
        self.input(node, Input::Command(command));
    }

    pub(super) fn input(&mut self, node: NodeId, input: Input) {
        self.nodes[node].router.handle(input, self.now);
        self.drain(node);
    }

    /// Takes the reply to a request, as text.
    pub(super) fn reply(&mut self, node: &str, request: RequestId) -> Option<String> {
        let node = self.find(node);
        let replies = &mut self.nodes[node].replies;
        let at = replies.iter().position(|(replied, _)| *replied == request)?;
        Some(format!("{:?}", replies.remove(at).1))
    }

    pub(super) fn peers(&self, name: &str) -> Vec<String> {
        let peers = self.nodes[self.find(name)].router.peers();
        peers.iter().map(ToString::to_string).collect()
    }

    pub(super) fn known_nodes(&self, name: &str) -> Vec<String> {
        let routes = self.nodes[self.find(name)].router.routes();
        routes.others().map(|(name, _)| name.to_string()).collect()
    }

    pub(super) fn counter(&self, node: NodeId, name: &str) -> u64 {
        let mut stats = Stats::default();
        self.nodes[node].router.count(&mut stats);
        stats.value(name).expect("a counter of this name")
    }

    pub(super) fn events(&mut self, name: &str) -> Vec<Event> {
        let id = self.find(name);
        std::mem::take(&mut self.nodes[id].events)
    }

    /// Ends a node; its connections close.
    pub(super) fn kill(&mut self, id: NodeId) {
        self.nodes[id].alive = false;
        let ends = std::mem::take(&mut self.nodes[id].ends);
        for end in ends.into_values() {
            self.arrive(end.node, end.last, HarnessEvent::Closed(end.link));
        }
    }

    /// Disconnects or reconnects the cable of a node.
    pub(super) fn unplug(&mut self, id: NodeId, unplugged: bool) {
        self.nodes[id].unplugged = unplugged;
    }

    /// Stops a node from running until it is unfrozen.
    pub(super) fn freeze(&mut self, id: NodeId) {
        self.nodes[id].frozen = true;
    }

    pub(super) fn unfreeze(&mut self, id: NodeId) {
        self.nodes[id].frozen = false;
        // Its timers run before it reads its sockets: the worst order.
        self.nodes[id].router.handle_timeout(self.now);
        self.drain(id);
        for deferred in std::mem::take(&mut self.nodes[id].deferred) {
            self.process(id, deferred);
        }
    }

    /// Moves a node to a group. Nodes in different groups receive nothing from each other.
    pub(super) fn set_group(&mut self, id: NodeId, group: usize) {
        self.nodes[id].group = group;
    }

    /// Whether every living node has a route to every other one.
    pub(super) fn is_complete(&self) -> bool {
        let living = self.nodes.iter().filter(|node| node.alive).count();
        let mut nodes = self.nodes.iter().filter(|node| node.alive);
        nodes.all(|node| node.router.routes().nodes() == living)
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until the condition holds. Returns whether it did within the time.
    pub(super) fn run_until(&mut self, time: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + time;
        while !holds(self) {
            if !self.step(end) {
                self.now = end;
                return holds(self);
            }
        }
        true
    }

    fn step(&mut self, end: Instant) -> bool {
        let Some(entry) = self.queue.first_entry() else { return false };
        if entry.key().0 > end {
            return false;
        }
        let ((at, _), (id, event)) = entry.remove_entry();
        self.now = at;
        self.process(id, event);
        true
    }

    fn process(&mut self, id: NodeId, event: HarnessEvent) {
        let now = self.now;
        let node = &mut self.nodes[id];
        if !node.alive {
            return;
        }
        if node.frozen {
            match event {
                HarnessEvent::Wake => node.wake = None,
                deferred @ (HarnessEvent::Input(_)
                | HarnessEvent::Frame(..)
                | HarnessEvent::Closed(_)
                | HarnessEvent::Connect(..)) => node.deferred.push(deferred),
            }
            return;
        }
        match event {
            HarnessEvent::Wake => {
                node.wake = None;
                if node.router.poll_timeout().is_some_and(|(at, _)| at <= now) {
                    node.router.handle_timeout(now);
                }
            }
            HarnessEvent::Input(input) => node.router.handle(input, now),
            HarnessEvent::Frame(link, frame) => {
                if !node.ends.contains_key(&link) {
                    return;
                }
                let input = match frame {
                    Some(frame) => Input::Control { link, frame },
                    None => Input::BytesReceived { link },
                };
                node.router.handle(input, now);
            }
            HarnessEvent::Closed(link) => {
                if node.ends.remove(&link).is_none() {
                    return;
                }
                node.router.handle(Input::LinkDown { link, end: LinkEnd::Closed }, now);
            }
            HarnessEvent::Connect(from, dial, hello) => self.accept(id, from, dial, hello),
        }
        self.drain(id);
    }

    /// Accepts a connection. The dialler's end is up one latency earlier, when our hello reaches
    /// it.
    fn accept(&mut self, id: NodeId, from: NodeId, dial: DialId, hello: Hello) {
        let proofs = (self.prove(from, id), self.prove(id, from));
        let (Ok(proof), Ok(own_proof)) = proofs else {
            let error = DialError::Auth(AuthError::RefusedByPeer(Refusal::NotAllowed));
            self.arrive(from, self.now, HarnessEvent::Input(Input::DialFailed { dial, error }));
            return;
        };
        let (here, there) = (self.new_link(id), self.new_link(from));
        let now = self.now;
        self.nodes[id].ends.insert(here, End { node: from, link: there, last: now });
        self.nodes[from].ends.insert(there, End { node: id, link: here, last: now });
        let ours = self.nodes[id].router.hello(Purpose::Dialled);
        let back = now + self.draw();
        self.nodes[id].ends.get_mut(&here).expect("new").last = back;
        let role = Role::Dialler(dial);
        self.schedule(
            from,
            back,
            HarnessEvent::Input(Input::LinkUp { link: there, role, hello: ours, proof: own_proof }),
        );
        let role = Role::Listener;
        let on = now + self.draw() + self.draw();
        self.nodes[from].ends.get_mut(&there).expect("new").last = on;
        self.schedule(
            id,
            on,
            HarnessEvent::Input(Input::LinkUp { link: here, role, hello, proof }),
        );
    }

    /// What a node proves to another one in a handshake.
    pub(super) fn prove(&self, id: NodeId, to: NodeId) -> Result<Option<PeerProof>, AuthError> {
        let (node, other) = (&self.nodes[id], &self.nodes[to]);
        let (Some(own), Some(other)) = (&node.membership, &other.membership) else {
            return Ok(None);
        };
        let (public_key, ticket) = (own.identity.public_key(), own.ticket.clone());
        let unix = WallClock::new(self.start, other.unix).unix(self.now);
        let name = &node.router.hello(Purpose::Dialled).name;
        let grant = other.policy.admit(name, &public_key, ticket.as_deref(), unix)?;
        Ok(Some(PeerProof { public_key, grant, ticket }))
    }

    fn new_link(&mut self, id: NodeId) -> LinkId {
        self.nodes[id].links += 1;
        LinkId(self.nodes[id].links)
    }

    fn drain(&mut self, id: NodeId) {
        while let Some(output) = self.nodes[id].router.poll_output() {
            self.output(id, output);
        }
        if self.checks {
            self.nodes[id].router.check();
        }
        let node = &mut self.nodes[id];
        if let Some((at, _)) = node.router.poll_timeout()
            && node.wake.is_none_or(|wake| at < wake)
        {
            node.wake = Some(at);
            self.schedule(id, at.max(self.now), HarnessEvent::Wake);
        }
    }

    fn output(&mut self, id: NodeId, output: Output) {
        match output {
            Output::Send { link, frame } => {
                // Encode and decode, so that every frame that is sent can be read.
                if self.checks {
                    let bytes = frame.encode().head;
                    let read = ControlFrame::decode(&bytes[crate::wire::frame::PREFIX_BYTES..]);
                    assert_eq!(read.as_ref(), Ok(&frame));
                }
                self.nodes[id].sends += 1;
                self.transmit(id, link, Some(frame));
            }
            Output::KeepAlive { link } | Output::PaddedKeepAlive { link } => {
                self.transmit(id, link, None);
            }
            Output::Probe { link } => self.transmit(id, link, Some(ControlFrame::Probe)),
            Output::Solicit(solicitation) => self.broadcast(id, &solicitation),
            Output::Dial { dial, address, purpose } => self.connect(id, dial, &address, purpose),
            Output::Close { link, reason } => {
                self.nodes[id].closes.push(reason);
                if let Some(end) = self.nodes[id].ends.remove(&link) {
                    if self.nodes[id].unplugged || self.nodes[end.node].unplugged {
                        return;
                    }
                    self.arrive(end.node, end.last, HarnessEvent::Closed(end.link));
                }
            }
            Output::Install(_) => self.nodes[id].installs += 1,
            Output::Revocations(revocations) => {
                let membership = self.nodes[id].membership.as_mut();
                membership.expect("only with tickets").policy.revocations = revocations;
            }
            Output::Event(event) => self.nodes[id].events.push(event),
            Output::Reply { request, reply } => self.nodes[id].replies.push((request, reply)),
        }
    }

    fn transmit(&mut self, id: NodeId, link: LinkId, frame: Option<ControlFrame>) {
        let Some(end) = self.nodes[id].ends.get(&link).copied() else { return };
        let apart = self.nodes[id].group != self.nodes[end.node].group;
        if apart || self.nodes[id].unplugged || self.nodes[end.node].unplugged {
            return;
        }
        let at = self.arrive(end.node, end.last, HarnessEvent::Frame(end.link, frame));
        self.nodes[id].ends.get_mut(&link).expect("there").last = at;
    }

    fn broadcast(&mut self, id: NodeId, solicitation: &Solicitation) {
        if let Some(reason) = self.nodes[id].unsent {
            let input = Input::SolicitationUnsent {
                beacon: solicitation.wanted == 0,
                reason: reason.into(),
            };
            self.nodes[id].router.handle(input, self.now);
            return;
        }
        let from = SocketAddr::new(ip(id), 9000);
        for other in 0..self.nodes.len() {
            let (here, there) = (&self.nodes[id], &self.nodes[other]);
            let connected = here.group == there.group && !here.unplugged && !there.unplugged;
            if connected && there.alive {
                self.datagrams += 1;
                let input = Input::Solicited { from, solicitation: solicitation.clone() };
                self.arrive(other, self.now, HarnessEvent::Input(input));
            }
        }
    }

    fn connect(&mut self, id: NodeId, dial: DialId, address: &Address, purpose: Purpose) {
        let found = self.nodes.iter().enumerate().position(|(at, node)| {
            node.alive
                && match address {
                    Address::Named(name) => node.name == *name,
                    Address::Sockets(sockets) => sockets.iter().any(|socket| socket.ip() == ip(at)),
                }
        });
        let here = &self.nodes[id];
        let silent = |node: &Node| node.group != here.group || node.unplugged;
        match found {
            Some(to) if !silent(&self.nodes[to]) && !here.unplugged => {
                let hello = here.router.hello(purpose);
                self.arrive(to, self.now, HarnessEvent::Connect(id, dial, hello));
            }
            Some(_) => {
                let error = DialError::Timeout(Duration::from_secs(10));
                let input = Input::DialFailed { dial, error };
                self.schedule(id, self.now + Duration::from_secs(10), HarnessEvent::Input(input));
            }
            None => {
                let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
                let input = Input::DialFailed { dial, error: DialError::Connect(refused) };
                self.arrive(id, self.now, HarnessEvent::Input(input));
            }
        }
    }

    fn arrive(&mut self, id: NodeId, not_before: Instant, event: HarnessEvent) -> Instant {
        let at = (self.now + self.draw()).max(not_before);
        self.schedule(id, at, event);
        at
    }

    fn draw(&mut self) -> Duration {
        self.rng.random_range(self.latency.clone())
    }

    fn schedule(&mut self, id: NodeId, at: Instant, event: HarnessEvent) {
        self.serial += 1;
        self.queue.insert((at, self.serial), (id, event));
    }

    /// Checks that every two nodes agree on whether there is a link between them.
    pub(super) fn check_symmetry(&self) {
        for node in self.nodes.iter().filter(|node| node.alive) {
            for peer in node.router.peers() {
                let back = self.nodes[self.find(peer.as_str())].router.peers();
                let there = back.iter().any(|name| *name == *node.name);
                assert!(there, "{} has a link to {peer}, but not the other way round", node.name);
            }
        }
    }

    /// The living nodes that have a route to this instance.
    pub(super) fn nodes_with_route_to(&self, instance: Instance) -> BTreeSet<NodeId> {
        let holds = |node: &Node| node.alive && node.router.routes().contains(instance);
        (0..self.nodes.len()).filter(|&id| holds(&self.nodes[id])).collect()
    }

    pub(super) fn instance(&self, id: NodeId) -> Instance {
        self.nodes[id].router.hello(Purpose::Dialled).instance
    }
}

fn ip(id: NodeId) -> IpAddr {
    Ipv4Addr::new(10, 0, (id >> 8) as u8, id as u8).into()
}
