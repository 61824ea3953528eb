//! Congestion control: how many bytes of large bodies may be in flight. These are enough to fill
//! the path, but so few that a small message sent with them takes at most twice as long as without
//! them.
//!
//! Bytes that wait in queues and socket buffers along the path add delay and no throughput. So the
//! window follows the delay. It grows while acknowledgements arrive within twice the shortest delay
//! seen, and shrinks when they take more than four times as long. As long as a source sends only
//! large bodies, a queueing delay of a millisecond does no harm. As soon as the source also sends
//! small messages, the window starts again from its minimum.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::forward::outbound::CHUNK_BYTES_MIN;
use crate::wire::data::CHUNK_BYTES;

/// The smallest window: four chunks. Over loopback on 2 cores, the 99th percentile of a small
/// message sent with large bodies was 1.4 to 1.6 times that of one sent alone; with five chunks it
/// was 1.6 to 2.0 times, and with [`WINDOW_BYTES_ALONE`] 3 times.
pub const WINDOW_BYTES_MIN: u64 = 192 << 10;
/// The initial window of a source that sends no small messages: six acknowledgements' worth. Over
/// loopback, bodies of 1 MiB reached 1.0 times the speed of a raw stream; with a window of 384 KiB
/// 0.75 times, and with the smallest window 0.45 times.
pub const WINDOW_BYTES_ALONE: u64 = 768 << 10;
/// How long a path may take for the smallest window: on a slow path the window is smaller than
/// [`WINDOW_BYTES_MIN`], which is 24 s at 64 kbit/s.
const WINDOW_TIME_MIN: Duration = Duration::from_secs(1);
/// The smallest window of the slowest path: four of the smallest chunks.
const WINDOW_BYTES_SLOW: u64 = 16 << 10;
/// How long a path may take for one chunk.
const CHUNK_TIME: Duration = Duration::from_millis(100);
/// The largest window: 10 Gb/s over 12 ms.
pub const WINDOW_BYTES_MAX: u64 = 16 << 20;
/// How long after a small message the next one is expected. Most programs that are sensitive to
/// delay send more often.
pub const SMALL_TRAFFIC_LASTS: Duration = Duration::from_secs(1);
/// A delay that never shrinks the window of a source that sends only large bodies, however short
/// the path is.
const ALONE_DELAY_MAX: Duration = Duration::from_millis(1);
/// How often the delay is measured, and by how much the window grows.
const SAMPLE_BYTES: u64 = 64 << 10;
/// How long the shortest delay is valid: routes and machines change.
const BASE_DELAY_LASTS: Duration = Duration::from_secs(10);

/// The window of one channel of large messages.
#[derive(Debug)]
pub struct CongestionControl {
    window: u64,
    sent: u64,
    acknowledged: u64,
    /// Whether the source also sends small messages.
    mixed: bool,
    samples: VecDeque<Sample>,
    base_delay: Option<BaseDelay>,
    /// The bytes that the path carried in a second while the last sample was in flight.
    rate: Option<u64>,
}

/// The state when a byte was sent, whose delay is measured.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// How many bytes had been sent in total, and how many of them acknowledged.
    sent: u64,
    acknowledged: u64,
    at: Instant,
}

/// The shortest time between sending and acknowledgement, in the current period and the previous
/// one.
#[derive(Debug, Clone, Copy)]
struct BaseDelay {
    since: Instant,
    previous: Duration,
    current: Duration,
}

impl Default for CongestionControl {
    /// The window of a source that sends no small messages.
    fn default() -> Self {
        Self {
            window: WINDOW_BYTES_ALONE,
            sent: 0,
            mixed: false,
            acknowledged: 0,
            samples: VecDeque::new(),
            base_delay: None,
            rate: None,
        }
    }
}

impl CongestionControl {
    /// How many bytes may be in flight.
    pub fn window(&self) -> u64 {
        self.window
    }

    /// How long a chunk may be: what the path carries in a short time.
    pub fn chunk_bytes(&self) -> usize {
        let carried = self.rate.map(|rate| carried(rate, CHUNK_TIME));
        let carried = carried.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(CHUNK_BYTES);
        carried.clamp(CHUNK_BYTES_MIN, CHUNK_BYTES)
    }

