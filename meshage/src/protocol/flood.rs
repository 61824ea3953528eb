//! What two ends of a new link have to send each other, and what goes where afterwards.
//!
//! ```text
//!    a                                b
//!    │ Digest: all that a can reach ─►│  looks what a lacks or has older
//!    │◄─ Digest: all that b can reach │
//!    │ Announce … Synced ────────────►│  the link is full once Synced was sent and received
//!    │◄──────────── Announce … Synced │
//! ```
//!
//! Pure: it decides, the router sends. Whatever is installed while two ends bring their databases
//! level is flooded over their link like over any other, so nothing falls between.

use crate::name::{Age, Instance, Sequence};
use crate::wire::control::{ControlFrame, DIGEST_ENTRIES_MAX};

use super::lsdb::DATABASE_MAX;

/// How far the two ends of a link have come.
#[derive(Debug, Default)]
pub(super) struct DatabaseExchange {
    /// What the other end can reach, as far as it has said.
    theirs: Vec<(Instance, Sequence)>,
    complete: bool,
    synced: bool,
}

/// What a frame of the exchange means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// More will follow.
    Wait,
    /// The other end's digest is complete: send what it lacks, then `Synced`.
    Push,
    /// Both ends are level.
    Level,
    /// It does not belong here.
    Breach(&'static str),
}

impl DatabaseExchange {
    /// A part of the other end's digest.
    pub(super) fn digest(&mut self, entries: Vec<(Instance, Sequence)>, last: bool) -> Step {
        if self.complete {
            return Step::Breach("a digest after its last part");
        }
        // An honest node may hold as many others as fit into its database, and itself.
        if self.theirs.len() + entries.len() > DATABASE_MAX + 1 {
            return Step::Breach("a digest of more nodes than a database holds");
        }
        self.theirs.extend(entries);
        if !last {
            return Step::Wait;
        }
        self.complete = true;
        self.theirs.sort_unstable_by_key(|(instance, _)| *instance);
        Step::Push
    }

    /// The other end has sent all that this node lacked.
    pub(super) fn synced(&mut self) -> Step {
        if self.synced {
            return Step::Breach("synced twice");
        }
        self.synced = true;
        self.state()
    }

    /// Takes what of `ours` the other end lacks or has older. Its digest is complete.
    pub(super) fn missing(&mut self, ours: &[(Instance, Sequence)]) -> Vec<Instance> {
        let theirs = std::mem::take(&mut self.theirs);
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

    /// Whether both ends have sent everything.
    pub(super) fn state(&self) -> Step {
        if self.complete && self.synced { Step::Level } else { Step::Wait }
    }
}

/// The frames that tell the other end what can be reached here.
pub(super) fn digests(ours: &[(Instance, Sequence)]) -> Vec<ControlFrame> {
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

    fn pairs(of: &[(u64, u32)]) -> Vec<(Instance, Sequence)> {
        of.iter().map(|&(instance, sequence)| (Instance(instance), Sequence(sequence))).collect()
    }

    #[test]
    fn only_what_the_other_end_lacks_or_has_older_is_sent() {
        let mut levelling = DatabaseExchange::default();
        assert_eq!(levelling.digest(pairs(&[(4, 9), (2, 2)]), false), Step::Wait);
        assert_eq!(levelling.digest(pairs(&[(3, 1)]), true), Step::Push);
        let missing = levelling.missing(&pairs(&[(1, 1), (2, 3), (3, 1), (4, 8)]));
        assert_eq!(missing, [Instance(1), Instance(2)]);
        assert_eq!(levelling.synced(), Step::Level);
    }

    #[test]
    fn an_exchange_out_of_order_is_a_breach() {
        let mut levelling = DatabaseExchange::default();
        levelling.digest(Vec::new(), true);
        assert!(matches!(levelling.digest(Vec::new(), true), Step::Breach(_)));
        levelling.synced();
        assert!(matches!(levelling.synced(), Step::Breach(_)));
    }

    #[test]
    fn a_digest_without_end_is_a_breach() {
        let mut levelling = DatabaseExchange::default();
        let part = pairs(&[(1, 1); DIGEST_ENTRIES_MAX]);
        let parts = (0..100).map(|_| levelling.digest(part.clone(), false));
        assert_eq!(parts.filter(|step| *step == Step::Wait).count(), DATABASE_MAX / part.len());
    }

    #[test]
    fn a_long_digest_goes_in_parts_of_which_one_is_the_last() {
        let frames = digests(&pairs(&[(1, 1); DIGEST_ENTRIES_MAX + 1]));
        let last = |frame: &ControlFrame| matches!(frame, ControlFrame::Digest { last: true, .. });
        assert_eq!(frames.iter().map(last).collect::<Vec<_>>(), [false, true]);
        assert_eq!(digests(&[]).len(), 1, "to have nothing must be said too");
    }
}
