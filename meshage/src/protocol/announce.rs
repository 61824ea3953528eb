//! When this node announces its links: a new link at once, the loss of a link and a link that keeps
//! coming back at growing intervals.
//!
//! ```text
//!  a new peer         ├─ now, if the last announcement is 5 ms old
//!                     └─ else then: links that come up together are announced together
//!  a peer that        ├─ as a new peer, while its credit lasts
//!  comes back         └─ else after its hold: 100 ms, doubled up to 5 s
//!  a peer is gone     ├─ now, if no loss was announced within the hold
//!                     └─ else with the next new peer, or when the hold expires
//!                        hold: 100 ms; doubled up to 5 s while the credit is used up
//! ```
//!
//! What keeps changing is damped, and nothing else. A peer that comes back again and again delays
//! its own links, but not those of other peers of this node. A loss that waits is announced together
//! with the next new peer. The last change is always announced.
//!
//! The credit covers occasional changes: a dozen nodes that end one after the other, or a program
//! that hangs up and dials again. New peers have tokens for as many announcements as a node can have
//! links, and then one in 100 ms.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::token_bucket::TokenBucket;
use crate::config::LINKS_MAX;
use crate::name::{Age, Claim, Instance, NodeName, Sequence};
use crate::wire::control::Announcement;

/// How long a new peer waits for others after an announcement: the links that come up together are
/// announced together. A dial to a node with many links takes no longer than this because of them.
const GATHER: Duration = Duration::from_millis(5);
/// The shortest time between two announcements that only remove peers: several links of a node that
/// end together are announced together.
const HOLD_MIN: Duration = Duration::from_millis(100);
/// The longest time between two announcements of the same kind: a flapping link costs the mesh two
/// in 5 s.
const HOLD_MAX: Duration = Duration::from_secs(5);
/// The shortest quiet period: a time without a change.
const QUIET_MIN: Duration = Duration::from_secs(1);

/// How many announcements that remove peers are sent at [`HOLD_MIN`] before the hold grows: as many
/// as one node sends when all nodes of a mesh of usual size end. As often may a peer come back
/// before it is damped.
const CREDIT_MAX: u32 = 16;
/// The time in which one credit is regained: the longest hold, so that the credit does not change
/// the long-run rate.
const CREDIT_INTERVAL: Duration = HOLD_MAX;

/// How many announcements of new peers are sent without a wait: all links of a node may come up one
/// after the other.
const GROWTH_MAX: u32 = LINKS_MAX as u32;
/// The interval of further ones: a node that short-lived nodes visit without end costs the mesh ten
/// announcements a second.
const GROWTH_INTERVAL: Duration = Duration::from_millis(100);

/// How many lost peers are remembered, to recognise those that come back again and again. Of more,
/// the one that was lost first is forgotten, and then counts as new.
const LOST_PEERS_MAX: usize = 1024;

/// When to announce a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnnounceTime {
    Now,
    /// Soon: with the links that come up together.
    Gathered(Instant),
    /// Later, because of a limit.
    Limited(Instant),
}

/// Lengthens the time between events of one kind while they follow each other.
#[derive(Debug)]
struct Damping {
    hold: Duration,
    /// The hold while there is credit.
    hold_min: Duration,
    last: Option<Instant>,
    credit: u32,
    /// The time up to which regained credit has been counted.
    credit_since: Option<Instant>,
}

impl Damping {
    fn new(hold_min: Duration) -> Self {
        Self { hold: hold_min, hold_min, last: None, credit: CREDIT_MAX, credit_since: None }
    }

    /// When the next event may follow.
    fn next_time(&self, now: Instant) -> Instant {
        self.last.map_or(now, |last| now.max(last + self.hold))
    }

    /// Records an event, and adjusts the hold.
    fn record(&mut self, now: Instant) {
        let quiet = QUIET_MIN.max(self.hold * 2);
        if self.last.is_none_or(|last| now >= last + quiet) {
            self.hold = self.hold_min;
        } else if !self.spend_credit(now) {
            self.hold = (self.hold * 2).clamp(HOLD_MIN, HOLD_MAX);
        }
        self.last = Some(now);
    }

    /// Takes one credit. Returns false if there is none.
    fn spend_credit(&mut self, now: Instant) -> bool {
        let since = *self.credit_since.get_or_insert(now);
        let gained = now.saturating_duration_since(since).as_secs() / CREDIT_INTERVAL.as_secs();
        let gained = u32::try_from(gained).unwrap_or(CREDIT_MAX);
        self.credit = CREDIT_MAX.min(self.credit.saturating_add(gained));
        self.credit_since =
            Some(if self.credit == CREDIT_MAX { now } else { since + CREDIT_INTERVAL * gained });
        let available = self.credit > 0;
        self.credit = self.credit.saturating_sub(1);
        available
    }
}

/// A peer whose link was lost.
#[derive(Debug)]
struct LostPeer {
    /// How often it comes back.
    returns: Damping,
    lost_at: Instant,
}

