//! Solicitations, beacons, response dials, seeds and dials.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Router;
use crate::error::DialError;
use crate::event::Event;
use crate::name::{Instance, LinkId};
use crate::protocol::discovery::{Decision, DialCause, LocalState, ReceivedSolicitation};
use crate::protocol::io::{Address, CloseReason, DialId, Output, Reply, RequestId};
use crate::protocol::silence::DEAD_INTERVAL_MAX;
use crate::protocol::timer::Timer;
use crate::wire::solicitation::Solicitation;

/// The longest wait before a solicitation after a name conflict: so soon after its name is free, a
/// node is linked again.
const NAME_CONFLICT_WAIT_MAX: Duration = Duration::from_secs(10);
/// The shortest wait before a solicitation after a name conflict: several nodes may refuse at once.
const NAME_CONFLICT_WAIT_MIN: Duration = Duration::from_millis(250);

impl Router {
    /// How many more links this node needs.
    pub(super) fn wanted(&self) -> u32 {
        self.config.degree.saturating_sub(self.links.counted() as u32)
    }

    fn local_state(&self) -> LocalState {
        let (links, degree) = (self.links.len(), self.config.degree);
        LocalState { links, degree, nodes: self.routes.nodes() }
    }

    /// Starts discovery as if the node had just started.
    pub(super) fn restart_discovery(&mut self, now: Instant) {
        self.backoff.reset_solicitations();
        if self.config.degree == 0 {
            self.timers.stop(Timer::Solicit);
            self.timers.stop(Timer::Beacon);
        } else if self.wanted() > 0 {
            self.schedule_solicitation(now);
            self.backoff.use_steady_beacons();
            self.schedule_beacon(now);
        } else {
            self.degree_met(now);
        }
    }

    /// Starts or stops soliciting if the number of links requires it.
    pub(super) fn update_discovery(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        let soliciting = self.timers.is_set(Timer::Solicit);
        if self.wanted() == 0 && soliciting {
            self.degree_met(now);
        } else if self.wanted() > 0 && !soliciting {
            self.schedule_solicitation(now);
        }
    }

    /// A link ended: solicits soon if the link had been admitted.
    pub(super) fn solicit_after_loss(&mut self, admitted: bool, now: Instant) {
        if admitted && self.wanted() > 0 {
            self.backoff.reset_solicitations();
            let wait = self.backoff.next_solicitation_wait(&mut self.rng);
            self.timers.set_earlier(Timer::Solicit, now + wait);
        }
        self.update_discovery(now);
    }

    /// A node that has just restarted may be refused because its former incarnation still has the
    /// name, for no longer than the dead interval. It restarts the back-off of its solicitations. A
    /// node whose name another one has taken over solicits until the name is free.
    pub(super) fn solicit_after_name_conflict(&mut self, now: Instant) {
        if self.wanted() == 0 {
            return;
        }
        if now < self.started + DEAD_INTERVAL_MAX * 2 {
            self.backoff.reset_solicitations();
            let wait = self.backoff.next_solicitation_wait(&mut self.rng);
            self.timers.set_earlier(Timer::Solicit, now + wait.max(NAME_CONFLICT_WAIT_MIN));
        } else {
            self.timers.set_earlier(Timer::Solicit, now + NAME_CONFLICT_WAIT_MAX);
        }
    }

    /// Stops soliciting and sends beacons: nodes that reached their degree may still form an
    /// island.
    fn degree_met(&mut self, now: Instant) {
        self.timers.stop(Timer::Solicit);
        if self.config.degree > 0 {
            self.backoff.reset_beacons();
            self.schedule_beacon(now);
        }
    }

    /// A solicitation or beacon could not be sent: tries again soon, without backing off. Reports it
    /// to the application, once for each reason until one is sent.
    pub(super) fn solicitation_unsent(&mut self, beacon: bool, reason: String, now: Instant) {
        if self.closed {
            return;
        }
        self.counters.solicitations_unsent += 1;
        if beacon && self.timers.is_set(Timer::Beacon) {
            let wait = self.backoff.beacon_unsent(&mut self.rng);
            self.timers.set_earlier(Timer::Beacon, now + wait);
        } else if !beacon && self.timers.is_set(Timer::Solicit) {
            let wait = self.backoff.solicitation_unsent(&mut self.rng);
            self.timers.set_earlier(Timer::Solicit, now + wait);
        }
        if self.unsent_before.as_ref() != Some(&reason) {
            self.event(Event::DiscoveryFailed { reason: reason.clone() });
        }
        self.unsent = Some(reason);
    }

