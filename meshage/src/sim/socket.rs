//! Connections being made, read, written and closed: the simulator's sockets.
//!
//! ```text
//!  start_dial ──► knock ──► accepted ──► hellos both ways ──► link up ──► frames ──► link down
//!       └────────────── refused, timed out, closed: dial failed ◄──┘
//! ```

use std::io;
use std::time::Duration;

use bytes::Bytes;

use crate::error::DialError;
use crate::forward::outbound::Batch;
use crate::name::LinkId;
use crate::protocol::io::{Address, CloseReason, DialId, Input};
use crate::wire::hello::Purpose;

use super::connection::{Connection, ConnectionId, Segment, Side, State, pieces};
use super::network::Machine;
use super::node::Condition;
use super::simulation::{Sim, SimEvent};

/// How long a connection may take to be made, as with the real driver.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a handshake may take in all.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a resolver takes to say that there is no such name.
const RESOLVE_TIME: Duration = Duration::from_millis(2);

impl Sim {
    pub(super) fn start_dial(
        &mut self,
        machine: Machine,
        dial: DialId,
        address: Address,
        purpose: Purpose,
    ) {
        let Some(life) = &mut self.computers[machine.0].life else {
            return;
        };
        let number = life.number;
        self.figures.computers[machine.0].dials += 1;
        self.trace_hash.line(self.now, || format!("dial {} {address:?} {purpose:?}", machine.0));
        let target = match &address {
            Address::Socket(address) => {
                Machine::of(*address).filter(|target| target.0 < self.computers.len())
            }
            Address::Named(name) => self.resolve(name),
        };
        let Some(target) = target else {
            let address = format!("{address:?}");
            let at = self.now + RESOLVE_TIME;
            let unresolved = SimEvent::Unresolved { machine, life: number, dial, purpose, address };
            return self.schedule(at, unresolved);
        };
        let connection = ConnectionId(self.connections.len());
        self.connections.push(Connection::new(dial, purpose, (machine, number), target));
        if let Some(life) = &mut self.computers[machine.0].life {
            life.open.insert((connection, Side::Dialler));
        }
        let at = self.now + self.network.delay(machine, target);
        self.schedule(at, SimEvent::Knock { connection });
        self.schedule(self.now + DIAL_TIMEOUT, SimEvent::DialTimeout { connection });
    }

    pub(super) fn knock(&mut self, id: ConnectionId) {
        let listener = self.connections[id.0].end(Side::Listener).machine;
        if let State::Gone = self.connections[id.0].end(Side::Dialler).state {
            return;
        }
        let Some(life) = &mut self.computers[listener.0].life else {
            return self.put(id, Side::Listener, Segment::Reset);
        };
        let hello = life.router.hello(Purpose::Dialled).encode();
        life.open.insert((id, Side::Listener));
        let end = self.connections[id.0].end_mut(Side::Listener);
        end.life = life.number;
        end.state = State::Hello(Vec::new());
        self.put(id, Side::Listener, Segment::Accept);
        self.put_bytes(id, Side::Listener, vec![hello.into()]);
        self.schedule(
            self.now + HANDSHAKE_TIMEOUT,
            SimEvent::HandshakeTimeout { connection: id, side: Side::Listener },
        );
    }

    fn accepted(&mut self, id: ConnectionId) {
        let connection = &mut self.connections[id.0];
        let purpose = connection.purpose;
        let end = connection.end_mut(Side::Dialler);
        end.state = State::Hello(Vec::new());
        let machine = end.machine;
        let Some(life) = &self.computers[machine.0].life else {
            panic!("invariant S1: an open end belongs to a life");
        };
        let hello = life.router.hello(purpose).encode();
        self.put_bytes(id, Side::Dialler, vec![hello.into()]);
        self.schedule(
            self.now + HANDSHAKE_TIMEOUT,
            SimEvent::HandshakeTimeout { connection: id, side: Side::Dialler },
        );
    }

