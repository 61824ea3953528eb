//! What a happening does to a node: the simulator's driver.
//!
//! It does what the driver over real sockets does, with the same parts: feeds the router, drains its
//! outputs, tells the data plane of new routes, and moves bytes. It decides nothing.
//!
//! ```text
//!  happen ──► hello · frames · timers · datagrams ──► settle:  drain the router
//!                                                              install the routes
//!                                                              take the inbox, the reports
//!                                                              write what the links take
//!                                                              (again, until nothing moves)
//!                                                              set the next wake-up
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::error::DialError;
use crate::event::Event;
use crate::forward::outbound::{Batch, Class};
use crate::name::LinkId;
use crate::protocol::io::{Input, Output};
use crate::wire::frame::WireFrame;
use crate::wire::solicitation::Solicitation;

use super::connection::Side;
use super::network::Machine;
use super::node::{Condition, DEFERRED_MAX, Wire};
use super::simulation::{PORT, Sim, SimEvent};

/// How often a node may be woken in a row without time going by. More is a timer that is never
/// satisfied.
const SPINS_MAX: u32 = 100;
/// How often one event may set a node's parts in motion again. More is two parts feeding each other.
const ROUNDS_MAX: u32 = 100_000;
/// In a world of more nodes than this, a router's own check, which costs in proportion to the
/// mesh, is made after one event in [`CHECK_ONE_IN`].
const CHECK_ALWAYS_NODES: usize = 64;
const CHECK_ONE_IN: u64 = 257;

impl Sim {
    pub(super) fn happen(&mut self, happening: SimEvent) {
        match happening {
            SimEvent::Wake { machine, life } => self.wake(machine, life),
            SimEvent::Turn { machine, life } => self.turn(machine, life),
            SimEvent::Arrive { connection, from } => self.arrive(connection, from),
            SimEvent::Knock { connection } => {
                let listener = self.connections[connection.0].end(Side::Listener).machine;
                let dialler = self.connections[connection.0].end(Side::Dialler).machine;
                // A lost attempt is made again by the dialler's kernel; the dial's timeout covers
                // what a person would wait, and the router dials again after that.
                if !self.network.reaches(dialler, listener) {
                    return;
                }
                match self.computers[listener.0].condition {
                    Condition::On => self.knock(connection),
                    Condition::Stopped => self.defer(listener, SimEvent::Knock { connection }),
                    Condition::Off => {}
                }
            }
            SimEvent::DialTimeout { connection } => self.dial_timeout(connection),
            SimEvent::HandshakeTimeout { connection, side } => {
                self.handshake_timeout(connection, side);
            }
            SimEvent::Unresolved { machine, life, dial, purpose, address } => {
                if self.computers[machine.0].condition == Condition::Stopped {
                    let again = SimEvent::Unresolved { machine, life, dial, purpose, address };
                    return self.defer(machine, again);
                }
                let error = DialError::Resolve(address, "no such computer".into());
                self.dial_failed(machine, life, dial, error);
            }
            SimEvent::Datagram { from, to, solicitation } => {
                self.datagram(from, to, solicitation);
            }
        }
    }

    pub(super) fn defer(&mut self, machine: Machine, happening: SimEvent) {
        let deferred = &mut self.computers[machine.0].deferred;
        let datagram = matches!(happening, SimEvent::Datagram { .. });
        if !datagram || deferred.len() < DEFERRED_MAX {
            deferred.push(happening);
        }
    }

    // ---- timers -----------------------------------------------------------------------------

    fn wake(&mut self, machine: Machine, number: u64) {
        let (now, instant) = (self.now, self.instant());
        let computer = &mut self.computers[machine.0];
        let Some(life) = &mut computer.life else {
            return;
        };
        if life.number != number || life.wake != Some(now) {
            return;
        }
        life.wake = None;
        if computer.condition != Condition::On {
            return;
        }
        life.spins += 1;
        assert!(
            life.spins < SPINS_MAX,
            "invariant S11: {} is woken again and again: {:?}, plane {:?}",
            computer.spec.name,
            life.router.poll_timeout(),
            life.plane.poll_timeout().map(Self::since_epoch),
        );
        if life.router.poll_timeout().is_some_and(|(at, _)| at <= instant) {
            life.router.handle_timeout(instant);
            self.trace_hash.event(now, b'r', machine.0 as u64, number);
        }
        if life.plane.poll_timeout().is_some_and(|at| at <= instant) {
            life.plane.handle_timeout(instant);
            self.trace_hash.event(now, b'p', machine.0 as u64, number);
        }
        self.settle(machine);
    }

    fn set_wake(&mut self, machine: Machine) {
        let Some(life) = &mut self.computers[machine.0].life else {
            return;
        };
        let router = life.router.poll_timeout().map(|(at, _)| at);
        let due = [router, life.plane.poll_timeout()].into_iter().flatten().min();
        let Some(due) = due.map(Self::since_epoch) else {
            return;
        };
        if due > self.now {
            life.spins = 0;
        }
        let due = due.max(self.now);
        if life.wake.is_none_or(|wake| due < wake) {
            life.wake = Some(due);
            let number = life.number;
            self.schedule(due, SimEvent::Wake { machine, life: number });
        }
    }

