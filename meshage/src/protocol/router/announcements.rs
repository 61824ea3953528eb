//! Announcements are originated, installed and flooded.

use std::time::Instant;

use super::Router;
use crate::name::{Instance, LinkId};
use crate::protocol::announce::AnnounceTime;
use crate::protocol::intake::{POSTPONED_INTERVAL, Postponed, Received};
use crate::protocol::io::Output;
use crate::protocol::lsdb::Verdict;
use crate::protocol::timer::Timer;
use crate::wire::control::Announcement;

impl Router {
    /// Reacts to a change of this node's full links: no route may lead over a link that is gone,
    /// and the other nodes must learn of the change.
    pub(super) fn own_links_changed(&mut self, now: Instant) {
        if !planted!(DeadLinkRouted) {
            self.compute_routes(now);
        }
        if !planted!(LinkEndUnannounced) {
            self.announce_change(now);
        }
    }

    /// Announces the links if they changed, now or as soon as the limits permit.
    pub(super) fn announce_change(&mut self, now: Instant) {
        let peers: Vec<Instance> = self.links.full().into_keys().collect();
        if self.own_announcement.announcement().peers == peers && !self.must_reissue {
            self.timers.stop(Timer::Announce);
            return;
        }
        let links = &self.links;
        let name_of = |peer| links.to(peer).next().map(|(_, link)| &link.peer);
        match self.own_announcement.next_time(&peers, name_of, now) {
            AnnounceTime::Gathered(at) => self.timers.set(Timer::Announce, at),
            AnnounceTime::Limited(at) => {
                if !self.timers.is_set(Timer::Announce) {
                    self.counters.announcements_limited += 1;
                }
                if !planted!(TrailingAnnouncementDropped) {
                    self.timers.set(Timer::Announce, at);
                }
            }
            AnnounceTime::Now => {
                // A node that had no peers may have been forgotten.
                let with_credential = self.own_announcement.announcement().peers.is_empty();
                self.own_announcement.update(peers, name_of, now);
                self.flood_own(with_credential, now);
            }
        }
    }

    /// Announces the links, changed or not.
    pub(super) fn originate(&mut self, now: Instant) {
        let peers = self.links.full().into_keys().collect();
        self.own_announcement.reissue(peers);
        self.flood_own(true, now);
    }

    /// Sends this node's announcement to all peers. They know the credential of this node, and so do
    /// the nodes behind them, unless they have forgotten it. Those find by comparison that they lack
    /// the announcement, and get both.
    fn flood_own(&mut self, with_credential: bool, now: Instant) {
        self.must_reissue = false;
        self.counters.announcements_originated += 1;
        self.timers.stop(Timer::Announce);
        let own = self.own_frame(with_credential);
        self.flood(self.instance, &own, None, now);
        // A link carries messages from this node only once it is announced.
        self.compute_routes(now);
    }

    pub(super) fn receive_announcement(
        &mut self,
        id: LinkId,
        announcement: Announcement,
        now: Instant,
    ) {
        let Some(link) = self.links.find(id) else { return };
        if !link.is_admitted() {
            self.breach(id, "an announcement before both ends admitted the link", now);
            return;
        }
        if self.signs() {
            self.breach(id, "an announcement without a signature", now);
            return;
        }
        if announcement.instance == self.instance {
            self.receive_own(&announcement, now);
            return;
        }
        self.receive_valid(id, announcement.into(), now);
    }

    /// An announcement with this node's instance: an old one, or a false one, which is corrected.
    pub(super) fn receive_own(&mut self, announcement: &Announcement, now: Instant) {
        if !self.own_announcement.supersede(announcement) {
            self.counters.announcements_stale += 1;
            return;
        }
        self.must_reissue = true;
        if self.reissue_bucket.take(now) {
            self.announce_change(now);
        } else {
            let at = self.reissue_bucket.next(now);
            self.timers.set_earlier(Timer::Announce, at);
        }
    }

    /// Installs an announcement of another node, or postpones it if the link has brought too many.
    pub(super) fn receive_valid(&mut self, id: LinkId, received: Received, now: Instant) {
        if self.lsdb.is_news(&received.announcement) && !self.permits(id, &received, now) {
            self.counters.announcements_postponed += 1;
            self.postpone(id, received, now);
            return;
        }
        self.install(id, received, now);
    }

