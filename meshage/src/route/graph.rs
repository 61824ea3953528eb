//! The network as a graph, and the search for the shortest paths in it.

use std::collections::VecDeque;

use foldhash::{HashMap, HashMapExt as _};

use crate::name::Instance;

/// Stands for no node and for no distance.
pub(super) const NONE: u32 = u32::MAX;

/// The neighbours of a node, ascending: `edges[starts[index]..starts[index + 1]]`.
pub(super) fn neighbors<'a>(starts: &[u32], edges: &'a [u32], index: u32) -> &'a [u32] {
    &edges[starts[index as usize] as usize..starts[index as usize + 1] as usize]
}

/// The effective network: the edges that both ends announce.
pub(super) struct Graph {
    pub(super) by_instance: HashMap<Instance, u32>,
    starts: Vec<u32>,
    edges: Vec<u32>,
}

impl Graph {
    /// Builds the graph from each node's instance and the peers it announces. The order of the nodes
    /// determines their indices, and thereby the order of neighbours.
    pub(super) fn new<'a>(
        announced_by: impl ExactSizeIterator<Item = (Instance, &'a [Instance])> + Clone,
    ) -> Self {
        let count = announced_by.len();
        let mut by_instance = HashMap::with_capacity(count);
        by_instance.extend(announced_by.clone().zip(0..).map(|((instance, _), at)| (instance, at)));
        // First all announced edges, ascending per node; then only those that both ends announce.
        let mut announced_starts = vec![0];
        let mut announced = Vec::new();
        for (index, (_, peers)) in announced_by.enumerate() {
            let from = announced.len();
            announced.extend(
                peers
                    .iter()
                    .filter_map(|peer| by_instance.get(peer).copied())
                    .filter(|&peer| peer != index as u32),
            );
            announced[from..].sort_unstable();
            announced_starts.push(announced.len() as u32);
        }
        let mut starts = vec![0];
        let mut edges: Vec<u32> = Vec::with_capacity(announced.len());
        for index in 0..count as u32 {
            let from = edges.len();
            for &peer in neighbors(&announced_starts, &announced, index) {
                let back = neighbors(&announced_starts, &announced, peer);
                let both = back.binary_search(&index).is_ok() || planted!(OneWayLinkRouted);
                if edges[from..].last() != Some(&peer) && both {
                    edges.push(peer);
                }
            }
            starts.push(edges.len() as u32);
        }
        Self { by_instance, starts, edges }
    }

    pub(super) fn neighbors(&self, index: u32) -> &[u32] {
        neighbors(&self.starts, &self.edges, index)
    }

    pub(super) fn tree(&self, root: u32) -> Tree {
        tree(&self.starts, &self.edges, root)
    }
}

/// The shortest paths from one node, its root.
pub(super) struct Tree {
    /// The node before each node; [`NONE`] for the root and for what cannot be reached.
    pub(super) parent: Vec<u32>,
    /// The number of links to each node; [`NONE`] if it cannot be reached.
    pub(super) hops: Vec<u32>,
    /// The reachable nodes, in the order in which they were found.
    pub(super) order: Vec<u32>,
}

/// Searches breadth first, neighbours in ascending order, so that each node is found over the
/// shortest path with the least names.
pub(super) fn tree(starts: &[u32], edges: &[u32], root: u32) -> Tree {
    let count = starts.len() - 1;
    let mut found = Tree { parent: vec![NONE; count], hops: vec![NONE; count], order: Vec::new() };
    let mut queue = VecDeque::from([root]);
    found.hops[root as usize] = 0;
    while let Some(node) = queue.pop_front() {
        found.order.push(node);
        for &next in neighbors(starts, edges, node) {
            if found.hops[next as usize] == NONE {
                found.hops[next as usize] = found.hops[node as usize] + 1;
                found.parent[next as usize] = node;
                queue.push_back(next);
            } else if planted!(TieBrokenDifferently)
                && root % 2 == 1
                && found.hops[next as usize] == found.hops[node as usize] + 1
            {
                found.parent[next as usize] = node;
            }
        }
    }
    found
}
