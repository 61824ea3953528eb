//! Secrets in memory.

use std::fmt;
use std::ops::{Deref, DerefMut};

use zeroize::{Zeroize as _, Zeroizing};

use super::key::KEY_BYTES;
#[cfg(feature = "net")]
use crate::net::sys::secret_memory::Slot;

/// A secret of 32 bytes, erased when it is dropped, and never printed. Where the system can do that,
/// its memory is left out of core dumps.
pub(crate) struct Secret(Place);

/// Where a secret is.
enum Place {
    #[cfg(feature = "net")]
    Slot(Slot),
    Ordinary(Box<Zeroizing<[u8; KEY_BYTES]>>),
}

impl Secret {
    /// Takes over a secret, and erases the place that it comes from.
    pub(crate) fn take(bytes: &mut [u8; KEY_BYTES]) -> Self {
        let secret = Self::copy_of(bytes);
        bytes.zeroize();
        secret
    }

    /// A copy of a secret.
    pub(crate) fn copy_of(bytes: &[u8; KEY_BYTES]) -> Self {
        let mut secret = Self::zeros();
        secret.copy_from_slice(bytes);
        secret
    }

    /// Thirty-two zeros, to be filled.
    pub(crate) fn zeros() -> Self {
        #[cfg(feature = "net")]
        if let Some(slot) = Slot::take() {
            return Self(Place::Slot(slot));
        }
        Self(Place::Ordinary(Box::new(Zeroizing::new([0; KEY_BYTES]))))
    }
}

impl Clone for Secret {
    fn clone(&self) -> Self {
        Self::copy_of(self)
    }
}

impl Deref for Secret {
    type Target = [u8; KEY_BYTES];

    fn deref(&self) -> &[u8; KEY_BYTES] {
        match &self.0 {
            #[cfg(feature = "net")]
            Place::Slot(slot) => slot,
            Place::Ordinary(bytes) => bytes,
        }
    }
}

impl DerefMut for Secret {
    fn deref_mut(&mut self) -> &mut [u8; KEY_BYTES] {
        match &mut self.0 {
            #[cfg(feature = "net")]
            Place::Slot(slot) => slot,
            Place::Ordinary(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The bytes of stack that the libraries for hashes and signatures use, rounded up. The test that
/// searches a core dump finds the seed of an identity if they are not erased.
const USED_STACK_BYTES: usize = 16 * 1024;

/// Runs a function and overwrites the stack that it has used: the libraries for hashes and
/// signatures leave copies of their keys there. The erasure takes about 200 ns.
pub(crate) fn with_stack_erased<R>(work: impl FnOnce() -> R) -> R {
    let result = run(work);
    erase_stack();
    result
}

#[inline(never)]
fn run<R>(work: impl FnOnce() -> R) -> R {
    work()
}

#[inline(never)]
fn erase_stack() {
    // A mutable array: a constant one would lie in the program's data instead of on the stack.
    let mut used = [0_u8; USED_STACK_BYTES];
    std::hint::black_box(&mut used);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_moved_out_of_its_place_and_is_never_printed() {
        let mut bytes = [0xab; KEY_BYTES];
        let secret = Secret::take(&mut bytes);
        assert_eq!(bytes, [0; KEY_BYTES]);
        let copy = secret.clone();
        drop(secret);
        assert_eq!(*copy, [0xab; KEY_BYTES]);
        assert_eq!(format!("{copy:?}"), "Secret");
    }
}
