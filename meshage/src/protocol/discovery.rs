//! Which solicitations this node responds to, and the dials in progress.
//!
//! ```text
//!  solicitation ──► fewer links than the cap: response dial, after a random wait ──► Dial
//!  beacon ────────► no route to its sender: bridge, after a random wait ───────────► Dial
//! ```
//!
//! Owns the pending response dials and the dials in progress. It has neither links nor routes:
//! the router passes what it needs ([`ReceivedSolicitation`], [`LocalState`]) and acts on the
//! result.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::ChaCha8Rng;

use super::backoff::{happens_with_odds, random_wait};
use super::dial_failures::DialFailures;
use super::io::{Address, DialId, RequestId};
use super::token_bucket::TokenBucket;
use crate::config::{LINKS_MAX, SOLICIT_LIMIT, SOLICIT_RATIO};
use crate::name::Instance;
use crate::route::RouteTable;
use crate::wire::hello::Purpose;

/// How many nodes of an island respond to a beacon, on average. One is enough. With 16, it happens
/// once in nine million times that no node responds, and then the next beacon gets a response.
const BRIDGE_RESPONDERS: usize = 16;
/// The longest wait before a response dial to an unreachable node. The original's half second is
/// for nodes that are in the mesh already.
const RESPONSE_WAIT_UNREACHABLE: Duration = Duration::from_millis(250);
/// The longest wait before a response dial to a reachable node, or before a bridge.
const RESPONSE_WAIT_REACHABLE: Duration = Duration::from_millis(500);
/// The most pending response dials. Twice what the dial rate permits during the longest wait would
/// be 12; 64 also serves nodes of high degree.
const RESPONSES_MAX: usize = 64;
/// A node exceeds its cap to join an island only if a node was unreachable for this long: the parts
/// of a mesh that is just starting need a second or two to find each other.
pub(super) const BRIDGE_OVER_CAP_AFTER: Duration = Duration::from_secs(3);
/// The most unreachable senders of solicitations that are remembered.
const UNREACHABLE_MAX: usize = 256;
/// How long they are remembered: until each has sent its next two steady beacons.
const UNREACHABLE_RETENTION: Duration = Duration::from_secs(120);
/// A solicitation of the same sender within this time is a copy that arrived over another interface
/// or network. Longer than the delays of two local networks differ, and much shorter than the time
/// between two solicitations of a node.
const COPY_WINDOW: Duration = Duration::from_millis(100);
/// The most senders of recent solicitations that are remembered. The limits below let no more than
/// 220 be processed within the window, so this one is not reached.
const RECENT_MAX: usize = 256;
/// The most addresses that a response dial tries: one for each network that two machines share.
const RESPONSE_ADDRESSES_MAX: usize = 4;
/// Solicitations are processed at 200 a second, which limits the cost of a forged flood.
const SOLICITATION_INTERVAL: Duration = Duration::from_millis(5);
const SOLICITATION_BURST: u32 = 200;
/// Response dials and bridges start at 4 a second, with a burst of 8.
const DIAL_INTERVAL: Duration = Duration::from_millis(250);
const DIAL_BURST: u32 = 8;
/// The response dials to one host that are in progress: as many as it may fail. A host that answers
/// nothing takes 10 s to fail.
const DIALS_TO_HOST_MAX: usize = 8;
/// The cap of a node of degree 0: as many links as its dial burst.
const DEGREE_ZERO_CAP: usize = 8;

/// The number of links up to which a node of this degree responds to solicitations.
pub(super) fn link_cap(degree: u32) -> usize {
    if degree == 0 { DEGREE_ZERO_CAP } else { LINKS_MAX.min(degree as usize * 2) }
}

/// Why this node dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DialCause {
    /// The application requested it.
    Application(RequestId),
    /// A seed of the configuration, by its index.
    Seed(usize),
    /// A solicitation of this node.
    Response(Instance),
    /// A beacon or solicitation of an unreachable node: the dial joins two islands.
    Bridge {
        /// The unreachable node.
        to: Instance,
        /// Whether the dial may exceed the cap: an earlier solicitation got no response.
        over_cap: bool,
    },
}