    // ---- datagrams --------------------------------------------------------------------------

    fn solicit(&mut self, from: Machine, solicitation: &Solicitation) {
        let bytes = solicitation.encode();
        self.trace_hash
            .line(self.now, || format!("solicit {} wants {}", from.0, solicitation.wanted));
        self.trace_hash.bytes(&bytes);
        self.figures.computers[from.0].datagrams += 1;
        let solicitation = match Solicitation::decode(&bytes) {
            Ok(decoded) => Arc::new(decoded),
            Err(error) => panic!("invariant S8: our own datagram does not decode: {error}"),
        };
        for to in self.machines() {
            if !self.network.reaches(from, to) || (from != to && self.network.loses()) {
                continue;
            }
            let at = self.now + self.network.delay(from, to);
            let solicitation = solicitation.clone();
            self.schedule(at, SimEvent::Datagram { from, to, solicitation });
        }
    }

    fn datagram(&mut self, from: Machine, to: Machine, solicitation: Arc<Solicitation>) {
        if !self.network.reaches(from, to) {
            return;
        }
        match self.computers[to.0].condition {
            Condition::On => {}
            Condition::Stopped => {
                return self.defer(to, SimEvent::Datagram { from, to, solicitation });
            }
            Condition::Off => return,
        }
        if self.life(to).is_some() {
            self.trace_hash.event(self.now, b'd', from.0 as u64, to.0 as u64);
            let solicitation = Arc::unwrap_or_clone(solicitation);
            let from = SocketAddr::new(from.ip(), PORT);
            self.feed(to, Input::Solicited { from, solicitation });
            self.settle(to);
        }
    }

    // ---- inputs -----------------------------------------------------------------------------

    /// Gives the router an input: at once, or where its control task is late, in its turn.
    pub(super) fn feed(&mut self, machine: Machine, input: Input) {
        let computer = &mut self.computers[machine.0];
        let lag = computer.spec.lag;
        let Some(life) = &mut computer.life else {
            return;
        };
        if lag.is_zero() {
            return self.input(machine, input);
        }
        let late = self.races.time(Duration::ZERO..lag);
        life.turn_at = life.turn_at.max(self.now + late);
        life.queued.push_back(input);
        let (at, life) = (life.turn_at, life.number);
        self.schedule(at, SimEvent::Turn { machine, life });
    }

    fn turn(&mut self, machine: Machine, number: u64) {
        let computer = &mut self.computers[machine.0];
        let Some(life) = &mut computer.life else {
            return;
        };
        if life.number != number {
            return;
        }
        if computer.condition == Condition::Stopped {
            return self.defer(machine, SimEvent::Turn { machine, life: number });
        }
        let Some(input) = life.queued.pop_front() else {
            panic!("invariant S1: every turn has its input");
        };
        self.trace_hash.event(self.now, b'q', machine.0 as u64, life.queued.len() as u64);
        self.input(machine, input);
        self.settle(machine);
    }

    fn input(&mut self, machine: Machine, input: Input) {
        let now = self.instant();
        let Some(life) = &mut self.computers[machine.0].life else {
            return;
        };
        if let Input::LinkDown { link, .. } = &input {
            // Not told of one that the router closed meanwhile.
            if life.links.remove(link).is_none() {
                return;
            }
            life.fib_stale = true;
        }
        life.router.handle(input, now);
        self.drain(machine);
    }

    // ---- the drain loop ---------------------------------------------------------------------

    /// Lets everything that a node's parts want done be done.
    pub(super) fn settle(&mut self, machine: Machine) {
        if !self.is_running(machine) {
            return;
        }
        let mut rounds = 0;
        loop {
            self.drain(machine);
            let stale = self.life(machine).is_some_and(|life| life.fib_stale);
            if stale {
                self.install(machine);
            }
            self.take(machine);
            if !self.pump(machine) {
                break;
            }
            rounds += 1;
            assert!(rounds < ROUNDS_MAX, "invariant S11: the parts of a node feed each other");
        }
        self.tell(machine);
        self.checks += 1;
        if self.computers.len() <= CHECK_ALWAYS_NODES || self.checks.is_multiple_of(CHECK_ONE_IN) {
            self.check_node(machine);
        }
        self.set_wake(machine);
    }

    /// Does what the router wants done.
    pub(super) fn drain(&mut self, machine: Machine) {
        loop {
            let Some(life) = &mut self.computers[machine.0].life else {
                return;
            };
            let Some(output) = life.router.poll_output() else {
                return;
            };
            match output {
                Output::Send { link, frame } => {
                    self.queue(machine, link, frame.encode());
                }
                Output::KeepAlive { link } => {
                    self.queue(machine, link, WireFrame::keep_alive());
                }
                Output::Solicit(solicitation) => self.solicit(machine, &solicitation),
                Output::Dial { dial, address, purpose } => {
                    self.start_dial(machine, dial, address, purpose);
                }
                Output::Close { link, reason } => self.close_link(machine, link, reason),
                Output::Install(_) => {
                    life.fib_stale = true;
                    self.figures.installs += 1;
                }
                Output::Event(event) => self.event(machine, event),
                Output::Reply { request, reply } => {
                    self.trace_hash.line(self.now, || format!("reply {} {reply:?}", machine.0));
                    self.replies.insert(request, reply);
                }
            }
        }
    }

