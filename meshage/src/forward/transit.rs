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
/// A missing acknowledgement is waited for as long as something passed through within this time: a
/// long round trip. It may never arrive: it may be lost, or may take another way.
pub const TRANSIT_TIMEOUT: Duration = Duration::from_millis(500);

/// The transit traffic of one node.
#[derive(Debug, Default)]
pub struct Transit {
    /// The origin of `last`.
    origin: OnceLock<Instant>,
    /// When something last passed through, in nanoseconds after the origin, plus one; 0 is never.
    last: AtomicU64,
    stopped: AtomicBool,
}

impl Transit {
    /// Records that a message was forwarded, or an acknowledgement passed on.
    pub fn record(&self, now: Instant) {
        let origin = *self.origin.get_or_init(|| now);
        let since = now.saturating_duration_since(origin).as_nanos();
        self.last
            .store(u64::try_from(since).map_or(u64::MAX, |since| since + 1), Ordering::Relaxed);
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
        let (Some(origin), Some(since)) =
            (self.origin.get(), self.last.load(Ordering::Relaxed).checked_sub(1))
        else {
            return false;
        };
        let last = *origin + Duration::from_nanos(since);
        let limit = if missing { TRANSIT_TIMEOUT } else { QUIET_TIME };
        now.saturating_duration_since(last) < limit
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
}
