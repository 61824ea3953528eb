//! The two ends of a new link synchronise their databases.

use std::time::Instant;

use super::Router;
use crate::event::Event;
use crate::name::{Instance, LinkId, Sequence};
use crate::protocol::adjacency::Stage;
use crate::protocol::discovery::DialCause;
use crate::protocol::exchange::Step;
use crate::protocol::timer::Timer;
use crate::wire::control::ControlFrame;

impl Router {
    /// The entries that a new peer is offered: this node, and all nodes that are reachable over
    /// admitted links. Unreachable nodes are not offered, so that a name does not return after its
    /// node is gone. Links that are not full yet count here: what arrived over them may have been
    /// flooded before this peer was linked.
    pub(super) fn offered_entries(&self) -> Vec<(Instance, Sequence)> {
        let peers = self.links.admitted().map(|(_, link)| link.instance);
        let mut entries = self.lsdb.reachable_from(peers);
        entries.push((self.instance, self.own_announcement.announcement().sequence));
        entries
    }

    pub(super) fn receive_digest(
        &mut self,
        id: LinkId,
        entries: Vec<(Instance, Sequence)>,
        last: bool,
        now: Instant,
    ) {
        let Some(link) = self.links.find_mut(id) else { return };
        let Stage::Exchange(exchange) = &mut link.stage else {
            self.breach(id, "a digest outside of a database exchange", now);
            return;
        };
        match exchange.receive_digest(entries, last) {
            Step::Wait | Step::Synchronised => {}
            Step::SendMissing => self.send_missing(id, now),
            Step::Breach(what) => self.breach(id, what, now),
        }
    }

    /// Sends the announcements that the peer lacks.
    fn send_missing(&mut self, id: LinkId, now: Instant) {
        let offered = self.offered_entries();
        let Some(link) = self.links.find_mut(id) else { return };
        let Stage::Exchange(exchange) = &mut link.stage else { return };
        let missing = exchange.take_missing(&offered);
        let synchronised = exchange.progress() == Step::Synchronised;
        // Before the announcements, which the peer checks against them.
        self.send_revocations(id, now);
        for instance in missing {
            let frame = match instance == self.instance {
                true => Some(self.own_frame(true)),
                false => self.frame_of(instance, true),
            };
            if let Some(frame) = frame {
                self.counters.announcements_sent += 1;
                self.send(id, frame);
            }
        }
        self.send_claims(id);
        self.send(id, ControlFrame::Synced);
        if synchronised {
            self.link_full(id, now);
        }
    }

    pub(super) fn receive_synced(&mut self, id: LinkId, now: Instant) {
        let Some(link) = self.links.find_mut(id) else { return };
        let Stage::Exchange(exchange) = &mut link.stage else {
            self.breach(id, "a Synced outside of a database exchange", now);
            return;
        };
        match exchange.receive_synced() {
            Step::Synchronised => self.link_full(id, now),
            Step::Wait | Step::SendMissing => {}
            Step::Breach(what) => self.breach(id, what, now),
        }
    }

    /// Makes a link full: the databases are synchronised, and from now on the link is announced and
    /// carries messages.
    fn link_full(&mut self, id: LinkId, now: Instant) {
        let Some(link) = self.links.find(id) else { return };
        let (instance, peer) = (link.instance, link.peer.clone());
        let first = !self.links.is_full_to(instance);
        let Some(link) = self.links.find_mut(id) else { return };
        link.stage = Stage::Full;
        link.peer_had_other = false;
        if let Some(DialCause::Application(request)) = link.cause {
            link.cause = None;
            self.dials_awaiting_route.insert(request, id);
        }
        self.timers.stop(Timer::LinkSetup(id));
        self.seeds.link_full(instance);
        tracing::info!(node = %self.config.name, link = %id, %peer, "link up");
        if first {
            self.event(Event::LinkUp { peer, instance });
        }
        self.update_discovery(now);
        self.announce_change(now);
        self.compute_routes(now);
    }
}
