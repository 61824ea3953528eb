//! The two ends of a new link synchronise their databases.

use std::time::Instant;

use super::Router;
use crate::event::Event;
use crate::name::{Instance, LinkId, Sequence};
use crate::protocol::adjacency::Stage;
use crate::protocol::comparison::{self, Item};
use crate::protocol::discovery::DialCause;
use crate::protocol::exchange::{self, DatabaseExchange, Step};
use crate::protocol::io::Output;
use crate::protocol::timer::Timer;
use crate::wire::control::{ControlFrame, Range};

/// The most entries of a digest that is sent at once. The sums of a longer one cost a round trip more,
/// and save its bytes.
const DIGEST_WHOLE_MAX: usize = 256;

impl Router {
    /// The entries that a new peer is offered: this node, and all nodes that are reachable over
    /// admitted links. Unreachable nodes are not offered, so that a name does not return after its
    /// node is gone. Links that are not full yet count here: what arrived over them may have been
    /// flooded before this peer was linked.
    pub(super) fn offered_entries(&self) -> Vec<(Instance, Sequence)> {
        let peers = self.links.admitted().map(|(_, link)| link.instance);
        let mut entries = self.lsdb.reachable_from(peers);
        let own = (self.instance, self.own_announcement.announcement().sequence);
        let at = entries.partition_point(|(instance, _)| *instance < own.0);
        entries.insert(at, own);
        entries
    }

    fn offered_items(&self) -> Vec<Item> {
        let item = |(instance, _)| match instance == self.instance {
            true => Some(self.own_item()),
            false => self.lsdb.item(instance),
        };
        self.offered_entries().into_iter().filter_map(item).collect()
    }

    /// Sends a peer the digest of this node's database, or first the sums of a long one, so that what
    /// both have need not be listed. Before it, a frame as long as a packet: on a path that loses large
    /// packets the exchange does not end, and the link is never announced.
    pub(super) fn offer(&mut self, id: LinkId) {
        self.outputs.push_back(Output::PaddedKeepAlive { link: id });
        let entries = self.offered_entries();
        if entries.len() > DIGEST_WHOLE_MAX {
            let (first, last) = (Instance(0), Instance(u64::MAX));
            let ranges =
                comparison::split(&self.offered_items(), first, last, comparison::EXCHANGE_PARTS);
            if let Some(exchange) = self.exchange_mut(id) {
                exchange.offered();
            }
            self.send(id, ControlFrame::Compare { ranges });
            return;
        }
        for frame in exchange::digest_frames(&entries) {
            self.send(id, frame);
        }
    }

    /// Requests the digest of the parts of a peer's database that may show that the peer lacks
    /// something.
    pub(super) fn receive_offer(&mut self, id: LinkId, ranges: &[Range], now: Instant) {
        let items = self.offered_items();
        let differs = |range: &&Range| {
            let own = comparison::within(&items, range.first, range.last);
            !own.is_empty() && comparison::sum(own) != range.digest
        };
        let wanted: Vec<_> =
            ranges.iter().filter(differs).map(|range| (range.first, range.last)).collect();
        let Some(exchange) = self.exchange_mut(id) else { return };
        let step = exchange.receive_offer(wanted.clone());
        self.send(id, ControlFrame::DigestRequest { ranges: wanted });
        self.proceed(id, step, now);
    }

    pub(super) fn receive_digest_request(
        &mut self,
        id: LinkId,
        ranges: &[(Instance, Instance)],
        now: Instant,
    ) {
        match self.exchange_mut(id).map(DatabaseExchange::receive_request) {
            Some(Step::Wait) if !ranges.is_empty() => {
                let mut entries = self.offered_entries();
                entries.retain(|(instance, _)| exchange::is_within(*instance, ranges));
                for frame in exchange::digest_frames(&entries) {
                    self.send(id, frame);
                }
            }
            Some(step) => self.proceed(id, step, now),
            None => self.breach(id, "a request for a digest outside of a database exchange", now),
        }
    }

    fn exchange_mut(&mut self, id: LinkId) -> Option<&mut DatabaseExchange> {
        match &mut self.links.find_mut(id)?.stage {
            Stage::Exchange(exchange) => Some(exchange),
            Stage::Candidate { .. } | Stage::Full => None,
        }
    }

    fn proceed(&mut self, id: LinkId, step: Step, now: Instant) {
        match step {
            Step::Wait => {}
            Step::SendMissing => self.send_missing(id, now),
            Step::Synchronised => self.link_full(id, now),
            Step::Breach(what) => self.breach(id, what, now),
        }
    }

    pub(super) fn receive_digest(
        &mut self,
        id: LinkId,
        entries: Vec<(Instance, Sequence)>,
        last: bool,
        now: Instant,
    ) {
        match self.exchange_mut(id).map(|exchange| exchange.receive_digest(entries, last)) {
            Some(step) => self.proceed(id, step, now),
            None if self.links.find(id).is_none() => {}
            None => self.breach(id, "a digest outside of a database exchange", now),
        }
    }

    /// Sends the announcements that the peer lacks.
    fn send_missing(&mut self, id: LinkId, now: Instant) {
        let offered = self.offered_entries();
        let Some(exchange) = self.exchange_mut(id) else { return };
        let missing = exchange.take_missing(&offered);
        let synchronised = exchange.progress() == Step::Synchronised;
        // Before the announcements, which the peer checks against them.
        self.send_revocations(id, now);
        self.send_announcements(id, missing);
        self.send_claims(id);
        self.send(id, ControlFrame::Synced);
        if planted!(SyncedTwice) {
            self.send(id, ControlFrame::Synced);
        }
        if synchronised {
            self.link_full(id, now);
        }
    }

    pub(super) fn receive_synced(&mut self, id: LinkId, now: Instant) {
        match self.exchange_mut(id).map(DatabaseExchange::receive_synced) {
            Some(step) => self.proceed(id, step, now),
            None if self.links.find(id).is_none() => {}
            None => self.breach(id, "a Synced outside of a database exchange", now),
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
        tracing::info!(node = %self.config.name, link = %id, %peer, "link up");
        if first {
            self.event(Event::LinkUp { peer, instance });
        }
        self.update_discovery(now);
        self.announce_change(now);
        self.compute_routes(now);
    }
}
