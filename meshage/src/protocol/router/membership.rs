//! Levels allowed and signed: tickets that end, revocations, and the signatures of announcements.
//!
//! A signature covers the name and the instance at level allowed, and the whole announcement at level
//! signed.

use std::collections::BTreeSet;
use std::time::Instant;

use super::Router;
use crate::error::RefuseReason;
use crate::event::Event;
use crate::name::{Age, Instance, LinkId, NodeName};
use crate::protocol::adjacency::Link;
use crate::protocol::intake::Received;
use crate::protocol::io::{Output, PeerProof};
use crate::protocol::lsdb::Freshness;
use crate::protocol::membership::{Membership, Rejected, Standing};
use crate::protocol::timer::Timer;
use crate::secure::announcement::Scope;
use crate::secure::revocations::Kept;
use crate::secure::ticket::Revocation;
use crate::secure::{PublicKey, UnixMillis};
use crate::wire::control::{
    Announcement, ControlFrame, REVOCATIONS_IN_FRAME_MAX, SignedAnnouncement,
};

impl Router {
    /// Whether announcements have signatures.
    pub(super) fn signs(&self) -> bool {
        self.membership.is_some()
    }

    /// Whether a valid signature means that the whole announcement is by its originator.
    pub(super) fn signs_links(&self) -> bool {
        let scope = self.membership.as_ref().map(Membership::scope);
        scope == Some(Scope::Announcement)
    }

    /// The public key of a peer, at levels allowed and signed.
    fn public_key_of(&self, id: LinkId) -> Option<PublicKey> {
        Some(self.links.find(id)?.standing.as_ref()?.public_key)
    }

    /// The frame with this node's announcement.
    pub(super) fn own_frame(&mut self, with_credential: bool) -> ControlFrame {
        let announcement = self.own_announcement.announcement().clone();
        match &mut self.membership {
            Some(membership) => {
                let signature = membership.sign(&self.config.namespace, &announcement);
                let credential = with_credential.then(|| membership.credential().clone());
                let signed = SignedAnnouncement { announcement, signature, credential };
                ControlFrame::SignedAnnounce(Box::new(signed))
            }
            None => ControlFrame::Announce(announcement),
        }
    }

    /// The frame with the announcement of another node.
    pub(super) fn frame_of(
        &self,
        instance: Instance,
        with_credential: bool,
    ) -> Option<ControlFrame> {
        let announcement = self.lsdb.announcement(instance)?.clone();
        Some(match self.lsdb.signed(instance) {
            Some(signed) => signed.frame(announcement, with_credential),
            None => ControlFrame::Announce(announcement),
        })
    }

    /// Verifies a signed announcement, and installs it if it is new.
    pub(super) fn receive_signed(&mut self, id: LinkId, signed: SignedAnnouncement, now: Instant) {
        let Some(link) = self.links.find(id) else { return };
        if !link.is_admitted() {
            self.breach(id, "an announcement before both ends admitted the link", now);
            return;
        }
        if !self.signs() {
            self.breach(id, "a signed announcement in a mesh that does not sign them", now);
            return;
        }
        let SignedAnnouncement { announcement, signature, credential } = signed;
        let instance = announcement.instance;
        if instance == self.instance {
            match self.signs_links() {
                true => self.receive_own_signed(id, &announcement, now),
                false => self.receive_own(&announcement, now),
            }
            return;
        }
        let known = self.lsdb.announcement(instance);
        let freshness = self.lsdb.freshness(instance, announcement.sequence);
        if freshness == Freshness::Stale {
            self.counters.announcements_stale += 1;
            return;
        }
        // The signature covers the name alone, and was verified.
        let name_known = !self.signs_links() && known.is_some();
        // The originator has signed two names with one instance. A peer is not at fault that has
        // received the other one first.
        if known.is_some_and(|known| known.name != announcement.name) {
            self.counters.announcements_not_allowed += 1;
            return;
        }
        let same = freshness == Freshness::Revives && known == Some(&announcement);
        let known = self.lsdb.signed(instance).cloned();
        let with_credential = credential.is_some() || !self.lsdb.is_reachable(instance);
        let verified = match known {
            Some(known) if (same || name_known) && known.signature == signature => Ok(known),
            known => {
                let Some(from) = self.public_key_of(id) else { return };
                let Some(membership) = &mut self.membership else { return };
                let namespace = &self.config.namespace;
                let received = (&announcement, signature, credential);
                membership.verify(namespace, received, known.as_ref(), &from, now)
            }
        };
        match verified {
            Ok(signed) => {
                let signed = Some(Box::new(signed));
                let received = Received { announcement, signed, with_credential };
                self.receive_valid(id, received, now);
            }
            Err(rejected) => self.rejected(id, rejected, now),
        }
        self.schedule_tickets(now);
    }

