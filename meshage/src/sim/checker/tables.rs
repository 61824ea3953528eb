//! Whether every node sees the mesh as it is.
//!
//! The truth is what no node has: the connections that both ends hold as links. A mesh at rest is
//! one mesh over all computers that reach each other, and every table in it equals the truth.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{Instance, NodeName};
use crate::sim::connection::{ConnectionId, Side, State};
use crate::sim::network::Machine;
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
    pub fn why_unsettled(&self) -> String {
        self.unsettled().unwrap_or_else(|| "nothing is missing".into())
    }

    fn running(&self) -> Vec<Machine> {
        self.machines().filter(|&machine| self.is_running(machine)).collect()
    }

    fn unsettled(&self) -> Option<String> {
        let running = self.running();
        let mut parts: BTreeMap<u32, Vec<Machine>> = BTreeMap::new();
        for &machine in &running {
            parts.entry(self.network.group(machine)).or_default().push(machine);
        }
        // First what is cheap: the sizes.
        for part in parts.values() {
            for &machine in part {
                let known = self.routes(machine).map_or(0, |routes| routes.nodes());
                if known != part.len() {
                    return Some(format!(
                        "{} knows {known} of {} nodes",
                        self.computers[machine.0].spec.name,
                        part.len()
                    ));
                }
            }
        }
        let truth = self.truth();
        for &machine in &running {
            let name = &self.computers[machine.0].spec.name;
            let peers = self.peers(machine);
            let true_peers: Vec<NodeName> =
                truth.get(&machine).into_iter().flatten().map(|peer| self.name(*peer)).collect();
            if sorted(true_peers.clone()) != peers {
                return Some(format!("{name} has peers {peers:?}, in truth {true_peers:?}"));
            }
        }
        for part in parts.values() {
            let mesh = self.true_mesh(part, &truth);
            for &machine in part {
                let seen = self.routes(machine).map(|routes| routes.mesh()).unwrap_or_default();
                if seen != mesh {
                    let name = &self.computers[machine.0].spec.name;
                    return Some(format!("{name} sees {seen:?}, in truth it is {mesh:?}"));
                }
            }
        }
        None
    }

    fn name(&self, machine: Machine) -> NodeName {
        self.computers[machine.0].spec.name.clone()
    }

    /// For each computer those whose node it is linked to, as the connections say.
    fn truth(&self) -> BTreeMap<Machine, Vec<Machine>> {
        let mut truth: BTreeMap<Machine, Vec<Machine>> = BTreeMap::new();
        for machine in self.machines() {
            let Some(life) = self.life(machine) else {
                continue;
            };
            for wire in life.links.values() {
                if let Some(peer) = self.other_end(wire.connection, wire.side) {
                    truth.entry(machine).or_default().push(peer);
                }
            }
        }
        truth
    }

    fn other_end(&self, id: ConnectionId, side: Side) -> Option<Machine> {
        let end = self.connections[id.0].end(side.other());
        matches!(end.state, State::Link { .. }).then_some(end.machine)
    }

    fn true_mesh(&self, part: &[Machine], truth: &BTreeMap<Machine, Vec<Machine>>) -> Mesh {
        let edges = part.iter().flat_map(|machine| {
            truth
                .get(machine)
                .into_iter()
                .flatten()
                .map(|peer| (self.name(*machine), self.name(*peer)))
        });
        Mesh::from_edges(part.iter().map(|machine| self.name(*machine)), edges)
    }

    /// Panics where a settled mesh is not what it has to be.
    pub(in crate::sim) fn check_tables(&self, links_max: Option<usize>) {
        assert!(self.is_settled(), "invariant S7: {}", self.why_unsettled());
        let running = self.running();
        for &machine in &running {
            let name = self.name(machine);
            let peers = self.peers(machine);
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
            self.check_told(machine);
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
    fn check_route(&self, from: Machine, to: Machine) {
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

    fn walk(&self, from: Machine, target: Instance, hops_max: usize) -> Vec<NodeName> {
        let mut path = vec![self.name(from)];
        let mut at = from;
        while self.instance(at) != Some(target) {
            assert!(path.len() <= hops_max, "invariant S7: the tables make a loop: {path:?}");
            let next = self.life(at).and_then(|life| {
                let route = life.router.routes().route_to(target)?;
                let wire = life.links.get(&route.link)?;
                self.other_end(wire.connection, wire.side)
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
    fn check_told(&self, machine: Machine) {
        let (Some(life), Some(routes)) = (self.life(machine), self.routes(machine)) else {
            return;
        };
        let name = self.name(machine);
        let nodes: BTreeSet<NodeName> = routes.others().map(|(name, _)| name.clone()).collect();
        assert_eq!(life.told_nodes, nodes, "invariant S12: the nodes that {name} was told of");
        let peers: BTreeSet<NodeName> = self.peers(machine).into_iter().collect();
        assert_eq!(life.told_peers, peers, "invariant S12: the peers that {name} was told of");
    }

    /// How many links the nodes have.
    pub fn links(&self) -> Histogram {
        let mut links = Histogram::default();
        self.running().into_iter().for_each(|machine| links.add(self.peers(machine).len()));
        links
    }
}

fn sorted(mut names: Vec<NodeName>) -> Vec<NodeName> {
    names.sort();
    names
}
