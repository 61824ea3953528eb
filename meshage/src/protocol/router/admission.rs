//! A connection becomes a link, or is refused; a link ends.
//!
//! Of two nodes, the one with the greater name **decides**. The other node sends its Admit at once,
//! on every connection between the two. The deciding node answers one of them with its own Admit,
//! and the others with Refuse. Both nodes therefore keep the same link, however the connections
//! cross.

use std::time::{Duration, Instant};

use super::Router;
use crate::config::LINKS_MAX;
use crate::error::{DialError, RefuseReason};
use crate::event::{Event, LinkEnd};
use crate::name::{Instance, LinkId, NodeName};
use crate::protocol::adjacency::{Link, Stage};
use crate::protocol::discovery::{BRIDGE_OVER_CAP_AFTER, DialCause, link_cap};
use crate::protocol::exchange::DatabaseExchange;
use crate::protocol::intake::Intake;
use crate::protocol::io::{CloseReason, Output, PeerProof, RequestId, Role};
use crate::protocol::membership::Standing;
use crate::protocol::silence::{KEEP_ALIVE_INTERVAL, Silence};
use crate::protocol::timer::Timer;
use crate::wire::control::ControlFrame;
use crate::wire::hello::{Hello, Purpose};

/// The longest time from the hellos to both Admits: as long as a handshake may take.
const ADMISSION_MAX: Duration = Duration::from_secs(5);
/// The longest time from both Admits to both Synced: ten times what the largest database takes over
/// 100 Mbit/s.
const EXCHANGE_MAX: Duration = Duration::from_secs(30);

impl Router {
    /// Whether this node decides about links to this peer.
    pub(super) fn decides(&self, peer: &NodeName) -> bool {
        self.config.name > *peer
    }

    pub(super) fn link_up(
        &mut self,
        id: LinkId,
        role: Role,
        hello: Hello,
        proof: Option<&PeerProof>,
        now: Instant,
    ) {
        let cause = match role {
            Role::Dialler(dial) => self.discovery.dial_connected(dial, hello.instance, now),
            Role::Listener => None,
        };
        let other = self.has_other(&hello);
        let purpose = cause.map_or(hello.purpose, DialCause::purpose);
        if hello.version != self.config.version {
            tracing::warn!(node = %self.config.name, peer = %hello.name, theirs = hello.version,
                ours = self.config.version, "the peer's application has another version");
        }
        let standing = self.standing_of(proof, now);
        let link = Link {
            peer: hello.name,
            instance: hello.instance,
            standing: standing.as_ref().ok().cloned().flatten(),
            role,
            purpose,
            cause,
            stage: Stage::Candidate { promised: None },
            peer_had_other: false,
            silence: Silence::new(now),
            since: now,
            intake: Intake::new(now),
        };
        let verdict = standing.and_then(|_| self.verdict(&link, now));
        self.links.insert(id, link);
        if let Err(reason) = verdict {
            self.refuse(id, reason, now);
            return;
        }
        self.schedule_tickets(now);
        self.timers.set(Timer::LinkSetup(id), now + ADMISSION_MAX);
        self.watch_silence(now);
        self.timers.set_earlier(Timer::KeepAlive, now + KEEP_ALIVE_INTERVAL);
        let Some(link) = self.links.find_mut(id) else { return };
        if let Some(DialCause::Seed(seed)) = cause {
            self.seeds.linked(seed, link.instance);
        }
        if self.config.name < link.peer {
            link.stage = Stage::Candidate { promised: Some(other) };
            self.send(id, ControlFrame::Admit { other_link: other });
            self.update_discovery(now);
        }
    }

    /// Whether another link to the sender of a hello exists or is being made.
    fn has_other(&self, hello: &Hello) -> bool {
        self.links.to(hello.instance).next().is_some() || self.discovery.is_dialling(hello.instance)
    }

