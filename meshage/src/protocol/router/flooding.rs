//! Announcements are flooded over trees, and offered to the peers beside them.

use std::time::{Duration, Instant};

use super::Router;
use crate::name::{Age, Instance, LinkId};
use crate::protocol::flooding;
use crate::protocol::io::Output;
use crate::protocol::timer::Timer;
#[cfg(test)]
use crate::wire::control::Announcement;
use crate::wire::control::{ControlFrame, LISTED_MAX, Listed};

/// How old a link must be for the trees of all nodes to take it into account.
const LINK_AGE_MIN: Duration = Duration::from_secs(1);

impl Router {
    /// Sends an announcement on, except over the link that it arrived on: over the links of the tree of
    /// its originator at once, and over the others a Have later.
    pub(super) fn flood(
        &mut self,
        instance: Instance,
        frame: &ControlFrame,
        arrived_on: Option<LinkId>,
        now: Instant,
    ) {
        let takes_tree = self.takes_tree(instance, now);
        let sequence = self.lsdb.announcement(instance).map(|known| known.sequence);
        let left_out = self.links.admitted().last().map(|(link, _)| link);
        let left_out = left_out.filter(|_| planted!(FloodLinkLeftOut));
        let mut owes = false;
        for (link, state) in self.links.admitted().filter(|(link, _)| Some(*link) != arrived_on) {
            if Some(link) == left_out {
                continue;
            }
            let settled = state.is_full() && now >= state.since + LINK_AGE_MIN;
            let is_beside = || takes_tree && !self.routes.floods_over(link, instance);
            match sequence {
                Some(sequence) if settled && is_beside() => {
                    self.flooding.owe(link, instance, sequence);
                    owes = true;
                }
                _ => {
                    self.counters.announcements_sent += 1;
                    self.outputs.push_back(Output::Send { link, frame: frame.clone() });
                }
            }
        }
        if owes {
            let wait = flooding::wait(self.links.longest_round_trip());
            self.timers.set_earlier(Timer::Have, now + wait);
        }
    }

    /// Whether the announcement of a node is flooded over a tree, and not over all links.
    fn takes_tree(&mut self, instance: Instance, now: Instant) -> bool {
        let reachable = |instance| self.routes.contains(instance);
        let known = |peers: &[Instance]| peers.iter().all(|peer| reachable(*peer));
        let announcement = self.lsdb.announcement(instance);
        instance != self.instance
            && reachable(instance)
            && announcement.is_some_and(|announcement| known(&announcement.peers))
            && self.flooding.takes_trees(&self.routes, now)
    }

    /// What this node knows of another one.
    #[cfg(test)]
    pub(in crate::protocol) fn announcement(&self, instance: Instance) -> Option<&Announcement> {
        self.lsdb.announcement(instance)
    }

    /// Tells the peers what they may lack.
    pub(super) fn send_haves(&mut self) {
        for (link, owed) in self.flooding.take_owed() {
            if self.links.find(link).is_none() {
                continue;
            }
            // What has been replaced meanwhile was flooded again.
            let current = owed.into_iter().filter_map(|(instance, sequence)| {
                let item = self.lsdb.item(instance)?;
                (item.sequence == sequence).then(|| item.listed())
            });
            let current: Vec<Listed> = current.collect();
            for entries in current.chunks(LISTED_MAX) {
                self.counters.announcements_offered += entries.len() as u64;
                let frame = ControlFrame::Have { entries: entries.to_vec() };
                self.outputs.push_back(Output::Send { link, frame });
            }
        }
    }

    /// A peer has these announcements. Requests those that this node lacks.
    pub(super) fn receive_have(&mut self, id: LinkId, entries: &[Listed], now: Instant) {
        let Some(link) = self.links.find_mut(id) else { return };
        if !link.is_admitted() {
            self.breach(id, "a Have before both ends admitted the link", now);
            return;
        }
        if !link.intake.permits_have(now) {
            // The next comparison finds what is missing.
            self.counters.comparisons_limited += 1;
            return;
        }
        let mut instances = Vec::new();
        for entry in entries {
            let age = match self.lsdb.item(entry.instance) {
                _ if entry.instance == self.instance => Age::Older,
                None => Age::Newer,
                Some(known) if entry.sequence == known.sequence && *entry != known.listed() => {
                    Age::Newer
                }
                Some(known) => entry.sequence.age(known.sequence),
            };
            match age {
                Age::Newer => instances.push(entry.instance),
                Age::Same | Age::Older => {
                    self.flooding.peer_has(id, entry.instance, entry.sequence);
                }
            }
        }
        if !instances.is_empty() && !planted!(OffersIgnored) {
            self.counters.announcements_requested += instances.len() as u64;
            self.send(id, ControlFrame::Request { instances });
        }
    }
}
