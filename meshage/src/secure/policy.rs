//! Who may join with which name.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::AuthError;
use super::identity::PublicKey;
use super::revocations::Revocations;
use super::ticket::{Terms, Ticket};
use super::{Level, UnixMillis};
use crate::name::NodeName;

/// How far the clocks of two nodes may differ: a ticket that begins this much later is accepted, and
/// a revocation is kept this much longer than its ticket.
pub const CLOCK_SKEW: Duration = Duration::from_secs(30);

/// What a node requires of the other end of a link, beside a common key.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The public keys that are bound to names. Empty at level closed.
    pub allow: BTreeMap<NodeName, PublicKey>,
    /// The public key of the root, whose tickets are accepted.
    pub root: Option<PublicKey>,
    /// Whether announcements must be signed.
    pub signed: bool,
    /// The tickets of the root that were revoked.
    pub revocations: Revocations,
}

/// What a node has proven about its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Grant {
    /// When its ticket ends. It has none if its public key is on the list, or at level closed.
    pub ends: Option<UnixMillis>,
    /// The serial number of its ticket.
    pub serial: Option<u64>,
}

impl Policy {
    /// The level of this node.
    pub fn level(&self) -> Level {
        match (self.allow.is_empty() && self.root.is_none(), self.signed) {
            (true, _) => Level::Closed,
            (false, false) => Level::Allowed,
            (false, true) => Level::Signed,
        }
    }

    /// Decides whether a node with this name and public key may be a peer. The caller has verified
    /// that it holds the public key.
    ///
    /// The list decides about the names on it: a ticket for such a name does not help another key.
    /// For all other names, it takes a ticket.
    ///
    /// # Errors
    /// [`AuthError::NotAllowed`], [`AuthError::Ticket`], [`AuthError::TicketTime`],
    /// [`AuthError::Revoked`].
    pub fn admit(
        &self,
        name: &NodeName,
        public_key: &PublicKey,
        ticket: Option<&[u8]>,
        now: UnixMillis,
    ) -> Result<Grant, AuthError> {
        if self.level() == Level::Closed {
            return Ok(Grant::default());
        }
        let not_allowed = || AuthError::NotAllowed(name.to_string());
        match self.allow.get(name) {
            Some(bound) if bound == public_key => return Ok(Grant::default()),
            Some(_) => return Err(not_allowed()),
            None => {}
        }
        let (Some(root), Some(ticket)) = (&self.root, ticket) else { return Err(not_allowed()) };
        let invalid = |why: &str| AuthError::Ticket(name.to_string(), why.into());
        let ticket = Ticket::decode(ticket).map_err(|_| invalid("its bytes are no ticket"))?;
        if !ticket.verify(root) {
            return Err(invalid("it was not signed by the root"));
        }
        let terms = &ticket.terms;
        check_holder(terms, name, public_key)?;
        check_time(terms, name, now)?;
        if self.revocations.covers(terms) {
            return Err(AuthError::Revoked(name.to_string()));
        }
        Ok(Grant { ends: Some(terms.not_after), serial: Some(terms.serial) })
    }
}

/// Checks that a ticket is for a name and a public key.
pub(super) fn check_holder(
    terms: &Terms,
    name: &NodeName,
    public_key: &PublicKey,
) -> Result<(), AuthError> {
    let why = match (terms.name.matches(name), terms.public_key == *public_key) {
        (true, true) => return Ok(()),
        (false, _) => format!("it is for the name {}", terms.name),
        (true, false) => format!("it is for another public key, {}", terms.public_key),
    };
    Err(AuthError::Ticket(name.to_string(), why))
}

/// Checks that a ticket holds now.
pub(super) fn check_time(terms: &Terms, name: &NodeName, now: UnixMillis) -> Result<(), AuthError> {
    let why = if terms.not_after <= now {
        format!("it ended at {}, and it is {now} here", terms.not_after)
    } else if terms.not_before > now.plus(CLOCK_SKEW) {
        format!("it begins at {}, and it is {now} here", terms.not_before)
    } else {
        return Ok(());
    };
    Err(AuthError::TicketTime(name.to_string(), why))
}

#[cfg(test)]
mod tests {
    use super::super::ticket::Revocation;
    use super::super::{Identity, NamePattern, Refusal};
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn root() -> Identity {
        Identity::from_seed(&[1; 32])
    }

    fn key(number: u8) -> PublicKey {
        Identity::from_seed(&[number; 32]).public_key()
    }

    fn name(text: &str) -> NodeName {
        NodeName::new(text).expect("a name")
    }