/// This node's announcement, and when the next one may follow.
#[derive(Debug)]
pub(super) struct OwnAnnouncement {
    announcement: Announcement,
    last: Option<Instant>,
    growth: TokenBucket,
    removals: Damping,
    lost_peers: BTreeMap<NodeName, LostPeer>,
}

impl OwnAnnouncement {
    pub(super) fn new(name: NodeName, instance: Instance, now: Instant) -> Self {
        let announcement = Announcement {
            name,
            instance,
            sequence: Sequence::FIRST,
            claim: Claim::FIRST,
            leaving: false,
            peers: Vec::new(),
        };
        Self {
            announcement,
            last: None,
            growth: TokenBucket::new(GROWTH_INTERVAL, GROWTH_MAX, now),
            removals: Damping::new(HOLD_MIN),
            lost_peers: BTreeMap::new(),
        }
    }

    /// The last announcement.
    pub(super) fn announcement(&self) -> &Announcement {
        &self.announcement
    }

    /// Records that the last link to a peer ended.
    pub(super) fn peer_lost(&mut self, peer: &NodeName, now: Instant) {
        if let Some(known) = self.lost_peers.get_mut(peer) {
            known.lost_at = now;
            return;
        }
        if self.lost_peers.len() >= LOST_PEERS_MAX {
            let oldest = self.lost_peers.iter().min_by_key(|(_, lost)| lost.lost_at);
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                self.lost_peers.remove(&name);
            }
        }
        let lost = LostPeer { returns: Damping::new(Duration::ZERO), lost_at: now };
        self.lost_peers.insert(peer.clone(), lost);
    }

    /// When the change to these peers may be announced. `name_of` returns the name of a peer.
    pub(super) fn next_time<'a>(
        &self,
        peers: &[Instance],
        name_of: impl Fn(Instance) -> Option<&'a NodeName>,
        now: Instant,
    ) -> AnnounceTime {
        let Some(last) = self.last else { return AnnounceTime::Now };
        let returns = |peer| {
            let lost = name_of(peer).and_then(|name| self.lost_peers.get(name));
            lost.map_or(now, |lost| lost.returns.next_time(now))
        };
        let growth = self.added(peers).map(returns).min().map(|at| at.max(self.growth.next(now)));
        let removal = self.removes(peers).then(|| self.removals.next_time(now));
        // Without a change of the peers, the announcement corrects a false one.
        let at = match [growth, removal].into_iter().flatten().min() {
            Some(at) => at,
            None => last + HOLD_MIN,
        };
        match at {
            at if at > now => AnnounceTime::Limited(at),
            _ if growth.is_some() && last + GATHER > now => AnnounceTime::Gathered(last + GATHER),
            _ => AnnounceTime::Now,
        }
    }

    fn added(&self, peers: &[Instance]) -> impl Iterator<Item = Instance> {
        let before = &self.announcement.peers;
        peers.iter().copied().filter(|peer| before.binary_search(peer).is_err())
    }

    fn removes(&self, peers: &[Instance]) -> bool {
        self.announcement.peers.iter().any(|peer| peers.binary_search(peer).is_err())
    }

    /// Announces changed peers.
    pub(super) fn update<'a>(
        &mut self,
        peers: Vec<Instance>,
        name_of: impl Fn(Instance) -> Option<&'a NodeName>,
        now: Instant,
    ) -> &Announcement {
        let added: Vec<Instance> = self.added(&peers).collect();
        let mut grows = false;
        for &peer in &added {
            let lost = name_of(peer).and_then(|name| self.lost_peers.get_mut(name));
            grows |= lost.as_ref().is_none_or(|lost| lost.returns.next_time(now) <= now);
            if let Some(lost) = lost {
                lost.returns.record(now);
            }
        }
        // A loss that is announced together with a new peer costs nothing more.
        let grows = grows && self.growth.take(now);
        if !grows && self.removes(&peers) {
            self.removals.record(now);
        }
        self.last = Some(now);
        self.reissue(peers)
    }

    /// Announces these peers, changed or not. Does not affect the limits.
    pub(super) fn reissue(&mut self, peers: Vec<Instance>) -> &Announcement {
        self.announcement.peers = peers;
        self.announcement.sequence = self.announcement.sequence.next();
        &self.announcement
    }

    /// The last announcement of this node: it has no peers and leaves the mesh.
    pub(super) fn leave(&mut self) -> &Announcement {
        self.announcement.leaving = true;
        self.reissue(Vec::new())
    }

    /// Takes over the name from a former holder with this claim. Returns whether the next
    /// announcement differs because of it.
    pub(super) fn take_over(&mut self, former: Claim) -> bool {
        let higher = former >= self.announcement.claim;
        if higher {
            self.announcement.claim = former.next();
        }
        higher
    }

    /// Compares with a received announcement that bears this node's instance. If other nodes would
    /// take it for newer than the real one, or for the same one although it differs, returns true
    /// and makes the next real one newer than both.
    pub(super) fn supersede(&mut self, other: &Announcement) -> bool {
        let newer = match other.sequence.age(self.announcement.sequence) {
            Age::Newer => true,
            Age::Same => *other != self.announcement,
            Age::Older => false,
        };
        if newer {
            self.announcement.sequence = other.sequence;
        }
        newer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> NodeName {
        NodeName::new(text).expect("valid")
    }

    fn own_announcement(now: Instant) -> OwnAnnouncement {
        OwnAnnouncement::new(name("a"), Instance(1), now)
    }

    /// Announces a change as soon as possible. Returns how long it waited, in milliseconds.
    fn announce(
        own: &mut OwnAnnouncement,
        peers: &[u64],
        who: &NodeName,
        now: &mut Instant,
    ) -> u128 {
        let peers: Vec<Instance> = peers.iter().copied().map(Instance).collect();
        let at = match own.next_time(&peers, |_| Some(who), *now) {
            AnnounceTime::Now => *now,
            AnnounceTime::Gathered(at) | AnnounceTime::Limited(at) => at,
        };
        let waited = (at - *now).as_millis();
        *now = at;
        own.update(peers, |_| Some(who), *now);
        waited
    }

    #[test]
    fn the_first_losses_are_announced_soon_and_later_ones_at_growing_intervals() {
        let mut now = Instant::now();
        let mut own = own_announcement(now);
        let b = name("b");
        let all: Vec<u64> = (1..=60).collect();
        announce(&mut own, &all, &b, &mut now);
        let waits: Vec<u128> =
            (1..=23).map(|i| announce(&mut own, &all[i..], &b, &mut now)).collect();
        assert_eq!(waits[0], 0);
        assert!(waits[1..=17].iter().all(|wait| *wait == 100), "{waits:?}");
        assert_eq!(waits[18..], [200, 400, 800, 1600, 3200]);
        now += Duration::from_secs(10);
        assert_eq!(announce(&mut own, &all[24..], &b, &mut now), 0);
        assert_eq!(announce(&mut own, &all[25..], &b, &mut now), 100, "a quiet period resets it");
    }

    #[test]
    fn in_the_long_run_a_flapping_link_costs_two_announcements_in_five_seconds() {
        let start = Instant::now();
        let mut own = own_announcement(start);
        let (b, mut now) = (name("b"), start);
        for i in 0..100 {
            announce(&mut own, &[i], &b, &mut now);
            own.peer_lost(&b, now);
            announce(&mut own, &[], &b, &mut now);
        }
        let seconds = (now - start).as_secs();
        assert!(seconds >= 5 * (100 - 2 * u64::from(CREDIT_MAX)) * 4 / 5, "{seconds} s");
    }

    #[test]
    fn a_new_peer_never_waits_for_one_that_flaps_or_for_losses() {
        let start = Instant::now();
        let mut now = start;
        let mut own = own_announcement(now);
        let (flapping, other) = (name("b"), name("c"));
        for i in 100..140 {
            announce(&mut own, &[i], &flapping, &mut now);
            own.peer_lost(&flapping, now);
            announce(&mut own, &[], &flapping, &mut now);
        }
        assert!(now - start > Duration::from_secs(60), "the one that flaps is damped");
        announce(&mut own, &[141], &flapping, &mut now);
        own.peer_lost(&flapping, now);
        assert_eq!(announce(&mut own, &[7], &other, &mut now), GATHER.as_millis());
        assert_eq!(own.announcement().peers, [Instance(7)], "with the loss");
    }

    #[test]
    fn all_links_of_a_node_are_announced_at_once_and_further_ones_at_a_bounded_rate() {
        let mut now = Instant::now();
        let mut own = own_announcement(now);
        for i in 1..=u64::from(GROWTH_MAX) {
            let peers: Vec<u64> = (0..i).collect();
            assert!(announce(&mut own, &peers, &name("b"), &mut now) <= GATHER.as_millis());
        }
        let start = now;
        for i in 0..300 {
            announce(&mut own, &[1000 + i], &name("b"), &mut now);
        }
        assert!(now - start >= GROWTH_INTERVAL * 240, "{:?}", now - start);
    }

    #[test]
    fn the_memory_of_lost_peers_is_bounded() {
        let now = Instant::now();
        let mut own = own_announcement(now);
        for i in 0..2 * LOST_PEERS_MAX as u32 {
            own.peer_lost(&name(&format!("n{i}")), now + Duration::from_millis(i.into()));
        }
        assert_eq!(own.lost_peers.len(), LOST_PEERS_MAX);
        assert!(!own.lost_peers.contains_key("n0"), "the oldest are forgotten");
    }

    #[test]
    fn a_false_copy_of_the_own_announcement_is_superseded() {
        let mut own = own_announcement(Instant::now());
        let mut copy = own.announcement().clone();
        assert!(!own.supersede(&copy), "it is the same announcement");
        copy.sequence = Sequence(500);
        assert!(own.supersede(&copy));
        assert_eq!(own.reissue(Vec::new()).sequence, Sequence(501));
        assert!(!own.supersede(&copy));
    }

    #[test]
    fn a_name_is_taken_over_with_a_higher_claim() {
        let mut own = own_announcement(Instant::now());
        assert!(own.take_over(Claim(7)));
        assert_eq!(own.announcement().claim, Claim(8));
        assert!(!own.take_over(Claim(7)));
    }
}
