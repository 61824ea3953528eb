//! Applies simulated events to a node: the simulator's driver.
//!
//! It does the same as the driver over real sockets, with the same parts: it feeds the router,
//! drains its outputs, installs new routes in the data plane and moves bytes. It makes no
//! decisions.
//!
//! ```text
//!  event ───► hello · frames · timers · datagrams ──► settle:  drain the router
//!                                                              install the routes
//!                                                              take the inbox and the reports
//!                                                              write to links that have room
//!                                                              (repeat while there is progress)
//!                                                              set the next wakeup
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use crate::error::DialError;
use crate::event::Event;
use crate::forward::outbound::{Batch, Class};
use crate::message::Recipients;
use crate::name::LinkId;
use crate::protocol::io::{Input, Output};
use crate::wire::control::ControlFrame;
use crate::wire::frame::WireFrame;

use super::connection::Side;
use super::event::SimEvent;
use super::liar::FORGED_BODY;
use super::network::HostId;
use super::node::{DEFERRED_MAX, HostState, SimLink};
use super::sealed::{Opening, SimDatagram};
use super::simulation::{PORT, Sim};

/// The limit of consecutive wakeups of a node at one time. More means that a timer expires again
/// and again without progress.
const IMMEDIATE_WAKES_MAX: u32 = 100;
/// The limit of rounds that one event may cause. More means that two parts trigger each other
/// forever.
const ROUNDS_MAX: u32 = 100_000;
/// Above this number of nodes, the router's own check runs only after one event in
/// [`CHECK_ONE_IN`], because its cost is proportional to the size of the mesh.
const CHECK_ALWAYS_NODES: usize = 64;
const CHECK_ONE_IN: u64 = 257;

impl Sim {
    pub(super) fn handle_event(&mut self, event: SimEvent) {
        match event {
            SimEvent::Wake { host_id, incarnation } => self.wake(host_id, incarnation),
            SimEvent::ProcessInput { host_id, incarnation } => {
                self.process_input(host_id, incarnation)
            }
            SimEvent::SegmentArrival { connection, from } => self.arrive(connection, from),
            SimEvent::ConnectRequest { connection } => {
                let listener = self.connections[connection.0].end(Side::Listener).host_id;
                let dialler = self.connections[connection.0].end(Side::Dialler).host_id;
                // The dialler's kernel retries a lost attempt. The dial timeout covers this, and
                // the router dials again after it.
                if !self.network.reaches(dialler, listener) {
                    return;
                }
                match self.hosts[listener.0].state {
                    HostState::Running => self.connect_request(connection),
                    HostState::Stopped => {
                        self.defer(listener, SimEvent::ConnectRequest { connection })
                    }
                    HostState::Off => {}
                }
            }
            SimEvent::DialTimeout { connection } => self.dial_timeout(connection),
            SimEvent::HandshakeTimeout { connection, side } => {
                self.handshake_timeout(connection, side);
            }
            SimEvent::ResolveFailure { host_id, incarnation, dial, purpose, address } => {
                if self.hosts[host_id.0].state == HostState::Stopped {
                    let again =
                        SimEvent::ResolveFailure { host_id, incarnation, dial, purpose, address };
                    return self.defer(host_id, again);
                }
                let error = DialError::Resolve(address, "no such host".into());
                self.dial_failed(host_id, incarnation, dial, error);
            }
            SimEvent::FlushCheck { host_id, incarnation, until } => {
                self.check_flush(host_id, incarnation, until);
            }
            SimEvent::Datagram { from, to, datagram } => self.datagram(from, to, datagram),
            SimEvent::KeyStep { connection, side } => self.key_step(connection, side),
        }
    }

    pub(super) fn defer(&mut self, host_id: HostId, event: SimEvent) {
        let deferred = &mut self.hosts[host_id.0].deferred;
        let datagram = matches!(event, SimEvent::Datagram { .. });
        if !datagram || deferred.len() < DEFERRED_MAX {
            deferred.push(event);
        }
    }

    // ---- timers -----------------------------------------------------------------------------

