//! The forwarding information base: what the data plane reads of the control plane's routes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::outbound::Outbound;
use crate::name::LinkId;
use crate::route::RouteTable;

/// The routes with their live queues: one immutable snapshot.
#[derive(Debug)]
pub struct Fib {
    /// The next hop for each destination.
    pub routes: Arc<RouteTable>,
    /// The outbound queue of each link. A route over a link that is missing here leads nowhere.
    pub links: BTreeMap<LinkId, Arc<Outbound>>,
}

impl Fib {
    /// Whether frames wait for this link.
    pub fn is_queueing(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|outbound| outbound.waiting_bytes() > 0)
    }
}
