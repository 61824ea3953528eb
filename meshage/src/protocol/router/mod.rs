//! The control plane of one node: the only control flow of the protocol.
//!
//! Owns the tables and makes the decisions; the tables compute and store. It uses no socket, clock,
//! lock or random source of its own. Its parts, each an `impl Router`:
//!
//! ```text
//!  mod            inputs, timers, commands, queries
//!  admission      a connection becomes a link, or is refused; a link ends
//!  exchange       the two ends of a new link synchronise their databases
//!  announcements  announcements are originated and installed
//!  flooding       announcements are flooded over trees, and offered beside them
//!  denials        nodes that lack a key or a right are counted and reported
//!  names          one name, one holder
//!  membership     tickets, revocations and the signatures of announcements
//!  discovery      solicitations, beacons, response dials, seeds, dials
//!  routing        the routes are computed and installed; changes are reported
//! ```

mod admission;
mod announcements;
mod comparison;
mod denials;
mod discovery;
mod exchange;
mod flooding;
mod membership;
mod names;
mod routing;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;

use self::denials::KeyMismatches;
use super::adjacency::Links;
use super::announce::OwnAnnouncement;
use super::backoff::Backoff;
use super::claims::FormerHolders;
use super::counters::Counters;
use super::discovery::Discovery;
use super::flooding::{Flooding, TREE_NODES_MIN};
use super::io::{CloseReason, Command, Input, Output, Reply, RequestId};
use super::link_failures::LinkFailures;
use super::lsdb::Lsdb;
use super::membership::{Membership, MembershipConfig};
use super::seeds::Seeds;
use super::silence::KEEP_ALIVE_INTERVAL;
use super::spf::SpfThrottle;
use super::timer::{Timer, Timers};
use super::token_bucket::TokenBucket;
use crate::config::{Config, LINKS_MAX};
use crate::error::{DialError, HangupError, RefuseReason};
use crate::event::Event;
use crate::name::{Claim, Instance, LinkId, Namespace, NodeName};
use crate::route::RouteTable;
use crate::stats::Stats;
use crate::wire::control::ControlFrame;
use crate::wire::hello::{Hello, Purpose};

/// If a timer runs this much too late, this process got no processor time, and no link is
/// considered silent because of it. Half of what the shortest dead interval leaves beyond a keep-alive.
const LATE_WAKEUP: Duration = Duration::from_millis(150);
/// A name conflict is reported at most once in this time, however often it is detected.
const CONFLICT_REPORT_INTERVAL: Duration = Duration::from_secs(10);
/// Corrections of false announcements of this node: twice as many as peers accept of one node over
/// one link, so that the last word is this node's.
const REISSUE_INTERVAL: Duration = Duration::from_micros(12_500);
const REISSUE_BURST: u32 = 512;
/// How many reported names are remembered for that.
const CONFLICTS_MAX: usize = 1024;

/// The configuration of a router.
#[derive(Debug, Clone)]
pub struct RouterConfig {
    /// The node's name.
    pub name: NodeName,
    /// Only nodes of this namespace respond to its solicitations.
    pub namespace: Namespace,
    /// The application's version.
    pub version: String,
    /// How many links the node looks for.
    pub degree: u32,
    /// The TCP port that the node listens on.
    pub listen_port: u16,
    /// How often it compares its database with those of its peers.
    pub msa_timeout: Duration,
    /// Addresses that are dialled until they are linked, without end.
    pub seeds: Vec<String>,
    /// What the node needs at levels allowed and signed; `None` at the others.
    pub membership: Option<MembershipConfig>,
    /// From how many nodes on announcements are flooded over trees.
    pub tree_nodes_min: usize,
}

