//! The arithmetic of a window of messages on a byte stream, shared by the two raw systems.
//!
//! A message is [`BODY`], or a large body of a length that both ends know. The other end acknowledges
//! each message with one byte, and writes the bytes for all messages of one read together. There are
//! no frames, numbers or names: this is the minimum cost of acknowledged messages.

use super::protocol::BODY;

/// The maximum size of one read.
pub(crate) const READ_BYTES: usize = 256 << 10;
/// The maximum number of replies in one write: more than a window holds.
pub(crate) const REPLIES_MAX: usize = 4096;

/// Counts the complete messages in a stream of bytes.
#[derive(Debug)]
pub(crate) struct Messages {
    size: usize,
    partial: usize,
}

impl Messages {
    /// Counts messages of `size` bytes.
    pub(crate) fn of(size: usize) -> Self {
        Self { size, partial: 0 }
    }

    /// The number of messages that end in the next `read` bytes.
    pub(crate) fn completed(&mut self, read: usize) -> usize {
        let bytes = self.partial + read;
        self.partial = bytes % self.size;
        bytes / self.size
    }
}

/// The bytes of `window` small messages, one after the other.
pub(crate) fn small(window: usize) -> Vec<u8> {
    BODY.repeat(window)
}
