//! How many bytes of a link the kernel may hold: as many as the path carries in a short time.
//!
//! ```text
//!  outbound queues ──► allowance ──► kernel: unsent, in flight ──► the queues of the path
//!  control frames go first          └──────── bounded, in time ────────┘
//! ```
//!
//! What was given to the kernel cannot be overtaken. On a slow uplink with long queues, TCP fills
//! these queues with seconds of data. Keep-alives then arrive too late, and every lost segment holds
//! up the stream for as long as the queues are. So a link gives the kernel no more than fits into
//! the time of [`QUEUE_MAX`], and keeps the rest in its own queues, where control frames go first.
//!
//! The bound follows the queueing delay: the smoothed round-trip time less the shortest. It starts
//! low, doubles with each round trip while the delay is short, and falls to what the path carried
//! once the delay is long. The kernel is asked only after a number of bytes was written: on a fast
//! path that is one question in [`ALLOWANCE_MAX`] bytes, and none for a small message.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crate::net::sys::path::PathInfo;

/// The queueing delay above which the bound falls: small messages wait no longer, and keep-alives
/// (3 s) have ample time.
const QUEUE_MAX: Duration = Duration::from_millis(250);
/// The queueing delay up to which the bound grows, and up to which it grows fast. A delayed
/// acknowledgement (40 ms) is no queue.
const QUEUE_LOW: Duration = Duration::from_millis(125);
const QUEUE_SHORT: Duration = Duration::from_millis(50);
/// The least bound: 1 s at 64 kbit/s, the slowest path that links are made for.
const BOUND_MIN: u64 = 8 << 10;
/// The bound of a new link over the loopback: more than its send buffer holds (4 MiB), since nothing
/// there is slow. On a loaded machine the acknowledgements may take 40 ms.
const BOUND_LOOPBACK: u64 = 8 << 20;
/// The greatest bound: more than any send buffer holds.
const BOUND_MAX: u64 = 64 << 20;
/// The limit on the bytes written between two questions. A question takes about a microsecond, and
/// writing so many bytes a hundred times that.
const ALLOWANCE_MAX: u64 = 1 << 20;
/// The time over which the rate of the path is measured.
const RATE_INTERVAL: Duration = Duration::from_millis(200);
/// How long a delay that others cause is taken for a part of the path.
const FOREIGN_DELAY_LASTS: Duration = Duration::from_secs(10);
/// The limits on the time between two questions while the kernel holds enough.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// The bytes that may be written before the kernel is asked again. Shared by the writer of a link
/// and the callers that write in its place.
#[derive(Debug, Default)]
pub(super) struct Allowance(AtomicI64);

