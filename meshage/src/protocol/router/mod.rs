//! The control plane of one node: the only control flow of the protocol.
//!
//! Owns the tables and decides what happens; the tables compute and remember. It may not touch a
//! socket, a clock, a lock or a source of chance. Its parts, each an `impl Router`:
//!
//! ```text
//!  mod        inputs, timers, commands, what others may ask
//!  admission  a connection becomes a link, or is refused; a link ends
//!  exchange   two ends bring their databases level; announcements are originated and flooded
//!  search     calls, beacons, answers, seeds, dials
//!  routing    the routes are computed and installed; what changed is told
//! ```

mod admission;
mod discovery;
mod exchange;
mod routing;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;

use super::adjacency::{KEEP_ALIVE_EVERY, Links};
use super::announce::Origin;
use super::counters::Counters;
use super::discovery::Discovery;
use super::io::{CloseReason, Command, Input, Output, Reply, RequestId};
use super::lsdb::Lsdb;
use super::seeds::Seeds;
use super::spf::SpfThrottle;
use super::timer::{Timer, Timers};
use crate::config::{Config, LINKS_MAX};
use crate::error::{DialError, HangupError, RefuseReason};
use crate::event::Event;
use crate::name::{Instance, LinkId, Namespace, NodeName};
use crate::route::RouteTable;
use crate::stats::Stats;
use crate::wire::control::ControlFrame;
use crate::wire::hello::{Hello, Purpose};

/// A timer that runs out so much too late shows that this process got no time: then nobody else
/// is held to be silent. Half of what the dead interval leaves beyond two keep-alives.
const STARVED_AFTER: Duration = Duration::from_millis(500);
/// A name conflict is told again after so long, however often it is met.
const CONFLICT_QUIET: Duration = Duration::from_secs(10);
/// How many names of conflicts are remembered for that.
const CONFLICTS_MAX: usize = 1024;

/// What a router is configured with.
#[derive(Debug, Clone)]
pub struct RouterConfig {
    /// The node's name.
    pub name: NodeName,
    /// Only nodes of this namespace answer its calls.
    pub namespace: Namespace,
    /// The application's version.
    pub version: String,
    /// How many links the node wants.
    pub degree: u32,
    /// The TCP port that the node listens on.
    pub listen_port: u16,
    /// How often it announces its links though nothing changed.
    pub msa_timeout: Duration,
    /// Addresses that are dialled until they are linked, for ever.
    pub seeds: Vec<String>,
}

impl RouterConfig {
    /// From a node's configuration and the port that it listens on in the end.
    pub fn new(config: &Config, listen_port: u16) -> Self {
        Self {
            name: config.name.clone(),
            namespace: config.namespace.clone(),
            version: config.version.clone(),
            degree: config.degree,
            listen_port,
            msa_timeout: config.msa_timeout,
            seeds: config.seeds.clone(),
        }
    }
}

/// The control plane of one node.
#[derive(Debug)]
pub struct Router {
    config: RouterConfig,
    instance: Instance,
    rng: ChaCha8Rng,
    timers: Timers,
    outputs: VecDeque<Output>,
    links: Links,
    discovery: Discovery,
    seeds: Seeds,
    origin: Origin,
    lsdb: Lsdb,
    pace: SpfThrottle,
    routes: Arc<RouteTable>,
    /// When the application's dials began that were not answered yet.
    asked: BTreeMap<RequestId, Instant>,
    /// The application's dials whose link is full but not yet a route.
    arriving: BTreeMap<RequestId, LinkId>,
    /// The next announcement goes out though nothing changed: somebody spread a false one.
    outdone: bool,
    /// Names in conflict, and when that was told last.
    conflicts: BTreeMap<NodeName, Instant>,
    /// Names that two reachable nodes claim.
    contested: Vec<NodeName>,
    /// The first bridge that was refused for want of room while there was no route to its dialler.
    bridge_refused: Option<(Instance, Instant)>,
    counters: Counters,
    started: Instant,
    closed: bool,
}

impl Router {
    /// A router that knows nobody. `seed` is where all its chance comes from.
    pub fn new(config: RouterConfig, instance: Instance, seed: [u8; 32], now: Instant) -> Self {
        let routes = Arc::new(RouteTable::alone(&config.name, instance));
        let mut router = Self {
            instance,
            rng: ChaCha8Rng::from_seed(seed),
            timers: Timers::default(),
            outputs: VecDeque::new(),
            links: Links::default(),
            discovery: Discovery::new(now),
            seeds: Seeds::new(config.seeds.len()),
            origin: Origin::new(config.name.clone(), instance),
            lsdb: Lsdb::default(),
            pace: SpfThrottle::default(),
            routes,
            started: now,
            asked: BTreeMap::new(),
            arriving: BTreeMap::new(),
            outdone: false,
            conflicts: BTreeMap::new(),
            contested: Vec::new(),
            bridge_refused: None,
            counters: Counters::default(),
            closed: false,
            config,
        };
        for seed in 0..router.config.seeds.len() {
            router.timers.set(Timer::Seed(seed), now);
        }
        router.search_anew(now);
        router.schedule_refresh(now);
        router
    }

