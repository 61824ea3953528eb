//! Checks that nodes drop nothing as forged that honest nodes sent.

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
