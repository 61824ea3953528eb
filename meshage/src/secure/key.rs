//! Pre-shared keys and their ids.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use blake2::digest::consts::U32;
use blake2::digest::{FixedOutput as _, KeyInit, Mac as _};
use blake2::{Blake2s256, Blake2sMac, Digest as _};
use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use zeroize::Zeroizing;

use super::Secret;
use super::error::KeyError;
use super::secret::with_stack_erased;

/// The bytes of a key.
pub const KEY_BYTES: usize = 32;
/// The bytes of a message authentication code.
pub(crate) const MAC_BYTES: usize = 16;

/// The public name of a key: the first 8 bytes of a hash of it. As text, 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| KeyError::IdFormat)?;
        Ok(Self(bytes.try_into().map_err(|_| KeyError::IdFormat)?))
    }
}

/// What a key is used for. Each use has a key of its own, derived from the pre-shared one, which is
/// not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// To authenticate prefaces.
    Preface,
    /// The pre-shared key of a Noise handshake.
    Handshake,
    /// To move a link to another key.
    Link,
    /// To seal datagrams.
    Datagram,
}

impl Use {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Preface => b"meshage 1 preface",
            Self::Handshake => b"meshage 1 handshake",
            Self::Link => b"meshage 1 link",
            Self::Datagram => b"meshage 1 datagram",
        }
    }
}

/// A pre-shared key of a closed mesh. It cannot be read back: `Debug` and `Display` show its id.
#[derive(Clone)]
pub struct Key(Arc<Derived>);

/// What is derived from a pre-shared key.
struct Derived {
    id: KeyId,
    preface: Secret,
    handshake: Secret,
    link: Secret,
    datagram: Secret,
}

impl Key {
    /// A key of 32 bytes. The caller should erase its copy.
    pub fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Self {
        let mut id = [0; 8];
        with_stack_erased(|| {
            let hash = Blake2s256::new().chain_update(b"meshage 1 key id").chain_update(bytes);
            id.copy_from_slice(&hash.finalize()[..8]);
        });
        let derive = |purpose: Use| keyed_hash(bytes, &[purpose.label()]);
        Self(Arc::new(Derived {
            id: KeyId(id),
            preface: derive(Use::Preface),
            handshake: derive(Use::Handshake),
            link: derive(Use::Link),
            datagram: derive(Use::Datagram),
        }))
    }

    /// A key of exactly 32 bytes.
    ///
    /// # Errors
    /// [`KeyError::Format`] for another number of bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, KeyError> {
        bytes.try_into().map(Self::from_bytes).map_err(|_| KeyError::Format)
    }

    /// A key of 32 bytes, or the text of one: 64 hex digits or base64. Their lengths differ.
    ///
    /// # Errors
    /// [`KeyError::Format`].
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        parse_32(bytes, Self::from_bytes)
    }

    /// The key's id.
    pub fn id(&self) -> KeyId {
        self.0.id
    }

    fn secret(&self, purpose: Use) -> &[u8; KEY_BYTES] {
        match purpose {
            Use::Preface => &self.0.preface,
            Use::Handshake => &self.0.handshake,
            Use::Link => &self.0.link,
            Use::Datagram => &self.0.datagram,
        }
    }

    /// Derives a key from this one and public parts.
    pub(crate) fn derive(&self, purpose: Use, parts: &[&[u8]]) -> Secret {
        keyed_hash(self.secret(purpose), parts)
    }

    /// The message authentication code of the parts.
    pub(crate) fn mac(&self, purpose: Use, parts: &[&[u8]]) -> [u8; MAC_BYTES] {
        let hash = keyed_hash(self.secret(purpose), parts);
        let mut mac = [0; MAC_BYTES];
        mac.copy_from_slice(&hash[..MAC_BYTES]);
        mac
    }
}