impl RouterConfig {
    /// Takes a node's configuration, the port that it actually listens on, and what it needs at levels
    /// allowed and signed.
    pub fn new(config: &Config, listen_port: u16, membership: Option<MembershipConfig>) -> Self {
        Self {
            name: config.name.clone(),
            namespace: config.namespace.clone(),
            version: config.version.clone(),
            degree: config.degree,
            listen_port,
            msa_timeout: config.msa_timeout,
            seeds: config.seeds.clone(),
            membership,
            tree_nodes_min: TREE_NODES_MIN,
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
    backoff: Backoff,
    discovery: Discovery,
    flooding: Flooding,
    seeds: Seeds,
    link_failures: LinkFailures,
    own_announcement: OwnAnnouncement,
    lsdb: Lsdb,
    membership: Option<Membership>,
    former_holders: FormerHolders,
    spf_throttle: SpfThrottle,
    routes: Arc<RouteTable>,
    /// When each dial of the application began that has no reply yet.
    application_dials: BTreeMap<RequestId, Instant>,
    /// The application's dials whose link is full but does not carry a route yet.
    dials_awaiting_route: BTreeMap<RequestId, LinkId>,
    /// Why the last solicitation or beacon was not sent; `None` if it was.
    unsent: Option<String>,
    /// The same for the one before.
    unsent_before: Option<String>,
    /// The next announcement is sent even if nothing changed: a false one was received.
    must_reissue: bool,
    /// Limits how often it is sent for that reason.
    reissue_bucket: TokenBucket,
    /// Names in conflict, and when each conflict was reported last.
    conflicts_reported: BTreeMap<NodeName, Instant>,
    /// Names that two reachable nodes have.
    conflicting_names: Vec<NodeName>,
    /// The first bridge that was refused for lack of room while there was no route to its dialler.
    bridge_refused: Option<(Instance, Instant)>,
    /// When a lack of keys was reported last, by address.
    key_mismatches: KeyMismatches,
    counters: Counters,
    started: Instant,
    closed: bool,
}

impl Router {
    /// Creates a router that knows no other node. All its random numbers derive from `seed`.
    ///
    /// # Panics
    /// At levels allowed and signed, `instance` is not [`MembershipConfig::instance`].
    pub fn new(mut config: RouterConfig, instance: Instance, seed: [u8; 32], now: Instant) -> Self {
        let routes = Arc::new(RouteTable::alone(&config.name, instance));
        let membership = config.membership.take();
        if let Some(membership) = &membership {
            assert_eq!(
                instance,
                membership.instance(),
                "invariant C11: the instance is of the key"
            );
        }
        let membership = membership.map(|it| Membership::new(it, &config.name, now));
        let mut router = Self {
            instance,
            rng: ChaCha8Rng::from_seed(seed),
            timers: Timers::default(),
            outputs: VecDeque::new(),
            links: Links::default(),
            backoff: Backoff::default(),
            discovery: Discovery::new(now),
            flooding: Flooding::new(config.tree_nodes_min, now),
            seeds: Seeds::new(config.seeds.len()),
            link_failures: LinkFailures::default(),
            own_announcement: OwnAnnouncement::new(config.name.clone(), instance, now),
            lsdb: Lsdb::default(),
            membership,
            former_holders: FormerHolders::default(),
            spf_throttle: SpfThrottle::default(),
            routes,
            started: now,
            application_dials: BTreeMap::new(),
            unsent: None,
            unsent_before: None,
            dials_awaiting_route: BTreeMap::new(),
            must_reissue: false,
            reissue_bucket: TokenBucket::new(REISSUE_INTERVAL, REISSUE_BURST, now),
            conflicts_reported: BTreeMap::new(),
            conflicting_names: Vec::new(),
            bridge_refused: None,
            key_mismatches: KeyMismatches::default(),
            counters: Counters::default(),
            closed: false,
            config,
        };
        for seed in 0..router.config.seeds.len() {
            router.timers.set(Timer::Seed(seed), now);
        }
        router.restart_discovery(now);
        router.schedule_comparison(now);
        router.schedule_tickets(now);
        router
    }

    /// Processes an input. Drain [`Router::poll_output`] afterwards.
    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::LinkUp { link, role, hello, proof } => {
                self.link_up(link, role, hello, proof.as_ref(), now);
            }
            Input::WallClock(unix) => self.wall_clock_set(unix, now),
            Input::LinkDown { link, end } => self.link_down(link, end, now),
            Input::Control { link, frame } => {
                self.links.received(link, now);
                self.receive_control(link, frame, now);
            }
            Input::BytesReceived { link } => self.links.received(link, now),
            Input::Solicited { from, solicitation } => {
                self.receive_solicitation(from, solicitation, now)
            }
            Input::SolicitationUnsent { beacon, reason } => {
                self.solicitation_unsent(beacon, reason, now)
            }
            Input::NetworkChanged => self.network_changed(now),
            Input::DialFailed { dial, error } => self.dial_failed(dial, error, now),
            Input::Denied { from, dialled, error } => self.denied(from, dialled, &error, now),
            Input::Command(command) => self.execute(command, now),
        }
    }