    /// Whether this node accepts a candidate. The table must not contain it.
    fn verdict(&mut self, link: &Link, now: Instant) -> Result<(), RefuseReason> {
        let dial_was_canceled = matches!(link.role, Role::Dialler(_)) && link.cause.is_none();
        if self.closed || dial_was_canceled {
            return Err(RefuseReason::Closing);
        }
        if link.instance == self.instance {
            return Err(RefuseReason::Myself);
        }
        if self.is_instance_of_another(link) {
            let reason = format!("instance {} was refused: it is another node's", link.instance);
            self.counters.instances_forged += 1;
            self.name_conflict(&link.peer, &reason, now);
            return Err(RefuseReason::NameInUse);
        }
        if self.is_name_taken(&link.peer, link.instance) {
            let reason = format!(
                "instance {} was refused, because another reachable node has the name",
                link.instance
            );
            self.name_conflict(&link.peer, &reason, now);
            return Err(RefuseReason::NameInUse);
        }
        if self.links.len() >= LINKS_MAX {
            self.counters.links_limited += 1;
            return Err(RefuseReason::TooManyLinks);
        }
        let dialled = matches!(link.role, Role::Dialler(_));
        if dialled && self.links.admitted_to(link.instance).is_some() {
            return Err(RefuseReason::Duplicate);
        }
        self.check_need(link, now)
    }

    /// Whether the instance in a hello belongs to the key of another node, at levels allowed and
    /// signed. A member must not pass for another one that is linked, whose links it would replace.
    fn is_instance_of_another(&self, link: &Link) -> bool {
        let key = |standing: &Standing| standing.public_key;
        let Some(own) = link.standing.as_ref().map(key) else { return false };
        let announced = self.lsdb.signed(link.instance).map(|signed| key(&signed.standing));
        let linked = self.links.to(link.instance);
        let linked = linked.filter_map(|(_, other)| other.standing.as_ref().map(key));
        announced.into_iter().chain(linked).any(|known| known != own)
    }

    /// Whether another reachable or linked node has this name.
    fn is_name_taken(&self, name: &NodeName, instance: Instance) -> bool {
        let holder = self.routes.route(name.as_str());
        let routed = holder.is_some_and(|holder| holder.instance != instance);
        let same_name = |link: &Link| link.peer == *name && link.instance != instance;
        let linked = self.links.iter().any(|(_, link)| link.counts() && same_name(link));
        *name == self.config.name || routed || linked
    }

    /// Whether this node needs one more link of this purpose.
    fn check_need(&mut self, link: &Link, now: Instant) -> Result<(), RefuseReason> {
        let counted = self.links.counted();
        let degree = self.config.degree as usize;
        let cap = link_cap(self.config.degree);
        let dialled = matches!(link.role, Role::Dialler(_));
        let full_if = |full: bool| {
            if full && !planted!(DegreeIgnored) { Err(RefuseReason::Full) } else { Ok(()) }
        };
        match link.purpose {
            Purpose::Dialled => Ok(()),
            Purpose::Solicited => full_if(counted >= if dialled { cap } else { degree }),
            Purpose::Bridge if self.routes.contains(link.instance) => full_if(counted >= degree),
            Purpose::Bridge if counted < cap => Ok(()),
            Purpose::Bridge => match link.cause {
                Some(DialCause::Bridge { over_cap, .. }) => full_if(!over_cap),
                Some(_) | None => full_if(!self.may_exceed_cap(link.instance, now)),
            },
        }
    }

    /// Whether this node may exceed its cap for a bridge: only if it refused an earlier bridge for
    /// that reason, and has still no route to that node. Otherwise all nodes that receive a beacon
    /// at the same time would become peers of its sender.
    fn may_exceed_cap(&mut self, dialler: Instance, now: Instant) -> bool {
        match self.bridge_refused {
            Some((refused, at)) if !self.routes.contains(refused) => {
                now >= at + BRIDGE_OVER_CAP_AFTER
            }
            Some(_) | None => {
                self.bridge_refused = Some((dialler, now));
                false
            }
        }
    }

    pub(super) fn admitted_by_peer(&mut self, id: LinkId, other_link: bool, now: Instant) {
        let Some(link) = self.links.find(id) else { return };
        let (instance, peer) = (link.instance, link.peer.clone());
        let Stage::Candidate { promised } = link.stage else {
            self.breach(id, "a second Admit", now);
            return;
        };
        match promised {
            None => {
                if let Err(reason) = self.decide(id, instance, other_link, now) {
                    self.refuse(id, reason, now);
                    return;
                }
                let other = self.links.to(instance).count() > 1;
                self.send(id, ControlFrame::Admit { other_link: other });
            }
            // The deciding node has chosen this link, so any other one is dead.
            Some(_) => self.replace(instance, id, now),
        }
        let Some(link) = self.links.find_mut(id) else { return };
        link.stage = Stage::Exchange(DatabaseExchange::default());
        link.peer_had_other = other_link;
        link.since = now;
        self.counters.links_admitted += 1;
        self.timers.set(Timer::LinkSetup(id), now + EXCHANGE_MAX);
        tracing::debug!(node = %self.config.name, link = %id, %peer, "admitted");
        self.offer(id);
        self.update_discovery(now);
    }

