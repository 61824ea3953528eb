//! Reading from a link: frames go into a buffer, chunks of large bodies straight into their place.
//!
//! ```text
//!              ┌─ frames ──► Deframer ──► Plane::receive
//!  socket ─────┤                │ an incomplete chunk for this node: start_in_place
//!              └─ a chunk ──► its place in the body; what follows it ──► Deframer
//! ```
//!
//! The owner of the socket reads a chunk with [`ReadBuffer::read_chunk`] while one [is in
//! progress](ReadBuffer::missing), and everything else into [`ReadBuffer::deframer`]. It calls
//! [`ReadBuffer::start_in_place`] once it has taken out all complete frames. No buffer of a body is
//! lent during a wait for the socket, so a broken or slow link holds no such buffer.

use std::io::{self, IoSliceMut};
use std::time::Instant;

use super::plane::in_place::InPlaceChunk;
use super::plane::{Plane, Sink};
use crate::name::LinkId;
use crate::wire::deframe::Deframer;
use crate::wire::partial::PartialFrame;

/// A frame of which fewer bytes are missing is read into the deframer: copying them costs no more
/// than finding their place.
pub const IN_PLACE_BYTES_MIN: usize = 8 << 10;
/// How many bytes beyond a chunk are read: enough for the header of the next.
const LOOKAHEAD_BYTES: usize = 1 << 10;

/// The result of reading a chunk.
#[derive(Debug)]
pub enum ChunkRead {
    /// So many bytes were read; the chunk is not complete.
    Part(usize),
    /// So many bytes were read; the chunk is complete.
    Complete(usize),
    /// Nothing was read: read the rest of the chunk into the deframer.
    Ordinary,
}

/// The bytes of one link that were read and do not form a complete frame yet.
#[derive(Debug)]
pub struct ReadBuffer {
    deframer: Deframer,
    in_place: Option<InPlaceChunk>,
    /// Whether the incomplete frame was checked, and is read into the deframer.
    checked: bool,
    lookahead: Box<[u8]>,
}

impl Default for ReadBuffer {
    fn default() -> Self {
        let lookahead = vec![0; LOOKAHEAD_BYTES].into();
        Self { deframer: Deframer::default(), in_place: None, checked: false, lookahead }
    }
}

impl ReadBuffer {
    /// Where everything but chunks in place is read to. Take out all complete frames after each
    /// read.
    pub fn deframer(&mut self) -> &mut Deframer {
        &mut self.deframer
    }

    /// How many bytes are missing of the chunk that is being read into its place, if there is one.
    pub fn missing(&self) -> Option<usize> {
        self.in_place.as_ref().map(InPlaceChunk::missing)
    }

    /// How many bytes of an incomplete frame are missing, if its length is known.
    pub fn unread(&self) -> usize {
        self.missing().unwrap_or_else(|| self.deframer.missing())
    }

    /// A complete frame was taken out, so the incomplete one is another and must be checked.
    pub fn next_frame_began(&mut self) {
        self.checked = false;
    }

    /// If the incomplete frame is a chunk that may be read into its place, moves it there.
    pub fn start_in_place<S: Sink>(&mut self, plane: &Plane<S>, link: LinkId, now: Instant) {
        if self.checked || self.in_place.is_some() {
            return;
        }
        let Some(partial) = PartialFrame::peek(&self.deframer, IN_PLACE_BYTES_MIN) else {
            return;
        };
        self.checked = true;
        let Some(mut in_place) =
            plane.start_in_place(link, partial.header.clone(), partial.len, now)
        else {
            return;
        };
        let Some(mut lent) = plane.lend_buffer(&in_place) else {
            return;
        };
        let received = partial.take(&mut self.deframer);
        let received = received.as_ref();
        lent.unread()[..received.len()].copy_from_slice(received);
        plane.return_buffer(link, &mut in_place, lent, received.len(), now);
        self.in_place = Some(in_place);
    }

    /// Reads the rest of the current chunk into its place, and a few of the bytes that follow.
    /// `read` gets the buffers to fill and returns how many bytes it read; it must not wait.
    ///
    /// # Errors
    /// The error of `read`.
    pub fn read_chunk<S: Sink>(
        &mut self,
        plane: &Plane<S>,
        link: LinkId,
        now: impl FnOnce() -> Instant,
        read: impl FnOnce(&mut [IoSliceMut<'_>]) -> io::Result<usize>,
    ) -> io::Result<ChunkRead> {
        let Some(mut in_place) = self.in_place.take() else {
            return Ok(ChunkRead::Ordinary);
        };
        let missing = in_place.missing();
        let Some(mut lent) = plane.lend_buffer(&in_place) else {
            PartialFrame::put_back(&mut self.deframer, &in_place.into_rest(), missing);
            return Ok(ChunkRead::Ordinary);
        };
        let mut buffers = [IoSliceMut::new(lent.unread()), IoSliceMut::new(&mut self.lookahead)];
        let result = read(&mut buffers);
        let length = *result.as_ref().unwrap_or(&0);
        plane.return_buffer(link, &mut in_place, lent, length.min(missing), now());
        if length < missing {
            self.in_place = Some(in_place);
            return result.map(ChunkRead::Part);
        }
        self.deframer.buffer().extend_from_slice(&self.lookahead[..length - missing]);
        self.checked = false;
        result.map(ChunkRead::Complete)
    }
}
