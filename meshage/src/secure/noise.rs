//! The key agreement `Noise_XXpsk3_25519_<cipher>_BLAKE2s`: the only module that uses the Noise
//! library.
//!
//! Every message has an empty payload: what the ends tell each other travels in the records after
//! the handshake.

use snow::error::Error;
use snow::params::{
    BaseChoice, CipherChoice, DHChoice, HandshakeChoice, HandshakeModifier, HandshakeModifierList,
    HandshakePattern, HashChoice, NoiseParams,
};
use snow::resolvers::{CryptoResolver, DefaultResolver, RingResolver};
use snow::types::{Cipher as NoiseCipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};

use super::Secret;
use super::cipher::Cipher;
use super::key::KEY_BYTES;

/// The bytes of the three messages.
pub(super) const FIRST_BYTES: usize = 48;
pub(super) const SECOND_BYTES: usize = 96;
pub(super) const THIRD_BYTES: usize = 64;
/// The bytes of a handshake hash.
pub(super) const HASH_BYTES: usize = 32;

/// The messages of the key agreement, and the peer's static key, do not fit together.
#[derive(Debug)]
pub(super) struct Failed;

impl From<Error> for Failed {
    fn from(_: Error) -> Self {
        Self
    }
}

/// The keys of a link, one for each direction.
pub(super) struct LinkKeys {
    pub(super) dialler: Secret,
    pub(super) listener: Secret,
}

/// One end of a key agreement.
pub(super) struct Noise(Box<HandshakeState>);

impl Noise {
    /// Starts a key agreement. `ephemeral` are random bytes, used for nothing else.
    pub(super) fn new(
        dials: bool,
        cipher: Cipher,
        prologue: &[u8],
        pre_shared: &[u8; KEY_BYTES],
        static_key: &[u8; KEY_BYTES],
        ephemeral: Secret,
    ) -> Result<Self, Failed> {
        let params = NoiseParams::new(
            "Noise_XXpsk3_25519".into(),
            BaseChoice::Noise,
            HandshakeChoice {
                pattern: HandshakePattern::XX,
                modifiers: HandshakeModifierList { list: vec![HandshakeModifier::Psk(3)] },
            },
            DHChoice::Curve25519,
            match cipher {
                Cipher::ChaChaPoly => CipherChoice::ChaChaPoly,
                Cipher::AesGcm => CipherChoice::AESGCM,
            },
            HashChoice::Blake2s,
        );
        let builder = Builder::with_resolver(params, Box::new(Resolver(ephemeral)))
            .local_private_key(static_key)?
            .prologue(prologue)?
            .psk(3, pre_shared)?;
        let state = if dials { builder.build_initiator() } else { builder.build_responder() };
        Ok(Self(Box::new(state?)))
    }

    /// Writes the next message, of exactly `N` bytes.
    pub(super) fn write<const N: usize>(&mut self) -> Result<[u8; N], Failed> {
        let mut message = [0; N];
        let written = self.0.write_message(&[], &mut message)?;
        if written == N { Ok(message) } else { Err(Failed) }
    }

    /// Reads the other end's next message.
    pub(super) fn read(&mut self, message: &[u8]) -> Result<(), Failed> {
        let mut payload = [0; THIRD_BYTES];
        self.0.read_message(message, &mut payload)?;
        Ok(())
    }

    /// The hash of everything that both ends sent.
    pub(super) fn hash(&self) -> [u8; HASH_BYTES] {
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(&self.0.get_handshake_hash()[..HASH_BYTES]);
        hash
    }

    /// The static public key of the other end.
    pub(super) fn remote_static(&self) -> Option<[u8; KEY_BYTES]> {
        self.0.get_remote_static()?.try_into().ok()
    }

    /// The keys of the link. Call it when all messages were exchanged.
    pub(super) fn split(&mut self) -> LinkKeys {
        let (mut dialler, mut listener) = self.0.dangerously_get_raw_split();
        LinkKeys { dialler: Secret::take(&mut dialler), listener: Secret::take(&mut listener) }
    }
}

/// The public key of a static private key.
pub(super) fn public_of(private: &[u8; KEY_BYTES]) -> [u8; KEY_BYTES] {
    let Some(mut dh) = DefaultResolver.resolve_dh(&DHChoice::Curve25519) else {
        unreachable!("the default resolver has Curve25519");
    };
    dh.set(private);
    let mut public = [0; KEY_BYTES];
    public.copy_from_slice(&dh.pubkey()[..KEY_BYTES]);
    public
}

/// The parts of the key agreement, with random bytes that the caller chose.
struct Resolver(Secret);

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(GivenBytes(Some(self.0.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn NoiseCipher>> {
        RingResolver.resolve_cipher(choice)
    }
}

/// Random bytes for one ephemeral key. They are never used twice.
struct GivenBytes(Option<Secret>);

impl Random for GivenBytes {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        let given = self.0.take().ok_or(Error::Rng)?;
        let given = given.get(..dest.len()).ok_or(Error::Rng)?;
        dest.copy_from_slice(given);
        Ok(())
    }
}
