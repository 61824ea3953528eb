//! Peers compare their databases in each period, and exchange what differs. Nothing is repeated that
//! has not changed.

use std::time::Instant;

use rand::RngExt as _;

use super::Router;
use crate::name::{Instance, LinkId};
use crate::protocol::adjacency::Stage;
use crate::protocol::comparison::{self, Answer, Item};
use crate::protocol::timer::Timer;
use crate::wire::control::{ControlFrame, Listed, RANGES_MAX, Range};

/// The share by which a comparison comes earlier or later, so that nodes that start together spread.
const PERIOD_JITTER: f64 = 0.1;
/// The most lists that answer one frame.
const LISTINGS_MAX: usize = 64;
/// The most announcements that answer one list.
const SENT_MAX: usize = 256;
/// All instances.
const ALL: (Instance, Instance) = (Instance(0), Instance(u64::MAX));

impl Router {
    pub(super) fn schedule_comparison(&mut self, now: Instant) {
        let factor = self.rng.random_range(1.0 - PERIOD_JITTER..=1.0 + PERIOD_JITTER);
        self.timers.set(Timer::Compare, now + self.config.msa_timeout.mul_f64(factor));
    }

    /// Sends every peer the digest of the database.
    pub(super) fn compare_databases(&mut self, now: Instant) {
        self.schedule_comparison(now);
        let range = Range { first: ALL.0, last: ALL.1, digest: self.digest() };
        let full = self.links.iter().filter(|(_, link)| link.is_full());
        let full: Vec<LinkId> = full.map(|(id, _)| id).collect();
        for id in full {
            self.send(id, ControlFrame::Compare { ranges: vec![range] });
        }
    }

    /// The digest of all that this node can reach, itself included.
    fn digest(&mut self) -> u64 {
        let own = comparison::digest(self.own_announcement.announcement());
        self.lsdb.digest().wrapping_add(own)
    }

    pub(super) fn own_item(&self) -> Item {
        let own = self.own_announcement.announcement();
        let (instance, sequence) = (self.instance, own.sequence);
        Item { instance, sequence, digest: comparison::digest(own) }
    }

    /// All that this node can reach, itself included, by instance.
    fn items(&self) -> Vec<Item> {
        let mut items: Vec<Item> = self.lsdb.items().collect();
        let own = self.own_item();
        items.insert(items.partition_point(|item| item.instance < own.instance), own);
        items
    }

    pub(super) fn receive_compare(&mut self, id: LinkId, ranges: &[Range], now: Instant) {
        match self.links.find(id).map(|link| &link.stage) {
            Some(Stage::Full) => {}
            Some(Stage::Exchange(_)) => return self.receive_offer(id, ranges, now),
            Some(Stage::Candidate { .. }) => {
                return self.breach(id, "a comparison before both ends admitted the link", now);
            }
            None => return,
        }
        if let [range] = ranges
            && (range.first, range.last) == ALL
            && range.digest == self.digest()
        {
            return;
        }
        if !self.permits_comparison(id, now) {
            return;
        }
        let items = self.items();
        let (mut parts, mut listings) = (Vec::new(), 0);
        for range in ranges {
            match comparison::answer(&items, range) {
                Answer::Equal => {}
                // What does not fit is found in the next period.
                Answer::Compare(of_range) if parts.len() + of_range.len() > RANGES_MAX => {}
                Answer::Compare(of_range) => parts.extend(of_range),
                Answer::List(_) if listings == LISTINGS_MAX => {}
                Answer::List(entries) => {
                    listings += 1;
                    let (first, last) = (range.first, range.last);
                    self.send(id, ControlFrame::Listing { first, last, entries });
                }
            }
        }
        if !parts.is_empty() {
            self.send(id, ControlFrame::Compare { ranges: parts });
        }
    }

    pub(super) fn receive_listing(
        &mut self,
        id: LinkId,
        range: (Instance, Instance),
        entries: &[Listed],
        now: Instant,
    ) {
        if !self.permits_comparison(id, now) {
            return;
        }
        let items = self.items();
        let difference = comparison::difference(&items, range, entries);
        self.counters.differences_found +=
            (difference.to_send.len() + difference.to_request.len()) as u64;
        self.send_announcements(id, difference.to_send.into_iter().take(SENT_MAX));
        if !difference.to_request.is_empty() {
            self.send(id, ControlFrame::Request { instances: difference.to_request });
        }
    }

    pub(super) fn receive_request(&mut self, id: LinkId, instances: Vec<Instance>, now: Instant) {
        if self.permits_comparison(id, now) {
            self.send_announcements(id, instances);
        }
    }

    /// Sends the announcements of these nodes, as far as they are known.
    pub(super) fn send_announcements(
        &mut self,
        id: LinkId,
        instances: impl IntoIterator<Item = Instance>,
    ) {
        for instance in instances {
            let frame = match instance == self.instance {
                true => Some(self.own_frame(true)),
                false => self.frame_of(instance, true),
            };
            if let Some(frame) = frame {
                self.counters.announcements_sent += 1;
                self.send(id, frame);
            }
        }
    }

    /// Forgets what is known of a node, as if its announcement had not arrived.
    #[cfg(test)]
    pub(in crate::protocol) fn forget(&mut self, instance: Instance, now: Instant) {
        self.lsdb.remove(instance);
        self.compute_routes(now);
    }

    /// Sets back what is known of a node, as if its last announcement had not arrived. For the
    /// simulator, which checks that a comparison repairs it.
    #[cfg(feature = "sim")]
    pub(crate) fn set_back(&mut self, instance: Instance, now: Instant) {
        self.lsdb.set_back(instance);
        self.compute_routes(now);
    }

    /// This node's claim to its name, for the simulator.
    #[cfg(feature = "sim")]
    pub(crate) fn own_claim(&self) -> crate::name::Claim {
        self.own_announcement.announcement().claim
    }

    /// Whether a frame that compares databases is answered: the link is full, and has not brought too
    /// many.
    fn permits_comparison(&mut self, id: LinkId, now: Instant) -> bool {
        let Some(link) = self.links.find_mut(id).filter(|link| link.is_full()) else {
            return false;
        };
        let permitted = link.intake.permits_comparison(now);
        self.counters.comparisons_limited += u64::from(!permitted);
        permitted
    }
}
