//! The unit on a link: a length, a kind, a payload.
//!
//! ```text
//!  0        4      5
//!  | length | kind | payload … |      length: u32, little-endian, of kind and payload
//! ```

use bytes::Bytes;

/// The most bytes a frame's length may name: 64 KiB, so that a small frame waits no longer behind a
/// large one than a loopback takes to carry 64 KiB.
pub const FRAME_BYTES_MAX: usize = 64 << 10;

/// Length and kind.
pub const PREFIX_BYTES: usize = 5;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// A [`super::control::ControlFrame`].
    Control = 1,
    /// A [`super::data::DataHeader`] and a body, or a chunk of one.
    Data = 2,
    /// Delivery acknowledgements: a [`super::data::AckFrame`].
    Ack = 3,
    /// Nothing: a sign of life.
    KeepAlive = 4,
}

impl FrameKind {
    /// The kind of this number. An unknown one comes from a later version: skipped and counted.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Control),
            2 => Some(Self::Data),
            3 => Some(Self::Ack),
            4 => Some(Self::KeepAlive),
            _ => None,
        }
    }
}

/// A frame ready for a link: its head (prefix and header), then a body shared with whoever else
/// holds it. The two are written one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireFrame {
    /// Prefix and everything that is this frame's own.
    pub head: Bytes,
    /// The application's bytes; empty for all but data frames.
    pub body: Bytes,
}

impl WireFrame {
    /// A frame whose payload is `write`n after the prefix, followed by `body`.
    pub fn new(kind: FrameKind, body: Bytes, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut head = Vec::with_capacity(128);
        head.extend_from_slice(&[0; PREFIX_BYTES]);
        write(&mut head);
        let length = head.len() - PREFIX_BYTES + 1 + body.len();
        assert!(length <= FRAME_BYTES_MAX, "invariant W1: no frame is longer than its limit");
        head[..4].copy_from_slice(&(length as u32).to_le_bytes());
        head[4] = kind as u8;
        Self { head: head.into(), body }
    }

    /// The sign of life.
    pub fn keep_alive() -> Self {
        Self::new(FrameKind::KeepAlive, Bytes::new(), |_| ())
    }

    /// How many bytes it is on the link.
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Never: a frame has a prefix.
    pub fn is_empty(&self) -> bool {
        false
    }
}
