//! Chunks of large bodies that are read straight into their place.
//!
//! ```text
//!  a chunk's head is there ── place ──► InPlaceChunk, or the ordinary way
//!  for each read:             lend  ──► the place, read into without a lock ──► landed
//! ```
//!
//! The head is checked as that of a chunk which is whole: what is not simply the next of a body for
//! this node alone goes the ordinary way, to be passed on, refused or answered there. So does the rest
//! of a chunk whose body gave way to others while it was read, or was taken on along another way.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Plane, Sink};
use crate::forward::ack_batch::AckBatch;
use crate::forward::dedup::{Arrival, Dedup};
use crate::forward::plan::plan;
use crate::forward::reassembly::{BodyKey, LentBuffer};
use crate::name::LinkId;
use crate::wire::data::{Chunk, DataHeader, MessageSequence};

/// A chunk that is being read into its place.
#[derive(Debug)]
pub struct InPlaceChunk {
    header: DataHeader,
    sequence: MessageSequence,
    oldest: Option<u64>,
    key: BodyKey,
    total: u64,
    at: usize,
    end: usize,
}

impl InPlaceChunk {
    /// Whether its message is the one to take now.
    fn is_next(&self, dedup: &mut Dedup) -> bool {
        let BodyKey { source, channel, .. } = self.key;
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

impl<S: Sink> Plane<S> {
    /// Whether the chunk of this header, which has `len` bytes, may be read into its place. The first
    /// of a body never is.
    pub fn start_in_place(
        &self,
        link: LinkId,
        header: DataHeader,
        len: usize,
    ) -> Option<InPlaceChunk> {
        let Chunk { offset, total } = header.chunk.filter(|chunk| chunk.offset > 0)?;
        if header.instance == self.instance {
            return None;
        }
        let plan = plan(&self.fib.load().routes, &self.name, link, &header);
        let (sequence, oldest) = plan.deliver?;
        if !plan.copies.is_empty() || !plan.unreachable.is_empty() {
            return None;
        }
        let key = BodyKey { source: header.instance, channel: header.channel, id: 0 };
        let at = offset as usize;
        let in_place = InPlaceChunk { header, sequence, oldest, key, total, at, end: at + len };
        let state = &mut *self.lock();
        let expected = state.reassembly.expects(key, sequence.number, total, at);
        (expected && in_place.is_next(&mut state.dedup)).then_some(in_place)
    }

    /// The place of what is missing of a chunk, for one read that does not wait; then it is to be
    /// given back by [`Plane::return_buffer`]. `None`: the rest goes [the ordinary way](InPlaceChunk::into_rest).
    pub fn lend_buffer(&self, in_place: &InPlaceChunk) -> Option<LentBuffer> {
        let number = in_place.sequence.number;
        let len = in_place.missing();
        self.lock().reassembly.lend(in_place.key, number, in_place.total, in_place.at, len)
    }

    /// So many bytes were read into what was lent.
    pub fn return_buffer(
        &self,
        link: LinkId,
        in_place: &mut InPlaceChunk,
        lent: LentBuffer,
        read: usize,
        now: Instant,
    ) {
        self.batches_in_progress.fetch_add(1, Ordering::AcqRel);
        in_place.at += read;
        let mut acks = AckBatch::default();
        let mut guard = self.lock();
        let state = &mut *guard;
        let added = state.reassembly.settle(lent, read, now);
        let (header, sequence) = (&in_place.header, in_place.sequence);
        // Its source may have given it up since its head came.
        if let Some(body) = self.handle_chunk_outcome(state, header, sequence, added, &mut acks)
            && in_place.is_next(&mut state.dedup)
        {
            self.hand_to_application(state, header.clone(), sequence, body, &mut acks);
        }
        let notifications = self.take_notifications(guard);
        if !acks.is_empty() {
            self.send_acks(&self.fib.load(), link, acks);
        }
        self.notify(notifications, true);
        self.batches_in_progress.fetch_sub(1, Ordering::AcqRel);
    }
}
