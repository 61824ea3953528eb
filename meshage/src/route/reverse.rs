//! Which links lead to which nodes: not only the one of the route, but all.

use foldhash::{HashMap, HashMapExt as _};

use super::RouteTable;
use super::graph::NONE;
use crate::name::{Instance, LinkId, NodeName};

/// The parts that the mesh would fall into without this node. A node and a link are in the same part
/// if the node can be reached over the link without passing this node.
#[derive(Debug)]
pub(super) struct Parts {
    /// The part of each node; [`NONE`] for this one.
    of_node: Vec<u32>,
    of_link: HashMap<LinkId, u32>,
}

/// Over which links the shortest paths to each node begin.
#[derive(Debug)]
pub(super) struct ShortestPaths {
    /// The bit of each link.
    bits: HashMap<LinkId, usize>,
    /// How many words each node has in `begin`.
    words: usize,
    begin: Vec<u64>,
}

impl RouteTable {
    /// The name of an instance, if that can be reached.
    pub fn name_of(&self, instance: Instance) -> Option<&NodeName> {
        let index = *self.by_instance.get(&instance)?;
        Some(&self.entries[index as usize].name)
    }

    /// Whether a node can be reached over a link without passing this node.
    pub fn lies_behind(&self, link: LinkId, instance: Instance) -> bool {
        self.part_of(instance).is_some_and(|part| self.part_behind(link) == Some(part))
    }

    /// Whether a shortest path to a node begins with a link. Shortest paths from that node to this
    /// one end with it.
    pub fn begins_shortest_path(&self, link: LinkId, instance: Instance) -> bool {
        let paths = self.shortest_paths.get_or_init(|| self.shortest_paths());
        let (Some(&index), Some(&bit)) = (self.by_instance.get(&instance), paths.bits.get(&link))
        else {
            return false;
        };
        paths.begin[index as usize * paths.words + bit / 64] >> (bit % 64) & 1 == 1
    }

    /// The part of the mesh that a node is in.
    pub fn part_of(&self, instance: Instance) -> Option<u32> {
        let index = *self.by_instance.get(&instance)?;
        Some(self.parts_once().of_node[index as usize]).filter(|&part| part != NONE)
    }

    /// The part of the mesh that a link leads to.
    pub fn part_behind(&self, link: LinkId) -> Option<u32> {
        self.parts_once().of_link.get(&link).copied()
    }

    /// The links that lead to a part of the mesh.
    pub fn links_to_part(&self, part: u32) -> impl Iterator<Item = LinkId> {
        let links = self.parts_once().of_link.iter();
        links.filter(move |(_, of_link)| **of_link == part).map(|(&link, _)| link)
    }

    /// The other nodes, each with its part of the mesh.
    pub fn parts(&self) -> impl Iterator<Item = (Instance, u32)> {
        let parts = self.entries.iter().zip(&self.parts_once().of_node);
        parts.filter(|(_, part)| **part != NONE).map(|(entry, &part)| (entry.instance, part))
    }

    fn parts_once(&self) -> &Parts {
        self.parts.get_or_init(|| self.compute_parts())
    }

    /// The peers over which this node's links lead.
    fn peers(&self) -> impl Iterator<Item = (LinkId, u32)> {
        self.neighbors(self.me)
            .iter()
            .filter_map(|&peer| Some((self.entries[peer as usize].link?, peer)))
    }

    fn compute_parts(&self) -> Parts {
        let mut of_node = vec![NONE; self.entries.len()];
        let mut of_link = HashMap::new();
        let mut waiting = Vec::new();
        for (part, (link, peer)) in self.peers().enumerate() {
            if of_node[peer as usize] == NONE {
                of_node[peer as usize] = part as u32;
                waiting.push(peer);
            }
            while let Some(node) = waiting.pop() {
                for &next in self.neighbors(node) {
                    if next != self.me && of_node[next as usize] == NONE {
                        of_node[next as usize] = part as u32;
                        waiting.push(next);
                    }
                }
            }
            of_link.insert(link, of_node[peer as usize]);
        }
        Parts { of_node, of_link }
    }

    fn shortest_paths(&self) -> ShortestPaths {
        let bits: HashMap<LinkId, usize> =
            self.peers().enumerate().map(|(bit, (link, _))| (link, bit)).collect();
        let words = bits.len().div_ceil(64);
        let mut begin = vec![0; self.entries.len() * words];
        for (bit, (_, peer)) in self.peers().enumerate() {
            begin[peer as usize * words + bit / 64] |= 1 << (bit % 64);
        }
        let mut by_hops: Vec<u32> = (0..self.entries.len() as u32).collect();
        by_hops.sort_unstable_by_key(|&index| self.entries[index as usize].hops);
        for node in by_hops {
            let hops = self.entries[node as usize].hops;
            for &before in self.neighbors(node) {
                if before == self.me || self.entries[before as usize].hops + 1 != hops {
                    continue;
                }
                for word in 0..words {
                    begin[node as usize * words + word] |= begin[before as usize * words + word];
                }
            }
        }
        ShortestPaths { bits, words, begin }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::tests::{instance, table};

    /// `e` hangs on `d`; `f` and `g` on `a`.
    const MESH: &[(&str, &str)] =
        &[("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("d", "e"), ("a", "f"), ("f", "g")];

    fn links(holds: impl Fn(LinkId) -> bool) -> Vec<u64> {
        (1..=7).filter(|&link| holds(LinkId(link))).collect()
    }

    #[test]
    fn a_node_lies_behind_every_link_over_which_it_can_be_reached() {
        let table = table("a", MESH);
        let behind = |node| links(|link| table.lies_behind(link, instance(node)));
        for node in ["b", "c", "d", "e"] {
            assert_eq!(behind(node), [2, 3], "{node}");
        }
        assert_eq!([behind("f"), behind("g")], [[6], [6]]);
        assert!(behind("a").is_empty() && behind("x").is_empty());
    }

    #[test]
    fn shortest_paths_to_a_node_begin_over_every_link_that_takes_as_few_hops() {
        let table = table("a", MESH);
        let begin = |node| links(|link| table.begins_shortest_path(link, instance(node)));
        assert_eq!([begin("d"), begin("e")], [[2, 3], [2, 3]]);
        assert_eq!([begin("b"), begin("c"), begin("g")], [[2], [3], [6]]);
        assert!(begin("a").is_empty() && begin("x").is_empty());
    }

    #[test]
    fn every_link_of_a_node_with_many_links_is_told_apart() {
        let names: Vec<String> = (0..200).map(|number| format!("n{number:03}")).collect();
        let me = NodeName::new("me").expect("valid");
        let names: Vec<NodeName> =
            names.iter().map(|name| NodeName::new(name).expect("valid")).collect();
        let records = names.iter().zip(1..).map(|(name, number)| crate::route::Record {
            name,
            instance: Instance(number),
            claim: crate::name::Claim::FIRST,
            peers: &[Instance(0)],
        });
        let links = (1..=200).map(|number| (Instance(number), LinkId(number))).collect();
        let table = RouteTable::compute(&me, Instance(0), records, &links);
        for link in 1..=200 {
            let behind = |instance| {
                let instance = Instance(instance);
                let lies = table.lies_behind(LinkId(link), instance);
                assert_eq!(lies, table.begins_shortest_path(LinkId(link), instance));
                lies
            };
            assert!((1..=200).all(|instance| behind(instance) == (instance == link)));
        }
    }
}
