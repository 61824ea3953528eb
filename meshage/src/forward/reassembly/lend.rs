//! Lending the buffer of a body, so that a chunk is read straight into its place.

use std::time::Instant;

use super::assemble::{ChunkOutcome, Reassembly};
use super::partial_bodies::{BodyKey, BufferState, PartialBody};
use crate::forward::buffer_pool::BodyBuffer;

/// The buffer of an unfinished body, lent to be read into.
#[derive(Debug)]
pub struct LentBuffer {
    key: BodyKey,
    loan: u64,
    buffer: BodyBuffer,
    at: usize,
    end: usize,
}

impl LentBuffer {
    /// The place of the bytes that are still to be read.
    pub fn unread(&mut self) -> &mut [u8] {
        self.buffer.slice_mut(self.at, self.end)
    }
}

impl Reassembly {
    /// Whether the byte at offset `at` is the next missing one of message `number`, and its buffer
    /// is available.
    pub fn expects(&self, key: BodyKey, number: u64, total: u64, at: usize) -> bool {
        self.bodies.get(key).is_some_and(|partial| {
            partial.number == number
                && partial.total == total
                && partial.received == at
                && matches!(partial.state, BufferState::Available(_))
        })
    }

    /// Lends the buffer of message `number` for its next `len` bytes, from offset `at`. Returns
    /// `None` if these are not the next missing bytes, or if there is no room.
    pub fn lend(
        &mut self,
        key: BodyKey,
        number: u64,
        total: u64,
        at: usize,
        len: usize,
    ) -> Option<LentBuffer> {
        if !self.expects(key, number, total, at) || !self.bodies.charge(key, at + len) {
            return None;
        }
        self.loans += 1;
        let loan = self.loans;
        let partial = self.bodies.get_mut(key)?;
        match std::mem::replace(&mut partial.state, BufferState::Lent(loan, Vec::new())) {
            BufferState::Available(buffer) => {
                Some(LentBuffer { key, loan, buffer, at, end: at + len })
            }
            BufferState::Lent(..) => None,
        }
    }

