//! The routes are computed and installed; what changed is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::Router;
use crate::name::{Instance, LinkId};
use crate::protocol::io::Output;
use crate::protocol::spf;
use crate::protocol::timer::Timer;
use crate::wire::control::ControlFrame;

/// What cannot be reached is forgotten after so many periods.
const FORGET_AFTER_PERIODS: u32 = 3;

impl Router {
    /// Computes the routes now, and installs them if they changed.
    pub(super) fn compute_routes(&mut self, now: Instant) {
        self.timers.stop(Timer::Routes);
        self.pace.ran(now);
        self.counters.routes_computed += 1;
        let links = self.usable_links();
        let table = spf::compute(&self.config.name, self.instance, &self.lsdb, &links);
        if !table.is_same_as(&self.routes) {
            let old = std::mem::replace(&mut self.routes, Arc::new(table));
            self.outputs.push_back(Output::Install(self.routes.clone()));
            for event in spf::events(&old, &self.routes) {
                self.event(event);
            }
            self.discovery.routes_changed(&self.routes);
            self.tell_conflicts(now);
            self.repeat_what_appeared(now);
            self.schedule_forget();
        }
        self.settle_dials();
    }

    /// The links that carry messages: full, and announced, so that the peer sends back over them.
    fn usable_links(&self) -> BTreeMap<Instance, LinkId> {
        let announced = &self.origin.announcement().peers;
        let mut links = self.links.full();
        links.retain(|instance, _| announced.binary_search(instance).is_ok());
        links
    }

    /// Tells of the names that a second reachable node has come to claim.
    fn tell_conflicts(&mut self, now: Instant) {
        let contested = spf::conflicts(&self.routes, &self.config.name);
        for name in &contested {
            if self.contested.binary_search(name).is_err() {
                self.name_conflict(name, now);
            }
        }
        self.contested = contested;
    }

    /// What can be reached only now was not offered to those peers that came after it was flooded
    /// last.
    fn repeat_what_appeared(&mut self, now: Instant) {
        for (instance, flooded) in self.lsdb.mark(&self.routes, now) {
            let Some(announcement) = self.lsdb.announcement(instance) else { continue };
            for (link, _) in self.links.admitted().filter(|(_, link)| link.since > flooded) {
                self.counters.announcements_sent += 1;
                let frame = ControlFrame::Announce(announcement.clone());
                self.outputs.push_back(Output::Send { link, frame });
            }
        }
    }

    /// Answers the application's dials whose peers have become reachable.
    pub(super) fn settle_dials(&mut self) {
        if self.arriving.is_empty() {
            return;
        }
        let links = self.usable_links();
        let mut settled = Vec::new();
        self.arriving.retain(|request, id| {
            let Some(link) = self.links.find(*id) else { return true };
            let there = links.contains_key(&link.instance) && self.routes.contains(link.instance);
            if there {
                settled.push((*request, link.peer.clone()));
            }
            !there
        });
        for (request, peer) in settled {
            self.reply_dial(request, Ok(peer));
        }
    }

    /// Wakes when the next unreachable node is to be forgotten.
    pub(super) fn schedule_forget(&mut self) {
        match self.lsdb.unreachable_since() {
            Some(since) => {
                self.timers
                    .set(Timer::Forget, since + self.config.msa_timeout * FORGET_AFTER_PERIODS);
            }
            None => self.timers.stop(Timer::Forget),
        }
    }

    pub(super) fn forget(&mut self, now: Instant) {
        let kept = self.config.msa_timeout * FORGET_AFTER_PERIODS;
        if let Some(before) = now.checked_sub(kept) {
            self.counters.nodes_forgotten += self.lsdb.forget(before);
        }
        self.schedule_forget();
    }
}
