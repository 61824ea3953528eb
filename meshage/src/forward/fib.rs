//! The forwarding information base: what the data plane reads of the control plane's routes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::outbound::Outbound;
use super::reverse_path::{Plausibility, ReversePath};
use crate::name::{Instance, LinkId, NodeName};
use crate::route::RouteTable;
use crate::wire::ack::AckEntry;

/// The routes with their live queues: one immutable snapshot.
#[derive(Debug)]
pub struct Fib {
    /// The next hop for each destination.
    pub routes: Arc<RouteTable>,
    /// The outbound queue of each link. A route over a link that is missing here leads nowhere.
    pub links: BTreeMap<LinkId, Arc<Outbound>>,
    reverse_path: ReversePath,
}

impl Fib {
    /// A snapshot without a predecessor.
    pub fn new(routes: Arc<RouteTable>, links: BTreeMap<LinkId, Arc<Outbound>>) -> Self {
        Self { routes, links, reverse_path: ReversePath::default() }
    }

    /// This snapshot as the one that replaces `former`.
    pub(super) fn after(mut self, former: &Self, now: Instant) -> Self {
        self.reverse_path =
            former.reverse_path.next(&former.routes, &self.routes, &self.links, now);
        self
    }

    /// Whether frames wait for this link.
    pub fn is_queueing(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|outbound| outbound.waiting_bytes() > 0)
    }

    /// Whether a message that arrived over this link may come from this source.
    pub fn plausibility(
        &self,
        link: LinkId,
        source: &NodeName,
        instance: Instance,
        now: Instant,
    ) -> Plausibility {
        match self.routes.name_of(instance) {
            Some(name) if name != source => Plausibility::Impossible,
            Some(_) | None => self.reverse_path.message(&self.routes, link, instance, now),
        }
    }

    /// Whether an acknowledgement that arrived over this link may come from the node that it names.
    pub fn is_plausible_ack(&self, link: LinkId, ack: &AckEntry, now: Instant) -> bool {
        match ack.by {
            Some(by) => self.reverse_path.permits_acknowledgement(&self.routes, link, by, now),
            // The relay is not named. It is between this node and the recipient.
            None => match self.routes.route(ack.from.as_str()) {
                Some(route) => {
                    self.reverse_path.permits_refusal(&self.routes, link, route.instance, now)
                }
                None => true,
            },
        }
    }
}
