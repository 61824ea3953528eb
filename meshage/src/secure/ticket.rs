//! Tickets, by which the root of a mesh binds names to public keys, and their revocations.
//!
//! ```text
//!  ticket      name pattern | public key | not before | not after | serial | signature
//!  revocation  serial | name pattern | not after | signature
//! ```
//!
//! The root signs a text that says what it is, followed by all other fields. A ticket is public. It
//! is worth nothing to a node without the secret half of its public key.
//!
//! A value has exactly one encoding, so that two different byte strings are never the same ticket.

use bincode::{Decode, Encode};

use super::UnixMillis;
use super::identity::{Identity, PublicKey, SIGNATURE_BYTES};
use super::name_pattern::NamePattern;
use crate::wire::{WireError, codec};

/// The most bytes of a ticket: the longest one of this version has 189, the rest is for fields of
/// later versions.
pub const TICKET_BYTES_MAX: usize = 512;
/// The most bytes of a revocation: the longest one of this version has 148.
pub const REVOCATION_BYTES_MAX: usize = 512;

/// What a ticket says.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Terms {
    /// The names that the holder may use.
    pub name: NamePattern,
    /// The public key of the holder.
    pub public_key: PublicKey,
    /// The ticket holds from this time on.
    pub not_before: UnixMillis,
    /// The ticket holds until this time, and no longer at it.
    pub not_after: UnixMillis,
    /// The number by which the ticket can be revoked.
    pub serial: u64,
}

/// A ticket: terms that the root has signed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Ticket {
    /// What the ticket says.
    pub terms: Terms,
    /// The root's signature. It is not verified yet.
    signature: [u8; SIGNATURE_BYTES],
}

impl Ticket {
    /// Signs a ticket with the identity of the root.
    pub fn issue(root: &Identity, terms: Terms) -> Self {
        let signature = root.sign(&signed_text(TICKET_LABEL, &terms));
        Self { terms, signature }
    }

    /// Whether the root with this public key has signed the ticket.
    #[must_use]
    pub fn verify(&self, root: &PublicKey) -> bool {
        root.has_signed(&signed_text(TICKET_LABEL, &self.terms), &self.signature)
    }

    /// The bytes of the ticket, at most [`TICKET_BYTES_MAX`].
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes a ticket. Its signature is not verified.
    ///
    /// # Errors
    /// [`WireError`] if the bytes are more than [`TICKET_BYTES_MAX`], or not the one encoding of a
    /// ticket.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        decode(bytes, TICKET_BYTES_MAX, "a ticket")
    }
}

/// What a revocation says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Revoked {
    /// The serial number of the ticket.
    pub serial: u64,
    /// The names of the ticket.
    pub name: NamePattern,
    /// When the ticket ends. The revocation is of no use afterwards.
    pub not_after: UnixMillis,
}

/// A revocation: the root has signed that a ticket no longer holds.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Revocation {
    /// What the revocation says.
    pub revoked: Revoked,
    /// The root's signature. It is not verified yet.
    signature: [u8; SIGNATURE_BYTES],
}

impl Revocation {
    /// Signs a revocation with the identity of the root.
    pub fn issue(root: &Identity, revoked: Revoked) -> Self {
        let signature = root.sign(&signed_text(REVOCATION_LABEL, &revoked));
        Self { revoked, signature }
    }

    /// Signs the revocation of a ticket with the identity of the root.
    pub fn of(root: &Identity, ticket: &Terms) -> Self {
        let Terms { name, not_after, serial, .. } = ticket.clone();
        Self::issue(root, Revoked { serial, name, not_after })
    }

    /// Whether the root with this public key has signed the revocation.
    #[must_use]
    pub fn verify(&self, root: &PublicKey) -> bool {
        root.has_signed(&signed_text(REVOCATION_LABEL, &self.revoked), &self.signature)
    }

    /// Whether it revokes this ticket: one with its serial and its name that ends no later. A ticket
    /// that ends later would hold again when the revocation has ended.
    #[must_use]
    pub fn covers(&self, ticket: &Terms) -> bool {
        let Revoked { serial, name, not_after } = &self.revoked;
        *serial == ticket.serial && *name == ticket.name && ticket.not_after <= *not_after
    }

    /// The bytes of the revocation, at most [`REVOCATION_BYTES_MAX`].
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes a revocation. Its signature is not verified.
    ///
    /// # Errors
    /// [`WireError`] if the bytes are more than [`REVOCATION_BYTES_MAX`], or not the one encoding of
    /// a revocation.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        decode(bytes, REVOCATION_BYTES_MAX, "a revocation")
    }
}

/// What comes before the signed fields, so that a signature for one use is none for another.
const TICKET_LABEL: &[u8] = b"meshage 1 ticket";
const REVOCATION_LABEL: &[u8] = b"meshage 1 revocation";

fn signed_text(label: &[u8], fields: &impl Encode) -> Vec<u8> {
    let mut text = label.to_vec();
    codec::encode(fields, &mut text);
    text
}

fn encode(value: &impl Encode) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(value, &mut bytes);
    bytes
}