impl DialCause {
    /// The node that is dialled, if it is known in advance.
    pub(super) fn target(self) -> Option<Instance> {
        match self {
            Self::Response(instance) | Self::Bridge { to: instance, .. } => Some(instance),
            Self::Application(_) | Self::Seed(_) => None,
        }
    }

    /// The purpose that the hello states.
    pub(super) fn purpose(self) -> Purpose {
        match self {
            Self::Application(_) | Self::Seed(_) => Purpose::Dialled,
            Self::Response(_) => Purpose::Solicited,
            Self::Bridge { .. } => Purpose::Bridge,
        }
    }
}

/// A response dial or bridge that waits for its random delay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PendingResponse {
    /// Where the copies of the solicitation came from, the first one first.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) cause: DialCause,
    /// The sender needs no more links once it announces this many peers.
    pub(super) enough_peers: usize,
}

/// A solicitation or beacon, with what the router knows about its sender.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReceivedSolicitation {
    pub(super) instance: Instance,
    pub(super) address: SocketAddr,
    /// How many links the sender needs; 0 for a beacon.
    pub(super) wanted: u32,
    /// How many peers the sender announces, as far as this node knows.
    pub(super) announced_peers: usize,
    /// Whether there is a route to the sender.
    pub(super) reachable: bool,
}

/// The state of this node on which its response depends.
#[derive(Debug, Clone, Copy)]
pub(super) struct LocalState {
    /// The number of links, candidates included.
    pub(super) links: usize,
    pub(super) degree: u32,
    /// The number of nodes in the mesh.
    pub(super) nodes: usize,
}

/// What this node does about a solicitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// It dials the sender at this time.
    DialAt(Instant),
    /// It does not respond.
    Ignore,
    /// It does not respond because too many response dials are pending.
    LimitReached,
}

/// A dial in progress.
#[derive(Debug)]
struct Dial {
    cause: DialCause,
    /// The addresses that datagrams named; none for other dials.
    addresses: Vec<SocketAddr>,
}

/// Pending response dials and dials in progress.
#[derive(Debug)]
pub(super) struct Discovery {
    responses: BTreeMap<Instance, PendingResponse>,
    dials: BTreeMap<DialId, Dial>,
    failures: DialFailures,
    dials_started: u64,
    /// When the first solicitation of each unreachable sender arrived.
    unreachable: BTreeMap<Instance, Instant>,
    /// When the last solicitation of each sender arrived, within [`COPY_WINDOW`].
    recent: BTreeMap<Instance, Instant>,
    solicitation_bucket: TokenBucket,
    dial_bucket: TokenBucket,
}

