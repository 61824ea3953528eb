//! The datagram by which nodes discover each other.
//!
//! ```text
//!  "MSHS" | version: u8 | Solicitation
//! ```

use bincode::{Decode, Encode};

use super::{WireError, codec};
use crate::name::{Instance, Namespace, NodeName};

const MAGIC: [u8; 4] = *b"MSHS";
const VERSION: u8 = 1;

/// The most bytes of a datagram. A longer one is dropped unread.
pub const DATAGRAM_BYTES_MAX: usize = 512;

/// A node's solicitation for links or, with `wanted` 0, a beacon by which separate meshes discover
/// each other.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Solicitation {
    /// The namespace of the sender. Only nodes of the same namespace respond.
    pub namespace: Namespace,
    /// The name of the sender.
    pub name: NodeName,
    /// The instance of the sender.
    pub instance: Instance,
    /// The TCP port to dial, at the source address of the datagram.
    pub port: u16,
    /// How many more links the sender looks for; 0 makes it a beacon.
    pub wanted: u32,
}

impl Solicitation {
    /// Encodes the datagram.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        codec::encode(self, &mut bytes);
        bytes
    }

    /// Whether a datagram is a solicitation in clear, of any version.
    pub(crate) fn is_plain(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC)
    }

    /// Decodes a datagram.
    ///
    /// # Errors
    /// [`WireError`] if it is not a solicitation of this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let rest = bytes
            .strip_prefix(&MAGIC)
            .and_then(|rest| rest.strip_prefix(&[VERSION]))
            .ok_or_else(|| WireError::new("not a solicitation of this version"))?;
        codec::decode(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_solicitation_fits_and_decodes_to_what_was_encoded() {
        let longest = "x".repeat(64);
        let solicitation = Solicitation {
            namespace: Namespace::new(&longest).expect("valid"),
            name: NodeName::new(&longest).expect("valid"),
            instance: Instance(u64::MAX),
            port: u16::MAX,
            wanted: u32::MAX,
        };
        let bytes = solicitation.encode();
        assert!(bytes.len() <= DATAGRAM_BYTES_MAX);
        assert_eq!(Solicitation::decode(&bytes), Ok(solicitation));
        for end in 0..bytes.len() {
            assert!(Solicitation::decode(&bytes[..end]).is_err());
        }
    }
}
