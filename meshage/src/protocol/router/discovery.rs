//! Calls, beacons, answers, seeds and dials.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Router;
use crate::error::DialError;
use crate::name::{Instance, LinkId};
use crate::protocol::adjacency::DEAD_AFTER;
use crate::protocol::discovery::{Call, Capacity, Cause, Heard};
use crate::protocol::io::{Address, CloseReason, DialId, Output, Reply, RequestId};
use crate::protocol::timer::Timer;
use crate::wire::solicitation::Solicitation;

/// Calls after a refusal come no sooner: several may refuse one call.
const CONFLICT_WAIT: Duration = Duration::from_millis(250);

impl Router {
    /// How many more links this node wants.
    pub(super) fn wanted(&self) -> u32 {
        self.config.degree.saturating_sub(self.links.counted() as u32)
    }

    fn capacity(&self) -> Capacity {
        Capacity { links: self.links.len(), degree: self.config.degree, known: self.routes.nodes() }
    }

    /// Begins to search as if just started.
    pub(super) fn search_anew(&mut self, now: Instant) {
        self.discovery.call_soon();
        if self.config.degree == 0 {
            self.timers.stop(Timer::Solicit);
            self.timers.stop(Timer::Beacon);
        } else if self.wanted() > 0 {
            self.schedule_call(now);
            self.discovery.beacon_late();
            self.schedule_beacon(now);
        } else {
            self.degree_met(now);
        }
    }

    /// Begins or ends to search where the number of links calls for it.
    pub(super) fn links_changed(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        let searching = self.timers.is_set(Timer::Solicit);
        if self.wanted() == 0 && searching {
            self.degree_met(now);
        } else if self.wanted() > 0 && !searching {
            self.schedule_call(now);
        }
    }

    /// A link is gone: others know of this node's lack soon if the link was one.
    pub(super) fn search_after_loss(&mut self, admitted: bool, now: Instant) {
        if admitted && self.wanted() > 0 {
            self.discovery.call_soon();
            let wait = self.discovery.call_wait(&mut self.rng);
            self.timers.set_earlier(Timer::Solicit, now + wait);
        }
        self.links_changed(now);
    }

    /// A node that has just started may be refused because of its own former life, which lasts no
    /// longer than the dead interval: it goes on calling as if it had not called yet.
    pub(super) fn search_despite_conflict(&mut self, now: Instant) {
        if now < self.started + DEAD_AFTER * 2 && self.wanted() > 0 {
            self.discovery.call_soon();
            let wait = self.discovery.call_wait(&mut self.rng);
            self.timers.set_earlier(Timer::Solicit, now + wait.max(CONFLICT_WAIT));
        }
    }

    /// No more calls; but those who met their degree among themselves may be an island.
    fn degree_met(&mut self, now: Instant) {
        self.timers.stop(Timer::Solicit);
        if self.config.degree > 0 {
            self.discovery.beacon_soon();
            self.schedule_beacon(now);
        }
    }

    fn schedule_call(&mut self, now: Instant) {
        let wait = self.discovery.call_wait(&mut self.rng);
        self.timers.set(Timer::Solicit, now + wait);
    }

    fn schedule_beacon(&mut self, now: Instant) {
        let wait = self.discovery.beacon_wait(&mut self.rng);
        self.timers.set(Timer::Beacon, now + wait);
    }

    pub(super) fn solicit(&mut self, now: Instant) {
        let wanted = self.wanted();
        if wanted == 0 {
            return;
        }
        self.counters.solicitations_sent += 1;
        self.call(wanted);
        self.schedule_call(now);
    }

    pub(super) fn beacon(&mut self, now: Instant) {
        if self.discovery.beacon_due(self.routes.nodes(), &mut self.rng) {
            self.counters.beacons_sent += 1;
            self.call(0);
        }
        self.schedule_beacon(now);
    }

    fn call(&mut self, wanted: u32) {
        let solicitation = Solicitation {
            namespace: self.config.namespace.clone(),
            name: self.config.name.clone(),
            instance: self.instance,
            port: self.config.listen_port,
            wanted,
        };
        self.outputs.push_back(Output::Solicit(solicitation));
    }