impl Discovery {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            responses: BTreeMap::new(),
            dials: BTreeMap::new(),
            failures: DialFailures::default(),
            dials_started: 0,
            unreachable: BTreeMap::new(),
            recent: BTreeMap::new(),
            solicitation_bucket: TokenBucket::new(SOLICITATION_INTERVAL, SOLICITATION_BURST, now),
            dial_bucket: TokenBucket::new(DIAL_INTERVAL, DIAL_BURST, now),
        }
    }

    /// Whether one more solicitation may be processed now.
    pub(super) fn take_solicitation_token(&mut self, now: Instant) -> bool {
        self.solicitation_bucket.take(now)
    }

    /// Whether a solicitation is a copy of one that was processed just before. The address of a copy
    /// becomes a further one of the pending response.
    pub(super) fn is_copy(&mut self, sender: Instance, from: SocketAddr, now: Instant) -> bool {
        if self.recent.get(&sender).is_none_or(|arrived| now >= *arrived + COPY_WINDOW) {
            return false;
        }
        if let Some(response) = self.responses.get_mut(&sender)
            && from.port() != 0
            && self.failures.permit(from, now)
            && response.addresses.len() < RESPONSE_ADDRESSES_MAX
            && !response.addresses.contains(&from)
        {
            response.addresses.push(from);
        }
        true
    }

    /// Remembers that a solicitation is processed, so that copies of it are recognized.
    pub(super) fn record_arrival(&mut self, sender: Instance, now: Instant) {
        self.recent.retain(|_, arrived| now < *arrived + COPY_WINDOW);
        if self.recent.len() < RECENT_MAX {
            self.recent.insert(sender, now);
        }
    }

    /// Processes the solicitation of a node that is neither linked nor being dialled.
    pub(super) fn receive(
        &mut self,
        solicitation: ReceivedSolicitation,
        local: LocalState,
        now: Instant,
        rng: &mut ChaCha8Rng,
    ) -> Decision {
        self.record_unreachable(solicitation, now);
        if self.responses.contains_key(&solicitation.instance) {
            return Decision::Ignore;
        }
        let Some(cause) = self.response_cause(solicitation, local, now) else {
            return Decision::Ignore;
        };
        let responds = match cause {
            DialCause::Bridge { .. } => {
                local.nodes <= BRIDGE_RESPONDERS
                    || happens_with_odds(BRIDGE_RESPONDERS, local.nodes, rng)
            }
            DialCause::Response(_) | DialCause::Application(_) | DialCause::Seed(_) => {
                local.nodes <= SOLICIT_LIMIT
                    || is_drawn_to_respond(solicitation.wanted, local.nodes, rng)
            }
        };
        if !responds {
            return Decision::Ignore;
        }
        if self.responses.len() >= RESPONSES_MAX {
            return Decision::LimitReached;
        }
        let enough_peers = solicitation.announced_peers + solicitation.wanted as usize;
        let addresses = vec![solicitation.address];
        let response = PendingResponse { addresses, cause, enough_peers };
        self.responses.insert(solicitation.instance, response);
        let soon = !solicitation.reachable && cause == DialCause::Response(solicitation.instance);
        let wait_max = if soon { RESPONSE_WAIT_UNREACHABLE } else { RESPONSE_WAIT_REACHABLE };
        Decision::DialAt(now + random_wait(wait_max, rng))
    }

    /// The kind of dial with which this node would respond, if it would.
    fn response_cause(
        &self,
        solicitation: ReceivedSolicitation,
        local: LocalState,
        now: Instant,
    ) -> Option<DialCause> {
        if solicitation.wanted > 0 && self.has_room(local) {
            return Some(DialCause::Response(solicitation.instance));
        }
        // A node exceeds its cap only if an earlier solicitation got no response.
        let unanswered = |first: &Instant| now >= *first + BRIDGE_OVER_CAP_AFTER;
        let may_exceed = local.links < LINKS_MAX && self.unreachable.values().any(unanswered);
        let over_cap = !self.has_room(local);
        let bridges = !solicitation.reachable && (!over_cap || may_exceed);
        bridges.then_some(DialCause::Bridge { to: solicitation.instance, over_cap })
    }

    /// Remembers the sender of a solicitation if there is no route to it.
    fn record_unreachable(&mut self, solicitation: ReceivedSolicitation, now: Instant) {
        self.unreachable.retain(|_, first| now < *first + UNREACHABLE_RETENTION);
        if !solicitation.reachable && self.unreachable.len() < UNREACHABLE_MAX {
            self.unreachable.entry(solicitation.instance).or_insert(now);
        }
    }

    /// Takes new routes into account: forgets the senders that are reachable now.
    pub(super) fn routes_changed(&mut self, routes: &RouteTable) {
        self.unreachable.retain(|sender, _| !routes.contains(*sender));
    }

    /// Whether a node with this many links responds to solicitations.
    fn has_room(&self, local: LocalState) -> bool {
        local.links + self.response_dials() < link_cap(local.degree)
    }

    /// The number of response dials and bridges in progress.
    fn response_dials(&self) -> usize {
        self.dials.values().filter(|dial| dial.cause.target().is_some()).count()
    }

    /// Takes a response whose wait is over. Returns `None` if it is no longer needed: there is no
    /// room for another link, or the other island has become reachable.
    pub(super) fn take_response(
        &mut self,
        instance: Instance,
        reachable: bool,
        local: LocalState,
    ) -> Option<PendingResponse> {
        let response = self.responses.remove(&instance)?;
        let needed = match response.cause {
            DialCause::Bridge { over_cap, .. } => !reachable && (over_cap || self.has_room(local)),
            DialCause::Response(_) | DialCause::Application(_) | DialCause::Seed(_) => {
                self.has_room(local)
            }
        };
        needed.then_some(response)
    }

    /// Whether a dial that another node causes may start now.
    pub(super) fn take_dial_token(&mut self, now: Instant) -> bool {
        self.dial_bucket.take(now)
    }

    /// Records a dial that starts.
    pub(super) fn start_dial(&mut self, cause: DialCause, address: &Address) -> DialId {
        self.dials_started += 1;
        let dial = DialId(self.dials_started);
        let addresses = match address {
            Address::Sockets(addresses) => addresses.clone(),
            Address::Named(_) => Vec::new(),
        };
        self.dials.insert(dial, Dial { cause, addresses });
        dial
    }

    /// Removes a dial that led to a node. Returns `None` for a dial that was canceled. If another
    /// node answered than the datagram named, its address may be forged: that is a failure.
    pub(super) fn dial_connected(
        &mut self,
        dial: DialId,
        instance: Instance,
        now: Instant,
    ) -> Option<DialCause> {
        let Dial { cause, addresses } = self.dials.remove(&dial)?;
        if cause.target().is_some_and(|target| target != instance) {
            self.failures.record(&addresses, now);
        }
        Some(cause)
    }

    /// Removes a dial that failed, and remembers the failure. Returns `None` for a dial that was
    /// canceled.
    pub(super) fn dial_failed(&mut self, dial: DialId, now: Instant) -> Option<DialCause> {
        let Dial { cause, addresses } = self.dials.remove(&dial)?;
        self.failures.record(&addresses, now);
        Some(cause)
    }

    /// Whether a datagram may cause a dial to this address.
    pub(super) fn may_dial(&self, address: SocketAddr, now: Instant) -> bool {
        let addresses = self.dials.values().flat_map(|dial| &dial.addresses);
        let to_host = addresses.filter(|other| other.ip() == address.ip()).count();
        to_host < DIALS_TO_HOST_MAX && self.failures.permit(address, now)
    }

    /// Forgets failures: hosts may be reachable now that were not before.
    pub(super) fn forget_failures(&mut self) {
        self.failures = DialFailures::default();
    }

    /// Removes a dial of the application.
    pub(super) fn cancel_dial(&mut self, request: RequestId) {
        self.dials.retain(|_, dial| dial.cause != DialCause::Application(request));
    }

    /// Removes all responses and dials.
    pub(super) fn close(&mut self) {
        self.responses.clear();
        self.dials.clear();
    }

    /// Whether a dial to this node is in progress.
    pub(super) fn is_dialling(&self, instance: Instance) -> bool {
        self.dials.values().any(|dial| dial.cause.target() == Some(instance))
    }
}

