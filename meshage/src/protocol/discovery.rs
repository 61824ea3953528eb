//! Whom to look for, and whom to answer.
//!
//! ```text
//!  below the degree ── Solicit ──► datagram ──► others: Answer, after a random wait ──► Dial
//!  at the degree ───── Beacon ───► datagram ──► who has no route to it: Bridge ───────► Dial
//! ```
//!
//! Owns the back-offs of calls and beacons, the answers that wait and the dials under way. It knows no link and no route:
//! the router tells it what it needs to know, and acts on what it says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::ChaCha8Rng;

use super::io::{DialId, RequestId};
use super::token_bucket::TokenBucket;
use crate::config::{LINKS_MAX, SOLICIT_LIMIT, SOLICIT_RATIO};
use crate::name::Instance;
use crate::route::RouteTable;
use crate::wire::hello::Purpose;

/// The first call after a start or a lost link waits at most so long: nodes started together
/// spread, and one started alone is not kept waiting.
const SOLICIT_FIRST: Duration = Duration::from_millis(500);
/// The second one: the original's shortest.
const SOLICIT_MIN: Duration = Duration::from_secs(2);
/// The original's longest.
const SOLICIT_MAX: Duration = Duration::from_secs(128);
/// The first beacon, at the earliest: what became linked at the same time should know each other.
const BEACON_FIRST: Duration = Duration::from_millis(200);
/// The shortest time between beacons in the long run; the longest is twice that.
const BEACON_STEADY: Duration = Duration::from_secs(30);
/// In larger meshes, so many nodes (on average) send each of the early beacons. The steady ones
/// are sent by all, since not every node is heard by everybody.
const BEACONERS: usize = 32;
/// How many nodes of an island answer a beacon, on average. One would do; by chance none of 16
/// answers once in nine million times, and then the next beacon is answered.
const BRIDGERS: usize = 16;
/// An answer to a node that cannot be reached waits at most so long: the original's half second is
/// for those that are on the mesh already.
const ANSWER_UNREACHED: Duration = Duration::from_millis(250);
/// An answer to a node that can be reached, or to a beacon, waits at most so long.
const ANSWER_REACHED: Duration = Duration::from_millis(500);
/// How many answers wait at most: twice what the longest wait lets through at the dial rate would
/// be 12; 64 also serves nodes of high degree.
const ANSWERS_MAX: usize = 64;
/// A node goes beyond its share of links to join an island only if it could not be reached for so
/// long: what just comes up needs a second or two to know itself.
pub(super) const BRIDGE_PATIENCE: Duration = Duration::from_secs(3);
/// How many callers without a route are remembered.
const CALLERS_MAX: usize = 256;
/// How long: until the next two steady beacons of each.
const CALLERS_KEPT: Duration = Duration::from_secs(120);
/// Solicitations handled: 200 a second; a forged flood costs no more.
const SOLICITED_EVERY: Duration = Duration::from_millis(5);
const SOLICITED_BURST: u32 = 200;
/// Dials that others cause: 4 a second, with a burst of 8.
const DIAL_EVERY: Duration = Duration::from_millis(250);
const DIAL_BURST: u32 = 8;
/// What a node of degree 0 takes on to answer others: as many links as fit its dial burst.
const SILENT_CAP: usize = 8;

/// How many links a node of this degree keeps without being asked for more.
pub(super) fn cap(degree: u32) -> usize {
    if degree == 0 { SILENT_CAP } else { LINKS_MAX.min(degree as usize * 2) }
}

/// Why this node dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The application asked.
    Asked(RequestId),
    /// A seed of the configuration.
    Seed(usize),
    /// To answer this node's call.
    Answer(Instance),
    /// To join this node's island with ours.
    Bridge {
        /// Whose.
        to: Instance,
        /// Even beyond this node's share of links: an earlier call was answered by nobody.
        insists: bool,
    },
}

impl Cause {
    /// Whom it leads to, where that is known before.
    pub(super) fn target(self) -> Option<Instance> {
        match self {
            Self::Answer(instance) | Self::Bridge { to: instance, .. } => Some(instance),
            Self::Asked(_) | Self::Seed(_) => None,
        }
    }

    /// What to say in the hello.
    pub(super) fn purpose(self) -> Purpose {
        match self {
            Self::Asked(_) | Self::Seed(_) => Purpose::Dialled,
            Self::Answer(_) => Purpose::Solicited,
            Self::Bridge { .. } => Purpose::Bridge,
        }
    }
}

/// An answer that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) address: SocketAddr,
    pub(super) cause: Cause,
    /// The caller wants no more once it announces so many peers.
    pub(super) enough: usize,
}

