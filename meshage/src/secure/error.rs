//! Why a link or a datagram was turned away, and what is wrong with a key.

use std::fmt;

use super::Level;
use super::key::KeyId;

/// The other end of a connection is not who it must be, or this node is not for the other end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuthError {
    /// The two ends have no key in common; carries the key ids of this node and of the other end.
    NoCommonKey {
        /// The ids of this node's keys.
        own: Vec<KeyId>,
        /// The ids that the other end named.
        heard: Vec<KeyId>,
    },
    /// This node has keys, and the other end does not encrypt.
    PeerIsOpen,
    /// This node has no keys, and the other end requires one; carries the key ids that it named.
    PeerIsClosed {
        /// The ids that the other end named.
        heard: Vec<KeyId>,
    },
    /// The two ends are configured with different levels.
    Level {
        /// The level of this node.
        own: Level,
        /// The level of the other end.
        heard: Level,
    },
    /// The bytes were not written by a holder of the key, or were altered on the way.
    NotAuthentic(&'static str),
    /// The public key of the other end is not bound to its name; carries the name.
    NotAllowed(String),
    /// The ticket of a node is not of the root, or is for another name or key; carries the name of
    /// the node and the reason.
    Ticket(String, String),
    /// The ticket of a node has ended, or does not hold yet; carries its name and the reason.
    TicketTime(String, String),
    /// The ticket of a node was revoked; carries its name.
    Revoked(String),
    /// The other end refused this node; carries its reason.
    RefusedByPeer(Refusal),
}

/// Why an end refuses the other one after the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// Its signature does not verify.
    Identity = 1,
    /// Its public key is not bound to its name, and it has no ticket.
    NotAllowed = 2,
    /// Its ticket was not signed by the root, or is for another name or key.
    Ticket = 3,
    /// Its ticket has ended, or does not hold yet.
    TicketTime = 4,
    /// Its ticket was revoked.
    Revoked = 5,
    /// The pre-shared key of the link was removed.
    KeyRemoved = 6,
}

impl Refusal {
    /// The refusal of a number on the wire.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        [
            Self::Identity,
            Self::NotAllowed,
            Self::Ticket,
            Self::TicketTime,
            Self::Revoked,
            Self::KeyRemoved,
        ]
        .into_iter()
        .find(|refusal| *refusal as u8 == number)
    }
}

impl AuthError {
    /// The ids of the keys that the other end named; empty if it named none.
    pub fn heard(&self) -> &[KeyId] {
        match self {
            Self::NoCommonKey { heard, .. } | Self::PeerIsClosed { heard } => heard,
            Self::PeerIsOpen
            | Self::Level { .. }
            | Self::NotAuthentic(_)
            | Self::NotAllowed(_)
            | Self::Ticket(..)
            | Self::TicketTime(..)
            | Self::Revoked(_)
            | Self::RefusedByPeer(_) => &[],
        }
    }

    /// What an end tells the other one when it refuses it for this reason.
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::NotAllowed(_) => Refusal::NotAllowed,
            Self::Ticket(..) => Refusal::Ticket,
            Self::TicketTime(..) => Refusal::TicketTime,
            Self::Revoked(_) => Refusal::Revoked,
            Self::NoCommonKey { .. }
            | Self::PeerIsOpen
            | Self::PeerIsClosed { .. }
            | Self::Level { .. }
            | Self::NotAuthentic(_)
            | Self::RefusedByPeer(_) => Refusal::Identity,
        }
    }
}

/// Writes a list of key ids.
struct Ids<'a>(&'a [KeyId]);

impl fmt::Display for Ids<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (index, id) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{id}")?;
        }
        Ok(())
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCommonKey { own, heard } => write!(
                f,
                "the other end has no key of this node: it has {}, this node has {}; add the same \
                 key to both",
                Ids(heard),
                Ids(own)
            ),
            Self::PeerIsOpen => f.write_str(
                "the other end does not encrypt and this node has a key; give it the same key, or \
                 configure this node without one",
            ),
            Self::PeerIsClosed { heard } => write!(
                f,
                "the other end requires a key and this node has none; configure a key with the id {}",
                Ids(heard)
            ),
            Self::Level { own, heard } => write!(
                f,
                "the other end is configured for level {heard}, this node for level {own}; \
                 configure both for the same"
            ),
            Self::NotAuthentic(what) => {
                write!(f, "{what} did not come from a holder of the key, or was altered on the way")
            }
            Self::NotAllowed(name) => write!(
                f,
                "the public key of {name} is not allowed; allow it for this name, or give the node \
                 a ticket of the root"
            ),
            Self::Ticket(name, why) => write!(
                f,
                "the ticket of {name} is not valid: {why}; give it a ticket of the root for its \
                 name and key"
            ),
            Self::TicketTime(name, why) => write!(
                f,
                "the ticket of {name} does not hold now: {why}; give it a new ticket, or set the \
                 clocks"
            ),
            Self::Revoked(name) => {
                write!(f, "the ticket of {name} was revoked; give it a new ticket if it may join")
            }
            Self::RefusedByPeer(refusal) => write!(f, "the other end refused this node: {refusal}"),
        }
    }
}

impl std::error::Error for AuthError {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "its identity could not be verified",
            Self::NotAllowed => {
                "its public key is not allowed there for its name; allow it, or give it a ticket"
            }
            Self::Ticket => "its ticket is not of the root, or is for another name or key",
            Self::TicketTime => {
                "its ticket has ended or does not hold yet; give it a new ticket, and check the clocks"
            }
            Self::Revoked => "its ticket was revoked",
            Self::KeyRemoved => "the key of the link was removed there; add the new key",
        })
    }
}

/// A key or a key id cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// The text or the bytes are no key.
    Format,
    /// The text is no key id.
    IdFormat,
    /// The node has no key with this id.
    Unknown(KeyId),
    /// The key is the primary one.
    Primary(KeyId),
    /// The node has as many keys as it may have.
    TooMany,
    /// The node was started without a key: it is open, and stays open.
    Open,
    /// A file cannot be used; carries its path and the reason.
    File(String, String),
    /// The bytes are no revocation that the root of this node signed.
    Revocation,
    /// The node was started without the public key of a root.
    NoRoot,
    /// The node was started without a key file.
    NoFile,
    /// The node is closed.
    Closed,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format => f.write_str("not a key: 32 bytes, or 64 hex digits or base64 as text"),
            Self::IdFormat => f.write_str("not a key id: 16 hex digits"),
            Self::Unknown(id) => write!(f, "no key has the id {id}"),
            Self::Primary(id) => {
                write!(f, "{id} is the primary key; use another one before you remove it")
            }
            Self::TooMany => f.write_str("a node has at most 8 keys; remove one first"),
            Self::Open => f.write_str(
                "the node was started without a key; start it with one to close the mesh",
            ),
            Self::File(path, why) => write!(f, "cannot use {path}: {why}"),
            Self::Revocation => {
                f.write_str("not a revocation that the root of this node has signed")
            }
            Self::NoRoot => f.write_str(
                "the node was started without a root, whose revocations it could check; set the root",
            ),
            Self::NoFile => f.write_str("the node was started without a key file"),
            Self::Closed => f.write_str("the node is closed"),
        }
    }
}

impl std::error::Error for KeyError {}
