//! How much of a large body is under way at once: enough to fill the path, and little enough that a
//! small message beside it waits no longer than twice as long.
//!
//! Bytes that wait in queues and socket buffers on the way add delay and no throughput. So the
//! window follows the delay: it grows while what was sent is answered within twice the shortest time
//! seen, and shrinks when that takes four times as long.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The smallest window: three answers' worth, so that the sender never waits for a single one.
pub const PACED_BYTES_MIN: u64 = 192 << 10;
/// The largest window: 10 Gb/s over 12 ms.
pub const PACED_BYTES_MAX: u64 = 16 << 20;
/// How often the delay is measured, and how fast the window grows.
const MARK_BYTES: u64 = 64 << 10;
/// How long the shortest time stands: routes and machines change.
const BASE_LASTS: Duration = Duration::from_secs(10);

/// The window of one lane of large bodies.
#[derive(Debug)]
pub struct Pace {
    window: u64,
    sent: u64,
    /// How many bytes had been sent in all, and when.
    marks: VecDeque<(u64, Instant)>,
    shortest: Option<Shortest>,
}

/// The shortest time from sending to answer, of this period and the one before.
#[derive(Debug, Clone, Copy)]
struct Shortest {
    since: Instant,
    before: Duration,
    now: Duration,
}

impl Default for Pace {
    /// A window as small as can be.
    fn default() -> Self {
        Self { window: PACED_BYTES_MIN, sent: 0, marks: VecDeque::new(), shortest: None }
    }
}

impl Pace {
    /// How many bytes may be under way.
    pub fn window(&self) -> u64 {
        self.window
    }

    /// So many more bytes were sent.
    pub fn sent(&mut self, bytes: u64, now: Instant) {
        self.sent += bytes;
        if self.marks.back().is_none_or(|(last, _)| self.sent - last >= MARK_BYTES) {
            self.marks.push_back((self.sent, now));
        }
    }

    /// Of all bytes sent, so many are still under way.
    pub fn answered(&mut self, in_flight: u64, now: Instant) {
        let arrived = self.sent.saturating_sub(in_flight);
        let mut sample = None;
        while let Some((sent, at)) = self.marks.front()
            && *sent <= arrived
        {
            sample = Some(now.saturating_duration_since(*at));
            self.marks.pop_front();
        }
        if let Some(sample) = sample {
            self.adapt(sample, now);
        }
    }

    /// What is under way was refused: it says nothing of the path.
    pub fn forget(&mut self) {
        self.marks.clear();
    }

    fn adapt(&mut self, sample: Duration, now: Instant) {
        let shortest =
            self.shortest.get_or_insert(Shortest { since: now, before: sample, now: sample });
        shortest.now = shortest.now.min(sample);
        if now.saturating_duration_since(shortest.since) >= BASE_LASTS {
            *shortest = Shortest { since: now, before: shortest.now, now: sample };
        }
        let base = shortest.before.min(shortest.now);
        if sample <= base * 2 {
            self.window = PACED_BYTES_MAX.min(self.window + MARK_BYTES);
        } else if sample > base * 4 {
            self.window = PACED_BYTES_MIN.max(self.window - self.window / 8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path of so many bytes a millisecond, beside a delay of `delay`: how large the window gets.
    fn window_after(bytes_per_ms: u64, delay: Duration, rounds: u32) -> u64 {
        let mut pace = Pace::default();
        let mut now = Instant::now();
        for _ in 0..rounds {
            let window = pace.window();
            let mut left = window;
            while left > 0 {
                let chunk = left.min(MARK_BYTES);
                pace.sent(chunk, now);
                left -= chunk;
            }
            let drain = Duration::from_micros(window * 1000 / bytes_per_ms);
            now += delay.max(drain);
            pace.answered(0, now);
        }
        pace.window()
    }

    #[test]
    fn the_window_opens_on_a_long_path_and_stays_small_on_a_short_one() {
        let gigabyte = 1 << 20;
        let long = window_after(gigabyte, Duration::from_millis(8), 200);
        let short = window_after(gigabyte, Duration::from_micros(100), 200);
        assert!(long >= 8 << 20, "{long}");
        assert!(short <= 2 << 20, "{short}");
        assert!(short >= PACED_BYTES_MIN);
    }

    #[test]
    fn a_queue_that_builds_up_closes_it_again() {
        let mut pace = Pace::default();
        let start = Instant::now();
        for round in 0..100 {
            let now = start + Duration::from_millis(round);
            pace.sent(MARK_BYTES, now);
            pace.answered(0, now + Duration::from_micros(100));
        }
        assert_eq!(pace.window(), PACED_BYTES_MIN + 100 * MARK_BYTES);
        for round in 100..200 {
            let now = start + Duration::from_millis(round);
            pace.sent(MARK_BYTES, now);
            pace.answered(0, now + Duration::from_millis(1));
        }
        assert_eq!(pace.window(), PACED_BYTES_MIN);
    }
}
