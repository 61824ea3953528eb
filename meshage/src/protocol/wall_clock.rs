//! The time of day, which tickets need, from the time that the router gets.

use std::time::{Duration, Instant};

use crate::secure::UnixMillis;

/// The longest wait that is computed. The router computes it again when it has passed.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A moment in both times: that of the router, and the time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallClock {
    at: Instant,
    unix: UnixMillis,
}

impl WallClock {
    /// It is `unix` at `at`.
    pub fn new(at: Instant, unix: UnixMillis) -> Self {
        Self { at, unix }
    }

    /// The time of day at `now`.
    pub fn unix(&self, now: Instant) -> UnixMillis {
        let passed = now.saturating_duration_since(self.at).as_millis();
        UnixMillis(self.unix.0.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX)))
    }

    /// When it will be `unix`: in at least a millisecond and at most a day.
    pub(super) fn instant(&self, unix: UnixMillis, now: Instant) -> Instant {
        let wait = unix.0.saturating_sub(self.unix(now).0);
        now + Duration::from_millis(wait).clamp(Duration::from_millis(1), WAIT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_day_passes_with_the_routers_time() {
        let start = Instant::now();
        let clock = WallClock::new(start, UnixMillis(5000));
        let later = start + Duration::from_millis(1500);
        assert_eq!(clock.unix(later), UnixMillis(6500));
        assert_eq!(clock.instant(UnixMillis(7000), later), later + Duration::from_millis(500));
        assert_eq!(clock.instant(UnixMillis(1), later), later + Duration::from_millis(1));
        assert_eq!(clock.instant(UnixMillis(u64::MAX), later), later + WAIT_MAX);
    }
}