    fn wake(&mut self, host_id: HostId, number: u64) {
        let (now, instant) = (self.now, self.instant());
        let host = &mut self.hosts[host_id.0];
        let Some(incarnation) = &mut host.incarnation else {
            return;
        };
        if incarnation.number != number || incarnation.wake != Some(now) {
            return;
        }
        incarnation.wake = None;
        if host.state != HostState::Running {
            return;
        }
        incarnation.immediate_wakes += 1;
        assert!(
            incarnation.immediate_wakes < IMMEDIATE_WAKES_MAX,
            "invariant S11: {} wakes up without progress: {:?}, plane {:?}",
            host.spec.name,
            incarnation.router.poll_timeout(),
            incarnation.plane.poll_timeout().map(Self::since_epoch),
        );
        if incarnation.router.poll_timeout().is_some_and(|(at, _)| at <= instant) {
            incarnation.router.handle_timeout(instant);
            self.trace_hash.event(now, b'r', host_id.0 as u64, number);
        }
        if incarnation.plane.poll_timeout().is_some_and(|at| at <= instant) {
            incarnation.plane.handle_timeout(instant);
            self.trace_hash.event(now, b'p', host_id.0 as u64, number);
        }
        self.settle(host_id);
    }

    pub(super) fn set_wake(&mut self, host_id: HostId) {
        let Some(incarnation) = &mut self.hosts[host_id.0].incarnation else {
            return;
        };
        let router = incarnation.router.poll_timeout().map(|(at, _)| at);
        let due = [router, incarnation.plane.poll_timeout()].into_iter().flatten().min();
        let Some(due) = due.map(Self::since_epoch) else {
            return;
        };
        if due > self.now {
            incarnation.immediate_wakes = 0;
        }
        let due = due.max(self.now);
        if incarnation.wake.is_none_or(|wake| due < wake) {
            incarnation.wake = Some(due);
            let number = incarnation.number;
            self.schedule(due, SimEvent::Wake { host_id, incarnation: number });
        }
    }

    // ---- datagrams --------------------------------------------------------------------------

    fn datagram(&mut self, from: HostId, to: HostId, datagram: SimDatagram) {
        if !self.network.reaches(from, to) {
            return;
        }
        match self.hosts[to.0].state {
            HostState::Running => {}
            HostState::Stopped => return self.defer(to, SimEvent::Datagram { from, to, datagram }),
            HostState::Off => return,
        }
        if self.incarnation(to).is_none() {
            return;
        }
        self.trace_hash.event(self.now, b'd', from.0 as u64, to.0 as u64);
        let from = SocketAddr::new(from.ip(), PORT);
        let input = match self.open_datagram(to, datagram) {
            Opening::Solicited(solicitation) => Input::Solicited { from, solicitation },
            Opening::Denied(error) => Input::Denied { from, dialled: false, error },
            Opening::Dropped => return,
        };
        self.feed(to, input);
        self.settle(to);
    }

    // ---- inputs -----------------------------------------------------------------------------

    /// Passes an input to the router: at once, or after a delay if the control task has a lag.
    pub(super) fn feed(&mut self, host_id: HostId, input: Input) {
        let host = &mut self.hosts[host_id.0];
        let lag = host.spec.lag;
        let Some(incarnation) = &mut host.incarnation else {
            return;
        };
        if lag.is_zero() {
            return self.input(host_id, input);
        }
        let late = self.race_rng.time(Duration::ZERO..lag);
        incarnation.next_input_at = incarnation.next_input_at.max(self.now + late);
        incarnation.queued.push_back(input);
        let (at, incarnation) = (incarnation.next_input_at, incarnation.number);
        self.schedule(at, SimEvent::ProcessInput { host_id, incarnation });
    }

    fn process_input(&mut self, host_id: HostId, number: u64) {
        let host = &mut self.hosts[host_id.0];
        let Some(incarnation) = &mut host.incarnation else {
            return;
        };
        if incarnation.number != number {
            return;
        }
        if host.state == HostState::Stopped {
            return self.defer(host_id, SimEvent::ProcessInput { host_id, incarnation: number });
        }
        let Some(input) = incarnation.queued.pop_front() else {
            panic!("invariant S1: every ProcessInput event has an input");
        };
        self.trace_hash.event(self.now, b'q', host_id.0 as u64, incarnation.queued.len() as u64);
        self.input(host_id, input);
        self.settle(host_id);
    }

    fn input(&mut self, host_id: HostId, input: Input) {
        let now = self.instant();
        let Some(incarnation) = &mut self.hosts[host_id.0].incarnation else {
            return;
        };
        if let Input::LinkDown { link, .. } = &input {
            // The router does not get the event for a link that it closed meanwhile.
            if incarnation.links.remove(link).is_none() {
                return;
            }
            incarnation.fib_stale = true;
        }
        incarnation.router.handle(input, now);
        self.drain(host_id);
    }

    // ---- the drain loop ---------------------------------------------------------------------