    /// An interface or address of this machine came up: restarts the back-offs, so that nodes that
    /// are reachable again are found soon.
    pub(super) fn network_changed(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        self.counters.network_changes += 1;
        self.restart_backoffs(now);
    }

    fn restart_backoffs(&mut self, now: Instant) {
        self.link_failures.forget();
        self.discovery.forget_failures();
        if self.wanted() > 0 {
            self.backoff.reset_solicitations();
            let wait = self.backoff.next_solicitation_wait(&mut self.rng);
            self.timers.set_earlier(Timer::Solicit, now + wait);
        } else if self.config.degree > 0 {
            self.backoff.reset_beacons();
            let wait = self.backoff.next_beacon_wait(&mut self.rng);
            self.timers.set_earlier(Timer::Beacon, now + wait);
        }
        for (seed, wait) in self.seeds.network_changed(&mut self.rng) {
            self.timers.set_earlier(Timer::Seed(seed), now + wait);
        }
    }

    /// The keys of this node were changed: what had been backed off is tried again at once.
    pub(super) fn keys_changed(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        self.discovery.forget_failures();
        self.link_failures.forget();
        if self.wanted() > 0 {
            self.backoff.reset_solicitations();
            self.timers.set(Timer::Solicit, now);
        } else if self.config.degree > 0 {
            self.backoff.reset_beacons();
            self.timers.set(Timer::Beacon, now);
        }
        for (seed, _) in self.seeds.network_changed(&mut self.rng) {
            self.timers.set(Timer::Seed(seed), now);
        }
    }

    fn schedule_solicitation(&mut self, now: Instant) {
        let wait = self.backoff.next_solicitation_wait(&mut self.rng);
        self.timers.set(Timer::Solicit, now + wait);
    }

    fn schedule_beacon(&mut self, now: Instant) {
        let wait = self.backoff.next_beacon_wait(&mut self.rng);
        self.timers.set(Timer::Beacon, now + wait);
    }

    pub(super) fn solicit(&mut self, now: Instant) {
        let wanted = self.wanted();
        if wanted == 0 {
            return;
        }
        self.counters.solicitations_sent += 1;
        self.send_solicitation(wanted);
        self.schedule_solicitation(now);
    }

    pub(super) fn beacon(&mut self, now: Instant) {
        if self.backoff.should_send_beacon(self.routes.nodes(), &mut self.rng) {
            self.counters.beacons_sent += 1;
            self.send_solicitation(0);
        }
        self.schedule_beacon(now);
    }

    /// Sends a solicitation, or a beacon if `wanted` is 0.
    fn send_solicitation(&mut self, wanted: u32) {
        self.unsent_before = self.unsent.take();
        let solicitation = Solicitation {
            namespace: self.config.namespace.clone(),
            name: self.config.name.clone(),
            instance: self.instance,
            port: self.config.listen_port,
            wanted,
        };
        self.outputs.push_back(Output::Solicit(solicitation));
    }

    /// Processes a solicitation or beacon.
    pub(super) fn receive_solicitation(
        &mut self,
        from: SocketAddr,
        datagram: Solicitation,
        now: Instant,
    ) {
        if self.closed {
            return;
        }
        if datagram.instance == self.instance {
            self.counters.solicitations_own += 1;
            return;
        }
        let mut address = from;
        address.set_port(datagram.port);
        if self.discovery.is_copy(datagram.instance, address, now) {
            self.counters.solicitations_copied += 1;
            return;
        }
        if !self.discovery.take_solicitation_token(now) {
            self.counters.solicitations_limited += 1;
            return;
        }
        self.discovery.record_arrival(datagram.instance, now);
        if datagram.namespace != self.config.namespace {
            self.counters.solicitations_foreign += 1;
            return;
        }
        if datagram.port == 0 {
            self.counters.solicitations_malformed += 1;
            return;
        }
        self.counters.solicitations_received += 1;
        if self.is_linked_or_dialling(datagram.instance) {
            return;
        }
        if !self.link_failures.permits(datagram.instance, now) {
            self.counters.response_dials_damped += 1;
            return;
        }
        if !self.discovery.may_dial(address, now) {
            self.counters.response_dials_backed_off += 1;
            return;
        }
        let solicitation = ReceivedSolicitation {
            instance: datagram.instance,
            address,
            wanted: datagram.wanted,
            announced_peers: self.announced_peers(datagram.instance),
            reachable: self.routes.contains(datagram.instance),
        };
        let local = self.local_state();
        match self.discovery.receive(solicitation, local, now, &mut self.rng) {
            Decision::DialAt(at) => self.timers.set(Timer::Response(datagram.instance), at),
            Decision::Ignore => {}
            Decision::LimitReached => self.counters.response_dials_limited += 1,
        }
    }