    fn terms(pattern: &str, public_key: PublicKey) -> Terms {
        Terms {
            name: NamePattern::new(pattern).expect("a pattern"),
            public_key,
            not_before: UnixMillis(NOW.0 - 1000),
            not_after: UnixMillis(NOW.0 + 1000),
            serial: 7,
        }
    }

    fn rooted() -> Policy {
        Policy { root: Some(root().public_key()), ..Policy::default() }
    }

    /// Shows a ticket as the node `ada` with key 2.
    fn show(policy: &Policy, terms: Terms) -> Result<Grant, AuthError> {
        let ticket = Ticket::issue(&root(), terms).encode();
        policy.admit(&name("ada"), &key(2), Some(&ticket), NOW)
    }

    #[test]
    fn without_names_that_are_bound_every_holder_of_a_key_may_join() {
        let open = Policy::default();
        assert_eq!(open.admit(&name("ada"), &key(2), None, NOW), Ok(Grant::default()));
    }

    #[test]
    fn a_name_on_the_list_belongs_to_its_key_even_if_another_key_has_a_ticket_for_it() {
        let policy = Policy { allow: [(name("ada"), key(3))].into(), ..rooted() };
        assert_eq!(policy.admit(&name("ada"), &key(3), None, NOW), Ok(Grant::default()));
        let refused = AuthError::NotAllowed("ada".into());
        assert_eq!(show(&policy, terms("ada", key(2))), Err(refused.clone()));
        assert_eq!(refused.refusal(), Refusal::NotAllowed);
    }

    #[test]
    fn a_ticket_of_the_root_for_the_name_and_the_key_admits() {
        for pattern in ["ada", "a*", "*"] {
            let grant = Grant { ends: Some(UnixMillis(NOW.0 + 1000)), serial: Some(7) };
            assert_eq!(show(&rooted(), terms(pattern, key(2))), Ok(grant));
        }
        let refused = rooted().admit(&name("ada"), &key(2), None, NOW);
        assert_eq!(refused, Err(AuthError::NotAllowed("ada".into())));
    }

    #[test]
    fn a_ticket_without_a_root_admits_nobody() {
        let policy = Policy { allow: [(name("bob"), key(3))].into(), ..Policy::default() };
        let refused = show(&policy, terms("ada", key(2)));
        assert_eq!(refused, Err(AuthError::NotAllowed("ada".into())));
    }

    #[test]
    fn a_ticket_of_another_root_name_or_key_is_refused_as_such() {
        let foreign = Ticket::issue(&Identity::from_seed(&[9; 32]), terms("ada", key(2))).encode();
        let tickets = [
            (foreign, "not signed by the root"),
            (Ticket::issue(&root(), terms("bob", key(2))).encode(), "for the name bob"),
            (Ticket::issue(&root(), terms("ada", key(4))).encode(), "another public key"),
            (b"garbage".to_vec(), "no ticket"),
        ];
        for (ticket, why) in tickets {
            let refused = rooted().admit(&name("ada"), &key(2), Some(&ticket), NOW);
            let error = refused.expect_err(why);
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(error.refusal(), Refusal::Ticket);
        }
    }

    #[test]
    fn a_ticket_holds_from_its_begin_to_its_end_and_the_begin_may_lie_30_seconds_ahead() {
        let from = |millis| Terms { not_before: UnixMillis(millis), ..terms("ada", key(2)) };
        let until = |millis| Terms { not_after: UnixMillis(millis), ..terms("ada", key(2)) };
        assert!(
            show(&rooted(), Terms { not_after: UnixMillis::MAX, ..from(NOW.0 + 30_000) }).is_ok()
        );
        assert!(show(&rooted(), until(NOW.0 + 1)).is_ok());
        let early = Terms { not_after: UnixMillis::MAX, ..from(NOW.0 + 30_001) };
        for (terms, why) in [(early, "begins at"), (until(NOW.0), "ended at 2027-01-15 08:00 UTC")]
        {
            let error = show(&rooted(), terms).expect_err(why);
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(error.refusal(), Refusal::TicketTime);
        }
    }

    #[test]
    fn a_revoked_ticket_is_refused_and_another_one_of_the_same_node_is_not() {
        let mut policy = rooted();
        let revoked = terms("ada", key(2));
        policy.revocations.insert(Revocation::of(&root(), &revoked), NOW);
        let error = show(&policy, revoked).expect_err("revoked");
        assert_eq!(error, AuthError::Revoked("ada".into()));
        assert_eq!(error.refusal(), Refusal::Revoked);
        assert!(show(&policy, Terms { serial: 8, ..terms("ada", key(2)) }).is_ok());
    }
}
