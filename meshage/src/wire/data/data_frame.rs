//! A data frame: header and body.

use bytes::{Buf, Bytes};

use super::header::{DataHeader, HEADER_BYTES_MAX};
use crate::wire::WireError;
use crate::wire::frame::{FrameKind, WireFrame};

/// A data frame: header and body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFrame {
    /// The header, which relays read.
    pub header: DataHeader,
    /// The body, or a chunk of it. Relays pass it on unread.
    pub body: Bytes,
}

impl DataFrame {
    /// Encodes the frame for a link. The body is shared, not copied.
    pub fn encode(&self) -> WireFrame {
        WireFrame::new(FrameKind::Data, self.body.clone(), |head| self.header.encode_into(head))
    }

    /// Decodes the payload of a data frame. The body shares the payload's bytes.
    ///
    /// # Errors
    /// [`WireError`] if the payload does not decode or breaks a limit.
    pub fn decode(mut payload: Bytes) -> Result<Self, WireError> {
        if payload.len() < 2 {
            return Err(WireError::new("a data frame without a header"));
        }
        let length = usize::from(payload.get_u16_le());
        if length > payload.len() || length > HEADER_BYTES_MAX {
            return Err(WireError::new(format!("a header of {length} bytes")));
        }
        let header = DataHeader::decode(&payload[..length])?;
        payload.advance(length);
        header.check(payload.len())?;
        Ok(Self { header, body: payload })
    }
}
