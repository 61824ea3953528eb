//! The first bytes on a sealed connection, in clear and authenticated.
//!
//! ```text
//!  dial     "MSHX" | version | 0 | level | cipher | nonce: 16 | n | n ids of 8 | n MACs of 16
//!  answer   "MSHX" | version | 1 | level | cipher | nonce: 16 | 1 | id         | MAC
//!  decline  "MSHX" | version | 2 | level | cipher | nonce: 16 | n | n ids
//! ```
//!
//! The dialler names all its keys, and proves for each that it has it. The listener answers with the
//! one that it prefers. A listener that has none of them declines, and names its own.

use super::Level;
use super::cipher::Cipher;
use super::error::AuthError;
use super::key::{Key, KeyId, MAC_BYTES, Use, equal_macs};
use super::key_ring::{KEYS_MAX, KeyRing};
use crate::wire::WireError;

/// The first bytes of a sealed connection.
pub const MAGIC: [u8; 4] = *b"MSHX";
/// The version of the sealed link protocol.
pub const VERSION: u8 = 1;
/// The bytes of a preface before its key ids, the magic included.
pub const HEADER_BYTES: usize = 25;
const ID_BYTES: usize = 8;
pub(crate) const NONCE_BYTES: usize = 16;

/// What a preface is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The first bytes of the dialling end.
    Dial = 0,
    /// The listener has one of the keys.
    Answer = 1,
    /// The listener has none of the keys, or its level is another one.
    Decline = 2,
}

/// The part of a preface that has a fixed length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the preface is for.
    pub kind: Kind,
    /// The level of the sender.
    pub level: Level,
    /// For a dial, the cipher that the sender does faster; for an answer, the cipher of the link.
    pub cipher: Cipher,
    /// Random bytes, so that no handshake is like another one.
    pub nonce: [u8; NONCE_BYTES],
    /// The number of key ids.
    pub keys: usize,
}

/// A preface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preface {
    /// Its fixed part.
    pub header: Header,
    /// The key ids.
    pub ids: Vec<KeyId>,
    macs: Vec<[u8; MAC_BYTES]>,
    /// All its bytes.
    bytes: Vec<u8>,
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([VERSION, self.kind as u8, self.level as u8, self.cipher as u8]);
        bytes.extend(self.nonce);
        bytes.push(self.keys as u8);
        bytes
    }

    /// Decodes the fixed part.
    ///
    /// # Errors
    /// [`WireError`] for another magic or version, and for numbers that this version does not know.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, WireError> {
        if bytes[..4] != MAGIC {
            return Err(WireError::new("it does not use the sealed mesh protocol"));
        }
        if bytes[4] != VERSION {
            return Err(WireError::new(format!(
                "it uses version {} of the sealed mesh protocol, this node uses version {VERSION}",
                bytes[4]
            )));
        }
        let kind = [Kind::Dial, Kind::Answer, Kind::Decline]
            .into_iter()
            .find(|kind| *kind as u8 == bytes[5])
            .ok_or_else(|| WireError::new("a preface of an unknown kind"))?;
        let level =
            Level::from_number(bytes[6]).ok_or_else(|| WireError::new("an unknown level"))?;
        let cipher =
            Cipher::from_number(bytes[7]).ok_or_else(|| WireError::new("an unknown cipher"))?;
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&bytes[8..8 + NONCE_BYTES]);
        let keys = usize::from(bytes[HEADER_BYTES - 1]);
        let valid = match kind {
            Kind::Answer => keys == 1,
            Kind::Dial | Kind::Decline => (1..=KEYS_MAX).contains(&keys),
        };
        if !valid {
            return Err(WireError::new(format!("a preface with {keys} keys")));
        }
        Ok(Self { kind, level, cipher, nonce, keys })
    }

    /// The bytes that follow the fixed part.
    pub fn rest_bytes(&self) -> usize {
        match self.kind {
            Kind::Dial | Kind::Answer => self.keys * (ID_BYTES + MAC_BYTES),
            Kind::Decline => self.keys * ID_BYTES,
        }
    }
}