    /// Installs an announcement of another node, and floods it if it is news.
    fn install(&mut self, id: LinkId, received: Received, now: Instant) {
        let Some(link) = self.links.find(id) else { return };
        let Received { announcement, signed, with_credential } = received;
        let (instance, leaving) = (announcement.instance, announcement.leaving);
        let link_instance = link.instance;
        let before = self.announces_me(instance);
        self.flooding.peer_has(id, instance, announcement.sequence);
        let verdict = self.lsdb.install(announcement, signed, now);
        match verdict {
            Verdict::New | Verdict::Changed | Verdict::Refreshed | Verdict::Revived => {
                self.counters.announcements_installed += 1;
                if let Some(frame) = self.frame_of(instance, with_credential) {
                    self.flood(instance, &frame, Some(id), now);
                }
            }
            Verdict::Same | Verdict::Older => self.counters.announcements_stale += 1,
            Verdict::NoRoom => self.counters.database_limited += 1,
        }
        match verdict {
            Verdict::New | Verdict::Changed => {
                self.schedule_expiry(now);
                let edge_changed = before != self.announces_me(instance);
                // A peer that announces that it leaves closes its link next, which is reported first.
                let leaves = link_instance == instance && leaving;
                if edge_changed && !leaves && self.links.is_full_to(instance) {
                    self.compute_routes(now);
                } else {
                    self.timers.set_earlier(Timer::Routes, self.spf_throttle.next_run(now));
                }
            }
            Verdict::Refreshed
            | Verdict::Revived
            | Verdict::Same
            | Verdict::Older
            | Verdict::NoRoom => {}
        }
    }

    /// Whether an announcement may be installed now: one of a peer must arrive over the link to it,
    /// as long as there is one, unless its signature covers the links, and the link that it arrived on
    /// must not have brought too many.
    fn permits(&mut self, id: LinkId, received: &Received, now: Instant) -> bool {
        let announcement = &received.announcement;
        let instance = announcement.instance;
        let reachable = self.routes.contains(instance);
        let foreign = !self.signs_links() && self.links.is_full_to(instance);
        let Some(link) = self.links.find_mut(id) else { return false };
        (link.instance == instance || !foreign) && link.intake.permits(announcement, reachable, now)
    }

    /// Keeps an announcement for later. A peer in whose name it arrived over another link gets it,
    /// within the limits: if it is false, the peer corrects it.
    fn postpone(&mut self, id: LinkId, received: Received, now: Instant) {
        let announcement = &received.announcement;
        let peer = self.links.to(announcement.instance).find(|(_, link)| link.is_full());
        let signs_links = self.signs_links();
        let may_be_false = |peer: &LinkId| *peer != id && !signs_links;
        let peer = peer.map(|(peer, _)| peer).filter(may_be_false);
        let Some(link) = self.links.find_mut(id) else { return };
        if let Some(peer) = peer
            && link.intake.permits(announcement, true, now)
        {
            self.counters.announcements_sent += 1;
            let frame = received.frame();
            self.outputs.push_back(Output::Send { link: peer, frame });
        }
        match link.intake.postpone(received) {
            Postponed::Kept | Postponed::Older => {}
            Postponed::NoRoom => self.counters.announcements_dropped += 1,
        }
        if !self.timers.is_set(Timer::Postponed) {
            self.timers.set(Timer::Postponed, now + POSTPONED_INTERVAL);
        }
        self.update_incomplete(now);
    }

    /// Installs the postponed announcements that the limits permit now.
    pub(super) fn receive_postponed(&mut self, now: Instant) {
        let waiting = self.links.iter().filter(|(_, link)| link.intake.has_postponed());
        let waiting: Vec<LinkId> = waiting.map(|(id, _)| id).collect();
        for id in waiting {
            let Some(link) = self.links.find_mut(id) else { continue };
            for received in link.intake.take_postponed() {
                if self.has_ended(&received, now) {
                    self.counters.announcements_not_allowed += 1;
                } else if self.lsdb.is_news(&received.announcement)
                    && !self.permits(id, &received, now)
                {
                    self.postpone(id, received, now);
                } else {
                    self.install(id, received, now);
                }
            }
        }
        self.update_incomplete(now);
        self.schedule_tickets(now);
    }

    /// Whether a node announces this node as its peer.
    fn announces_me(&self, instance: Instance) -> bool {
        let announcement = self.lsdb.announcement(instance);
        announcement.is_some_and(|known| known.peers.binary_search(&self.instance).is_ok())
    }
}
