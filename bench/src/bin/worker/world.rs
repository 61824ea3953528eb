//! A mesh of any size, made up: what its nodes announced, and the routes that follow from it.
//!
//! Every node announces a ring and one chord over a pseudo-random distance of its own: degree 4 on
//! average, a diameter of some ten hops. Where half is cut off, no edge leads from one half to the
//! other, and the second half's announcements are still there.

use std::collections::BTreeMap;

use meshage::name::LinkId;
use meshage::route::{Record, RouteTable};
use meshage::{Instance, NameError, NodeName};

/// What every node of a mesh announced, sorted by name as a database keeps it.
pub(crate) struct World {
    names: Vec<NodeName>,
    peers: Vec<Vec<Instance>>,
}

impl World {
    /// A mesh of so many nodes in so many parts of one size.
    pub(crate) fn new(nodes: usize, parts: usize) -> Result<Self, NameError> {
        let names = (0..nodes).map(|at| NodeName::new(&format!("node-{at:05}")));
        let names = names.collect::<Result<_, _>>()?;
        let mut peers = vec![Vec::new(); nodes];
        let part = nodes / parts;
        for at in 0..nodes {
            let (first, place) = (at - at % part, at % part);
            // A multiplicative hash: the same mesh in every run, and no pattern in it.
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
        let records =
            records.map(|(at, (name, peers))| Record { name, instance: instance(at), peers });
        let links: BTreeMap<Instance, LinkId> =
            self.peers[0].iter().map(|&peer| (peer, LinkId(peer.0))).collect();
        RouteTable::compute(&self.names[0], instance(0), records, &links)
    }
}

/// The instance of a node: any number will do that is not in order of the names.
fn instance(at: usize) -> Instance {
    Instance((at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
