//! The database exchange: which announcements the two ends of a new link have to send each other.
//!
//! ```text
//!    a                                b
//!    │ Digest: all that a can reach ─►│  finds what a lacks, or has in an older version
//!    │◄─ Digest: all that b can reach │
//!    │ Announce … Synced ────────────►│  the link is full once Synced was sent and received
//!    │◄──────────── Announce … Synced │
//! ```
//!
//! A long digest is preceded by sums of its ranges, so that only those are listed in which the two
//! databases differ:
//!
//! ```text
//!    │ Compare: ranges of a's database ─►│  finds the ranges that differ
//!    │◄─ DigestRequest: those ranges     │
//!    │ Digest: what a has in them ──────►│
//! ```
//!
//! This module decides, and the router sends. Announcements that are installed during the exchange
//! are flooded over the link as over any other link, so that none is missed.

use crate::name::{Age, Instance, Sequence};
use crate::wire::control::{ControlFrame, DIGEST_ENTRIES_MAX};

use super::lsdb::DATABASE_MAX;

/// The progress of the exchange on one link.
#[derive(Debug, Default)]
pub(super) struct DatabaseExchange {
    /// The entries of the peer's digest that have arrived.
    peer_entries: Vec<(Instance, Sequence)>,
    digest_complete: bool,
    synced_received: bool,
    /// The ranges of the peer's database in which it may lack something; `None`: everywhere.
    ranges: Option<Vec<(Instance, Instance)>>,
    /// This node has sent the sums of its digest, and the peer has not requested any of it yet.
    offered: bool,
}

/// What follows from a frame of the exchange.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// More frames will follow.
    Wait,
    /// The peer's digest is complete: send what the peer lacks, then `Synced`.
    SendMissing,
    /// Both databases are synchronised.
    Synchronised,
    /// The frame violates the protocol.
    Breach(&'static str),
}

impl DatabaseExchange {
    /// Records that this node has sent the sums of its digest.
    pub(super) fn offered(&mut self) {
        self.offered = true;
    }

    /// Records that the peer requests some of this node's digest.
    pub(super) fn receive_request(&mut self) -> Step {
        match std::mem::take(&mut self.offered) {
            true => Step::Wait,
            false => Step::Breach("a request for a digest that was not offered"),
        }
    }

    /// Records that the peer's database differs in these ranges only.
    pub(super) fn receive_offer(&mut self, ranges: Vec<(Instance, Instance)>) -> Step {
        if self.ranges.is_some() || self.digest_complete || !self.peer_entries.is_empty() {
            return Step::Breach("a second digest");
        }
        self.digest_complete = ranges.is_empty();
        self.ranges = Some(ranges);
        if self.digest_complete { Step::SendMissing } else { Step::Wait }
    }

    /// Adds a part of the peer's digest.
    pub(super) fn receive_digest(
        &mut self,
        entries: Vec<(Instance, Sequence)>,
        last: bool,
    ) -> Step {
        if self.digest_complete {
            return Step::Breach("a digest after its last part");
        }
        // A correct node has at most a full database of other nodes, and itself.
        if self.peer_entries.len() + entries.len() > DATABASE_MAX + 1 {
            return Step::Breach("a digest with more nodes than a database can contain");
        }
        self.peer_entries.extend(entries);
        if !last {
            return Step::Wait;
        }
        self.digest_complete = true;
        self.peer_entries.sort_unstable_by_key(|(instance, _)| *instance);
        Step::SendMissing
    }

    /// Records that the peer has sent everything that this node lacked.
    pub(super) fn receive_synced(&mut self) -> Step {
        if self.synced_received {
            return Step::Breach("a second Synced");
        }
        self.synced_received = true;
        self.progress()
    }

