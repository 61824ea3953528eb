//! The topology of the mesh, as a snapshot for applications.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use crate::name::NodeName;

/// An immutable snapshot of the nodes and their links. Only links that both ends announce count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mesh {
    neighbors: BTreeMap<NodeName, Vec<NodeName>>,
}

impl Mesh {
    /// Builds a mesh from nodes and undirected edges. Neighbours are sorted, and duplicates
    /// dropped.
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

    /// The number of nodes.
    pub fn len(&self) -> usize {
        self.neighbors.len()
    }

    /// Whether there are no nodes.
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

    /// Each link once, sorted, with the lesser name first.
    pub fn edges(&self) -> impl Iterator<Item = (&NodeName, &NodeName)> {
        self.neighbors
            .iter()
            .flat_map(|(a, list)| list.iter().filter(move |b| a < *b).map(move |b| (a, b)))
    }

    /// The path with the fewest hops, both ends included. Among equal paths, the one with the least
    /// names.
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

    /// The connected components, each sorted, the largest first.
    pub fn components(&self) -> Vec<Vec<NodeName>> {
        let mut unvisited: BTreeSet<&NodeName> = self.neighbors.keys().collect();
        let mut components = Vec::new();
        while let Some(start) = unvisited.pop_first() {
            let mut component = vec![start.clone()];
            let mut stack = vec![start];
            while let Some(node) = stack.pop() {
                for next in &self.neighbors[node] {
                    if unvisited.remove(next) {
                        component.push(next.clone());
                        stack.push(next);
                    }
                }
            }
            component.sort();
            components.push(component);
        }
        components.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        components
    }

    /// The topology in Graphviz's DOT language: an undirected graph with every name quoted.
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
    fn among_equal_paths_the_one_with_the_least_names_is_taken() {
        let mesh = mesh(&[("a", "c"), ("a", "b"), ("b", "d"), ("c", "d"), ("d", "e")]);
        let path = mesh.shortest_path("a", "e").expect("connected");
        assert_eq!(path, ["a", "b", "d", "e"].map(name));
        assert_eq!(mesh.shortest_path("a", "absent"), None);
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
