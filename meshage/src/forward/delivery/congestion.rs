//! How much of a large body is under way at once: enough to fill the path, and little enough that a
//! small message beside it waits no longer than twice as long.
//!
//! Bytes that wait in queues and socket buffers on the way add delay and no throughput. So the
//! window follows the delay: it grows while what was sent is answered within twice the shortest time
//! seen, and shrinks when that takes four times as long. A queue of a millisecond harms nobody as long
//! as the source sends large bodies alone; as soon as it sends small messages too, it starts again
//! from the smallest window.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The smallest window: four chunks. Over loopback on 2 cores, the 99th percentile of a small message
/// beside large bodies was 1.4 to 1.6 times what it is alone; with five chunks 1.6 to 2.0 times, and
/// with [`WINDOW_BYTES_ALONE`] 3 times.
pub const WINDOW_BYTES_MIN: u64 = 192 << 10;
/// What a source that sends nothing small begins with: six answers' worth. Over loopback, bodies of
/// 1 MiB went at 1.0 times the speed of a raw stream; with a window of 384 KiB at 0.75 times, with
/// the smallest at 0.45 times.
pub const WINDOW_BYTES_ALONE: u64 = 768 << 10;
/// The largest window: 10 Gb/s over 12 ms.
pub const WINDOW_BYTES_MAX: u64 = 16 << 20;
/// How long after a small message the next is awaited. Most programs that care send more often.
pub const SMALL_TRAFFIC_LASTS: Duration = Duration::from_secs(1);
/// How long what a source sends alone may be under way, however short the path: an answer that takes
/// less shrinks no window.
const ALONE_DELAY_MAX: Duration = Duration::from_millis(1);
/// How often the delay is measured, and how fast the window grows.
const SAMPLE_BYTES: u64 = 64 << 10;
/// How long the shortest time stands: routes and machines change.
const BASE_DELAY_LASTS: Duration = Duration::from_secs(10);

/// The window of one channel of large bodies.
#[derive(Debug)]
pub struct CongestionControl {
    window: u64,
    sent: u64,
    /// Whether small messages are sent, too.
    mixed: bool,
    /// How many bytes had been sent in all, and when.
    samples: VecDeque<(u64, Instant)>,
    base_delay: Option<BaseDelay>,
}

/// The shortest time from sending to answer, of this period and the one before.
#[derive(Debug, Clone, Copy)]
struct BaseDelay {
    since: Instant,
    previous: Duration,
    current: Duration,
}

impl Default for CongestionControl {
    /// The window of a source that sends nothing small.
    fn default() -> Self {
        Self {
            window: WINDOW_BYTES_ALONE,
            sent: 0,
            mixed: false,
            samples: VecDeque::new(),
            base_delay: None,
        }
    }
}

impl CongestionControl {
    /// How many bytes may be under way.
    pub fn window(&self) -> u64 {
        self.window
    }

    /// So many more bytes were sent, beside small messages or not.
    pub fn sent(&mut self, bytes: u64, mixed: bool, now: Instant) {
        match (self.mixed, mixed) {
            (false, true) => self.window = WINDOW_BYTES_MIN,
            (true, false) => self.window = self.window.max(WINDOW_BYTES_ALONE),
            (false, false) | (true, true) => {}
        }
        self.mixed = mixed;
        self.sent += bytes;
        if self.samples.back().is_none_or(|(last, _)| self.sent - last >= SAMPLE_BYTES) {
            self.samples.push_back((self.sent, now));
        }
    }

    /// Of all bytes sent, so many are still under way.
    pub fn acknowledged(&mut self, in_flight: u64, now: Instant) {
        let arrived = self.sent.saturating_sub(in_flight);
        let mut sample = None;
        while let Some((sent, at)) = self.samples.front()
            && *sent <= arrived
        {
            sample = Some(now.saturating_duration_since(*at));
            self.samples.pop_front();
        }
        if let Some(sample) = sample {
            self.adapt(sample, now);
        }
    }

    /// What is under way was refused: it says nothing of the path.
    pub fn discard_samples(&mut self) {
        self.samples.clear();
    }

