//! A data frame whose header has arrived before the rest of its body.
//!
//! ```text
//!  | prefix | header length | DataHeader | body so far |       rest
//!  └────────────── in the deframer ────────────────────┘ └─ not yet received ─┘
//! ```

use bytes::Buf as _;

use super::data::{DataHeader, HEADER_BYTES_MAX};
use super::deframe::Deframer;
use super::frame::{self, FrameKind, PREFIX_BYTES};

/// The bytes of the length before a data frame's header.
const LENGTH_BYTES: usize = 2;
/// A header this close to its limit is not taken apart: with another offset it could exceed it.
const SPARE_BYTES: usize = 16;

/// A data frame whose header has arrived.
#[derive(Debug)]
pub struct PartialFrame {
    /// The header. It is within all its limits.
    pub header: DataHeader,
    /// The length of the body in the frame.
    pub len: usize,
    /// The bytes before the body.
    head_bytes: usize,
}

impl PartialFrame {
    /// Reads the header of the incomplete data frame in the deframer, if the frame lacks at least
    /// `missing_min` bytes. Returns `None` for a frame that breaks the protocol: it is an error
    /// once it is complete.
    pub fn peek(deframer: &Deframer, missing_min: usize) -> Option<Self> {
        let (FrameKind::Data, received, length) = deframer.unfinished()? else {
            return None;
        };
        let (prefix, rest) = received.split_first_chunk::<LENGTH_BYTES>()?;
        let header_bytes = usize::from(u16::from_le_bytes(*prefix));
        if length - received.len() < missing_min || header_bytes > HEADER_BYTES_MAX - SPARE_BYTES {
            return None;
        }
        let header = DataHeader::decode(rest.get(..header_bytes)?).ok()?;
        let len = length.checked_sub(LENGTH_BYTES + header_bytes)?;
        header.check(len).ok()?;
        Some(Self { header, len, head_bytes: PREFIX_BYTES + LENGTH_BYTES + header_bytes })
    }

    /// Removes the frame from the deframer and returns the received part of the body.
    pub fn take(&self, deframer: &mut Deframer) -> impl AsRef<[u8]> + use<> {
        let mut received = deframer.take_unfinished();
        received.advance(self.head_bytes.min(received.len()));
        received
    }

    /// Puts the head of a frame into an empty deframer: this header, and a body of `len` bytes of
    /// which none has arrived.
    pub fn put_back(deframer: &mut Deframer, header: &DataHeader, len: usize) {
        let mut head = Vec::new();
        frame::append(&mut head, FrameKind::Data, len, |head| header.encode_into(head));
        deframer.buffer().extend_from_slice(&head);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use smallvec::smallvec;

    use super::*;
    use crate::name::{Instance, Names, NodeName};
    use crate::wire::data::{Channel, Chunk, DataFrame, MessageSequence, Target, Targets};
    use crate::wire::frame::WireFrame;

    fn chunk(offset: u64, body: &'static [u8]) -> DataFrame {
        let name = |name| NodeName::new(name).expect("valid");
        let sequence = Some(MessageSequence { number: 3, floor: 2 });
        let header = DataHeader {
            source: name("a"),
            instance: Instance(1),
            id: 9,
            channel: Channel { broadcast: false, large: true },
            encoding: 0,
            targets: Targets::List(smallvec![Target { name: name("b"), sequence, oldest: 8 }]),
            chunk: Some(Chunk { offset, total: 1 << 40 }),
            route: name("a").into(),
        };
        DataFrame { header, body: Bytes::from_static(body) }
    }

    fn truncated(frame: &WireFrame, end: usize) -> Deframer {
        let mut deframer = Deframer::default();
        let bytes = [&frame.head[..], &frame.body[..]].concat();
        deframer.buffer().extend_from_slice(&bytes[..end]);
        deframer
    }

    #[test]
    fn a_data_frame_is_partial_from_its_header_until_it_is_complete() {
        let frame = chunk(7, b"body");
        let wire = frame.encode();
        for end in 0..wire.len() {
            let partial = PartialFrame::peek(&truncated(&wire, end), 1);
            assert_eq!(partial.is_some(), end >= wire.head.len(), "after {end} bytes");
            let Some(partial) = partial else { continue };
            assert_eq!((partial.header, partial.len), (frame.header.clone(), 4));
        }
        assert!(PartialFrame::peek(&truncated(&wire, wire.len()), 0).is_none());
        assert!(
            PartialFrame::peek(&truncated(&wire, wire.head.len()), 5).is_none(),
            "it lacks too few bytes"
        );
        let other = WireFrame::new(FrameKind::Ack, Bytes::from_static(b"body"), |_| ());
        assert!(PartialFrame::peek(&truncated(&other, 7), 1).is_none(), "it is no data frame");
    }

    #[test]
    fn the_received_part_is_taken_and_the_rest_becomes_a_chunk_of_its_own() {
        let frame = chunk(7, b"body");
        let wire = frame.encode();
        let mut deframer = truncated(&wire, wire.head.len() + 3);
        let partial = PartialFrame::peek(&deframer, 1).expect("partial");
        assert_eq!(partial.take(&mut deframer).as_ref(), b"bod");
        let rest = chunk(1 << 39, b"y");
        PartialFrame::put_back(&mut deframer, &rest.header, 1);
        assert_eq!(deframer.next_frame(), Ok(None));
        deframer.buffer().extend_from_slice(b"y");
        let raw = deframer.next_frame().expect("well-formed").expect("complete");
        assert_eq!(DataFrame::decode(raw.payload), Ok(rest));
    }

    #[test]
    fn a_header_that_breaks_a_limit_is_not_taken_apart() {
        let mut frame = chunk(7, b"body");
        frame.header.route = Names::new();
        let wire = frame.encode();
        assert!(PartialFrame::peek(&truncated(&wire, wire.head.len()), 1).is_none());
        let mut corrupted = truncated(&chunk(7, b"body").encode(), wire.head.len());
        for at in PREFIX_BYTES..wire.head.len() {
            corrupted.buffer()[at] ^= 0xff;
            let _ = PartialFrame::peek(&corrupted, 1);
            corrupted.buffer()[at] ^= 0xff;
        }
    }
}
