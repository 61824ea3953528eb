//! A few routers, wires between them and a clock that only tests move.
//!
//! Frames arrive in order after a latency; a dial takes three of them. A node may be killed (its
//! connections close), unplugged (they fall silent) or frozen (it gets no time). Groups that are
//! apart hear nothing of each other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

use super::io::{Address, CloseReason, Command, DialId, Input, Output, Reply, RequestId, Role};
use super::router::{Router, RouterConfig};
use crate::config::DEFAULT_MSA_TIMEOUT;
use crate::error::DialError;
use crate::event::Event;
use crate::name::{Instance, LinkId, Namespace, NodeName};
use crate::stats::Stats;
use crate::wire::control::ControlFrame;
use crate::wire::hello::{Hello, Purpose};
use crate::wire::solicitation::Solicitation;

/// A node's number in its harness.
pub(super) type Id = usize;

pub(super) struct Node {
    pub(super) router: Router,
    pub(super) events: Vec<Event>,
    pub(super) replies: Vec<(RequestId, Reply)>,
    pub(super) closes: Vec<CloseReason>,
    pub(super) installs: usize,
    pub(super) sends: usize,
    name: String,
    alive: bool,
    frozen: bool,
    unplugged: bool,
    group: usize,
    kept: Vec<HarnessEvent>,
    ends: BTreeMap<LinkId, End>,
    links: u64,
    wake: Option<Instant>,
}

#[derive(Clone, Copy)]
struct End {
    node: Id,
    link: LinkId,
    /// When the last frame on its way there arrives; later ones not before.
    last: Instant,
}

enum HarnessEvent {
    Wake,
    Input(Input),
    /// A frame or a keep-alive, for a link that may be gone meanwhile.
    Frame(LinkId, Option<ControlFrame>),
    Closed(LinkId),
    /// A connection arrives: from whom, its dial, its hello.
    Knock(Id, DialId, Hello),
}

pub(super) struct Harness {
    pub(super) now: Instant,
    pub(super) nodes: Vec<Node>,
    pub(super) datagrams: usize,
    pub(super) latency: std::ops::RangeInclusive<Duration>,
    /// Check every router after every step.
    pub(super) checks: bool,
    start: Instant,
    happenings: BTreeMap<(Instant, u64), (Id, HarnessEvent)>,
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
            happenings: BTreeMap::new(),
            serial: 0,
            requests: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Nodes "n0000", "n0001" … of one degree, started together.
    pub(super) fn group(seed: u64, count: usize, degree: u32) -> Self {
        let mut harness = Self::new(seed);
        for i in 0..count {
            harness.start(config(&format!("n{i:04}"), degree));
        }
        harness
    }

    pub(super) fn start(&mut self, config: RouterConfig) -> Id {
        let id = self.nodes.len();
        let name = config.name.as_str().to_owned();
        let router = Router::new(config, Instance(self.rng.random()), self.rng.random(), self.now);
        self.nodes.push(Node {
            router,
            events: Vec::new(),
            replies: Vec::new(),
            closes: Vec::new(),
            installs: 0,
            sends: 0,
            name,
            alive: true,
            frozen: false,
            unplugged: false,
            group: 0,
            kept: Vec::new(),
            ends: BTreeMap::new(),
            links: 0,
            wake: None,
        });
        self.drain(id);
        id
    }

