//! Peers whose links fail again and again.
//!
//! A path may pass small packets and lose large ones, or come and go each second. Then a link is made
//! and fails without end, and messages are lost each time. After a few such failures a node waits before
//! it answers the solicitations of that peer, longer each time. Other peers take the place of the link.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::name::Instance;

/// A link that worked for this long did not fail soon.
const SOON: Duration = Duration::from_secs(30);
/// The failures after which no wait follows: machines and networks restart.
const FREE: u32 = 2;
/// The wait after the next failure. It doubles with each further one.
const WAIT_MIN: Duration = Duration::from_secs(2);
const WAIT_MAX: Duration = Duration::from_secs(16);
/// Without a failure for this long, earlier ones no longer count.
const FORGET_AFTER: Duration = Duration::from_secs(120);
/// The most peers that are remembered. Of more, those whose last failure is the oldest are forgotten.
const REMEMBERED_MAX: usize = 256;

/// The failures that still count.
#[derive(Debug, Default)]
pub(super) struct LinkFailures {
    peers: BTreeMap<Instance, Failures>,
}

#[derive(Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Failures {
    /// The time without new links that begins with the last failure.
    fn wait(&self) -> Duration {
        match self.count.checked_sub(FREE + 1) {
            None => Duration::ZERO,
            Some(doublings) => WAIT_MIN.saturating_mul(1 << doublings.min(16)).min(WAIT_MAX),
        }
    }
}

impl LinkFailures {
    /// A link to a peer failed after this time.
    pub(super) fn record(&mut self, peer: Instance, worked: Duration, now: Instant) {
        self.peers.retain(|_, failures| now < failures.last + FORGET_AFTER);
        if worked >= SOON {
            self.peers.remove(&peer);
            return;
        }
        let failures = self.peers.entry(peer).or_insert(Failures { count: 0, last: now });
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
        if self.peers.len() > REMEMBERED_MAX {
            let oldest = self.peers.iter().min_by_key(|(_, failures)| failures.last);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                self.peers.remove(&oldest);
            }
        }
    }

    /// Whether this node may make a link to a peer that asks for one.
    pub(super) fn permits(&self, peer: Instance, now: Instant) -> bool {
        self.peers.get(&peer).is_none_or(|failures| now >= failures.last + failures.wait())
    }

    /// The network changed: what failed before may work now.
    pub(super) fn forget(&mut self) {
        self.peers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: Instance = Instance(1);
    const SECOND: Duration = Duration::from_secs(1);

    /// How many seconds to wait after a failure.
    fn wait(failures: &LinkFailures, peer: Instance, now: Instant) -> u32 {
        (0..100).find(|&seconds| failures.permits(peer, now + SECOND * seconds)).expect("ends")
    }

    #[test]
    fn a_peer_whose_links_fail_soon_waits_longer_each_time() {
        let mut now = Instant::now();
        let mut failures = LinkFailures::default();
        let mut waits = Vec::new();
        for _ in 0..7 {
            failures.record(PEER, SECOND, now);
            waits.push(wait(&failures, PEER, now));
            now += SECOND * 20;
        }
        assert_eq!(waits, [0, 0, 2, 4, 8, 16, 16]);
        assert!(failures.permits(Instance(2), now), "another peer");
    }

    #[test]
    fn a_link_that_worked_ends_the_count_and_so_does_time() {
        let now = Instant::now();
        let mut failures = LinkFailures::default();
        for _ in 0..4 {
            failures.record(PEER, SECOND, now);
        }
        assert!(!failures.permits(PEER, now));
        failures.record(PEER, SOON, now);
        assert!(failures.permits(PEER, now));
        for _ in 0..3 {
            failures.record(PEER, SECOND, now);
        }
        let later = now + FORGET_AFTER;
        failures.record(PEER, SECOND, later);
        assert!(failures.permits(PEER, later), "the first failure of a new count");
    }

    #[test]
    fn the_peers_are_bounded_in_number_and_the_latest_are_kept() {
        let now = Instant::now();
        let mut failures = LinkFailures::default();
        for peer in 0..1000_u64 {
            for _ in 0..3 {
                failures.record(Instance(peer), SECOND, now + Duration::from_millis(peer));
            }
        }
        assert_eq!(failures.peers.len(), REMEMBERED_MAX);
        assert!(!failures.permits(Instance(999), now + SECOND));
        failures.forget();
        assert!(failures.permits(Instance(999), now + SECOND));
    }
}