    /// Runs the timers that have expired. Drain [`Router::poll_output`] afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some((at, _)) = self.timers.next()
            && now > at + LATE_WAKEUP
        {
            self.counters.late_wakeups += 1;
            self.links.restart_silence(now);
        }
        // A timer that is set again lies in the future, so this loop ends. If one did not, the rest
        // would wait for the next call.
        for _ in 0..self.timers.len() {
            let Some((_, timer)) = self.timers.pop(now) else { break };
            match timer {
                Timer::Solicit => self.solicit(now),
                Timer::Beacon => self.beacon(now),
                Timer::Seed(seed) => self.dial_seed(seed),
                Timer::Response(instance) => self.respond(instance, now),
                Timer::Announce => self.announce_change(now),
                Timer::Compare => self.compare_databases(now),
                Timer::Have => self.send_haves(),
                Timer::Routes => self.compute_routes(now),
                Timer::KeepAlive => self.keep_alive(now),
                Timer::Silence => self.close_silent(now),
                Timer::LinkSetup(link) => self.close_unfinished(link, now),
                Timer::Tickets => self.end_standings(now),
                Timer::Postponed => self.receive_postponed(now),
                Timer::Expire => self.expire_nodes(now),
            }
        }
    }

    /// Whether announcements were received that the routes do not reflect yet.
    pub fn has_pending_routes(&self) -> bool {
        self.timers.is_set(Timer::Routes)
    }

    /// Brings a pending computation of the routes forward, because a message waits for it. Returns
    /// whether the routes reflect all announcements that were received. If they do not, a timer is
    /// set for a few milliseconds later.
    pub fn settle_routes(&mut self, now: Instant) -> bool {
        if !self.has_pending_routes() {
            return true;
        }
        let at = self.spf_throttle.next_settling_run(now, self.lsdb.len());
        if at > now {
            self.timers.set_earlier(Timer::Routes, at);
            return false;
        }
        self.compute_routes(now);
        true
    }

    /// Returns the next output. Drain it to `None` after every call that takes `now`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns when to call [`Router::handle_timeout`] next, and for which timer.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        self.timers.next()
    }

    /// Returns the hello that the driver sends on a connection of this purpose.
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

    /// The node's claim to its name.
    pub fn claim(&self) -> Claim {
        self.own_announcement.announcement().claim
    }

    /// How many links the node looks for.
    pub fn degree(&self) -> u32 {
        self.config.degree
    }

    /// How often it compares its database with those of its peers.
    pub fn msa_timeout(&self) -> Duration {
        self.config.msa_timeout
    }

    /// The peers to which it has a full link, sorted by name.
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

    /// Adds the router's counters to `stats`.
    pub fn count(&self, stats: &mut Stats) {
        self.counters.add_to(stats);
        stats.set("links", self.links.full().len() as u64);
        stats.set("nodes", self.routes.nodes() as u64);
        stats.set("database_nodes", self.lsdb.len() as u64);
    }

    /// Panics if an invariant does not hold. For tests and the simulator.
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
        let announced = &self.own_announcement.announcement().peers;
        let peers: Vec<Instance> = full.keys().copied().collect();
        let pending = self.timers.is_set(Timer::Announce);
        assert!(
            *announced == peers || pending,
            "invariant C7: the last change is announced or scheduled"
        );
        let solicits = self.timers.is_set(Timer::Solicit) || self.wanted() == 0;
        assert!(solicits || self.closed, "invariant C8: a node that lacks links solicits");
        for (_, link) in self.links.admitted().filter(|(_, link)| self.decides(&link.peer)) {
            let links = self.links.to(link.instance).filter(|(_, link)| link.is_admitted());
            assert_eq!(links.count(), 1, "invariant C9: one admitted link to {}", link.peer);
        }
        if self.closed {
            assert!(self.links.is_empty(), "invariant C10: a closed node has no links");
            assert_eq!(self.timers.next(), None, "invariant C10: a closed node has no timers");
        }
    }

    fn receive_control(&mut self, link: LinkId, frame: ControlFrame, now: Instant) {
        match frame {
            ControlFrame::Admit { other_link } => self.admitted_by_peer(link, other_link, now),
            ControlFrame::Refuse { reason } => self.refused_by_peer(link, reason, now),
            ControlFrame::Digest { entries, last } => self.receive_digest(link, entries, last, now),
            ControlFrame::Announce(announcement) => {
                self.receive_announcement(link, announcement, now)
            }
            ControlFrame::SignedAnnounce(signed) => self.receive_signed(link, *signed, now),
            ControlFrame::Revocations { entries } => {
                self.receive_revocations(link, &entries, now);
            }
            ControlFrame::Synced => self.receive_synced(link, now),
            ControlFrame::Probe => self.receive_probe(link, now),
            ControlFrame::ProbeAnswer => self.receive_probe_answer(link, now),
            ControlFrame::Leaving => self.peer_leaves(link, now),
            ControlFrame::Claims { entries } => self.receive_claims(link, entries, now),
            ControlFrame::Compare { ranges } => self.receive_compare(link, &ranges, now),
            ControlFrame::Listing { first, last, entries } => {
                self.receive_listing(link, (first, last), &entries, now);
            }
            ControlFrame::Have { entries } => self.receive_have(link, &entries, now),
            ControlFrame::Request { instances } => self.receive_request(link, instances, now),
            ControlFrame::DigestRequest { ranges } => {
                self.receive_digest_request(link, &ranges, now)
            }
        }
    }

    fn execute(&mut self, command: Command, now: Instant) {
        match command {
            Command::Dial { request, address } => self.dial_for_application(request, address, now),
            Command::CancelDial { request } => self.cancel_dial(request, now),
            Command::Hangup { request, peer } => self.hang_up(request, peer, now),
            Command::SetDegree(degree) => {
                let before = self.wanted();
                let was_silent = self.config.degree == 0;
                self.config.degree = degree;
                if self.closed {
                    return;
                }
                if self.wanted() > before || was_silent || degree == 0 {
                    self.restart_discovery(now);
                } else {
                    self.update_discovery(now);
                }
            }
            Command::SetMsaTimeout(period) => {
                self.config.msa_timeout = period;
                if !self.closed {
                    self.schedule_comparison(now);
                    self.schedule_expiry(now);
                }
            }
            Command::Announce => {
                if !self.closed {
                    self.originate(now);
                }
            }
            Command::KeysChanged => self.keys_changed(now),
            Command::Revoke(revocation) => self.revoke(&revocation, now),
            Command::Close => self.close(now),
        }
    }

    /// Closes the link to a peer at the application's request.
    fn hang_up(&mut self, request: RequestId, peer: NodeName, now: Instant) {
        let to_peer = self.links.admitted().filter(|(_, link)| link.peer == peer);
        let links: Vec<LinkId> = to_peer.map(|(id, _)| id).collect();
        let result = match (self.closed, links.is_empty()) {
            (true, _) => Err(HangupError::Closed),
            (false, true) => Err(HangupError::NotAPeer(peer.as_str().into())),
            (false, false) => Ok(()),
        };
        for link in links {
            self.send(link, ControlFrame::Refuse { reason: RefuseReason::HungUp });
            self.close_link(link, CloseReason::Hangup, now);
        }
        self.reply(request, Reply::Hangup(result));
    }

    /// Informs the mesh and every peer that this node leaves, and stops.
    fn close(&mut self, now: Instant) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        // With this announcement the links are withdrawn everywhere, and every node learns that this
        // one did not fail.
        self.own_announcement.leave();
        let last = self.own_frame(true);
        self.flood(self.instance, &last, None, now);
        let links: Vec<LinkId> = self.links.iter().map(|(id, _)| id).collect();
        self.discovery.close();
        self.dials_awaiting_route.clear();
        for id in links {
            let Some(link) = self.links.remove(id) else { continue };
            if link.is_admitted() {
                self.send(id, ControlFrame::Leaving);
            } else {
                self.send(id, ControlFrame::Refuse { reason: RefuseReason::Closing });
            }
            self.outputs.push_back(Output::Close { link: id, reason: CloseReason::Leaving });
        }
        for request in std::mem::take(&mut self.application_dials).into_keys() {
            self.reply(request, Reply::Dial(Err(DialError::Closed)));
        }
        self.timers.stop_all();
        self.routes = Arc::new(RouteTable::alone(&self.config.name, self.instance));
        self.outputs.push_back(Output::Install(self.routes.clone()));
    }

    fn keep_alive(&mut self, now: Instant) {
        if self.links.is_empty() {
            return;
        }
        let settled = planted!(KeepAlivesStop) && !self.timers.is_set(Timer::Routes);
        for (id, link) in self.links.iter_mut() {
            if settled && link.is_full() {
                continue;
            }
            self.outputs.push_back(Output::KeepAlive { link: id });
            if link.is_full() && link.silence.takes_measurement(now) {
                let frame = ControlFrame::Probe;
                self.outputs.push_back(Output::Send { link: id, frame });
            }
        }
        let interval = if planted!(TimerInThePast) { Duration::ZERO } else { KEEP_ALIVE_INTERVAL };
        self.timers.set(Timer::KeepAlive, now + interval);
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

    /// Replies to a dial of the application, unless it has its reply or was canceled.
    fn reply_dial(&mut self, request: RequestId, result: Result<NodeName, DialError>) {
        if self.application_dials.remove(&request).is_some() {
            self.reply(request, Reply::Dial(result));
        }
    }

    /// A name is in conflict. Reports it with the reason, unless it was reported recently.
    fn name_conflict(&mut self, name: &NodeName, reason: &str, now: Instant) {
        self.counters.name_conflicts += 1;
        if self
            .conflicts_reported
            .get(name)
            .is_some_and(|reported| now < *reported + CONFLICT_REPORT_INTERVAL)
        {
            return;
        }
        if self.conflicts_reported.len() >= CONFLICTS_MAX {
            self.conflicts_reported
                .retain(|_, reported| now < *reported + CONFLICT_REPORT_INTERVAL);
        }
        if self.conflicts_reported.len() >= CONFLICTS_MAX {
            self.conflicts_reported.pop_first();
        }
        self.conflicts_reported.insert(name.clone(), now);
        tracing::warn!(node = %self.config.name, %name, reason, "name conflict");
        self.event(Event::NameConflict { name: name.clone(), reason: reason.into() });
    }
}