    /// Decides whether to admit one of several connections to a node.
    fn decide(
        &mut self,
        id: LinkId,
        instance: Instance,
        other_link: bool,
        now: Instant,
    ) -> Result<(), RefuseReason> {
        if let Some(old) = self.links.admitted_to(instance) {
            // The peer has the old link if this Admit reports it, or if its Admit for the old link
            // reported this one.
            let knows = self.links.find(old).is_some_and(|old| old.peer_had_other);
            if other_link || knows {
                return Err(RefuseReason::Duplicate);
            }
            self.close_link(old, CloseReason::Replaced, now);
        }
        // The state may have changed since the hellos.
        let Some(link) = self.links.remove(id) else { return Ok(()) };
        let verdict = self.verdict(&link, now);
        self.links.insert(id, link);
        verdict
    }

    /// Closes every other admitted link to a node.
    fn replace(&mut self, instance: Instance, by: LinkId, now: Instant) {
        let others = self.links.to(instance).filter(|(id, link)| *id != by && link.is_admitted());
        let others: Vec<LinkId> = others.map(|(id, _)| id).collect();
        for id in others {
            self.close_link(id, CloseReason::Replaced, now);
        }
    }

    /// Refuses a connection.
    pub(super) fn refuse(&mut self, id: LinkId, reason: RefuseReason, now: Instant) {
        if !self.links.find(id).is_some_and(Link::is_admitted) {
            self.counters.links_refused += 1;
        }
        match reason {
            RefuseReason::TicketEnded => self.counters.tickets_ended += 1,
            RefuseReason::Revoked => self.counters.tickets_revoked += 1,
            RefuseReason::Myself
            | RefuseReason::Duplicate
            | RefuseReason::NameInUse
            | RefuseReason::Full
            | RefuseReason::TooManyLinks
            | RefuseReason::Closing
            | RefuseReason::HungUp => {}
        }
        self.send(id, ControlFrame::Refuse { reason });
        self.outputs.push_back(Output::Close { link: id, reason: CloseReason::Refused(reason) });
        self.link_ended(id, DialError::Refused(reason), refused(reason), now);
    }

    pub(super) fn refused_by_peer(&mut self, id: LinkId, reason: RefuseReason, now: Instant) {
        let Some(link) = self.links.find(id) else { return };
        if !link.is_admitted() {
            self.counters.links_refused_by_peer += 1;
        }
        if reason == RefuseReason::NameInUse {
            let why = format!(
                "{} refused this node, because another reachable node has this name",
                link.peer
            );
            let name = self.config.name.clone();
            self.name_conflict(&name, &why, now);
        }
        self.outputs.push_back(Output::Close { link: id, reason: CloseReason::Refused(reason) });
        self.link_ended(id, DialError::Refused(reason), refused(reason), now);
        if reason == RefuseReason::NameInUse {
            self.solicit_after_name_conflict(now);
        }
    }

    pub(super) fn peer_leaves(&mut self, id: LinkId, now: Instant) {
        if self.links.find(id).is_some() {
            self.close_link(id, CloseReason::Left, now);
        }
    }

    /// Closes a link whose other end violated the protocol.
    pub(super) fn breach(&mut self, id: LinkId, what: &'static str, now: Instant) {
        self.counters.breaches += 1;
        let Some(link) = self.links.find(id) else { return };
        tracing::warn!(node = %self.config.name, link = %id, peer = %link.peer, what, "breach");
        self.outputs.push_back(Output::Close { link: id, reason: CloseReason::Breach });
        let error = DialError::Handshake(format!("the other end violated the protocol: {what}"));
        self.link_ended(id, error, LinkEnd::Breach(what.into()), now);
    }

    /// Closes a link whose admission or database exchange took too long.
    pub(super) fn close_unfinished(&mut self, id: LinkId, now: Instant) {
        self.counters.links_timed_out += 1;
        self.close_link(id, CloseReason::AdmissionTimeout, now);
    }

    /// Closes the links that were silent for too long, and sends Probes where keep-alives are missing.
    pub(super) fn close_silent(&mut self, now: Instant) {
        let silent = if planted!(SilentLinkKept) { Vec::new() } else { self.links.silent(now) };
        for (id, dead_interval) in silent {
            self.counters.links_silent += 1;
            self.close_link(id, CloseReason::Silent(dead_interval), now);
        }
        for id in self.links.take_probes(now) {
            self.counters.probes_sent += 1;
            self.outputs.push_back(Output::Probe { link: id });
        }
        self.watch_silence(now);
    }

