//! What the nodes send: mixed sizes, to one node, to several and to all.

use std::time::Duration;

use super::ledger::{LABELLED_MIN, LARGE_MIN, SMALL_MAX};
use crate::random::Generator;

/// Each node has so many messages on their way at the same time.
pub(super) const LANES: usize = 2;
/// The largest body: the default limit of a node.
pub(super) const LARGEST: usize = 64 << 20;
/// The time limit of a send with a body of that size.
pub(super) const LARGEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The most recipients of a set.
const RECIPIENTS_MAX: u64 = 4;
/// The pause between two messages of a lane, in milliseconds.
const PAUSE: std::ops::Range<u64> = 0..60;
/// The time limits of sends, in milliseconds.
const TIMEOUT: std::ops::Range<u64> = 500..10_000;

/// The size of the next body: mostly small.
pub(super) fn length(random: &mut Generator) -> usize {
    let range = match random.in_range(0..1000) {
        0..20 => return 0,
        20..700 => LABELLED_MIN..200,
        700..950 => 200..4 << 10,
        950..990 => 4 << 10..SMALL_MAX as u64,
        990..999 => LARGE_MIN as u64..1 << 20,
        _ => 1 << 20..8 << 20,
    };
    random.in_range(range) as usize
}

/// The recipients of the next message: none for a broadcast.
pub(super) fn recipients(random: &mut Generator, others: &[usize]) -> Vec<usize> {
    let count = match random.in_range(0..100) {
        0..80 => 1,
        80..95 => random.in_range(2..RECIPIENTS_MAX + 1),
        _ => 0,
    };
    let mut chosen: Vec<usize> =
        (0..count).filter_map(|_| random.choose(others).copied()).collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

/// How long a lane pauses.
pub(super) fn pause(random: &mut Generator) -> Duration {
    Duration::from_millis(random.in_range(PAUSE))
}

/// How long a send waits for its acknowledgements.
pub(super) fn timeout(random: &mut Generator) -> Duration {
    Duration::from_millis(random.in_range(TIMEOUT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_empty_or_have_room_for_a_label() {
        let mut random = Generator::new(1);
        let lengths: Vec<usize> = (0..10_000).map(|_| length(&mut random)).collect();
        assert!(lengths.iter().all(|&len| len == 0 || len as u64 >= LABELLED_MIN));
        assert!(lengths.iter().all(|&len| len <= SMALL_MAX || len >= LARGE_MIN));
        assert!(lengths.contains(&0) && lengths.iter().any(|&len| len > 1 << 20));
    }

    #[test]
    fn recipients_are_distinct_and_sorted() {
        let mut random = Generator::new(1);
        for _ in 0..1000 {
            let chosen = recipients(&mut random, &[3, 1, 2]);
            assert!(chosen.is_sorted_by(|a, b| a < b), "{chosen:?}");
        }
    }
}
