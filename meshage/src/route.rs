//! The route table: the control plane computes it, and the data plane reads it. It is immutable.
//!
//! A route has the fewest hops. Among equal paths it is the one with the least names, compared node
//! by node from the start. Nodes with the same view of the topology therefore choose the same path,
//! and the rest of a path is the path from that node on. The tree of a broadcast consists of the
//! same paths as those of single messages, so two messages from one node to another never overtake
//! each other while the topology does not change.

mod flood;
mod graph;
mod reverse;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use foldhash::{HashMap, HashMapExt as _};

use self::graph::{Graph, NONE, neighbors, tree};
use self::reverse::{LinkSets, Parts};
use crate::name::{Claim, Instance, LinkId, NodeName};
use crate::topology::Mesh;

/// The announcement of one node, as input of the route computation.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// The node's name.
    pub name: &'a NodeName,
    /// The node's instance.
    pub instance: Instance,
    /// Its claim to the name.
    pub claim: Claim,
    /// The peers it announces.
    pub peers: &'a [Instance],
}

/// The route to one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The node's index in the table.
    pub index: usize,
    /// The node's instance.
    pub instance: Instance,
    /// The link to the next hop.
    pub link: LinkId,
    /// The number of links on the path.
    pub hops: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    name: NodeName,
    instance: Instance,
    claim: Claim,
    parent: u32,
    hops: u32,
    /// The link to the next hop; `None` for this node itself.
    link: Option<LinkId>,
}

/// A part of a broadcast's tree that begins with a link of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Branch {
    /// The link.
    pub link: LinkId,
    /// The number of nodes behind it.
    pub nodes: u32,
}

/// The most broadcast trees of other nodes in the cache. It is cleared when it is full.
const TREES_MAX: usize = 4096;

/// The reachable nodes, the routes to them, and the links that broadcasts are forwarded over.
///
/// Entries are sorted by name, then instance. They include this node itself.
#[derive(Debug)]
pub struct RouteTable {
    me: u32,
    entries: Vec<Entry>,
    /// Neighbours of entry `i`: `edges[starts[i]..starts[i + 1]]`, ascending.
    starts: Vec<u32>,
    edges: Vec<u32>,
    by_name: HashMap<NodeName, u32>,
    by_instance: HashMap<Instance, u32>,
    trees: Mutex<BTreeMap<u32, Arc<[Branch]>>>,
    incomplete: bool,
    /// Computed when they are first needed, as are the sets.
    parts: OnceLock<Parts>,
    /// The links over which the shortest paths to each node begin.
    shortest_paths: OnceLock<LinkSets>,
    /// The links over which this node floods the announcements of each node.
    flood_trees: OnceLock<LinkSets>,
}

impl RouteTable {
    /// The table of a node without links.
    pub fn alone(name: &NodeName, instance: Instance) -> Self {
        Self::compute(name, instance, [], &BTreeMap::new())
    }