    fn adapt(&mut self, sample: Duration, now: Instant) {
        let base_delay = self.base_delay.get_or_insert(BaseDelay {
            since: now,
            previous: sample,
            current: sample,
        });
        base_delay.current = base_delay.current.min(sample);
        if now.saturating_duration_since(base_delay.since) >= BASE_DELAY_LASTS {
            *base_delay = BaseDelay { since: now, previous: base_delay.current, current: sample };
        }
        let base = base_delay.previous.min(base_delay.current);
        let limit = if self.mixed { base * 4 } else { ALONE_DELAY_MAX.max(base * 4) };
        if sample <= base * 2 {
            self.window = WINDOW_BYTES_MAX.min(self.window + SAMPLE_BYTES);
        } else if sample > limit {
            self.window = WINDOW_BYTES_MIN.max(self.window - self.window / 8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIGABYTE_PER_S: u64 = 1 << 20;

    /// A path of so many bytes a millisecond, beside a delay of `delay`: how large the window gets.
    fn window_after(bytes_per_ms: u64, delay: Duration, mixed: bool, rounds: u32) -> u64 {
        let mut pace = CongestionControl::default();
        let mut now = Instant::now();
        for _ in 0..rounds {
            let window = pace.window();
            let mut left = window;
            while left > 0 {
                let chunk = left.min(SAMPLE_BYTES);
                pace.sent(chunk, mixed, now);
                left -= chunk;
            }
            let drain = Duration::from_micros(window * 1000 / bytes_per_ms);
            now += delay.max(drain);
            pace.acknowledged(0, now);
        }
        pace.window()
    }

    #[test]
    fn the_window_opens_on_a_long_path_and_stays_small_on_a_short_one() {
        for mixed in [false, true] {
            let long = window_after(GIGABYTE_PER_S, Duration::from_millis(8), mixed, 200);
            let short = window_after(GIGABYTE_PER_S, Duration::from_micros(100), mixed, 200);
            assert!(long >= 8 << 20, "{long}");
            assert!(short <= 2 << 20, "{short}");
            assert!(short >= WINDOW_BYTES_MIN);
        }
    }

    #[test]
    fn a_slow_path_has_no_long_queue() {
        let mut pace = CongestionControl::default();
        let start = Instant::now();
        for (round, millis) in
            [1, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50].into_iter().enumerate()
        {
            let now = start + Duration::from_secs(round as u64);
            pace.sent(SAMPLE_BYTES, false, now);
            pace.acknowledged(0, now + Duration::from_millis(millis));
        }
        assert_eq!(pace.window(), WINDOW_BYTES_MIN);
    }

    #[test]
    fn small_messages_beside_make_the_window_small_at_once() {
        let mut pace = CongestionControl::default();
        let now = Instant::now();
        pace.sent(SAMPLE_BYTES, false, now);
        assert_eq!(pace.window(), WINDOW_BYTES_ALONE);
        pace.sent(SAMPLE_BYTES, true, now);
        assert_eq!(pace.window(), WINDOW_BYTES_MIN);
        pace.sent(SAMPLE_BYTES, false, now);
        assert_eq!(pace.window(), WINDOW_BYTES_ALONE);
    }

    #[test]
    fn a_queue_that_builds_up_closes_it_again() {
        let mut pace = CongestionControl::default();
        let start = Instant::now();
        for round in 0..100 {
            let now = start + Duration::from_millis(round);
            pace.sent(SAMPLE_BYTES, true, now);
            pace.acknowledged(0, now + Duration::from_micros(100));
        }
        assert_eq!(pace.window(), WINDOW_BYTES_MIN + 100 * SAMPLE_BYTES);
        for round in 100..200 {
            let now = start + Duration::from_millis(round);
            pace.sent(SAMPLE_BYTES, true, now);
            pace.acknowledged(0, now + Duration::from_millis(1));
        }
        assert_eq!(pace.window(), WINDOW_BYTES_MIN);
    }

    #[test]
    fn a_short_queue_closes_no_window_of_a_source_that_sends_large_bodies_alone() {
        let mut pace = CongestionControl::default();
        let start = Instant::now();
        for (round, micros) in (0..).zip([100, 900, 900, 900]) {
            let now = start + Duration::from_millis(round);
            pace.sent(SAMPLE_BYTES, false, now);
            pace.acknowledged(0, now + Duration::from_micros(micros));
        }
        assert_eq!(pace.window(), WINDOW_BYTES_ALONE + SAMPLE_BYTES);
    }
}