    /// Whether the ticket of an originator has ended or was revoked since its announcement arrived.
    pub(super) fn has_ended(&self, received: &Received, now: Instant) -> bool {
        let (Some(membership), Some(signed)) = (&self.membership, &received.signed) else {
            return false;
        };
        membership.end_of(&signed.standing, now).is_some()
    }

    /// An announcement with this node's instance, at level signed. Only this node signs them, so that
    /// one that differs from what it has signed is forged.
    fn receive_own_signed(&mut self, id: LinkId, announcement: &Announcement, now: Instant) {
        let own = self.own_announcement.announcement();
        let forged = match announcement.sequence.age(own.sequence) {
            Age::Newer => true,
            Age::Same => announcement != own,
            Age::Older => false,
        };
        if forged {
            self.rejected(id, Rejected::Forged, now);
        } else {
            self.counters.announcements_stale += 1;
        }
    }

    /// Counts an announcement or a revocation that was not taken. Closes the link of a peer that has
    /// sent too many that no correct node sends.
    fn rejected(&mut self, id: LinkId, rejected: Rejected, now: Instant) {
        match rejected {
            Rejected::NotAllowed => self.counters.announcements_not_allowed += 1,
            Rejected::NoCredential => self.counters.announcements_without_key += 1,
            Rejected::Limited => self.counters.verifications_limited += 1,
            Rejected::Forged => {
                self.counters.announcements_forged += 1;
                let Some(from) = self.public_key_of(id) else { return };
                let Some(membership) = &mut self.membership else { return };
                if !membership.charge(&from, now) {
                    self.breach(id, "announcements or revocations with wrong signatures", now);
                }
            }
        }
    }

    /// Verifies revocations, and floods those that are new.
    pub(super) fn receive_revocations(&mut self, id: LinkId, entries: &[Vec<u8>], now: Instant) {
        let Some(link) = self.links.find(id) else { return };
        if !link.is_admitted() {
            self.breach(id, "revocations before both ends admitted the link", now);
            return;
        }
        let Some(from) = self.public_key_of(id) else {
            self.breach(id, "revocations in a mesh without tickets", now);
            return;
        };
        let mut news = Vec::new();
        for bytes in entries {
            let Ok(revocation) = Revocation::decode(bytes) else {
                self.breach(id, "a revocation that does not decode", now);
                break;
            };
            match self.take_revocation(revocation, Some(&from), now) {
                Ok(true) => news.push(bytes.clone()),
                Ok(false) => {}
                Err(rejected) => self.rejected(id, rejected, now),
            }
            if self.links.find(id).is_none() {
                break;
            }
        }
        self.revoked(news, Some(id), now);
    }

    /// Takes a revocation that the application gives.
    pub(super) fn revoke(&mut self, bytes: &[u8], now: Instant) {
        if self.closed {
            return;
        }
        let Ok(revocation) = Revocation::decode(bytes) else {
            self.counters.announcements_forged += 1;
            return;
        };
        match self.take_revocation(revocation, None, now) {
            Ok(true) => self.revoked(vec![bytes.to_vec()], None, now),
            Ok(false) => {}
            // The caller has been told: it verifies the revocation as well.
            Err(_) => self.counters.announcements_forged += 1,
        }
    }

    /// Whether a revocation is valid and new.
    fn take_revocation(
        &mut self,
        revocation: Revocation,
        from: Option<&PublicKey>,
        now: Instant,
    ) -> Result<bool, Rejected> {
        let Some(membership) = &mut self.membership else { return Err(Rejected::NotAllowed) };
        match membership.take_revocation(revocation, from, now)? {
            Kept::New => {
                self.counters.revocations_installed += 1;
                return Ok(true);
            }
            Kept::Known | Kept::Ended => self.counters.revocations_stale += 1,
            Kept::Full => self.counters.revocations_limited += 1,
        }
        Ok(false)
    }

