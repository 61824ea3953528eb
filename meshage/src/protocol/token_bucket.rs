//! A token bucket, which limits how often something happens. It has no clock: the time is an
//! argument.

use std::time::{Duration, Instant};

/// Permits `burst` events at once, and then one every `interval`.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    interval: Duration,
    burst: u32,
    /// When the bucket is full again.
    full_at: Instant,
}

impl TokenBucket {
    pub(crate) fn new(interval: Duration, burst: u32, now: Instant) -> Self {
        Self { interval, burst, full_at: now }
    }

    /// When there is a token.
    pub(crate) fn next(&self, now: Instant) -> Instant {
        let full_at = self.full_at.max(now) + self.interval;
        let excess = full_at.saturating_duration_since(now + self.interval * self.burst);
        now + excess
    }

    /// Takes a token. Returns false if there is none.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.take_many(1, now)
    }

    /// Takes a number of tokens, or none. Returns false if there are not enough.
    pub(super) fn take_many(&mut self, tokens: u32, now: Instant) -> bool {
        let enough = self.has(tokens, now);
        if enough {
            self.full_at = self.full_at.max(now) + self.interval * tokens;
        }
        enough
    }

    /// Whether there are so many tokens.
    pub(super) fn has(&self, tokens: u32, now: Instant) -> bool {
        self.full_at.max(now) + self.interval * tokens <= now + self.interval * self.burst
    }

    /// Whether it holds its whole burst.
    pub(super) fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_applies() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(Duration::from_millis(250), 8, start);
        assert_eq!((0..20).filter(|_| bucket.take(start)).count(), 8);
        assert_eq!(bucket.next(start), start + Duration::from_millis(250));
        assert!(
            bucket.next(start + Duration::from_millis(300)) == start + Duration::from_millis(300)
        );
        let taken = (0..=40).filter(|i| bucket.take(start + Duration::from_millis(i * 100)));
        assert_eq!(taken.count(), 16, "four a second, for four seconds");
    }
}
