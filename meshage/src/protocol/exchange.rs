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
        ours.iter().copied().filter(lacks).map(|(instance, _)| instance).collect()
    }

    /// Whether the peer's digest and its `Synced` have both arrived.
    pub(super) fn progress(&self) -> Step {
        if self.digest_complete && self.synced_received { Step::Synchronised } else { Step::Wait }
    }
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