    /// Returns the entries of `ours` that the peer lacks or has in an older version, and drops its
    /// digest, which must be complete.
    pub(super) fn take_missing(&mut self, ours: &[(Instance, Sequence)]) -> Vec<Instance> {
        let theirs = std::mem::take(&mut self.peer_entries);
        let lacks = |&(instance, sequence): &(Instance, Sequence)| match theirs
            .binary_search_by_key(&instance, |(instance, _)| *instance)
        {
            Ok(at) => match sequence.age(theirs[at].1) {
                Age::Newer => true,
                Age::Same | Age::Older => false,
            },
            Err(_) => true,
        };
        let ranges = self.ranges.take();
        let may_be_missing = |&(instance, _): &(Instance, Sequence)| {
            ranges.as_ref().is_none_or(|ranges| is_within(instance, ranges))
        };
        let missing = ours.iter().copied().filter(may_be_missing).filter(lacks);
        missing.map(|(instance, _)| instance).collect()
    }

    /// Whether the peer's digest and its `Synced` have both arrived.
    pub(super) fn progress(&self) -> Step {
        if self.digest_complete && self.synced_received { Step::Synchronised } else { Step::Wait }
    }
}

/// Whether an instance lies in one of these ranges, which are in ascending order.
pub(super) fn is_within(instance: Instance, ranges: &[(Instance, Instance)]) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= instance);
    after.checked_sub(1).is_some_and(|at| instance <= ranges[at].1)
}

/// The frames of this node's digest.
pub(super) fn digest_frames(ours: &[(Instance, Sequence)]) -> Vec<ControlFrame> {
    let mut rest = ours;
    let mut frames = Vec::new();
    loop {
        let (entries, after) = rest.split_at(rest.len().min(DIGEST_ENTRIES_MAX));
        rest = after;
        frames.push(ControlFrame::Digest { entries: entries.to_vec(), last: rest.is_empty() });
        if rest.is_empty() {
            return frames;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(of: &[(u64, u32)]) -> Vec<(Instance, Sequence)> {
        of.iter().map(|&(instance, sequence)| (Instance(instance), Sequence(sequence))).collect()
    }

    #[test]
    fn only_entries_that_the_peer_lacks_or_has_in_an_older_version_are_sent() {
        let mut exchange = DatabaseExchange::default();
        assert_eq!(exchange.receive_digest(entries(&[(4, 9), (2, 2)]), false), Step::Wait);
        assert_eq!(exchange.receive_digest(entries(&[(3, 1)]), true), Step::SendMissing);
        let missing = exchange.take_missing(&entries(&[(1, 1), (2, 3), (3, 1), (4, 8)]));
        assert_eq!(missing, [Instance(1), Instance(2)]);
        assert_eq!(exchange.receive_synced(), Step::Synchronised);
    }

    #[test]
    fn an_exchange_out_of_order_is_a_breach() {
        let mut exchange = DatabaseExchange::default();
        exchange.receive_digest(Vec::new(), true);
        assert!(matches!(exchange.receive_digest(Vec::new(), true), Step::Breach(_)));
        exchange.receive_synced();
        assert!(matches!(exchange.receive_synced(), Step::Breach(_)));
    }

    #[test]
    fn a_digest_without_end_is_a_breach() {
        let mut exchange = DatabaseExchange::default();
        let part = entries(&[(1, 1); DIGEST_ENTRIES_MAX]);
        let parts = (0..100).map(|_| exchange.receive_digest(part.clone(), false));
        assert_eq!(parts.filter(|step| *step == Step::Wait).count(), DATABASE_MAX / part.len());
    }

    #[test]
    fn a_long_digest_is_sent_in_parts_of_which_one_is_the_last() {
        let frames = digest_frames(&entries(&[(1, 1); DIGEST_ENTRIES_MAX + 1]));
        let last = |frame: &ControlFrame| matches!(frame, ControlFrame::Digest { last: true, .. });
        assert_eq!(frames.iter().map(last).collect::<Vec<_>>(), [false, true]);
        assert_eq!(digest_frames(&[]).len(), 1, "an empty digest is sent too");
    }
}