    fn queue(&mut self, machine: Machine, link: LinkId, frame: WireFrame) {
        let Some(life) = &mut self.computers[machine.0].life else {
            return;
        };
        let Some(wire) = life.links.get(&link) else {
            panic!(
                "invariant S9: {} sends over {link}, which it closed or was told is down",
                self.computers[machine.0].spec.name
            );
        };
        let queued = wire.outbound.push_frame(Class::Control, &frame);
        let gone = !life.open.contains(&(wire.connection, wire.side));
        assert!(
            gone || queued.is_ok(),
            "invariant S10: the queue of control frames holds what there is"
        );
    }

    fn event(&mut self, machine: Machine, event: Event) {
        let computer = &mut self.computers[machine.0];
        let name = &computer.spec.name;
        self.trace_hash.event(self.now, b'e', machine.0 as u64, self.figures.events);
        self.trace_hash.line(self.now, || format!("event {name} {event:?}"));
        self.figures.events += 1;
        let Some(life) = &mut computer.life else {
            return;
        };
        match event {
            Event::LinkUp(peer) => {
                life.told_peers.insert(peer);
            }
            Event::LinkDown(peer) => {
                life.told_peers.remove(&peer);
            }
            Event::NodeJoined(node) => {
                assert!(
                    life.told_nodes.insert(node.clone()),
                    "invariant S12: {name} was told twice that {node} joined"
                );
            }
            Event::NodeLeft(node) => {
                assert!(
                    life.told_nodes.remove(&node),
                    "invariant S12: {name} was told that {node} left, which had not joined"
                );
            }
            Event::NameConflict(_) => self.figures.conflicts += 1,
            Event::Topology | Event::Overflow => {}
        }
    }

    /// Takes what the application takes: messages, unless it reads none.
    fn take(&mut self, machine: Machine) {
        let computer = &mut self.computers[machine.0];
        let Some(life) = &mut computer.life else {
            return;
        };
        if !life.reading || life.plane.waiting() == 0 {
            return;
        }
        for message in life.plane.take(usize::MAX).0 {
            self.trace_hash.event(self.now, b'm', message.instance.0, message.id.0);
            self.trace_hash.line(self.now, || format!("inbox {} {message}", machine.0));
            self.figures.hops.add(message.route.len());
            self.history.receive(
                &computer.spec.name,
                life.instance,
                &message,
                self.now,
                self.figures.upheavals,
            );
            if let Some(inboxes) = &mut self.inboxes {
                inboxes.entry(machine).or_default().push(message);
            }
        }
    }

    /// Takes what the application is told.
    fn tell(&mut self, machine: Machine) {
        let computer = &self.computers[machine.0];
        let Some(life) = &computer.life else {
            return;
        };
        for (ticket, result) in life.plane.sink().completed() {
            self.trace_hash.event(self.now, b't', machine.0 as u64, ticket.0 as u64);
            self.trace_hash
                .line(self.now, || format!("report {} {ticket:?} {result:?}", machine.0));
            self.history.complete(ticket, result, self.now, computer.continued_at);
        }
        if self.inboxes.is_some() {
            let seen = life.plane.sink().snooped();
            self.snooped.entry(machine).or_default().extend(seen);
        }
    }

    /// Writes what the links take. Says whether that set something in motion again.
    fn pump(&mut self, machine: Machine) -> bool {
        let now = self.instant();
        let mut writable = false;
        let Some(life) = &self.computers[machine.0].life else {
            return false;
        };
        let waiting: Vec<LinkId> = life
            .links
            .iter()
            .filter(|(_, wire)| life.open.contains(&(wire.connection, wire.side)))
            .filter(|(_, wire)| wire.outbound.waiting_bytes() > 0)
            .map(|(&link, _)| link)
            .collect();
        for link in waiting {
            let Some(wire) = self.life(machine).and_then(|life| life.links.get(&link)) else {
                continue;
            };
            let wire = Wire {
                connection: wire.connection,
                side: wire.side,
                outbound: wire.outbound.clone(),
            };
            let connection = &self.connections[wire.connection.0];
            let other = connection.end(wire.side.other()).machine;
            let window = self.network.path(machine, other).window();
            loop {
                let pipe = &self.connections[wire.connection.0].end(wire.side).pipe;
                let room = window.saturating_sub(pipe.in_flight_bytes);
                let mut batch = Batch::default();
                if room == 0 {
                    break;
                }
                wire.outbound.try_take(room, &mut batch);
                if batch.bytes == 0 {
                    break;
                }
                let is_writable = batch.writable;
                self.write(machine, &wire, batch);
                if is_writable && let Some(life) = self.life(machine) {
                    life.plane.writable(link, now);
                    writable = true;
                }
            }
        }
        writable
    }
}
