//! Signatures of announcements, and the numbers of instances that belong to a public key.
//!
//! A node derives its instance from its public key and a random number. No other node can therefore
//! announce this instance under a key of its own.

use blake2::{Blake2s256, Digest as _};

use super::identity::{Identity, PublicKey, SIGNATURE_BYTES};
use crate::name::{Instance, Namespace};
use crate::wire::codec;
use crate::wire::control::Announcement;

/// What comes before the signed fields, so that a signature for one use is none for another.
const ANNOUNCEMENT_LABEL: &[u8] = b"meshage 1 announcement";
const NAME_LABEL: &[u8] = b"meshage 1 name";
const INSTANCE_LABEL: &[u8] = b"meshage 1 instance";

/// What the signature of an announcement covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The name and the instance, at level allowed.
    Name,
    /// All fields, at level signed.
    Announcement,
}

/// The instance that belongs to a public key and a random number.
pub fn instance_of(public_key: &PublicKey, nonce: u64) -> Instance {
    let hash = Blake2s256::new()
        .chain_update(INSTANCE_LABEL)
        .chain_update(public_key.0)
        .chain_update(nonce.to_le_bytes())
        .finalize();
    let mut number = [0; 8];
    number.copy_from_slice(&hash[..8]);
    Instance(u64::from_le_bytes(number))
}

/// Signs an announcement.
pub fn sign(
    identity: &Identity,
    namespace: &Namespace,
    announcement: &Announcement,
    scope: Scope,
) -> [u8; SIGNATURE_BYTES] {
    identity.sign(&signed_text(namespace, announcement, scope))
}

/// Whether the identity with this public key has signed the announcement.
#[must_use]
pub fn verify(
    public_key: &PublicKey,
    namespace: &Namespace,
    announcement: &Announcement,
    signature: &[u8; SIGNATURE_BYTES],
    scope: Scope,
) -> bool {
    public_key.has_signed(&signed_text(namespace, announcement, scope), signature)
}

fn signed_text(namespace: &Namespace, announcement: &Announcement, scope: Scope) -> Vec<u8> {
    let mut text = Vec::new();
    match scope {
        Scope::Name => {
            text.extend(NAME_LABEL);
            codec::encode(namespace, &mut text);
            codec::encode(&announcement.name, &mut text);
            codec::encode(&announcement.instance, &mut text);
        }
        Scope::Announcement => {
            text.extend(ANNOUNCEMENT_LABEL);
            codec::encode(namespace, &mut text);
            codec::encode(announcement, &mut text);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{Claim, NodeName, Sequence};

    fn announcement() -> Announcement {
        Announcement {
            name: NodeName::new("ada").expect("valid"),
            instance: Instance(7),
            sequence: Sequence(17),
            claim: Claim(2),
            leaving: false,
            peers: vec![Instance(8), Instance(300)],
        }
    }

    #[test]
    fn a_signature_is_for_one_announcement_one_namespace_and_one_key() {
        let identity = Identity::from_seed(&[1; 32]);
        let namespace = Namespace::new("demo").expect("valid");
        let scope = Scope::Announcement;
        let signature = sign(&identity, &namespace, &announcement(), scope);
        let verifies = |announcement: &Announcement| {
            verify(&identity.public_key(), &namespace, announcement, &signature, scope)
        };
        assert!(verifies(&announcement()));
        let original = announcement();
        for altered in [
            Announcement { name: NodeName::new("bob").expect("valid"), ..original.clone() },
            Announcement { instance: Instance(8), ..original.clone() },
            Announcement { sequence: Sequence(18), ..original.clone() },
            Announcement { claim: Claim(3), ..original.clone() },
            Announcement { leaving: true, ..original.clone() },
            Announcement { peers: vec![Instance(8)], ..original.clone() },
        ] {
            assert!(!verifies(&altered), "{altered:?}");
        }
        let other = Namespace::new("other").expect("valid");
        assert!(!verify(&identity.public_key(), &other, &original, &signature, scope));
        let stranger = Identity::from_seed(&[2; 32]).public_key();
        assert!(!verify(&stranger, &namespace, &original, &signature, scope));
        assert!(!verify(&identity.public_key(), &namespace, &original, &signature, Scope::Name));
    }

    #[test]
    fn a_signature_of_a_name_is_for_every_announcement_of_one_instance() {
        let identity = Identity::from_seed(&[1; 32]);
        let namespace = Namespace::new("demo").expect("valid");
        let signature = sign(&identity, &namespace, &announcement(), Scope::Name);
        let verifies = |announcement: &Announcement, scope| {
            verify(&identity.public_key(), &namespace, announcement, &signature, scope)
        };
        let original = announcement();
        assert!(!verifies(&original, Scope::Announcement));
        let later = Announcement { sequence: Sequence(18), peers: Vec::new(), ..original.clone() };
        assert!(verifies(&later, Scope::Name));
        for altered in [
            Announcement { name: NodeName::new("bob").expect("valid"), ..original.clone() },
            Announcement { instance: Instance(8), ..original },
        ] {
            assert!(!verifies(&altered, Scope::Name), "{altered:?}");
        }
    }

    #[test]
    fn an_instance_belongs_to_one_key_and_one_number() {
        let (a, b) = (PublicKey([1; 32]), PublicKey([2; 32]));
        assert_eq!(instance_of(&a, 3), instance_of(&a, 3));
        assert_ne!(instance_of(&a, 3), instance_of(&b, 3));
        assert_ne!(instance_of(&a, 3), instance_of(&a, 4));
    }
}
