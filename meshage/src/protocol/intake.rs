//! How many announcements and claims a link may bring.
//!
//! ```text
//!  announcement ──┬─► within the limits ──► installed, flooded
//!                 └─► beyond: postponed; of one node only the newest is kept
//! ```
//!
//! A node limits the changes that it announces itself, so announcements of honest nodes wait only
//! while a mesh forms. The limits are counted for each link: what one peer brings delays nothing
//! that another one brings.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::{Duration, Instant};

use super::membership::Signed;
use super::token_bucket::TokenBucket;
use crate::name::{Age, Instance};
use crate::wire::control::{Announcement, ControlFrame};

/// The interval at which postponed announcements are looked at.
pub(super) const POSTPONED_INTERVAL: Duration = Duration::from_millis(25);
/// How many of a link are looked at then, so that messages do not wait long: 1,280 a second, more than
/// may be installed.
const POSTPONED_TAKEN_MAX: usize = 32;
/// The announcements of one node over one link: 40 a second, with a burst of 256. A node announces
/// new peers in a burst of 256, and then at most 20 changes a second.
const ORIGINATOR_INTERVAL: Duration = Duration::from_millis(25);
const ORIGINATOR_BURST: u32 = 256;
/// The announcements of unreachable nodes over one link: a burst of 16,384, more than any planned
/// mesh has nodes, and then 500 a second. Each counts once, and once more for eight peers, because
/// the computation of routes looks at every peer.
const UNREACHABLE_INTERVAL: Duration = Duration::from_millis(2);
const UNREACHABLE_BURST: u32 = 16_384;
const PEERS_PER_TOKEN: usize = 8;
/// How many frames that compare databases one link may bring at once, and the interval of further
/// ones. Each costs up to a pass over the database.
const COMPARISONS_BURST: u32 = 128;
const COMPARISONS_INTERVAL: Duration = Duration::from_millis(50);
/// The most nodes whose announcements are postponed for one link.
const POSTPONED_MAX: usize = 1024;
/// The most originators that are remembered before those that may announce again are forgotten.
const ORIGINATORS_MAX: usize = 1024;
/// The claims over one link: twice what a node sends in a database exchange, and then ten a second.
const CLAIMS_INTERVAL: Duration = Duration::from_millis(100);
const CLAIMS_BURST: u32 = 2048;
/// The Probes over one link: twice as many as a node sends over a silent one.
const PROBES_INTERVAL: Duration = Duration::from_millis(50);
const PROBES_BURST: u32 = 64;
/// The frames with offers over one link: as often as a node sends them, and as many as one for each of
/// 8,192 announcements at once.
const HAVES_INTERVAL: Duration = Duration::from_millis(10);
const HAVES_BURST: u32 = 128;

/// An announcement that has arrived over a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) announcement: Announcement,
    /// At levels allowed and signed: its signature, which was verified, and the credential.
    pub(super) signed: Option<Box<Signed>>,
    /// Whether the credential is forwarded with it.
    pub(super) with_credential: bool,
}

impl Received {
    /// The frame that it arrived in. It has the credential in any case.
    pub(super) fn frame(&self) -> ControlFrame {
        let announcement = self.announcement.clone();
        match &self.signed {
            None => ControlFrame::Announce(announcement),
            Some(signed) => signed.frame(announcement, true),
        }
    }
}

impl From<Announcement> for Received {
    fn from(announcement: Announcement) -> Self {
        Self { announcement, signed: None, with_credential: false }
    }
}

/// The result of postponing an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Postponed {
    /// It waits.
    Kept,
    /// A newer one of the same node waits already.
    Older,
    /// Too many wait. The originator announces again.
    NoRoom,
}

/// What one link has brought.
#[derive(Debug)]
pub(super) struct Intake {
    /// For each originator, when its burst is available again as a whole.
    originators: BTreeMap<Instance, TokenBucket>,
    unreachable: TokenBucket,
    claims: TokenBucket,
    comparisons: TokenBucket,
    probes: TokenBucket,
    haves: TokenBucket,
    postponed: BTreeMap<Instance, Received>,
    /// The last one that was taken out.
    last_taken: Instance,
}