fn decode<T: Encode + Decode<()>>(
    bytes: &[u8],
    bytes_max: usize,
    what: &str,
) -> Result<T, WireError> {
    if bytes.len() > bytes_max {
        return Err(WireError::new(format!("{what} of {} bytes", bytes.len())));
    }
    let value = codec::decode(bytes)?;
    if encode(&value) == bytes {
        Ok(value)
    } else {
        Err(WireError::new(format!("another encoding of {what}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Identity {
        Identity::from_seed(&[1; 32])
    }

    fn terms(name: &str) -> Terms {
        Terms {
            name: NamePattern::new(name).expect("a pattern"),
            public_key: Identity::from_seed(&[2; 32]).public_key(),
            not_before: UnixMillis(1_700_000_000_000),
            not_after: UnixMillis(1_800_000_000_000),
            serial: u64::MAX,
        }
    }

    #[test]
    fn a_ticket_and_a_revocation_are_read_back_and_verify_under_their_root_only() {
        let stranger = Identity::from_seed(&[3; 32]).public_key();
        let ticket = Ticket::issue(&root(), terms("rack1.*"));
        assert_eq!(Ticket::decode(&ticket.encode()), Ok(ticket.clone()));
        assert!(ticket.verify(&root().public_key()));
        assert!(!ticket.verify(&stranger));
        let revocation = Revocation::of(&root(), &ticket.terms);
        assert_eq!(Revocation::decode(&revocation.encode()), Ok(revocation.clone()));
        assert!(revocation.verify(&root().public_key()));
        assert!(!revocation.verify(&stranger));
    }

    #[test]
    fn no_altered_byte_of_a_ticket_or_a_revocation_verifies() {
        let root_key = root().public_key();
        let bytes = Ticket::issue(&root(), terms("ada")).encode();
        let alter = |bytes: &[u8], position: usize, bit: u8| {
            let mut altered = bytes.to_vec();
            altered[position] ^= 1 << bit;
            altered
        };
        for (position, bit) in (0..bytes.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let altered = Ticket::decode(&alter(&bytes, position, bit));
            assert!(!altered.is_ok_and(|ticket| ticket.verify(&root_key)), "{position}.{bit}");
        }
        let bytes = Revocation::of(&root(), &terms("ada")).encode();
        for (position, bit) in (0..bytes.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let altered = Revocation::decode(&alter(&bytes, position, bit));
            let verifies = altered.is_ok_and(|revocation| revocation.verify(&root_key));
            assert!(!verifies, "{position}.{bit}");
        }
    }

    #[test]
    fn a_value_has_one_encoding() {
        let bytes = Ticket::issue(&root(), terms("ada")).encode();
        for end in 0..bytes.len() {
            assert!(Ticket::decode(&bytes[..end]).is_err(), "{end} bytes");
        }
        assert!(Ticket::decode(&[&bytes[..], &[0]].concat()).is_err(), "a byte after it");
        // The length of the name as three bytes instead of one.
        let longer = [&[251, 3, 0], &bytes[1..]].concat();
        assert!(codec::decode::<Ticket>(&longer).is_ok());
        assert!(Ticket::decode(&longer).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_an_error_and_claimed_lengths_are_not_allocated() {
        for first in 0..=u8::MAX {
            for fill in [0, 1, 42, 251, 252, 253, 254, 255] {
                let bytes = [&[first][..], &[fill; 300]].concat();
                assert!(Ticket::decode(&bytes).is_err());
                assert!(Revocation::decode(&bytes).is_err());
            }
        }
        let claimed = [&[253][..], &[0xff; 8], &[b'a'; 300]].concat();
        assert!(Ticket::decode(&claimed).is_err());
        assert!(Ticket::decode(&vec![b'a'; TICKET_BYTES_MAX + 1]).is_err());
        assert!(Revocation::decode(&vec![0; REVOCATION_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn the_longest_ticket_and_revocation_are_as_long_as_stated() {
        let longest = format!("{}*", "n".repeat(crate::name::NAME_BYTES_MAX));
        let terms = Terms {
            not_before: UnixMillis(u64::MAX),
            not_after: UnixMillis(u64::MAX),
            ..terms(&longest)
        };
        assert_eq!(Ticket::issue(&root(), terms.clone()).encode().len(), 189);
        assert_eq!(Revocation::of(&root(), &terms).encode().len(), 148);
    }

    #[test]
    fn a_signature_for_one_use_is_none_for_another() {
        let revoked = Revoked {
            serial: 3,
            name: NamePattern::new("ada").expect("a pattern"),
            not_after: UnixMillis(9),
        };
        let mut fields = Vec::new();
        codec::encode(&revoked, &mut fields);
        let ticket_like = root().sign(&[TICKET_LABEL, &fields].concat());
        let forged = Revocation { revoked, signature: ticket_like };
        assert!(!forged.verify(&root().public_key()));
    }

    #[test]
    fn a_revocation_covers_tickets_of_its_serial_and_name_that_end_no_later() {
        let revocation = Revocation::of(&root(), &terms("ada"));
        assert!(revocation.covers(&terms("ada")));
        let earlier = Terms { not_after: UnixMillis(5), ..terms("ada") };
        assert!(revocation.covers(&earlier));
        assert!(!revocation.covers(&terms("bob")));
        assert!(!revocation.covers(&Terms { serial: 4, ..terms("ada") }));
        assert!(!revocation.covers(&Terms { not_after: UnixMillis(u64::MAX), ..terms("ada") }));
    }
}
