//! The trees over which announcements are flooded, of all originators at once.
//!
//! In the tree of an originator, the parent of a node is the neighbour of that node that is nearest to
//! the originator, and of several the one with the least name. A node needs to know one thing of each tree:
//! which of its peers have it as parent. That depends on how far the neighbours of its peers are from the
//! originator. One search from all of them together finds it for all originators: each node carries a set
//! of the starts that have reached it, as bits.

use super::RouteTable;
use super::reverse::LinkSets;
use crate::name::{Instance, LinkId};

/// The starts of one search: the bits of a word.
const STARTS_MAX: usize = 64;

/// A peer of this node in a search.
struct Peer {
    index: u32,
    link: LinkId,
    /// The bits of its neighbours.
    neighbors: u64,
}

impl RouteTable {
    /// Whether this node sends the announcements of a node on over a link: the peer there has this node as
    /// parent in the tree of the originator.
    pub fn floods_over(&self, link: LinkId, originator: Instance) -> bool {
        let Some(&index) = self.by_instance.get(&originator) else { return true };
        self.flood_trees.get_or_init(|| self.compute_flood_trees()).contains(link, index)
    }

    /// Whether the trees have been computed.
    pub fn has_flood_trees(&self) -> bool {
        self.flood_trees.get().is_some()
    }

    fn compute_flood_trees(&self) -> LinkSets {
        let mut children = LinkSets::new(self.peers().map(|(link, _)| link), self.entries.len());
        let (mut starts, mut peers): (Vec<u32>, Vec<(LinkId, u32)>) = Default::default();
        for (link, peer) in self.peers() {
            let neighbors = self.neighbors(peer);
            if neighbors.len() > STARTS_MAX {
                // A peer with so many links gets all announcements.
                (0..self.entries.len() as u32).for_each(|index| children.insert(link, index));
                continue;
            }
            let mut more = starts.clone();
            more.extend(neighbors);
            more.sort_unstable();
            more.dedup();
            if more.len() > STARTS_MAX {
                self.search(&starts, &peers, &mut children);
                peers.clear();
                more = neighbors.to_vec();
            }
            starts = more;
            peers.push((link, peer));
        }
        self.search(&starts, &peers, &mut children);
        children
    }

    /// Finds the originators in whose trees this node is the parent of these peers. `starts` are the
    /// neighbours of all of them, ascending.
    fn search(&self, starts: &[u32], peers: &[(LinkId, u32)], children: &mut LinkSets) {
        let bit = |index: &u32| starts.binary_search(index).map_or(0, |at| 1 << at);
        let set_of = |peer| self.neighbors(peer).iter().map(bit).fold(0, |set, bit| set | bit);
        let peer = |&(link, index)| Peer { index, link, neighbors: set_of(index) };
        let mut peers: Vec<Peer> = peers.iter().map(peer).collect();
        let me = bit(&self.me);
        let count = self.entries.len();
        let mut reached = vec![0_u64; count];
        // The starts that reached a node in the last round, and those that do in this one.
        let (mut last, mut now) = (vec![0_u64; count], vec![0_u64; count]);
        let (mut active, mut touched): (Vec<u32>, Vec<u32>) = (Vec::new(), starts.to_vec());
        starts.iter().for_each(|start| now[*start as usize] = bit(start));
        while !touched.is_empty() {
            for &node in &touched {
                let at = node as usize;
                let new = now[at] & !reached[at];
                now[at] = 0;
                if new == 0 {
                    continue;
                }
                for peer in &mut peers {
                    let nearest = new & peer.neighbors;
                    let is_first = reached[at] & peer.neighbors == 0;
                    // The bits ascend with the names.
                    if is_first && nearest & nearest.wrapping_neg() == me && peer.index != node {
                        children.insert(peer.link, node);
                    }
                }
                reached[at] |= new;
                last[at] = new;
                active.push(node);
            }
            touched.clear();
            for &node in &active {
                let bits = std::mem::take(&mut last[node as usize]);
                for &next in self.neighbors(node) {
                    if now[next as usize] == 0 {
                        touched.push(next);
                    }
                    now[next as usize] |= bits;
                }
            }
            active.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;
    use crate::name::{Claim, NodeName};
    use crate::route::Record;

    /// The tables of all nodes of a mesh of random links. Links have the numbers of their peers.
    fn tables(seed: u64, count: u64, most: u64) -> Vec<RouteTable> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut peers = vec![Vec::new(); count as usize];
        for a in 1..count {
            for b in [a - 1, rng.random_range(0..a), rng.random_range(0..a.min(most))] {
                peers[a as usize].push(Instance(b));
                peers[b as usize].push(Instance(a));
            }
        }
        let name = |number| NodeName::new(&format!("n{number:04}")).expect("valid");
        let names: Vec<NodeName> = (0..count).map(name).collect();
        for list in &mut peers {
            list.sort_unstable();
            list.dedup();
        }
        let record = |at: usize| Record {
            name: &names[at],
            instance: Instance(at as u64),
            claim: Claim::FIRST,
            peers: &peers[at],
        };
        let table = |at: usize| {
            let links: BTreeMap<_, _> =
                peers[at].iter().map(|&peer| (peer, LinkId(peer.0))).collect();
            let records = (0..count as usize).map(record);
            RouteTable::compute(&names[at], Instance(at as u64), records, &links)
        };
        (0..count as usize).map(table).collect()
    }

    #[test]
    fn each_node_gets_each_announcement_from_one_peer() {
        for (seed, count, most) in [(1, 40, 40), (2, 200, 200), (3, 90, 30)] {
            let tables = tables(seed, count, most);
            for originator in (0..count).map(Instance) {
                let mut from = vec![0; count as usize];
                let mut reached = vec![originator];
                while let Some(node) = reached.pop() {
                    let table = &tables[node.0 as usize];
                    for (link, _) in table.peers() {
                        if node == originator || table.floods_over(link, originator) {
                            from[link.0 as usize] += 1;
                            assert!(from[link.0 as usize] < 100, "a loop");
                            if from[link.0 as usize] == 1 {
                                reached.push(Instance(link.0));
                            }
                        }
                    }
                }
                from[originator.0 as usize] += 1;
                assert!(from.iter().all(|&copies| copies == 1), "{seed} {originator}: {from:?}");
            }
        }
    }

    #[test]
    fn a_peer_with_very_many_links_gets_all_announcements() {
        let tables = tables(4, 120, 1);
        let hub = LinkId(0);
        assert!(tables[0].peers().count() > STARTS_MAX);
        assert!((1..120).all(|originator| tables[60].floods_over(hub, Instance(originator))));
    }
}
