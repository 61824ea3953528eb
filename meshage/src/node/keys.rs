//! The keys of a closed node.

use super::Node;
use crate::net::security::Security;
use crate::protocol::io::Command;
use crate::secure::{Key, KeyError, KeyId};

/// The pre-shared keys of a node. They can be changed while it runs, so that a mesh changes its key
/// without losing a message: add the new key on every node, then use it on every node, then remove
/// the old one from every node.
///
/// Every method may be called from any thread at any time.
///
/// ```
/// use meshage::{Config, Key, Node, generate_key};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (old, new) = (Key::from_bytes(&generate_key()?), Key::from_bytes(&generate_key()?));
/// let config = Config::builder("a").bind("127.0.0.1").port(0).key(old.clone());
/// let node = Node::start(config.build()?).await?;
/// node.keys().add(new.clone())?; // then on every other node
/// node.keys().use_key(new.id())?; // then on every other node
/// node.keys().remove(old.id())?;
/// assert_eq!(node.keys().ids(), [new.id()]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct Keys<'a>(pub(super) &'a Node);

impl Keys<'_> {
    /// The ids of the keys, the primary one first. An open node has none.
    pub fn ids(&self) -> Vec<KeyId> {
        self.security().map(Security::ids).unwrap_or_default()
    }

    /// The id of the primary key, which opens new links.
    pub fn primary(&self) -> Option<KeyId> {
        self.ids().first().copied()
    }

    /// Adds a key, which is accepted from now on, and returns its id. A key that the node has already
    /// is no error. A node that found no peer because it lacked the key joins at once.
    ///
    /// # Errors
    /// [`KeyError::TooMany`], [`KeyError::Open`] on a node that was started without a key,
    /// [`KeyError::Closed`].
    pub fn add(&self, key: Key) -> Result<KeyId, KeyError> {
        let id = self.required()?.add(key)?;
        self.changed();
        Ok(id)
    }

    /// Makes a key the primary one. The node moves its links to it, as far as their other ends have
    /// it; no message is lost or late.
    ///
    /// # Errors
    /// [`KeyError::Unknown`], [`KeyError::Open`], [`KeyError::Closed`].
    pub fn use_key(&self, id: KeyId) -> Result<(), KeyError> {
        self.required()?.use_key(id)?;
        self.changed();
        Ok(())
    }

    /// Removes a key. Links under it move to the primary key. A link whose other end does not have
    /// that one is closed.
    ///
    /// # Errors
    /// [`KeyError::Unknown`], [`KeyError::Primary`], [`KeyError::Open`], [`KeyError::Closed`].
    pub fn remove(&self, id: KeyId) -> Result<(), KeyError> {
        self.required()?.remove(id)?;
        self.changed();
        Ok(())
    }

    /// Reads the key file again, and takes its keys instead of all present ones. The library handles
    /// no signals: a program that is to read the file at SIGHUP calls this method from its handler
    /// loop.
    ///
    /// # Errors
    /// [`KeyError::File`], [`KeyError::NoFile`], [`KeyError::Open`], [`KeyError::Closed`]. The keys
    /// are unchanged then.
    pub fn reload(&self) -> Result<(), KeyError> {
        self.required()?.reload()?;
        self.changed();
        Ok(())
    }

    fn security(&self) -> Option<&Security> {
        self.0.shared.security.as_ref()
    }

    fn required(&self) -> Result<&Security, KeyError> {
        if self.0.is_closed() {
            return Err(KeyError::Closed);
        }
        self.security().ok_or(KeyError::Open)
    }

    fn changed(&self) {
        self.0.shared.command(Command::KeysChanged);
    }
}
