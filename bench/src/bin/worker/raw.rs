//! What the two raw systems share: the arithmetic of a window of messages on a byte stream.
//!
//! A message is [`BODY`] or a large body of a length that both know; the other end answers each with
//! one byte, those of one read together. There are no frames, numbers or names: it is the least that
//! acknowledged messages can cost.

use super::protocol::BODY;

/// How many bytes one read takes at most.
pub(crate) const READ_BYTES: usize = 256 << 10;
/// The most answers that are written at once: more than a window holds.
pub(crate) const ANSWERS_MAX: usize = 4096;

/// Counts the whole messages in a stream of bytes.
#[derive(Debug)]
pub(crate) struct Messages {
    size: usize,
    rest: usize,
}

impl Messages {
    /// Messages of so many bytes.
    pub(crate) fn of(size: usize) -> Self {
        Self { size, rest: 0 }
    }

    /// How many messages end in the next `read` bytes.
    pub(crate) fn ended(&mut self, read: usize) -> usize {
        let bytes = self.rest + read;
        self.rest = bytes % self.size;
        bytes / self.size
    }
}

/// As many small messages as a window holds, one after the other.
pub(crate) fn small(window: usize) -> Vec<u8> {
    BODY.repeat(window)
}
