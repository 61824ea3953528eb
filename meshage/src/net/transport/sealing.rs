//! The sending half of a sealed link: what a write gathers is sealed, and sent with one system call.
//!
//! ```text
//!  write ──► records, in one reused buffer ──► the socket
//!                         └── what it does not take stays, and goes first
//! ```
//!
//! Bytes that were sealed count as written, because they cannot be taken back: the numbers of the
//! records are used.

use std::io::{self, IoSlice};

use crate::secure::{Key, KeyRing, Refusal, Sealer};

/// The largest buffer that is kept while nothing is to be sent.
const SPARE_BYTES_MAX: usize = 320 << 10;

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::net) struct Written {
    /// The bytes of the caller that count as written.
    pub(in crate::net) accepted: usize,
    /// The bytes that the socket took.
    pub(in crate::net) sent: usize,
    /// Whether bytes wait that count as written and were not sent.
    pub(in crate::net) pending: bool,
}

/// Seals and sends.
#[derive(Debug)]
pub(super) struct Sealing {
    sealer: Sealer,
    /// Sealed records, of which the first `sent` bytes were sent.
    records: Vec<u8>,
    sent: usize,
}

impl Sealing {
    pub(super) fn new(sealer: Sealer) -> Self {
        Self { sealer, records: Vec::new(), sent: 0 }
    }

    /// Whether sealed bytes wait to be sent.
    pub(super) fn is_pending(&self) -> bool {
        !self.records.is_empty()
    }

    /// Seals the buffers, and sends as much as the socket takes. Nothing is sealed before all
    /// earlier records are sent.
    pub(super) fn write(
        &mut self,
        buffers: &[IoSlice<'_>],
        mut send: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<Written> {
        let mut written = Written { sent: self.flush(&mut send)?, ..Written::default() };
        if !self.is_pending() {
            written.accepted = self.sealer.seal_frames(buffers, usize::MAX, &mut self.records);
            // If the socket is broken, the next call detects it.
            written.sent += self.flush(&mut send).unwrap_or(0);
        }
        written.pending = self.is_pending();
        Ok(written)
    }

    /// Sends as much as the socket takes of what was sealed before, and returns how many bytes.
    pub(super) fn flush(
        &mut self,
        mut send: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if !self.is_pending() {
            return Ok(0);
        }
        let sent = send(&self.records[self.sent..])?;
        self.sent += sent;
        if self.sent == self.records.len() {
            self.sent = 0;
            self.records.clear();
            self.records.shrink_to(SPARE_BYTES_MAX);
        }
        Ok(sent)
    }

    /// Seals the ids of the keys that this node accepts.
    pub(super) fn announce_ring(&mut self, ring: &KeyRing) {
        self.sealer.seal_ring(ring, &mut self.records);
    }

    /// Seals under another pre-shared key from now on.
    pub(super) fn switch(&mut self, key: &Key) {
        self.sealer.switch(key, &mut self.records);
    }

    /// Seals under a new key from now on.
    pub(super) fn rekey(&mut self) {
        self.sealer.rekey(&mut self.records);
    }

    /// Seals the reason why this node closes the link.
    pub(super) fn refuse(&mut self, refusal: Refusal) {
        self.sealer.seal_refusal(refusal, &mut self.records);
    }
}