impl Preface {
    /// The preface of a dialling node with these keys.
    pub fn dial(ring: &KeyRing, level: Level, cipher: Cipher, nonce: [u8; NONCE_BYTES]) -> Self {
        let header = Header { kind: Kind::Dial, level, cipher, nonce, keys: ring.keys().len() };
        let mut preface = Self::without_macs(header, ring.ids());
        preface.add_macs(ring.keys(), &[b"dial"]);
        preface
    }

    /// The answer of a listener that chose a key and the cipher of the link.
    pub fn answer(
        dial: &Self,
        key: &Key,
        level: Level,
        cipher: Cipher,
        nonce: [u8; NONCE_BYTES],
    ) -> Self {
        let header = Header { kind: Kind::Answer, level, cipher, nonce, keys: 1 };
        let mut preface = Self::without_macs(header, vec![key.id()]);
        preface.add_macs(std::slice::from_ref(key), &[b"answer", &dial.bytes]);
        preface
    }

    /// What a listener says that has none of the keys.
    pub fn decline(ring: &KeyRing, level: Level, cipher: Cipher, nonce: [u8; NONCE_BYTES]) -> Self {
        let header = Header { kind: Kind::Decline, level, cipher, nonce, keys: ring.keys().len() };
        Self::without_macs(header, ring.ids())
    }

    fn without_macs(header: Header, ids: Vec<KeyId>) -> Self {
        let mut bytes = header.encode();
        ids.iter().for_each(|id| bytes.extend(id.0));
        Self { header, ids, macs: Vec::new(), bytes }
    }

    fn add_macs(&mut self, keys: &[Key], context: &[&[u8]]) {
        self.macs = keys.iter().map(|key| self.mac(key, context)).collect();
        self.bytes.extend(self.macs.iter().flatten());
    }

    /// The code of this preface under a key, over everything but the codes.
    fn mac(&self, key: &Key, context: &[&[u8]]) -> [u8; MAC_BYTES] {
        let authenticated = &self.bytes[..HEADER_BYTES + self.ids.len() * ID_BYTES];
        let parts: Vec<&[u8]> = context.iter().copied().chain([authenticated]).collect();
        key.mac(Use::Preface, &parts)
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Decodes a preface from its header and the [`Header::rest_bytes`] that follow.
    ///
    /// # Errors
    /// [`WireError`] if the number of bytes is another one.
    pub fn decode(header: Header, rest: &[u8]) -> Result<Self, WireError> {
        if rest.len() != header.rest_bytes() {
            return Err(WireError::new("a preface of another length"));
        }
        let (ids, macs) = rest.split_at(header.keys * ID_BYTES);
        let (ids, _) = ids.as_chunks::<ID_BYTES>();
        let mut preface = Self::without_macs(header, ids.iter().map(|id| KeyId(*id)).collect());
        preface.macs = macs.as_chunks::<MAC_BYTES>().0.to_vec();
        preface.bytes.extend(macs);
        Ok(preface)
    }

    /// The key of this ring by which a dialler proves itself: the primary one if it has it,
    /// otherwise the first of the dialler's. Costs one hash.
    ///
    /// # Errors
    /// [`AuthError::NoCommonKey`], and [`AuthError::NotAuthentic`] if the proof is wrong.
    pub fn choose_key<'a>(&self, ring: &'a KeyRing) -> Result<&'a Key, AuthError> {
        let primary = ring.primary();
        let key = if self.ids.contains(&primary.id()) {
            primary
        } else {
            let first = self.ids.iter().find_map(|id| ring.get(*id));
            first.ok_or_else(|| AuthError::NoCommonKey {
                own: ring.ids(),
                heard: self.ids.clone(),
            })?
        };
        self.verify(key, &[b"dial"])?;
        Ok(key)
    }

    /// The key that a listener chose for the link.
    ///
    /// # Errors
    /// [`AuthError::NotAuthentic`] if it is none of the dialler's, or the proof is wrong.
    pub fn chosen_key<'a>(&self, dial: &Self, ring: &'a KeyRing) -> Result<&'a Key, AuthError> {
        let key = self.ids.first().filter(|id| dial.ids.contains(id));
        let key = key.and_then(|id| ring.get(*id)).ok_or(NOT_AUTHENTIC)?;
        self.verify(key, &[b"answer", &dial.bytes])?;
        Ok(key)
    }

    fn verify(&self, key: &Key, context: &[&[u8]]) -> Result<(), AuthError> {
        let position = self.ids.iter().position(|id| *id == key.id());
        let claimed = position.and_then(|position| self.macs.get(position)).ok_or(NOT_AUTHENTIC)?;
        if equal_macs(claimed, &self.mac(key, context)) { Ok(()) } else { Err(NOT_AUTHENTIC) }
    }
}

