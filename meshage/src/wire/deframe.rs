//! Cuts a stream of bytes into frames.

use bytes::{Buf, Bytes, BytesMut};

use super::WireError;
use super::frame::{FRAME_BYTES_MAX, FrameKind, PREFIX_BYTES};

/// A frame as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFrame {
    /// What it carries; `None` for a kind that this version does not know.
    pub kind: Option<FrameKind>,
    /// All after the prefix, shared with the buffer it was read into.
    pub payload: Bytes,
}

/// Collects bytes and gives back whole frames.
#[derive(Debug, Default)]
pub struct Deframer {
    buffer: BytesMut,
}

impl Deframer {
    /// Where the next bytes read go: append to it, then call [`Deframer::next_frame`].
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next whole frame, if there is one.
    ///
    /// # Errors
    /// A length of nothing or beyond [`FRAME_BYTES_MAX`]: the stream can only be closed.
    pub fn next_frame(&mut self) -> Result<Option<RawFrame>, WireError> {
        let Some(prefix) = self.buffer.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*prefix) as usize;
        if length == 0 || length > FRAME_BYTES_MAX {
            return Err(WireError::new(format!(
                "a frame of {length} bytes; frames have 1 to {FRAME_BYTES_MAX}"
            )));
        }
        if self.buffer.len() < 4 + length {
            return Ok(None);
        }
        self.buffer.advance(4);
        let mut payload = self.buffer.split_to(length).freeze();
        let kind = FrameKind::from_number(payload.get_u8());
        Ok(Some(RawFrame { kind, payload }))
    }

    /// The unfinished frame after the whole ones: its kind, what has come of its payload, and how
    /// long that will be.
    pub fn unfinished(&self) -> Option<(FrameKind, &[u8], usize)> {
        let (prefix, come) = self.buffer.split_first_chunk::<PREFIX_BYTES>()?;
        let length = (u32::from_le_bytes(*prefix.first_chunk()?) as usize).checked_sub(1)?;
        let kind = FrameKind::from_number(prefix[4])?;
        (length > come.len()).then_some((kind, come, length))
    }

    /// Takes what has come of an unfinished frame out, prefix and all: the rest is read elsewhere.
    pub fn take_unfinished(&mut self) -> BytesMut {
        self.buffer.split()
    }

    /// How many bytes of an unfinished frame are still to come, where its length is known.
    pub fn missing(&self) -> usize {
        match self.buffer.first_chunk::<4>() {
            Some(prefix) => {
                (4 + u32::from_le_bytes(*prefix) as usize).saturating_sub(self.buffer.len())
            }
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::WireFrame;

    #[test]
    fn frames_come_out_whole_however_the_bytes_come_in() {
        let frame = WireFrame::new(FrameKind::Data, Bytes::from_static(b"body"), |head| {
            head.extend_from_slice(b"head");
        });
        let mut deframer = Deframer::default();
        let bytes: Vec<u8> = [&frame.head[..], &frame.body[..]].concat();
        for byte in &bytes {
            assert_eq!(deframer.next_frame(), Ok(None));
            deframer.buffer().extend_from_slice(&[*byte]);
        }
        let raw = deframer.next_frame().expect("well-formed").expect("whole");
        assert_eq!(raw.kind, Some(FrameKind::Data));
        assert_eq!(&raw.payload[..], b"headbody");
        assert_eq!(deframer.next_frame(), Ok(None));
    }

    #[test]
    fn a_lying_length_is_an_error_at_once() {
        for length in [0, FRAME_BYTES_MAX as u32 + 1, u32::MAX] {
            let mut deframer = Deframer::default();
            deframer.buffer().extend_from_slice(&length.to_le_bytes());
            assert!(deframer.next_frame().is_err());
        }
    }

    #[test]
    fn a_kind_of_a_later_version_is_told_from_garbage() {
        let mut deframer = Deframer::default();
        deframer.buffer().extend_from_slice(&[1, 0, 0, 0, 200]);
        let raw = deframer.next_frame().expect("well-formed").expect("whole");
        assert_eq!(raw.kind, None);
    }
}
