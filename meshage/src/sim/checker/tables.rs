//! Whether every node sees the mesh as it is.
//!
//! The truth is what no node has: the connections that both ends hold as links. A mesh at rest is
//! one mesh over all hosts that reach each other, and every table in it equals the actual.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{Instance, NodeName};
use crate::sim::connection::{ConnectionId, Side, State};
use crate::sim::network::HostId;
use crate::sim::report::Histogram;
use crate::sim::simulation::Sim;
use crate::topology::Mesh;

/// Every pair of nodes is looked at in a mesh of up to so many; of a larger one some.
const ALL_PAIRS_NODES: usize = 64;

impl Sim {
    /// Whether every table is full and true, in every part of the network by itself.
    pub fn is_settled(&self) -> bool {
        self.unsettled().is_none()
    }

    /// What is missing for the tables to be full and true, for who waits in vain.
    pub fn unsettled_reason(&self) -> String {
        self.unsettled().unwrap_or_else(|| "nothing is missing".into())
    }

    fn running(&self) -> Vec<HostId> {
        self.hosts().filter(|&host_id| self.is_running(host_id)).collect()
    }

    fn unsettled(&self) -> Option<String> {
        let running = self.running();
        let mut parts: BTreeMap<u32, Vec<HostId>> = BTreeMap::new();
        for &host_id in &running {
            parts.entry(self.network.group(host_id)).or_default().push(host_id);
        }
        // First what is cheap: the sizes.
        for part in parts.values() {
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
                return Some(format!("{name} has peers {peers:?}, in truth {actual_peers:?}"));
            }
        }
        for part in parts.values() {
            let mesh = self.actual_mesh(part, &actual);
            for &host_id in part {
                let seen = self.routes(host_id).map(|routes| routes.mesh()).unwrap_or_default();
                if seen != mesh {
                    let name = &self.hosts[host_id.0].spec.name;
                    return Some(format!("{name} sees {seen:?}, in truth it is {mesh:?}"));
                }
            }
        }
        None
    }

    fn name(&self, host_id: HostId) -> NodeName {
        self.hosts[host_id.0].spec.name.clone()
    }

    /// For each host those whose node it is linked to, as the connections say.
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

    /// Panics where a settled mesh is not what it has to be.
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
        }
        let some = if running.len() <= ALL_PAIRS_NODES { running.len() } else { 4 };
        for &from in &running[..some] {
            for &to in &running[..some] {
                if from != to && self.network.group(from) == self.network.group(to) {
                    self.check_route(from, to);
                }
            }
        }
    }

    /// Follows the tables hop by hop: they have to agree on one shortest path, the least of all.
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
            "invariant S7: the tables lead another way than the least shortest"
        );
        assert_eq!(route.hops as usize + 1, walked.len(), "invariant S7: the hops are miscounted");
    }

    fn walk(&self, from: HostId, target: Instance, hops_max: usize) -> Vec<NodeName> {
        let mut path = vec![self.name(from)];
        let mut at = from;
        while self.instance(at) != Some(target) {
            assert!(path.len() <= hops_max, "invariant S7: the tables make a loop: {path:?}");
            let next = self.incarnation(at).and_then(|incarnation| {
                let route = incarnation.router.routes().route_to(target)?;
                let sim_link = incarnation.links.get(&route.link)?;
                self.other_end(sim_link.connection, sim_link.side)
            });
            let Some(next) = next else {
                panic!("invariant S7: the way of {path:?} ends before its end");
            };
            at = next;
            path.push(self.name(at));
        }
        path
    }

    /// Whether an application that listened to events knows what its node knows.
    fn check_events(&self, host_id: HostId) {
        let (Some(incarnation), Some(routes)) = (self.incarnation(host_id), self.routes(host_id))
        else {
            return;
        };
        let name = self.name(host_id);
        let nodes: BTreeSet<NodeName> = routes.others().map(|(name, _)| name.clone()).collect();
        assert_eq!(
            incarnation.reported_nodes, nodes,
            "invariant S12: the nodes that {name} was told of"
        );
        let peers: BTreeSet<NodeName> = self.peers(host_id).into_iter().collect();
        assert_eq!(
            incarnation.reported_peers, peers,
            "invariant S12: the peers that {name} was told of"
        );
    }

    /// How many links the nodes have.
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
