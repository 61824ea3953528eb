//! What a link reads: frames into a buffer, the bodies of large messages straight into their place.
//!
//! ```text
//!              ┌─ ordinary ─► Deframer ──► frames ──► Plane::receive
//!  socket ─────┤                 │ an unfinished chunk for this node: place
//!              └─ a chunk ──► its place in the body, and the head of the next ──► Deframer
//! ```
//!
//! Whoever owns the socket reads with it: a chunk with [`ReadBuffer::read_chunk`] while one
//! [is begun](ReadBuffer::missing), everything else into [`ReadBuffer::deframer`]; and calls
//! [`ReadBuffer::place`] once all whole frames have been taken out. Nothing is lent while it waits for the
//! socket, so that a link which dies or dawdles holds nothing back.

use std::io::{self, IoSliceMut};
use std::time::Instant;

use super::plane::in_place::InPlaceChunk;
use super::plane::{Plane, Sink};
use crate::name::LinkId;
use crate::wire::deframe::Deframer;
use crate::wire::partial::PartialFrame;

/// A frame of which less than this is missing is read the ordinary way: to copy it costs no more
/// than to find its place.
pub const PLACED_BYTES_MIN: usize = 8 << 10;
/// How much is read beyond a chunk: enough for the head of the next.
const BEYOND_BYTES: usize = 1 << 10;

/// What came of reading a chunk.
#[derive(Debug)]
pub enum ChunkRead {
    /// So many bytes were read, and some of it is missing yet.
    Part(usize),
    /// So many bytes were read, and it is complete.
    Complete(usize),
    /// Nothing was read: the rest of it is an ordinary frame.
    Ordinary,
}

/// What one link has read and not handed on.
#[derive(Debug)]
pub struct ReadBuffer {
    deframer: Deframer,
    placing: Option<InPlaceChunk>,
    /// Whether the unfinished frame was looked at, and is read the ordinary way.
    judged: bool,
    beyond: Box<[u8]>,
}

impl Default for ReadBuffer {
    fn default() -> Self {
        let beyond = vec![0; BEYOND_BYTES].into();
        Self { deframer: Deframer::default(), placing: None, judged: false, beyond }
    }
}

impl ReadBuffer {
    /// Where whatever is no chunk goes: all whole frames are to be taken out after each read.
    pub fn deframer(&mut self) -> &mut Deframer {
        &mut self.deframer
    }

    /// How much is missing of the chunk that is being read into its place, if one is.
    pub fn missing(&self) -> Option<usize> {
        self.placing.as_ref().map(InPlaceChunk::missing)
    }

    /// How many bytes of an unfinished frame are still to come, where its length is known.
    pub fn unread(&self) -> usize {
        self.missing().unwrap_or_else(|| self.deframer.missing())
    }

    /// Whether the unfinished frame was looked at is forgotten: another one has begun.
    pub fn forget(&mut self) {
        self.judged = false;
    }

    /// If the unfinished frame is a chunk that may be read into its place, moves it there.
    pub fn place<H: Sink>(&mut self, plane: &Plane<H>, link: LinkId, now: Instant) {
        if self.judged || self.placing.is_some() {
            return;
        }
        let Some(begun) = PartialFrame::peek(&self.deframer, PLACED_BYTES_MIN) else {
            return;
        };
        self.judged = true;
        let Some(mut placing) = plane.place(link, begun.header.clone(), begun.len) else {
            return;
        };
        let Some(mut loan) = plane.lend(&placing) else {
            return;
        };
        let come = begun.take(&mut self.deframer);
        let come = come.as_ref();
        loan.space()[..come.len()].copy_from_slice(come);
        plane.landed(link, &mut placing, loan, come.len(), now);
        self.placing = Some(placing);
    }

    /// Reads the rest of the chunk that is begun into its place, and a little of what follows. `read`
    /// is given where, and says how much; it must not wait.
    ///
    /// # Errors
    /// What `read` failed with.
    pub fn read_chunk<H: Sink>(
        &mut self,
        plane: &Plane<H>,
        link: LinkId,
        now: impl FnOnce() -> Instant,
        read: impl FnOnce(&mut [IoSliceMut<'_>]) -> io::Result<usize>,
    ) -> io::Result<ChunkRead> {
        let Some(mut placing) = self.placing.take() else {
            return Ok(ChunkRead::Ordinary);
        };
        let missing = placing.missing();
        let Some(mut loan) = plane.lend(&placing) else {
            PartialFrame::put_back(&mut self.deframer, &placing.into_rest(), missing);
            return Ok(ChunkRead::Ordinary);
        };
        let mut buffers = [IoSliceMut::new(loan.space()), IoSliceMut::new(&mut self.beyond)];
        let result = read(&mut buffers);
        let length = *result.as_ref().unwrap_or(&0);
        plane.landed(link, &mut placing, loan, length.min(missing), now());
        if length < missing {
            self.placing = Some(placing);
            return result.map(ChunkRead::Part);
        }
        self.deframer.buffer().extend_from_slice(&self.beyond[..length - missing]);
        self.judged = false;
        result.map(ChunkRead::Complete)
    }
}
