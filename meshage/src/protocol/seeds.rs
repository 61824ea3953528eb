//! The seed addresses: they are dialled until they are linked, and again whenever the link breaks.
//!
//! ```text
//!  Waiting ──timer──► Dialling ──hello──► Linked ──the last link to that node ended──► Waiting
//!     ▲                  │ failed            the address is this node's own: Myself
//!     └──────────────────┘ longer each time; Myself is final
//! ```

use std::time::Duration;

use rand::rngs::ChaCha8Rng;

use super::backoff::random_wait;
use crate::name::Instance;

/// The first maximum of the wait before a seed is dialled again.
const WAIT_MIN: Duration = Duration::from_millis(500);
/// The factor by which the maximum grows after each failure.
const WAIT_FACTOR: f64 = 1.7;
/// The largest maximum for each reachable node, and its bounds. Waits are drawn from zero to the maximum,
/// so that nodes that start together spread. One dial is enough to join two parts of a mesh, so each of
/// many nodes may wait longer: together they dial about eight times a second, or more often.
const WAIT_MAX_PER_NODE: Duration = Duration::from_millis(250);
const WAIT_MAX_LEAST: Duration = Duration::from_secs(2);
const WAIT_MAX_MOST: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Dialling,
    /// A link to this node exists or is being made.
    Linked(Instance),
    /// The address is this node's own.
    Myself,
}

#[derive(Debug)]
struct Seed {
    state: State,
    wait: Duration,
}

/// All seeds, by their index in the configuration.
#[derive(Debug)]
pub(super) struct Seeds {
    seeds: Vec<Seed>,
}

impl Seeds {
    pub(super) fn new(count: usize) -> Self {
        let seed = || Seed { state: State::Waiting, wait: WAIT_MIN };
        Self { seeds: (0..count).map(|_| seed()).collect() }
    }

    /// Records that a seed is being dialled.
    pub(super) fn dialled(&mut self, seed: usize) {
        self.seeds[seed].state = State::Dialling;
    }

    /// Records that a seed's address belongs to a node, to which a link exists or is being made.
    pub(super) fn linked(&mut self, seed: usize, instance: Instance) {
        self.seeds[seed].state = State::Linked(instance);
    }

    /// Records that a seed's address is this node's own.
    pub(super) fn mark_own(&mut self, seed: usize) {
        self.seeds[seed].state = State::Myself;
    }

    /// Records that a dial to a seed failed, or that its link broke, while so many nodes are reachable.
    /// Returns the wait before the next dial.
    pub(super) fn failed(&mut self, seed: usize, nodes: usize, rng: &mut ChaCha8Rng) -> Duration {
        let seed = &mut self.seeds[seed];
        seed.state = State::Waiting;
        let nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
        let longest = WAIT_MAX_PER_NODE.saturating_mul(nodes).clamp(WAIT_MAX_LEAST, WAIT_MAX_MOST);
        let wait = seed.wait.min(longest);
        seed.wait = longest.min(wait.mul_f64(WAIT_FACTOR));
        random_wait(wait, rng)
    }

    /// The link to a node has worked, and broke: its seeds are dialled soon.
    pub(super) fn dial_soon(&mut self, instance: Instance) {
        for seed in self.seeds.iter_mut().filter(|seed| seed.state == State::Linked(instance)) {
            seed.wait = WAIT_MIN;
        }
    }

    /// The network changed: seeds that could not be reached are dialled soon. Returns those that
    /// wait for their next dial, each with its new wait.
    pub(super) fn network_changed(&mut self, rng: &mut ChaCha8Rng) -> Vec<(usize, Duration)> {
        let mut waiting = Vec::new();
        for (at, seed) in self.seeds.iter_mut().enumerate() {
            seed.wait = WAIT_MIN;
            if seed.state == State::Waiting {
                waiting.push((at, random_wait(WAIT_MIN, rng)));
            }
        }
        waiting
    }

    /// The seeds that lead to a node.
    pub(super) fn leading_to(&self, instance: Instance) -> Vec<usize> {
        let leads_there = |seed: &Seed| seed.state == State::Linked(instance);
        (0..self.seeds.len()).filter(|&at| leads_there(&self.seeds[at])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    #[test]
    fn a_seed_is_dialled_at_growing_intervals_until_its_link_is_up() {
        let mut longest = [Duration::ZERO; 10];
        for seed in 0..300 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut seeds = Seeds::new(1);
            for wait in &mut longest {
                *wait = seeds.failed(0, 1000, &mut rng).max(*wait);
            }
            seeds.linked(0, Instance(1));
            seeds.dial_soon(Instance(1));
            assert_eq!(seeds.leading_to(Instance(1)), [0]);
            assert!(seeds.failed(0, 1000, &mut rng) <= WAIT_MIN);
            assert!(seeds.leading_to(Instance(1)).is_empty());
        }
        assert!(longest[0] <= WAIT_MIN && longest[1] > WAIT_MIN);
        assert!(longest[9] > WAIT_MAX_MOST / 2 && longest[9] <= WAIT_MAX_MOST);
    }

    #[test]
    fn a_node_alone_and_the_nodes_of_a_small_mesh_dial_every_two_seconds_at_least() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut seeds = Seeds::new(1);
        // It was a part of a large mesh.
        let waits: Vec<Duration> = (0..20).map(|_| seeds.failed(0, 10_000, &mut rng)).collect();
        assert!(waits.iter().any(|wait| *wait > WAIT_MAX_LEAST));
        for nodes in [1, 2, 8] {
            for _ in 0..100 {
                assert!(seeds.failed(0, nodes, &mut rng) <= WAIT_MAX_LEAST, "{nodes} nodes");
            }
        }
    }
}
