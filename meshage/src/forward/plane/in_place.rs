//! Chunks of large bodies that are read straight into their place.
//!
//! ```text
//!  a chunk's head is there ── place ──► InPlaceChunk, or the ordinary way
//!  for each read:             lend  ──► the place, read into without a lock ──► landed
//! ```
//!
//! The head is judged as that of a chunk which is whole: what is not simply the next of a body for
//! this node alone goes the ordinary way, to be passed on, refused or answered there. So does the rest
//! of a chunk whose body gave way to others while it was read, or was taken on along another way.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Plane, Sink};
use crate::forward::ack_batch::AckBatch;
use crate::forward::dedup::{Arrival, Dedup};
use crate::forward::plan::plan;
use crate::forward::reassembly::{Loan, Stream};
use crate::name::LinkId;
use crate::wire::data::{Chunk, DataHeader, MessageSequence};

/// A chunk that is being read into its place.
#[derive(Debug)]
pub struct InPlaceChunk {
    header: DataHeader,
    sequence: MessageSequence,
    oldest: Option<u64>,
    stream: Stream,
    total: u64,
    at: usize,
    end: usize,
}

impl InPlaceChunk {
    /// Whether its message is the one to take now.
    fn is_next(&self, dedup: &mut Dedup) -> bool {
        let Stream { source, channel, .. } = self.stream;
        let arrival =
            dedup.source(source).arrival(channel, self.sequence, self.header.id, self.oldest);
        arrival == Arrival::Next
    }

    /// How many bytes of it are still to come.
    pub fn missing(&self) -> usize {
        self.end - self.at
    }

    /// The rest of it, as the header of a chunk of its own.
    pub fn into_rest(self) -> DataHeader {
        let chunk = Chunk { offset: self.at as u64, total: self.total };
        DataHeader { chunk: Some(chunk), ..self.header }
    }
}

impl<H: Sink> Plane<H> {
    /// Whether the chunk of this header, which has `len` bytes, may be read into its place. The first
    /// of a body never is.
    pub fn place(&self, link: LinkId, header: DataHeader, len: usize) -> Option<InPlaceChunk> {
        let Chunk { offset, total } = header.chunk.filter(|chunk| chunk.offset > 0)?;
        if header.instance == self.instance {
            return None;
        }
        let plan = plan(&self.fib.load().routes, &self.name, link, &header);
        let (sequence, oldest) = plan.deliver?;
        if !plan.copies.is_empty() || !plan.unreachable.is_empty() {
            return None;
        }
        let stream = Stream { source: header.instance, channel: header.channel, id: 0 };
        let at = offset as usize;
        let placing = InPlaceChunk { header, sequence, oldest, stream, total, at, end: at + len };
        let state = &mut *self.lock();
        let awaited = state.reassembly.expects(stream, sequence.number, total, at);
        (awaited && placing.is_next(&mut state.dedup)).then_some(placing)
    }

    /// The place of what is missing of a chunk, for one read that does not wait; then it is to be
    /// given back by [`Plane::landed`]. `None`: the rest goes [the ordinary way](InPlaceChunk::into_rest).
    pub fn lend(&self, placing: &InPlaceChunk) -> Option<Loan> {
        let number = placing.sequence.number;
        let len = placing.missing();
        self.lock().reassembly.lend(placing.stream, number, placing.total, placing.at, len)
    }

    /// So many bytes were read into what was lent.
    pub fn landed(
        &self,
        link: LinkId,
        placing: &mut InPlaceChunk,
        loan: Loan,
        read: usize,
        now: Instant,
    ) {
        self.receiving.fetch_add(1, Ordering::AcqRel);
        placing.at += read;
        let mut acks = AckBatch::default();
        let mut guard = self.lock();
        let state = &mut *guard;
        let added = state.reassembly.settle(loan, read, now);
        let (header, sequence) = (&placing.header, placing.sequence);
        // Its source may have given it up since its head came.
        if let Some(body) = self.added(state, header, sequence, added, &mut acks)
            && placing.is_next(&mut state.dedup)
        {
            self.hand_over(state, header.clone(), sequence, body, &mut acks);
        }
        let after = self.aftermath(guard);
        if !acks.is_empty() {
            self.answer(&self.fib.load(), link, acks);
        }
        self.tell(after, true);
        self.receiving.fetch_sub(1, Ordering::AcqRel);
    }
}
