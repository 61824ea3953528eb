//! Connections that are made, read, written and closed: the simulator's sockets.
//!
//! ```text
//!  start_dial ──► connect_request ──► accepted ──► hellos ──► link up ──► frames ──► link down
//!       └────────────── refused, timed out, closed: dial failed ◄──┘
//! ```

use std::io;
use std::time::Duration;

use bytes::Bytes;

use crate::error::DialError;
use crate::event::LinkEnd;
use crate::forward::outbound::Batch;
use crate::name::LinkId;
use crate::protocol::io::{Address, CloseReason, DialId, Input};
use crate::wire::hello::Purpose;

use super::connection::{Connection, ConnectionId, Segment, Side, State, split_buffers};
use super::event::SimEvent;
use super::network::HostId;
use super::node::HostState;
use super::simulation::Sim;

/// The time limit for making a connection, as in the real driver.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// The time limit for a complete handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// The time that a resolver takes to report an unknown name.
const RESOLVE_TIME: Duration = Duration::from_millis(2);

impl Sim {
    pub(super) fn start_dial(
        &mut self,
        host_id: HostId,
        dial: DialId,
        address: Address,
        purpose: Purpose,
    ) {
        let Some(incarnation) = &mut self.hosts[host_id.0].incarnation else {
            return;
        };
        let number = incarnation.number;
        self.counters.hosts[host_id.0].dials += 1;
        self.trace_hash.line(self.now, || format!("dial {} {address:?} {purpose:?}", host_id.0));
        let target = match &address {
            Address::Sockets(addresses) => addresses
                .first()
                .and_then(|address| HostId::of(*address))
                .filter(|target| target.0 < self.hosts.len()),
            Address::Named(name) => self.resolve(name),
        };
        let Some(target) = target else {
            let address = format!("{address:?}");
            let at = self.now + RESOLVE_TIME;
            let unresolved =
                SimEvent::ResolveFailure { host_id, incarnation: number, dial, purpose, address };
            return self.schedule(at, unresolved);
        };
        let connection = ConnectionId(self.connections.len());
        self.connections.push(Connection::new(dial, purpose, (host_id, number), target));
        if let Some(incarnation) = &mut self.hosts[host_id.0].incarnation {
            incarnation.open.insert((connection, Side::Dialler));
        }
        let at = self.now + self.network.delay(host_id, target);
        self.schedule(at, SimEvent::ConnectRequest { connection });
        self.schedule(self.now + DIAL_TIMEOUT, SimEvent::DialTimeout { connection });
    }

    pub(super) fn connect_request(&mut self, id: ConnectionId) {
        let listener = self.connections[id.0].end(Side::Listener).host_id;
        if let State::Closed = self.connections[id.0].end(Side::Dialler).state {
            return;
        }
        let Some(incarnation) = &mut self.hosts[listener.0].incarnation else {
            return self.put(id, Side::Listener, Segment::Reset);
        };
        incarnation.open.insert((id, Side::Listener));
        let end = self.connections[id.0].end_mut(Side::Listener);
        end.incarnation = incarnation.number;
        self.put(id, Side::Listener, Segment::Accept);
        self.begin_hello(id, Side::Listener, Purpose::Dialled);
        self.schedule(
            self.now + HANDSHAKE_TIMEOUT,
            SimEvent::HandshakeTimeout { connection: id, side: Side::Listener },
        );
    }

    fn accepted(&mut self, id: ConnectionId) {
        let purpose = self.connections[id.0].purpose;
        self.begin_hello(id, Side::Dialler, purpose);
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
        let host_id = end.host_id;
        if self.hosts[host_id.0].state == HostState::Stopped {
            return self.defer(host_id, SimEvent::DialTimeout { connection: id });
        }
        let error = DialError::Connect(io::ErrorKind::TimedOut.into());
        self.end_without_link(id, Side::Dialler, error);
        self.settle(host_id);
    }

    pub(super) fn handshake_timeout(&mut self, id: ConnectionId, side: Side) {
        let end = self.connections[id.0].end(side);
        let (State::Hello(_) | State::Sealing(_)) = end.state else {
            return;
        };
        let host_id = end.host_id;
        if self.hosts[host_id.0].state == HostState::Stopped {
            return self.defer(host_id, SimEvent::HandshakeTimeout { connection: id, side });
        }
        self.put(id, side, Segment::Reset);
        self.end_without_link(id, side, DialError::Timeout(HANDSHAKE_TIMEOUT));
        self.settle(host_id);
    }

    /// Closes a connection that did not become a link, and reports a failed dial to the dialler's
    /// router.
    pub(super) fn end_without_link(&mut self, id: ConnectionId, side: Side, error: DialError) {
        let connection = &mut self.connections[id.0];
        let dial = connection.dial;
        let end = connection.end_mut(side);
        end.state = State::Closed;
        let (host_id, number) = (end.host_id, end.incarnation);
        if let Some(incarnation) = &mut self.hosts[host_id.0].incarnation {
            incarnation.open.remove(&(id, side));
        }
        if side == Side::Dialler {
            self.dial_failed(host_id, number, dial, error);
        }
    }

    pub(super) fn dial_failed(
        &mut self,
        host_id: HostId,
        number: u64,
        dial: DialId,
        error: DialError,
    ) {
        self.trace_hash.event(self.now, b'f', host_id.0 as u64, dial.0);
        self.trace_hash.line(self.now, || format!("dial failed {} {error}", host_id.0));
        if self.incarnation(host_id).is_some_and(|incarnation| incarnation.number == number) {
            self.feed(host_id, Input::DialFailed { dial, error });
            self.settle(host_id);
        }
    }

