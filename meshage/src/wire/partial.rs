//! A data frame whose header has come before the rest of its body.
//!
//! ```text
//!  | prefix | header length | DataHeader | body so far |     rest
//!  └────────────── in the deframer ────────────────────┘ └─ on its way ─┘
//! ```

use bytes::Buf as _;

use super::data::{DataHeader, HEADER_BYTES_MAX};
use super::deframe::Deframer;
use super::frame::{self, FrameKind, PREFIX_BYTES};

/// Before a data frame's header: its length.
const LENGTH_BYTES: usize = 2;
/// A header this close to its limit is left alone: with another offset it might be longer.
const SPARE_BYTES: usize = 16;

/// A data frame whose header has come.
#[derive(Debug)]
pub struct PartialFrame {
    /// The header, which keeps all its limits.
    pub header: DataHeader,
    /// How long the body in the frame is.
    pub len: usize,
    /// All before the body.
    head_bytes: usize,
}

impl PartialFrame {
    /// The data frame that is unfinished, if at least `missing_min` bytes of it are. One that breaks
    /// the protocol is passed over: it is an error once it is whole.
    pub fn of(deframer: &Deframer, missing_min: usize) -> Option<Self> {
        let (FrameKind::Data, come, length) = deframer.unfinished()? else {
            return None;
        };
        let (prefix, rest) = come.split_first_chunk::<LENGTH_BYTES>()?;
        let header_bytes = usize::from(u16::from_le_bytes(*prefix));
        if length - come.len() < missing_min || header_bytes > HEADER_BYTES_MAX - SPARE_BYTES {
            return None;
        }
        let header = DataHeader::decode(rest.get(..header_bytes)?).ok()?;
        let len = length.checked_sub(LENGTH_BYTES + header_bytes)?;
        header.check(len).ok()?;
        Some(Self { header, len, head_bytes: PREFIX_BYTES + LENGTH_BYTES + header_bytes })
    }

    /// Takes it out of the deframer; gives what has come of the body.
    pub fn take(&self, deframer: &mut Deframer) -> impl AsRef<[u8]> + use<> {
        let mut come = deframer.take_unfinished();
        come.advance(self.head_bytes.min(come.len()));
        come
    }

    /// Puts a frame of this header and a body of `len` bytes, which are all still to come, into an
    /// empty deframer.
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

    fn cut(frame: &WireFrame, end: usize) -> Deframer {
        let mut deframer = Deframer::default();
        let whole = [&frame.head[..], &frame.body[..]].concat();
        deframer.buffer().extend_from_slice(&whole[..end]);
        deframer
    }

    #[test]
    fn a_data_frame_has_begun_once_its_header_is_there_and_until_it_is_whole() {
        let frame = chunk(7, b"body");
        let wire = frame.encode();
        for end in 0..wire.len() {
            let begun = PartialFrame::of(&cut(&wire, end), 1);
            assert_eq!(begun.is_some(), end >= wire.head.len(), "after {end} bytes");
            let Some(begun) = begun else { continue };
            assert_eq!((begun.header, begun.len), (frame.header.clone(), 4));
        }
        assert!(PartialFrame::of(&cut(&wire, wire.len()), 0).is_none());
        assert!(
            PartialFrame::of(&cut(&wire, wire.head.len()), 5).is_none(),
            "too little is missing"
        );
        let other = WireFrame::new(FrameKind::Ack, Bytes::from_static(b"body"), |_| ());
        assert!(PartialFrame::of(&cut(&other, 7), 1).is_none(), "no data frame");
    }

    #[test]
    fn what_has_come_is_taken_out_and_the_rest_put_back_as_a_chunk_of_its_own() {
        let frame = chunk(7, b"body");
        let wire = frame.encode();
        let mut deframer = cut(&wire, wire.head.len() + 3);
        let begun = PartialFrame::of(&deframer, 1).expect("it has begun");
        assert_eq!(begun.take(&mut deframer).as_ref(), b"bod");
        let rest = chunk(1 << 39, b"y");
        PartialFrame::put_back(&mut deframer, &rest.header, 1);
        assert_eq!(deframer.next_frame(), Ok(None));
        deframer.buffer().extend_from_slice(b"y");
        let raw = deframer.next_frame().expect("well-formed").expect("whole");
        assert_eq!(DataFrame::decode(raw.payload), Ok(rest));
    }

    #[test]
    fn what_breaks_a_limit_is_left_to_the_ordinary_way() {
        let mut frame = chunk(7, b"body");
        frame.header.route = Names::new();
        let wire = frame.encode();
        assert!(PartialFrame::of(&cut(&wire, wire.head.len()), 1).is_none());
        let mut garbled = cut(&chunk(7, b"body").encode(), wire.head.len());
        for at in PREFIX_BYTES..wire.head.len() {
            garbled.buffer()[at] ^= 0xff;
            let _ = PartialFrame::of(&garbled, 1);
            garbled.buffer()[at] ^= 0xff;
        }
    }
}