impl Allowance {
    /// The bytes that may be written.
    pub(super) fn bytes(&self) -> usize {
        usize::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Records that bytes were written.
    pub(super) fn spend(&self, bytes: usize) {
        // Only one task writes to a link at a time, so no update is lost.
        let left = self.0.load(Ordering::Relaxed);
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.0.store(left.saturating_sub(bytes), Ordering::Relaxed);
    }

    /// Sets the bytes that may be written.
    pub(super) fn grant(&self, bytes: u64) {
        self.0.store(i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Lifts the limit, on a system that does not report the state of a path.
    pub(super) fn lift(&self) {
        // A link does not write so many bytes in its life.
        self.0.store(i64::MAX, Ordering::Relaxed);
    }
}

/// The bound on what the kernel holds of one link.
#[derive(Debug)]
pub(super) struct Bound {
    bytes: u64,
    last: Option<PathInfo>,
    /// The acknowledged bytes and the busy time when the current rate interval began.
    interval: (u64, Duration),
    /// Bytes per second, over the last complete interval.
    rate: Option<u64>,
    lowered: Option<Lowered>,
    /// A delay that this link does not cause, and until when it is taken for a part of the path.
    foreign: Option<(Duration, Instant)>,
}

/// The state when the bound was lowered last.
#[derive(Debug, Clone, Copy)]
struct Lowered {
    at: Instant,
    bytes_before: u64,
    /// The longest round-trip time since: what was in flight before still has to arrive.
    rtt_max: Duration,
}

impl Bound {
    /// The bound of a new link.
    pub(super) fn new(loopback: bool) -> Self {
        Self {
            bytes: if loopback { BOUND_LOOPBACK } else { BOUND_MIN },
            last: None,
            interval: (0, Duration::ZERO),
            rate: None,
            lowered: None,
            foreign: None,
        }
    }

    /// Adapts the bound to the state of the path, and returns how many bytes may be written now.
    pub(super) fn allow(&mut self, path: &PathInfo, now: Instant) -> u64 {
        self.measure(path);
        let acked = self.last.map_or(0, |last| path.acked_bytes.saturating_sub(last.acked_bytes));
        self.last = Some(*path);
        if let Some(lowered) = &mut self.lowered {
            lowered.rtt_max = lowered.rtt_max.max(path.rtt);
        }
        let base = self.base(path, now);
        let queue = path.rtt.saturating_sub(base);
        if queue <= QUEUE_LOW {
            let grown = if queue <= QUEUE_SHORT { acked } else { acked / 8 };
            self.bytes = (self.bytes + grown).min(BOUND_MAX);
        } else if queue > QUEUE_MAX {
            self.lower(path, base, now);
        }
        let free = self.bytes.saturating_sub(path.unacked_bytes);
        // A few bytes are not worth a system call.
        if free < self.bytes / 8 { 0 } else { free.min(ALLOWANCE_MAX) }
    }

    /// The largest chunk to send: it takes at most half of the time that the bound takes.
    pub(super) fn chunk_bytes(&self) -> usize {
        usize::try_from(self.bytes / 2).unwrap_or(usize::MAX)
    }

    /// How long to wait before the kernel is asked again, while it holds enough.
    pub(super) fn pause(&self) -> Duration {
        let rtt = self.last.map_or(PAUSE_MIN, |last| last.rtt);
        (rtt / 8).clamp(PAUSE_MIN, PAUSE_MAX)
    }

    /// The delay of the path without the queues that this link fills.
    fn base(&mut self, path: &PathInfo, now: Instant) -> Duration {
        match self.foreign {
            Some((delay, until)) if now < until => path.rtt_min.max(delay),
            Some(_) | None => {
                self.foreign = None;
                path.rtt_min
            }
        }
    }

    fn measure(&mut self, path: &PathInfo) {
        let (acked, busy) = self.interval;
        let interval = path.busy.saturating_sub(busy);
        if interval >= RATE_INTERVAL {
            let bytes = u128::from(path.acked_bytes.saturating_sub(acked));
            let rate = bytes * 1_000_000 / interval.as_micros();
            self.rate = Some(u64::try_from(rate).unwrap_or(u64::MAX));
            self.interval = (path.acked_bytes, path.busy);
        }
    }

    /// Lowers the bound to what the path carries in its own delay and [`QUEUE_MAX`], at most once in
    /// the time that it takes to show.
    fn lower(&mut self, path: &PathInfo, base: Duration, now: Instant) {
        if let Some(lowered) = self.lowered
            && now.saturating_duration_since(lowered.at) < 4 * path.rtt
        {
            return;
        }
        if let Some(lowered) = self.lowered
            && self.bytes <= lowered.bytes_before / 2
            && path.rtt > lowered.rtt_max / 5 * 4
        {
            // Less of this link's data did not shorten the delay: others fill the queue. Giving way
            // to them for ever would starve this link.
            self.foreign = Some((path.rtt, now + FOREIGN_DELAY_LASTS));
            self.lowered = None;
            return;
        }
        let Some(rate) = self.rate else { return };
        let time = base + QUEUE_MAX;
        let carried = u128::from(rate) * time.as_micros() / 1_000_000;
        let carried = u64::try_from(carried).unwrap_or(u64::MAX);
        self.lowered = Some(Lowered { at: now, bytes_before: self.bytes, rtt_max: path.rtt });
        self.bytes = self.bytes.min(carried).max(BOUND_MIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(1);

    /// A path with an unlimited queue, in steps of a millisecond, over a sender that always has
    /// data.
    struct Path {
        bytes_per_ms: f64,
        delay: Duration,
        /// What others keep in the queue.
        foreign_queue: Duration,
        /// Bytes that pass without waiting, as a token bucket lets them.
        burst: f64,
        /// What waits, and when each part was written.
        queue: std::collections::VecDeque<(f64, Instant)>,
        /// What is on its way back, as an acknowledgement.
        returning: std::collections::VecDeque<(f64, Instant, Duration)>,
        carried: f64,
        acked: f64,
        written: f64,
        info: PathInfo,
        now: Instant,
    }

    impl Path {
        fn new(bits_per_s: u64, delay: Duration) -> Self {
            Self {
                bytes_per_ms: bits_per_s as f64 / 8000.0,
                delay,
                foreign_queue: Duration::ZERO,
                burst: 0.0,
                queue: std::collections::VecDeque::new(),
                returning: std::collections::VecDeque::new(),
                carried: 0.0,
                acked: 0.0,
                written: 0.0,
                info: PathInfo { rtt: delay, rtt_min: delay, ..PathInfo::default() },
                now: Instant::now(),
            }
        }

        fn write(&mut self, bytes: u64) {
            self.written += bytes as f64;
            let mut left = bytes as f64;
            while left > 0.0 {
                let segment = left.min(1448.0);
                self.queue.push_back((segment, self.now));
                left -= segment;
            }
        }

        fn step(&mut self) {
            self.now += STEP;
            if self.written > self.acked {
                self.info.busy += STEP;
            }
            let mut room = self.bytes_per_ms + self.carried + std::mem::take(&mut self.burst);
            while let Some((bytes, at)) = self.queue.front().copied() {
                if bytes > room {
                    break;
                }
                room -= bytes;
                let delay = self.delay + self.foreign_queue;
                self.returning.push_back((bytes, self.now + delay, self.now - at + delay));
                self.queue.pop_front();
            }
            self.carried = if self.queue.is_empty() { 0.0 } else { room };
            while let Some((bytes, at, rtt)) = self.returning.front().copied() {
                if at > self.now {
                    break;
                }
                self.acked += bytes;
                self.info.rtt = (self.info.rtt * 7 + rtt) / 8;
                self.info.rtt_min = self.info.rtt_min.min(rtt);
                self.returning.pop_front();
            }
            self.info.acked_bytes = self.acked as u64;
            self.info.unacked_bytes = (self.written - self.acked) as u64;
        }

        /// Sends for so long. Returns the bytes that were acknowledged, and the longest time that
        /// the oldest byte waited.
        fn run(&mut self, bound: &mut Bound, time: Duration) -> (u64, Duration) {
            let (end, acked) = (self.now + time, self.acked);
            let mut longest = Duration::ZERO;
            while self.now < end {
                let allowed = bound.allow(&self.info, self.now);
                if allowed > 0 {
                    // The kernel holds no more than a send buffer.
                    self.write(allowed.min((4 << 20) - self.info.unacked_bytes.min(4 << 20)));
                }
                let wait = self.now + bound.pause();
                while self.now < wait {
                    self.step();
                    let oldest = self.queue.front().map_or(self.now, |(_, at)| *at);
                    longest = longest.max(self.now - oldest);
                }
            }
            ((self.acked - acked) as u64, longest)
        }
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_slow_path_is_used_in_full_and_holds_no_more_than_a_second() {
        for (bits_per_s, longest_ms) in [(64_000, 1500), (128_000, 1200), (512_000, 900)] {
            for delay in [ms(0), ms(40)] {
                let mut path = Path::new(bits_per_s, delay);
                path.burst = 10_000.0;
                let mut bound = Bound::new(false);
                let (_, longest) = path.run(&mut bound, Duration::from_secs(10));
                assert!(longest < Duration::from_secs(3), "{bits_per_s}: {longest:?} at first");
                let (carried, longest) = path.run(&mut bound, Duration::from_secs(60));
                let full = bits_per_s / 8 * 60;
                assert!(carried > full * 9 / 10, "{bits_per_s}: {carried} of {full}");
                assert!(longest < ms(longest_ms), "{bits_per_s}: {longest:?}");
            }
        }
    }

    #[test]
    fn a_fast_path_is_not_slowed_down() {
        for delay in [ms(1), ms(100)] {
            let mut path = Path::new(100_000_000, delay);
            let mut bound = Bound::new(false);
            // The bound doubles in each round trip, as TCP's own window does.
            path.run(&mut bound, 12 * delay + ms(30));
            let (carried, _) = path.run(&mut bound, Duration::from_secs(2));
            assert!(carried > 2 * 12_500_000 * 95 / 100, "{carried} over {delay:?}");
        }
    }

    #[test]
    fn a_path_that_becomes_fast_again_is_used_within_seconds() {
        let mut path = Path::new(128_000, ms(20));
        let mut bound = Bound::new(false);
        path.run(&mut bound, Duration::from_secs(10));
        path.bytes_per_ms = 12_500.0;
        path.run(&mut bound, Duration::from_secs(3));
        let (carried, _) = path.run(&mut bound, Duration::from_secs(1));
        assert!(carried > 11_000_000, "{carried}");
    }

    #[test]
    fn a_queue_that_others_fill_does_not_starve_the_link() {
        let mut path = Path::new(8_000_000, ms(20));
        let mut bound = Bound::new(false);
        path.run(&mut bound, Duration::from_secs(2));
        path.foreign_queue = ms(800);
        path.run(&mut bound, Duration::from_secs(20));
        let (carried, _) = path.run(&mut bound, Duration::from_secs(20));
        assert!(carried > 20 * 100_000, "{carried}");
    }

    #[test]
    fn an_allowance_is_spent_by_every_write() {
        let allowance = Allowance::default();
        assert_eq!(allowance.bytes(), 0, "the kernel is asked before the first write");
        allowance.grant(1000);
        allowance.spend(400);
        assert_eq!(allowance.bytes(), 600);
        allowance.spend(700);
        assert_eq!(allowance.bytes(), 0);
        allowance.lift();
        allowance.spend(1 << 40);
        assert!(allowance.bytes() > 1 << 40);
    }
}
