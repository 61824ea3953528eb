//! The nodes that the targets of the two planes name: names, instances, identities, tickets.

use std::sync::{Arc, LazyLock};

use meshage::protocol::membership::MembershipConfig;
use meshage::secure::announcement::{self, Scope};
use meshage::secure::ticket::{Revocation, Terms, Ticket};
use meshage::secure::{Identity, NamePattern, Policy, PublicKey, UnixMillis};
use meshage::wire::control::{Announcement, Credential, SignedAnnouncement};
use meshage::{Instance, Namespace, NodeName};

use super::input::Input;

/// The time of day at which a router is created.
pub(crate) const START: UnixMillis = UnixMillis(1_800_000_000_000);
/// The names of other nodes, less and greater than [`OWN_NAME`], one of the greatest length.
pub(crate) const NAMES: [&str; 6] =
    ["a", "b", "k", "y", "z", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"];
/// The name of the node under test.
pub(crate) const OWN_NAME: &str = "m";
/// The random number of each identity.
const NONCE: u64 = 7;

/// A valid name.
pub(crate) fn name(text: &str) -> NodeName {
    NodeName::new(text).expect("a valid name")
}

/// The identity of a node, and what its name is based on.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: NodeName,
    pub(crate) identity: Arc<Identity>,
    pub(crate) instance: Instance,
    /// `None` for the node whose key is on the list.
    pub(crate) ticket: Option<Arc<[u8]>>,
    pub(crate) revocation: Vec<u8>,
}

/// The members at levels allowed and signed: the node under test first, then one for each name.
pub(crate) struct Members {
    root: Identity,
    all: Vec<Member>,
}

static MEMBERS: LazyLock<Members> = LazyLock::new(Members::new);

impl Members {
    pub(crate) fn get() -> &'static Self {
        &MEMBERS
    }

    fn new() -> Self {
        let root = Identity::from_seed(&[255; 32]);
        let names = std::iter::once(OWN_NAME).chain(NAMES);
        let all = names.enumerate().map(|(at, text)| member(&root, at, text)).collect();
        Self { root, all }
    }

    pub(crate) fn own(&self) -> &Member {
        &self.all[0]
    }

    pub(crate) fn pick(&self, input: &mut Input<'_>) -> &Member {
        &self.all[input.below(self.all.len())]
    }

    /// The configuration of the node under test.
    pub(crate) fn config(&self, signed: bool) -> MembershipConfig {
        let listed = &self.all[1];
        let policy = Policy {
            allow: [(listed.name.clone(), listed.identity.public_key())].into(),
            root: Some(self.root.public_key()),
            signed,
            ..Policy::default()
        };
        MembershipConfig {
            policy,
            identity: self.own().identity.clone(),
            ticket: self.own().ticket.clone(),
            nonce: NONCE,
            unix: START,
        }
    }

    /// Signs an announcement, and then perhaps alters what was signed.
    pub(crate) fn sign(
        &self,
        announcement: Announcement,
        signed: bool,
        input: &mut Input<'_>,
    ) -> SignedAnnouncement {
        let signer = self.pick(input);
        let scope = if signed { Scope::Announcement } else { Scope::Name };
        let announcement = match input.below(4) {
            0 => announcement,
            _ => Announcement {
                name: signer.name.clone(),
                instance: signer.instance,
                ..announcement
            },
        };
        let namespace = Namespace::default();
        let mut signature = announcement::sign(&signer.identity, &namespace, &announcement, scope);
        let mut credential = Some(Credential {
            public_key: signer.identity.public_key().0,
            nonce: NONCE,
            ticket: signer.ticket.as_deref().map(<[u8]>::to_vec),
        });
        match input.below(8) {
            0 => signature[input.below(64)] ^= 1,
            1 => credential = None,
            2 => {
                if let Some(credential) = &mut credential {
                    credential.ticket = self.pick(input).ticket.as_deref().map(<[u8]>::to_vec);
                }
            }
            _ => {}
        }
        SignedAnnouncement { announcement, signature, credential }
    }
}

fn member(root: &Identity, at: usize, text: &str) -> Member {
    let identity = Identity::from_seed(&[at as u8; 32]);
    let public_key = identity.public_key();
    let terms = terms(at, text, public_key);
    let ticket = (at != 1).then(|| Ticket::issue(root, terms.clone()).encode().into());
    Member {
        name: name(text),
        identity: Arc::new(identity),
        instance: announcement::instance_of(&public_key, NONCE),
        ticket,
        revocation: Revocation::of(root, &terms).encode(),
    }
}

/// Some tickets end soon, one has not begun.
fn terms(at: usize, text: &str, public_key: PublicKey) -> Terms {
    let (from, to) = match at {
        3 => (0, 20_000),
        4 => (0, 86_400_000),
        5 => (60_000, u64::MAX - START.0),
        _ => (0, 1 << 40),
    };
    Terms {
        name: NamePattern::new(text).expect("a valid pattern"),
        public_key,
        not_before: UnixMillis(START.0 + from),
        not_after: UnixMillis(START.0 + to),
        serial: at as u64,
    }
}