    /// Queues a segment and schedules its arrival.
    pub(super) fn put(&mut self, id: ConnectionId, from: Side, segment: Segment) {
        let connection = &mut self.connections[id.0];
        let (a, b) = (connection.end(from).host_id, connection.end(from.other()).host_id);
        let delay = self.network.delay(a, b);
        let path = self.network.path(a, b);
        let at = connection.end_mut(from).pipe.put(segment, self.now, &path, delay);
        self.schedule(at, SimEvent::SegmentArrival { connection: id, from });
    }

    pub(super) fn put_bytes(&mut self, id: ConnectionId, from: Side, buffers: Vec<Bytes>) {
        let connection = &self.connections[id.0];
        let (a, b) = (connection.end(from).host_id, connection.end(from.other()).host_id);
        for (buffers, length) in split_buffers(buffers, self.network.path(a, b).segment_bytes_max())
        {
            self.put(id, from, Segment::Bytes(buffers, length));
        }
    }

    /// Schedules the arrival of held segments wherever the receiver can take them again.
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
                    self.schedule(self.now, SimEvent::SegmentArrival { connection: id, from });
                }
            }
        }
    }

    /// Whether the other end can take an arriving segment.
    fn passes(&self, id: ConnectionId, from: Side) -> bool {
        let connection = &self.connections[id.0];
        let (a, b) = (connection.end(from).host_id, connection.end(from.other()).host_id);
        let is_lost = !self.network.path(a, b).passes(connection.end(from).pipe.first_bytes());
        self.hosts[b.0].state == HostState::Running && self.network.reaches(a, b) && !is_lost
    }

    pub(super) fn arrive(&mut self, id: ConnectionId, from: Side) {
        let passes = self.passes(id, from);
        let pipe = &mut self.connections[id.0].end_mut(from).pipe;
        if !passes {
            pipe.held += 1;
            return;
        }
        let Some(segment) = pipe.take() else {
            panic!("invariant S1: every arrival needs a segment");
        };
        let sender = self.connections[id.0].end(from).host_id;
        let side = from.other();
        let receiver = self.connections[id.0].end_mut(side);
        let host_id = receiver.host_id;
        match (segment, &mut receiver.state) {
            (Segment::Accept, State::Connecting) => self.accepted(id),
            (Segment::Bytes(..), State::Closed) => {
                self.put(id, side, Segment::Reset);
            }
            (Segment::Bytes(buffers, length), _) => {
                self.trace_hash.event(self.now, b'a', host_id.0 as u64, length as u64);
                self.read(id, side, buffers);
                if let State::Link { reader, .. } = &mut self.connections[id.0].end_mut(side).state
                {
                    reader.heard_at = self.now;
                }
            }
            (Segment::Fin | Segment::Reset, State::Connecting) => {
                let error = DialError::Connect(io::ErrorKind::ConnectionRefused.into());
                self.end_without_link(id, side, error);
            }
            (Segment::Fin | Segment::Reset, State::Hello(_) | State::Sealing(_)) => {
                let error = DialError::Broken("the other end closed the connection".into());
                self.end_without_link(id, side, error);
            }
            (Segment::Fin | Segment::Reset, State::Link { link, .. }) => {
                let link = *link;
                self.link_down(host_id, link, LinkEnd::Closed);
            }
            (Segment::Accept | Segment::Fin | Segment::Reset, State::Closed) => {}
            (Segment::Accept, State::Hello(_) | State::Sealing(_) | State::Link { .. }) => {
                panic!("invariant S1: a connection was accepted twice");
            }
        }
        self.settle(host_id);
        if sender != host_id {
            // The pipe has room again.
            self.settle(sender);
        }
    }

    /// Handles the loss of a link's connection. The control task processes the event after its lag.
    pub(super) fn link_down(&mut self, host_id: HostId, link: LinkId, reason: LinkEnd) {
        self.trace_hash.event(self.now, b'x', host_id.0 as u64, link.0);
        self.trace_hash.line(self.now, || format!("link down {} {link}: {reason}", host_id.0));
        let Some(incarnation) = &mut self.hosts[host_id.0].incarnation else {
            return;
        };
        let Some(sim_link) = incarnation.links.get(&link) else {
            return;
        };
        sim_link.outbound.close();
        incarnation.open.remove(&(sim_link.connection, sim_link.side));
        self.connections[sim_link.connection.0].end_mut(sim_link.side).state = State::Closed;
        self.feed(host_id, Input::LinkDown { link, end: reason });
    }

    /// Closes a link for the router: queued frames are still sent.
    pub(super) fn close_link(&mut self, host_id: HostId, link: LinkId, reason: CloseReason) {
        assert!(
            reason != CloseReason::Breach,
            "invariant S8: a node treated bytes of another node as a protocol violation"
        );
        self.trace_hash.event(self.now, b'c', host_id.0 as u64, link.0);
        self.trace_hash.line(self.now, || format!("close {} {link}: {reason:?}", host_id.0));
        let Some(incarnation) = &mut self.hosts[host_id.0].incarnation else {
            return;
        };
        let Some(sim_link) = incarnation.links.remove(&link) else {
            return;
        };
        sim_link.outbound.close();
        incarnation.fib_stale = true;
        if !incarnation.open.remove(&(sim_link.connection, sim_link.side)) {
            // It was closed already, but the router has not yet processed the event.
            return;
        }
        let mut batch = Batch::default();
        let mut before = None;
        while before != Some(batch.bytes) {
            before = Some(batch.bytes);
            sim_link.outbound.try_take(usize::MAX, &mut batch);
        }
        self.write(host_id, &sim_link, batch);
        self.put(sim_link.connection, sim_link.side, Segment::Fin);
        self.connections[sim_link.connection.0].end_mut(sim_link.side).state = State::Closed;
    }
}
