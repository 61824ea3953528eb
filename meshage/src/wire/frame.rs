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
    /// Delivery acknowledgements: a [`super::ack::AckFrame`].
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

/// Appends a frame to what is to be written, all but its body: prefix, then what `write` writes. The
/// body, of `body_bytes`, is to follow.
pub fn append(
    into: &mut Vec<u8>,
    kind: FrameKind,
    body_bytes: usize,
    write: impl FnOnce(&mut Vec<u8>),
) {
    let at = into.len();
    into.extend_from_slice(&[0, 0, 0, 0, kind as u8]);
    write(into);
    let length = into.len() - at - PREFIX_BYTES + 1 + body_bytes;
    assert!(length <= FRAME_BYTES_MAX, "invariant W1: no frame is longer than its limit");
    into[at..at + 4].copy_from_slice(&(length as u32).to_le_bytes());
}

/// The whole frames at the front of `bytes`, each with its prefix.
pub fn frames(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = u32::from_le_bytes(*bytes.first_chunk::<4>()?) as usize;
        let (frame, rest) = bytes.split_at_checked(4 + length)?;
        bytes = rest;
        Some(frame)
    })
}

/// A frame ready for a link: its head (prefix and header), then a body shared with whoever else
/// holds it. The two are written one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireFrame {
    /// Prefix and everything that is this frame's own.
    pub head: Vec<u8>,
    /// The application's bytes; empty for all but data frames.
    pub body: Bytes,
    kind: FrameKind,
}

impl WireFrame {
    /// A frame whose payload is `write`n after the prefix, followed by `body`.
    pub fn new(kind: FrameKind, body: Bytes, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut head = Vec::new();
        append(&mut head, kind, body.len(), write);
        Self { head, body, kind }
    }

    /// The sign of life.
    pub fn keep_alive() -> Self {
        Self::new(FrameKind::KeepAlive, Bytes::new(), |_| ())
    }

    /// What it carries.
    pub fn kind(&self) -> FrameKind {
        self.kind
    }

    /// The head without the prefix.
    pub fn payload(&self) -> &[u8] {
        &self.head[PREFIX_BYTES..]
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