    /// Runs the parts of a node until none has work left.
    pub(super) fn settle(&mut self, host_id: HostId) {
        if !self.is_running(host_id) {
            return;
        }
        let mut rounds = 0;
        loop {
            self.drain(host_id);
            let stale = self.incarnation(host_id).is_some_and(|incarnation| incarnation.fib_stale);
            if stale {
                self.install(host_id);
            }
            self.send_greetings(host_id);
            self.take_messages(host_id);
            let resumed = self.resume_readers(host_id);
            if !(self.write_links(host_id) | resumed) {
                break;
            }
            rounds += 1;
            assert!(
                rounds < ROUNDS_MAX,
                "invariant S11: the parts of a node trigger each other forever"
            );
        }
        self.take_completions(host_id);
        self.checks += 1;
        if self.hosts.len() <= CHECK_ALWAYS_NODES || self.checks.is_multiple_of(CHECK_ONE_IN) {
            self.check_node(host_id);
        }
        self.set_wake(host_id);
    }

    /// Handles the router's outputs.
    pub(super) fn drain(&mut self, host_id: HostId) {
        loop {
            let Some(incarnation) = &mut self.hosts[host_id.0].incarnation else {
                return;
            };
            let Some(output) = incarnation.router.poll_output() else {
                return;
            };
            match output {
                Output::Send { link, frame } => {
                    self.queue_control(host_id, link, frame.encode());
                }
                Output::KeepAlive { link } => {
                    self.queue_control(host_id, link, WireFrame::keep_alive());
                }
                Output::PaddedKeepAlive { link } => {
                    self.queue_control(host_id, link, WireFrame::padded_keep_alive());
                }
                Output::Probe { link } => {
                    self.queue_control(host_id, link, ControlFrame::Probe.encode());
                }
                Output::Solicit(solicitation) => self.solicit(host_id, &solicitation),
                Output::Dial { dial, address, purpose } => {
                    self.start_dial(host_id, dial, address, purpose);
                }
                Output::Close { link, reason } => self.close_link(host_id, link, reason),
                Output::Install(_) => {
                    incarnation.fib_stale = true;
                    self.counters.installs += 1;
                }
                // No handshake of the simulator checks tickets.
                Output::Revocations(_) => {}
                Output::Event(event) => self.application_event(host_id, event),
                Output::Reply { request, reply } => {
                    self.trace_hash.line(self.now, || format!("reply {} {reply:?}", host_id.0));
                    self.replies.insert(request, reply);
                }
            }
        }
    }

    fn queue_control(&mut self, host_id: HostId, link: LinkId, frame: WireFrame) {
        let Some(incarnation) = &mut self.hosts[host_id.0].incarnation else {
            return;
        };
        let Some(sim_link) = incarnation.links.get(&link) else {
            panic!(
                "invariant S9: {} sends over {link}, which is closed or was reported down",
                self.hosts[host_id.0].spec.name
            );
        };
        let queued = sim_link.outbound.push_frame(Class::Control, &frame);
        let gone = !incarnation.open.contains(&(sim_link.connection, sim_link.side));
        assert!(gone || queued.is_ok(), "invariant S10: the queue of control frames has room");
    }

    fn application_event(&mut self, host_id: HostId, event: Event) {
        let host = &mut self.hosts[host_id.0];
        let name = &host.spec.name;
        self.trace_hash.event(self.now, b'e', host_id.0 as u64, self.counters.events);
        self.trace_hash.line(self.now, || format!("event {name} {event:?}"));
        self.counters.events += 1;
        let Some(incarnation) = &mut host.incarnation else {
            return;
        };
        match event {
            Event::LinkUp { peer, .. } => {
                incarnation.reported_peers.insert(peer);
            }
            Event::LinkDown { peer, .. } => {
                self.last_link_down = Some(self.now);
                incarnation.reported_peers.remove(&peer);
            }
            Event::NodeJoined { node, instance } => {
                incarnation.known_instances.insert(instance);
                if self.greets {
                    incarnation.greetings.push(node.clone());
                }
                assert!(
                    incarnation.reported_nodes.insert(node.clone()),
                    "invariant S12: {name} received NodeJoined twice for {node}"
                );
            }
            Event::NodeLeft { node, .. } => {
                assert!(
                    incarnation.reported_nodes.remove(&node),
                    "invariant S12: {name} received NodeLeft for {node}, which had not joined"
                );
            }
            Event::NameConflict { .. } => self.counters.conflicts += 1,
            Event::KeyMismatch { heard, .. } => incarnation.heard_keys.extend(heard),
            Event::Topology
            | Event::DiscoveryFailed { .. }
            | Event::Revoked { .. }
            | Event::Overflow => {}
        }
    }