const NOT_AUTHENTIC: AuthError = AuthError::NotAuthentic("the preface");

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> Key {
        Key::from_bytes(&[number; 32])
    }

    fn ring(numbers: &[u8]) -> KeyRing {
        KeyRing::new(numbers.iter().map(|number| key(*number))).expect("keys")
    }

    fn decode(bytes: &[u8]) -> Preface {
        let header = Header::decode(bytes.first_chunk().expect("a header")).expect("valid");
        Preface::decode(header, &bytes[HEADER_BYTES..]).expect("valid")
    }

    fn dial(numbers: &[u8]) -> Preface {
        Preface::dial(&ring(numbers), Level::Closed, Cipher::AesGcm, [9; NONCE_BYTES])
    }

    #[test]
    fn a_listener_prefers_its_primary_key_and_takes_any_common_one() {
        let preface = decode(dial(&[1, 2, 3]).bytes());
        assert_eq!(preface.choose_key(&ring(&[3, 1])), Ok(&key(3)));
        assert_eq!(preface.choose_key(&ring(&[4, 2])), Ok(&key(2)));
        let other = ring(&[4]);
        let heard = preface.choose_key(&other);
        let ids = vec![key(1).id(), key(2).id(), key(3).id()];
        assert_eq!(heard, Err(AuthError::NoCommonKey { own: vec![key(4).id()], heard: ids }));
    }

    #[test]
    fn an_altered_preface_proves_nothing() {
        let bytes = dial(&[1]).bytes().to_vec();
        for position in 6..bytes.len() {
            let mut altered = bytes.clone();
            altered[position] ^= 1;
            let Ok(header) = Header::decode(altered.first_chunk().expect("a header")) else {
                continue;
            };
            let Ok(preface) = Preface::decode(header, &altered[HEADER_BYTES..]) else { continue };
            assert!(preface.choose_key(&ring(&[1])).is_err(), "byte {position}");
        }
    }

    #[test]
    fn an_answer_holds_for_the_dial_that_it_answers() {
        let (first, mut other) = (dial(&[1, 2]), [8; NONCE_BYTES]);
        let answer =
            Preface::answer(&first, &key(2), Level::Closed, Cipher::AesGcm, [7; NONCE_BYTES]);
        let answer = decode(answer.bytes());
        assert_eq!(answer.chosen_key(&first, &ring(&[1, 2])), Ok(&key(2)));
        other[0] = 1;
        let second = Preface::dial(&ring(&[1, 2]), Level::Closed, Cipher::AesGcm, other);
        assert_eq!(answer.chosen_key(&second, &ring(&[1, 2])), Err(NOT_AUTHENTIC));
    }

    #[test]
    fn a_decline_names_the_keys_of_the_listener() {
        let decline = Preface::decline(&ring(&[5]), Level::Signed, Cipher::AesGcm, [0; 16]);
        let decoded = decode(decline.bytes());
        assert_eq!((decoded.header.level, decoded.ids), (Level::Signed, vec![key(5).id()]));
    }
}
