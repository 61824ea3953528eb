//! The four queues of a link: one for each class of frames, each bounded in bytes.

use std::collections::VecDeque;

use bytes::Bytes;

use super::batch::{Batch, SPARE_BUFFERS_MAX, WRITE_BUFFER_BYTES, WriteBuffer};
use crate::wire::frame::{self, FrameKind};

/// How many bytes of control frames may wait: as many as a database exchange of 131,072 nodes
/// needs.
pub const CONTROL_BYTES_MAX: usize = 64 << 20;
/// How many bytes of acknowledgements may wait: those of more messages than any inbox holds.
pub const ACK_BYTES_MAX: usize = 4 << 20;
/// How many bytes of messages up to a chunk may wait, and how many bytes of larger ones. A 10 Gb/s
/// link carries 4 MiB in 3 ms, so a larger queue adds delay and no throughput.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// A longer body is written from its own allocation; a shorter one costs less to copy than to
/// reference.
pub const COPIED_BYTES_MAX: usize = 1 << 10;

/// The queue of a link that a frame waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Frames of the control plane and keep-alives: written before everything else.
    Control,
    /// Acknowledgements: written before messages.
    Ack,
    /// Messages up to a chunk.
    Small,
    /// Chunks of large messages: one after each batch of small ones.
    Large,
}

impl Class {
    const ALL: [Self; 4] = [Self::Control, Self::Ack, Self::Small, Self::Large];

    /// The classes that are written even while messages have to wait for a slow path.
    const URGENT: [Self; 2] = [Self::Control, Self::Ack];

    fn bytes_max(self) -> usize {
        match self {
            Self::Control => CONTROL_BYTES_MAX,
            Self::Ack => ACK_BYTES_MAX,
            Self::Small | Self::Large => MESSAGE_BYTES_MAX,
        }
    }
}

/// The queue has no room for the frame, or the link is closed. Nothing was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

#[derive(Debug, Default)]
struct Queue {
    buffers: VecDeque<WriteBuffer>,
    bytes: usize,
    /// It refused a frame, and `Batch::writable` has not reported room since.
    refused: bool,
}

/// The frames that wait for one link.
#[derive(Debug, Default)]
pub(super) struct Queues {
    queues: [Queue; 4],
    /// What was taken and not written. It may start in the middle of a frame, so it is written
    /// first.
    pub(super) unwritten: VecDeque<WriteBuffer>,
    spares: Vec<Vec<u8>>,
}

impl Queues {
    pub(super) fn is_empty(&self) -> bool {
        self.unwritten.is_empty() && self.queues.iter().all(|queue| queue.buffers.is_empty())
    }

    /// How many bytes wait in the queues; those in `unwritten` are not counted.
    pub(super) fn bytes(&self) -> usize {
        self.queues.iter().map(|queue| queue.bytes).sum()
    }

    /// Encodes a frame at the end of its queue.
    pub(super) fn push(
        &mut self,
        class: Class,
        kind: FrameKind,
        body: &Bytes,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Full> {
        let queue = &mut self.queues[class as usize];
        let has_room = |buffer: &WriteBuffer| {
            buffer.body.is_empty() && buffer.bytes.len() < WRITE_BUFFER_BYTES
        };
        if !queue.buffers.back().is_some_and(has_room) {
            let bytes = self.spares.pop().unwrap_or_default();
            queue.buffers.push_back(WriteBuffer { bytes, ..WriteBuffer::default() });
        }
        let Some(buffer) = queue.buffers.back_mut() else {
            return Err(Full);
        };
        let before = buffer.bytes.len();
        frame::append(&mut buffer.bytes, kind, body.len(), write);
        let bytes = buffer.bytes.len() - before + body.len();
        if queue.bytes + bytes > class.bytes_max() {
            buffer.bytes.truncate(before);
            if buffer.frames == 0 {
                queue.buffers.pop_back();
            }
            queue.refused = true;
            return Err(Full);
        }
        if body.len() <= COPIED_BYTES_MAX {
            buffer.bytes.extend_from_slice(body);
        } else {
            buffer.body = body.clone();
        }
        buffer.frames += 1;
        queue.bytes += bytes;
        Ok(())
    }

    /// Moves buffers to the end of the batch, by priority, until it has about `bytes_max` bytes.
    pub(super) fn take(&mut self, bytes_max: usize, batch: &mut Batch) {
        self.take_classes(&Class::ALL, bytes_max, batch);
    }

    /// Moves the control frames and the acknowledgements to the end of the batch.
    pub(super) fn take_urgent(&mut self, batch: &mut Batch) {
        self.take_classes(&Class::URGENT, usize::MAX, batch);
    }

    fn take_classes(&mut self, classes: &[Class], bytes_max: usize, batch: &mut Batch) {
        if self.spares.len() < SPARE_BUFFERS_MAX {
            self.spares.append(&mut batch.spares);
        }
        for buffer in self.unwritten.drain(..) {
            batch.bytes += buffer.len();
            batch.frames += buffer.frames;
            batch.buffers.push_back(buffer);
        }
        for class in classes {
            let queue = &mut self.queues[*class as usize];
            let mut buffers = 0;
            while batch.bytes < bytes_max && !(*class == Class::Large && buffers == 1) {
                let Some(mut buffer) = queue.buffers.pop_front() else {
                    break;
                };
                let left = bytes_max - batch.bytes;
                if left < WRITE_BUFFER_BYTES
                    && let Some(rest) = buffer.split_off(left)
                {
                    queue.buffers.push_front(rest);
                }
                queue.bytes -= buffer.len();
                batch.bytes += buffer.len();
                batch.frames += buffer.frames;
                batch.buffers.push_back(buffer);
                buffers += 1;
            }
            if queue.refused && queue.bytes <= class.bytes_max() / 2 {
                queue.refused = false;
                batch.writable = true;
            }
        }
    }
}