    /// Floods new revocations, and closes the links of the nodes that they are for. These nodes get
    /// them first.
    fn revoked(&mut self, news: Vec<Vec<u8>>, arrived_on: Option<LinkId>, now: Instant) {
        let Some(membership) = &mut self.membership else { return };
        if news.is_empty() {
            return;
        }
        let revocations = membership.revocations(now).clone();
        for (link, _) in self.links.admitted().filter(|(link, _)| Some(*link) != arrived_on) {
            for entries in news.chunks(REVOCATIONS_IN_FRAME_MAX) {
                let frame = ControlFrame::Revocations { entries: entries.to_vec() };
                self.outputs.push_back(Output::Send { link, frame });
            }
        }
        self.outputs.push_back(Output::Revocations(revocations));
        self.end_standings(now);
    }

    /// Sends a new peer the revocations that still hold.
    pub(super) fn send_revocations(&mut self, id: LinkId, now: Instant) {
        let Some(membership) = &mut self.membership else { return };
        let all: Vec<Vec<u8>> =
            membership.revocations(now).iter().map(Revocation::encode).collect();
        for entries in all.chunks(REVOCATIONS_IN_FRAME_MAX) {
            self.send(id, ControlFrame::Revocations { entries: entries.to_vec() });
        }
    }

    /// Closes the links of nodes whose tickets have ended or were revoked, and removes their
    /// announcements. Reports these nodes, and this node itself if it is one of them.
    pub(super) fn end_standings(&mut self, now: Instant) {
        let Some(membership) = &mut self.membership else { return };
        if self.closed {
            return;
        }
        let own_end = membership.take_own_end(now);
        let removed = self.lsdb.remove_ended(|standing| membership.end_of(standing, now).is_some());
        let end_of = |link: &Link| membership.end_of(link.standing.as_ref()?, now);
        let links = self.links.iter();
        let ended: Vec<(LinkId, RefuseReason)> =
            links.filter_map(|(id, link)| Some((id, end_of(link)?))).collect();
        // Each node is reported once, however many links it had.
        let mut nodes: BTreeSet<NodeName> = BTreeSet::new();
        if let Some(reason) = own_end {
            tracing::warn!(node = %self.config.name, %reason, "this node needs a new ticket");
            nodes.insert(self.config.name.clone());
        }
        let has_removed = !removed.is_empty();
        nodes.extend(removed);
        for (id, reason) in ended {
            if let Some(link) = self.links.find(id) {
                nodes.insert(link.peer.clone());
                self.refuse(id, reason, now);
            }
        }
        for node in nodes {
            self.event(Event::Revoked { node });
        }
        if has_removed {
            self.compute_routes(now);
        }
        self.schedule_tickets(now);
    }

    /// Sets the timer for the next ticket that ends.
    pub(super) fn schedule_tickets(&mut self, now: Instant) {
        let Some(membership) = &self.membership else { return };
        let of_links = self.links.iter().filter_map(|(_, link)| link.standing.as_ref()?.ends());
        let others = [membership.own_ends(), self.lsdb.first_end()].into_iter().flatten();
        let first: Option<UnixMillis> = of_links.chain(others).min();
        match first.filter(|_| !self.closed) {
            Some(end) => self.timers.set(Timer::Tickets, membership.clock().instant(end, now)),
            None => self.timers.stop(Timer::Tickets),
        }
    }

    /// The clock of this machine was set.
    pub(super) fn wall_clock_set(&mut self, unix: UnixMillis, now: Instant) {
        if let Some(membership) = &mut self.membership {
            membership.set_clock(unix, now);
            self.end_standings(now);
        }
    }

    /// What the other end of a new link has proven, or why it is refused.
    pub(super) fn standing_of(
        &mut self,
        proof: Option<&PeerProof>,
        now: Instant,
    ) -> Result<Option<Standing>, RefuseReason> {
        let Some(membership) = &self.membership else { return Ok(None) };
        let Some(proof) = proof else {
            panic!("invariant C11: at levels allowed and signed every link comes with a proof");
        };
        membership.standing_of_peer(proof, now).map(Some)
    }
}
