//! Checks one node after each event.

use std::time::Duration;

use crate::name::{Instance, NodeName};
use crate::sim::connection::State;
use crate::sim::network::HostId;
use crate::sim::simulation::Sim;

/// For this long after a link ended somewhere, a node may receive a message from a node that it never
/// had a route to: the message was in flight when the route to its source ended.
const UNANSWERABLE_AFTER_LINK_DOWN: Duration = Duration::from_secs(2);
/// How long nothing may arrive over a link: the longest dead interval, and the time in which a router
/// that is behind with its inputs notices.
const SILENCE_MAX: Duration = Duration::from_secs(4);

impl Sim {
    /// Checks that a node that has received a message has, or had, a route to its sender.
    pub(in crate::sim) fn check_answerable(
        &self,
        host_id: HostId,
        source: &NodeName,
        instance: Instance,
    ) {
        let Some(incarnation) = self.incarnation(host_id) else {
            return;
        };
        let disrupted =
            self.last_link_down.is_some_and(|at| self.now < at + UNANSWERABLE_AFTER_LINK_DOWN);
        let fib = incarnation.plane.fib();
        assert!(
            disrupted
                || fib.routes.route_to(instance).is_some()
                || incarnation.known_instances.contains(&instance),
            "invariant S15: {} received a message of {source} ({instance}) and cannot answer it",
            self.hosts[host_id.0].spec.name
        );
    }

    /// Checks that a node has no link over which nothing has arrived for much longer than the longest
    /// dead interval.
    fn check_silence(&self, host_id: HostId) {
        let host = &self.hosts[host_id.0];
        let Some(incarnation) = &host.incarnation else {
            return;
        };
        for (link, sim_link) in &incarnation.links {
            let end = self.connections[sim_link.connection.0].end(sim_link.side);
            if let State::Link { reader, .. } = &end.state {
                let heard_at = reader.heard_at.max(host.continued_at);
                assert!(
                    self.now <= heard_at + SILENCE_MAX,
                    "invariant S9: {} keeps {link}, over which nothing has arrived since {heard_at:?}",
                    host.spec.name
                );
            }
        }
    }

    /// Checks the router's own invariants, and that its routes use existing links.
    pub(in crate::sim) fn check_node(&self, host_id: HostId) {
        let Some(incarnation) = self.incarnation(host_id) else {
            return;
        };
        incarnation.router.check();
        self.check_keys(host_id);
        self.check_silence(host_id);
        let (waiting, most) =
            (incarnation.plane.waiting(), self.hosts[host_id.0].spec.receive_buffer);
        assert!(waiting <= most, "invariant S10: {waiting} messages wait in an inbox of {most}");
        let routes = incarnation.router.routes();
        for (name, instance) in routes.others() {
            let Some(route) = routes.route_to(instance) else {
                panic!("invariant S9: {name} is in the table and has no route");
            };
            assert!(
                incarnation.links.contains_key(&route.link),
                "invariant S9: the route of {} to {name} leads over {}, which is gone",
                self.hosts[host_id.0].spec.name,
                route.link
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "invariant S15")]
    fn a_message_that_cannot_be_answered_is_detected() {
        let sim = Sim::line(["a", "b"]);
        let stranger = NodeName::new("c").expect("valid");
        sim.check_answerable(HostId(0), &stranger, Instance(1));
    }
}
