//! The topology of the mesh, as a snapshot for applications.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use crate::name::NodeName;

/// Who is linked to whom: an immutable snapshot. Only links that both ends announce count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mesh {
    neighbors: BTreeMap<NodeName, Vec<NodeName>>,
}

impl Mesh {
    /// A mesh from an adjacency list. Neighbours are sorted, doubles dropped, and both ends of an
    /// edge are given it.
    pub fn from_edges(
        nodes: impl IntoIterator<Item = NodeName>,
        edges: impl IntoIterator<Item = (NodeName, NodeName)>,
    ) -> Self {
        let mut sets: BTreeMap<NodeName, BTreeSet<NodeName>> = BTreeMap::new();
        for node in nodes {
            sets.entry(node).or_default();
        }
        for (a, b) in edges {
            sets.entry(a.clone()).or_default().insert(b.clone());
            sets.entry(b).or_default().insert(a);
        }
        let neighbors =
            sets.into_iter().map(|(node, set)| (node, set.into_iter().collect())).collect();
        Self { neighbors }
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.neighbors.len()
    }

    /// Whether there is no node at all.
    pub fn is_empty(&self) -> bool {
        self.neighbors.is_empty()
    }

    /// The nodes, sorted by name.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &NodeName> {
        self.neighbors.keys()
    }

    /// The adjacency list, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&NodeName, &[NodeName])> {
        self.neighbors.iter().map(|(node, neighbors)| (node, neighbors.as_slice()))
    }

    /// Whether the node is on the mesh.
    pub fn contains(&self, node: &str) -> bool {
        self.neighbors.contains_key(node)
    }

    /// A node's neighbours, sorted; `None` for a node that is not on the mesh.
    pub fn neighbors(&self, node: &str) -> Option<&[NodeName]> {
        self.neighbors.get(node).map(Vec::as_slice)
    }

    /// Each link once, the lesser name first, sorted.
    pub fn edges(&self) -> impl Iterator<Item = (&NodeName, &NodeName)> {
        self.neighbors
            .iter()
            .flat_map(|(a, list)| list.iter().filter(move |b| a < *b).map(move |b| (a, b)))
    }

    /// The path of fewest hops, both ends included; among equals the one of least names.
    pub fn shortest_path(&self, from: &str, to: &str) -> Option<Vec<NodeName>> {
        let (start, _) = self.neighbors.get_key_value(from)?;
        let mut parent: BTreeMap<&NodeName, &NodeName> = BTreeMap::from([(start, start)]);
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            if node == to {
                let mut path = vec![node.clone()];
                let mut at = node;
                while at != start {
                    at = parent[at];
                    path.push(at.clone());
                }
                path.reverse();
                return Some(path);
            }
            for next in &self.neighbors[node] {
                parent.entry(next).or_insert_with(|| {
                    queue.push_back(next);
                    node
                });
            }
        }
        None
    }

    /// The parts that hang together, each sorted, the largest first.
    pub fn components(&self) -> Vec<Vec<NodeName>> {
        let mut left: BTreeSet<&NodeName> = self.neighbors.keys().collect();
        let mut parts = Vec::new();
        while let Some(start) = left.pop_first() {
            let mut part = vec![start.clone()];
            let mut stack = vec![start];
            while let Some(node) = stack.pop() {
                for next in &self.neighbors[node] {
                    if left.remove(next) {
                        part.push(next.clone());
                        stack.push(next);
                    }
                }
            }
            part.sort();
            parts.push(part);
        }
        parts.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        parts
    }

    /// The topology in Graphviz's language: an undirected graph, every name quoted.
    pub fn to_dot(&self) -> String {
        let mut dot = String::from("graph mesh {\n");
        for node in self.nodes() {
            let _ = writeln!(dot, "  \"{}\";", escape(node));
        }
        for (a, b) in self.edges() {
            let _ = writeln!(dot, "  \"{}\" -- \"{}\";", escape(a), escape(b));
        }
        dot.push_str("}\n");
        dot
    }
}

fn escape(name: &NodeName) -> String {
    name.as_str().replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> NodeName {
        NodeName::new(text).expect("valid")
    }

    fn mesh(edges: &[(&str, &str)]) -> Mesh {
        Mesh::from_edges([], edges.iter().map(|(a, b)| (name(a), name(b))))
    }

    #[test]
    fn the_shortest_path_is_the_least_among_equals() {
        let mesh = mesh(&[("a", "c"), ("a", "b"), ("b", "d"), ("c", "d"), ("d", "e")]);
        let path = mesh.shortest_path("a", "e").expect("connected");
        assert_eq!(path, ["a", "b", "d", "e"].map(name));
        assert_eq!(mesh.shortest_path("a", "nobody"), None);
        assert_eq!(mesh.shortest_path("a", "a"), Some(vec![name("a")]));
    }

    #[test]
    fn components_come_largest_first() {
        let mesh = mesh(&[("x", "y"), ("a", "b"), ("b", "c")]);
        assert_eq!(
            mesh.components(),
            [vec!["a", "b", "c"], vec!["x", "y"]]
                .map(|part| { part.into_iter().map(name).collect::<Vec<_>>() })
        );
        assert_eq!(mesh.shortest_path("a", "x"), None);
    }

    #[test]
    fn dot_quotes_every_name() {
        let dot = mesh(&[("1.a", "b-2")]).to_dot();
        assert_eq!(dot, "graph mesh {\n  \"1.a\";\n  \"b-2\";\n  \"1.a\" -- \"b-2\";\n}\n");
    }
}
