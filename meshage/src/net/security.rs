//! The keys and the identity of a running node.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::clock;
use crate::error::StartError;
use crate::secure::datagram::{self, DatagramError, ReplayWindow};
use crate::secure::handshake::{Context, StaticKey};
use crate::secure::identity::{Identity, PublicKey};
use crate::secure::key_ring::KeyRing;
use crate::secure::settings::Settings;
use crate::secure::{Cipher, Key, KeyError, KeyId, files};
use crate::wire::solicitation::Solicitation;

/// The security of a closed node. Readers take no lock; changes are made one after the other.
#[derive(Debug)]
pub(crate) struct Security {
    context: ArcSwap<Context>,
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
            None => Arc::new(Identity::from_seed(&clock::seed().map_err(StartError::Runtime)?)),
        };
        let context = Context {
            ring: settings.ring.clone(),
            policy: settings.policy.clone(),
            cipher: Cipher::AesGcm,
            identity,
            ticket: settings.ticket.clone(),
            static_key: Arc::new(StaticKey::new(&mut fill)),
        };
        Ok(Self {
            context: ArcSwap::from_pointee(context),
            key_file: settings.key_file.clone(),
            changing: Mutex::new(()),
            replay_window: Mutex::new(ReplayWindow::new(settings.clock_skew)),
        })
    }

    /// What a handshake that begins now uses.
    pub(crate) fn context(&self) -> Arc<Context> {
        self.context.load_full()
    }

    /// The node's public key.
    pub(crate) fn public_key(&self) -> PublicKey {
        self.context.load().identity.public_key()
    }

    /// The ids of the keys, the primary one first.
    pub(crate) fn ids(&self) -> Vec<KeyId> {
        self.context.load().ring.ids()
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

    /// Seals a solicitation for one datagram.
    pub(super) fn seal_datagram(&self, solicitation: &Solicitation) -> Vec<u8> {
        let context = self.context.load();
        let now = clock::unix_millis();
        datagram::seal(solicitation, context.ring.primary(), now, &mut clock::fill_random)
    }

    /// Opens a datagram that has just arrived.
    pub(super) fn open_datagram(&self, bytes: &[u8]) -> Result<Solicitation, DatagramError> {
        let context = self.context.load();
        let mut window = self.replay_window.lock().unwrap_or_else(PoisonError::into_inner);
        datagram::open(bytes, &context.ring, &mut window, clock::unix_millis())
    }

    /// Checks that the root has signed a revocation.
    pub(crate) fn check_revocation(&self, _revocation: &[u8]) -> Result<(), KeyError> {
        Err(KeyError::Revocation)
    }

    fn change(
        &self,
        change: impl FnOnce(&KeyRing) -> Result<KeyRing, KeyError>,
    ) -> Result<(), KeyError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let context = self.context.load();
        let ring = change(&context.ring)?;
        self.context.store(Arc::new(Context { ring, ..Context::clone(&context) }));
        Ok(())
    }
}
