//! Over which links an announcement is flooded.
//!
//! ```text
//!  originator ──► tree of shortest paths ──► each node receives the announcement once
//!       over all other links: a Have, later  ──► a node that lacks it requests it
//! ```
//!
//! The routes say over which links the tree of an originator goes on from here
//! ([`RouteTable::floods_over`]). All nodes compute the same tree while their routes agree. While they
//! do not, a part of the mesh may miss the announcement: a node therefore tells the peers beside the tree
//! what it has, once the tree has had time to deliver it. Nothing depends on the tree but the number of
//! frames.
//!
//! An announcement of a node without a route, or with a peer that has none, is flooded over all links, so
//! that no message of such a node overtakes it. All links are also used while routes change so often that
//! the computation of the trees would cost more than it saves.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::token_bucket::TokenBucket;
use crate::name::{Age, Instance, LinkId, Sequence};
use crate::route::RouteTable;

/// In a mesh with fewer nodes, all links are used: the frames are few, and no node waits for a Have.
pub const TREE_NODES_MIN: usize = 64;
/// How many nodes the route tables may have whose trees are computed at once (6 tables of 10,000 nodes),
/// and the time for one node more. The trees of a node with few links take about as long as its routes
/// (`cargo test --release -p meshage --lib -- --ignored --nocapture routes_of_ten`).
const TREE_NODES_BURST: u32 = 65_536;
const TREE_NODE_INTERVAL: Duration = Duration::from_micros(1);
/// How long the tree has to deliver an announcement to a peer: at least, and where no round trip is
/// known, and in round trips. The peer is at most one hop farther from the originator.
const WAIT_MIN: Duration = Duration::from_millis(10);
const WAIT_UNKNOWN: Duration = Duration::from_millis(25);
const WAIT_MAX: Duration = Duration::from_millis(250);
const WAIT_ROUND_TRIPS: u32 = 2;

/// What the peers beside the trees have to be told.
#[derive(Debug)]
pub(super) struct Flooding {
    nodes_min: usize,
    tree_nodes: TokenBucket,
    /// For each link, the announcements that its peer may lack.
    owed: BTreeMap<LinkId, BTreeMap<Instance, Sequence>>,
}

impl Flooding {
    pub(super) fn new(nodes_min: usize, now: Instant) -> Self {
        let tree_nodes = TokenBucket::new(TREE_NODE_INTERVAL, TREE_NODES_BURST, now);
        Self { nodes_min, tree_nodes, owed: BTreeMap::new() }
    }

    /// Whether to use trees with these routes. If they have to be computed, that counts as done.
    pub(super) fn takes_trees(&mut self, routes: &RouteTable, now: Instant) -> bool {
        let nodes = routes.nodes();
        let tokens = u32::try_from(nodes).unwrap_or(u32::MAX);
        nodes >= self.nodes_min
            && (routes.has_flood_trees() || self.tree_nodes.take_many(tokens, now))
    }

    /// The peer at the end of this link is told later that this node has an announcement.
    pub(super) fn owe(&mut self, link: LinkId, instance: Instance, sequence: Sequence) {
        self.owed.entry(link).or_default().insert(instance, sequence);
    }

    /// The peer at the end of this link has an announcement.
    pub(super) fn peer_has(&mut self, link: LinkId, instance: Instance, sequence: Sequence) {
        let Some(owed) = self.owed.get_mut(&link) else { return };
        if owed.get(&instance).is_some_and(|owed| sequence.age(*owed) != Age::Older) {
            owed.remove(&instance);
        }
    }

    /// Takes out what the peers have to be told.
    pub(super) fn take_owed(&mut self) -> BTreeMap<LinkId, BTreeMap<Instance, Sequence>> {
        std::mem::take(&mut self.owed)
    }
}

/// How long to wait for the tree, if the slowest link has this round trip.
pub(super) fn wait(round_trip: Option<Duration>) -> Duration {
    let known = round_trip.map(|time| time.saturating_mul(WAIT_ROUND_TRIPS));
    known.unwrap_or(WAIT_UNKNOWN).clamp(WAIT_MIN, WAIT_MAX)
}
