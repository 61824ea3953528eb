//! Checks one node after each event.

use crate::sim::network::HostId;
use crate::sim::simulation::Sim;

impl Sim {
    /// Checks the router's own invariants, and that its routes use existing links.
    pub(in crate::sim) fn check_node(&self, host_id: HostId) {
        let Some(incarnation) = self.incarnation(host_id) else {
            return;
        };
        incarnation.router.check();
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
