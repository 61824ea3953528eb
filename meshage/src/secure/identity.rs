//! The identity of a node: an Ed25519 key pair.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::Secret;
use super::error::KeyError;
use super::key::{KEY_BYTES, decode_32, parse_32};
use super::secret::with_stack_erased;

/// The bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// The public half of an identity. As text, 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct PublicKey(pub [u8; KEY_BYTES]);

impl PublicKey {
    /// A public key of exactly 32 bytes.
    ///
    /// # Errors
    /// [`KeyError::Format`] for another number of bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, KeyError> {
        bytes.try_into().map(Self).map_err(|_| KeyError::Format)
    }

    /// A public key of 32 bytes, or the text of one: 64 hex digits or base64.
    ///
    /// # Errors
    /// [`KeyError::Format`].
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        parse_32(bytes, |bytes| Self(*bytes))
    }

    /// Whether the identity with this public key has signed the message.
    pub fn has_signed(&self, message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    /// Parses 64 hex digits or base64.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        decode_32(text).map(|bytes| Self(*bytes)).ok_or(KeyError::Format)
    }
}

/// The identity of a node. Its secret half is erased when it is dropped, and never printed.
pub struct Identity {
    seed: Secret,
    public_key: PublicKey,
}

impl Identity {
    /// The identity of a secret seed.
    pub fn from_seed(seed: &[u8; KEY_BYTES]) -> Self {
        Self::from_secret(Secret::copy_of(seed))
    }

    /// A new identity of random bytes.
    pub fn generate(entropy: &mut dyn FnMut(&mut [u8])) -> Self {
        let mut seed = Secret::zeros();
        entropy(&mut seed[..]);
        Self::from_secret(seed)
    }

    fn from_secret(seed: Secret) -> Self {
        let mut public_key = [0; KEY_BYTES];
        with_stack_erased(|| {
            public_key.copy_from_slice(key_pair(&seed).public_key().as_ref());
        });
        Self { seed, public_key: PublicKey(public_key) }
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let mut signature = [0; SIGNATURE_BYTES];
        with_stack_erased(|| {
            signature.copy_from_slice(key_pair(&self.seed).sign(message).as_ref());
        });
        signature
    }
}

/// The key pair is made anew for each signature, because the library that makes it does not erase
/// it. It takes about as long as to sign.
fn key_pair(seed: &[u8; KEY_BYTES]) -> Ed25519KeyPair {
    match Ed25519KeyPair::from_seed_unchecked(seed) {
        Ok(pair) => pair,
        Err(_) => unreachable!("every seed of 32 bytes is valid"),
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.public_key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_verifies_for_its_message_and_key_only() {
        let identity = Identity::from_seed(&[3; 32]);
        let signature = identity.sign(b"message");
        assert!(identity.public_key().has_signed(b"message", &signature));
        assert!(!identity.public_key().has_signed(b"massage", &signature));
        assert!(!Identity::from_seed(&[4; 32]).public_key().has_signed(b"message", &signature));
        assert!(!PublicKey([0; 32]).has_signed(b"message", &signature));
    }

    #[test]
    fn a_public_key_is_read_back_from_its_text_and_a_seed_is_never_printed() {
        let identity = Identity::from_seed(&[0xcd; 32]);
        assert_eq!(identity.public_key().to_string().parse(), Ok(identity.public_key()));
        assert!(!format!("{identity:?}").contains("cdcd"));
    }
}