    /// Computes the routes of node `me` from its own links and the announcements of other nodes
    /// (`records`; the computation is faster if they are sorted by name, then instance). An edge
    /// counts if both ends announce it. This node's own links count as announced.
    pub fn compute<'a>(
        name: &'a NodeName,
        me: Instance,
        records: impl IntoIterator<Item = Record<'a>>,
        links: &BTreeMap<Instance, LinkId>,
    ) -> Self {
        let own_peers: Vec<Instance> = links.keys().copied().collect();
        let mut all: Vec<Record<'_>> =
            records.into_iter().filter(|record| record.instance != me).collect();
        let by_name =
            |a: &Record<'_>, b: &Record<'_>| (a.name, a.instance).cmp(&(b.name, b.instance));
        if !all.is_sorted_by(|a, b| by_name(a, b).is_lt()) {
            all.sort_unstable_by(by_name);
        }
        // This node's own claim does not matter: it routes its own name to itself.
        let claim = Claim::FIRST;
        let own_record = Record { name, instance: me, claim, peers: &own_peers };
        all.insert(all.partition_point(|other| by_name(other, &own_record).is_lt()), own_record);

        let graph = Graph::new(all.iter().map(|record| (record.instance, record.peers)));
        let start = graph.by_instance[&me];
        let tree = graph.tree(start);

        // Keep the reachable nodes in the same order, so that indices stay sorted by name.
        let mut new_index = vec![NONE; all.len()];
        let mut order = Vec::new();
        for (old, new) in new_index.iter_mut().enumerate() {
            if tree.hops[old] != NONE {
                *new = order.len() as u32;
                order.push(old);
            }
        }
        let mut first_hop: Vec<Option<LinkId>> = vec![None; all.len()];
        for &old in &tree.order {
            let parent = tree.parent[old as usize];
            first_hop[old as usize] = match old {
                _ if old == start => None,
                _ if parent == start => links.get(&all[old as usize].instance).copied(),
                _ => first_hop[parent as usize],
            };
        }
        let mut table = Self {
            me: new_index[start as usize],
            entries: Vec::with_capacity(order.len()),
            starts: Vec::with_capacity(order.len() + 1),
            edges: Vec::new(),
            by_name: HashMap::with_capacity(order.len()),
            by_instance: HashMap::with_capacity(order.len()),
            trees: Mutex::default(),
            incomplete: false,
            parts: OnceLock::new(),
            shortest_paths: OnceLock::new(),
            flood_trees: OnceLock::new(),
        };
        table.starts.push(0);
        for (new, &old) in order.iter().enumerate() {
            let record = &all[old];
            let parent = tree.parent[old];
            table.entries.push(Entry {
                name: record.name.clone(),
                instance: record.instance,
                claim: record.claim,
                parent: if parent == NONE { NONE } else { new_index[parent as usize] },
                hops: tree.hops[old],
                link: first_hop[old],
            });
            table.edges.extend(graph.neighbors(old as u32).iter().map(|&n| new_index[n as usize]));
            table.starts.push(table.edges.len() as u32);
            table.by_instance.insert(record.instance, new as u32);
            // Of two nodes with the same name, every node routes the name to the one with the
            // higher claim, or to the lesser instance. Instances ascend here.
            let new = new as u32;
            let holder = table.by_name.entry(record.name.clone()).or_insert(new);
            let known = table.entries[*holder as usize].claim;
            if record.claim > known && !planted!(NameForTheLowerClaim)
                || record.claim < known && planted!(NameForTheLowerClaim)
            {
                *holder = new;
            }
        }
        // This node's own name is never routed to another node.
        table.by_name.insert(name.clone(), table.me);
        table
    }

    /// Marks whether announcements have arrived that this table does not take into account yet.
    #[must_use]
    pub fn incomplete(mut self, incomplete: bool) -> Self {
        self.incomplete = incomplete;
        self
    }

    /// Whether announcements have arrived that this table does not take into account yet: other nodes
    /// may use other routes.
    pub fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// The number of reachable nodes, this one included.
    pub fn nodes(&self) -> usize {
        self.entries.len()
    }

    /// Whether no other node is reachable.
    pub fn is_alone(&self) -> bool {
        self.entries.len() == 1
    }

    /// The route to a node; `None` for this node itself and for a node that cannot be reached.
    pub fn route(&self, name: &str) -> Option<Route> {
        let index = *self.by_name.get(name)?;
        self.route_at(index)
    }

    /// The route to an instance.
    pub fn route_to(&self, instance: Instance) -> Option<Route> {
        let index = *self.by_instance.get(&instance)?;
        self.route_at(index)
    }

    fn route_at(&self, index: u32) -> Option<Route> {
        let entry = &self.entries[index as usize];
        let link = entry.link?;
        Some(Route { index: index as usize, instance: entry.instance, link, hops: entry.hops })
    }

    /// Whether an instance can be reached (this node itself included).
    pub fn contains(&self, instance: Instance) -> bool {
        self.by_instance.contains_key(&instance)
    }

    /// Whether the other table has the same nodes, edges and routes, and is as complete.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.me == other.me
            && self.entries == other.entries
            && self.starts == other.starts
            && self.edges == other.edges
    }

    /// The reachable nodes except this one, sorted by name, then instance.
    pub fn others(&self) -> impl Iterator<Item = (&NodeName, Instance)> {
        let me = self.me as usize;
        self.entries
            .iter()
            .enumerate()
            .filter(move |(index, _)| *index != me)
            .map(|(_, entry)| (&entry.name, entry.instance))
    }

    /// The names of the other reachable nodes, sorted, each with the instance that holds it.
    pub fn holders(&self) -> impl Iterator<Item = (&NodeName, Instance)> {
        let holds = |index, name| self.by_name.get(name) == Some(&(index as u32));
        let me = self.me as usize;
        let entries = self.entries.iter().enumerate();
        entries
            .filter(move |(index, entry)| *index != me && holds(*index, &entry.name))
            .map(|(_, entry)| (&entry.name, entry.instance))
    }

    /// The nodes on the path to entry `index`: this node first, that entry last.
    pub fn path(&self, index: usize) -> Vec<Instance> {
        let mut path = Vec::with_capacity(self.entries[index].hops as usize + 1);
        let mut at = index as u32;
        while at != NONE {
            path.push(self.entries[at as usize].instance);
            at = self.entries[at as usize].parent;
        }
        path.reverse();
        path
    }

    /// Whether every link of a path is still up.
    pub fn has_path(&self, path: &[Instance]) -> bool {
        let index = |instance| self.by_instance.get(instance).copied();
        path.windows(2).all(|pair| match (index(&pair[0]), index(&pair[1])) {
            (Some(a), Some(b)) => self.neighbors(a).binary_search(&b).is_ok(),
            _ => false,
        })
    }

    /// The links over which this node forwards a broadcast of `source`; none if the source cannot
    /// be reached from here, or no node is downstream of this one.
    pub fn broadcast_branches(&self, source: Instance) -> Arc<[Branch]> {
        let Some(&root) = self.by_instance.get(&source) else {
            return Arc::new([]);
        };
        let mut trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(branches) = trees.get(&root) {
            return branches.clone();
        }
        let tree = tree(&self.starts, &self.edges, root);
        let mut nodes = vec![1; self.entries.len()];
        for &node in tree.order.iter().rev() {
            if let Some(parent) = Some(tree.parent[node as usize]).filter(|&parent| parent != NONE)
            {
                nodes[parent as usize] += nodes[node as usize];
            }
        }
        let branch = |&node: &u32| {
            let link = self.entries[node as usize].link?;
            Some(Branch { link, nodes: nodes[node as usize] })
        };
        let branches: Arc<[Branch]> = self
            .neighbors(self.me)
            .iter()
            .filter(|&&node| {
                let every = planted!(BroadcastOverEveryLink);
                tree.parent[node as usize] == self.me
                    || every && tree.parent[self.me as usize] != node
            })
            .filter_map(branch)
            .collect();
        if trees.len() >= TREES_MAX {
            trees.clear();
        }
        trees.insert(root, branches.clone());
        branches
    }

    /// The nodes that a broadcast of `source` reaches over one link of this node. A relay that
    /// cannot forward the broadcast refuses it on behalf of these nodes.
    pub fn nodes_behind(&self, source: Instance, link: LinkId) -> Vec<NodeName> {
        let Some(&root) = self.by_instance.get(&source) else {
            return Vec::new();
        };
        let tree = tree(&self.starts, &self.edges, root);
        let mut behind = vec![false; self.entries.len()];
        let mut names = Vec::new();
        for &node in &tree.order {
            let parent = tree.parent[node as usize];
            let entry = &self.entries[node as usize];
            let first = parent == self.me && entry.hops == 1 && entry.link == Some(link);
            if first || (parent != NONE && behind[parent as usize]) {
                behind[node as usize] = true;
                names.push(entry.name.clone());
            }
        }
        names
    }

    /// The topology, as a snapshot for applications. Of two nodes with one name it has the one that
    /// messages to this name reach.
    pub fn mesh(&self) -> Mesh {
        let name = |index: u32| &self.entries[index as usize].name;
        let nodes = (0..self.entries.len() as u32)
            .filter(|index| self.by_name.get(name(*index)) == Some(index));
        let edges = nodes
            .clone()
            .flat_map(|a| self.neighbors(a).iter().map(move |&b| (a, b)))
            .filter(|(a, b)| a < b && self.by_name.get(name(*b)) == Some(b))
            .map(|(a, b)| (name(a).clone(), name(b).clone()));
        Mesh::from_edges(nodes.clone().map(|index| name(index).clone()), edges)
    }

    fn neighbors(&self, index: u32) -> &[u32] {
        neighbors(&self.starts, &self.edges, index)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The table of `me` in a mesh where node "a" has instance 1, "b" 2 and so on, and the link to
    /// a neighbour has the number of its instance.
    pub(crate) fn table(me: &str, edges: &[(&str, &str)]) -> RouteTable {
        let mut peers: BTreeMap<NodeName, Vec<Instance>> = BTreeMap::new();
        for (a, b) in edges {
            peers.entry(node(a)).or_default().push(instance(b));
            peers.entry(node(b)).or_default().push(instance(a));
        }
        let records = peers.iter().map(|(name, peers)| Record {
            name,
            instance: instance(name.as_str()),
            claim: Claim::FIRST,
            peers,
        });
        let links =
            peers.get(me).into_iter().flatten().map(|&peer| (peer, LinkId(peer.0))).collect();
        RouteTable::compute(&node(me), instance(me), records, &links)
    }

    pub(crate) fn node(name: &str) -> NodeName {
        NodeName::new(name).expect("valid")
    }

    pub(crate) fn instance(name: &str) -> Instance {
        Instance(u64::from(name.as_bytes()[0] - b'a') + 1)
    }

    const SQUARE: &[(&str, &str)] = &[("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("d", "e")];

    #[test]
    fn among_equal_paths_the_one_with_the_least_names_is_taken() {
        let table = table("e", SQUARE);
        let route = table.route("a").expect("reachable");
        assert_eq!((route.link, route.hops), (LinkId(4), 3));
        assert_eq!(table.path(route.index), ["e", "d", "b", "a"].map(instance));
    }

    #[test]
    fn an_edge_that_only_one_end_announces_does_not_count() {
        let (a, b) = (node("a"), node("b"));
        let records =
            [Record { name: &b, instance: instance("b"), claim: Claim::FIRST, peers: &[] }];
        let links = BTreeMap::from([(instance("b"), LinkId(1))]);
        let table = RouteTable::compute(&a, instance("a"), records, &links);
        assert!(table.is_alone());
        assert_eq!(table.route("b"), None);
    }

    #[test]
    fn a_broadcast_reaches_each_node_once() {
        let mut crossed = 0;
        for relay in ["a", "b", "c", "d", "e"] {
            crossed += table(relay, SQUARE).broadcast_branches(instance("a")).len();
        }
        assert_eq!(crossed, 4, "five nodes, four links");
        let branch = |link, nodes| Branch { link: LinkId(link), nodes };
        let branches = table("a", SQUARE).broadcast_branches(instance("a"));
        assert_eq!(*branches, [branch(2, 3), branch(3, 1)], "b has d and e behind it");
    }

    #[test]
    fn nodes_behind_are_those_that_a_broadcast_reaches_over_the_link() {
        let table = table("b", SQUARE);
        assert_eq!(table.nodes_behind(instance("a"), LinkId(4)), ["d", "e"].map(node));
        assert_eq!(table.nodes_behind(instance("d"), LinkId(1)), ["a"].map(node));
        assert!(table.nodes_behind(instance("a"), LinkId(1)).is_empty());
    }

    #[test]
    fn a_path_exists_as_long_as_each_of_its_links() {
        let path = ["a", "b", "d"].map(instance);
        assert!(table("a", SQUARE).has_path(&path));
        assert!(!table("a", &[("a", "c"), ("b", "d"), ("c", "d")]).has_path(&path));
    }

    #[test]
    fn all_nodes_route_a_duplicate_name_to_the_higher_claim_and_then_to_the_lesser_instance() {
        let (a, b) = (node("a"), node("b"));
        let links = BTreeMap::from([(Instance(9), LinkId(9)), (Instance(5), LinkId(5))]);
        for (claim, holder) in [(1, 5), (2, 9)] {
            let claim = Claim(claim);
            let peers = &[Instance(1)];
            let records = [
                Record { name: &b, instance: Instance(9), claim, peers },
                Record { name: &b, instance: Instance(5), claim: Claim::FIRST, peers },
            ];
            let table = RouteTable::compute(&a, Instance(1), records, &links);
            assert_eq!(table.route("b").expect("reachable").instance, Instance(holder));
            assert_eq!(table.holders().collect::<Vec<_>>(), [(&b, Instance(holder))]);
            assert_eq!(table.nodes(), 3);
        }
    }

    #[test]
    fn the_topology_has_one_of_two_nodes_with_one_name_with_its_own_links() {
        let (a, b, c) = (node("a"), node("b"), node("c"));
        let links = BTreeMap::from([(Instance(5), LinkId(5)), (Instance(9), LinkId(9))]);
        let claim = Claim::FIRST;
        let records = [
            Record { name: &b, instance: Instance(5), claim, peers: &[Instance(1)] },
            Record { name: &b, instance: Instance(9), claim, peers: &[Instance(1), Instance(7)] },
            Record { name: &c, instance: Instance(7), claim, peers: &[Instance(9)] },
        ];
        let mesh = RouteTable::compute(&a, Instance(1), records, &links).mesh();
        assert_eq!(mesh.neighbors("b"), Some(&[a.clone()][..]), "{mesh:?}");
        assert_eq!(mesh.neighbors("c"), Some(&[][..]), "only the other one is linked to it");
        // The one that does not hold the name sees itself.
        let links = BTreeMap::from([(Instance(1), LinkId(1)), (Instance(7), LinkId(7))]);
        let record =
            Record { name: &a, instance: Instance(1), claim, peers: &[Instance(5), Instance(9)] };
        let records = [record, records[0], records[2]];
        let mesh = RouteTable::compute(&b, Instance(9), records, &links).mesh();
        assert_eq!(mesh.neighbors("b"), Some(&[a, c][..]), "{mesh:?}");
    }
}