/// A call as the router sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) instance: Instance,
    pub(super) address: SocketAddr,
    /// How many links it wants; 0 for a beacon.
    pub(super) wanted: u32,
    /// How many peers it announces, as far as is known.
    pub(super) announced: usize,
    /// Whether there is a route to it.
    pub(super) reachable: bool,
}

/// What a node can take on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Capacity {
    /// Links, candidates included.
    pub(super) links: usize,
    pub(super) degree: u32,
    /// Nodes on the mesh.
    pub(super) known: usize,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// To be answered at that time.
    AnswerAt(Instant),
    /// Not to be answered.
    Ignore,
    /// There are too many answers waiting.
    TooMany,
}

/// Back-offs, answers that wait, dials under way.
#[derive(Debug)]
pub(super) struct Discovery {
    calls: u32,
    /// The next early beacon's wait; steady from [`BEACON_STEADY`] on.
    beacon: Duration,
    answers: BTreeMap<Instance, Answer>,
    dials: BTreeMap<DialId, Cause>,
    dials_started: u64,
    /// When each caller was first heard that there is no route to.
    unreached: BTreeMap<Instance, Instant>,
    solicited: TokenBucket,
    dialled: TokenBucket,
}

impl Discovery {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            calls: 0,
            beacon: BEACON_FIRST,
            answers: BTreeMap::new(),
            dials: BTreeMap::new(),
            dials_started: 0,
            unreached: BTreeMap::new(),
            solicited: TokenBucket::new(SOLICITED_EVERY, SOLICITED_BURST, now),
            dialled: TokenBucket::new(DIAL_EVERY, DIAL_BURST, now),
        }
    }

    /// How long to wait before the next call.
    pub(super) fn call_wait(&mut self, rng: &mut ChaCha8Rng) -> Duration {
        let window = match self.calls {
            0 => SOLICIT_FIRST,
            // 2 s doubled six times is 128 s.
            n => SOLICIT_MAX.min(SOLICIT_MIN * 2_u32.pow((n - 1).min(6))),
        };
        self.calls = self.calls.saturating_add(1);
        up_to(window, rng)
    }

    /// The next call comes soon again: a link was lost, or more are wanted.
    pub(super) fn call_soon(&mut self) {
        self.calls = 0;
    }

    /// How long to wait before the next beacon.
    pub(super) fn beacon_wait(&mut self, rng: &mut ChaCha8Rng) -> Duration {
        let wait = self.beacon;
        if wait >= BEACON_STEADY {
            return rng.random_range(BEACON_STEADY..=BEACON_STEADY * 2);
        }
        self.beacon = wait * 2;
        rng.random_range(wait..=wait * 5 / 2)
    }

    /// The next beacons come soon: the degree is met.
    pub(super) fn beacon_soon(&mut self) {
        self.beacon = BEACON_FIRST;
    }

    /// The next beacons come in the long run's rhythm: calls do their work.
    pub(super) fn beacon_late(&mut self) {
        self.beacon = BEACON_STEADY;
    }

    /// Whether to send the beacon that is due: the early ones, in a large mesh, only by chance.
    pub(super) fn beacon_due(&self, known: usize, rng: &mut ChaCha8Rng) -> bool {
        self.beacon >= BEACON_STEADY || known <= BEACONERS || chance(BEACONERS, known, rng)
    }

    /// Whether one more solicitation may be handled now.
    pub(super) fn may_listen(&mut self, now: Instant) -> bool {
        self.solicited.take(now)
    }

    /// Takes in a call of a node that is neither linked nor being dialled.
    pub(super) fn heard(
        &mut self,
        call: Call,
        capacity: Capacity,
        now: Instant,
        rng: &mut ChaCha8Rng,
    ) -> Heard {
        self.note(call, now);
        if self.answers.contains_key(&call.instance) {
            return Heard::Ignore;
        }
        let Some(cause) = self.cause(call, capacity, now) else { return Heard::Ignore };
        let answers = match cause {
            Cause::Bridge { .. } => {
                capacity.known <= BRIDGERS || chance(BRIDGERS, capacity.known, rng)
            }
            Cause::Answer(_) | Cause::Asked(_) | Cause::Seed(_) => {
                capacity.known <= SOLICIT_LIMIT || answers_call(call.wanted, capacity.known, rng)
            }
        };
        if !answers {
            return Heard::Ignore;
        }
        if self.answers.len() >= ANSWERS_MAX {
            return Heard::TooMany;
        }
        let enough = call.announced + call.wanted as usize;
        self.answers.insert(call.instance, Answer { address: call.address, cause, enough });
        let soon = !call.reachable && cause == Cause::Answer(call.instance);
        let wait = if soon { ANSWER_UNREACHED } else { ANSWER_REACHED };
        Heard::AnswerAt(now + up_to(wait, rng))
    }

    /// How this node would answer a call, if at all.
    fn cause(&self, call: Call, capacity: Capacity, now: Instant) -> Option<Cause> {
        if call.wanted > 0 && self.has_room(capacity) {
            return Some(Cause::Answer(call.instance));
        }
        // Beyond its share of links a node goes only where an earlier call was answered by nobody.
        let unanswered = |first: &Instant| now >= *first + BRIDGE_PATIENCE;
        let goes_beyond = capacity.links < LINKS_MAX && self.unreached.values().any(unanswered);
        let insists = !self.has_room(capacity);
        let bridges = !call.reachable && (!insists || goes_beyond);
        bridges.then_some(Cause::Bridge { to: call.instance, insists })
    }

    /// Remembers a call of a node without a route.
    fn note(&mut self, call: Call, now: Instant) {
        self.unreached.retain(|_, first| now < *first + CALLERS_KEPT);
        if !call.reachable && self.unreached.len() < CALLERS_MAX {
            self.unreached.entry(call.instance).or_insert(now);
        }
    }

    /// There are new routes: forgets the callers that can be reached now.
    pub(super) fn routes_changed(&mut self, routes: &RouteTable) {
        self.unreached.retain(|caller, _| !routes.contains(*caller));
    }

    /// Whether a node with so many links answers calls for more.
    fn has_room(&self, capacity: Capacity) -> bool {
        capacity.links + self.answering() < cap(capacity.degree)
    }

    /// Dials under way to answer somebody.
    fn answering(&self) -> usize {
        self.dials.values().filter(|cause| cause.target().is_some()).count()
    }

    /// Takes an answer whose wait is over, unless it makes no more sense: there is no room for
    /// another link any more, or a way to the other island.
    pub(super) fn take_answer(
        &mut self,
        instance: Instance,
        reachable: bool,
        capacity: Capacity,
    ) -> Option<Answer> {
        let answer = self.answers.remove(&instance)?;
        let goes = match answer.cause {
            Cause::Bridge { insists, .. } => !reachable && (insists || self.has_room(capacity)),
            Cause::Answer(_) | Cause::Asked(_) | Cause::Seed(_) => self.has_room(capacity),
        };
        goes.then_some(answer)
    }

    /// Whether a dial that somebody else causes may start now.
    pub(super) fn may_dial(&mut self, now: Instant) -> bool {
        self.dialled.take(now)
    }

    /// Notes a dial that starts.
    pub(super) fn dial(&mut self, cause: Cause) -> DialId {
        self.dials_started += 1;
        let dial = DialId(self.dials_started);
        self.dials.insert(dial, cause);
        dial
    }

    /// A dial is over, well or not; `None` for one that was canceled.
    pub(super) fn end_dial(&mut self, dial: DialId) -> Option<Cause> {
        self.dials.remove(&dial)
    }

    /// Forgets the application's dial.
    pub(super) fn cancel(&mut self, request: RequestId) {
        self.dials.retain(|_, cause| *cause != Cause::Asked(request));
    }

    /// Forgets all answers and dials.
    pub(super) fn close(&mut self) {
        self.answers.clear();
        self.dials.clear();
    }

    /// Whether this node is dialling that one.
    pub(super) fn is_dialling(&self, instance: Instance) -> bool {
        self.dials.values().any(|cause| cause.target() == Some(instance))
    }
}

