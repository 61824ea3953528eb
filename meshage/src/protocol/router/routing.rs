//! The routes are computed and installed; changes are reported.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Router;
use crate::name::{Instance, LinkId};
use crate::protocol::io::Output;
use crate::protocol::spf;
use crate::protocol::timer::Timer;

/// An unreachable node expires after this many MSA periods.
const EXPIRE_AFTER_PERIODS: u32 = 3;

impl Router {
    /// Computes the routes now, and installs them if they changed.
    pub(super) fn compute_routes(&mut self, now: Instant) {
        self.timers.stop(Timer::Routes);
        self.spf_throttle.record_run(now);
        self.counters.routes_computed += 1;
        let links = self.usable_links();
        let table = spf::compute(&self.config.name, self.instance, &self.lsdb, &links)
            .incomplete(self.has_postponed());
        if !table.is_same_as(&self.routes) {
            let old = std::mem::replace(&mut self.routes, Arc::new(table));
            self.outputs.push_back(Output::Install(self.routes.clone()));
            let departure = |instance| self.lsdb.departure(instance);
            for event in spf::events(&old, &self.routes, departure) {
                self.event(event);
            }
            self.discovery.routes_changed(&self.routes);
            self.report_conflicts(now);
            self.update_reachability(now);
            self.schedule_expiry(now);
        }
        self.complete_dials();
        self.close_links_without_name(now);
    }

    /// Computes the routes soon, if they are marked as incomplete and are not, or the reverse.
    pub(super) fn update_incomplete(&mut self, now: Instant) {
        if self.routes.is_incomplete() != self.has_postponed() {
            self.timers.set_earlier(Timer::Routes, self.spf_throttle.next_run(now));
        }
    }

    fn has_postponed(&self) -> bool {
        self.links.iter().any(|(_, link)| link.intake.has_postponed())
    }

    /// The links that carry messages: they are full, and announced, so that the peer uses them too.
    fn usable_links(&self) -> BTreeMap<Instance, LinkId> {
        let announced = &self.own_announcement.announcement().peers;
        let mut links = self.links.full();
        links.retain(|instance, _| {
            announced.binary_search(instance).is_ok() || planted!(LinkUsedUnannounced)
        });
        links
    }

    /// Reports the names that a second reachable node has taken.
    fn report_conflicts(&mut self, now: Instant) {
        let conflicting = spf::conflicts(&self.routes, &self.config.name);
        for name in &conflicting {
            if self.conflicting_names.binary_search(name).is_err() {
                let holder = self.routes.route(name.as_str());
                let reason = match holder {
                    Some(holder) => format!(
                        "another reachable node has the name that instance {} holds",
                        holder.instance
                    ),
                    None => "another reachable node has this node's name".into(),
                };
                self.name_conflict(name, &reason, now);
            }
        }
        self.conflicting_names = conflicting;
    }

    /// Records which nodes became unreachable. Sends the announcements of nodes that became reachable
    /// to the peers that were linked after these announcements were last flooded: such a node was not
    /// offered to them.
    fn update_reachability(&mut self, now: Instant) {
        let changes = self.lsdb.update_reachability(&self.routes, now);
        self.record_former_holders(&changes.lost);
        for (instance, flooded_at) in changes.appeared {
            let Some(frame) = self.frame_of(instance, true) else { continue };
            // A link that was admitted in the same instant may have been admitted after the flood.
            for (link, _) in self.links.admitted().filter(|(_, link)| link.since >= flooded_at) {
                self.counters.announcements_sent += 1;
                self.outputs.push_back(Output::Send { link, frame: frame.clone() });
            }
        }
    }

    /// Replies to the application's dials whose peers have become reachable.
    pub(super) fn complete_dials(&mut self) {
        if self.dials_awaiting_route.is_empty() {
            return;
        }
        let links = self.usable_links();
        let mut completed = Vec::new();
        self.dials_awaiting_route.retain(|request, id| {
            let Some(link) = self.links.find(*id) else { return true };
            let reachable =
                links.contains_key(&link.instance) && self.routes.contains(link.instance);
            if reachable {
                completed.push((*request, link.peer.clone()));
            }
            !reachable
        });
        for (request, peer) in completed {
            self.reply_dial(request, Ok(peer));
        }
    }

    /// Sets the timer for the next unreachable node that expires.
    pub(super) fn schedule_expiry(&mut self, now: Instant) {
        match self.lsdb.unreachable_since() {
            Some(since) => {
                // With a shorter period than before this may lie in the past, which would count as a
                // late wakeup.
                self.timers.set(Timer::Expire, now.max(since + self.unreachable_lasts()));
            }
            None => self.timers.stop(Timer::Expire),
        }
    }

    /// How long an unreachable node is kept.
    fn unreachable_lasts(&self) -> Duration {
        let planted = if planted!(UnreachableNodeKept) { 1000 } else { 1 };
        self.config.msa_timeout * EXPIRE_AFTER_PERIODS * planted
    }

    pub(super) fn expire_nodes(&mut self, now: Instant) {
        let kept = self.unreachable_lasts();
        if let Some(before) = now.checked_sub(kept) {
            self.counters.nodes_expired += self.lsdb.expire(before);
        }
        self.schedule_expiry(now);
    }
}