    pub(super) fn watch_silence(&mut self, now: Instant) {
        if let Some(at) = self.links.next_silent(now) {
            // A new link ends the doubt about the others, which may be silent for too long already. A
            // timer in the past would count as a late wakeup.
            let at = at.max(if planted!(SilentLinkKept) { now + KEEP_ALIVE_INTERVAL } else { now });
            self.timers.set(Timer::Silence, at);
        }
    }

    /// A peer wants to know whether this node lives.
    pub(super) fn receive_probe(&mut self, id: LinkId, now: Instant) {
        let Some(link) = self.links.find_mut(id) else { return };
        if link.intake.permits_probe(now) {
            self.send(id, ControlFrame::ProbeAnswer);
        } else {
            self.counters.probes_limited += 1;
        }
    }

    pub(super) fn receive_probe_answer(&mut self, id: LinkId, now: Instant) {
        if let Some(link) = self.links.find_mut(id) {
            link.silence.answered(now);
        }
    }

    /// A link ended without this node closing it.
    pub(super) fn link_down(&mut self, id: LinkId, end: LinkEnd, now: Instant) {
        let error = match &end {
            LinkEnd::Breach(what) => DialError::Handshake(what.clone()),
            LinkEnd::Broken(error) => DialError::Broken(error.clone()),
            LinkEnd::Auth(error) => DialError::Auth(error.clone()),
            LinkEnd::Closed
            | LinkEnd::Silent(_)
            | LinkEnd::PeerLeft
            | LinkEnd::HungUp
            | LinkEnd::HungUpByPeer
            | LinkEnd::Replaced
            | LinkEnd::TicketEnded
            | LinkEnd::Revoked
            | LinkEnd::NameInUse => DialError::Broken(end.to_string()),
        };
        self.count_denied_link(&end);
        self.link_ended(id, error, end, now);
    }

    /// Closes a link on this node's decision.
    pub(super) fn close_link(&mut self, id: LinkId, reason: CloseReason, now: Instant) {
        self.outputs.push_back(Output::Close { link: id, reason });
        let (error, end) = match reason {
            CloseReason::Refused(reason) => (DialError::Refused(reason), refused(reason)),
            CloseReason::Silent(interval) => {
                (DialError::Timeout(interval), LinkEnd::Silent(interval))
            }
            CloseReason::AdmissionTimeout => {
                (DialError::Timeout(ADMISSION_MAX), LinkEnd::Silent(ADMISSION_MAX))
            }
            CloseReason::Leaving => (DialError::Closed, LinkEnd::HungUp),
            CloseReason::Hangup => (DialError::Broken("this node hung up".into()), LinkEnd::HungUp),
            CloseReason::Breach => {
                let what = "the other end violated the protocol".to_owned();
                (DialError::Handshake(what.clone()), LinkEnd::Breach(what))
            }
            CloseReason::Replaced => {
                (DialError::Refused(RefuseReason::Duplicate), LinkEnd::Replaced)
            }
            CloseReason::Left => (DialError::Refused(RefuseReason::Closing), LinkEnd::PeerLeft),
        };
        self.link_ended(id, error, end, now);
    }

    /// Cleans up after a link of any stage that ended for any reason.
    fn link_ended(&mut self, id: LinkId, error: DialError, end: LinkEnd, now: Instant) {
        let Some(link) = self.links.remove(id) else { return };
        self.timers.stop(Timer::LinkSetup(id));
        let (admitted, full) = (link.is_admitted(), link.is_full());
        tracing::debug!(node = %self.config.name, link = %id, peer = %link.peer, %error, "ended");
        let instance = link.instance;
        match link.cause {
            Some(DialCause::Application(request)) => {
                self.application_dial_ended(request, instance, error)
            }
            // The seed's address belongs to a node that has another link.
            Some(DialCause::Seed(seed)) if self.links.to(instance).next().is_some() => {
                self.seeds.linked(seed, instance);
            }
            cause => self.dial_ended(cause, error, now),
        }
        self.fail_dial_awaiting_route(id);
        if admitted {
            self.counters.links_lost += 1;
        }
        if has_failed(&end) && (admitted || matches!(end, LinkEnd::Silent(_))) {
            let worked = now.saturating_duration_since(link.since);
            self.link_failures.record(instance, worked, now);
        }
        if self.closed {
            return;
        }
        if full && !self.links.is_full_to(instance) {
            tracing::info!(node = %self.config.name, peer = %link.peer, %end, "link down");
            self.own_announcement.peer_lost(&link.peer, now);
            self.event(Event::LinkDown { peer: link.peer.clone(), instance, reason: end });
        }
        if self.links.to(instance).next().is_none() {
            if full && self.link_failures.permits(instance, now) {
                self.seeds.dial_soon(instance);
            }
            for seed in self.seeds.leading_to(instance) {
                self.seed_failed(seed, now);
            }
        }
        if full {
            self.own_links_changed(now);
        }
        if link.counts() {
            self.solicit_after_loss(admitted, now);
        }
    }

