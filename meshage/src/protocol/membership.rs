//! Who is who at the levels *allowed* and *signed*: tickets, revocations and signatures.
//!
//! ```text
//!  handshake ──PeerProof──► Standing of a link's peer ──┐
//!  announcement + credential ──► Standing of an instance ├─► valid · ended · revoked
//!  revocations of the root ──────────────────────────────┘
//! ```
//!
//! Owns the policy with the revocations, this node's credential, and the budgets of the peers: how
//! many signatures are verified for a peer, and how many wrong ones it may send. It has no links and
//! no database: the router asks and acts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::io::PeerProof;
use super::token_bucket::TokenBucket;
use super::wall_clock::WallClock;
use crate::error::RefuseReason;
use crate::name::{Instance, Namespace, NodeName};
use crate::secure::announcement::{self, Scope};
use crate::secure::revocations::{Kept, Revocations};
use crate::secure::ticket::{Revocation, Terms, Ticket};
use crate::secure::{AuthError, Identity, Policy, PublicKey, UnixMillis};
use crate::wire::control::{Announcement, ControlFrame, Credential, Signature, SignedAnnouncement};

/// How many signatures are verified for one peer at once: those of a database exchange with 8,192
/// nodes, in half a second.
const VERIFICATIONS_MAX: u32 = 16_384;
/// The time in which one more is permitted: 2,000 a second take an eighth of a processor. A mesh of
/// 10,000 nodes needs 1,000.
const VERIFICATION_INTERVAL: Duration = Duration::from_micros(500);
/// How many wrong signatures a peer may send before its link is closed. A correct node with the same
/// root sends none.
const FORGERIES_MAX: u32 = 16;
/// The time in which one more is permitted.
const FORGERY_INTERVAL: Duration = Duration::from_secs(10);
/// The budgets that are kept: of all links, and of peers that come back. Of more, the one that was
/// used first is forgotten.
const BUDGETS_MAX: usize = 1024;

/// What a router at level allowed or signed needs.
#[derive(Debug, Clone)]
pub struct MembershipConfig {
    /// Which names are bound to which keys, and the revocations that are known already.
    pub policy: Policy,
    /// The identity of this node.
    pub identity: Arc<Identity>,
    /// The ticket of this node.
    pub ticket: Option<Arc<[u8]>>,
    /// A random number. The instance of this node must be [`MembershipConfig::instance`].
    pub nonce: u64,
    /// The time of day when the router is created.
    pub unix: UnixMillis,
}

impl MembershipConfig {
    /// The instance that belongs to the identity and the random number.
    pub fn instance(&self) -> Instance {
        announcement::instance_of(&self.identity.public_key(), self.nonce)
    }
}

/// What the name of a node is based on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) public_key: PublicKey,
    /// The terms of its ticket; `None` if its key is on the list.
    pub(super) ticket: Option<Terms>,
}

impl Standing {
    /// When it ends.
    pub(super) fn ends(&self) -> Option<UnixMillis> {
        self.ticket.as_ref().map(|ticket| ticket.not_after)
    }
}

/// The signature of an announcement, and the credential of its originator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) signature: Signature,
    pub(super) credential: Arc<Credential>,
    pub(super) standing: Standing,
}

impl Signed {
    /// The frame of the announcement that was signed.
    pub(super) fn frame(&self, announcement: Announcement, with_credential: bool) -> ControlFrame {
        let signature = self.signature;
        let credential = with_credential.then(|| (*self.credential).clone());
        let signed = SignedAnnouncement { announcement, signature, credential };
        ControlFrame::SignedAnnounce(Box::new(signed))
    }
}

/// Why an announcement is not installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejected {
    /// Not by a fault of the peer: its list differs, it does not know a revocation yet, or its clock
    /// differs.
    NotAllowed,
    /// No correct node forwards it.
    Forged,
    /// Too many signatures were verified for the peer.
    Limited,
    /// It came without a credential, and the credential of its instance is not known.
    NoCredential,
}

/// How many signatures are verified for a peer, and how many wrong ones it may send.
#[derive(Debug)]
struct Budget {
    verifications: TokenBucket,
    forgeries: TokenBucket,
    used: u64,
}

/// The membership of a node at level allowed or signed.
#[derive(Debug)]
pub(super) struct Membership {
    policy: Policy,
    identity: Arc<Identity>,
    credential: Arc<Credential>,
    /// The terms of this node's ticket.
    own_ticket: Option<Terms>,
    clock: WallClock,
    /// Whether the end of this node's ticket was reported.
    own_end_reported: bool,
    /// The last announcement that this node signed, and the signature.
    own_signature: Option<(Announcement, Signature)>,
    /// By public key, so that a peer does not get a new budget with a new link.
    budgets: BTreeMap<PublicKey, Budget>,
    budgets_used: u64,
}

