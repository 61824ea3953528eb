//! One simulated TCP connection: two ends, and an ordered pipe of bytes from each to the other.
//!
//! It owns the bytes in flight. It does not know the time, the topology or the meaning of the
//! bytes.
//!
//! ```text
//!  dialler (end 0) ══ pipe 0: [bytes][bytes][fin] ══► listener (end 1)
//!                  ◄══ pipe 1: [accept][hello][…] ══
//! ```
//!
//! Each segment in a pipe either has exactly one arrival scheduled, or is counted as **held**. A
//! held segment arrived while the receiver could not take it (the path was cut, the host was off or
//! the process was stopped). This models retransmission by a kernel. Held segments arrive when the
//! fault ends.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::forward::read_buffer::ReadBuffer;
use crate::name::LinkId;
use crate::protocol::io::DialId;
use crate::wire::deframe::RawFrame;
use crate::wire::hello::Purpose;

use super::network::{HostId, Path};
use super::sealed::{Sealed, Sealing};

/// A connection: its index in the simulation's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnectionId(pub(super) usize);

/// One of the two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Dialler,
    Listener,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Listener,
            Self::Listener => Self::Dialler,
        }
    }
}

/// One segment in a pipe.
#[derive(Debug)]
pub(super) enum Segment {
    /// The listener's kernel accepted the connection.
    Accept,
    /// Bytes, and their number.
    Bytes(Vec<Bytes>, usize),
    /// The end of the stream.
    Fin,
    /// The other end no longer exists.
    Reset,
}

/// The state of one end.
#[derive(Debug)]
pub(super) enum State {
    /// The dialler waits for the listener to accept.
    Connecting,
    /// Collecting the other end's preface and hello.
    Hello(Vec<u8>),
    /// A handshake of a closed node.
    Sealing(Box<Sealing>),
    /// The end is a link of its driver.
    Link { link: LinkId, reader: Box<Reader> },
    /// Closed, or its process has ended.
    Closed,
}

/// The reader of a link.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) read_buffer: ReadBuffer,
    /// When bytes last arrived.
    pub(super) heard_at: Duration,
    /// When received bytes were last reported to the router.
    pub(super) reported_at: Option<Duration>,
    /// Whether control frames were passed to the router that may not have taken effect yet.
    pub(super) control_pending: bool,
    /// Frames that wait until the control frames before them have taken effect.
    pub(super) waiting: VecDeque<RawFrame>,
    /// The bytes after these frames.
    pub(super) unread: Vec<Bytes>,
}

/// The bytes that one end sends.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    pub(super) queue: VecDeque<Segment>,
    pub(super) in_flight_bytes: usize,
    pub(super) held: usize,
    free_at: Duration,
    last_arrival: Duration,
}

impl Pipe {
    /// Queues a segment and returns its arrival time.
    pub(super) fn put(
        &mut self,
        segment: Segment,
        now: Duration,
        path: &Path,
        delay: Duration,
    ) -> Duration {
        let bytes = match &segment {
            Segment::Bytes(_, bytes) => *bytes,
            Segment::Accept | Segment::Fin | Segment::Reset => 0,
        };
        self.free_at = self.free_at.max(now) + path.occupied_by(bytes);
        self.last_arrival = self.last_arrival.max(self.free_at + delay);
        self.in_flight_bytes += bytes;
        self.queue.push_back(segment);
        self.last_arrival
    }

    /// The number of bytes of the segment that arrives next.
    pub(super) fn first_bytes(&self) -> usize {
        match self.queue.front() {
            Some(Segment::Bytes(_, bytes)) => *bytes,
            Some(Segment::Accept | Segment::Fin | Segment::Reset) | None => 0,
        }
    }

    /// Takes the arriving segment. It is always the first, because arrivals are in order.
    pub(super) fn take(&mut self) -> Option<Segment> {
        let segment = self.queue.pop_front()?;
        if let Segment::Bytes(_, bytes) = &segment {
            self.in_flight_bytes -= bytes;
        }
        Some(segment)
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct End {
    pub(super) host_id: HostId,
    /// The incarnation of the node that holds this end; 0 before the listener accepted.
    pub(super) incarnation: u64,
    pub(super) state: State,
    /// The keys of a sealed link.
    pub(super) sealed: Option<Box<Sealed>>,
    pub(super) pipe: Pipe,
}

/// A connection with its two ends.
#[derive(Debug)]
pub(super) struct Connection {
    /// The dialler's ID of the dial.
    pub(super) dial: DialId,
    /// The purpose of the dial.
    pub(super) purpose: Purpose,
    ends: [End; 2],
}

impl Connection {
    pub(super) fn new(
        dial: DialId,
        purpose: Purpose,
        dialler: (HostId, u64),
        listener: HostId,
    ) -> Self {
        let end = |host_id, incarnation, state| End {
            host_id,
            incarnation,
            state,
            sealed: None,
            pipe: Pipe::default(),
        };
        Self {
            dial,
            purpose,
            ends: [end(dialler.0, dialler.1, State::Connecting), end(listener, 0, State::Closed)],
        }
    }

    pub(super) fn end(&self, side: Side) -> &End {
        &self.ends[side as usize]
    }

    pub(super) fn end_mut(&mut self, side: Side) -> &mut End {
        &mut self.ends[side as usize]
    }
}

/// Splits a list of buffers into segments of at most `piece` bytes, without copying.
pub(super) fn split_buffers(buffers: Vec<Bytes>, piece: usize) -> Vec<(Vec<Bytes>, usize)> {
    let mut pieces = Vec::new();
    let (mut current, mut length) = (Vec::new(), 0);
    for mut buffer in buffers {
        while !buffer.is_empty() {
            let part = buffer.split_to(buffer.len().min(piece - length));
            length += part.len();
            current.push(part);
            if length == piece {
                pieces.push((std::mem::take(&mut current), length));
                length = 0;
            }
        }
    }
    if length > 0 {
        pieces.push((current, length));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(len: usize) -> Segment {
        Segment::Bytes(vec![Bytes::from(vec![0; len])], len)
    }

    #[test]
    fn segments_arrive_in_order_and_not_faster_than_the_bandwidth() {
        let path = Path { bandwidth: 1000, ..Path::default() };
        let mut pipe = Pipe::default();
        let late = Duration::from_millis(9);
        let first = pipe.put(bytes(500), Duration::ZERO, &path, late);
        let second = pipe.put(bytes(500), Duration::ZERO, &path, Duration::from_millis(1));
        let third = pipe.put(Segment::Fin, Duration::ZERO, &path, Duration::ZERO);
        assert_eq!(first, Duration::from_millis(509));
        assert_eq!(second, Duration::from_millis(1001));
        assert_eq!(third, second, "nothing overtakes");
        assert_eq!(pipe.in_flight_bytes, 1000);
        assert!(matches!(pipe.take(), Some(Segment::Bytes(_, 500))));
        assert_eq!(pipe.in_flight_bytes, 500);
    }

    #[test]
    fn split_buffers_keep_every_byte_and_respect_the_length_limit() {
        let buffers = vec![Bytes::from(vec![1; 5]), Bytes::new(), Bytes::from(vec![2; 9])];
        let lengths: Vec<usize> =
            split_buffers(buffers, 4).into_iter().map(|(_, len)| len).collect();
        assert_eq!(lengths, [4, 4, 4, 2]);
    }
}