    fn window_min(&self) -> u64 {
        let carried = self.rate.map_or(WINDOW_BYTES_MIN, |rate| carried(rate, WINDOW_TIME_MIN));
        carried.clamp(WINDOW_BYTES_SLOW, WINDOW_BYTES_MIN)
    }

    /// Records that bytes were sent; `mixed` if the source also sends small messages.
    pub fn sent(&mut self, bytes: u64, mixed: bool, now: Instant) {
        match (self.mixed, mixed) {
            (false, true) => self.window = self.window_min(),
            (true, false) if self.window_min() < WINDOW_BYTES_MIN => {}
            (true, false) => self.window = self.window.max(WINDOW_BYTES_ALONE),
            (false, false) | (true, true) => {}
        }
        self.mixed = mixed;
        self.sent += bytes;
        if self.samples.back().is_none_or(|last| self.sent - last.sent >= SAMPLE_BYTES) {
            let (sent, acknowledged) = (self.sent, self.acknowledged);
            self.samples.push_back(Sample { sent, acknowledged, at: now });
        }
    }

    /// Records an acknowledgement, after which `in_flight` of all the bytes sent are
    /// unacknowledged.
    pub fn acknowledged(&mut self, in_flight: u64, now: Instant) {
        let arrived = self.sent.saturating_sub(in_flight);
        let mut sample = None;
        self.acknowledged = self.acknowledged.max(arrived);
        while let Some(front) = self.samples.front().filter(|front| front.sent <= arrived) {
            sample = Some(*front);
            self.samples.pop_front();
        }
        if let Some(sample) = sample {
            let delay = now.saturating_duration_since(sample.at);
            let bytes = u128::from(self.acknowledged - sample.acknowledged);
            let rate = u64::try_from(bytes * 1_000_000 / delay.as_micros().max(1));
            self.measure(rate.unwrap_or(u64::MAX), delay);
            self.adapt(delay, now);
        }
    }

    /// Discards the measurements: what was in flight was refused, which does not measure the path.
    pub fn discard_samples(&mut self) {
        self.samples.clear();
    }

    /// Records the rate of the last sample. With the smallest window, a long delay is not the
    /// window's fault, and a rate that is low because of it must not lower the window further.
    fn measure(&mut self, rate: u64, delay: Duration) {
        let fills_path = delay <= WINDOW_TIME_MIN || self.window > self.window_min();
        if fills_path || self.rate.is_none_or(|known| rate > known) {
            self.rate = Some(rate);
        }
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
        if sample > WINDOW_TIME_MIN {
            // The shortest delay seen is no measure for a path that is never idle. To take back an
            // eighth at a time takes minutes on a slow one.
            self.window = self.window.min(self.window_min());
        } else if sample <= base * 2 {
            self.window = WINDOW_BYTES_MAX.min(self.window + SAMPLE_BYTES);
        } else if sample > limit {
            self.window = self.window_min().max(self.window - self.window / 8);
        }
    }
}

