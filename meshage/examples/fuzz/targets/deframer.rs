//! The deframer: the frames that it finds do not depend on how the bytes are split.
//!
//! The first bytes of an input say how to split the rest: a count, then the length of each piece.

use bytes::{Buf as _, BytesMut};
use meshage::wire::WireError;
use meshage::wire::deframe::{Deframer, RawFrame};
use meshage::wire::frame::{FRAME_BYTES_MAX, PREFIX_BYTES};

use super::behaviour::Behaviour;
use super::input::Input;

/// The most piece lengths of an input. They are used again and again.
const LENGTHS_MAX: usize = 16;

/// The frames of a stream, and how it ends: with an error, or with bytes of an incomplete frame.
#[derive(Debug, PartialEq)]
struct Found {
    frames: Vec<RawFrame>,
    end: Result<Vec<u8>, WireError>,
}

/// Splits an input in three ways, and compares what is found.
pub(crate) fn run(bytes: &[u8], behaviour: &mut Behaviour) {
    let mut input = Input::new(bytes);
    let count = 1 + input.below(LENGTHS_MAX);
    let lengths: Vec<usize> = (0..count).map(|_| usize::from(input.byte())).collect();
    let takes_unfinished = input.flag();
    let stream = input.rest();
    let whole = read(std::iter::once(stream));
    let single = read(stream.chunks(1));
    assert_eq!(single, whole, "byte by byte, the same frames are found");
    assert_eq!(read(pieces(stream, &lengths)), whole, "in pieces, the same frames are found");
    if takes_unfinished && whole.end.is_ok() {
        assert_eq!(read_elsewhere(stream, &lengths), whole.frames, "read elsewhere, too");
    }
    assert_eq!(expected(stream), whole, "the frames are those of the format");
    for frame in &whole.frames {
        behaviour.note("frame", &frame.kind);
        behaviour.count("payload", frame.payload.len() as u64);
    }
    behaviour.count("frames", whole.frames.len() as u64);
    behaviour.note("end", &whole.end.as_ref().map(Vec::len));
}

/// Cuts a stream into pieces of these lengths. An empty piece stands for a read without bytes.
fn pieces<'a>(mut stream: &'a [u8], lengths: &[usize]) -> impl Iterator<Item = &'a [u8]> {
    // Pieces of no length alone would never end.
    let lengths: Vec<usize> = lengths.iter().copied().chain([1]).collect();
    let mut lengths = lengths.into_iter().cycle();
    std::iter::from_fn(move || {
        if stream.is_empty() {
            return None;
        }
        let (piece, rest) = stream.split_at(lengths.next()?.min(stream.len()));
        stream = rest;
        Some(piece)
    })
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Found {
    let mut deframer = Deframer::default();
    let mut frames = Vec::new();
    for piece in pieces {
        deframer.buffer().extend_from_slice(piece);
        loop {
            match deframer.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return Found { frames, end: Err(error) },
            }
        }
        check_unfinished(&mut deframer);
    }
    Found { frames, end: Ok(deframer.buffer().to_vec()) }
}

/// What the deframer says about an incomplete frame is what its bytes say.
fn check_unfinished(deframer: &mut Deframer) {
    let buffered = deframer.buffer().to_vec();
    let missing = deframer.missing();
    assert_eq!(missing == 0, buffered.len() < 4, "what is missing is known with the length");
    assert!(missing <= FRAME_BYTES_MAX, "no more is missing than a frame");
    if let Some((_, received, length)) = deframer.unfinished() {
        assert_eq!(received, &buffered[PREFIX_BYTES..]);
        assert_eq!(length - received.len(), missing, "the two agree on what is missing");
    }
}

/// Takes each incomplete frame out of the deframer, as for a chunk that is read into its place, and
/// completes it outside.
fn read_elsewhere(stream: &[u8], lengths: &[usize]) -> Vec<RawFrame> {
    let mut deframer = Deframer::default();
    let mut frames = Vec::new();
    let mut taken = BytesMut::new();
    for piece in pieces(stream, lengths) {
        let mut piece = piece;
        if !taken.is_empty() {
            let length = u32::from_le_bytes(*taken.first_chunk().expect("a prefix")) as usize;
            let (rest, after) = piece.split_at(piece.len().min(4 + length - taken.len()));
            taken.extend_from_slice(rest);
            piece = after;
            if taken.len() < 4 + length {
                continue;
            }
            taken.advance(4);
            let mut payload = taken.split().freeze();
            let kind = meshage::wire::frame::FrameKind::from_number(payload.get_u8());
            frames.push(RawFrame { kind, payload });
        }
        deframer.buffer().extend_from_slice(piece);
        while let Some(frame) = deframer.next_frame().expect("the stream has no error") {
            frames.push(frame);
        }
        if deframer.unfinished().is_some() {
            taken = deframer.take_unfinished();
            assert!(deframer.buffer().is_empty(), "all of the frame was taken");
        }
    }
    frames
}

/// The frames of a stream, by the definition of the format.
fn expected(mut stream: &[u8]) -> Found {
    let mut frames = Vec::new();
    loop {
        let complete = stream.split_first_chunk::<4>().map(|(prefix, rest)| {
            let length = u32::from_le_bytes(*prefix) as usize;
            (length, rest.split_at_checked(length))
        });
        match complete {
            Some((length, _)) if length == 0 || length > FRAME_BYTES_MAX => {
                let error = read(std::iter::once(stream)).end;
                assert!(error.is_err(), "a length out of range is an error");
                return Found { frames, end: error };
            }
            Some((_, Some((frame, rest)))) => {
                let kind = meshage::wire::frame::FrameKind::from_number(frame[0]);
                frames.push(RawFrame { kind, payload: frame[1..].to_vec().into() });
                stream = rest;
            }
            Some((_, None)) | None => return Found { frames, end: Ok(stream.to_vec()) },
        }
    }
}