impl Membership {
    pub(super) fn new(config: MembershipConfig, name: &NodeName, now: Instant) -> Self {
        let ticket = config.ticket.as_deref();
        let listed = config.policy.allow.get(name) == Some(&config.identity.public_key());
        let own_ticket = ticket.and_then(|ticket| Ticket::decode(ticket).ok());
        Self {
            own_ticket: own_ticket.map(|ticket| ticket.terms).filter(|_| !listed),
            credential: Arc::new(Credential {
                public_key: config.identity.public_key().0,
                nonce: config.nonce,
                ticket: ticket.map(<[u8]>::to_vec),
            }),
            clock: WallClock::new(now, config.unix),
            policy: config.policy,
            identity: config.identity,
            own_end_reported: false,
            own_signature: None,
            budgets: BTreeMap::new(),
            budgets_used: 0,
        }
    }

    /// What the signatures of announcements cover.
    pub(super) fn scope(&self) -> Scope {
        match self.policy.signed {
            true => Scope::Announcement,
            false => Scope::Name,
        }
    }

    /// The clock of this machine was set.
    pub(super) fn set_clock(&mut self, unix: UnixMillis, now: Instant) {
        self.clock = WallClock::new(now, unix);
    }

    pub(super) fn clock(&self) -> WallClock {
        self.clock
    }

    /// This node's credential.
    pub(super) fn credential(&self) -> &Credential {
        &self.credential
    }

    /// This node's signature of its announcement.
    pub(super) fn sign(&mut self, namespace: &Namespace, own: &Announcement) -> Signature {
        let scope = self.scope();
        let holds =
            |(signed, _): &&(Announcement, Signature)| scope == Scope::Name || signed == own;
        if let Some((_, signature)) = self.own_signature.as_ref().filter(holds) {
            return *signature;
        }
        let signature = announcement::sign(&self.identity, namespace, own, scope);
        self.own_signature = Some((own.clone(), signature));
        signature
    }

    /// What the other end of a link has proven, or why this node refuses it. The handshake has
    /// verified the signatures, but a ticket may have ended or been revoked since.
    pub(super) fn standing_of_peer(
        &self,
        proof: &PeerProof,
        now: Instant,
    ) -> Result<Standing, RefuseReason> {
        let shown = proof.ticket.as_deref().filter(|_| proof.grant.serial.is_some());
        let ticket = shown.and_then(|ticket| Ticket::decode(ticket).ok()).map(|it| it.terms);
        let standing = Standing { public_key: proof.public_key, ticket };
        match self.end_of(&standing, now) {
            Some(reason) => Err(reason),
            None => Ok(standing),
        }
    }

    /// Why a standing no longer holds.
    pub(super) fn end_of(&self, standing: &Standing, now: Instant) -> Option<RefuseReason> {
        let ticket = standing.ticket.as_ref()?;
        if self.policy.revocations.covers(ticket) {
            Some(RefuseReason::Revoked)
        } else if ticket.not_after <= self.clock.unix(now) {
            Some(RefuseReason::TicketEnded)
        } else {
            None
        }
    }

    /// When this node's ticket ends, if that was not reported.
    pub(super) fn own_ends(&self) -> Option<UnixMillis> {
        self.own_ticket.as_ref().filter(|_| !self.own_end_reported).map(|it| it.not_after)
    }

    /// Whether this node's ticket has ended or been revoked since the last call.
    pub(super) fn take_own_end(&mut self, now: Instant) -> Option<RefuseReason> {
        let ticket = self.own_ticket.as_ref().filter(|_| !self.own_end_reported)?;
        let public_key = self.identity.public_key();
        let standing = Standing { public_key, ticket: Some(ticket.clone()) };
        let reason = self.end_of(&standing, now)?;
        self.own_end_reported = true;
        Some(reason)
    }