    pub(super) fn find(&self, name: &str) -> Id {
        self.nodes.iter().position(|node| node.name == name && node.alive).expect("such a node")
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

    pub(super) fn command(&mut self, node: Id, command: Command) {
        self.input(node, Input::Command(command));
    }

    pub(super) fn input(&mut self, node: Id, input: Input) {
        self.nodes[node].router.handle(input, self.now);
        self.drain(node);
    }

    /// Takes the reply to a request, as text.
    pub(super) fn reply(&mut self, node: &str, request: RequestId) -> Option<String> {
        let node = self.find(node);
        let replies = &mut self.nodes[node].replies;
        let at = replies.iter().position(|(answered, _)| *answered == request)?;
        Some(format!("{:?}", replies.remove(at).1))
    }

    pub(super) fn peers(&self, name: &str) -> Vec<String> {
        let peers = self.nodes[self.find(name)].router.peers();
        peers.iter().map(ToString::to_string).collect()
    }

    pub(super) fn knows(&self, name: &str) -> Vec<String> {
        let routes = self.nodes[self.find(name)].router.routes();
        routes.others().map(|(name, _)| name.to_string()).collect()
    }

    pub(super) fn counter(&self, node: Id, name: &str) -> u64 {
        let mut stats = Stats::default();
        self.nodes[node].router.count(&mut stats);
        stats.value(name).expect("such a counter")
    }

    pub(super) fn events(&mut self, name: &str) -> Vec<Event> {
        let id = self.find(name);
        std::mem::take(&mut self.nodes[id].events)
    }

    /// The node ends, and its connections close.
    pub(super) fn kill(&mut self, id: Id) {
        self.nodes[id].alive = false;
        let ends = std::mem::take(&mut self.nodes[id].ends);
        for end in ends.into_values() {
            self.arrive(end.node, end.last, HarnessEvent::Closed(end.link));
        }
    }

    /// The node's cable is pulled, or plugged in again.
    pub(super) fn unplug(&mut self, id: Id, unplugged: bool) {
        self.nodes[id].unplugged = unplugged;
    }

    /// The node gets no time.
    pub(super) fn freeze(&mut self, id: Id) {
        self.nodes[id].frozen = true;
    }

    pub(super) fn thaw(&mut self, id: Id) {
        self.nodes[id].frozen = false;
        // Its timers run before what waits in its sockets is read: the worst order.
        self.nodes[id].router.handle_timeout(self.now);
        self.drain(id);
        for kept in std::mem::take(&mut self.nodes[id].kept) {
            self.happen(id, kept);
        }
    }

    /// Puts a node into a group; groups hear nothing of each other.
    pub(super) fn put(&mut self, id: Id, group: usize) {
        self.nodes[id].group = group;
    }

    /// Every living node knows every other one.
    pub(super) fn is_whole(&self) -> bool {
        let living = self.nodes.iter().filter(|node| node.alive).count();
        let mut nodes = self.nodes.iter().filter(|node| node.alive);
        nodes.all(|node| node.router.routes().nodes() == living)
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until it holds; says whether it did within the time.
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
        let Some(entry) = self.happenings.first_entry() else { return false };
        if entry.key().0 > end {
            return false;
        }
        let ((at, _), (id, happening)) = entry.remove_entry();
        self.now = at;
        self.happen(id, happening);
        true
    }

    fn happen(&mut self, id: Id, happening: HarnessEvent) {
        let now = self.now;
        let node = &mut self.nodes[id];
        if !node.alive {
            return;
        }
        if node.frozen {
            match happening {
                HarnessEvent::Wake => node.wake = None,
                kept @ (HarnessEvent::Input(_)
                | HarnessEvent::Frame(..)
                | HarnessEvent::Closed(_)
                | HarnessEvent::Knock(..)) => node.kept.push(kept),
            }
            return;
        }
        match happening {
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
                    None => Input::Heard { link },
                };
                node.router.handle(input, now);
            }
            HarnessEvent::Closed(link) => {
                if node.ends.remove(&link).is_none() {
                    return;
                }
                node.router
                    .handle(Input::LinkDown { link, reason: "closed".into(), breach: false }, now);
            }
            HarnessEvent::Knock(from, dial, hello) => self.accept(id, from, dial, hello),
        }
        self.drain(id);
    }

    /// A dialler's connection: its end is there one latency before, when our hello reaches it.
    fn accept(&mut self, id: Id, from: Id, dial: DialId, hello: Hello) {
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
            HarnessEvent::Input(Input::LinkUp { link: there, role, hello: ours }),
        );
        let role = Role::Listener;
        let on = now + self.draw() + self.draw();
        self.nodes[from].ends.get_mut(&there).expect("new").last = on;
        self.schedule(id, on, HarnessEvent::Input(Input::LinkUp { link: here, role, hello }));
    }

    fn new_link(&mut self, id: Id) -> LinkId {
        self.nodes[id].links += 1;
        LinkId(self.nodes[id].links)
    }

    fn drain(&mut self, id: Id) {
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

    fn output(&mut self, id: Id, output: Output) {
        match output {
            Output::Send { link, frame } => {
                // Through the wire's bytes, so that what is sent can be read.
                if self.checks {
                    let bytes = frame.encode().head;
                    let read = ControlFrame::decode(&bytes[crate::wire::frame::PREFIX_BYTES..]);
                    assert_eq!(read.as_ref(), Ok(&frame));
                }
                self.nodes[id].sends += 1;
                self.transmit(id, link, Some(frame));
            }
            Output::KeepAlive { link } => self.transmit(id, link, None),
            Output::Solicit(call) => self.broadcast(id, &call),
            Output::Dial { dial, address, purpose } => self.knock(id, dial, &address, purpose),
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
            Output::Event(event) => self.nodes[id].events.push(event),
            Output::Reply { request, reply } => self.nodes[id].replies.push((request, reply)),
        }
    }

    fn transmit(&mut self, id: Id, link: LinkId, frame: Option<ControlFrame>) {
        let Some(end) = self.nodes[id].ends.get(&link).copied() else { return };
        let apart = self.nodes[id].group != self.nodes[end.node].group;
        if apart || self.nodes[id].unplugged || self.nodes[end.node].unplugged {
            return;
        }
        let at = self.arrive(end.node, end.last, HarnessEvent::Frame(end.link, frame));
        self.nodes[id].ends.get_mut(&link).expect("there").last = at;
    }

    fn broadcast(&mut self, id: Id, call: &Solicitation) {
        let from = SocketAddr::new(ip(id), 9000);
        for other in 0..self.nodes.len() {
            let (here, there) = (&self.nodes[id], &self.nodes[other]);
            let heard = here.group == there.group && !here.unplugged && !there.unplugged;
            if heard && there.alive {
                self.datagrams += 1;
                let input = Input::Solicited { from, solicitation: call.clone() };
                self.arrive(other, self.now, HarnessEvent::Input(input));
            }
        }
    }

    fn knock(&mut self, id: Id, dial: DialId, address: &Address, purpose: Purpose) {
        let found = self.nodes.iter().enumerate().position(|(at, node)| {
            node.alive
                && match address {
                    Address::Named(name) => node.name == *name,
                    Address::Socket(socket) => socket.ip() == ip(at),
                }
        });
        let here = &self.nodes[id];
        let silent = |node: &Node| node.group != here.group || node.unplugged;
        match found {
            Some(to) if !silent(&self.nodes[to]) && !here.unplugged => {
                let hello = here.router.hello(purpose);
                self.arrive(to, self.now, HarnessEvent::Knock(id, dial, hello));
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

    fn arrive(&mut self, id: Id, not_before: Instant, happening: HarnessEvent) -> Instant {
        let at = (self.now + self.draw()).max(not_before);
        self.schedule(id, at, happening);
        at
    }

    fn draw(&mut self) -> Duration {
        self.rng.random_range(self.latency.clone())
    }

    fn schedule(&mut self, id: Id, at: Instant, happening: HarnessEvent) {
        self.serial += 1;
        self.happenings.insert((at, self.serial), (id, happening));
    }

    /// Every pair of nodes agrees on whether there is a link between them.
    pub(super) fn check_symmetry(&self) {
        for node in self.nodes.iter().filter(|node| node.alive) {
            for peer in node.router.peers() {
                let back = self.nodes[self.find(peer.as_str())].router.peers();
                let there = back.iter().any(|name| *name == *node.name);
                assert!(there, "{} has a link to {peer}, but not the other way", node.name);
            }
        }
    }

    /// Ids of living nodes whose table still holds this instance.
    pub(super) fn holding(&self, instance: Instance) -> BTreeSet<Id> {
        let holds = |node: &Node| node.alive && node.router.routes().contains(instance);
        (0..self.nodes.len()).filter(|&id| holds(&self.nodes[id])).collect()
    }

    pub(super) fn instance(&self, id: Id) -> Instance {
        self.nodes[id].router.hello(Purpose::Dialled).instance
    }
}

fn ip(id: Id) -> IpAddr {
    Ipv4Addr::new(10, 0, (id >> 8) as u8, id as u8).into()
}
