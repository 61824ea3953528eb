//! Who may join with which name.

use std::collections::BTreeMap;

use super::error::AuthError;
use super::identity::PublicKey;
use super::{Level, UnixMillis};
use crate::name::NodeName;

/// What a node demands of the other end of a link, beside a common key.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The public keys that are bound to names. Empty at level closed.
    pub allow: BTreeMap<NodeName, PublicKey>,
    /// The public key of the root, whose tickets are accepted.
    pub root: Option<PublicKey>,
    /// Whether announcements must be signed.
    pub signed: bool,
}

/// What a node has proven about its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Grant {
    /// When its ticket ends. It has none if its public key is on the list, or at level closed.
    pub ends: Option<UnixMillis>,
    /// The serial number of its ticket.
    pub serial: Option<u64>,
}

impl Policy {
    /// The level of this node.
    pub fn level(&self) -> Level {
        match (self.allow.is_empty() && self.root.is_none(), self.signed) {
            (true, _) => Level::Closed,
            (false, false) => Level::Allowed,
            (false, true) => Level::Signed,
        }
    }

    /// Decides whether a node with this name and public key may be a peer. The caller has verified
    /// that it holds the public key.
    ///
    /// # Errors
    /// [`AuthError::NotAllowed`], [`AuthError::Ticket`].
    pub fn admit(
        &self,
        name: &NodeName,
        public_key: &PublicKey,
        _ticket: Option<&[u8]>,
        _now: UnixMillis,
    ) -> Result<Grant, AuthError> {
        if self.level() == Level::Closed || self.allow.get(name) == Some(public_key) {
            return Ok(Grant::default());
        }
        Err(AuthError::NotAllowed(name.to_string()))
    }
}
