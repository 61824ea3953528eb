//! A lying neighbour: a node that forges frames in the names of others.
//!
//! The liar is an ordinary node beside that. Its forgeries go over one of its links, as if it relayed
//! them: messages of other sources with any sequence number, floor and oldest message, and
//! acknowledgements, refusals, queries and restarts of other nodes. They keep to the format, because
//! a frame that does not closes the link.

use std::time::Duration;

use bytes::Bytes;
use smallvec::smallvec;

use crate::forward::outbound::Class;
use crate::message::Recipients;
use crate::name::{Instance, LinkId, NodeName};
use crate::wire::ack::{AckEntry, AckFrame, Refusal, Verdict};
use crate::wire::data::{
    Channel, Chunk, DataFrame, DataHeader, MessageSequence, Target, TargetList, Targets,
};

use super::application::SendOptions;
use super::network::HostId;
use super::rng::SimRng;
use super::simulation::Sim;

/// The body of every forged message, by which the history recognises it.
pub(super) const FORGED_BODY: &[u8] = b"forged by a lying neighbour";

/// The most recipients of a forged set.
const RECIPIENTS_MAX: usize = 4;

/// The liars of a run.
#[derive(Debug)]
pub(super) struct Liars {
    hosts: Vec<HostId>,
    rng: SimRng,
}

impl Liars {
    /// Chooses the liars of a simulation: none, or up to a quarter of the nodes.
    pub(super) fn choose(sim: &Sim, any: bool, mut rng: SimRng) -> Self {
        let mut hosts: Vec<HostId> = sim.hosts().collect();
        let count = if any { 1 + rng.index(1 + hosts.len() / 4) } else { 0 };
        while hosts.len() > count {
            hosts.swap_remove(rng.index(hosts.len()));
        }
        Self { hosts, rng }
    }

    /// Each liar forges up to two frames.
    pub(super) fn lie(&mut self, sim: &mut Sim) {
        for &host_id in &self.hosts {
            for _ in 0..self.rng.within(0..3) {
                sim.lie(host_id, &mut self.rng);
            }
        }
    }

    /// Any node sends a message to another, or to all.
    pub(super) fn send(&mut self, sim: &mut Sim) {
        let from = HostId(self.rng.index(sim.hosts.len()));
        let to = HostId(self.rng.index(sim.hosts.len()));
        let to = match from == to {
            true => Recipients::Broadcast,
            false => Recipients::Set(sim.hosts[to.0].spec.name.clone().into()),
        };
        let length = if self.rng.permille(100) { 100_000 } else { 100 };
        // The node may not be running.
        let _ = sim.send(from, to, length, SendOptions::default());
    }
}

type Node = (NodeName, Instance);

impl Sim {
    /// Makes a node send one forged frame, if it has a peer and knows a third node.
    pub(super) fn lie(&mut self, host_id: HostId, rng: &mut SimRng) {
        if !self.is_running(host_id) {
            return;
        }
        let Some(incarnation) = self.incarnation(host_id) else {
            return;
        };
        let fib = incarnation.plane.fib();
        let nodes: Vec<Node> = fib.routes.others().map(|(n, i)| (n.clone(), i)).collect();
        let links: Vec<LinkId> = incarnation.links.keys().copied().collect();
        let links: Vec<LinkId> =
            links.into_iter().filter(|link| fib.routes.part_behind(*link).is_some()).collect();
        if nodes.len() < 2 || links.is_empty() {
            return;
        }
        let link = links[rng.index(links.len())];
        let Some(outbound) = fib.links.get(&link).cloned() else {
            return;
        };
        let me = self.hosts[host_id.0].spec.name.clone();
        let (class, frame) = if rng.permille(600) {
            let forged = self.forge_message(&me, &nodes, rng);
            let class = if forged.header.channel.large { Class::Large } else { Class::Small };
            (class, forged.encode())
        } else {
            let entry = self.forge_acknowledgement(&nodes, rng);
            (Class::Ack, AckFrame { entries: smallvec![entry] }.encode())
        };
        self.counters.forgeries += 1;
        // A full queue drops the forgery.
        let _ = outbound.push_frame(class, &frame);
        self.settle(host_id);
    }

    fn forge_message(&mut self, me: &NodeName, nodes: &[Node], rng: &mut SimRng) -> DataFrame {
        let (source, instance) = nodes[rng.index(nodes.len())].clone();
        let channel = Channel { broadcast: rng.permille(300), large: rng.permille(300) };
        let sequence = |rng: &mut SimRng| {
            let number = any_number(rng).clamp(1, u64::MAX - 1);
            MessageSequence { number, floor: any_number(rng).min(number) }
        };
        let targets = if channel.broadcast && rng.permille(700) {
            self.history.record_forgery(instance, None, self.now);
            Targets::Flood(sequence(rng))
        } else {
            let count = 1 + rng.index(RECIPIENTS_MAX);
            let mut list = TargetList::new();
            for _ in 0..count {
                let name = nodes[rng.index(nodes.len())].0.clone();
                self.history.record_forgery(instance, Some(&name), self.now);
                list.push(Target { name, sequence: Some(sequence(rng)), oldest: any_number(rng) });
            }
            Targets::List(list)
        };
        let missing = if rng.permille(300) { 1 + rng.within(0..100_000) } else { 0 };
        let total = FORGED_BODY.len() as u64 + missing;
        DataFrame {
            header: DataHeader {
                source: source.clone(),
                instance,
                id: any_number(rng),
                channel,
                encoding: 0,
                targets,
                chunk: channel.large.then_some(Chunk { offset: 0, total }),
                route: [source, me.clone()].into_iter().collect(),
            },
            body: Bytes::from_static(FORGED_BODY),
        }
    }

    fn forge_acknowledgement(&mut self, nodes: &[Node], rng: &mut SimRng) -> AckEntry {
        let source = nodes[rng.index(nodes.len())].clone();
        let recipient = nodes[rng.index(nodes.len())].clone();
        self.history.record_forgery(source.1, Some(&recipient.0), self.now);
        let number = any_number(rng);
        let refusals =
            [Refusal::Busy, Refusal::Early, Refusal::NoRoute, Refusal::TooLarge, Refusal::Stale];
        let verdict = match rng.within(0..6) {
            0 => Verdict::Delivered { next: number },
            1 => Verdict::Refused { number, refusal: refusals[rng.index(refusals.len())] },
            2 => Verdict::Progress { number, received: any_number(rng) },
            3 => Verdict::Ready,
            4 => Verdict::Query,
            _ => Verdict::Restart { claimed: number, limit: any_number(rng) },
        };
        let asks = matches!(verdict, Verdict::Query | Verdict::Restart { .. });
        let (to, from) = if asks { (recipient, source) } else { (source, recipient) };
        let channel = Channel::ALL[rng.index(Channel::ALL.len())];
        let by = rng.permille(800).then_some(from.1);
        AckEntry { to: to.1, from: from.0, by, channel, verdict, hops: rng.within(0..3) as u8 }
    }
}

/// A number that may be in use, or one that is far from it.
fn any_number(rng: &mut SimRng) -> u64 {
    match rng.within(0..8) {
        0 => 0,
        1 => u64::MAX - rng.within(0..3),
        2 => 1 << 62,
        3 => rng.within(0..1 << 20),
        // As great as the numbers in use.
        4 => rng.within(0..1 << 48),
        _ => rng.within(0..200),
    }
}

/// How long after the last forgery about a pair of nodes the outcomes between them may be wrong: the
/// acknowledgement of a forged message arrives within this time, unless the routes change.
pub(super) const FORGERY_LASTS: Duration = Duration::from_secs(15);