/// The bytes that a path of this rate, in bytes per second, carries in this time.
fn carried(rate: u64, time: Duration) -> u64 {
    u64::try_from(u128::from(rate) * time.as_millis() / 1000).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_of_a_slow_path_is_a_second_and_a_chunk_a_part_of_it() {
        for (rate, chunk) in [(8_000, CHUNK_BYTES_MIN), (64_000, 6_400)] {
            let mut congestion = CongestionControl::default();
            let mut now = Instant::now();
            let (mut in_flight, mut waits) = (0, Duration::ZERO);
            for _ in 0..2000 {
                while in_flight < congestion.window() {
                    let chunk = congestion.chunk_bytes() as u64;
                    congestion.sent(chunk, false, now);
                    in_flight += chunk;
                }
                waits = Duration::from_millis(in_flight * 1000 / rate);
                let arrived = in_flight.min(4 << 10);
                now += Duration::from_millis(arrived * 1000 / rate);
                in_flight -= arrived;
                congestion.acknowledged(in_flight, now);
            }
            let bytes = congestion.chunk_bytes();
            assert!(bytes.abs_diff(chunk) < 200, "chunks of {bytes} at {rate}");
            assert!(waits < Duration::from_secs(3), "{waits:?} at {rate}");
        }
    }

    const GIGABYTE_PER_S: u64 = 1 << 20;

    /// The window on a path that carries so many bytes in a millisecond, with a delay of `delay`.
    fn window_after(bytes_per_ms: u64, delay: Duration, mixed: bool, rounds: u32) -> u64 {
        let mut congestion = CongestionControl::default();
        let mut now = Instant::now();
        for _ in 0..rounds {
            let window = congestion.window();
            let mut left = window;
            while left > 0 {
                let chunk = left.min(SAMPLE_BYTES);
                congestion.sent(chunk, mixed, now);
                left -= chunk;
            }
            let drain = Duration::from_micros(window * 1000 / bytes_per_ms);
            now += delay.max(drain);
            congestion.acknowledged(0, now);
        }
        congestion.window()
    }

    #[test]
    fn the_window_grows_on_a_long_path_and_stays_small_on_a_short_one() {
        for mixed in [false, true] {
            let long = window_after(GIGABYTE_PER_S, Duration::from_millis(8), mixed, 200);
            let short = window_after(GIGABYTE_PER_S, Duration::from_micros(100), mixed, 200);
            assert!(long >= 8 << 20, "{long}");
            assert!(short <= 2 << 20, "{short}");
            assert!(short >= WINDOW_BYTES_MIN);
        }
    }

    #[test]
    fn a_slow_path_gets_the_smallest_window() {
        let mut congestion = CongestionControl::default();
        let start = Instant::now();
        for (round, millis) in
            [1, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50].into_iter().enumerate()
        {
            let now = start + Duration::from_secs(round as u64);
            congestion.sent(SAMPLE_BYTES, false, now);
            congestion.acknowledged(0, now + Duration::from_millis(millis));
        }
        assert_eq!(congestion.window(), WINDOW_BYTES_MIN);
    }

    #[test]
    fn small_messages_shrink_the_window_at_once() {
        let mut congestion = CongestionControl::default();
        let now = Instant::now();
        congestion.sent(SAMPLE_BYTES, false, now);
        assert_eq!(congestion.window(), WINDOW_BYTES_ALONE);
        congestion.sent(SAMPLE_BYTES, true, now);
        assert_eq!(congestion.window(), WINDOW_BYTES_MIN);
        congestion.sent(SAMPLE_BYTES, false, now);
        assert_eq!(congestion.window(), WINDOW_BYTES_ALONE);
    }

    #[test]
    fn a_growing_queue_shrinks_the_window_again() {
        let mut congestion = CongestionControl::default();
        let start = Instant::now();
        for round in 0..100 {
            let now = start + Duration::from_millis(round);
            congestion.sent(SAMPLE_BYTES, true, now);
            congestion.acknowledged(0, now + Duration::from_micros(100));
        }
        assert_eq!(congestion.window(), WINDOW_BYTES_MIN + 100 * SAMPLE_BYTES);
        for round in 100..200 {
            let now = start + Duration::from_millis(round);
            congestion.sent(SAMPLE_BYTES, true, now);
            congestion.acknowledged(0, now + Duration::from_millis(1));
        }
        assert_eq!(congestion.window(), WINDOW_BYTES_MIN);
    }

    #[test]
    fn a_short_queue_shrinks_no_window_of_a_source_that_sends_only_large_bodies() {
        let mut congestion = CongestionControl::default();
        let start = Instant::now();
        for (round, micros) in (0..).zip([100, 900, 900, 900]) {
            let now = start + Duration::from_millis(round);
            congestion.sent(SAMPLE_BYTES, false, now);
            congestion.acknowledged(0, now + Duration::from_micros(micros));
        }
        assert_eq!(congestion.window(), WINDOW_BYTES_ALONE + SAMPLE_BYTES);
    }
}
