//! Synthetic meshes of any size: the announcements of their nodes, and the routes computed from them.
//!
//! The nodes form a ring, and each has one chord of pseudo-random length. The average degree is 4
//! and the diameter about ten hops. If half of the mesh is cut off, no link connects the two halves,
//! but the database still has the announcements of the second half.

use std::collections::BTreeMap;

use meshage::name::{Claim, LinkId};
use meshage::route::{Record, RouteTable};
use meshage::{Instance, NameError, NodeName};

/// The announcements of every node of a mesh, sorted by name as in a database.
pub(crate) struct SyntheticMesh {
    names: Vec<NodeName>,
    peers: Vec<Vec<Instance>>,
}

impl SyntheticMesh {
    /// A mesh of `nodes` nodes in `parts` unconnected parts of equal size.
    pub(crate) fn new(nodes: usize, parts: usize) -> Result<Self, NameError> {
        let names = (0..nodes).map(|at| NodeName::new(&format!("node-{at:05}")));
        let names = names.collect::<Result<_, _>>()?;
        let mut peers = vec![Vec::new(); nodes];
        let part = nodes / parts;
        for at in 0..nodes {
            let (first, place) = (at - at % part, at % part);
            // A multiplicative hash creates the same mesh in every run, without a pattern.
            let chord = 2 + (at.wrapping_mul(2_654_435_761) >> 7) % (part - 3);
            for step in [1, chord] {
                let other = first + (place + step) % part;
                peers[at].push(instance(other));
                peers[other].push(instance(at));
            }
        }
        Ok(Self { names, peers })
    }

    /// The routes of the first node.
    pub(crate) fn compute(&self) -> RouteTable {
        let records = self.names.iter().zip(&self.peers).enumerate();
        let records = records.map(|(at, (name, peers))| Record {
            name,
            instance: instance(at),
            claim: Claim::FIRST,
            peers,
        });
        let links: BTreeMap<Instance, LinkId> =
            self.peers[0].iter().map(|&peer| (peer, LinkId(peer.0))).collect();
        RouteTable::compute(&self.names[0], instance(0), records, &links)
    }
}

/// The instance of a node: a number whose order differs from that of the names.
fn instance(at: usize) -> Instance {
    Instance((at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