    /// A datagram arrived.
    pub(super) fn solicited(&mut self, from: SocketAddr, call: Solicitation, now: Instant) {
        if self.closed {
            return;
        }
        if call.instance == self.instance {
            self.counters.solicitations_own += 1;
            return;
        }
        if !self.discovery.may_listen(now) {
            self.counters.solicitations_limited += 1;
            return;
        }
        if call.namespace != self.config.namespace {
            self.counters.solicitations_foreign += 1;
            return;
        }
        if call.port == 0 {
            self.counters.solicitations_malformed += 1;
            return;
        }
        self.counters.solicitations_heard += 1;
        if self.is_linked_or_dialling(call.instance) {
            return;
        }
        let mut address = from;
        address.set_port(call.port);
        let call = Call {
            instance: call.instance,
            address,
            wanted: call.wanted,
            announced: self.announced_peers(call.instance),
            reachable: self.routes.contains(call.instance),
        };
        match self.discovery.heard(call, self.capacity(), now, &mut self.rng) {
            Heard::AnswerAt(at) => self.timers.set(Timer::Answer(call.instance), at),
            Heard::Ignore => {}
            Heard::TooMany => self.counters.answers_limited += 1,
        }
    }

    /// Answers a call after its wait, if that still makes sense.
    pub(super) fn answer(&mut self, instance: Instance, now: Instant) {
        let reachable = self.routes.contains(instance);
        let taken = self.discovery.take_answer(instance, reachable, self.capacity());
        let Some(answer) = taken else { return };
        let satisfied = match answer.cause {
            Cause::Answer(_) => self.announced_peers(instance) >= answer.enough,
            Cause::Bridge { .. } | Cause::Asked(_) | Cause::Seed(_) => false,
        };
        if satisfied || self.is_linked_or_dialling(instance) {
            return;
        }
        if !self.discovery.may_dial(now) {
            self.counters.dials_limited += 1;
            return;
        }
        self.dial(answer.cause, Address::Socket(answer.address));
    }

    fn is_linked_or_dialling(&self, instance: Instance) -> bool {
        self.links.to(instance).next().is_some() || self.discovery.is_dialling(instance)
    }

    /// How many peers a node announces, as far as is known.
    fn announced_peers(&self, instance: Instance) -> usize {
        self.lsdb.announcement(instance).map_or(0, |known| known.peers.len())
    }

    fn dial(&mut self, cause: Cause, address: Address) {
        self.counters.dials_started += 1;
        let dial = self.discovery.dial(cause);
        self.outputs.push_back(Output::Dial { dial, address, purpose: cause.purpose() });
    }

    pub(super) fn dial_seed(&mut self, seed: usize) {
        self.seeds.dialled(seed);
        self.dial(Cause::Seed(seed), Address::Named(self.config.seeds[seed].clone()));
    }

    pub(super) fn seed_failed(&mut self, seed: usize, now: Instant) {
        let wait = self.seeds.failed(seed, &mut self.rng);
        if !self.closed {
            self.timers.set(Timer::Seed(seed), now + wait);
        }
    }

    pub(super) fn dial_asked(&mut self, request: RequestId, address: String, now: Instant) {
        if self.closed {
            self.reply(request, Reply::Dial(Err(DialError::Closed)));
            return;
        }
        self.asked.insert(request, now);
        self.dial(Cause::Asked(request), Address::Named(address));
    }

    pub(super) fn dial_failed(&mut self, dial: DialId, error: DialError, now: Instant) {
        self.counters.dials_failed += 1;
        let cause = self.discovery.end_dial(dial);
        self.after_dial(cause, error, now);
    }

    /// Forgets the application's dial, and closes what came of it.
    pub(super) fn cancel_dial(&mut self, request: RequestId, now: Instant) {
        self.asked.remove(&request);
        self.discovery.cancel(request);
        let asked = |cause: Option<Cause>| cause == Some(Cause::Asked(request));
        let candidate = self.links.iter().find(|(_, link)| asked(link.cause)).map(|(id, _)| id);
        let links: Vec<LinkId> =
            self.arriving.remove(&request).into_iter().chain(candidate).collect();
        for id in links {
            if let Some(link) = self.links.find_mut(id) {
                link.cause = None;
            }
            self.close_link(id, CloseReason::Hangup, now);
        }
    }
}