    /// Sends the greetings of an application that greets every node that joins.
    fn send_greetings(&mut self, host_id: HostId) {
        let Some(incarnation) = &mut self.hosts[host_id.0].incarnation else {
            return;
        };
        for node in std::mem::take(&mut incarnation.greetings) {
            // The node may have left meanwhile, and then the report says so.
            let _ = self.start_send(host_id, Recipients::Set(node.into()), 10, Default::default());
        }
    }

    /// Takes messages from the inbox, if the application reads it.
    fn take_messages(&mut self, host_id: HostId) {
        let host = &mut self.hosts[host_id.0];
        let Some(incarnation) = &mut host.incarnation else {
            return;
        };
        if !incarnation.reading || incarnation.plane.waiting() == 0 {
            return;
        }
        let (mut received, mut forged) = (Vec::new(), Vec::new());
        for message in incarnation.plane.take(usize::MAX).0 {
            self.trace_hash.event(self.now, b'm', message.instance.0, message.id.0);
            self.trace_hash.line(self.now, || format!("inbox {} {message}", host_id.0));
            match message.body.starts_with(FORGED_BODY) {
                true => forged.push(message.clone()),
                false => received.push((message.source.clone(), message.instance)),
            }
            self.counters.hops.add(message.route.len());
            self.history.record_delivery(
                &host.spec.name,
                incarnation.instance,
                &message,
                self.now,
                self.counters.order_disruptions,
            );
            if let Some(inboxes) = &mut self.inboxes {
                inboxes.entry(host_id).or_default().push(message);
            }
        }
        for message in &forged {
            self.check_forged_delivery(host_id, message);
        }
        for (source, instance) in received {
            self.check_mesh(host_id, &source);
            self.check_answerable(host_id, &source, instance);
        }
    }

    /// Takes completions and snooped messages for the application.
    fn take_completions(&mut self, host_id: HostId) {
        let host = &self.hosts[host_id.0];
        let Some(incarnation) = &host.incarnation else {
            return;
        };
        for (send_id, result) in incarnation.plane.sink().completed() {
            self.trace_hash.event(self.now, b't', host_id.0 as u64, send_id.0 as u64);
            self.trace_hash
                .line(self.now, || format!("report {} {send_id:?} {result:?}", host_id.0));
            self.history.record_completion(send_id, result, self.now, host.continued_at);
        }
        if self.inboxes.is_some() {
            let seen = incarnation.plane.sink().snooped();
            self.snooped.entry(host_id).or_default().extend(seen);
        }
    }

    /// Writes to the links that have room. Returns whether that made further progress possible.
    fn write_links(&mut self, host_id: HostId) -> bool {
        let now = self.instant();
        let mut writable = false;
        let Some(incarnation) = &self.hosts[host_id.0].incarnation else {
            return false;
        };
        let waiting: Vec<LinkId> = incarnation
            .links
            .iter()
            .filter(|(_, sim_link)| {
                incarnation.open.contains(&(sim_link.connection, sim_link.side))
            })
            .filter(|(_, sim_link)| sim_link.outbound.waiting_bytes() > 0)
            .map(|(&link, _)| link)
            .collect();
        for link in waiting {
            let Some(sim_link) =
                self.incarnation(host_id).and_then(|incarnation| incarnation.links.get(&link))
            else {
                continue;
            };
            let sim_link = SimLink {
                connection: sim_link.connection,
                side: sim_link.side,
                outbound: sim_link.outbound.clone(),
            };
            let connection = &self.connections[sim_link.connection.0];
            let other = connection.end(sim_link.side.other()).host_id;
            let window = self.network.path(host_id, other).window();
            loop {
                let pipe = &self.connections[sim_link.connection.0].end(sim_link.side).pipe;
                let room = window.saturating_sub(pipe.in_flight_bytes);
                let mut batch = Batch::default();
                if room == 0 {
                    break;
                }
                sim_link.outbound.try_take(room, &mut batch);
                if batch.bytes == 0 {
                    break;
                }
                let is_writable = batch.writable;
                self.write(host_id, &sim_link, batch);
                if is_writable && let Some(incarnation) = self.incarnation(host_id) {
                    incarnation.plane.writable(link, now);
                    writable = true;
                }
            }
        }
        writable
    }
}
