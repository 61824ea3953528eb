//! The keys and the identity of a running node.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::clock;
use crate::error::StartError;
use crate::protocol::membership::MembershipConfig;
use crate::secure::datagram::{self, DatagramError, ReplayWindow};
use crate::secure::handshake::{Context, StaticKey};
use crate::secure::identity::{Identity, PublicKey};
use crate::secure::key_ring::KeyRing;
use crate::secure::settings::Settings;
use crate::secure::{
    AuthError, Cipher, Key, KeyError, KeyId, Level, Policy, Revocation, Revocations, Sample, files,
};
use crate::wire::solicitation::Solicitation;

/// What the handshakes and links of a node read. A change replaces it as a whole.
pub(super) type Contexts = ArcSwap<Context>;

/// The time in which each cipher is measured.
const MEASURE_TIME: Duration = Duration::from_micros(500);

/// The security of a closed node. Readers take no lock; changes are made one after the other.
#[derive(Debug)]
pub(crate) struct Security {
    contexts: Arc<Contexts>,
    key_file: Option<PathBuf>,
    changing: Mutex<()>,
    /// The datagrams that arrived lately, on any socket.
    replay_window: Mutex<ReplayWindow>,
}

impl Security {
    /// Prepares what the handshakes of a node need.
    pub(super) fn new(settings: &Settings) -> Result<Self, StartError> {
        let mut fill = |bytes: &mut [u8]| clock::fill_random(bytes);
        let identity = match &settings.identity {
            Some(identity) => identity.clone(),
            None => Arc::new(Identity::generate(&mut fill)),
        };
        let context = Context {
            ring: settings.ring.clone(),
            policy: settings.policy.clone(),
            cipher: fastest_cipher(),
            identity,
            ticket: settings.ticket.clone(),
            static_key: Arc::new(StaticKey::new(&mut fill)),
        };
        Ok(Self {
            contexts: Arc::new(ArcSwap::from_pointee(context)),
            key_file: settings.key_file.clone(),
            changing: Mutex::new(()),
            replay_window: Mutex::new(ReplayWindow::new(settings.clock_skew)),
        })
    }

    /// What a handshake that begins now uses.
    pub(crate) fn context(&self) -> Arc<Context> {
        self.contexts.load_full()
    }

    /// What every record of a link is opened with.
    pub(super) fn contexts(&self) -> Arc<Contexts> {
        self.contexts.clone()
    }

    /// The node's public key.
    pub(crate) fn public_key(&self) -> PublicKey {
        self.contexts.load().identity.public_key()
    }

    /// The ids of the keys, the primary one first.
    pub(crate) fn ids(&self) -> Vec<KeyId> {
        self.contexts.load().ring.ids()
    }

    /// Adds a key and returns its id.
    pub(crate) fn add(&self, key: Key) -> Result<KeyId, KeyError> {
        let id = key.id();
        self.change(|ring| ring.with(key))?;
        Ok(id)
    }

    /// Makes a key the primary one.
    pub(crate) fn use_key(&self, id: KeyId) -> Result<(), KeyError> {
        self.change(|ring| ring.with_primary(id))
    }

    /// Removes a key.
    pub(crate) fn remove(&self, id: KeyId) -> Result<(), KeyError> {
        self.change(|ring| ring.without(id))
    }

    /// Takes the keys of the key file instead of the present ones.
    pub(crate) fn reload(&self) -> Result<(), KeyError> {
        let path = self.key_file.as_ref().ok_or(KeyError::NoFile)?;
        let keys = files::read_keys(path)?;
        self.change(|_| KeyRing::new(keys))
    }

    /// What the router needs at levels allowed and signed, with a random number for the instance.
    pub(super) fn membership(&self, nonce: u64) -> Option<MembershipConfig> {
        let context = self.contexts.load();
        (context.policy.level() >= Level::Allowed).then(|| MembershipConfig {
            policy: Policy::clone(&context.policy),
            identity: context.identity.clone(),
            ticket: context.ticket.clone(),
            nonce,
            unix: clock::unix_millis(),
        })
    }

    /// Refuses revoked tickets in handshakes that begin from now on. The router closes the links that
    /// handshakes with an older state lead to.
    pub(super) fn set_revocations(&self, revocations: Revocations) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let context = self.contexts.load();
        let policy = Arc::new(Policy { revocations, ..Policy::clone(&context.policy) });
        self.contexts.store(Arc::new(Context { policy, ..Context::clone(&context) }));
    }

    /// Seals a solicitation for one datagram.
    pub(super) fn seal_datagram(&self, solicitation: &Solicitation) -> Vec<u8> {
        let context = self.contexts.load();
        let now = clock::unix_millis();
        datagram::seal(solicitation, context.ring.primary(), now, &mut clock::fill_random)
    }

    /// What is wrong with a datagram under a key that this node does not have.
    pub(super) fn no_common_key(&self, heard: KeyId) -> AuthError {
        AuthError::NoCommonKey { own: self.ids(), heard: vec![heard] }
    }

    /// Opens a datagram that has just arrived.
    pub(super) fn open_datagram(&self, bytes: &[u8]) -> Result<Solicitation, DatagramError> {
        let context = self.contexts.load();
        let mut window = self.replay_window.lock().unwrap_or_else(PoisonError::into_inner);
        let now = datagram::Now { unix: clock::unix_millis(), monotonic: clock::now() };
        datagram::open(bytes, &context.ring, &mut window, now)
    }

    /// Reads a revocation, as bytes or as the text of a file, and checks that the root has signed it.
    pub(crate) fn read_revocation(&self, revocation: &[u8]) -> Result<Revocation, KeyError> {
        let root = self.contexts.load().policy.root.ok_or(KeyError::NoRoot)?;
        let revocation = files::parse_revocation(revocation);
        revocation.filter(|revocation| revocation.verify(&root)).ok_or(KeyError::Revocation)
    }

    fn change(
        &self,
        change: impl FnOnce(&KeyRing) -> Result<KeyRing, KeyError>,
    ) -> Result<(), KeyError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let context = self.contexts.load();
        let ring = change(&context.ring)?;
        self.contexts.store(Arc::new(Context { ring, ..Context::clone(&context) }));
        Ok(())
    }
}

/// The cipher that this machine does faster, measured once.
fn fastest_cipher() -> Cipher {
    static FASTEST: OnceLock<Cipher> = OnceLock::new();
    *FASTEST.get_or_init(|| {
        let (aes, chacha) = (bytes_sealed(Cipher::AesGcm), bytes_sealed(Cipher::ChaChaPoly));
        tracing::debug!(aes, chacha, "bytes sealed in {MEASURE_TIME:?}");
        if aes >= chacha { Cipher::AesGcm } else { Cipher::ChaChaPoly }
    })
}

/// The number of bytes that a cipher seals in [`MEASURE_TIME`].
fn bytes_sealed(cipher: Cipher) -> usize {
    let mut sample = Sample::new(cipher);
    let end = clock::now() + MEASURE_TIME;
    let mut bytes = 0;
    while clock::now() < end {
        bytes += sample.seal();
    }
    bytes
}
