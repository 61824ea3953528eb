//! A connection becomes a link, or is refused; a link ends.
//!
//! Of two nodes the one with the greater name **decides**. The other sends its Admit at once, on
//! every connection there is between the two; the deciding node answers one of them with its own
//! Admit and the others with a refusal. Both nodes therefore end with the same link, however the
//! connections cross.

use std::time::{Duration, Instant};

use super::Router;
use crate::config::LINKS_MAX;
use crate::error::{DialError, RefuseReason};
use crate::event::Event;
use crate::name::{Instance, LinkId, NodeName};
use crate::protocol::adjacency::{DEAD_AFTER, KEEP_ALIVE_EVERY, Link, Stage};
use crate::protocol::discovery::{BRIDGE_PATIENCE, Cause, cap};
use crate::protocol::flood::{self, DatabaseExchange};
use crate::protocol::io::{CloseReason, Output, RequestId, Role};
use crate::protocol::timer::Timer;
use crate::wire::control::ControlFrame;
use crate::wire::hello::{Hello, Purpose};

/// From the hellos to both Admits: as long as a handshake may take.
const ADMISSION_MAX: Duration = Duration::from_secs(5);
/// From both Admits to both Synced: ten times what the largest database takes over 100 Mbit/s.
const EXCHANGE_MAX: Duration = Duration::from_secs(30);

impl Router {
    /// Whether this node decides about links to that one.
    pub(super) fn decides(&self, peer: &NodeName) -> bool {
        self.config.name > *peer
    }

    pub(super) fn link_up(&mut self, id: LinkId, role: Role, hello: Hello, now: Instant) {
        let cause = match role {
            Role::Dialler(dial) => self.discovery.end_dial(dial),
            Role::Listener => None,
        };
        let other = self.has_other(&hello);
        let purpose = cause.map_or(hello.purpose, Cause::purpose);
        if hello.version != self.config.version {
            tracing::warn!(node = %self.config.name, peer = %hello.name, theirs = hello.version,
                ours = self.config.version, "the peer's application has another version");
        }
        let link = Link {
            peer: hello.name,
            instance: hello.instance,
            role,
            purpose,
            cause,
            stage: Stage::Candidate { promised: None },
            peer_had_other: false,
            heard: now,
            since: now,
        };
        let verdict = self.verdict(&link, now);
        self.links.insert(id, link);
        if let Err(reason) = verdict {
            self.refuse(id, reason, now);
            return;
        }
        self.timers.set(Timer::Agree(id), now + ADMISSION_MAX);
        self.timers.set_earlier(Timer::Silence, now + DEAD_AFTER);
        self.timers.set_earlier(Timer::KeepAlive, now + KEEP_ALIVE_EVERY);
        let Some(link) = self.links.find_mut(id) else { return };
        if let Some(Cause::Seed(seed)) = cause {
            self.seeds.linked(seed, link.instance);
        }
        if self.config.name < link.peer {
            link.stage = Stage::Candidate { promised: Some(other) };
            self.send(id, ControlFrame::Admit { other_link: other });
            self.links_changed(now);
        }
    }

    /// Whether there is, or is in the making, another link to the node that says hello.
    fn has_other(&self, hello: &Hello) -> bool {
        self.links.to(hello.instance).next().is_some() || self.discovery.is_dialling(hello.instance)
    }