/// Draws whether this node is among those that respond in a mesh of more than [`SOLICIT_LIMIT`]
/// nodes. The probability is the original's, one in [`SOLICIT_RATIO`], or less if that would still
/// be far more nodes than needed: then four nodes on average respond for every link that is needed.
/// Of 1,000 nodes 125 would otherwise dial one newcomer, which accepts 4 of them.
fn is_drawn_to_respond(wanted: u32, nodes: usize, rng: &mut ChaCha8Rng) -> bool {
    let responders = wanted.min(1 << 10) as usize * 4;
    rng.random_ratio(1, SOLICIT_RATIO)
        && happens_with_odds(responders * SOLICIT_RATIO as usize, nodes, rng)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    fn solicitation(instance: u64, wanted: u32, reachable: bool) -> ReceivedSolicitation {
        let address = "10.0.0.1:9000".parse().expect("valid");
        let instance = Instance(instance);
        ReceivedSolicitation { instance, address, wanted, announced_peers: 0, reachable }
    }

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(1)
    }

    const WITH_ROOM: LocalState = LocalState { links: 0, degree: 3, nodes: 2 };
    const AT_CAP: LocalState = LocalState { links: 6, degree: 3, nodes: 2 };

    #[test]
    fn in_a_large_mesh_few_nodes_respond_to_a_solicitation() {
        let now = Instant::now();
        let mut rng = rng();
        let mut share_of_responses = |nodes| {
            let received = 4000;
            let local = LocalState { nodes, ..WITH_ROOM };
            let responses = (0..received).filter(|_| {
                let solicitation = solicitation(1, 4, true);
                let decision = Discovery::new(now).receive(solicitation, local, now, &mut rng);
                decision != Decision::Ignore
            });
            responses.count() as f64 / f64::from(received)
        };
        assert_eq!(share_of_responses(SOLICIT_LIMIT), 1.0);
        assert!((0.1..0.15).contains(&share_of_responses(100)), "one in eight");
        assert!((0.01..0.022).contains(&share_of_responses(1000)), "16 of 1,000, for 4 links");
    }

    #[test]
    fn a_response_waits_longer_if_there_is_a_route() {
        let now = Instant::now();
        let mut rng = rng();
        let mut longest = [Duration::ZERO; 2];
        for i in 0..200 {
            for reachable in [false, true] {
                let solicitation = solicitation(i, 1, reachable);
                let decision = Discovery::new(now).receive(solicitation, WITH_ROOM, now, &mut rng);
                let Decision::DialAt(at) = decision else { panic!("no response") };
                let longest = &mut longest[usize::from(reachable)];
                *longest = (at - now).max(*longest);
            }
        }
        assert!(longest[0] <= RESPONSE_WAIT_UNREACHABLE && longest[1] > RESPONSE_WAIT_UNREACHABLE);
        assert!(longest[1] <= RESPONSE_WAIT_REACHABLE);
    }

    #[test]
    fn a_node_at_its_cap_bridges_only_to_a_node_that_got_no_response() {
        let now = Instant::now();
        let mut rng = rng();
        let mut discovery = Discovery::new(now);
        let mut receive = |reachable, local, now| {
            discovery.receive(solicitation(1, 0, reachable), local, now, &mut rng)
        };
        assert_eq!(receive(true, WITH_ROOM, now), Decision::Ignore);
        assert_eq!(receive(false, AT_CAP, now), Decision::Ignore);
        let later = now + BRIDGE_OVER_CAP_AFTER;
        assert!(matches!(receive(false, AT_CAP, later), Decision::DialAt(_)));
        let response = discovery.take_response(Instance(1), false, AT_CAP).expect("still needed");
        assert_eq!(response.cause, DialCause::Bridge { to: Instance(1), over_cap: true });
    }

    #[test]
    fn copies_over_several_interfaces_make_one_dial_that_tries_each_address() {
        let now = Instant::now();
        let mut rng = rng();
        let mut discovery = Discovery::new(now);
        let address = |last: u8| SocketAddr::from(([10, 0, 0, last], 9000));
        let sender = Instance(1);
        assert!(!discovery.is_copy(sender, address(1), now));
        discovery.record_arrival(sender, now);
        discovery.receive(solicitation(1, 1, false), WITH_ROOM, now, &mut rng);
        for last in [1, 2, 2, 3, 4, 5, 6] {
            assert!(discovery.is_copy(sender, address(last), now));
        }
        assert!(!discovery.is_copy(Instance(2), address(7), now));
        assert!(!discovery.is_copy(sender, address(1), now + COPY_WINDOW));
        let response = discovery.take_response(sender, false, WITH_ROOM).expect("still needed");
        assert_eq!(response.addresses, [1, 2, 3, 4].map(address));
        assert_eq!(discovery.take_response(sender, false, WITH_ROOM), None, "one dial");
    }

    #[test]
    fn the_senders_of_recent_solicitations_are_bounded_in_number() {
        let now = Instant::now();
        let mut discovery = Discovery::new(now);
        for sender in 0..2 * RECENT_MAX as u64 {
            discovery.record_arrival(Instance(sender), now);
        }
        assert_eq!(discovery.recent.len(), RECENT_MAX);
        discovery.record_arrival(Instance(0), now + COPY_WINDOW);
        assert_eq!(discovery.recent.len(), 1);
    }

    #[test]
    fn a_response_that_is_no_longer_needed_is_dropped() {
        let now = Instant::now();
        let mut rng = rng();
        let mut discovery = Discovery::new(now);
        discovery.receive(solicitation(1, 0, false), WITH_ROOM, now, &mut rng);
        let instance = Instance(1);
        assert_eq!(discovery.take_response(instance, true, WITH_ROOM), None, "there is a route");
        discovery.receive(solicitation(2, 1, true), WITH_ROOM, now, &mut rng);
        let instance = Instance(2);
        assert_eq!(discovery.take_response(instance, true, AT_CAP), None, "there is no room");
        assert_eq!(discovery.take_response(instance, true, WITH_ROOM), None, "it is removed");
    }
}
