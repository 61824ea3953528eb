//! When this node announces its links: at once after a quiet period, then at growing intervals.
//!
//! ```text
//!  a change   ├─ now, if the hold has expired
//!             └─ else when it expires: the last change is always announced
//!  hold: 100 ms; doubled up to 5 s by every announcement that removes a link, once the credit
//!        is used up; 100 ms again after a quiet period
//! ```
//!
//! The credit covers occasional changes: a dozen nodes that end one after the other, or a program
//! that hangs up and dials again. A node whose links keep changing announces once in 5 s in the
//! long run.
//!
//! New links alone do not lengthen the hold. A node that dials sixteen others one after the other
//! has no flapping link, and the number of such announcements is bounded by the number of links.

use std::time::{Duration, Instant};

use crate::name::{Age, Instance, NodeName, Sequence};
use crate::wire::control::Announcement;

/// The shortest time between two announcements: long enough for a node's first links to come up
/// together.
const HOLD_MIN: Duration = Duration::from_millis(100);
/// The longest time between two announcements: a flapping link costs the mesh one in 5 s.
const HOLD_MAX: Duration = Duration::from_secs(5);
/// The shortest quiet period: a time without a change.
const QUIET_MIN: Duration = Duration::from_secs(1);

/// How many announcements that remove links are sent at [`HOLD_MIN`] before the hold grows: as many
/// as one node sends when all nodes of a mesh of usual size end.
const CREDIT_MAX: u32 = 16;
/// The time in which one credit is regained: the longest hold, so that the credit does not change
/// the long-run rate.
const CREDIT_INTERVAL: Duration = HOLD_MAX;

/// When to announce a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnnounceTime {
    Now,
    At(Instant),
}

/// This node's announcement, and when the next one may follow.
#[derive(Debug)]
pub(super) struct OwnAnnouncement {
    announcement: Announcement,
    hold: Duration,
    last: Option<Instant>,
    credit: u32,
    /// The time up to which regained credit has been counted.
    credit_since: Option<Instant>,
}

impl OwnAnnouncement {
    pub(super) fn new(name: NodeName, instance: Instance) -> Self {
        let sequence = Sequence::FIRST;
        let announcement = Announcement { name, instance, sequence, peers: Vec::new() };
        Self { announcement, hold: HOLD_MIN, last: None, credit: CREDIT_MAX, credit_since: None }
    }

    /// The last announcement.
    pub(super) fn announcement(&self) -> &Announcement {
        &self.announcement
    }

    /// When a change may be announced.
    pub(super) fn next_time(&self, now: Instant) -> AnnounceTime {
        match self.last.map(|last| last + self.hold) {
            Some(at) if at > now => AnnounceTime::At(at),
            Some(_) | None => AnnounceTime::Now,
        }
    }

    /// Announces changed peers, and adjusts the hold.
    pub(super) fn update(&mut self, peers: Vec<Instance>, now: Instant) -> &Announcement {
        let quiet = QUIET_MIN.max(self.hold * 2);
        let before = &self.announcement.peers;
        let grows = before.iter().all(|peer| peers.binary_search(peer).is_ok());
        if self.last.is_none_or(|last| now >= last + quiet) {
            self.hold = HOLD_MIN;
        } else if !grows && !self.spend_credit(now) {
            self.hold = HOLD_MAX.min(self.hold * 2);
        }
        self.last = Some(now);
        self.reissue(peers)
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

    /// Announces these peers, changed or not. Does not affect the hold.
    pub(super) fn reissue(&mut self, peers: Vec<Instance>) -> &Announcement {
        self.announcement.peers = peers;
        self.announcement.sequence = self.announcement.sequence.next();
        &self.announcement
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

    fn own_announcement() -> OwnAnnouncement {
        OwnAnnouncement::new(NodeName::new("a").expect("valid"), Instance(1))
    }

    /// The waits of `count` changes that follow each other as fast as the hold permits.
    fn gaps(own: &mut OwnAnnouncement, now: &mut Instant, count: u64) -> Vec<u128> {
        let mut gaps = Vec::new();
        for i in 0..count {
            let at = match own.next_time(*now) {
                AnnounceTime::Now => *now,
                AnnounceTime::At(at) => at,
            };
            gaps.push((at - *now).as_millis());
            *now = at;
            own.update(vec![Instance(i)], *now);
        }
        gaps
    }

    #[test]
    fn the_first_changes_are_announced_soon_and_later_ones_at_growing_intervals() {
        let mut own = own_announcement();
        let mut now = Instant::now();
        let first = gaps(&mut own, &mut now, u64::from(CREDIT_MAX) + 2);
        assert_eq!(first[0], 0);
        assert!(first[1..].iter().all(|gap| *gap == 100), "{first:?}");
        assert_eq!(gaps(&mut own, &mut now, 5), [200, 400, 800, 1600, 3200]);
        now += Duration::from_secs(10);
        assert_eq!(own.next_time(now), AnnounceTime::Now);
        own.update(Vec::new(), now);
        assert_eq!(
            own.next_time(now),
            AnnounceTime::At(now + HOLD_MIN),
            "a quiet period resets the hold"
        );
    }

    #[test]
    fn in_the_long_run_a_flapping_link_costs_one_announcement_in_five_seconds() {
        let mut own = own_announcement();
        let start = Instant::now();
        let mut now = start;
        gaps(&mut own, &mut now, 200);
        let seconds = (now - start).as_secs();
        assert!(seconds >= 5 * (200 - 2 * u64::from(CREDIT_MAX)) * 4 / 5, "{seconds} s");
    }

    #[test]
    fn new_links_do_not_lengthen_the_hold() {
        let start = Instant::now();
        let mut own = own_announcement();
        for i in 1..50 {
            let now = start + HOLD_MIN * i;
            assert_eq!(own.next_time(now), AnnounceTime::Now);
            own.update((0..i.into()).map(Instance).collect(), now);
        }
    }

    #[test]
    fn a_false_copy_of_the_own_announcement_is_superseded() {
        let mut own = own_announcement();
        let mut copy = own.announcement().clone();
        assert!(!own.supersede(&copy), "it is the same announcement");
        copy.sequence = Sequence(500);
        assert!(own.supersede(&copy));
        assert_eq!(own.reissue(Vec::new()).sequence, Sequence(501));
        assert!(!own.supersede(&copy));
    }
}