    /// Checks that an announcement comes from the node whose name it bears. `known` is what is known
    /// of its instance. Returns what to keep with it.
    pub(super) fn verify(
        &mut self,
        namespace: &Namespace,
        (announcement, signature, credential): (&Announcement, Signature, Option<Credential>),
        known: Option<&Signed>,
        from: &PublicKey,
        now: Instant,
    ) -> Result<Signed, Rejected> {
        let (credential, standing) = match (credential, known) {
            (None, None) => return Err(Rejected::NoCredential),
            (None, Some(known)) => (known.credential.clone(), known.standing.clone()),
            (Some(shown), Some(known)) if shown == *known.credential => {
                (known.credential.clone(), known.standing.clone())
            }
            (Some(shown), _) => {
                let standing = self.verify_credential(announcement, &shown, from, now)?;
                (Arc::new(shown), standing)
            }
        };
        if self.end_of(&standing, now).is_some() {
            return Err(Rejected::NotAllowed);
        }
        if !self.may_verify(from, now) {
            return Err(Rejected::Limited);
        }
        let (public_key, scope) = (&standing.public_key, self.scope());
        if !announcement::verify(public_key, namespace, announcement, &signature, scope) {
            return Err(Rejected::Forged);
        }
        Ok(Signed { signature, credential, standing })
    }

    /// Checks that an instance belongs to a key, and a name to this key.
    fn verify_credential(
        &mut self,
        announcement: &Announcement,
        credential: &Credential,
        from: &PublicKey,
        now: Instant,
    ) -> Result<Standing, Rejected> {
        let public_key = PublicKey(credential.public_key);
        if announcement::instance_of(&public_key, credential.nonce) != announcement.instance {
            return Err(Rejected::Forged);
        }
        let ticket = credential.ticket.as_deref().map(Ticket::decode).transpose();
        let Ok(ticket) = ticket else { return Err(Rejected::Forged) };
        let ticket = ticket.map(|ticket| ticket.terms);
        let shown = Standing { public_key, ticket };
        // Before any signature is verified: a peer may not know yet that a ticket has ended.
        if self.end_of(&shown, now).is_some() {
            return Err(Rejected::NotAllowed);
        }
        if !self.may_verify(from, now) {
            return Err(Rejected::Limited);
        }
        let ticket = credential.ticket.as_deref();
        let unix = self.clock.unix(now);
        match self.policy.admit(&announcement.name, &public_key, ticket, unix) {
            Ok(grant) => {
                let ticket = shown.ticket.filter(|_| grant.serial.is_some());
                Ok(Standing { public_key, ticket })
            }
            Err(AuthError::Ticket(..)) => Err(Rejected::Forged),
            // The list of the peer differs, or its clock.
            Err(_) => Err(Rejected::NotAllowed),
        }
    }

    /// Whether one more signature may be verified for a peer.
    fn may_verify(&mut self, from: &PublicKey, now: Instant) -> bool {
        self.budget(from, now).verifications.take(now)
    }

    /// A peer has sent a wrong signature. Returns whether it may send more.
    pub(super) fn charge(&mut self, from: &PublicKey, now: Instant) -> bool {
        self.budget(from, now).forgeries.take(now)
    }

    fn budget(&mut self, peer: &PublicKey, now: Instant) -> &mut Budget {
        if self.budgets.len() >= BUDGETS_MAX && !self.budgets.contains_key(peer) {
            let first = self.budgets.iter().min_by_key(|(_, budget)| budget.used);
            if let Some(first) = first.map(|(key, _)| *key) {
                self.budgets.remove(&first);
            }
        }
        self.budgets_used += 1;
        let budget = self.budgets.entry(*peer).or_insert_with(|| Budget {
            verifications: TokenBucket::new(VERIFICATION_INTERVAL, VERIFICATIONS_MAX, now),
            forgeries: TokenBucket::new(FORGERY_INTERVAL, FORGERIES_MAX, now),
            used: 0,
        });
        budget.used = self.budgets_used;
        budget
    }

    /// Takes a revocation of a peer (`from`), or of the application. `Ok` says what became of it.
    pub(super) fn take_revocation(
        &mut self,
        revocation: Revocation,
        from: Option<&PublicKey>,
        now: Instant,
    ) -> Result<Kept, Rejected> {
        let unix = self.clock.unix(now);
        if let Some(known) = self.policy.revocations.known(&revocation.revoked, unix) {
            return Ok(known);
        }
        let Some(root) = self.policy.root else { return Err(Rejected::NotAllowed) };
        if from.is_some_and(|from| !self.may_verify(from, now)) {
            return Err(Rejected::Limited);
        }
        if !revocation.verify(&root) {
            return Err(Rejected::Forged);
        }
        Ok(self.policy.revocations.insert(revocation, unix))
    }

    /// The revocations that still hold.
    pub(super) fn revocations(&mut self, now: Instant) -> &Revocations {
        self.policy.revocations.drop_ended(self.clock.unix(now));
        &self.policy.revocations
    }
}
