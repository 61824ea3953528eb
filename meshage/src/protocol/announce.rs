//! When this node announces its links: at once after a quiet time, then ever more seldom.
//!
//! ```text
//!  a change   ├─ now, if the hold has passed
//!             └─ else when it has: the last change is always announced
//!  hold: 100 ms, doubled up to 5 s by every announcement that takes a link back when there
//!        have been more of them than the credit pays for, and 100 ms again after a quiet time
//! ```
//!
//! The credit is for what happens now and then: a dozen nodes that end one after the other, a program
//! that hangs up and dials again. One that goes on like that pays an announcement in 5 s, on average
//! and in the end.
//!
//! New links alone do not lengthen the hold: a node that dials sixteen others one after the other
//! is no link that comes and goes, and there are never more of them than links.

use std::time::{Duration, Instant};

use crate::name::{Age, Instance, NodeName, Sequence};
use crate::wire::control::Announcement;

/// How long after the first announcement the next one waits: long enough for a node's first links
/// to come up together.
const HOLD_MIN: Duration = Duration::from_millis(100);
/// The longest that one waits: a link that comes and goes costs the mesh an announcement in 5 s.
const HOLD_MAX: Duration = Duration::from_secs(5);
/// The shortest time without a change that counts as quiet.
const QUIET_MIN: Duration = Duration::from_secs(1);

/// How many announcements that take links back go at [`HOLD_MIN`] before the hold grows: what ending
/// a whole mesh of usual size costs one node.
const CREDIT_MAX: u32 = 16;
/// How long one of them takes to be forgotten: as long as the longest hold, so that the credit changes
/// nothing in the long run.
const CREDIT_AFTER: Duration = HOLD_MAX;

/// When to announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Now,
    At(Instant),
}

/// This node's own announcement, and when the next one may follow.
#[derive(Debug)]
pub(super) struct Origin {
    announcement: Announcement,
    hold: Duration,
    last: Option<Instant>,
    credit: u32,
    /// Since when credit has been growing.
    credited: Option<Instant>,
}

impl Origin {
    pub(super) fn new(name: NodeName, instance: Instance) -> Self {
        let sequence = Sequence::FIRST;
        let announcement = Announcement { name, instance, sequence, peers: Vec::new() };
        Self { announcement, hold: HOLD_MIN, last: None, credit: CREDIT_MAX, credited: None }
    }

    /// What was announced last.
    pub(super) fn announcement(&self) -> &Announcement {
        &self.announcement
    }

    /// When a change may be announced.
    pub(super) fn when(&self, now: Instant) -> When {
        match self.last.map(|last| last + self.hold) {
            Some(at) if at > now => When::At(at),
            Some(_) | None => When::Now,
        }
    }

    /// Announces these peers because they changed, and paces what follows.
    pub(super) fn change(&mut self, peers: Vec<Instance>, now: Instant) -> &Announcement {
        let quiet = QUIET_MIN.max(self.hold * 2);
        let before = &self.announcement.peers;
        let grows = before.iter().all(|peer| peers.binary_search(peer).is_ok());
        if self.last.is_none_or(|last| now >= last + quiet) {
            self.hold = HOLD_MIN;
        } else if !grows && !self.pay(now) {
            self.hold = HOLD_MAX.min(self.hold * 2);
        }
        self.last = Some(now);
        self.renew(peers)
    }

    /// Whether the credit pays for one announcement more.
    fn pay(&mut self, now: Instant) -> bool {
        let since = *self.credited.get_or_insert(now);
        let gained = now.saturating_duration_since(since).as_secs() / CREDIT_AFTER.as_secs();
        let gained = u32::try_from(gained).unwrap_or(CREDIT_MAX);
        self.credit = CREDIT_MAX.min(self.credit.saturating_add(gained));
        self.credited =
            Some(if self.credit == CREDIT_MAX { now } else { since + CREDIT_AFTER * gained });
        let paid = self.credit > 0;
        self.credit = self.credit.saturating_sub(1);
        paid
    }

    /// Announces these peers whether or not they changed; paces nothing.
    pub(super) fn renew(&mut self, peers: Vec<Instance>) -> &Announcement {
        self.announcement.peers = peers;
        self.announcement.sequence = self.announcement.sequence.next();
        &self.announcement
    }

    /// Somebody sent an announcement that is said to be this node's. If it would be taken for newer
    /// than the real one, or for the same, the next real one shall be newer than both.
    pub(super) fn outdo(&mut self, other: &Announcement) -> bool {
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

    fn origin() -> Origin {
        Origin::new(NodeName::new("a").expect("valid"), Instance(1))
    }

    /// How long each of so many changes waits, that follow each other as fast as they may.
    fn gaps(origin: &mut Origin, now: &mut Instant, count: u64) -> Vec<u128> {
        let mut gaps = Vec::new();
        for i in 0..count {
            let at = match origin.when(*now) {
                When::Now => *now,
                When::At(at) => at,
            };
            gaps.push((at - *now).as_millis());
            *now = at;
            origin.change(vec![Instance(i)], *now);
        }
        gaps
    }

    #[test]
    fn the_first_changes_go_soon_and_the_next_ones_ever_later() {
        let mut origin = origin();
        let mut now = Instant::now();
        let first = gaps(&mut origin, &mut now, u64::from(CREDIT_MAX) + 2);
        assert_eq!(first[0], 0);
        assert!(first[1..].iter().all(|gap| *gap == 100), "{first:?}");
        assert_eq!(gaps(&mut origin, &mut now, 5), [200, 400, 800, 1600, 3200]);
        now += Duration::from_secs(10);
        assert_eq!(origin.when(now), When::Now);
        origin.change(Vec::new(), now);
        assert_eq!(origin.when(now), When::At(now + HOLD_MIN), "quiet has reset the hold");
    }

    #[test]
    fn in_the_long_run_a_link_that_comes_and_goes_costs_an_announcement_in_five_seconds() {
        let mut origin = origin();
        let start = Instant::now();
        let mut now = start;
        gaps(&mut origin, &mut now, 200);
        let seconds = (now - start).as_secs();
        assert!(seconds >= 5 * (200 - 2 * u64::from(CREDIT_MAX)) * 4 / 5, "{seconds} s");
    }

    #[test]
    fn links_that_only_come_do_not_lengthen_the_hold() {
        let start = Instant::now();
        let mut origin = origin();
        for i in 1..50 {
            let now = start + HOLD_MIN * i;
            assert_eq!(origin.when(now), When::Now);
            origin.change((0..i.into()).map(Instance).collect(), now);
        }
    }

    #[test]
    fn a_stale_copy_of_ones_own_is_outdone() {
        let mut origin = origin();
        let mut copy = origin.announcement().clone();
        assert!(!origin.outdo(&copy), "it is the very one");
        copy.sequence = Sequence(500);
        assert!(origin.outdo(&copy));
        assert_eq!(origin.renew(Vec::new()).sequence, Sequence(501));
        assert!(!origin.outdo(&copy));
    }
}