    pub(super) fn dial_timeout(&mut self, id: ConnectionId) {
        let end = self.connections[id.0].end(Side::Dialler);
        let State::Connecting = end.state else {
            return;
        };
        let machine = end.machine;
        if self.computers[machine.0].condition == Condition::Stopped {
            return self.defer(machine, SimEvent::DialTimeout { connection: id });
        }
        let error = DialError::Connect(io::ErrorKind::TimedOut.into());
        self.end_without_link(id, Side::Dialler, error);
        self.settle(machine);
    }

    pub(super) fn handshake_timeout(&mut self, id: ConnectionId, side: Side) {
        let end = self.connections[id.0].end(side);
        let State::Hello(_) = end.state else {
            return;
        };
        let machine = end.machine;
        if self.computers[machine.0].condition == Condition::Stopped {
            return self.defer(machine, SimEvent::HandshakeTimeout { connection: id, side });
        }
        self.put(id, side, Segment::Reset);
        self.end_without_link(id, side, DialError::Timeout(HANDSHAKE_TIMEOUT));
        self.settle(machine);
    }

    /// Ends a connection that never became a link, and tells the router if it had asked for it.
    fn end_without_link(&mut self, id: ConnectionId, side: Side, error: DialError) {
        let connection = &mut self.connections[id.0];
        let dial = connection.dial;
        let end = connection.end_mut(side);
        end.state = State::Gone;
        let (machine, number) = (end.machine, end.life);
        if let Some(life) = &mut self.computers[machine.0].life {
            life.open.remove(&(id, side));
        }
        if side == Side::Dialler {
            self.dial_failed(machine, number, dial, error);
        }
    }

    pub(super) fn dial_failed(
        &mut self,
        machine: Machine,
        number: u64,
        dial: DialId,
        error: DialError,
    ) {
        self.trace_hash.event(self.now, b'f', machine.0 as u64, dial.0);
        self.trace_hash.line(self.now, || format!("dial failed {} {error}", machine.0));
        if self.life(machine).is_some_and(|life| life.number == number) {
            self.feed(machine, Input::DialFailed { dial, error });
            self.settle(machine);
        }
    }

    /// Puts a segment on its way.
    pub(super) fn put(&mut self, id: ConnectionId, from: Side, segment: Segment) {
        let connection = &mut self.connections[id.0];
        let (a, b) = (connection.end(from).machine, connection.end(from.other()).machine);
        let delay = self.network.delay(a, b);
        let path = self.network.path(a, b);
        let at = connection.end_mut(from).pipe.put(segment, self.now, &path, delay);
        self.schedule(at, SimEvent::Arrive { connection: id, from });
    }

    pub(super) fn put_bytes(&mut self, id: ConnectionId, from: Side, buffers: Vec<Bytes>) {
        let connection = &self.connections[id.0];
        let (a, b) = (connection.end(from).machine, connection.end(from.other()).machine);
        for (buffers, length) in pieces(buffers, self.network.path(a, b).piece()) {
            self.put(id, from, Segment::Bytes(buffers, length));
        }
    }

    /// Lets what was held go on wherever it can now.
    pub fn release(&mut self) {
        for index in 0..self.connections.len() {
            for from in [Side::Dialler, Side::Listener] {
                let id = ConnectionId(index);
                let held = self.connections[index].end(from).pipe.held;
                if held == 0 || !self.passes(id, from) {
                    continue;
                }
                self.connections[index].end_mut(from).pipe.held = 0;
                for _ in 0..held {
                    self.schedule(self.now, SimEvent::Arrive { connection: id, from });
                }
            }
        }
    }

    /// Whether what arrives at the other end is taken there.
    fn passes(&self, id: ConnectionId, from: Side) -> bool {
        let connection = &self.connections[id.0];
        let (a, b) = (connection.end(from).machine, connection.end(from.other()).machine);
        self.computers[b.0].condition == Condition::On && self.network.reaches(a, b)
    }