impl Intake {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            originators: BTreeMap::new(),
            unreachable: TokenBucket::new(UNREACHABLE_INTERVAL, UNREACHABLE_BURST, now),
            claims: TokenBucket::new(CLAIMS_INTERVAL, CLAIMS_BURST, now),
            comparisons: TokenBucket::new(COMPARISONS_INTERVAL, COMPARISONS_BURST, now),
            probes: TokenBucket::new(PROBES_INTERVAL, PROBES_BURST, now),
            haves: TokenBucket::new(HAVES_INTERVAL, HAVES_BURST, now),
            postponed: BTreeMap::new(),
            last_taken: Instance(0),
        }
    }

    /// Whether a newer announcement of a node may be installed now.
    pub(super) fn permits(
        &mut self,
        announcement: &Announcement,
        reachable: bool,
        now: Instant,
    ) -> bool {
        if self.originators.len() >= ORIGINATORS_MAX {
            self.originators.retain(|_, bucket| !bucket.is_full(now));
        }
        let new = || TokenBucket::new(ORIGINATOR_INTERVAL, ORIGINATOR_BURST, now);
        let originator = self.originators.entry(announcement.instance).or_insert_with(new);
        let tokens = 1 + (announcement.peers.len() / PEERS_PER_TOKEN) as u32;
        if !originator.has(1, now) || !(reachable || self.unreachable.take_many(tokens, now)) {
            return false;
        }
        originator.take(now)
    }

    /// Keeps an announcement for later.
    pub(super) fn postpone(&mut self, received: Received) -> Postponed {
        let (instance, sequence) = (received.announcement.instance, received.announcement.sequence);
        match self.postponed.get(&instance) {
            Some(known) if sequence.age(known.announcement.sequence) != Age::Newer => {
                return Postponed::Older;
            }
            None if self.postponed.len() >= POSTPONED_MAX => return Postponed::NoRoom,
            Some(_) | None => {}
        }
        self.postponed.insert(instance, received);
        Postponed::Kept
    }

    /// Whether announcements are postponed.
    pub(super) fn has_postponed(&self) -> bool {
        !self.postponed.is_empty()
    }

    /// Takes out some postponed announcements: those that follow the ones of the last call.
    pub(super) fn take_postponed(&mut self) -> Vec<Received> {
        let following = self.postponed.range((Bound::Excluded(self.last_taken), Bound::Unbounded));
        let from_start = self.postponed.range(..=self.last_taken);
        let instances = following.chain(from_start).map(|(instance, _)| *instance);
        let instances: Vec<Instance> = instances.take(POSTPONED_TAKEN_MAX).collect();
        self.last_taken = instances.last().copied().unwrap_or(self.last_taken);
        instances.iter().filter_map(|instance| self.postponed.remove(instance)).collect()
    }

    /// Whether one more frame that compares databases may be answered now.
    pub(super) fn permits_comparison(&mut self, now: Instant) -> bool {
        self.comparisons.take(now)
    }

    /// Whether one more Probe may be answered now.
    pub(super) fn permits_probe(&mut self, now: Instant) -> bool {
        self.probes.take(now)
    }

    /// Whether one more Have may be taken now.
    pub(super) fn permits_have(&mut self, now: Instant) -> bool {
        self.haves.take(now)
    }

    /// Whether one more claim may be recorded now.
    pub(super) fn permits_claim(&mut self, now: Instant) -> bool {
        self.claims.take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{Claim, NodeName, Sequence};

    fn announcement(instance: u64, sequence: u32, peers: u64) -> Announcement {
        Announcement {
            name: NodeName::new("n").expect("valid"),
            instance: Instance(instance),
            sequence: Sequence(sequence),
            claim: Claim::FIRST,
            leaving: false,
            peers: (1..=peers).map(Instance).collect(),
        }
    }

    #[test]
    fn one_node_is_limited_and_another_is_not() {
        let now = Instant::now();
        let mut intake = Intake::new(now);
        let permitted = (0..1000).filter(|i| intake.permits(&announcement(1, *i, 1), true, now));
        assert_eq!(permitted.count(), ORIGINATOR_BURST as usize);
        assert!(intake.permits(&announcement(2, 1, 1), true, now));
        assert!(intake.permits(&announcement(1, 1, 1), true, now + ORIGINATOR_INTERVAL));
    }

    #[test]
    fn unreachable_nodes_are_limited_together_and_those_with_many_peers_sooner() {
        let now = Instant::now();
        for (peers, expected) in [(0, 16_384), (7, 16_384), (255, 512)] {
            let mut intake = Intake::new(now);
            let permitted =
                (0..20_000).filter(|i| intake.permits(&announcement(*i, 1, peers), false, now));
            assert_eq!(permitted.count(), expected);
            assert!(intake.permits(&announcement(1 << 40, 1, peers), true, now));
        }
    }

    #[test]
    fn of_one_node_the_newest_announcement_waits() {
        let mut intake = Intake::new(Instant::now());
        assert_eq!(intake.postpone(announcement(1, 20, 0).into()), Postponed::Kept);
        assert_eq!(intake.postpone(announcement(1, 19, 0).into()), Postponed::Older);
        assert_eq!(intake.postpone(announcement(1, 21, 0).into()), Postponed::Kept);
        assert_eq!(intake.take_postponed(), [announcement(1, 21, 0).into()]);
        assert!(!intake.has_postponed());
        for instance in 0..POSTPONED_MAX as u64 {
            assert_eq!(intake.postpone(announcement(instance, 20, 0).into()), Postponed::Kept);
        }
        assert_eq!(intake.postpone(announcement(1 << 40, 20, 0).into()), Postponed::NoRoom);
        assert_eq!(intake.postpone(announcement(3, 21, 0).into()), Postponed::Kept);
    }

    #[test]
    fn a_few_of_many_postponed_announcements_are_looked_at_each_in_its_turn() {
        let mut intake = Intake::new(Instant::now());
        let count = 3 * POSTPONED_TAKEN_MAX as u64 + 5;
        for instance in 0..count {
            intake.postpone(announcement(instance, 20, 0).into());
        }
        let mut taken = vec![0; count as usize];
        for _ in 0..2 * count.div_ceil(POSTPONED_TAKEN_MAX as u64) {
            let some = intake.take_postponed();
            assert_eq!(some.len(), POSTPONED_TAKEN_MAX);
            for received in some {
                taken[received.announcement.instance.0 as usize] += 1;
                intake.postpone(received);
            }
        }
        assert!(taken.iter().all(|times| (2..=3).contains(times)), "{taken:?}");
    }

    #[test]
    fn originators_that_may_announce_again_are_forgotten() {
        let now = Instant::now();
        let mut intake = Intake::new(now);
        for instance in 0..ORIGINATORS_MAX as u64 {
            assert!(intake.permits(&announcement(instance, 1, 0), true, now));
        }
        let later = now + ORIGINATOR_INTERVAL;
        assert!(intake.permits(&announcement(1 << 40, 1, 0), true, later));
        assert_eq!(intake.originators.len(), 1);
    }
}
