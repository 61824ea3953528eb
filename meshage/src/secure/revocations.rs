//! The revocations that a node keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::UnixMillis;
use super::name_pattern::NamePattern;
use super::policy::CLOCK_SKEW;
use super::ticket::{Revocation, Revoked, Terms};

/// The most revocations that a node keeps. They take about 1 MiB.
pub const REVOCATIONS_MAX: usize = 4096;

/// What became of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is new, and is kept: pass it on.
    New,
    /// It was there, or one of the same ticket that holds as long.
    Known,
    /// The ticket has ended, so the revocation is of no use.
    Ended,
    /// There are [`REVOCATIONS_MAX`] others, all of which end later.
    Full,
}

/// Revocations that the root has signed; the caller verifies that. A copy is a snapshot and costs
/// nothing: the router changes its own and hands copies to the policy.
///
/// A revocation is kept until the ticket would have ended, and 30 s longer, because clocks differ. If
/// there is no room, the one that ends first goes.
#[derive(Debug, Clone, Default)]
pub struct Revocations(Arc<Table>);

#[derive(Debug, Clone, Default)]
struct Table {
    by_ticket: BTreeMap<(u64, NamePattern), Revocation>,
    /// The same, the one that ends first at the front.
    by_end: BTreeSet<(UnixMillis, u64, NamePattern)>,
}

impl Revocations {
    /// Keeps a revocation, whose signature the caller has verified. First drops those that have
    /// ended.
    pub fn insert(&mut self, revocation: Revocation, now: UnixMillis) -> Kept {
        self.drop_ended(now);
        let revoked = &revocation.revoked;
        if has_ended(revoked.not_after, now) {
            return Kept::Ended;
        }
        let ticket = (revoked.serial, revoked.name.clone());
        let known = self.0.by_ticket.get(&ticket);
        if known.is_some_and(|known| revoked.not_after <= known.revoked.not_after) {
            return Kept::Known;
        }
        let end = end_of(revoked);
        let first = self.0.by_end.first();
        if known.is_none()
            && self.len() == REVOCATIONS_MAX
            && first.is_some_and(|first| end <= *first)
        {
            return Kept::Full;
        }
        let table = Arc::make_mut(&mut self.0);
        if let Some(shorter) = table.by_ticket.insert(ticket, revocation) {
            table.by_end.remove(&end_of(&shorter.revoked));
        }
        table.by_end.insert(end);
        if table.by_end.len() > REVOCATIONS_MAX {
            table.drop_first();
        }
        Kept::New
    }

    /// Drops the revocations of tickets that have ended.
    pub fn drop_ended(&mut self, now: UnixMillis) {
        while self.0.by_end.first().is_some_and(|(end, ..)| has_ended(*end, now)) {
            Arc::make_mut(&mut self.0).drop_first();
        }
    }

    /// Whether a ticket was revoked.
    pub fn covers(&self, ticket: &Terms) -> bool {
        let key = (ticket.serial, ticket.name.clone());
        self.0.by_ticket.get(&key).is_some_and(|revocation| revocation.covers(ticket))
    }

    /// All of them, by serial number and name.
    pub fn iter(&self) -> impl Iterator<Item = &Revocation> {
        self.0.by_ticket.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.by_ticket.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.by_ticket.is_empty()
    }
}

impl Table {
    fn drop_first(&mut self) {
        if let Some((_, serial, name)) = self.by_end.pop_first() {
            self.by_ticket.remove(&(serial, name));
        }
    }
}

fn end_of(revoked: &Revoked) -> (UnixMillis, u64, NamePattern) {
    (revoked.not_after, revoked.serial, revoked.name.clone())
}

fn has_ended(end: UnixMillis, now: UnixMillis) -> bool {
    end.plus(CLOCK_SKEW) <= now
}

#[cfg(test)]
mod tests {
    use super::super::Identity;
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn root() -> Identity {
        Identity::from_seed(&[1; 32])
    }

    fn terms(serial: u64, not_after: u64) -> Terms {
        Terms {
            name: NamePattern::new("ada").expect("a pattern"),
            public_key: root().public_key(),
            not_before: UnixMillis(0),
            not_after: UnixMillis(not_after),
            serial,
        }
    }

    fn revocation(serial: u64, not_after: u64) -> Revocation {
        Revocation::of(&root(), &terms(serial, not_after))
    }

    #[test]
    fn a_revocation_is_kept_until_the_clocks_agree_that_its_ticket_has_ended() {
        let mut all = Revocations::default();
        let end = NOW.0 + 1000;
        assert_eq!(all.insert(revocation(1, end), NOW), Kept::New);
        assert_eq!(all.insert(revocation(1, end), NOW), Kept::Known);
        assert!(all.covers(&terms(1, end)));
        assert!(!all.covers(&terms(2, end)));
        all.drop_ended(UnixMillis(end + 29_999));
        assert_eq!(all.len(), 1);
        all.drop_ended(UnixMillis(end + 30_000));
        assert!(all.is_empty());
        assert_eq!(all.insert(revocation(1, end), UnixMillis(end + 30_000)), Kept::Ended);
        assert!(all.is_empty());
    }

    #[test]
    fn a_revocation_that_ends_later_replaces_one_of_the_same_ticket() {
        let mut all = Revocations::default();
        assert_eq!(all.insert(revocation(1, NOW.0 + 10), NOW), Kept::New);
        assert!(!all.covers(&terms(1, NOW.0 + 20)));
        assert_eq!(all.insert(revocation(1, NOW.0 + 20), NOW), Kept::New);
        assert!(all.covers(&terms(1, NOW.0 + 20)));
        assert_eq!(all.insert(revocation(1, NOW.0 + 10), NOW), Kept::Known);
        assert_eq!(all.len(), 1);
        all.drop_ended(UnixMillis(u64::MAX));
        assert!(all.is_empty() && all.0.by_end.is_empty());
    }

    #[test]
    fn a_copy_is_a_snapshot() {
        let mut all = Revocations::default();
        let before = all.clone();
        all.insert(revocation(1, NOW.0), NOW);
        assert!(before.is_empty());
        assert_eq!(all.iter().count(), 1);
    }

    #[test]
    fn without_room_the_one_that_ends_first_goes() {
        let signed = revocation(0, 0);
        // The table does not verify, so the signature of another one will do.
        let unsigned = |serial, not_after| {
            let not_after = UnixMillis(not_after);
            let mut revocation = signed.clone();
            revocation.revoked = Revoked { serial, not_after, ..revocation.revoked };
            revocation
        };
        let mut all = Revocations::default();
        let end = NOW.0 + 1000;
        for serial in 1..=REVOCATIONS_MAX as u64 {
            assert_eq!(all.insert(unsigned(serial, end + serial), NOW), Kept::New);
        }
        assert_eq!(all.insert(unsigned(9999, end), NOW), Kept::Full);
        assert_eq!(all.len(), REVOCATIONS_MAX);
        assert_eq!(all.insert(unsigned(9999, end + 10), NOW), Kept::New);
        assert_eq!(all.len(), REVOCATIONS_MAX);
        assert!(!all.covers(&terms(1, end + 1)));
        assert!(all.covers(&terms(2, end + 2)) && all.covers(&terms(9999, end + 10)));
        // One that replaces a shorter one needs no room.
        assert_eq!(all.insert(unsigned(2, end + 9000), NOW), Kept::New);
        assert_eq!(all.len(), REVOCATIONS_MAX);
        assert_eq!(all.0.by_end.len(), REVOCATIONS_MAX);
    }
}
