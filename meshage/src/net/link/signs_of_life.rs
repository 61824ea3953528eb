//! Signs of life of a link that no byte is read from.
//!
//! A lost segment holds up all bytes behind it until it is sent again, which takes as long as the
//! queues of the path are. They have arrived in the kernel all the same, so the other end lives. The
//! kernel is asked only about a link from which nothing was read since the look before: in intervals,
//! and, while a keep-alive is missing, each time that the router decides about the link.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::net::sys::path::PathInfo;

/// The interval of the looks at the links: several within the longest dead interval (3 s).
pub(in crate::net) const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// The queueing delay from which acknowledgements of data are a sign of life. On a shorter path the
/// keep-alives of the other end would have arrived. Its kernel alone acknowledges data too, even
/// for a process that has stopped.
const SLOW_QUEUE_MIN: Duration = Duration::from_millis(100);
/// The acknowledged bytes that count: more than the keep-alives and control frames of an idle link.
const ACKED_BYTES_MIN: u64 = 1 << 10;
/// How long acknowledgements keep a link alive from which nothing else comes: as long as a segment
/// takes that is lost twice in a queue of 5 s.
const ACKED_LASTS: Duration = Duration::from_secs(12);

/// Counts the reads of a link, for the looks at it.
#[derive(Debug, Clone, Default)]
pub(in crate::net) struct Reads(Arc<AtomicU64>);

impl Reads {
    /// Records that bytes were read.
    pub(in crate::net) fn one(&self) {
        // Only the reader of the link writes it.
        self.0.store(self.count() + 1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the last look at a link showed.
#[derive(Debug)]
pub(in crate::net) struct SignsOfLife {
    reads: Reads,
    seen: u64,
    /// When bytes were last known to be read.
    read_at: Instant,
    /// The state of the path at the last look, if nothing was read between it and the one before.
    path: Option<PathInfo>,
    /// Whether a keep-alive is missing.
    suspect: bool,
}

impl SignsOfLife {
    pub(in crate::net) fn new(reads: Reads, now: Instant) -> Self {
        Self { reads, seen: 0, read_at: now, path: None, suspect: false }
    }

    /// A keep-alive is missing.
    pub(in crate::net) fn suspect(&mut self) {
        self.suspect = true;
    }

    /// Whether a keep-alive is missing, and no read was seen since then.
    pub(in crate::net) fn is_suspect(&self) -> bool {
        self.suspect
    }

    /// Whether the kernel shows that the other end lives, though nothing was read since the last
    /// look. `path` asks the kernel.
    pub(in crate::net) fn look(
        &mut self,
        path: impl FnOnce() -> Option<PathInfo>,
        now: Instant,
    ) -> bool {
        let reads = self.reads.count();
        if reads != self.seen {
            (self.seen, self.read_at, self.path, self.suspect) = (reads, now, None, false);
            return false;
        }
        let Some(path) = path() else { return false };
        let Some(before) = self.path.replace(path) else { return false };
        let arrived = path.segments_received != before.segments_received;
        let acked = path.acked_bytes.saturating_sub(before.acked_bytes) >= ACKED_BYTES_MIN;
        let slow = path.rtt.saturating_sub(path.rtt_min) >= SLOW_QUEUE_MIN;
        let lasts = now.saturating_duration_since(self.read_at) < ACKED_LASTS;
        arrived || (acked && slow && lasts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at a link in each interval. Returns the number of signs of life.
    fn looks(
        signs: &mut SignsOfLife,
        start: Instant,
        count: u32,
        path: impl Fn(u32) -> PathInfo,
    ) -> u32 {
        (1..=count)
            .map(|at| u32::from(signs.look(|| Some(path(at)), start + at * LOOK_INTERVAL)))
            .sum()
    }

    fn slow(acked_bytes: u64) -> PathInfo {
        let (rtt, rtt_min) = (Duration::from_secs(2), Duration::from_millis(20));
        PathInfo { rtt, rtt_min, acked_bytes, ..PathInfo::default() }
    }

    #[test]
    fn segments_behind_a_lost_one_are_a_sign_of_life() {
        let start = Instant::now();
        let mut signs = SignsOfLife::new(Reads::default(), start);
        let path = |at| PathInfo { segments_received: at, ..PathInfo::default() };
        assert_eq!(looks(&mut signs, start, 10, path), 9);
        let silent = |_| PathInfo { segments_received: 10, ..PathInfo::default() };
        assert_eq!(looks(&mut signs, start, 10, silent), 0);
    }

    #[test]
    fn a_suspected_link_is_looked_at_until_something_is_read() {
        let start = Instant::now();
        let reads = Reads::default();
        let mut signs = SignsOfLife::new(reads.clone(), start);
        let path =
            |segments_received| move || Some(PathInfo { segments_received, ..PathInfo::default() });
        assert!(!signs.look(path(1), start), "there is nothing to compare with");
        signs.suspect();
        assert!(!signs.look(path(1), start) && signs.is_suspect());
        assert!(signs.look(path(2), start), "a segment arrived behind a lost one");
        assert!(signs.is_suspect(), "but nothing was read");
        reads.one();
        assert!(!signs.look(path(3), start) && !signs.is_suspect());
    }

    #[test]
    fn what_arrived_before_the_last_read_is_none() {
        let start = Instant::now();
        let reads = Reads::default();
        let mut signs = SignsOfLife::new(reads.clone(), start);
        for at in 1..10 {
            reads.one();
            let path = PathInfo { segments_received: at, ..PathInfo::default() };
            assert!(!signs.look(|| Some(path), start + at * LOOK_INTERVAL));
        }
        let path = |_| PathInfo { segments_received: 100, ..PathInfo::default() };
        assert_eq!(looks(&mut signs, start, 10, path), 0);
    }

    #[test]
    fn progress_of_own_data_over_a_slow_path_is_a_sign_of_life_for_a_while() {
        let start = Instant::now();
        let mut signs = SignsOfLife::new(Reads::default(), start);
        let signs_shown = looks(&mut signs, start, 100, |at| slow(u64::from(at) * 30_000));
        assert_eq!(signs_shown, ACKED_LASTS.as_millis() as u32 / 500 - 2);
    }

    #[test]
    fn acknowledged_keep_alives_or_a_fast_path_are_none() {
        let start = Instant::now();
        let mut signs = SignsOfLife::new(Reads::default(), start);
        assert_eq!(looks(&mut signs, start, 10, |at| slow(u64::from(at) * 5)), 0);
        let fast = |at| PathInfo {
            rtt: Duration::from_millis(1),
            acked_bytes: 1_000_000 * u64::from(at),
            ..PathInfo::default()
        };
        let mut signs = SignsOfLife::new(Reads::default(), start);
        assert_eq!(looks(&mut signs, start, 10, fast), 0);
    }
}