    /// Handles a dial that did not lead to a link, according to its cause.
    pub(super) fn dial_ended(&mut self, cause: Option<DialCause>, error: DialError, now: Instant) {
        match cause {
            Some(DialCause::Application(request)) => self.reply_dial(request, Err(error)),
            Some(DialCause::Seed(seed)) => match error {
                DialError::Refused(RefuseReason::Myself) => self.seeds.mark_own(seed),
                DialError::Address(..)
                | DialError::Resolve(..)
                | DialError::Connect(_)
                | DialError::Timeout(_)
                | DialError::Handshake(_)
                | DialError::Broken(_)
                | DialError::Refused(_)
                | DialError::Auth(_)
                | DialError::Closed => self.seed_failed(seed, now),
            },
            Some(DialCause::Response(_) | DialCause::Bridge { .. }) | None => {}
        }
    }

    /// Handles the end of the connection that a dial of the application led to. The dial has
    /// failed, unless the two nodes dialled each other at once: then the other connection completes
    /// it.
    fn application_dial_ended(&mut self, request: RequestId, instance: Instance, error: DialError) {
        let Some(&requested) = self.application_dials.get(&request) else { return };
        let duplicate = matches!(error, DialError::Refused(RefuseReason::Duplicate));
        let completes = |link: &Link| match link.stage {
            Stage::Candidate { .. } | Stage::Exchange(_) => link.cause.is_none(),
            Stage::Full => link.since >= requested,
        };
        let other = self.links.to(instance).find(|(_, link)| duplicate && completes(link));
        let Some((other, link)) = other else {
            self.reply_dial(request, Err(error));
            return;
        };
        if link.is_full() {
            self.dials_awaiting_route.insert(request, other);
            self.complete_dials();
        } else if let Some(link) = self.links.find_mut(other) {
            link.cause = Some(DialCause::Application(request));
        }
    }

    /// Fails a dial of the application whose link broke before there was a route.
    fn fail_dial_awaiting_route(&mut self, id: LinkId) {
        let found = self.dials_awaiting_route.iter().find(|(_, link)| **link == id);
        let Some((&request, _)) = found else { return };
        self.dials_awaiting_route.remove(&request);
        self.reply_dial(
            request,
            Err(DialError::Broken("the link broke before there was a route".into())),
        );
    }
}

/// Whether a link ended without any of the two nodes having decided so.
fn has_failed(end: &LinkEnd) -> bool {
    match end {
        LinkEnd::Silent(_) | LinkEnd::Broken(_) | LinkEnd::Closed => true,
        LinkEnd::Breach(_)
        | LinkEnd::Auth(_)
        | LinkEnd::PeerLeft
        | LinkEnd::HungUp
        | LinkEnd::HungUpByPeer
        | LinkEnd::Replaced
        | LinkEnd::TicketEnded
        | LinkEnd::Revoked
        | LinkEnd::NameInUse => false,
    }
}

/// How a link ended that one of the two nodes refused.
fn refused(reason: RefuseReason) -> LinkEnd {
    match reason {
        RefuseReason::NameInUse => LinkEnd::NameInUse,
        RefuseReason::HungUp => LinkEnd::HungUpByPeer,
        RefuseReason::Closing => LinkEnd::PeerLeft,
        RefuseReason::Duplicate => LinkEnd::Replaced,
        RefuseReason::TicketEnded => LinkEnd::TicketEnded,
        RefuseReason::Revoked => LinkEnd::Revoked,
        RefuseReason::Myself | RefuseReason::Full | RefuseReason::TooManyLinks => {
            LinkEnd::Broken(reason.to_string())
        }
    }
}
