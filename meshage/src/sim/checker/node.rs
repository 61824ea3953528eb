//! What holds at one node after each event.

use crate::sim::network::Machine;
use crate::sim::simulation::Sim;

impl Sim {
    /// Asks the router for its own invariants, and looks whether its routes lead over live links.
    pub(in crate::sim) fn check_node(&self, machine: Machine) {
        let Some(life) = self.life(machine) else {
            return;
        };
        life.router.check();
        let routes = life.router.routes();
        for (name, instance) in routes.others() {
            let Some(route) = routes.route_to(instance) else {
                panic!("invariant S9: {name} is in the table and has no route");
            };
            assert!(
                life.links.contains_key(&route.link),
                "invariant S9: the route of {} to {name} leads over {}, which is gone",
                self.computers[machine.0].spec.name,
                route.link
            );
        }
    }
}
