//! Checks that every node has the correct view of the mesh.
//!
//! The reference is information that no node has: the connections that both ends hold as links. A
//! mesh at rest is one mesh over all hosts that reach each other, and every table equals the
//! reference.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{Instance, NodeName};
use crate::sim::connection::{ConnectionId, Side, State};
use crate::sim::network::HostId;
use crate::sim::report::Histogram;
use crate::sim::simulation::Sim;
use crate::topology::Mesh;

/// The largest mesh in which every pair of nodes is checked; in a larger one, some pairs are.
const ALL_PAIRS_NODES: usize = 64;

impl Sim {
    /// Whether every table is complete and correct, in each partition by itself.
    pub fn is_settled(&self) -> bool {
        self.unsettled().is_none()
    }

    /// What is missing for the tables to be complete and correct, for the text of a failure.
    pub fn unsettled_reason(&self) -> String {
        self.unsettled().unwrap_or_else(|| "nothing is missing".into())
    }

    /// Whether every running node has all nodes of its part of the network in its table, and no
    /// others.
    pub fn all_are_known(&self) -> bool {
        let knows = |host_id: &HostId, nodes| self.known_nodes(*host_id) == nodes;
        self.parts().iter().all(|part| part.iter().all(|host_id| knows(host_id, part.len())))
    }

    fn running(&self) -> Vec<HostId> {
        self.hosts().filter(|&host_id| self.is_running(host_id)).collect()
    }

    fn unsettled(&self) -> Option<String> {
        let running = self.running();
        let parts = self.parts();
        // The cheap check first: the sizes.
        for part in &parts {
            for &host_id in part {
                let known = self.routes(host_id).map_or(0, |routes| routes.nodes());
                if known != part.len() {
                    return Some(format!(
                        "{} knows {known} of {} nodes",
                        self.hosts[host_id.0].spec.name,
                        part.len()
                    ));
                }
            }
        }
        let actual = self.actual();
        for &host_id in &running {
            let name = &self.hosts[host_id.0].spec.name;
            let peers = self.peers(host_id);
            let actual_peers: Vec<NodeName> =
                actual.get(&host_id).into_iter().flatten().map(|peer| self.name(*peer)).collect();
            if sorted(actual_peers.clone()) != peers {
                return Some(format!("{name} has peers {peers:?}, expected {actual_peers:?}"));
            }
        }
        for part in &parts {
            let mesh = self.actual_mesh(part, &actual);
            for &host_id in part {
                let seen = self.routes(host_id).map(|routes| routes.mesh()).unwrap_or_default();
                if seen != mesh {
                    let name = &self.hosts[host_id.0].spec.name;
                    return Some(format!("{name} sees {seen:?}, expected {mesh:?}"));
                }
            }
        }
        None
    }

    fn name(&self, host_id: HostId) -> NodeName {
        self.hosts[host_id.0].spec.name.clone()
    }

    /// The hosts that each host is linked to, according to the connections.
    fn actual(&self) -> BTreeMap<HostId, Vec<HostId>> {
        let mut actual: BTreeMap<HostId, Vec<HostId>> = BTreeMap::new();
        for host_id in self.hosts() {
            let Some(incarnation) = self.incarnation(host_id) else {
                continue;
            };
            for sim_link in incarnation.links.values() {
                if let Some(peer) = self.other_end(sim_link.connection, sim_link.side) {
                    actual.entry(host_id).or_default().push(peer);
                }
            }
        }
        actual
    }

    fn other_end(&self, id: ConnectionId, side: Side) -> Option<HostId> {
        let end = self.connections[id.0].end(side.other());
        matches!(end.state, State::Link { .. }).then_some(end.host_id)
    }

    fn actual_mesh(&self, part: &[HostId], actual: &BTreeMap<HostId, Vec<HostId>>) -> Mesh {
        let edges = part.iter().flat_map(|host_id| {
            actual
                .get(host_id)
                .into_iter()
                .flatten()
                .map(|peer| (self.name(*host_id), self.name(*peer)))
        });
        Mesh::from_edges(part.iter().map(|host_id| self.name(*host_id)), edges)
    }

