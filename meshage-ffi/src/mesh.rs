//! The topology, as a snapshot.

use std::ffi::{CString, c_char};
use std::ptr;

use meshage::topology::Mesh;

use crate::boundary::{c_string, free, value};
use crate::names::{c_strings, nth};

/// Who is linked to whom: a snapshot, sorted by name. It does not change; any thread may read it.
pub struct meshage_mesh {
    nodes: Vec<CString>,
    neighbors: Vec<Vec<CString>>,
}

impl meshage_mesh {
    pub(crate) fn publish(mesh: &Mesh) -> *mut Self {
        let nodes = mesh.nodes().map(|node| c_string(node.as_str())).collect();
        let neighbors = mesh.iter().map(|(_, neighbors)| c_strings(neighbors)).collect();
        Box::into_raw(Box::new(Self { nodes, neighbors }))
    }
}

/// How many nodes are on the mesh, the node itself included; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_mesh_count(mesh: Option<&meshage_mesh>) -> usize {
    value(0, || mesh.map_or(0, |mesh| mesh.nodes.len()))
}

/// The name of the `i`th node; NULL past the end or for NULL. Borrowed: lives as long as the
/// snapshot.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_mesh_name(mesh: Option<&meshage_mesh>, i: usize) -> *const c_char {
    value(ptr::null(), || mesh.map_or(ptr::null(), |mesh| nth(&mesh.nodes, i)))
}

/// How many neighbours the `i`th node has; 0 past the end or for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_mesh_degree(mesh: Option<&meshage_mesh>, i: usize) -> usize {
    value(0, || mesh.and_then(|mesh| mesh.neighbors.get(i)).map_or(0, Vec::len))
}

/// The `j`th neighbour of the `i`th node, sorted by name; NULL past the end or for NULL. Borrowed:
/// lives as long as the snapshot.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_mesh_neighbor(
    mesh: Option<&meshage_mesh>,
    i: usize,
    j: usize,
) -> *const c_char {
    value(ptr::null(), || {
        mesh.and_then(|mesh| mesh.neighbors.get(i)).map_or(ptr::null(), |list| nth(list, j))
    })
}

/// Frees a snapshot. NULL is nothing to free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_mesh_free(mesh: *mut meshage_mesh) {
    // SAFETY: the caller's promise.
    unsafe { free(mesh) }
}
