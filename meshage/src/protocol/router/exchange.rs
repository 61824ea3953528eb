//! Two ends bring their databases level; announcements are originated, taken in and flooded.

use std::time::Instant;

use rand::RngExt as _;

use super::Router;
use crate::event::Event;
use crate::name::{Instance, LinkId, Sequence};
use crate::protocol::adjacency::Stage;
use crate::protocol::announce::When;
use crate::protocol::discovery::Cause;
use crate::protocol::flood::Step;
use crate::protocol::lsdb::Verdict;
use crate::protocol::timer::Timer;
use crate::wire::control::{Announcement, ControlFrame};

/// A refresh comes so much earlier or later, so that nodes started together spread.
const REFRESH_JITTER: f64 = 0.1;

impl Router {
    /// What a new peer may be told: this node and all that it can reach over admitted links. What
    /// cannot be reached is not offered, so that names do not come back from the dead. Links that
    /// are not full yet count here: what came over them may have been flooded before this peer was
    /// there.
    pub(super) fn offers(&self) -> Vec<(Instance, Sequence)> {
        let peers = self.links.admitted().map(|(_, link)| link.instance);
        let mut offers = self.lsdb.reachable_from(peers);
        offers.push((self.instance, self.origin.announcement().sequence));
        offers
    }

    pub(super) fn digest(
        &mut self,
        id: LinkId,
        entries: Vec<(Instance, Sequence)>,
        last: bool,
        now: Instant,
    ) {
        let Some(link) = self.links.find_mut(id) else { return };
        let Stage::Exchange(levelling) = &mut link.stage else {
            self.breach(id, "a digest out of place", now);
            return;
        };
        match levelling.digest(entries, last) {
            Step::Wait | Step::Level => {}
            Step::Push => self.push(id, now),
            Step::Breach(what) => self.breach(id, what, now),
        }
    }

    /// Sends what the other end lacks.
    fn push(&mut self, id: LinkId, now: Instant) {
        let offers = self.offers();
        let Some(link) = self.links.find_mut(id) else { return };
        let Stage::Exchange(levelling) = &mut link.stage else { return };
        let missing = levelling.missing(&offers);
        let level = levelling.state() == Step::Level;
        for instance in missing {
            let known = match instance == self.instance {
                true => Some(self.origin.announcement()),
                false => self.lsdb.announcement(instance),
            };
            if let Some(announcement) = known.cloned() {
                self.counters.announcements_sent += 1;
                self.send(id, ControlFrame::Announce(announcement));
            }
        }
        self.send(id, ControlFrame::Synced);
        if level {
            self.link_full(id, now);
        }
    }

    pub(super) fn synced(&mut self, id: LinkId, now: Instant) {
        let Some(link) = self.links.find_mut(id) else { return };
        let Stage::Exchange(levelling) = &mut link.stage else {
            self.breach(id, "synced out of place", now);
            return;
        };
        match levelling.synced() {
            Step::Level => self.link_full(id, now),
            Step::Wait | Step::Push => {}
            Step::Breach(what) => self.breach(id, what, now),
        }
    }

    /// Both ends know the same: from now on the link is announced and carries messages.
    fn link_full(&mut self, id: LinkId, now: Instant) {
        let Some(link) = self.links.find(id) else { return };
        let (instance, peer) = (link.instance, link.peer.clone());
        let first = !self.links.is_full_to(instance);
        let Some(link) = self.links.find_mut(id) else { return };
        link.stage = Stage::Full;
        link.peer_had_other = false;
        if let Some(Cause::Asked(request)) = link.cause {
            link.cause = None;
            self.arriving.insert(request, id);
        }
        self.timers.stop(Timer::Agree(id));
        self.seeds.link_full(instance);
        tracing::info!(node = %self.config.name, link = %id, %peer, "link up");
        if first {
            self.event(Event::LinkUp(peer));
        }
        self.links_changed(now);
        self.announce_change(now);
        self.compute_routes(now);
    }