/// A mesh above [`SOLICIT_LIMIT`] nodes answers with the original's chance of one in
/// [`SOLICIT_RATIO`], or, where that would still be far more nodes than are wanted, with the chance
/// that makes four answers for every link wanted: of 1,000 nodes 125 would dial one newcomer, who
/// takes 4 of them.
fn answers_call(wanted: u32, known: usize, rng: &mut ChaCha8Rng) -> bool {
    rng.random_ratio(1, SOLICIT_RATIO)
        && chance(wanted.min(1 << 10) as usize * 4 * SOLICIT_RATIO as usize, known, rng)
}

/// True `times` in `out_of` cases, always if that is once or more.
fn chance(times: usize, out_of: usize, rng: &mut ChaCha8Rng) -> bool {
    times >= out_of || rng.random_range(0..out_of) < times
}

/// A random wait of at most `most`.
pub(super) fn up_to(most: Duration, rng: &mut ChaCha8Rng) -> Duration {
    rng.random_range(Duration::ZERO..=most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    fn call(instance: u64, wanted: u32, reachable: bool) -> Call {
        let address = "10.0.0.1:9000".parse().expect("valid");
        Call { instance: Instance(instance), address, wanted, announced: 0, reachable }
    }

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(1)
    }

    const ROOMY: Capacity = Capacity { links: 0, degree: 3, known: 2 };
    const SATURATED: Capacity = Capacity { links: 6, degree: 3, known: 2 };

    #[test]
    fn calls_back_off_from_half_a_second_to_two_minutes() {
        let now = Instant::now();
        let mut longest = [Duration::ZERO; 9];
        for seed in 0..300 {
            let mut discovery = Discovery::new(now);
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            for wait in &mut longest {
                *wait = discovery.call_wait(&mut rng).max(*wait);
            }
        }
        let windows = [0.5, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 128.0];
        for (longest, window) in longest.iter().zip(windows) {
            assert!((0.9 * window..=window).contains(&longest.as_secs_f64()), "{longest:?}");
        }
    }

    #[test]
    fn beacons_begin_soon_and_end_at_half_a_minute_to_a_minute() {
        let mut discovery = Discovery::new(Instant::now());
        let mut rng = rng();
        let first = discovery.beacon_wait(&mut rng);
        assert!(first >= BEACON_FIRST && first <= Duration::from_millis(500));
        let waits: Vec<_> = (0..20).map(|_| discovery.beacon_wait(&mut rng)).collect();
        assert!(waits[10..].iter().all(|wait| (30..=60).contains(&wait.as_secs())));
        assert!(waits.iter().take(10).sum::<Duration>() > Duration::from_secs(30));
    }

    #[test]
    fn in_a_large_mesh_few_answer_a_call() {
        let now = Instant::now();
        let mut rng = rng();
        let mut answers = |known| {
            let asked = 4000;
            let capacity = Capacity { known, ..ROOMY };
            let answers = (0..asked).filter(|_| {
                let heard = Discovery::new(now).heard(call(1, 4, true), capacity, now, &mut rng);
                heard != Heard::Ignore
            });
            answers.count() as f64 / f64::from(asked)
        };
        assert_eq!(answers(SOLICIT_LIMIT), 1.0);
        assert!((0.1..0.15).contains(&answers(100)), "one in eight");
        assert!((0.01..0.022).contains(&answers(1000)), "16 of 1,000, for 4 links");
    }

    #[test]
    fn an_answer_waits_longer_where_there_is_a_route() {
        let now = Instant::now();
        let mut rng = rng();
        let mut longest = [Duration::ZERO; 2];
        for i in 0..200 {
            for reachable in [false, true] {
                let call = call(i, 1, reachable);
                let heard = Discovery::new(now).heard(call, ROOMY, now, &mut rng);
                let Heard::AnswerAt(at) = heard else { panic!("answered") };
                let slot = &mut longest[usize::from(reachable)];
                *slot = (at - now).max(*slot);
            }
        }
        assert!(longest[0] <= ANSWER_UNREACHED && longest[1] > ANSWER_UNREACHED);
        assert!(longest[1] <= ANSWER_REACHED);
    }

    #[test]
    fn a_saturated_node_bridges_only_what_was_left_alone() {
        let now = Instant::now();
        let mut rng = rng();
        let mut discovery = Discovery::new(now);
        assert_eq!(discovery.heard(call(1, 0, true), ROOMY, now, &mut rng), Heard::Ignore);
        assert_eq!(discovery.heard(call(1, 0, false), SATURATED, now, &mut rng), Heard::Ignore);
        let later = now + BRIDGE_PATIENCE;
        let heard = discovery.heard(call(1, 0, false), SATURATED, later, &mut rng);
        assert!(matches!(heard, Heard::AnswerAt(_)));
        let answer = discovery.take_answer(Instance(1), false, SATURATED).expect("still apart");
        assert_eq!(answer.cause, Cause::Bridge { to: Instance(1), insists: true });
    }

    #[test]
    fn an_answer_is_given_up_where_it_is_needed_no_more() {
        let now = Instant::now();
        let mut rng = rng();
        let mut discovery = Discovery::new(now);
        discovery.heard(call(1, 0, false), ROOMY, now, &mut rng);
        assert_eq!(discovery.take_answer(Instance(1), true, ROOMY), None, "there is a route now");
        discovery.heard(call(2, 1, true), ROOMY, now, &mut rng);
        assert_eq!(discovery.take_answer(Instance(2), true, SATURATED), None, "no more room");
        assert_eq!(discovery.take_answer(Instance(2), true, ROOMY), None, "taken is taken");
    }
}
