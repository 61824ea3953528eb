//! The receiving half of a sealed link: records are opened in place, and their contents copied to
//! where the reader wants them.
//!
//! ```text
//!  socket ──► buffer: │ taken │ opened, not taken │ records │ part of a record │ room │
//!                             └──► the reader's buffers
//! ```

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use crate::net::security::Contexts;
use crate::secure::seal::Opened;
use crate::secure::{AuthError, KeyId, Opener};

/// The size of the buffer at first, and the size that it grows to on a busy link. A record has up to
/// 64 KiB.
const BUFFER_BYTES_MIN: usize = 16 << 10;
const BUFFER_BYTES_MAX: usize = 256 << 10;
/// A grown buffer that was not half used in so many reads is replaced by a small one.
const SMALL_READS_MAX: u32 = 1024;

/// What the other end says about its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::net) enum KeyNotice {
    /// The ids of the keys that it accepts, its primary one first.
    Ring(Vec<KeyId>),
    /// It seals under another key from now on.
    Switched(KeyId),
}

/// Receives and opens.
#[derive(Debug)]
pub(super) struct Opening {
    opener: Opener,
    contexts: Arc<Contexts>,
    buffer: Vec<u8>,
    /// The contents that were opened and not taken.
    contents: Range<usize>,
    /// Where the next record begins.
    next: usize,
    /// Where the received bytes end.
    end: usize,
    small_reads: u32,
    /// The bytes that arrived since the caller asked last.
    arrived: usize,
    notices: VecDeque<KeyNotice>,
}

impl Opening {
    pub(super) fn new(opener: Opener, contexts: Arc<Contexts>) -> Self {
        Self {
            opener,
            contexts,
            buffer: Vec::new(),
            contents: 0..0,
            next: 0,
            end: 0,
            small_reads: 0,
            arrived: 0,
            notices: VecDeque::new(),
        }
    }

    /// Whether something can be taken without receiving more, as far as it is known.
    pub(super) fn is_ready(&self) -> bool {
        let received = &self.buffer[self.next..self.end];
        !self.contents.is_empty()
            || Opener::record_bytes(received).is_some_and(|length| received.len() >= length)
    }

    /// Passes contents to `put`, at most `room` bytes, and returns how many. 0 if no record is
    /// complete that holds any.
    ///
    /// # Errors
    /// [`AuthError`] for a record that does not open, and if the other end refuses this node.
    pub(super) fn take(
        &mut self,
        room: usize,
        mut put: impl FnMut(&[u8]),
    ) -> Result<usize, AuthError> {
        let mut taken = 0;
        while taken < room {
            if self.contents.is_empty() && !self.open_next()? {
                break;
            }
            let length = self.contents.len().min(room - taken);
            let (start, end) = (self.contents.start, self.contents.start + length);
            put(&self.buffer[start..end]);
            self.contents.start = end;
            taken += length;
        }
        Ok(taken)
    }

    /// Opens the next record. Returns `false` if none is complete.
    fn open_next(&mut self) -> Result<bool, AuthError> {
        let received = &mut self.buffer[self.next..self.end];
        let Some(length) = Opener::record_bytes(received) else { return Ok(false) };
        if received.len() < length && length >= crate::secure::seal::OVERHEAD_BYTES {
            return Ok(false);
        }
        let context = self.contexts.load();
        let Some((opened, length)) = self.opener.open(received, &context.ring)? else {
            return Ok(false);
        };
        self.contents = 0..0;
        match opened {
            Opened::Frames(range) => {
                self.contents = self.next + range.start..self.next + range.end;
            }
            Opened::Ring(ids) => self.notices.push_back(KeyNotice::Ring(ids)),
            Opened::Switched(id) => self.notices.push_back(KeyNotice::Switched(id)),
            Opened::Refused(refusal) => return Err(AuthError::RefusedByPeer(refusal)),
            Opened::Hello(_) => return Err(AuthError::NotAuthentic("a second hello")),
            Opened::Rekeyed | Opened::Unknown => {}
        }
        self.next += length;
        Ok(true)
    }

    /// Where the next bytes are to be received. Call it when nothing is left to take.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.next > 0 {
            self.buffer.copy_within(self.next..self.end, 0);
            self.end -= self.next;
            self.next = 0;
            self.contents = 0..0;
        }
        if self.end == self.buffer.len() {
            let bytes = (2 * self.buffer.len()).clamp(BUFFER_BYTES_MIN, BUFFER_BYTES_MAX);
            self.buffer.resize(bytes, 0);
        }
        &mut self.buffer[self.end..]
    }

    /// Records that so many bytes were received into [`Opening::room`].
    pub(super) fn received(&mut self, length: usize) {
        self.end += length;
        self.arrived += length;
        if self.end == self.buffer.len() && self.end < BUFFER_BYTES_MAX {
            self.buffer.resize(2 * self.end, 0);
        }
        if self.buffer.len() == BUFFER_BYTES_MIN || self.end > self.buffer.len() / 2 {
            self.small_reads = 0;
            return;
        }
        self.small_reads += 1;
        if self.small_reads > SMALL_READS_MAX && self.end <= BUFFER_BYTES_MIN {
            self.small_reads = 0;
            self.buffer.truncate(BUFFER_BYTES_MIN);
            self.buffer.shrink_to_fit();
        }
    }

    /// The bytes that arrived since the last call.
    pub(super) fn take_arrived(&mut self) -> usize {
        std::mem::take(&mut self.arrived)
    }

    /// Whether bytes arrived that no call of [`Opening::take_arrived`] has returned.
    pub(super) fn has_arrived(&self) -> bool {
        self.arrived > 0
    }

    /// What the other end has said about its keys.
    pub(super) fn next_notice(&mut self) -> Option<KeyNotice> {
        self.notices.pop_front()
    }
}