    /// This node's full links changed: no route may lead over one that is gone, and the others
    /// shall know.
    pub(super) fn own_links_changed(&mut self, now: Instant) {
        self.compute_routes(now);
        self.announce_change(now);
    }

    /// Announces the links if they changed, now or as soon as the pace allows.
    pub(super) fn announce_change(&mut self, now: Instant) {
        let peers: Vec<Instance> = self.links.full().into_keys().collect();
        if self.origin.announcement().peers == peers && !self.outdone {
            self.timers.stop(Timer::Announce);
            return;
        }
        match self.origin.when(now) {
            When::At(at) => self.timers.set(Timer::Announce, at),
            When::Now => {
                self.origin.change(peers, now);
                self.spread_own(now);
            }
        }
    }

    /// Announces the links, changed or not.
    pub(super) fn originate(&mut self, now: Instant) {
        let peers = self.links.full().into_keys().collect();
        self.origin.renew(peers);
        self.spread_own(now);
    }

    fn spread_own(&mut self, now: Instant) {
        self.outdone = false;
        self.counters.announcements_originated += 1;
        self.timers.stop(Timer::Announce);
        self.schedule_refresh(now);
        let own = self.origin.announcement().clone();
        self.flood(&own, None);
        // A link carries messages from here only once it is announced.
        self.compute_routes(now);
    }

    pub(super) fn schedule_refresh(&mut self, now: Instant) {
        let factor = self.rng.random_range(1.0 - REFRESH_JITTER..=1.0 + REFRESH_JITTER);
        self.timers.set(Timer::Refresh, now + self.config.msa_timeout.mul_f64(factor));
    }

    pub(super) fn announced(&mut self, id: LinkId, announcement: Announcement, now: Instant) {
        let Some(link) = self.links.find(id) else { return };
        if !link.is_admitted() {
            self.breach(id, "an announcement before both ends admitted the link", now);
            return;
        }
        let instance = announcement.instance;
        if instance == self.instance {
            if self.origin.outdo(&announcement) {
                self.outdone = true;
                self.announce_change(now);
            } else {
                self.counters.announcements_stale += 1;
            }
            return;
        }
        let before = self.lists_me(instance);
        let verdict = self.lsdb.install(announcement, now);
        match verdict {
            Verdict::New | Verdict::Changed | Verdict::Refreshed | Verdict::Revived => {
                self.counters.announcements_installed += 1;
                if let Some(installed) = self.lsdb.announcement(instance).cloned() {
                    self.flood(&installed, Some(id));
                }
            }
            Verdict::Same | Verdict::Older => self.counters.announcements_stale += 1,
            Verdict::NoRoom => self.counters.database_limited += 1,
        }
        match verdict {
            Verdict::New | Verdict::Changed => {
                self.schedule_forget();
                let edge_changed = before != self.lists_me(instance);
                if edge_changed && self.links.is_full_to(instance) {
                    self.compute_routes(now);
                } else {
                    self.timers.set_earlier(Timer::Routes, self.pace.due(now));
                }
            }
            Verdict::Refreshed
            | Verdict::Revived
            | Verdict::Same
            | Verdict::Older
            | Verdict::NoRoom => {}
        }
    }

    /// Whether a node announces this one as its peer.
    fn lists_me(&self, instance: Instance) -> bool {
        let announcement = self.lsdb.announcement(instance);
        announcement.is_some_and(|known| known.peers.binary_search(&self.instance).is_ok())
    }

    /// Sends an announcement over every admitted link that it did not come by.
    fn flood(&mut self, announcement: &Announcement, came_by: Option<LinkId>) {
        for (link, _) in self.links.admitted().filter(|(link, _)| Some(*link) != came_by) {
            self.counters.announcements_sent += 1;
            let frame = ControlFrame::Announce(announcement.clone());
            self.outputs.push_back(super::Output::Send { link, frame });
        }
    }
}
