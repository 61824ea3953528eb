//! Chunks of large bodies that are read from the socket directly into their place in the body.
//!
//! ```text
//!  a chunk's header has arrived:  start_in_place ──► InPlaceChunk, or None
//!  for each read:                 lend_buffer ──► read without a lock ──► return_buffer
//! ```
//!
//! The header is checked as if the chunk were complete. Only a chunk that continues a body, is next
//! in order and is for this node alone is read in place. All other chunks are read and handled as
//! ordinary frames. So is the rest of a chunk whose body was evicted, or was continued over another
//! link, while the chunk was being read.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Plane, Sink};
use crate::forward::ack_batch::AckBatch;
use crate::forward::dedup::{Arrival, Dedup};
use crate::forward::plan::plan;
use crate::forward::reassembly::{BodyKey, LentBuffer};
use crate::forward::reverse_path::Plausibility;
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
    /// The length of the whole chunk.
    bytes: usize,
}

impl InPlaceChunk {
    /// Whether its message is next in order.
    fn is_next(&self, dedup: &mut Dedup) -> bool {
        let BodyKey { source, channel, .. } = self.key;
        let arrival =
            dedup.source(source).arrival(channel, self.sequence, self.header.id, self.oldest);
        arrival == Arrival::Next
    }

    /// How many of its bytes are missing.
    pub fn missing(&self) -> usize {
        self.end - self.at
    }

    /// The header of the rest of it, as a chunk of its own.
    pub fn into_rest(self) -> DataHeader {
        let chunk = Chunk { offset: self.at as u64, total: self.total };
        DataHeader { chunk: Some(chunk), ..self.header }
    }
}

impl<S: Sink> Plane<S> {
    /// Checks whether the chunk with this header and `len` bytes may be read in place. The first
    /// chunk of a body never is.
    pub fn start_in_place(
        &self,
        link: LinkId,
        header: DataHeader,
        len: usize,
        now: Instant,
    ) -> Option<InPlaceChunk> {
        let Chunk { offset, total } = header.chunk.filter(|chunk| chunk.offset > 0)?;
        if header.instance == self.instance {
            return None;
        }
        let fib = self.fib.load();
        // Otherwise it is received as any other frame, and refused or dropped.
        let plausibility = fib.plausibility(link, &header.source, header.instance, now);
        if plausibility != Plausibility::Plausible {
            return None;
        }
        let plan = plan(&fib.routes, &self.name, link, &header);
        let (sequence, oldest) = plan.deliver?;
        if !plan.copies.is_empty() || !plan.unreachable.is_empty() {
            return None;
        }
        let key = BodyKey { source: header.instance, channel: header.channel, id: 0 };
        let at = offset as usize;
        let end = at + len;
        let in_place = InPlaceChunk { header, sequence, oldest, key, total, at, end, bytes: len };
        let state = &mut *self.lock();
        let expected = state.reassembly.expects(key, sequence.number, total, at);
        (expected && in_place.is_next(&mut state.dedup)).then_some(in_place)
    }

    /// Lends the buffer for the missing bytes of a chunk, for one read that does not wait. It must
    /// be returned with [`Plane::return_buffer`]. If there is none, the rest of the chunk is read
    /// as [an ordinary frame](InPlaceChunk::into_rest).
    pub fn lend_buffer(&self, in_place: &InPlaceChunk) -> Option<LentBuffer> {
        let number = in_place.sequence.number;
        let len = in_place.missing();
        self.lock().reassembly.lend(in_place.key, number, in_place.total, in_place.at, len)
    }

    /// Takes back a lent buffer, into which `read` bytes were read.
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
        let mut outcome = state.reassembly.settle(lent, read, now);
        if in_place.missing() == 0 {
            outcome = state.reassembly.report(in_place.key, in_place.bytes, outcome);
        }
        let (header, sequence) = (&in_place.header, in_place.sequence);
        // The source may have given the message up since the header arrived.
        if let Some(body) = self.handle_chunk_outcome(state, header, sequence, outcome, &mut acks)
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
