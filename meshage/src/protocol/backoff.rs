//! When this node sends its next solicitation or beacon.
//!
//! ```text
//!  below the degree  solicitations  within 0.5 s, then in a window that doubles from 2 s to 128 s
//!  at the degree     beacons        after 0.2 s, then doubling, then every 30 to 60 s
//!  not sent          either         again within 1 s; the back-off stays where it was
//! ```

use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::ChaCha8Rng;

/// The longest wait before the first solicitation after a start or a lost link. Nodes that start
/// together spread, and a node that starts alone does not wait long.
const SOLICIT_FIRST: Duration = Duration::from_millis(500);
/// The window of the second solicitation: the original's shortest.
const SOLICIT_MIN: Duration = Duration::from_secs(2);
/// The longest window: the original's.
const SOLICIT_MAX: Duration = Duration::from_secs(128);
/// The shortest wait before the first beacon: nodes that were linked at the same time should know
/// each other by then.
const BEACON_FIRST: Duration = Duration::from_millis(200);
/// The shortest time between beacons in the long run. The longest is twice that.
const BEACON_STEADY: Duration = Duration::from_secs(30);
/// In a larger mesh, this many nodes on average send each of the early beacons. All nodes send the
/// steady ones, since not every node receives the beacons of every other node.
const BEACON_SENDERS: usize = 32;

/// The longest wait after a solicitation or beacon that the system could not send. Nothing went to
/// the network, so there is no load to reduce, and the node should be found soon after the network is back.
const UNSENT_WAIT: Duration = Duration::from_secs(1);

/// The back-offs of solicitations and beacons.
#[derive(Debug)]
pub(super) struct Backoff {
    /// How many solicitations were sent since the last reset.
    solicitations: u32,
    /// The wait before the next early beacon; beacons are steady from [`BEACON_STEADY`] on.
    beacon: Duration,
    /// What `beacon` was before the last wait was drawn.
    beacon_before: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { solicitations: 0, beacon: BEACON_FIRST, beacon_before: BEACON_FIRST }
    }
}

impl Backoff {
    /// Draws the wait before the next solicitation.
    pub(super) fn next_solicitation_wait(&mut self, rng: &mut ChaCha8Rng) -> Duration {
        let window = match self.solicitations {
            0 => SOLICIT_FIRST,
            // 2 s doubled six times is 128 s.
            n => SOLICIT_MAX.min(SOLICIT_MIN * 2_u32.pow((n - 1).min(6))),
        };
        self.solicitations = self.solicitations.saturating_add(1);
        random_wait(window, rng)
    }

    /// Makes the next solicitation come soon: a link was lost, or more links are needed.
    pub(super) fn reset_solicitations(&mut self) {
        self.solicitations = 0;
    }

    /// Draws the wait before the next beacon.
    pub(super) fn next_beacon_wait(&mut self, rng: &mut ChaCha8Rng) -> Duration {
        let wait = self.beacon;
        self.beacon_before = wait;
        if wait >= BEACON_STEADY {
            return rng.random_range(BEACON_STEADY..=BEACON_STEADY * 2);
        }
        self.beacon = wait * 2;
        rng.random_range(wait..=wait * 5 / 2)
    }

    /// The last solicitation was not sent: takes back its step of the back-off, and draws the wait
    /// before the next attempt.
    pub(super) fn solicitation_unsent(&mut self, rng: &mut ChaCha8Rng) -> Duration {
        self.solicitations = self.solicitations.saturating_sub(1);
        unsent_wait(rng)
    }

    /// As [`Backoff::solicitation_unsent`], for a beacon.
    pub(super) fn beacon_unsent(&mut self, rng: &mut ChaCha8Rng) -> Duration {
        self.beacon = self.beacon_before;
        unsent_wait(rng)
    }

    /// Makes the next beacons come soon: the node has reached its degree.
    pub(super) fn reset_beacons(&mut self) {
        self.beacon = BEACON_FIRST;
    }

    /// Switches to the steady interval: while the node solicits, early beacons are not needed.
    pub(super) fn use_steady_beacons(&mut self) {
        self.beacon = BEACON_STEADY;
    }

    /// Whether to send a beacon whose wait is over. In a large mesh, only some nodes, drawn at
    /// random, send the early ones. `nodes` is the size of the mesh.
    pub(super) fn should_send_beacon(&self, nodes: usize, rng: &mut ChaCha8Rng) -> bool {
        self.beacon >= BEACON_STEADY
            || nodes <= BEACON_SENDERS
            || happens_with_odds(BEACON_SENDERS, nodes, rng)
    }
}

/// Returns true in `times` of `out_of` cases, and always if `times` is not less than `out_of`.
pub(super) fn happens_with_odds(times: usize, out_of: usize, rng: &mut ChaCha8Rng) -> bool {
    times >= out_of || rng.random_range(0..out_of) < times
}

/// Draws the wait after a datagram that was not sent. At least half of the longest one, since each
/// attempt lists the interfaces.
fn unsent_wait(rng: &mut ChaCha8Rng) -> Duration {
    rng.random_range(UNSENT_WAIT / 2..=UNSENT_WAIT)
}

/// Draws a wait of at most `max`.
pub(super) fn random_wait(max: Duration, rng: &mut ChaCha8Rng) -> Duration {
    rng.random_range(Duration::ZERO..=max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    #[test]
    fn solicitations_back_off_from_half_a_second_to_two_minutes() {
        let mut longest = [Duration::ZERO; 9];
        for seed in 0..300 {
            let mut backoff = Backoff::default();
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            for wait in &mut longest {
                *wait = backoff.next_solicitation_wait(&mut rng).max(*wait);
            }
        }
        let windows = [0.5, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 128.0];
        for (longest, window) in longest.iter().zip(windows) {
            assert!((0.9 * window..=window).contains(&longest.as_secs_f64()), "{longest:?}");
        }
    }

    #[test]
    fn a_solicitation_or_beacon_that_was_not_sent_does_not_back_off() {
        let mut backoff = Backoff::default();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        backoff.next_solicitation_wait(&mut rng);
        backoff.next_beacon_wait(&mut rng);
        let before = (backoff.solicitations, backoff.beacon);
        for _ in 0..20 {
            backoff.next_solicitation_wait(&mut rng);
            assert!(backoff.solicitation_unsent(&mut rng) <= UNSENT_WAIT);
            backoff.next_beacon_wait(&mut rng);
            assert!(backoff.beacon_unsent(&mut rng) <= UNSENT_WAIT);
            assert_eq!((backoff.solicitations, backoff.beacon), before);
        }
    }

    #[test]
    fn beacons_slow_down_to_one_in_half_a_minute_to_a_minute() {
        let mut backoff = Backoff::default();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let first = backoff.next_beacon_wait(&mut rng);
        assert!(first >= BEACON_FIRST && first <= Duration::from_millis(500));
        let waits: Vec<_> = (0..20).map(|_| backoff.next_beacon_wait(&mut rng)).collect();
        assert!(waits[10..].iter().all(|wait| (30..=60).contains(&wait.as_secs())));
        assert!(waits.iter().take(10).sum::<Duration>() > Duration::from_secs(30));
    }
}
