//! When a silent link is dead.
//!
//! ```text
//!  last byte        1 s            1.075  1.15  1.225   the dead interval, from 1.3 s to 3 s
//!  ────┼─────────────┼────────────────┼─────┼─────┼─ … ─────┤
//!      │  a keep-alive is due         Probes              dead
//! ```
//!
//! A node hears from a peer at least once in each keep-alive interval. If it does not, it sends Probes,
//! which the peer answers at once: even if segments are lost, one of the answers arrives. The dead
//! interval is as short as the link permits: it grows with the round trip that Probes measure, and with
//! how late the peer was of late. It is the longest one as long as little is known about the link.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The interval between the keep-alives on a link.
pub(super) const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// The dead interval of a link about which little is known, and the longest one: three keep-alives.
pub(super) const DEAD_INTERVAL_MAX: Duration = Duration::from_secs(3);
/// What the dead interval of a fast link leaves beyond a keep-alive: a segment that is lost is sent
/// again after 200 ms, and a process may have to wait for the processor.
const MARGIN: Duration = Duration::from_millis(300);
/// How often the longest round trip and the greatest lateness count.
const DEVIATIONS: u32 = 4;
/// How late a keep-alive is when the first Probe is sent, and the interval to further ones.
const PROBE_INTERVAL: Duration = Duration::from_millis(75);
/// The number of keep-alive intervals that are observed before the dead interval is shortened.
const OBSERVED_MIN: u32 = 8;
/// The number of keep-alive intervals between two Probes that measure the round trip.
const MEASURED_EVERY: u32 = 16;
/// The Probes that have no answer yet; of more, the first is forgotten.
const UNANSWERED_MAX: usize = 64;

/// What is known about the times at which a peer is heard.
#[derive(Debug)]
pub(super) struct Silence {
    /// When the last byte arrived.
    last_received: Instant,
    /// When the current observation began, and the greatest lateness in it.
    observed_since: Instant,
    late: Duration,
    /// The number of observations.
    observed: u32,
    /// The greatest lateness of late: an observation without lateness takes a sixteenth of it.
    lateness: Duration,
    /// The longest round trip of late, likewise.
    round_trip: Option<Duration>,
    /// When the Probes were sent that have no answer yet.
    unanswered: VecDeque<Instant>,
    /// The Probes since the last byte arrived.
    probes: u32,
}

