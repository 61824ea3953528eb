//! What both ends of a new connection say first.
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
/// Magic, version and length.
pub const PREFACE_BYTES: usize = 7;
/// The most bytes a [`Hello`] takes: two names, a version string and numbers come to 450.
pub const HELLO_BYTES_MAX: usize = 1024;

/// Why a connection was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Purpose {
    /// Somebody asked for it: `dial`, or a seed address.
    Dialled,
    /// To answer a solicitation: refused by a node that has found enough links meanwhile.
    Solicited,
    /// To join two meshes that did not know of each other.
    Bridge,
}

/// Who a node is.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// Its name.
    pub name: NodeName,
    /// Its namespace.
    pub namespace: Namespace,
    /// This life of it.
    pub instance: Instance,
    /// The application's version.
    pub version: String,
    /// What it can do beyond this version of the protocol; none is defined yet.
    pub capabilities: u64,
    /// Why the connection was made, as its dialler says; a listener says the same of nothing.
    pub purpose: Purpose,
}

impl Hello {
    /// Preface and hello, ready to be sent.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[VERSION, 0, 0]);
        codec::encode(self, &mut bytes);
        let length = (bytes.len() - PREFACE_BYTES) as u16;
        bytes[5..PREFACE_BYTES].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    /// Reads the preface and says how many bytes of hello follow.
    ///
    /// # Errors
    /// Another magic, version, or a length beyond [`HELLO_BYTES_MAX`].
    pub fn length(preface: [u8; PREFACE_BYTES]) -> Result<usize, WireError> {
        if preface[..4] != MAGIC {
            return Err(WireError::new("it does not speak the mesh's protocol"));
        }
        if preface[4] != VERSION {
            return Err(WireError::new(format!(
                "it speaks version {} of the protocol, this node version {VERSION}",
                preface[4]
            )));
        }
        let length = usize::from(u16::from_le_bytes([preface[5], preface[6]]));
        if length > HELLO_BYTES_MAX {
            return Err(WireError::new(format!("a hello of {length} bytes")));
        }
        Ok(length)
    }

    /// Decodes what follows the preface.
    ///
    /// # Errors
    /// What does not decode, or breaks a limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let hello: Self = codec::decode(bytes)?;
        if hello.version.len() > VERSION_BYTES_MAX {
            return Err(WireError::new("a version string beyond its limit"));
        }
        Ok(hello)
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
    fn a_hello_survives_the_wire() {
        let bytes = hello().encode();
        let preface = *bytes.first_chunk().expect("long enough");
        assert_eq!(Hello::length(preface), Ok(bytes.len() - PREFACE_BYTES));
        assert_eq!(Hello::decode(&bytes[PREFACE_BYTES..]), Ok(hello()));
    }

    #[test]
    fn another_protocol_or_version_is_told_by_name() {
        assert!(Hello::length(*b"HTTP/1.").is_err());
        let error = Hello::length(*b"MSHG\x02\x00\x00").expect_err("another version");
        assert!(error.to_string().contains("version 2"));
        assert!(Hello::length(*b"MSHG\x01\xff\xff").is_err());
    }

    #[test]
    fn no_prefix_of_a_hello_decodes_and_none_panics() {
        let bytes = hello().encode();
        for end in PREFACE_BYTES..bytes.len() {
            assert!(Hello::decode(&bytes[PREFACE_BYTES..end]).is_err());
        }
    }
}
