//! Seeded random numbers: the only source of randomness in the simulator.
//!
//! Every part that draws has its own generator, forked by a label. If one part draws more than
//! before, the draws of the other parts do not change.

use std::ops::Range;
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{Rng as _, SeedableRng as _};

/// A seeded generator. ChaCha with eight rounds: its output is fixed by its specification, so a
/// seed gives the same run with a later version of the crate.
#[derive(Debug)]
pub struct SimRng {
    generator: ChaCha8Rng,
    seed: u64,
}

impl SimRng {
    /// Creates the generator of this seed.
    pub fn new(seed: u64) -> Self {
        Self { generator: ChaCha8Rng::seed_from_u64(seed), seed }
    }

    /// Creates another generator of the same seed, for another purpose.
    pub fn fork(&self, label: u64) -> Self {
        // An odd multiplier maps labels one to one, so that no two purposes share a generator.
        Self::new(self.seed ^ label.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Draws any number.
    pub fn number(&mut self) -> u64 {
        self.generator.next_u64()
    }

    /// Draws thirty-two bytes, the seed of a router.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.generator.fill_bytes(&mut seed);
        seed
    }

    /// Fills a buffer with random bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.generator.fill_bytes(bytes);
    }

    /// Draws a number from the range; its start if the range is empty.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        let span = range.end.saturating_sub(range.start);
        if span == 0 {
            return range.start;
        }
        // The bias of a remainder is below one in 2^32 for the small spans drawn here.
        range.start + self.number() % span
    }

    /// Draws an index into a list of this length, which must not be empty.
    pub fn index(&mut self, len: usize) -> usize {
        self.within(0..len as u64) as usize
    }

    /// Draws a time from the range, in microseconds.
    pub fn time(&mut self, range: Range<Duration>) -> Duration {
        Duration::from_micros(
            self.within(range.start.as_micros() as u64..range.end.as_micros() as u64),
        )
    }

    /// Returns true with a probability of `of_thousand` per thousand.
    pub fn permille(&mut self, of_thousand: u32) -> bool {
        self.within(0..1000) < u64::from(of_thousand)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence_and_each_fork_has_its_own() {
        let (mut a, mut b) = (SimRng::new(7), SimRng::new(7));
        assert_eq!(a.number(), b.number());
        assert_ne!(a.fork(1).number(), a.fork(2).number());
        assert_eq!(a.fork(1).number(), b.fork(1).number());
    }

    #[test]
    fn draws_stay_within_their_range() {
        let mut rng = SimRng::new(1);
        for _ in 0..1000 {
            assert!((3..9).contains(&rng.within(3..9)));
        }
        assert_eq!(rng.within(5..5), 5);
    }
}
