//! The pre-shared keys of a node, the primary one first.

use std::sync::Arc;

use super::error::KeyError;
use super::key::{Key, KeyId};

/// The most keys of a node: enough for several rotations at once, and few enough that a preface
/// names all of them.
pub const KEYS_MAX: usize = 8;

/// The keys of a node. It never changes: each change makes another ring. A link keeps the ring that
/// it looked up until it looks again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRing {
    /// The primary key first; never empty.
    keys: Arc<[Key]>,
}

impl KeyRing {
    /// A ring of these keys, the first of which is the primary one. Copies are ignored.
    ///
    /// # Errors
    /// [`KeyError::Open`] without a key, [`KeyError::TooMany`].
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Result<Self, KeyError> {
        let mut ring: Vec<Key> = Vec::new();
        for key in keys {
            if !ring.contains(&key) {
                if ring.len() == KEYS_MAX {
                    return Err(KeyError::TooMany);
                }
                ring.push(key);
            }
        }
        if ring.is_empty() {
            return Err(KeyError::Open);
        }
        Ok(Self { keys: ring.into() })
    }

    /// The key that opens new links and seals datagrams.
    pub fn primary(&self) -> &Key {
        &self.keys[0]
    }

    /// All keys, the primary one first.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The ids of all keys, the primary one first.
    pub fn ids(&self) -> Vec<KeyId> {
        self.keys.iter().map(Key::id).collect()
    }

    /// The key with this id.
    pub fn get(&self, id: KeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.id() == id)
    }

    /// This ring and one more key, which is accepted and not used for new links.
    ///
    /// # Errors
    /// [`KeyError::TooMany`].
    pub fn with(&self, key: Key) -> Result<Self, KeyError> {
        Self::new(self.keys.iter().cloned().chain([key]))
    }

    /// This ring with another primary key.
    ///
    /// # Errors
    /// [`KeyError::Unknown`].
    pub fn with_primary(&self, id: KeyId) -> Result<Self, KeyError> {
        let primary = self.get(id).ok_or(KeyError::Unknown(id))?.clone();
        Self::new([primary].into_iter().chain(self.keys.iter().cloned()))
    }

    /// This ring without a key.
    ///
    /// # Errors
    /// [`KeyError::Unknown`], [`KeyError::Primary`].
    pub fn without(&self, id: KeyId) -> Result<Self, KeyError> {
        self.get(id).ok_or(KeyError::Unknown(id))?;
        if self.primary().id() == id {
            return Err(KeyError::Primary(id));
        }
        Self::new(self.keys.iter().filter(|key| key.id() != id).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> Key {
        Key::from_bytes(&[number; 32])
    }

    #[test]
    fn the_first_key_is_primary_until_another_one_is_used() {
        let ring = KeyRing::new([key(1)]).expect("one key").with(key(2)).expect("room");
        assert_eq!(ring.primary(), &key(1));
        assert_eq!(ring.without(key(1).id()), Err(KeyError::Primary(key(1).id())));
        let ring = ring.with_primary(key(2).id()).expect("known");
        assert_eq!(ring.ids(), [key(2).id(), key(1).id()]);
        let ring = ring.without(key(1).id()).expect("not primary");
        assert_eq!(ring.ids(), [key(2).id()]);
        assert_eq!(ring.with_primary(key(1).id()), Err(KeyError::Unknown(key(1).id())));
    }

    #[test]
    fn a_ring_has_one_to_eight_keys_and_no_copies() {
        assert_eq!(KeyRing::new([]), Err(KeyError::Open));
        let ring = KeyRing::new((1..=8).map(key)).expect("eight");
        assert_eq!(ring.with(key(9)), Err(KeyError::TooMany));
        assert_eq!(ring.with(key(8)), Ok(ring));
    }
}
