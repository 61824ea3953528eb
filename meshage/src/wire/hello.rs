//! The handshake: the first bytes that both ends send on a new connection.
//!
//! ```text
//!  "MSHG" | version: u8 | length: u16, little-endian | Hello
//! ```

use bincode::{Decode, Encode};

use super::{WireError, codec};
use crate::config::VERSION_BYTES_MAX;
use crate::name::{Instance, Namespace, NodeName};

/// The first bytes of a connection.
pub const MAGIC: [u8; 4] = *b"MSHG";
/// The version of the link protocol.
pub const VERSION: u8 = 1;
/// The bytes of magic, version and length.
pub const PREFACE_BYTES: usize = 7;
/// The most bytes of a [`Hello`]: two names, a version string and numbers take 450.
pub const HELLO_BYTES_MAX: usize = 1024;

/// Why a connection was established.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Purpose {
    /// The application requested it, with `dial` or a seed address.
    Dialled,
    /// A response dial to a solicitation. A node that has enough links by now refuses it.
    Solicited,
    /// A bridge between two separate meshes.
    Bridge,
}

/// The identity of a node.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// The node's name.
    pub name: NodeName,
    /// The node's namespace.
    pub namespace: Namespace,
    /// The node's instance.
    pub instance: Instance,
    /// The application's version.
    pub version: String,
    /// Extensions of this protocol version that the node supports; none is defined yet.
    pub capabilities: u64,
    /// Why the connection was established. Only the value that the dialling node sends counts.
    pub purpose: Purpose,
}

impl Hello {
    /// Encodes the preface and the hello.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[VERSION, 0, 0]);
        codec::encode(self, &mut bytes);
        let length = (bytes.len() - PREFACE_BYTES) as u16;
        bytes[5..PREFACE_BYTES].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    /// Decodes the preface and returns the length of the hello that follows.
    ///
    /// # Errors
    /// [`WireError`] for another magic or version, or a length beyond [`HELLO_BYTES_MAX`].
    pub fn length(preface: [u8; PREFACE_BYTES]) -> Result<usize, WireError> {
        if preface[..4] != MAGIC {
            return Err(WireError::new("it does not use the mesh protocol"));
        }
        if preface[4] != VERSION {
            return Err(WireError::new(format!(
                "it uses version {} of the mesh protocol, this node uses version {VERSION}",
                preface[4]
            )));
        }
        let length = usize::from(u16::from_le_bytes([preface[5], preface[6]]));
        if length > HELLO_BYTES_MAX {
            return Err(WireError::new(format!("a hello of {length} bytes")));
        }
        Ok(length)
    }

    /// Decodes the hello after the preface.
    ///
    /// # Errors
    /// [`WireError`] if the bytes do not decode or break a limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let hello: Self = codec::decode(bytes)?;
        hello.check()?;
        Ok(hello)
    }

    /// Checks the limits that decoding does not.
    pub(crate) fn check(&self) -> Result<(), WireError> {
        if self.version.len() > VERSION_BYTES_MAX {
            return Err(WireError::new("a version string that is too long"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello {
            name: NodeName::new("a").expect("valid"),
            namespace: Namespace::new("demo").expect("valid"),
            instance: Instance(7),
            version: "1.0".into(),
            capabilities: 0,
            purpose: Purpose::Dialled,
        }
    }

    #[test]
    fn a_hello_decodes_to_what_was_encoded() {
        let bytes = hello().encode();
        let preface = *bytes.first_chunk().expect("long enough");
        assert_eq!(Hello::length(preface), Ok(bytes.len() - PREFACE_BYTES));
        assert_eq!(Hello::decode(&bytes[PREFACE_BYTES..]), Ok(hello()));
    }

    #[test]
    fn the_error_names_another_version_of_the_protocol() {
        assert!(Hello::length(*b"HTTP/1.").is_err());
        let error = Hello::length(*b"MSHG\x02\x00\x00").expect_err("another version");
        assert!(error.to_string().contains("version 2"));
        assert!(Hello::length(*b"MSHG\x01\xff\xff").is_err());
    }

    #[test]
    fn a_truncated_hello_is_an_error() {
        let bytes = hello().encode();
        for end in PREFACE_BYTES..bytes.len() {
            assert!(Hello::decode(&bytes[PREFACE_BYTES..end]).is_err());
        }
    }
}
