//! Headers and data frames on the wire: bytes, limits, garbage.

use super::*;
use crate::name::{Instance, Names, NodeName};
use crate::wire::WireError;
use crate::wire::frame::PREFIX_BYTES;
use bincode::enc::Encoder;
use bincode::error::EncodeError;
use bytes::Bytes;
use smallvec::smallvec;

fn name(text: &str) -> NodeName {
    NodeName::new(text).expect("valid")
}

fn header() -> DataHeader {
    DataHeader {
        source: name("a"),
        instance: Instance(1),
        id: 9,
        channel: Channel { broadcast: false, large: false },
        encoding: 1,
        targets: Targets::List(smallvec![
            Target {
                name: name("b"),
                sequence: Some(MessageSequence { number: 3, floor: 2 }),
                oldest: 8
            },
            Target { name: name("c"), sequence: None, oldest: 0 },
        ]),
        chunk: None,
        route: name("a").into(),
    }
}

impl bincode::Encode for Targets {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        #[derive(bincode::Encode)]
        enum Shape<'a> {
            Flood(MessageSequence),
            List(&'a [Target]),
        }
        match self {
            Self::Flood(sequence) => Shape::Flood(*sequence).encode(encoder),
            Self::List(list) => Shape::List(list).encode(encoder),
        }
    }
}

impl bincode::Encode for MessageSequence {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        (self.number, self.number - self.floor).encode(encoder)
    }
}

impl bincode::Encode for Names {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.as_slice().encode(encoder)
    }
}

fn round_trip(frame: &DataFrame) -> Result<DataFrame, WireError> {
    let wire = frame.encode();
    DataFrame::decode(Bytes::from([&wire.head[PREFIX_BYTES..], &wire.body[..]].concat()))
}

#[test]
fn a_data_frame_decodes_to_what_was_encoded() {
    let frame = DataFrame { header: header(), body: Bytes::from_static(b"hello") };
    assert_eq!(round_trip(&frame).as_ref(), Ok(&frame));
}

#[test]
fn headers_have_the_same_bytes_as_with_bincode() {
    fn with_bincode(value: &impl bincode::Encode) -> Vec<u8> {
        bincode::encode_to_vec(value, bincode::config::standard()).expect("encodes")
    }
    let sequence = MessageSequence { number: 70_000, floor: 300 };
    let lists = [
        Targets::Flood(sequence),
        Targets::List(TargetList::new()),
        Targets::List(smallvec![
            Target { name: name("b"), sequence: Some(sequence), oldest: 1 << 40 },
            Target { name: name(&"c".repeat(64)), sequence: None, oldest: 0 },
        ]),
    ];
    for targets in lists {
        for chunk in [None, Some(Chunk { offset: 251, total: u64::MAX })] {
            let channel = Channel { broadcast: true, large: chunk.is_some() };
            let route = vec![name("a"), name("b"), name("a")].into();
            let (targets, encoding) = (targets.clone(), u32::MAX);
            let header = DataHeader { channel, encoding, targets, chunk, route, ..header() };
            let mut encoded = Vec::new();
            header.with_targets(&header.targets).encode_fields(&mut encoded);
            assert_eq!(encoded, with_bincode(&header));
            assert_eq!(DataHeader::decode(&encoded), Ok(header));
        }
    }
    let one = Target { name: name("b"), sequence: Some(sequence), oldest: 5 };
    let (mut encoded, target) = (Vec::new(), &one);
    TargetsRef::One { name: &target.name, sequence, oldest: 5 }.encode_into(&mut encoded);
    assert_eq!(encoded, with_bincode(&Targets::List(smallvec![one])));
}

#[test]
fn headers_beyond_a_limit_are_errors() {
    let assert_error = |change: &dyn Fn(&mut DataFrame)| {
        let mut frame = DataFrame { header: header(), body: Bytes::from_static(b"x") };
        change(&mut frame);
        assert!(round_trip(&frame).is_err());
    };
    assert_error(&|f| f.header.route = Names::new());
    assert_error(&|f| f.header.route = vec![name("a"); HOP_LIMIT + 1].into());
    assert_error(&|f| f.body = Bytes::from(vec![0; CHUNK_BYTES + 1]));
    assert_error(&|f| f.header.chunk = Some(Chunk { offset: 0, total: 1 }));
    assert_error(&|f| f.header.targets = Targets::Flood(MessageSequence { number: 1, floor: 1 }));
    assert_error(&|f| {
        let target = Target { name: name("c"), sequence: None, oldest: 0 };
        let count = RECIPIENTS_BYTES_MAX / Target::bytes_max(&target.name) + 1;
        f.header.targets = Targets::List(vec![target; count].into());
    });
    assert_error(&|f| {
        f.header.channel.broadcast = true;
        f.header.targets = Targets::Flood(MessageSequence { number: 1, floor: 2 });
    });
    assert_error(&|f| {
        f.header.channel.large = true;
        f.header.chunk = Some(Chunk { offset: u64::MAX, total: 1 });
    });
}

#[test]
fn the_longest_header_fits_when_a_relay_encodes_it_again() {
    let longest = name(&"x".repeat(64));
    let sequence = Some(MessageSequence { number: u64::MAX - 1, floor: u64::MAX - 1 });
    let target = Target { name: longest.clone(), sequence, oldest: u64::MAX };
    let count = RECIPIENTS_BYTES_MAX / Target::bytes_max(&longest);
    let mut header = DataHeader {
        source: longest.clone(),
        instance: Instance(u64::MAX),
        id: u64::MAX,
        channel: Channel { broadcast: false, large: true },
        encoding: u32::MAX,
        targets: Targets::List(vec![target; count].into()),
        chunk: Some(Chunk { offset: u64::MAX - 1, total: u64::MAX }),
        route: vec![longest.clone(); HOP_LIMIT].into(),
    };
    assert_eq!(header.check(1), Ok(()));
    header.route.push(longest);
    header.encode_into(&mut Vec::new());
}

#[test]
fn truncated_frames_are_errors_and_corrupted_ones_never_panic() {
    let wire = DataFrame { header: header(), body: Bytes::from_static(b"hello") }.encode();
    let payload = [&wire.head[PREFIX_BYTES..], &wire.body[..]].concat();
    for end in 0..payload.len() - 5 {
        assert!(DataFrame::decode(Bytes::copy_from_slice(&payload[..end])).is_err());
    }
    for at in 0..payload.len() {
        let mut corrupted = payload.clone();
        corrupted[at] ^= 0xff;
        let _ = DataFrame::decode(corrupted.into());
    }
}