    /// Starts a response dial after its wait, if it is still needed.
    pub(super) fn respond(&mut self, instance: Instance, now: Instant) {
        let reachable = self.routes.contains(instance);
        let taken = self.discovery.take_response(instance, reachable, self.local_state());
        let Some(mut response) = taken else { return };
        response.addresses.retain(|address| self.discovery.may_dial(*address, now));
        if response.addresses.is_empty() {
            self.counters.response_dials_backed_off += 1;
            return;
        }
        let satisfied = match response.cause {
            DialCause::Response(_) => self.announced_peers(instance) >= response.enough_peers,
            DialCause::Bridge { .. } | DialCause::Application(_) | DialCause::Seed(_) => false,
        };
        if satisfied || self.is_linked_or_dialling(instance) {
            return;
        }
        if !self.discovery.take_dial_token(now) {
            self.counters.dials_limited += 1;
            return;
        }
        self.dial(response.cause, Address::Sockets(response.addresses));
    }

    fn is_linked_or_dialling(&self, instance: Instance) -> bool {
        self.links.to(instance).next().is_some() || self.discovery.is_dialling(instance)
    }

    /// How many peers a node announces, as far as this node knows.
    fn announced_peers(&self, instance: Instance) -> usize {
        self.lsdb.announcement(instance).map_or(0, |known| known.peers.len())
    }

    fn dial(&mut self, cause: DialCause, address: Address) {
        self.counters.dials_started += 1;
        let dial = self.discovery.start_dial(cause, &address);
        self.outputs.push_back(Output::Dial { dial, address, purpose: cause.purpose() });
    }

    pub(super) fn dial_seed(&mut self, seed: usize) {
        self.seeds.dialled(seed);
        self.dial(DialCause::Seed(seed), Address::Named(self.config.seeds[seed].clone()));
    }

    pub(super) fn seed_failed(&mut self, seed: usize, now: Instant) {
        let wait = self.seeds.failed(seed, self.routes.nodes(), &mut self.rng);
        if !self.closed {
            self.timers.set(Timer::Seed(seed), now + wait);
        }
    }

    pub(super) fn dial_for_application(
        &mut self,
        request: RequestId,
        address: String,
        now: Instant,
    ) {
        if self.closed {
            self.reply(request, Reply::Dial(Err(DialError::Closed)));
            return;
        }
        self.application_dials.insert(request, now);
        self.dial(DialCause::Application(request), Address::Named(address));
    }

    pub(super) fn dial_failed(&mut self, dial: DialId, error: DialError, now: Instant) {
        self.counters.dials_failed += 1;
        let cause = self.discovery.dial_failed(dial, now);
        self.dial_ended(cause, error, now);
    }

    /// Drops a dial of the application, and closes the link that it led to.
    pub(super) fn cancel_dial(&mut self, request: RequestId, now: Instant) {
        self.application_dials.remove(&request);
        self.discovery.cancel_dial(request);
        let requested = |cause: Option<DialCause>| cause == Some(DialCause::Application(request));
        let candidate = self.links.iter().find(|(_, link)| requested(link.cause)).map(|(id, _)| id);
        let links: Vec<LinkId> =
            self.dials_awaiting_route.remove(&request).into_iter().chain(candidate).collect();
        for id in links {
            if let Some(link) = self.links.find_mut(id) {
                link.cause = None;
            }
            self.close_link(id, CloseReason::Hangup, now);
        }
    }
}
