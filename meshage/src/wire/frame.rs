//! The unit on a link: a length, a kind, a payload.
//!
//! ```text
//!  0        4      5
//!  | length | kind | payload … |      length: u32, little-endian, of kind and payload
//! ```

use bytes::Bytes;

/// The greatest length of a frame: 64 KiB, so that a small frame waits behind a large one no longer
/// than the loopback takes to transfer 64 KiB.
pub const FRAME_BYTES_MAX: usize = 64 << 10;

/// The bytes of length and kind.
pub const PREFIX_BYTES: usize = 5;

/// The bytes of a padded keep-alive: as many as a TCP segment of a path over Ethernet carries.
pub const PADDED_BYTES: usize = 1460;

/// The kind of a frame's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// A [`super::control::ControlFrame`].
    Control = 1,
    /// A [`super::data::DataHeader`] and a body, or a chunk of one.
    Data = 2,
    /// Delivery acknowledgements: a [`super::ack::AckFrame`].
    Ack = 3,
    /// Shows that the sender is alive. The payload is padding, usually none.
    KeepAlive = 4,
}

impl FrameKind {
    /// The kind with this number. An unknown kind comes from a later version; such frames are
    /// skipped and counted.
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

/// Appends a frame without its body: the prefix, then the bytes that `write` appends. The length
/// includes a body of `body_bytes`, which must follow.
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

/// The complete frames at the front of `bytes`, each with its prefix.
pub fn frames(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = u32::from_le_bytes(*bytes.first_chunk::<4>()?) as usize;
        let (frame, rest) = bytes.split_at_checked(4 + length)?;
        bytes = rest;
        Some(frame)
    })
}

/// A frame ready for a link: its head (prefix and header) and its body, which may be shared. The
/// body is written directly after the head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireFrame {
    /// The prefix, and the payload up to the body.
    pub head: Vec<u8>,
    /// The application's bytes; empty except in data frames.
    pub body: Bytes,
    kind: FrameKind,
}

impl WireFrame {
    /// Creates a frame. Its payload is the bytes that `write` appends, then `body`.
    pub fn new(kind: FrameKind, body: Bytes, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut head = Vec::new();
        append(&mut head, kind, body.len(), write);
        Self { head, body, kind }
    }

    /// A keep-alive frame.
    pub fn keep_alive() -> Self {
        Self::new(FrameKind::KeepAlive, Bytes::new(), |_| ())
    }

    /// A keep-alive frame of [`PADDED_BYTES`], which does not arrive on a path that loses large packets.
    pub fn padded_keep_alive() -> Self {
        let padding = |into: &mut Vec<u8>| into.resize(into.len() + PADDED_BYTES - PREFIX_BYTES, 0);
        Self::new(FrameKind::KeepAlive, Bytes::new(), padding)
    }

    /// The kind of the payload.
    pub fn kind(&self) -> FrameKind {
        self.kind
    }

    /// The head without the prefix.
    pub fn payload(&self) -> &[u8] {
        &self.head[PREFIX_BYTES..]
    }

    /// The number of bytes on the link.
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Always `false`: a frame has a prefix.
    pub fn is_empty(&self) -> bool {
        false
    }
}
