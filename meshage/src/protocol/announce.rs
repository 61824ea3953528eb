//! When this node announces its links: at once after a quiet time, then ever more seldom.
//!
//! ```text
//!  a change   ├─ now, if the hold has passed
//!             └─ else when it has: the last change is always announced
//!  hold: 100 ms, doubled by every announcement that takes a link back up to 5 s,
//!        and 100 ms again after a quiet time
//! ```
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
}

impl Origin {
    pub(super) fn new(name: NodeName, instance: Instance) -> Self {
        let sequence = Sequence::FIRST;
        let announcement = Announcement { name, instance, sequence, peers: Vec::new() };
        Self { announcement, hold: HOLD_MIN, last: None }
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
        self.hold = match self.last {
            Some(last) if now < last + quiet && grows => self.hold,
            Some(last) if now < last + quiet => HOLD_MAX.min(self.hold * 2),
            Some(_) | None => HOLD_MIN,
        };
        self.last = Some(now);
        self.renew(peers)
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

    #[test]
    fn the_first_change_goes_at_once_and_the_next_ones_ever_later() {
        let start = Instant::now();
        let mut origin = origin();
        let mut now = start;
        let mut gaps = Vec::new();
        for i in 0..9 {
            let at = match origin.when(now) {
                When::Now => now,
                When::At(at) => at,
            };
            gaps.push((at - now).as_millis());
            now = at;
            origin.change(vec![Instance(i)], now);
        }
        assert_eq!(gaps, [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        now += Duration::from_secs(10);
        assert_eq!(origin.when(now), When::Now);
        origin.change(Vec::new(), now);
        assert_eq!(origin.when(now), When::At(now + HOLD_MIN), "quiet has reset the hold");
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