    /// Takes in what happened. Drain [`Router::poll_output`] afterwards.
    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::LinkUp { link, role, hello } => self.link_up(link, role, hello, now),
            Input::LinkDown { link, reason, breach: false } => {
                self.end(link, DialError::Broken(reason), now);
            }
            Input::LinkDown { link, reason, breach: true } => {
                self.end(link, DialError::Handshake(reason), now);
            }
            Input::Control { link, frame } => {
                self.links.heard(link, now);
                self.control(link, frame, now);
            }
            Input::Heard { link } => self.links.heard(link, now),
            Input::Solicited { from, solicitation } => self.solicited(from, solicitation, now),
            Input::DialFailed { dial, error } => self.dial_failed(dial, error, now),
            Input::Command(command) => self.command(command, now),
        }
    }

    /// Does what is due. Drain [`Router::poll_output`] afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some((at, _)) = self.timers.next()
            && now > at + STARVED_AFTER
        {
            self.counters.starved += 1;
            self.links.grace(now);
        }
        // What a timer sets anew lies in the future, so this ends; should one ever not, the rest
        // waits for the next call.
        for _ in 0..self.timers.len() {
            let Some((_, timer)) = self.timers.pop(now) else { break };
            match timer {
                Timer::Solicit => self.solicit(now),
                Timer::Beacon => self.beacon(now),
                Timer::Seed(seed) => self.dial_seed(seed),
                Timer::Answer(instance) => self.answer(instance, now),
                Timer::Announce => self.announce_change(now),
                Timer::Refresh => self.originate(now),
                Timer::Routes => self.compute_routes(now),
                Timer::KeepAlive => self.keep_alive(now),
                Timer::Silence => self.close_silent(now),
                Timer::Agree(link) => self.give_up(link, now),
                Timer::Forget => self.forget(now),
            }
        }
    }

    /// The next thing to be done; drain it to `None` after every call that takes `now`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Router::handle_timeout`] next, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        self.timers.next()
    }

    /// What the driver says first on a connection of this purpose.
    pub fn hello(&self, purpose: Purpose) -> Hello {
        Hello {
            name: self.config.name.clone(),
            namespace: self.config.namespace.clone(),
            instance: self.instance,
            version: self.config.version.clone(),
            capabilities: 0,
            purpose,
        }
    }

    /// How many links the node wants.
    pub fn degree(&self) -> u32 {
        self.config.degree
    }

    /// How often it announces its links though nothing changed.
    pub fn msa_timeout(&self) -> Duration {
        self.config.msa_timeout
    }

    /// The peers that it has a full link to, sorted by name.
    pub fn peers(&self) -> Vec<NodeName> {
        let full = self.links.iter().filter(|(_, link)| link.is_full());
        let mut names: Vec<NodeName> = full.map(|(_, link)| link.peer.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The routes in force.
    pub fn routes(&self) -> Arc<RouteTable> {
        self.routes.clone()
    }

    /// Adds its counters.
    pub fn count(&self, stats: &mut Stats) {
        self.counters.add_to(stats);
        stats.set("links", self.links.full().len() as u64);
        stats.set("nodes", self.routes.nodes() as u64);
        stats.set("database_nodes", self.lsdb.len() as u64);
    }

    /// Panics where an invariant does not hold. For tests and the simulator.
    pub fn check(&self) {
        self.timers.check();
        self.lsdb.check(self.instance);
        assert!(self.links.len() <= LINKS_MAX, "invariant C3: at most {LINKS_MAX} links");
        let full = self.links.full();
        for (name, instance) in self.routes.others() {
            let Some(route) = self.routes.route_to(instance) else { continue };
            let stands = full.values().any(|link| *link == route.link);
            assert!(stands, "invariant C6: the route to {name} leads over a full link");
        }
        let announced = &self.origin.announcement().peers;
        let peers: Vec<Instance> = full.keys().copied().collect();
        let pending = self.timers.is_set(Timer::Announce);
        assert!(*announced == peers || pending, "invariant C7: the last change is announced");
        let searching = self.timers.is_set(Timer::Solicit) || self.wanted() == 0;
        assert!(searching || self.closed, "invariant C8: who lacks links, calls");
        for (_, link) in self.links.admitted().filter(|(_, link)| self.decides(&link.peer)) {
            let links = self.links.to(link.instance).filter(|(_, link)| link.is_admitted());
            assert_eq!(links.count(), 1, "invariant C9: one link to {}", link.peer);
        }
        if self.closed {
            assert!(self.links.is_empty(), "invariant C10: a closed node has no links");
            assert_eq!(self.timers.next(), None, "invariant C10: a closed node does nothing more");
        }
    }

    fn control(&mut self, link: LinkId, frame: ControlFrame, now: Instant) {
        match frame {
            ControlFrame::Admit { other_link } => self.admitted_by_peer(link, other_link, now),
            ControlFrame::Refuse { reason } => self.refused_by_peer(link, reason, now),
            ControlFrame::Digest { entries, last } => self.digest(link, entries, last, now),
            ControlFrame::Announce(announcement) => self.announced(link, announcement, now),
            ControlFrame::Synced => self.synced(link, now),
            ControlFrame::Leaving => self.peer_leaves(link, now),
        }
    }

    fn command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Dial { request, address } => self.dial_asked(request, address, now),
            Command::CancelDial { request } => self.cancel_dial(request, now),
            Command::Hangup { request, peer } => self.hang_up(request, peer, now),
            Command::SetDegree(degree) => {
                let before = self.wanted();
                let silent = self.config.degree == 0;
                self.config.degree = degree;
                if self.closed {
                    return;
                }
                if self.wanted() > before || silent || degree == 0 {
                    self.search_anew(now);
                } else {
                    self.links_changed(now);
                }
            }
            Command::SetMsaTimeout(period) => {
                self.config.msa_timeout = period;
                if !self.closed {
                    self.schedule_refresh(now);
                    self.schedule_forget();
                }
            }
            Command::Announce => {
                if !self.closed {
                    self.originate(now);
                }
            }
            Command::Close => self.close(),
        }
    }

    /// Closes the link to a peer because the application wants it.
    fn hang_up(&mut self, request: RequestId, peer: NodeName, now: Instant) {
        let to_peer = self.links.admitted().filter(|(_, link)| link.peer == peer);
        let links: Vec<LinkId> = to_peer.map(|(id, _)| id).collect();
        let result = match (self.closed, links.is_empty()) {
            (true, _) => Err(HangupError::Closed),
            (false, true) => Err(HangupError::NotAPeer(peer.as_str().into())),
            (false, false) => Ok(()),
        };
        for link in links {
            self.close_link(link, CloseReason::Hangup, now);
        }
        self.reply(request, Reply::Hangup(result));
    }

    /// Tells every peer that this node leaves, and does nothing more.
    fn close(&mut self) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        let links: Vec<LinkId> = self.links.iter().map(|(id, _)| id).collect();
        self.discovery.close();
        self.arriving.clear();
        for id in links {
            let Some(link) = self.links.remove(id) else { continue };
            if link.is_admitted() {
                self.send(id, ControlFrame::Leaving);
            } else {
                self.send(id, ControlFrame::Refuse { reason: RefuseReason::Closing });
            }
            self.outputs.push_back(Output::Close { link: id, reason: CloseReason::Leaving });
        }
        for request in std::mem::take(&mut self.asked).into_keys() {
            self.reply(request, Reply::Dial(Err(DialError::Closed)));
        }
        self.timers.stop_all();
        self.routes = Arc::new(RouteTable::alone(&self.config.name, self.instance));
        self.outputs.push_back(Output::Install(self.routes.clone()));
        // What is announced no longer matters, but is kept true (invariant C7).
        self.origin.renew(Vec::new());
    }

    fn keep_alive(&mut self, now: Instant) {
        if self.links.is_empty() {
            return;
        }
        for (link, _) in self.links.iter() {
            self.outputs.push_back(Output::KeepAlive { link });
        }
        self.timers.set(Timer::KeepAlive, now + KEEP_ALIVE_EVERY);
    }

    fn send(&mut self, link: LinkId, frame: ControlFrame) {
        self.outputs.push_back(Output::Send { link, frame });
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn reply(&mut self, request: RequestId, reply: Reply) {
        self.outputs.push_back(Output::Reply { request, reply });
    }

    /// Answers a dial of the application, unless it was answered or canceled before.
    fn reply_dial(&mut self, request: RequestId, result: Result<NodeName, DialError>) {
        if self.asked.remove(&request).is_some() {
            self.reply(request, Reply::Dial(result));
        }
    }

    /// Two nodes claim this name. Told once, then not again for a while.
    fn name_conflict(&mut self, name: &NodeName, now: Instant) {
        self.counters.name_conflicts += 1;
        if self.conflicts.get(name).is_some_and(|told| now < *told + CONFLICT_QUIET) {
            return;
        }
        if self.conflicts.len() >= CONFLICTS_MAX {
            self.conflicts.retain(|_, told| now < *told + CONFLICT_QUIET);
        }
        if self.conflicts.len() >= CONFLICTS_MAX {
            self.conflicts.pop_first();
        }
        self.conflicts.insert(name.clone(), now);
        tracing::warn!(node = %self.config.name, %name, "two nodes claim one name");
        self.event(Event::NameConflict(name.clone()));
    }
}