    /// Whether this node takes a candidate, which the table does not hold.
    fn verdict(&mut self, link: &Link, now: Instant) -> Result<(), RefuseReason> {
        let dialled_in_vain = matches!(link.role, Role::Dialler(_)) && link.cause.is_none();
        if self.closed || dialled_in_vain {
            return Err(RefuseReason::Closing);
        }
        if link.instance == self.instance {
            return Err(RefuseReason::Myself);
        }
        if self.is_name_taken(&link.peer, link.instance) {
            self.name_conflict(&link.peer, now);
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
        self.has_use_for(link, now)
    }

    /// Whether another node that is there bears the name of a newcomer.
    fn is_name_taken(&self, name: &NodeName, instance: Instance) -> bool {
        let holder = self.routes.route(name.as_str());
        let routed = holder.is_some_and(|holder| holder.instance != instance);
        let same_name = |link: &Link| link.peer == *name && link.instance != instance;
        let linked = self.links.iter().any(|(_, link)| link.counts() && same_name(link));
        *name == self.config.name || routed || linked
    }

    /// Whether this node has use for one more link of this purpose.
    fn has_use_for(&mut self, link: &Link, now: Instant) -> Result<(), RefuseReason> {
        let counted = self.links.counted();
        let degree = self.config.degree as usize;
        let room = cap(self.config.degree);
        let dialled = matches!(link.role, Role::Dialler(_));
        let full = |holds: bool| if holds { Err(RefuseReason::Full) } else { Ok(()) };
        match link.purpose {
            Purpose::Dialled => Ok(()),
            Purpose::Solicited => full(counted >= if dialled { room } else { degree }),
            Purpose::Bridge if self.routes.contains(link.instance) => full(counted >= degree),
            Purpose::Bridge if counted < room => Ok(()),
            Purpose::Bridge => match link.cause {
                Some(Cause::Bridge { insists, .. }) => full(!insists),
                Some(_) | None => full(!self.insists(link.instance, now)),
            },
        }
    }

    /// Whether a bridge is worth more links than this node's share: only if an earlier one was
    /// refused for that, and nothing has led to that node since. Otherwise everybody who hears a
    /// beacon at once would end as a peer of the one who sent it.
    fn insists(&mut self, dialler: Instance, now: Instant) -> bool {
        match self.bridge_refused {
            Some((refused, at)) if !self.routes.contains(refused) => now >= at + BRIDGE_PATIENCE,
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
            self.breach(id, "admitted twice", now);
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
            // The deciding node knew that there was another link here. It has taken this one all
            // the same, so the other one is dead.
            Some(true) => self.replace(instance, id, now),
            Some(false) => {}
        }
        let Some(link) = self.links.find_mut(id) else { return };
        link.stage = Stage::Exchange(DatabaseExchange::default());
        link.peer_had_other = other_link;
        link.since = now;
        self.counters.links_admitted += 1;
        self.timers.set(Timer::Agree(id), now + EXCHANGE_MAX);
        tracing::debug!(node = %self.config.name, link = %id, %peer, "admitted");
        for frame in flood::digests(&self.offers()) {
            self.send(id, frame);
        }
        self.links_changed(now);
    }

    /// The deciding node's choice among several connections to one node.
    fn decide(
        &mut self,
        id: LinkId,
        instance: Instance,
        other_link: bool,
        now: Instant,
    ) -> Result<(), RefuseReason> {
        if let Some(old) = self.links.admitted_to(instance) {
            // The peer knows of the old link: it said so now, or it said, when it admitted the old
            // one, that this one was there too.
            let knows = self.links.find(old).is_some_and(|old| old.peer_had_other);
            if other_link || knows {
                return Err(RefuseReason::Duplicate);
            }
            self.close_link(old, CloseReason::Replaced, now);
        }
        // Things may have changed since the hellos.
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
    fn refuse(&mut self, id: LinkId, reason: RefuseReason, now: Instant) {
        self.counters.links_refused += 1;
        self.send(id, ControlFrame::Refuse { reason });
        self.outputs.push_back(Output::Close { link: id, reason: CloseReason::Refused(reason) });
        self.end(id, DialError::Refused(reason), now);
    }

    pub(super) fn refused_by_peer(&mut self, id: LinkId, reason: RefuseReason, now: Instant) {
        if self.links.find(id).is_none() {
            return;
        }
        self.counters.links_refused_by_peer += 1;
        if reason == RefuseReason::NameInUse {
            let name = self.config.name.clone();
            self.name_conflict(&name, now);
            self.search_despite_conflict(now);
        }
        self.outputs.push_back(Output::Close { link: id, reason: CloseReason::Refused(reason) });
        self.end(id, DialError::Refused(reason), now);
    }

    pub(super) fn peer_leaves(&mut self, id: LinkId, now: Instant) {
        if self.links.find(id).is_some() {
            self.close_link(id, CloseReason::Left, now);
        }
    }

    /// The other end broke the protocol.
    pub(super) fn breach(&mut self, id: LinkId, what: &'static str, now: Instant) {
        self.counters.breaches += 1;
        let Some(link) = self.links.find(id) else { return };
        tracing::warn!(node = %self.config.name, link = %id, peer = %link.peer, what, "breach");
        self.close_link(id, CloseReason::Breach, now);
    }

    /// The two ends of a link did not agree in time.
    pub(super) fn give_up(&mut self, id: LinkId, now: Instant) {
        self.counters.links_undecided += 1;
        self.close_link(id, CloseReason::AdmissionTimeout, now);
    }

    pub(super) fn close_silent(&mut self, now: Instant) {
        for id in self.links.silent(now) {
            self.counters.links_silent += 1;
            self.close_link(id, CloseReason::Silent, now);
        }
        if let Some(at) = self.links.next_silent() {
            self.timers.set(Timer::Silence, at);
        }
    }

    /// Closes a link of this node's own accord.
    pub(super) fn close_link(&mut self, id: LinkId, reason: CloseReason, now: Instant) {
        self.outputs.push_back(Output::Close { link: id, reason });
        let error = match reason {
            CloseReason::Refused(reason) => DialError::Refused(reason),
            CloseReason::Silent => DialError::Timeout(DEAD_AFTER),
            CloseReason::AdmissionTimeout => DialError::Timeout(ADMISSION_MAX),
            CloseReason::Leaving => DialError::Closed,
            CloseReason::Hangup => DialError::Broken("this node hung up".into()),
            CloseReason::Breach => DialError::Handshake("the other end broke the protocol".into()),
            CloseReason::Replaced => DialError::Refused(RefuseReason::Duplicate),
            CloseReason::Left => DialError::Refused(RefuseReason::Closing),
        };
        self.end(id, error, now);
    }

    /// A link is no more, whatever it was and whoever ended it.
    pub(super) fn end(&mut self, id: LinkId, error: DialError, now: Instant) {
        let Some(link) = self.links.remove(id) else { return };
        self.timers.stop(Timer::Agree(id));
        let (admitted, full) = (link.is_admitted(), link.is_full());
        tracing::debug!(node = %self.config.name, link = %id, peer = %link.peer, %error, "ended");
        let instance = link.instance;
        match link.cause {
            Some(Cause::Asked(request)) => self.end_asked(request, instance, error),
            // Its address belongs to a node that is linked all the same.
            Some(Cause::Seed(seed)) if self.links.to(instance).next().is_some() => {
                self.seeds.linked(seed, instance);
            }
            cause => self.after_dial(cause, error, now),
        }
        self.fail_arriving(id);
        if admitted {
            self.counters.links_lost += 1;
        }
        if self.closed {
            return;
        }
        if full && !self.links.is_full_to(instance) {
            tracing::info!(node = %self.config.name, peer = %link.peer, "link down");
            self.event(Event::LinkDown(link.peer.clone()));
        }
        if self.links.to(instance).next().is_none() {
            for seed in self.seeds.of(instance) {
                self.seed_failed(seed, now);
            }
        }
        if full {
            self.own_links_changed(now);
        }
        if link.counts() {
            self.search_after_loss(admitted, now);
        }
    }

    /// Tells whoever asked for a dial that it came to nothing.
    pub(super) fn after_dial(&mut self, cause: Option<Cause>, error: DialError, now: Instant) {
        match cause {
            Some(Cause::Asked(request)) => self.reply_dial(request, Err(error)),
            Some(Cause::Seed(seed)) => match error {
                DialError::Refused(RefuseReason::Myself) => self.seeds.is_myself(seed),
                DialError::Address(..)
                | DialError::Resolve(..)
                | DialError::Connect(_)
                | DialError::Timeout(_)
                | DialError::Handshake(_)
                | DialError::Broken(_)
                | DialError::Refused(_)
                | DialError::Closed => self.seed_failed(seed, now),
            },
            Some(Cause::Answer(_) | Cause::Bridge { .. }) | None => {}
        }
    }

    /// The application's dial came to nothing, unless the two nodes dialled each other at once: then
    /// the other's connection is what was asked for.
    fn end_asked(&mut self, request: RequestId, instance: Instance, error: DialError) {
        let Some(&asked) = self.asked.get(&request) else { return };
        let duplicate = matches!(error, DialError::Refused(RefuseReason::Duplicate));
        let meanwhile = |link: &Link| match link.stage {
            Stage::Candidate { .. } | Stage::Exchange(_) => link.cause.is_none(),
            Stage::Full => link.since >= asked,
        };
        let other = self.links.to(instance).find(|(_, link)| duplicate && meanwhile(link));
        let Some((other, link)) = other else {
            self.reply_dial(request, Err(error));
            return;
        };
        if link.is_full() {
            self.arriving.insert(request, other);
            self.settle_dials();
        } else if let Some(link) = self.links.find_mut(other) {
            link.cause = Some(Cause::Asked(request));
        }
    }

    /// The application's dial whose link broke before there was a route.
    fn fail_arriving(&mut self, id: LinkId) {
        let found = self.arriving.iter().find(|(_, link)| **link == id);
        let Some((&request, _)) = found else { return };
        self.arriving.remove(&request);
        self.reply_dial(
            request,
            Err(DialError::Broken("it broke before there was a route".into())),
        );
    }
}
