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

/// A set of links for each node.
#[derive(Debug)]
pub(super) struct LinkSets {
    /// The bit of each link.
    bits: HashMap<LinkId, usize>,
    /// How many words each node has in `sets`.
    words: usize,
    sets: Vec<u64>,
}

impl LinkSets {
    /// Empty sets, which can hold these links.
    pub(super) fn new(links: impl Iterator<Item = LinkId>, nodes: usize) -> Self {
        let bits: HashMap<LinkId, usize> = links.zip(0..).collect();
        let words = bits.len().div_ceil(64);
        Self { bits, words, sets: vec![0; nodes * words] }
    }

    /// Adds a link to the set of a node.
    pub(super) fn insert(&mut self, link: LinkId, index: u32) {
        if let Some(&bit) = self.bits.get(&link) {
            self.sets[index as usize * self.words + bit / 64] |= 1 << (bit % 64);
        }
    }

    /// Adds the links in the set of one node to that of another.
    fn include(&mut self, index: u32, other: u32) {
        for word in 0..self.words {
            self.sets[index as usize * self.words + word] |=
                self.sets[other as usize * self.words + word];
        }
    }

    /// Whether a link is in the set of a node.
    pub(super) fn contains(&self, link: LinkId, index: u32) -> bool {
        let word = |bit: usize| self.sets[index as usize * self.words + bit / 64];
        self.bits.get(&link).is_some_and(|bit| word(*bit) >> (bit % 64) & 1 == 1)
    }
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
        self.by_instance.get(&instance).is_some_and(|index| paths.contains(link, *index))
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
    pub(super) fn peers(&self) -> impl Iterator<Item = (LinkId, u32)> {
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

    fn shortest_paths(&self) -> LinkSets {
        let mut begin = LinkSets::new(self.peers().map(|(link, _)| link), self.entries.len());
        for (link, peer) in self.peers() {
            begin.insert(link, peer);
        }
        let mut by_hops: Vec<u32> = (0..self.entries.len() as u32).collect();
        by_hops.sort_unstable_by_key(|&index| self.entries[index as usize].hops);
        for node in by_hops {
            let hops = self.entries[node as usize].hops;
            for &before in self.neighbors(node) {
                if before == self.me || self.entries[before as usize].hops + 1 != hops {
                    continue;
                }
                begin.include(node, before);
            }
        }
        begin
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
