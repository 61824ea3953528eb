//! Traffic over a settled mesh, where everything has to arrive and nothing may cost too much.

use std::time::Duration;

use crate::message::Recipients;
use crate::name::NodeName;
use crate::sim::application::SendOptions;
use crate::sim::history::SendId;
use crate::sim::network::HostId;
use crate::sim::simulation::Sim;

/// How long one probe may be under way: a path of 64 hops of the standard 5 ms, there and back,
/// with as much again.
const PROBE_TIME: Duration = Duration::from_secs(2);
/// How many nodes probe at most: a large mesh is sampled.
const PROBES_MAX: usize = 32;

impl Sim {
    /// Has nodes broadcast and send to everybody, one after the other.
    pub(in crate::sim) fn probe(&mut self) {
        let running: Vec<HostId> =
            self.hosts().filter(|&host_id| self.is_running(host_id)).collect();
        for &host_id in running.iter().take(PROBES_MAX) {
            let Some(routes) = self.routes(host_id) else {
                continue;
            };
            let others: Vec<NodeName> = routes.others().map(|(name, _)| name.clone()).collect();
            // A receiver that once had no room asks again for the first broadcast after that: it
            // cannot tell that what it refused was given up. The second shows the mesh at rest.
            self.probe_with(host_id, Recipients::Broadcast);
            let (before, installs) = (self.counters.total().data.0, self.counters.installs);
            let send_id = self.probe_with(host_id, Recipients::Broadcast);
            let crossed = self.counters.total().data.0 - before;
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
            Err(error) => panic!("invariant S7: a settled mesh takes no message: {error}"),
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
            assert_eq!(delivery.hops, hops, "invariant S7: a detour: {delivery:?}");
        }
        send_id
    }
}
