//! The events that the simulation schedules, and their order in the event queue.

use std::cmp::Ordering;
use std::time::Duration;

use crate::protocol::io::DialId;
use crate::wire::hello::Purpose;

use super::connection::{ConnectionId, Side};
use super::network::HostId;
use super::sealed::SimDatagram;

/// A simulated event.
#[derive(Debug)]
pub(super) enum SimEvent {
    /// A timer of a node expires.
    Wake { host_id: HostId, incarnation: u64 },
    /// A control task processes its next queued input.
    ProcessInput { host_id: HostId, incarnation: u64 },
    /// The next segment of a pipe arrives at the other end.
    SegmentArrival { connection: ConnectionId, from: Side },
    /// A connection request arrives at the listener's host.
    ConnectRequest { connection: ConnectionId },
    /// A dial that received no response times out.
    DialTimeout { connection: ConnectionId },
    /// A handshake that is not complete times out.
    HandshakeTimeout { connection: ConnectionId, side: Side },
    /// The lookup of an unknown host name fails.
    ResolveFailure {
        host_id: HostId,
        incarnation: u64,
        dial: DialId,
        purpose: Purpose,
        address: String,
    },
    /// A closing node checks whether it may leave.
    FlushCheck { host_id: HostId, incarnation: u64, until: Duration },
    /// A datagram arrives.
    Datagram { from: HostId, to: HostId, datagram: SimDatagram },
    /// A step of the rotation of a link's keys is due.
    KeyStep { connection: ConnectionId, side: Side },
}

/// An event in the queue, ordered by time and then by serial number.
#[derive(Debug)]
pub(super) struct Scheduled {
    pub(super) at: Duration,
    pub(super) serial: u64,
    pub(super) event: SimEvent,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}
