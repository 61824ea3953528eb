//! What a relay that closes waits for: the acknowledgements of the messages that it forwarded.
//!
//! It records when a message or an acknowledgement last passed through, for a batch at a time. The
//! number of missing acknowledgements is kept per link, in [`super::outbound::Outbound`]: that of
//! the last message forwarded over it. The acknowledgements of a stream of messages follow each
//! other closely, so that of earlier messages nothing needs to be recorded.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Without missing acknowledgements, nothing may have passed through for this long: longer than
/// the acknowledgements of a stream are apart.
const QUIET_TIME: Duration = Duration::from_millis(20);
/// The same after a broadcast: an acknowledgement of a distant node may take its way through this
/// node although the broadcast did not. It takes a round trip through the mesh.
const FLOOD_QUIET_TIME: Duration = Duration::from_millis(100);
/// A missing acknowledgement is waited for as long as something passed through within this time: a
/// long round trip. It may never arrive: it may be lost, or may take another way.
pub const TRANSIT_TIMEOUT: Duration = Duration::from_millis(500);

/// The transit traffic of one node.
#[derive(Debug, Default)]
pub struct Transit {
    /// The origin of the times below.
    origin: OnceLock<Instant>,
    /// When something last passed through.
    last: Time,
    /// When a broadcast last arrived.
    flooded: Time,
    stopped: AtomicBool,
}

/// A time in nanoseconds after the origin, plus one; 0 is never.
#[derive(Debug, Default)]
struct Time(AtomicU64);

impl Transit {
    /// Records that a message was forwarded, or an acknowledgement passed on.
    pub fn record(&self, now: Instant) {
        self.last.set(self.origin(now), now);
    }

    /// Records that a broadcast arrived, at a node with several links.
    pub fn record_flood(&self, now: Instant) {
        self.flooded.set(self.origin(now), now);
    }

    fn origin(&self, now: Instant) -> Instant {
        *self.origin.get_or_init(|| now)
    }

    /// Forwards no more messages. Acknowledgements are still passed on.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether messages are forwarded no more.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Whether acknowledgements may still pass through. `missing`: a link lacks some.
    pub fn is_expecting(&self, missing: bool, now: Instant) -> bool {
        let Some(origin) = self.origin.get() else { return false };
        let since = |time: &Time| time.since(*origin, now);
        let flooded = since(&self.flooded).filter(|since| *since < TRANSIT_TIMEOUT);
        let limit = match (missing, flooded) {
            (true, _) => TRANSIT_TIMEOUT,
            (false, Some(_)) => FLOOD_QUIET_TIME,
            (false, None) => QUIET_TIME,
        };
        [since(&self.last), flooded].into_iter().flatten().min().is_some_and(|since| since < limit)
    }
}

impl Time {
    fn set(&self, origin: Instant, now: Instant) {
        let since = now.saturating_duration_since(origin).as_nanos();
        self.0.store(u64::try_from(since).map_or(u64::MAX, |since| since + 1), Ordering::Relaxed);
    }

    /// How long before `now` it is; `None` for never.
    fn since(&self, origin: Instant, now: Instant) -> Option<Duration> {
        let since = self.0.load(Ordering::Relaxed).checked_sub(1)?;
        Some(now.saturating_duration_since(origin + Duration::from_nanos(since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the origin of the test's times")]
    fn a_missing_acknowledgement_is_waited_for_longer_than_the_end_of_a_stream() {
        let start = Instant::now();
        let transit = Transit::default();
        assert!(!transit.is_expecting(true, start), "nothing was forwarded");
        for at in [start, start + Duration::from_secs(5)] {
            transit.record(at);
            let millisecond = Duration::from_millis(1);
            assert!(transit.is_expecting(false, at + QUIET_TIME - millisecond));
            assert!(!transit.is_expecting(false, at + QUIET_TIME));
            assert!(transit.is_expecting(true, at + TRANSIT_TIMEOUT - millisecond));
            assert!(!transit.is_expecting(true, at + TRANSIT_TIMEOUT));
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the origin of the test's times")]
    fn after_a_broadcast_the_acknowledgements_of_distant_nodes_are_waited_for() {
        let start = Instant::now();
        let transit = Transit::default();
        transit.record_flood(start);
        let millisecond = Duration::from_millis(1);
        assert!(transit.is_expecting(false, start + FLOOD_QUIET_TIME - millisecond));
        assert!(!transit.is_expecting(false, start + FLOOD_QUIET_TIME));
        let passed = start + FLOOD_QUIET_TIME - millisecond;
        transit.record(passed);
        assert!(transit.is_expecting(false, passed + FLOOD_QUIET_TIME - millisecond));
        let later = start + TRANSIT_TIMEOUT;
        transit.record(later);
        assert!(!transit.is_expecting(false, later + QUIET_TIME));
    }
}
