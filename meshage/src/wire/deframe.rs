//! Splits a stream of bytes into frames.

use bytes::{Buf, Bytes, BytesMut};

use super::WireError;
use super::frame::{FRAME_BYTES_MAX, FrameKind, PREFIX_BYTES};

/// A received frame, not yet decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFrame {
    /// The kind of the frame; `None` if this version does not know it.
    pub kind: Option<FrameKind>,
    /// The bytes after the prefix, shared with the buffer that they were read into.
    pub payload: Bytes,
}

/// Collects bytes and returns complete frames.
#[derive(Debug, Default)]
pub struct Deframer {
    buffer: BytesMut,
}

impl Deframer {
    /// The buffer for received bytes: append to it, then call [`Deframer::next_frame`].
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Returns the next complete frame, if there is one.
    ///
    /// # Errors
    /// [`WireError`] if the length is 0 or beyond [`FRAME_BYTES_MAX`]. The stream cannot be read
    /// any further.
    pub fn next_frame(&mut self) -> Result<Option<RawFrame>, WireError> {
        let Some(prefix) = self.buffer.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*prefix) as usize;
        if length == 0 || length > FRAME_BYTES_MAX {
            return Err(WireError::new(format!(
                "a frame of {length} bytes: the length must be 1 to {FRAME_BYTES_MAX}"
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

    /// The incomplete frame after the complete ones: its kind, the payload received so far, and the
    /// length of the whole payload.
    pub fn unfinished(&self) -> Option<(FrameKind, &[u8], usize)> {
        let (prefix, received) = self.buffer.split_first_chunk::<PREFIX_BYTES>()?;
        let length = (u32::from_le_bytes(*prefix.first_chunk()?) as usize).checked_sub(1)?;
        let kind = FrameKind::from_number(prefix[4])?;
        (length > received.len()).then_some((kind, received, length))
    }

    /// Removes and returns the received bytes of an incomplete frame, prefix included. The caller
    /// reads the rest elsewhere.
    pub fn take_unfinished(&mut self) -> BytesMut {
        self.buffer.split()
    }

    /// The number of bytes that an incomplete frame lacks; 0 if its length is not yet known.
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
    fn frames_are_complete_however_the_bytes_arrive() {
        let frame = WireFrame::new(FrameKind::Data, Bytes::from_static(b"body"), |head| {
            head.extend_from_slice(b"head");
        });
        let mut deframer = Deframer::default();
        let bytes: Vec<u8> = [&frame.head[..], &frame.body[..]].concat();
        for byte in &bytes {
            assert_eq!(deframer.next_frame(), Ok(None));
            deframer.buffer().extend_from_slice(&[*byte]);
        }
        let raw = deframer.next_frame().expect("well-formed").expect("complete");
        assert_eq!(raw.kind, Some(FrameKind::Data));
        assert_eq!(&raw.payload[..], b"headbody");
        assert_eq!(deframer.next_frame(), Ok(None));
    }

    #[test]
    fn a_length_out_of_range_is_an_error_at_once() {
        for length in [0, FRAME_BYTES_MAX as u32 + 1, u32::MAX] {
            let mut deframer = Deframer::default();
            deframer.buffer().extend_from_slice(&length.to_le_bytes());
            assert!(deframer.next_frame().is_err());
        }
    }

    #[test]
    fn a_frame_of_an_unknown_kind_is_not_an_error() {
        let mut deframer = Deframer::default();
        deframer.buffer().extend_from_slice(&[1, 0, 0, 0, 200]);
        let raw = deframer.next_frame().expect("well-formed").expect("complete");
        assert_eq!(raw.kind, None);
    }
}
