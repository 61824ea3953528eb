//! A batch: the encoded frames that one write sends.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf as _, Bytes};

use crate::wire::frame;

/// A write buffer that has reached this size takes no more frames: the link's writer takes whole
/// buffers.
pub const WRITE_BUFFER_BYTES: usize = 32 << 10;
/// How many empty buffers are kept for reuse, each of at most [`SPARE_BYTES_MAX`].
pub(super) const SPARE_BUFFERS_MAX: usize = 4;
/// The largest capacity that is kept: a buffer that a long frame has enlarged is freed.
const SPARE_BYTES_MAX: usize = 2 * WRITE_BUFFER_BYTES;

/// Encoded frames, one after the other. The body of the last one may be a separate allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteBuffer {
    /// The frames' bytes.
    pub bytes: Vec<u8>,
    /// The body of the last frame, if it is too long to be copied.
    pub body: Bytes,
    /// How many frames.
    pub frames: usize,
}

impl WriteBuffer {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() + self.body.len()
    }

    /// Splits off the frames beyond the first `bytes_max` bytes. The first frame always stays. The
    /// buffer must start with a whole frame.
    pub(super) fn split_off(&mut self, bytes_max: usize) -> Option<Self> {
        if self.len() <= bytes_max || self.frames < 2 {
            return None;
        }
        let (mut end, mut kept) = (0, 0);
        // The iterator ends before a last frame whose body is a separate allocation.
        for frame in frame::frames(&self.bytes).take(self.frames - 1) {
            if kept > 0 && end + frame.len() > bytes_max {
                break;
            }
            end += frame.len();
            kept += 1;
        }
        let rest = Self {
            bytes: self.bytes.split_off(end),
            body: std::mem::take(&mut self.body),
            frames: self.frames - kept,
        };
        self.frames = kept;
        Some(rest)
    }
}

/// The buffers that were taken to be written, and empty buffers of earlier batches.
#[derive(Debug, Default)]
pub struct Batch {
    /// The buffers to write, in this order.
    pub buffers: VecDeque<WriteBuffer>,
    pub(super) spares: Vec<Vec<u8>>,
    /// How many bytes of `buffers` are not written yet.
    pub bytes: usize,
    /// How many frames were taken.
    pub frames: usize,
    /// A queue that refused a message has room again: call
    /// [`Plane::writable`](crate::forward::plane::Plane::writable).
    pub writable: bool,
    /// The link holds bytes that have to be sent, even if there are no buffers.
    pub pending: bool,
}

impl Batch {
    /// Points the slices at the next bytes to write, up to `bytes_max`, as far as there are slices.
    /// Returns how many were set.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>], bytes_max: usize) -> usize {
        let (mut count, mut left) = (0, bytes_max);
        let parts = self.buffers.iter().flat_map(|buffer| [&buffer.bytes[..], &buffer.body[..]]);
        for (slice, part) in slices.iter_mut().zip(parts.filter(|part| !part.is_empty())) {
            if left == 0 {
                break;
            }
            let part = &part[..part.len().min(left)];
            left -= part.len();
            *slice = IoSlice::new(part);
            count += 1;
        }
        count
    }

    /// Removes the bytes that were written.
    pub fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(buffer) = self.buffers.front_mut() {
            if written < buffer.len() {
                let head = written.min(buffer.bytes.len());
                buffer.bytes.drain(..head);
                buffer.body.advance(written - head);
                return;
            }
            written -= buffer.len();
            if let Some(mut buffer) = self.buffers.pop_front()
                && buffer.bytes.capacity() <= SPARE_BYTES_MAX
                && self.spares.len() < SPARE_BUFFERS_MAX
            {
                buffer.bytes.clear();
                self.spares.push(buffer.bytes);
            }
        }
    }
}