    /// Takes back a lent buffer, into which `read` bytes were read. If its body was evicted
    /// meanwhile, the bytes are ignored.
    pub fn settle(&mut self, lent: LentBuffer, read: usize, now: Instant) -> ChunkOutcome {
        let key = lent.key;
        let is_current = |partial: &&mut PartialBody| match &partial.state {
            BufferState::Lent(id, _) => *id == lent.loan,
            BufferState::Available(_) => false,
        };
        let Some(partial) = self.bodies.get_mut(key).filter(is_current) else {
            return ChunkOutcome::Ignored;
        };
        let before = partial.received;
        partial.received += read;
        if read > 0 {
            partial.last_chunk_at = now;
        }
        let state = std::mem::replace(&mut partial.state, BufferState::Available(lent.buffer));
        let mut outcome = self.finish(key, before, now);
        if read > 0 {
            self.note_activity(now);
        }
        if let BufferState::Lent(_, set_aside) = state {
            for (chunk, body) in set_aside {
                let Some(number) = self.bodies.discharge(key, body.len()) else {
                    break;
                };
                match self.add(key, number, chunk, &body, now) {
                    ChunkOutcome::More | ChunkOutcome::Ignored => {}
                    last @ (ChunkOutcome::Progress(_)
                    | ChunkOutcome::Complete(_)
                    | ChunkOutcome::Refused(_)) => {
                        outcome = last;
                    }
                }
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::name::Instance;
    use crate::wire::data::{Channel, Chunk};

    fn key(source: u64) -> BodyKey {
        let channel = Channel { broadcast: false, large: true };
        BodyKey { source: Instance(source), channel, id: 0 }
    }

    fn chunk(offset: u64, total: u64) -> Chunk {
        Chunk { offset, total }
    }

    /// Fills a lent buffer as a reader does.
    fn read(lent: &mut LentBuffer, bytes: &[u8]) -> usize {
        lent.unread()[..bytes.len()].copy_from_slice(bytes);
        bytes.len()
    }

    #[test]
    fn a_chunk_is_read_into_its_place_in_several_reads() {
        let mut reassembly = Reassembly::new(100, 100, 0);
        let now = Instant::now();
        assert_eq!(reassembly.add(key(1), 1, chunk(0, 6), b"ab", now), ChunkOutcome::More);
        assert!(reassembly.lend(key(1), 1, 6, 3, 3).is_none(), "not the next byte");
        assert!(reassembly.lend(key(1), 2, 6, 2, 4).is_none(), "another message");
        assert!(reassembly.lend(key(2), 1, 6, 2, 4).is_none(), "another source");
        let mut lent = reassembly.lend(key(1), 1, 6, 2, 4).expect("it is expected");
        assert!(reassembly.lend(key(1), 1, 6, 2, 4).is_none(), "it is lent");
        let length = read(&mut lent, b"cd");
        assert_eq!(reassembly.settle(lent, length, now), ChunkOutcome::More);
        let mut lent = reassembly.lend(key(1), 1, 6, 4, 2).expect("it is expected");
        let length = read(&mut lent, b"ef");
        let whole = ChunkOutcome::Complete(Bytes::from_static(b"abcdef"));
        assert_eq!(reassembly.settle(lent, length, now), whole);
        assert_eq!(reassembly.bytes(), 0);
    }

    #[test]
    fn a_partial_chunk_of_a_broken_link_is_continued_by_another() {
        let mut reassembly = Reassembly::new(100, 100, 0);
        let now = Instant::now();
        let add = |reassembly: &mut Reassembly, offset, body: &[u8]| {
            reassembly.add(key(1), 1, chunk(offset, 6), body, now)
        };
        assert_eq!(add(&mut reassembly, 0, b"ab"), ChunkOutcome::More);
        let mut lent = reassembly.lend(key(1), 1, 6, 2, 4).expect("it is expected");
        let length = read(&mut lent, b"c");
        assert_eq!(reassembly.settle(lent, length, now), ChunkOutcome::More);
        assert_eq!(add(&mut reassembly, 0, b"ab"), ChunkOutcome::More, "sent again from the start");
        assert_eq!(add(&mut reassembly, 2, b"cdef"), ChunkOutcome::Complete(b"abcdef"[..].into()));
    }

    #[test]
    fn chunks_that_arrive_while_a_buffer_is_lent_are_set_aside() {
        for length in 0..=4 {
            let mut reassembly = Reassembly::new(100, 100, 0);
            let now = Instant::now();
            let add = |reassembly: &mut Reassembly, offset, body: &[u8]| {
                reassembly.add(key(1), 1, chunk(offset, 8), body, now)
            };
            assert_eq!(add(&mut reassembly, 0, b"ab"), ChunkOutcome::More);
            let mut lent = reassembly.lend(key(1), 1, 8, 2, 4).expect("it is expected");
            assert_eq!(add(&mut reassembly, 2, b"cde"), ChunkOutcome::More);
            assert_eq!(add(&mut reassembly, 5, b"fgh"), ChunkOutcome::More);
            read(&mut lent, &b"cdef"[..length]);
            let whole = ChunkOutcome::Complete(Bytes::from_static(b"abcdefgh"));
            assert_eq!(reassembly.settle(lent, length, now), whole);
            assert_eq!(reassembly.bytes(), 0);
        }
    }

    #[test]
    fn a_body_that_was_evicted_while_its_buffer_was_lent_is_gone() {
        let mut reassembly = Reassembly::new(100, 100, 0);
        let now = Instant::now();
        assert_eq!(reassembly.add(key(1), 7, chunk(0, 99), &[0; 60], now), ChunkOutcome::More);
        let lent = reassembly.lend(key(1), 7, 99, 60, 30).expect("it is expected");
        assert_eq!(reassembly.bytes(), 90, "its state counts at once");
        assert_eq!(reassembly.add(key(2), 1, chunk(0, 99), &[0; 20], now), ChunkOutcome::More);
        assert_eq!(reassembly.take_evicted(), [(key(1), 7)]);
        assert_eq!(reassembly.add(key(1), 7, chunk(0, 99), &[0; 10], now), ChunkOutcome::More);
        assert_eq!(reassembly.settle(lent, 30, now), ChunkOutcome::Ignored, "a new one has begun");
        assert_eq!(reassembly.bytes(), 30);
        assert!(reassembly.lend(key(1), 7, 99, 10, 80).is_none(), "no room");
    }
}
