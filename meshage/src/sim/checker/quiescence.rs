//! Checks that a mesh at rest holds no resources.

use crate::sim::connection::State;
use crate::sim::simulation::Sim;
use crate::stats::Stats;

/// The counters of a data plane that show what it currently holds: 0 when nothing is in flight.
const HELD: &[&str] = &["sends_under_way", "reassembly_bytes", "inbox_messages"];

impl Sim {
    /// Checks every queue. Call it after every deadline, without new traffic; `rested` if unreachable
    /// nodes had time to expire.
    pub(in crate::sim) fn check_quiescence(&self, rested: bool) {
        for host_id in self.hosts() {
            let Some(incarnation) = self.incarnation(host_id) else {
                continue;
            };
            let name = &self.hosts[host_id.0].spec.name;
            self.check_forgeries(host_id);
            assert!(
                incarnation.plane.is_idle(),
                "invariant S10: {name} still has outstanding sends"
            );
            assert_eq!(incarnation.plane.waiting(), 0, "invariant S10: {name} has unread messages");
            let mut stats = Stats::default();
            incarnation.plane.count(&mut stats);
            incarnation.router.count(&mut stats);
            let value = |counter| stats.value(counter).unwrap_or(0);
            let (known, nodes) = (value("database_nodes"), value("nodes"));
            assert!(
                known < nodes || !rested,
                "invariant S10: {name} knows of {known} others, and reaches {nodes} nodes"
            );
            for held in HELD {
                let value = stats.value(held).unwrap_or(0);
                assert_eq!(value, 0, "invariant S10: {name} has {held} = {value} at rest");
            }
            for (link, sim_link) in &incarnation.links {
                let waiting = sim_link.outbound.waiting_bytes();
                assert_eq!(waiting, 0, "invariant S10: {name} has frames waiting for {link}");
                let end = self.connections[sim_link.connection.0].end(sim_link.side);
                let State::Link { reader, .. } = &end.state else {
                    panic!("invariant S1: {name} has {link} over an end that is not a link");
                };
                let unopened = end.sealed.as_deref().map_or(0, |sealed| sealed.unopened.len());
                assert_eq!(unopened, 0, "invariant S10: {name} has a partial record from {link}");
                assert_eq!(
                    reader.read_buffer.unread() + reader.waiting.len() + reader.unread.len(),
                    0,
                    "invariant S10: {name} has a partial frame from {link}"
                );
            }
        }
    }
}