/// BLAKE2s with a key, over the parts, each preceded by its length.
pub(crate) fn keyed_hash(key: &[u8; KEY_BYTES], parts: &[&[u8]]) -> Secret {
    let mut secret = Secret::zeros();
    with_stack_erased(|| {
        let mut hash = <Blake2sMac<U32> as KeyInit>::new(key.into());
        for part in parts {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        secret.copy_from_slice(&hash.finalize_fixed());
    });
    secret
}

/// Whether two codes are equal, in a time that does not depend on their contents.
pub(crate) fn equal_macs(a: &[u8; MAC_BYTES], b: &[u8; MAC_BYTES]) -> bool {
    a.iter().zip(b).fold(0, |difference, (a, b)| std::hint::black_box(difference | (a ^ b))) == 0
}

/// Decodes 32 bytes from 64 hex digits or base64.
pub(crate) fn decode_32(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let text = text.trim().as_bytes();
    let encoding = match text.len() {
        64 => &HEXLOWER_PERMISSIVE,
        44 => &BASE64,
        43 => &BASE64_NOPAD,
        _ => return None,
    };
    // 44 characters of base64 stand for 33 bytes, one of which is missing if the last is `=`.
    let mut buffer = Zeroizing::new([0; KEY_BYTES + 1]);
    let buffer = buffer.get_mut(..encoding.decode_len(text.len()).ok()?)?;
    let length = encoding.decode_mut(text, buffer).ok()?;
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    bytes.copy_from_slice(buffer.get(..length).filter(|decoded| decoded.len() == KEY_BYTES)?);
    Some(bytes)
}

/// Makes something of 32 bytes, or of their text.
pub(crate) fn parse_32<T>(
    bytes: &[u8],
    make: impl FnOnce(&[u8; KEY_BYTES]) -> T,
) -> Result<T, KeyError> {
    if let Ok(bytes) = bytes.try_into() {
        return Ok(make(bytes));
    }
    let decoded = std::str::from_utf8(bytes).ok().and_then(decode_32);
    decoded.map(|bytes| make(&bytes)).ok_or(KeyError::Format)
}

impl FromStr for Key {
    type Err = KeyError;

    /// Parses 64 hex digits or base64.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        decode_32(text).map(|bytes| Self::from_bytes(&bytes)).ok_or(KeyError::Format)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key {}", self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_from_hex_and_base64_and_is_never_printed() {
        let key = Key::from_bytes(&[0xab; 32]);
        let texts = [
            "ab".repeat(32),
            "AB".repeat(32),
            BASE64.encode(&[0xab; 32]),
            BASE64_NOPAD.encode(&[0xab; 32]),
        ];
        for text in texts {
            assert_eq!(text.parse::<Key>().expect("valid").id(), key.id());
        }
        for text in ["", "ab", &"zz".repeat(32), &"ab".repeat(33), &"-".repeat(44)] {
            assert_eq!(text.parse::<Key>(), Err(KeyError::Format));
        }
        assert_eq!(Key::from_slice(&[1; 31]), Err(KeyError::Format));
        for bytes in [&[0xab; 32][..], "ab".repeat(32).as_bytes()] {
            assert_eq!(Key::parse(bytes).expect("valid").id(), key.id());
        }
        assert_eq!(Key::parse(&[0xff; 64]), Err(KeyError::Format));
        let shown = format!("{key:?} {key}");
        assert!(!shown.contains("abab") && shown.contains(&key.id().to_string()), "{shown}");
    }

    #[test]
    fn an_id_is_sixteen_hex_digits_and_is_read_back() {
        let id = Key::from_bytes(&[7; 32]).id();
        assert_eq!(id.to_string().len(), 16);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("12".parse::<KeyId>(), Err(KeyError::IdFormat));
    }

    #[test]
    fn each_use_has_a_key_of_its_own() {
        let key = Key::from_bytes(&[7; 32]);
        let uses = [Use::Preface, Use::Handshake, Use::Link, Use::Datagram];
        let macs: std::collections::BTreeSet<_> =
            uses.into_iter().map(|purpose| key.mac(purpose, &[b"x"])).collect();
        assert_eq!(macs.len(), uses.len());
        assert_ne!(key.mac(Use::Preface, &[b"ab", b"c"]), key.mac(Use::Preface, &[b"a", b"bc"]));
    }
}
