//! The seed addresses: dialled until they are linked, for ever, also after the link broke.
//!
//! ```text
//!  Waiting ──timer──► Dialling ──hello──► Linked ──the last link to that node is gone──► Waiting
//!     ▲                  │ failed            the address is this node's own: Myself, for good
//!     └──────────────────┘ longer each time
//! ```

use std::time::Duration;

use rand::rngs::ChaCha8Rng;

use super::discovery::up_to;
use crate::name::Instance;

/// A seed is dialled again after at most so long …
const WAIT_MIN: Duration = Duration::from_millis(500);
/// … then so many times longer …
const WAIT_FACTOR: f64 = 1.7;
/// … up to this. The waits are drawn from the whole of it, so that nodes started together spread.
const WAIT_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Dialling,
    /// Linked, or about to be.
    Linked(Instance),
    /// The address is this node's own.
    Myself,
}

#[derive(Debug)]
struct Seed {
    state: State,
    wait: Duration,
}

/// All seeds, by their place in the configuration.
#[derive(Debug)]
pub(super) struct Seeds {
    seeds: Vec<Seed>,
}

impl Seeds {
    pub(super) fn new(count: usize) -> Self {
        let seed = || Seed { state: State::Waiting, wait: WAIT_MIN };
        Self { seeds: (0..count).map(|_| seed()).collect() }
    }

    /// A seed is being dialled.
    pub(super) fn dialled(&mut self, seed: usize) {
        self.seeds[seed].state = State::Dialling;
    }

    /// A seed's address belongs to that node, and a link to it is there or in the making.
    pub(super) fn linked(&mut self, seed: usize, instance: Instance) {
        self.seeds[seed].state = State::Linked(instance);
    }

    /// A seed's address is this node's own.
    pub(super) fn is_myself(&mut self, seed: usize) {
        self.seeds[seed].state = State::Myself;
    }

    /// A dial to a seed failed, or its link broke: says how long to wait before the next one.
    pub(super) fn failed(&mut self, seed: usize, rng: &mut ChaCha8Rng) -> Duration {
        let seed = &mut self.seeds[seed];
        seed.state = State::Waiting;
        let wait = seed.wait;
        seed.wait = WAIT_MAX.min(wait.mul_f64(WAIT_FACTOR));
        up_to(wait, rng)
    }

    /// The link to a node is full: should it break, its seeds are dialled soon.
    pub(super) fn link_full(&mut self, instance: Instance) {
        for seed in self.seeds.iter_mut().filter(|seed| seed.state == State::Linked(instance)) {
            seed.wait = WAIT_MIN;
        }
    }

    /// The seeds that lead to this node.
    pub(super) fn of(&self, instance: Instance) -> Vec<usize> {
        let leads_there = |seed: &Seed| seed.state == State::Linked(instance);
        (0..self.seeds.len()).filter(|&at| leads_there(&self.seeds[at])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    #[test]
    fn a_seed_is_dialled_ever_more_seldom_until_its_link_is_up() {
        let mut longest = [Duration::ZERO; 10];
        for seed in 0..300 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut seeds = Seeds::new(1);
            for wait in &mut longest {
                *wait = seeds.failed(0, &mut rng).max(*wait);
            }
            seeds.linked(0, Instance(1));
            seeds.link_full(Instance(1));
            assert_eq!(seeds.of(Instance(1)), [0]);
            assert!(seeds.failed(0, &mut rng) <= WAIT_MIN);
            assert!(seeds.of(Instance(1)).is_empty());
        }
        assert!(longest[0] <= WAIT_MIN && longest[1] > WAIT_MIN);
        assert!(longest[9] > WAIT_MAX / 2 && longest[9] <= WAIT_MAX);
    }
}
