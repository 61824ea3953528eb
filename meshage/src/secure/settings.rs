//! The part of a configuration that closes a mesh.

#[cfg(feature = "net")]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::datagram::CLOCK_SKEW;
#[cfg(feature = "net")]
use super::files;
use super::identity::{Identity, PublicKey};
use super::key::Key;
use super::key_ring::KeyRing;
use super::policy::Policy;
use crate::error::ConfigError;
use crate::name::NodeName;

/// What makes a node closed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The pre-shared keys.
    pub ring: KeyRing,
    /// The file that some of them came from.
    #[cfg(feature = "net")]
    pub key_file: Option<PathBuf>,
    /// Who may be a peer.
    pub policy: Arc<Policy>,
    /// The identity; one for this run if there is none.
    pub identity: Option<Arc<Identity>>,
    /// The ticket.
    pub ticket: Option<Arc<[u8]>>,
    /// How far the clocks of two nodes may differ.
    pub clock_skew: Duration,
}

/// Collects the [`Settings`].
#[derive(Debug, Clone)]
pub(crate) struct SettingsBuilder {
    pub(crate) keys: Vec<Key>,
    #[cfg(feature = "net")]
    pub(crate) key_file: Option<PathBuf>,
    #[cfg(feature = "net")]
    pub(crate) identity_file: Option<PathBuf>,
    #[cfg(feature = "net")]
    pub(crate) ticket_file: Option<PathBuf>,
    pub(crate) root: Option<PublicKey>,
    pub(crate) allow: Vec<(String, PublicKey)>,
    pub(crate) signed: bool,
    pub(crate) clock_skew: Duration,
}

impl Default for SettingsBuilder {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            #[cfg(feature = "net")]
            key_file: None,
            #[cfg(feature = "net")]
            identity_file: None,
            #[cfg(feature = "net")]
            ticket_file: None,
            root: None,
            allow: Vec::new(),
            signed: false,
            clock_skew: CLOCK_SKEW,
        }
    }
}

impl SettingsBuilder {
    /// Reads the files and checks that the options fit together. `None` for an open node.
    pub(crate) fn build(mut self, _name: &NodeName) -> Result<Option<Settings>, ConfigError> {
        #[cfg_attr(not(feature = "net"), allow(unused_mut, reason = "files need the driver"))]
        let mut keys = std::mem::take(&mut self.keys);
        #[cfg(feature = "net")]
        if let Some(path) = &self.key_file {
            keys.extend(files::read_keys(path)?);
        }
        let named = !self.allow.is_empty() || self.root.is_some();
        if self.signed && !named {
            return Err(ConfigError::Security(
                "signed announcements need names that are bound to keys: allow nodes, or set a root",
            ));
        }
        if keys.is_empty() {
            return if named || self.has_files() {
                Err(ConfigError::Security("a closed mesh needs a key: add one, or a key file"))
            } else {
                Ok(None)
            };
        }
        let mut policy = Policy { root: self.root, signed: self.signed, ..Policy::default() };
        for (name, public_key) in self.allow {
            policy.allow.insert(NodeName::new(&name)?, public_key);
        }
        #[cfg(feature = "net")]
        let (identity, ticket) = {
            let identity = self.identity_file.as_deref().map(files::read_identity).transpose()?;
            let ticket = self.ticket_file.as_deref().map(files::read_ticket).transpose()?;
            (identity.map(Arc::new), ticket.map(Arc::from))
        };
        #[cfg(not(feature = "net"))]
        let (identity, ticket) = (None, None);
        if named && identity.is_none() {
            return Err(ConfigError::Security(
                "names are bound to keys, so the node needs an identity file",
            ));
        }
        Ok(Some(Settings {
            ring: KeyRing::new(keys)?,
            #[cfg(feature = "net")]
            key_file: self.key_file,
            policy: Arc::new(policy),
            identity,
            ticket,
            clock_skew: self.clock_skew,
        }))
    }

    fn has_files(&self) -> bool {
        #[cfg(feature = "net")]
        return self.identity_file.is_some() || self.ticket_file.is_some();
        #[cfg(not(feature = "net"))]
        false
    }
}