    pub(super) fn arrive(&mut self, id: ConnectionId, from: Side) {
        let passes = self.passes(id, from);
        let pipe = &mut self.connections[id.0].end_mut(from).pipe;
        if !passes {
            pipe.held += 1;
            return;
        }
        let Some(segment) = pipe.take() else {
            panic!("invariant S1: every arrival has its segment");
        };
        let sender = self.connections[id.0].end(from).machine;
        let side = from.other();
        let receiver = self.connections[id.0].end_mut(side);
        let machine = receiver.machine;
        match (segment, &mut receiver.state) {
            (Segment::Accept, State::Connecting) => self.accepted(id),
            (Segment::Bytes(..), State::Gone) => {
                self.put(id, side, Segment::Reset);
            }
            (Segment::Bytes(buffers, length), _) => {
                self.trace_hash.event(self.now, b'a', machine.0 as u64, length as u64);
                self.read(id, side, buffers);
            }
            (Segment::Fin | Segment::Reset, State::Connecting) => {
                let error = DialError::Connect(io::ErrorKind::ConnectionRefused.into());
                self.end_without_link(id, side, error);
            }
            (Segment::Fin | Segment::Reset, State::Hello(_)) => {
                let error = DialError::Broken("the other end closed it".into());
                self.end_without_link(id, side, error);
            }
            (Segment::Fin | Segment::Reset, State::Link { link, .. }) => {
                let link = *link;
                self.link_down(machine, link, "the other end closed");
            }
            (Segment::Accept | Segment::Fin | Segment::Reset, State::Gone) => {}
            (Segment::Accept, State::Hello(_) | State::Link { .. }) => {
                panic!("invariant S1: a connection is accepted once");
            }
        }
        self.settle(machine);
        if sender != machine {
            // There is room in the pipe again.
            self.settle(sender);
        }
    }

    /// The connection of a link is gone. The control task learns it in its turn.
    fn link_down(&mut self, machine: Machine, link: LinkId, reason: &str) {
        self.trace_hash.event(self.now, b'x', machine.0 as u64, link.0);
        self.trace_hash.line(self.now, || format!("link down {} {link}: {reason}", machine.0));
        let Some(life) = &mut self.computers[machine.0].life else {
            return;
        };
        let Some(wire) = life.links.get(&link) else {
            return;
        };
        wire.outbound.close();
        life.open.remove(&(wire.connection, wire.side));
        self.connections[wire.connection.0].end_mut(wire.side).state = State::Gone;
        self.feed(machine, Input::LinkDown { link, reason: reason.into(), breach: false });
    }

    /// The router closes a link: what is queued still goes, then nothing.
    pub(super) fn close_link(&mut self, machine: Machine, link: LinkId, reason: CloseReason) {
        assert!(
            reason != CloseReason::Breach,
            "invariant S8: a node took what another sent for a breach of the protocol"
        );
        self.trace_hash.event(self.now, b'c', machine.0 as u64, link.0);
        self.trace_hash.line(self.now, || format!("close {} {link}: {reason:?}", machine.0));
        let Some(life) = &mut self.computers[machine.0].life else {
            return;
        };
        let Some(wire) = life.links.remove(&link) else {
            return;
        };
        wire.outbound.close();
        life.fib_stale = true;
        if !life.open.remove(&(wire.connection, wire.side)) {
            // It was gone already, and the router has yet to hear of it.
            return;
        }
        let mut batch = Batch::default();
        let mut before = None;
        while before != Some(batch.bytes) {
            before = Some(batch.bytes);
            wire.outbound.try_take(usize::MAX, &mut batch);
        }
        self.write(machine, &wire, batch);
        self.put(wire.connection, wire.side, Segment::Fin);
        self.connections[wire.connection.0].end_mut(wire.side).state = State::Gone;
    }
}