    /// Panics if the mesh has not settled or a table is wrong.
    pub(in crate::sim) fn check_tables(&self, links_max: Option<usize>) {
        assert!(self.is_settled(), "invariant S7: {}", self.unsettled_reason());
        let running = self.running();
        for &host_id in &running {
            let name = self.name(host_id);
            let peers = self.peers(host_id);
            let distinct: BTreeSet<&NodeName> = peers.iter().collect();
            assert_eq!(
                distinct.len(),
                peers.len(),
                "invariant S7: {name} has two links to one node"
            );
            if let Some(max) = links_max {
                assert!(
                    peers.len() <= max,
                    "invariant S14: {name} keeps {} links, {max} at most",
                    peers.len()
                );
            }
            self.check_events(host_id);
            self.check_names(host_id);
        }
        for part in self.parts() {
            let some = if part.len() <= ALL_PAIRS_NODES { part.len() } else { 4 };
            for &from in &part[..some] {
                for &to in &part[..some] {
                    if from != to {
                        self.check_route(from, to);
                    }
                }
            }
        }
    }

    /// Checks that no two nodes in a table have one name.
    fn check_names(&self, host_id: HostId) {
        let Some(routes) = self.routes(host_id) else {
            return;
        };
        let (names, nodes) = (routes.holders().count(), routes.others().count());
        assert_eq!(names, nodes, "invariant S16: {} reaches a name twice", self.name(host_id));
    }

    /// Checks that a node holds its name at every node that it can reach, alone.
    ///
    /// # Panics
    /// If another node holds it somewhere, or can be reached under the name.
    pub fn check_holder(&self, holder: HostId) {
        let (name, instance) = (self.name(holder), self.instance(holder));
        for host_id in self.running() {
            let Some(routes) = self.routes(host_id) else { continue };
            if host_id == holder || !instance.is_some_and(|instance| routes.contains(instance)) {
                continue;
            }
            let held = routes.route(name.as_str()).map(|route| route.instance);
            assert_eq!(held, instance, "invariant S16: {} at {}", name, self.name(host_id));
            self.check_names(host_id);
        }
    }

    /// Follows the tables hop by hop: they must agree on the least of the shortest paths.
    fn check_route(&self, from: HostId, to: HostId) {
        let (Some(routes), Some(target)) = (self.routes(from), self.instance(to)) else {
            return;
        };
        let name = self.name(to);
        let Some(route) = routes.route_to(target) else {
            panic!("invariant S7: {} has no route to {name}", self.name(from));
        };
        let walked: Vec<NodeName> = self.walk(from, target, routes.nodes());
        let shortest = routes.mesh().shortest_path(self.name(from).as_str(), name.as_str());
        assert_eq!(
            Some(&walked),
            shortest.as_ref(),
            "invariant S7: the tables do not follow the least shortest path"
        );
        assert_eq!(route.hops as usize + 1, walked.len(), "invariant S7: the hop count is wrong");
    }

    fn walk(&self, from: HostId, target: Instance, hops_max: usize) -> Vec<NodeName> {
        let mut path = vec![self.name(from)];
        let mut at = from;
        while self.instance(at) != Some(target) {
            assert!(path.len() <= hops_max, "invariant S7: the tables contain a loop: {path:?}");
            let next = self.incarnation(at).and_then(|incarnation| {
                let route = incarnation.router.routes().route_to(target)?;
                let sim_link = incarnation.links.get(&route.link)?;
                self.other_end(sim_link.connection, sim_link.side)
            });
            let Some(next) = next else {
                panic!("invariant S7: the path {path:?} does not reach its target");
            };
            at = next;
            path.push(self.name(at));
        }
        path
    }

    /// Checks that the events that an application received agree with its node's tables.
    fn check_events(&self, host_id: HostId) {
        let (Some(incarnation), Some(routes)) = (self.incarnation(host_id), self.routes(host_id))
        else {
            return;
        };
        let name = self.name(host_id);
        let nodes: BTreeSet<NodeName> = routes.others().map(|(name, _)| name.clone()).collect();
        assert_eq!(
            incarnation.reported_nodes, nodes,
            "invariant S12: the events of {name} disagree with its nodes"
        );
        let peers: BTreeSet<NodeName> = self.peers(host_id).into_iter().collect();
        assert_eq!(
            incarnation.reported_peers, peers,
            "invariant S12: the events of {name} disagree with its peers"
        );
    }

    /// The number of links of each node.
    pub fn links(&self) -> Histogram {
        let mut links = Histogram::default();
        self.running().into_iter().for_each(|host_id| links.add(self.peers(host_id).len()));
        links
    }
}

fn sorted(mut names: Vec<NodeName>) -> Vec<NodeName> {
    names.sort();
    names
}
