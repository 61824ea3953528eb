//! Secrets in memory.

use std::fmt;
use std::ops::{Deref, DerefMut};

use zeroize::Zeroize as _;

use super::key::KEY_BYTES;

/// A secret of 32 bytes, erased when it is dropped, and never printed.
#[derive(Clone)]
pub(crate) struct Secret(Box<[u8; KEY_BYTES]>);

impl Secret {
    /// Takes over a secret, and erases the place that it comes from.
    pub(crate) fn take(bytes: &mut [u8; KEY_BYTES]) -> Self {
        let secret = Self(Box::new(*bytes));
        bytes.zeroize();
        secret
    }

    /// Thirty-two zeros, to be filled.
    pub(crate) fn zeros() -> Self {
        Self(Box::new([0; KEY_BYTES]))
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Deref for Secret {
    type Target = [u8; KEY_BYTES];

    fn deref(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl DerefMut for Secret {
    fn deref_mut(&mut self) -> &mut [u8; KEY_BYTES] {
        &mut self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
