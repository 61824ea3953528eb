//! The sequence numbers at which the channels of this node start. They are secret, so that a node that
//! does not relay a channel cannot forge a number that the channel uses.

use blake2::Blake2sMac;
use blake2::digest::consts::U8;
use blake2::digest::{FixedOutput as _, KeyInit, Mac as _};

use crate::name::NodeName;

/// A secret from which the first sequence numbers are computed. The numbers of one recipient do not
/// show those of another.
#[derive(Clone)]
pub struct FirstNumbers {
    /// `None`: every channel starts at 1, for tests.
    secret: Option<[u8; 32]>,
}

impl FirstNumbers {
    /// The largest first number is below 2 to the power of this. Numbers that count up from there
    /// never run out.
    const BITS: u32 = 48;

    /// First numbers that depend on a random secret.
    pub fn new(secret: [u8; 32]) -> Self {
        Self { secret: Some(secret) }
    }

    #[cfg(test)]
    pub(in crate::forward) fn known() -> Self {
        Self { secret: None }
    }

    /// The first number of the channels to one recipient.
    pub(super) fn set(&self, recipient: &NodeName) -> u64 {
        self.number(b"set", recipient.as_str().as_bytes())
    }

    /// The first number of the small or large broadcasts. Every node of the mesh sees it.
    pub(super) fn broadcast(&self, large: bool) -> u64 {
        self.number(b"broadcast", &[large.into()])
    }

    fn number(&self, kind: &[u8], which: &[u8]) -> u64 {
        let Some(secret) = &self.secret else { return 1 };
        let mut mac = <Blake2sMac<U8> as KeyInit>::new(secret.into());
        mac.update(kind);
        mac.update(&[0]);
        mac.update(which);
        1 + (u64::from_le_bytes(mac.finalize_fixed().into()) >> (u64::BITS - Self::BITS))
    }
}

impl std::fmt::Debug for FirstNumbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FirstNumbers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipient_and_every_secret_has_other_first_numbers() {
        let node = |name| NodeName::new(name).expect("valid");
        let numbers = |secret| {
            let first = FirstNumbers::new([secret; 32]);
            [
                first.set(&node("a")),
                first.set(&node("b")),
                first.broadcast(false),
                first.broadcast(true),
            ]
        };
        let mut all = [numbers(1), numbers(2)].concat();
        assert_eq!(numbers(1), all[..4], "the same for the same secret");
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 8);
        assert!(all.iter().all(|number| (1..=1 << FirstNumbers::BITS).contains(number)));
    }
}
