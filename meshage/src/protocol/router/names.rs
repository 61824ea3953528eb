//! One name, one holder: the reachable node that has a name keeps it.
//!
//! A newcomer with a name that a reachable node has is refused ([`super::admission`]). Two nodes with
//! one name become reachable nevertheless when meshes join. Then the one with the higher claim holds
//! the name. The peers of the other one close their links to it with the reason `NameInUse`, and it
//! looks for links until the name is free.

use std::time::Instant;

use super::Router;
use crate::error::RefuseReason;
use crate::name::LinkId;
use crate::protocol::claims::Recorded;
use crate::protocol::io::Output;
use crate::wire::control::{CLAIMS_MAX, ControlFrame, FormerHolder};

impl Router {
    /// Records nodes that are no longer reachable and have not announced that they leave.
    pub(super) fn record_former_holders(&mut self, lost: &[FormerHolder]) {
        for holder in lost {
            let forgotten = planted!(FormerHolderForgotten);
            if holder.name != self.config.name && self.is_claim_current(holder) && !forgotten {
                self.record_former_holder(holder);
            }
        }
    }

    fn record_former_holder(&mut self, holder: &FormerHolder) -> Recorded {
        let recorded = self.former_holders.record(holder);
        if recorded == Recorded::NewForOld {
            self.counters.former_holders_limited += 1;
        }
        recorded
    }

    /// Whether a node that failed is still the last known one with its name.
    fn is_claim_current(&self, former: &FormerHolder) -> bool {
        let holder = self.routes.route(former.name.as_str());
        let holder = holder.and_then(|holder| self.lsdb.announcement(holder.instance));
        holder.is_none_or(|holder| holder.claim <= former.claim)
            && !self.routes.contains(former.instance)
    }

    /// Sends a new peer the names whose holders failed.
    pub(super) fn send_claims(&mut self, id: LinkId) {
        let mut former = std::mem::take(&mut self.former_holders);
        let current = former.retain(|holder| self.is_claim_current(holder));
        self.former_holders = former;
        for entries in current.chunks(CLAIMS_MAX) {
            self.send(id, ControlFrame::Claims { entries: entries.to_vec() });
        }
    }

    /// Records the names whose holders failed. Takes over this node's own name. Forwards what is
    /// new.
    pub(super) fn receive_claims(&mut self, id: LinkId, entries: Vec<FormerHolder>, now: Instant) {
        let Some(link) = self.links.find_mut(id) else { return };
        if !link.is_admitted() {
            self.breach(id, "claims before both ends admitted the link", now);
            return;
        }
        let received = entries.len();
        let permitted: Vec<FormerHolder> =
            entries.into_iter().take_while(|_| link.intake.permits_claim(now)).collect();
        self.counters.claims_limited += (received - permitted.len()) as u64;
        let mut news = Vec::new();
        let mut taken_over = false;
        for holder in permitted {
            if holder.name == self.config.name {
                let other = holder.instance != self.instance;
                taken_over |= other && self.own_announcement.take_over(holder.claim);
            } else if self.is_claim_current(&holder) {
                match self.record_former_holder(&holder) {
                    Recorded::New | Recorded::NewForOld => news.push(holder),
                    Recorded::Known => {}
                }
            }
        }
        if !news.is_empty() {
            for (link, _) in self.links.admitted().filter(|(link, _)| *link != id) {
                let frame = ControlFrame::Claims { entries: news.clone() };
                self.outputs.push_back(Output::Send { link, frame });
            }
        }
        if taken_over {
            self.must_reissue = true;
            self.announce_change(now);
        }
    }

    /// Closes the links to peers whose names are held by other reachable nodes.
    pub(super) fn close_links_without_name(&mut self, now: Instant) {
        let lost = self.links.admitted().filter(|(_, link)| {
            let holder = self.routes.route(link.peer.as_str());
            holder.is_some_and(|holder| holder.instance != link.instance)
        });
        let lost: Vec<LinkId> = lost.map(|(id, _)| id).collect();
        for id in lost.into_iter().filter(|_| !planted!(NameNotEnforced)) {
            let Some(link) = self.links.find(id) else { continue };
            let (peer, instance) = (link.peer.clone(), link.instance);
            let reason = format!(
                "the link to instance {instance} was closed, because another reachable node holds \
                 the name"
            );
            self.name_conflict(&peer, &reason, now);
            self.refuse(id, RefuseReason::NameInUse, now);
        }
    }
}
