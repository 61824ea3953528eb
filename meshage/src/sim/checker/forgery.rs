//! Checks that nodes drop nothing as forged that honest nodes sent.

use crate::forward::reverse_path::ROUTES_SETTLED_AFTER;
use crate::message::Message;
use crate::name::NodeName;
use crate::sim::network::HostId;
use crate::sim::simulation::Sim;
use crate::stats::Stats;

/// The counters of frames that only a lying node sends, and of what they cause.
const FORGED: &[&str] = &[
    "frames_wrong_path",
    "acks_wrong_path",
    "acks_beyond_sent",
    "channel_restarts_requested",
    "channel_restarts",
    "messages_conflicting",
];

impl Sim {
    /// Checks the counters of a node, in a mesh without liars.
    pub(in crate::sim) fn check_forgeries(&self, host_id: HostId) {
        let Some(incarnation) = self.incarnation(host_id) else {
            return;
        };
        if self.counters.forgeries > 0 {
            return;
        }
        let mut stats = Stats::default();
        incarnation.plane.count(&mut stats);
        for counter in FORGED {
            let value = stats.value(counter).unwrap_or(0);
            let name = &self.hosts[host_id.0].spec.name;
            assert_eq!(value, 0, "invariant S17: {name} has {counter} = {value} without a liar");
        }
    }
}

impl Sim {
    /// Checks a forged message that an application received: once routes have been at rest, it must
    /// have arrived from a peer through which its source can be reached on a shortest path.
    pub(in crate::sim) fn check_forged_delivery(&self, host_id: HostId, message: &Message) {
        let Some(incarnation) = self.incarnation(host_id) else {
            return;
        };
        let fib = incarnation.plane.fib();
        let settled = self.now >= incarnation.routes_since + ROUTES_SETTLED_AFTER;
        let (me, mesh) = (&self.hosts[host_id.0].spec.name, fib.routes.mesh());
        let hops = |from: &NodeName| {
            let path = mesh.shortest_path(from.as_str(), message.source.as_str());
            path.map(|path| path.len())
        };
        let (Some(last), Some(hops_of_me)) = (message.route.last(), hops(me)) else {
            return;
        };
        assert!(
            !settled || fib.routes.is_incomplete() || hops(last) == Some(hops_of_me - 1),
            "invariant S17: {me} received a message of {} from {last}, and routes are at rest",
            message.source
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimRng;

    #[test]
    #[should_panic(expected = "invariant S17")]
    fn a_frame_that_is_dropped_as_forged_is_detected_in_a_mesh_without_liars() {
        let mut sim = Sim::line(["a", "b", "c"]);
        let (host_id, mut rng) = (sim.host("a"), SimRng::new(1));
        while sim.counters.forgeries < 100 {
            sim.lie(host_id, &mut rng);
        }
        sim.run_for(std::time::Duration::from_secs(1));
        sim.counters.forgeries = 0;
        sim.hosts().for_each(|host_id| sim.check_forgeries(host_id));
    }
}