impl Silence {
    /// A link that was just made.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            last_received: now,
            observed_since: now,
            late: Duration::ZERO,
            observed: 0,
            lateness: Duration::ZERO,
            round_trip: None,
            unanswered: VecDeque::new(),
            probes: 0,
        }
    }

    /// When the last byte arrived.
    pub(super) fn last_received(&self) -> Instant {
        self.last_received
    }

    /// The longest round trip of late, if it was measured.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Bytes have arrived.
    pub(super) fn received(&mut self, now: Instant) {
        let gap = now.saturating_duration_since(self.last_received);
        self.late = self.late.max(gap.saturating_sub(KEEP_ALIVE_INTERVAL));
        self.last_received = now;
        self.probes = 0;
        if now.saturating_duration_since(self.observed_since) >= KEEP_ALIVE_INTERVAL {
            self.lateness = self.late.max(self.lateness - self.lateness / 16);
            self.late = Duration::ZERO;
            self.observed_since = now;
            self.observed = self.observed.saturating_add(1);
        }
    }

    /// A Probe was answered.
    pub(super) fn answered(&mut self, now: Instant) {
        let Some(sent) = self.unanswered.pop_front() else { return };
        let round_trip = now.saturating_duration_since(sent);
        let known = self.round_trip.unwrap_or(round_trip);
        self.round_trip = Some(round_trip.max(known - known / 16));
    }

    /// The silence is measured anew, because this process had no time to read.
    pub(super) fn restart(&mut self, now: Instant) {
        self.last_received = now;
        self.probes = 0;
    }

    /// How long the link may be silent.
    pub(super) fn dead_interval(&self) -> Duration {
        match self.round_trip {
            Some(round_trip) if self.observed >= OBSERVED_MIN => {
                let deviation = (round_trip + self.lateness).saturating_mul(DEVIATIONS);
                (KEEP_ALIVE_INTERVAL + MARGIN).saturating_add(deviation).min(DEAD_INTERVAL_MAX)
            }
            Some(_) | None => DEAD_INTERVAL_MAX,
        }
    }

    /// Whether a keep-alive is missing.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        now >= self.last_received + KEEP_ALIVE_INTERVAL + PROBE_INTERVAL
    }

    /// When to look at this link next, with this dead interval.
    pub(super) fn next(&self, dead_interval: Duration) -> Instant {
        self.next_probe().min(self.last_received + dead_interval)
    }

    fn next_probe(&self) -> Instant {
        self.last_received + KEEP_ALIVE_INTERVAL + PROBE_INTERVAL * (self.probes + 1)
    }

    /// Whether to send a Probe now, because a keep-alive is missing. Counts as sent.
    pub(super) fn takes_probe(&mut self, now: Instant) -> bool {
        let due = now >= self.next_probe();
        while now >= self.next_probe() {
            self.probes += 1;
        }
        if due {
            self.sent_probe(now);
        }
        due
    }

    /// Whether to send a Probe with the keep-alive that is sent now, to measure the round trip. Counts
    /// as sent.
    pub(super) fn takes_measurement(&mut self, now: Instant) -> bool {
        let due = match self.round_trip {
            None => self.unanswered.is_empty(),
            Some(_) => self.observed.is_multiple_of(MEASURED_EVERY) && self.unanswered.is_empty(),
        };
        if due {
            self.sent_probe(now);
        }
        due
    }

    fn sent_probe(&mut self, now: Instant) {
        if self.unanswered.len() >= UNANSWERED_MAX {
            self.unanswered.pop_front();
        }
        self.unanswered.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A link on which keep-alives arrive in time, and Probes are answered after this round trip.
    fn regular(round_trip: Duration, start: Instant) -> (Silence, Instant) {
        let mut silence = Silence::new(start);
        let mut now = start;
        for _ in 0..OBSERVED_MIN {
            now += KEEP_ALIVE_INTERVAL;
            if silence.takes_measurement(now) {
                silence.answered(now + round_trip);
            }
            silence.received(now);
        }
        (silence, now)
    }

    #[test]
    fn the_dead_interval_is_short_on_a_fast_link_and_long_on_one_that_is_slow_or_unknown() {
        let start = Instant::now();
        assert_eq!(Silence::new(start).dead_interval(), DEAD_INTERVAL_MAX);
        assert_eq!(regular(ms(0), start).0.dead_interval(), ms(1300));
        assert_eq!(regular(ms(50), start).0.dead_interval(), ms(1500));
        assert_eq!(regular(ms(500), start).0.dead_interval(), DEAD_INTERVAL_MAX);
    }

    #[test]
    fn a_late_keep_alive_lengthens_the_dead_interval_for_a_while() {
        let (mut silence, mut now) = regular(ms(0), Instant::now());
        now += KEEP_ALIVE_INTERVAL + ms(200);
        silence.received(now);
        assert_eq!(silence.dead_interval(), ms(1300 + 4 * 200));
        let mut last = silence.dead_interval();
        for _ in 0..60 {
            now += KEEP_ALIVE_INTERVAL;
            silence.received(now);
            assert!(silence.dead_interval() < last);
            last = silence.dead_interval();
        }
        assert!(last < ms(1320), "{last:?}");
    }

    #[test]
    fn a_link_with_traffic_is_observed_as_one_without() {
        let mut now = Instant::now();
        let mut silence = Silence::new(now);
        for _ in 0..1000 {
            now += ms(10);
            silence.received(now);
        }
        assert_eq!(silence.observed, 10);
        silence.restart(now + secs(5));
        silence.received(now + secs(5));
        assert_eq!(silence.lateness, Duration::ZERO, "this process was late, not the peer");
    }

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// One direction of a TCP connection, in which each segment may be lost. A lost one is sent again
    /// after a timeout, or a round trip after a later segment has arrived.
    struct Pipe {
        rng: ChaCha8Rng,
        loss: f64,
        one_way: Duration,
        /// The segments on their way: when each is read, were it not for those before it.
        segments: VecDeque<Duration>,
    }

    impl Pipe {
        fn send(&mut self, now: Duration) {
            let mut timeout = ms(200) + 2 * self.one_way;
            let mut arrives = now + self.one_way;
            while self.rng.random_bool(self.loss) {
                arrives += timeout;
                timeout *= 2;
            }
            // The receiver reports that it has this one and lacks an earlier one, which is sent again.
            // If that is lost as well, the next timeout sends it.
            for earlier in self.segments.iter_mut().filter(|earlier| **earlier > arrives) {
                if !self.rng.random_bool(self.loss) {
                    *earlier = (*earlier).min(arrives + 2 * self.one_way);
                }
            }
            self.segments.push_back(arrives);
        }

        /// The number of segments that are read up to this time, in order.
        fn read(&mut self, now: Duration) -> usize {
            let ready = self.segments.iter().take_while(|arrives| **arrives <= now).count();
            self.segments.drain(..ready);
            ready
        }
    }

    /// How often a living peer is taken for dead in this time. The loss is in both directions.
    fn false_alarms(loss: f64, one_way: Duration, time: Duration, seed: u64) -> u64 {
        let start = Instant::now();
        let pipe = |seed| Pipe {
            rng: ChaCha8Rng::seed_from_u64(seed),
            loss,
            one_way,
            segments: VecDeque::new(),
        };
        // The pipe to the peer has Probes only; keep-alives the other way are not of interest.
        let (mut from_peer, mut to_peer) = (pipe(seed), pipe(seed + 1));
        let mut answers = VecDeque::new();
        let mut silence = Silence::new(start);
        let (mut alarms, step) = (0, ms(10));
        let mut elapsed = Duration::ZERO;
        let mut sent = 0_u64;
        while elapsed < time {
            // Nothing happens while no keep-alive is late and nothing is under way.
            let idle = from_peer.segments.is_empty() && to_peer.segments.is_empty();
            let next = Duration::from_secs(sent + 1);
            let quiet = silence.last_received() + KEEP_ALIVE_INTERVAL > start + elapsed;
            elapsed = if idle && quiet && next > elapsed { next } else { elapsed + step };
            let now = start + elapsed;
            if elapsed >= next {
                sent += 1;
                from_peer.send(elapsed);
                answers.push_back(false);
                if silence.takes_measurement(now) {
                    to_peer.send(elapsed);
                }
            }
            for _ in 0..to_peer.read(elapsed) {
                from_peer.send(elapsed);
                answers.push_back(true);
            }
            for _ in 0..from_peer.read(elapsed) {
                if answers.pop_front() == Some(true) {
                    silence.answered(now);
                }
                silence.received(now);
            }
            if silence.takes_probe(now) {
                to_peer.send(elapsed);
            }
            if now >= silence.last_received() + silence.dead_interval() {
                alarms += 1;
                silence = Silence::new(now);
            }
        }
        alarms
    }

    #[test]
    fn a_living_peer_is_not_taken_for_dead_because_segments_are_lost() {
        for (loss, one_way) in [(0.0, 0), (0.01, 0), (0.01, 5), (0.01, 50), (0.01, 200), (0.05, 1)]
        {
            let alarms = false_alarms(loss, ms(one_way), secs(100_000), 1);
            assert_eq!(alarms, 0, "loss {loss}, one way {one_way} ms");
        }
    }

    /// A node with four links for a year. Run it with `cargo test --release`.
    #[test]
    #[ignore = "takes 9 s in a release build, and a minute otherwise"]
    fn a_node_takes_no_living_peer_for_dead_in_a_year_with_one_lost_segment_in_a_hundred() {
        let year = secs(365 * 24 * 3600);
        for link in 0..4 {
            assert_eq!(false_alarms(0.01, ms(5), year, 2 * link), 0, "link {link}");
        }
    }
}
