//! One simulated TCP connection: two ends, and an ordered pipe of bytes from each to the other.
//!
//! It owns what is under way; it does not know the time, who reaches whom, or what the bytes mean.
//!
//! ```text
//!  dialler (end 0) ══ pipe 0: [bytes][bytes][fin] ══► listener (end 1)
//!                  ◄══ pipe 1: [accept][hello][…] ══
//! ```
//!
//! Each segment in a pipe has exactly one arrival scheduled, or is counted as **held**: it arrived
//! while nothing could take it (the path cut, the host_id off, the process stopped), as a kernel
//! that sends it again and again. What is held goes on when it can.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::forward::read_buffer::ReadBuffer;
use crate::name::LinkId;
use crate::protocol::io::DialId;
use crate::wire::hello::Purpose;

use super::network::{HostId, Path};

/// A connection: its place in the world's list.
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

/// What travels in a pipe.
#[derive(Debug)]
pub(super) enum Segment {
    /// The listener's kernel accepted.
    Accept,
    /// Bytes, and how many.
    Bytes(Vec<Bytes>, usize),
    /// Nothing follows.
    Fin,
    /// The other end is no more.
    Reset,
}

/// How far one end has come.
#[derive(Debug)]
pub(super) enum State {
    /// The dialler waits to be accepted.
    Connecting,
    /// Collecting the other end's preface and hello.
    Hello(Vec<u8>),
    /// A link, as far as this end's driver is concerned.
    Link { link: LinkId, read_buffer: Box<ReadBuffer>, reported_at: Option<Duration> },
    /// Closed, or its process is no more.
    Closed,
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
    /// Puts a segment on its way and says when it arrives.
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

    /// Takes the segment that arrives. It is always the first: arrivals are in order.
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
    /// The incarnation of the node there that holds it; 0 before the listener accepted.
    pub(super) incarnation: u64,
    pub(super) state: State,
    pub(super) pipe: Pipe,
}

/// Two ends.
#[derive(Debug)]
pub(super) struct Connection {
    /// The dialler's number for it.
    pub(super) dial: DialId,
    /// What the dialler makes it for.
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

/// Cuts a list of buffers into pieces of at most so many bytes, without copying.
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
    fn segments_arrive_in_order_and_not_faster_than_the_path_carries_them() {
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
    fn pieces_hold_every_byte_and_none_is_longer_than_asked() {
        let buffers = vec![Bytes::from(vec![1; 5]), Bytes::new(), Bytes::from(vec![2; 9])];
        let lengths: Vec<usize> =
            split_buffers(buffers, 4).into_iter().map(|(_, len)| len).collect();
        assert_eq!(lengths, [4, 4, 4, 2]);
    }
}
