//! Checks traffic over a settled mesh: every message arrives, at the expected cost.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::message::Recipients;
use crate::name::NodeName;
use crate::sim::application::SendOptions;
use crate::sim::history::SendId;
use crate::sim::network::HostId;
use crate::sim::simulation::Sim;

/// The time limit of one probe: a path of 64 hops of the standard 5 ms, in both directions, with as
/// much again as a margin.
const PROBE_TIME: Duration = Duration::from_secs(2);
/// How long channels may take to start anew after frames were forged: as long as a message may wait
/// for its outcome.
const HEAL_TIME: Duration = crate::config::DEFAULT_TIMEOUT;
/// The most nodes that probe: a large mesh is sampled.
const PROBES_MAX: usize = 32;

impl Sim {
    /// Makes nodes broadcast, and send to all others, one after the other.
    pub(in crate::sim) fn probe(&mut self) {
        let running: Vec<HostId> =
            self.hosts().filter(|&host_id| self.is_running(host_id)).collect();
        if self.counters.forgeries > 0 {
            // A forged message whose acknowledgement was lost may cost the next one of the source.
            for &host_id in &running {
                let others: Vec<NodeName> = self
                    .routes(host_id)
                    .map(|routes| routes.others().map(|(name, _)| name.clone()).collect())
                    .unwrap_or_default();
                for to in [Recipients::Broadcast, Recipients::Set(others.into())] {
                    // An empty mesh has no recipients.
                    let _ = self.send(host_id, to, 100, SendOptions::default());
                }
            }
            self.run_for(HEAL_TIME);
        }
        for &host_id in running.iter().take(PROBES_MAX) {
            let Some(routes) = self.routes(host_id) else {
                continue;
            };
            let others: Vec<NodeName> = routes.others().map(|(name, _)| name.clone()).collect();
            // A recipient that once had no room requests the first broadcast after that again: it
            // cannot know that the refused message was given up. The second broadcast shows the
            // mesh at rest.
            self.probe_with(host_id, Recipients::Broadcast);
            let installs = self.counters.installs;
            self.crossings = self.instance(host_id).map(|source| (source, BTreeMap::new()));
            let send_id = self.probe_with(host_id, Recipients::Broadcast);
            // Other messages may be on their way: applications greet the nodes that they find.
            let id = self.history.entry(send_id).id;
            let crossings = self.crossings.take().and_then(|(_, all)| all.get(&id?).copied());
            let crossed = crossings.unwrap_or(0);
            // A node that still looks for a link may find one at any time.
            let rested = installs == self.counters.installs;
            assert!(
                !rested || crossed == others.len() as u64,
                "invariant S13: a broadcast to {} nodes crossed {crossed} links: {:?}",
                others.len() + 1,
                self.history.entry(send_id)
            );
            if !others.is_empty() {
                self.probe_with(host_id, Recipients::Set(others.into()));
            }
        }
    }

    fn probe_with(&mut self, host_id: HostId, to: Recipients) -> SendId {
        let (routes, installs) = (self.routes(host_id), self.counters.installs);
        let sent = self.send(host_id, to, 100, SendOptions::default());
        let send_id = match sent {
            Ok(send_id) => send_id,
            Err(error) => panic!("invariant S7: a settled mesh refused a message: {error}"),
        };
        let done = self.run_until(PROBE_TIME, |sim| sim.history.entry(send_id).result.is_some());
        let entry = self.history.entry(send_id);
        assert!(
            done.is_some() && self.report(send_id).is_some_and(|report| report.all_delivered()),
            "invariant S7: a message over a settled mesh was not delivered: {entry:?}"
        );
        if installs != self.counters.installs {
            return send_id;
        }
        for delivery in &entry.deliveries {
            let hops = routes
                .as_ref()
                .and_then(|routes| routes.route_to(delivery.instance))
                .map_or(0, |route| route.hops as usize);
            assert_eq!(delivery.hops, hops, "invariant S7: a message took a detour: {delivery:?}");
        }
        send_id
    }
}
