//! The authenticated ciphers: the only module that uses them.

use ring::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};

use super::key::KEY_BYTES;

/// The bytes that a cipher adds.
pub(crate) const TAG_BYTES: usize = 16;

/// An authenticated cipher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cipher {
    /// ChaCha20-Poly1305: fast on every machine.
    ChaChaPoly = 0,
    /// AES-256-GCM: faster where the processor has instructions for it.
    AesGcm = 1,
}

impl Cipher {
    /// The cipher of a number on the wire.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::ChaChaPoly),
            1 => Some(Self::AesGcm),
            _ => None,
        }
    }

    /// The cipher that both ends use: AES only if it is the faster one for both.
    pub(crate) fn agreed(self, other: Self) -> Self {
        if self == other { self } else { Self::ChaChaPoly }
    }
}

/// A key of a cipher, ready for use.
#[derive(Debug)]
pub(crate) struct CipherKey {
    cipher: Cipher,
    key: LessSafeKey,
}

impl CipherKey {
    pub(crate) fn new(cipher: Cipher, key: &[u8; KEY_BYTES]) -> Self {
        let algorithm = match cipher {
            Cipher::ChaChaPoly => &CHACHA20_POLY1305,
            Cipher::AesGcm => &AES_256_GCM,
        };
        let Ok(key) = UnboundKey::new(algorithm, key) else {
            unreachable!("both ciphers have keys of 32 bytes");
        };
        Self { cipher, key: LessSafeKey::new(key) }
    }

    /// Seals bytes in place and returns the tag. A number must not be used twice with one key.
    pub(crate) fn seal(&self, number: u64, bound: &[u8], bytes: &mut [u8]) -> [u8; TAG_BYTES] {
        let nonce = self.nonce(number);
        let Ok(tag) = self.key.seal_in_place_separate_tag(nonce, Aad::from(bound), bytes) else {
            unreachable!("the ciphers take more than the longest record");
        };
        let mut bytes = [0; TAG_BYTES];
        bytes.copy_from_slice(tag.as_ref());
        bytes
    }

    /// Opens bytes in place. Returns whether they are authentic; otherwise they are of no use.
    pub(crate) fn open(
        &self,
        number: u64,
        bound: &[u8],
        bytes: &mut [u8],
        tag: [u8; TAG_BYTES],
    ) -> bool {
        let (nonce, tag) = (self.nonce(number), Tag::from(tag));
        self.key.open_in_place_separate_tag(nonce, Aad::from(bound), tag, bytes, 0..).is_ok()
    }

    /// The nonce of a number, as Noise defines it for each cipher.
    fn nonce(&self, number: u64) -> Nonce {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&match self.cipher {
            Cipher::ChaChaPoly => number.to_le_bytes(),
            Cipher::AesGcm => number.to_be_bytes(),
        });
        Nonce::assume_unique_for_key(nonce)
    }
}

/// Seals the same bytes again and again, so that the speed of a cipher can be measured.
pub struct Sample {
    key: CipherKey,
    number: u64,
    bytes: Vec<u8>,
}

impl Sample {
    /// A sample under a key that protects nothing.
    pub fn new(cipher: Cipher) -> Self {
        Self { key: CipherKey::new(cipher, &[0; KEY_BYTES]), number: 0, bytes: vec![0; 4096] }
    }

    /// Seals, and returns how many bytes.
    pub fn seal(&mut self) -> usize {
        self.number += 1;
        std::hint::black_box(self.key.seal(self.number, &[], &mut self.bytes));
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_only_unaltered_and_under_the_same_number() {
        for cipher in [Cipher::ChaChaPoly, Cipher::AesGcm] {
            let key = CipherKey::new(cipher, &[5; 32]);
            let mut bytes = *b"hello";
            let tag = key.seal(3, b"bound", &mut bytes);
            assert_ne!(&bytes, b"hello");
            let open = |number, bound: &[u8], mut bytes: [u8; 5], tag| {
                key.open(number, bound, &mut bytes, tag).then_some(bytes)
            };
            assert_eq!(open(3, b"bound", bytes, tag), Some(*b"hello"));
            assert_eq!(open(4, b"bound", bytes, tag), None);
            assert_eq!(open(3, b"other", bytes, tag), None);
            let mut altered = bytes;
            altered[0] ^= 1;
            assert_eq!(open(3, b"bound", altered, tag), None);
        }
    }
}
