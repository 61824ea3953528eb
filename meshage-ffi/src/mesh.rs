//! A snapshot of the topology.

use std::ffi::{CString, c_char};
use std::ptr;

use meshage::topology::Mesh;

use crate::boundary::{c_string, free, read};
use crate::names::{c_strings, nth};

/// A snapshot of the topology: the nodes and the neighbours of each, sorted by name. Immutable; any
/// number of threads may read it.
pub struct meshage_mesh {
    nodes: Vec<CString>,
    neighbors: Vec<Vec<CString>>,
}

impl meshage_mesh {
    pub(crate) fn new_raw(mesh: &Mesh) -> *mut Self {
        let nodes = mesh.nodes().map(|node| c_string(node.as_str())).collect();
        let neighbors = mesh.iter().map(|(_, neighbors)| c_strings(neighbors)).collect();
        Box::into_raw(Box::new(Self { nodes, neighbors }))
    }
}

/// Returns the number of nodes on the mesh, including the node itself; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_mesh_count(mesh: Option<&meshage_mesh>) -> usize {
    read(mesh, 0, |mesh| mesh.nodes.len())
}

/// Returns the name of node `i`, counted from 0; NULL if `i` is past the end or for NULL. Borrowed:
/// valid as long as the snapshot.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_mesh_name(mesh: Option<&meshage_mesh>, i: usize) -> *const c_char {
    read(mesh, ptr::null(), |mesh| nth(&mesh.nodes, i))
}

/// Returns the number of neighbours of node `i`; 0 if `i` is past the end or for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_mesh_degree(mesh: Option<&meshage_mesh>, i: usize) -> usize {
    read(mesh, 0, |mesh| mesh.neighbors.get(i).map_or(0, Vec::len))
}

/// Returns the name of neighbour `j` of node `i`, both counted from 0; NULL if `i` or `j` is past
/// the end or for NULL. Borrowed: valid as long as the snapshot.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_mesh_neighbor(
    mesh: Option<&meshage_mesh>,
    i: usize,
    j: usize,
) -> *const c_char {
    read(mesh, ptr::null(), |mesh| {
        mesh.neighbors.get(i).map_or(ptr::null(), |neighbors| nth(neighbors, j))
    })
}

/// Frees a snapshot of the topology. Does nothing for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_mesh_free(mesh: *mut meshage_mesh) {
    // SAFETY: the caller's promise.
    unsafe { free(mesh) }
}
