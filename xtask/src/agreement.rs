//! Whether the nodes of a test form one mesh and agree on its topology.

use std::collections::BTreeSet;

use crate::process::{Adjacency, Process};
use crate::shell::Result;

/// The mesh, if every node knows the same mesh and all nodes are in it.
pub(crate) fn agreed(nodes: &mut [Process], names: &BTreeSet<String>) -> Result<Option<Adjacency>> {
    let mut first: Option<Adjacency> = None;
    // Send all requests first, so that the nodes answer at the same time.
    for node in nodes.iter_mut() {
        node.send_line("mesh")?;
    }
    let mut agree = true;
    for node in nodes {
        let mesh = node.read_mesh()?;
        agree &= is_one_mesh(&mesh, names);
        agree &= first.as_ref().is_none_or(|first| *first == mesh);
        first = Some(mesh);
    }
    Ok(first.filter(|_| agree))
}

/// The names of the nodes.
pub(crate) fn names(nodes: &[Process]) -> BTreeSet<String> {
    nodes.iter().map(|node| node.name().to_owned()).collect()
}

/// Whether a mesh consists of these nodes and is connected.
pub(crate) fn is_one_mesh(mesh: &Adjacency, names: &BTreeSet<String>) -> bool {
    if !mesh.keys().eq(names) {
        return false;
    }
    let mut seen = BTreeSet::new();
    let mut stack: Vec<&String> = mesh.keys().take(1).collect();
    while let Some(node) = stack.pop() {
        if seen.insert(node) {
            stack.extend(mesh.get(node).into_iter().flatten());
        }
    }
    seen.len() == names.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::adjacency;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn one_mesh_contains_all_nodes_and_is_connected() {
        let mesh = adjacency("mesh a:b b:a,c c:b").expect("well-formed");
        assert!(is_one_mesh(&mesh, &names(&["a", "b", "c"])));
        assert!(!is_one_mesh(&mesh, &names(&["a", "b"])));
        let parted = adjacency("mesh a:b b:a c:").expect("well-formed");
        assert!(!is_one_mesh(&parted, &names(&["a", "b", "c"])));
    }
}
