//! The datagram by which nodes find each other.
//!
//! ```text
//!  "MSHS" | version: u8 | Solicitation
//! ```

use bincode::{Decode, Encode};

use super::{WireError, codec};
use crate::name::{Instance, Namespace, NodeName};

const MAGIC: [u8; 4] = *b"MSHS";
const VERSION: u8 = 1;

/// The most bytes a datagram takes; a longer one is dropped unread.
pub const DATAGRAM_BYTES_MAX: usize = 512;

/// A node's call: for links, or (`wanted` 0) a beacon, for islands to find each other by.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Solicitation {
    /// Only nodes of this namespace answer.
    pub namespace: Namespace,
    /// Who calls.
    pub name: NodeName,
    /// This life of it.
    pub instance: Instance,
    /// The TCP port to dial, at the address the datagram came from.
    pub port: u16,
    /// How many links it still wants; 0 makes it a beacon.
    pub wanted: u32,
}

impl Solicitation {
    /// The datagram.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        codec::encode(self, &mut bytes);
        bytes
    }

    /// Reads a datagram.
    ///
    /// # Errors
    /// Anything that is not a solicitation of this version.
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
    fn a_solicitation_survives_the_wire_and_fits_its_limit() {
        let longest = "x".repeat(64);
        let call = Solicitation {
            namespace: Namespace::new(&longest).expect("valid"),
            name: NodeName::new(&longest).expect("valid"),
            instance: Instance(u64::MAX),
            port: u16::MAX,
            wanted: u32::MAX,
        };
        let bytes = call.encode();
        assert!(bytes.len() <= DATAGRAM_BYTES_MAX);
        assert_eq!(Solicitation::decode(&bytes), Ok(call));
        for end in 0..bytes.len() {
            assert!(Solicitation::decode(&bytes[..end]).is_err());
        }
    }
}
