//! Closed meshes: who may join, and how links and datagrams are sealed.
//!
//! ```text
//!  KeyRing ──┬─► Handshake ──► Sealer, Opener (records of a link)
//!  Policy  ──┘   preface · Noise · hello
//!            ├─► Rotation (a running link moves to other keys)
//!            └─► datagram (sealed solicitations), ReplayWindow
//! ```
//!
//! This module has no sockets, clock or random source: the driver and the simulator pass bytes, the
//! time and random bytes. `noise` alone uses the Noise library, and `cipher` alone the ciphers, so
//! each can be replaced.

pub mod announcement;
mod cipher;
pub mod datagram;
pub mod error;
#[cfg(feature = "net")]
pub mod files;
pub mod handshake;
pub mod identity;
pub mod key;
pub mod key_ring;
pub mod name_pattern;
mod noise;
pub mod policy;
pub mod preface;
pub mod revocations;
pub mod rotation;
pub mod seal;
mod secret;
pub mod settings;
pub mod ticket;
mod unix_time;

pub use cipher::{Cipher, Sample};
pub use error::{AuthError, KeyError, Refusal};
pub use handshake::{Context, Handshake, Secured};
pub use identity::{Identity, PublicKey};
pub use key::{Key, KeyId};
pub use key_ring::KeyRing;
pub use name_pattern::NamePattern;
pub use policy::Policy;
pub use revocations::Revocations;
pub use seal::{Opener, Sealer};
pub use ticket::{Revocation, Ticket};
pub use unix_time::UnixMillis;

pub(crate) use secret::Secret;

use std::fmt;

/// Who may join a mesh. A link is made only between nodes of one level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Everyone who has a key.
    Closed = 1,
    /// Holders of a key whose names are bound to their public keys. Every node signs its name.
    Allowed = 2,
    /// As [`Level::Allowed`], and every node signs all that it announces.
    Signed = 3,
}

impl Level {
    /// The level of a number on the wire.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        [Self::Closed, Self::Allowed, Self::Signed].into_iter().find(|level| *level as u8 == number)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Allowed => "allowed",
            Self::Signed => "signed",
        })
    }
}
