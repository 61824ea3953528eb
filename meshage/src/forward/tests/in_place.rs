//! Large bodies that are read into their place. As on a real link, bytes arrive in pieces.

use std::io::Read as _;

use super::*;
use crate::forward::read_buffer::{ChunkRead, ReadBuffer};

/// Reads one direction of a link, so many bytes at a time.
struct Reader {
    from: &'static str,
    to: &'static str,
    piece: usize,
    read_buffer: ReadBuffer,
    /// How many bytes were read into their place.
    placed: usize,
}

impl Reader {
    fn new(from: &'static str, to: &'static str, piece: usize) -> Self {
        Self { from, to, piece, read_buffer: ReadBuffer::default(), placed: 0 }
    }

    /// Moves up to `max` bytes that wait for the link. No other link moves.
    fn read(&mut self, harness: &Harness, max: usize) -> usize {
        let (from, to) = (harness.plane(self.from), harness.plane(self.to));
        let fib = from.fib();
        let link = LinkId(instance(self.to).0);
        let mut batch = Batch::default();
        fib.links[&link].try_take(usize::MAX, &mut batch);
        if batch.writable {
            from.writable(link, harness.now.get());
        }
        let bytes = written(&batch);
        let bytes = &bytes[..bytes.len().min(max)];
        bytes.chunks(self.piece).for_each(|piece| self.take(harness, to, piece));
        bytes.len()
    }

    fn take(&mut self, harness: &Harness, to: &Plane<Recorder>, mut piece: &[u8]) {
        let (link, now) = (LinkId(instance(self.from).0), harness.now.get());
        while !piece.is_empty() {
            let missing = self.read_buffer.missing().unwrap_or(0);
            let read = self.read_buffer.read_chunk(
                to,
                link,
                || now,
                |buffers| piece.read_vectored(buffers),
            );
            match read.expect("memory is read") {
                ChunkRead::Part(read) | ChunkRead::Complete(read) => {
                    self.placed += read.min(missing);
                }
                ChunkRead::Ordinary => {
                    let part = piece.split_off(..piece.len().min(1000)).expect("as long");
                    self.read_buffer.deframer().buffer().extend_from_slice(part);
                }
            }
            let mut raw = Vec::new();
            while let Some(frame) = self.read_buffer.deframer().next_frame().expect("well-formed") {
                raw.push(frame);
                self.read_buffer.next_frame_began();
            }
            to.receive(link, &raw, now).expect("in order");
            self.read_buffer.start_in_place(to, link, now);
        }
    }

    fn read_all(&mut self, harness: &Harness, back: &mut Self) {
        while self.read(harness, usize::MAX) + back.read(harness, usize::MAX) > 0 {}
    }
}

/// The bytes of a batch.
fn written(batch: &Batch) -> Vec<u8> {
    batch.buffers.iter().flat_map(|buffer| [&buffer.bytes[..], &buffer.body[..]].concat()).collect()
}

fn body(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 3) as u8).collect()
}

fn large() -> Outgoing {
    Outgoing::set([node("b")], body(10 * CHUNK_BYTES + 7))
}

#[test]
fn a_body_arrives_whole_in_pieces_of_any_size() {
    for piece in [700, 5000, 40_000, CHUNK_BYTES, 1 << 20] {
        let harness = Harness::new(PAIR);
        let (mut there, mut back) = (Reader::new("a", "b", piece), Reader::new("b", "a", piece));
        let sent = harness.send("a", large());
        let small = harness.set("a", &["b"], "small");
        let next = harness.send("a", large());
        there.read_all(&harness, &mut back);
        for sent in [&sent, &small, &next] {
            assert_eq!(harness.outcomes("a", sent), [Outcome::Delivered]);
        }
        let bodies: Vec<Bytes> =
            harness.take("b").into_iter().map(|message| message.body).collect();
        assert_eq!(
            bodies,
            [&b"small"[..], &body(10 * CHUNK_BYTES + 7), &body(10 * CHUNK_BYTES + 7)]
        );
        assert!(there.placed > 15 * CHUNK_BYTES, "{} in pieces of {piece}", there.placed);
        assert_eq!(harness.counter("b", "reassembly_bytes"), 0);
    }
}

#[test]
fn a_relay_forwards_chunks_and_reads_none_in_place() {
    let harness = Harness::new(LINE);
    let sent = harness.send("a", Outgoing::set([node("b"), node("c")], body(4 * CHUNK_BYTES)));
    let mut first = Reader::new("a", "b", 5000);
    while first.read(&harness, usize::MAX) > 0 {
        harness.run();
    }
    assert_eq!(harness.outcomes("a", &sent), [Outcome::Delivered; 2]);
    assert_eq!(first.placed, 0);
}

#[test]
fn a_body_whose_link_breaks_in_the_middle_of_a_chunk_is_completed_over_another() {
    let mut harness = Harness::new(&[("a", "b"), ("a", "c"), ("c", "b")]);
    let sent = harness.send("a", large().retry(true));
    let mut there = Reader::new("a", "b", 700);
    there.read(&harness, CHUNK_BYTES + 700);
    there.read(&harness, CHUNK_BYTES / 2);
    assert!(there.read_buffer.missing().is_some(), "the link breaks in the middle of a chunk");
    harness.set_edges(&[("a", "c"), ("c", "b")]);
    harness.run();
    assert_eq!(harness.outcomes("a", &sent), [Outcome::Delivered]);
    let messages = harness.take("b");
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].body, body(10 * CHUNK_BYTES + 7));
}

#[test]
fn the_rest_of_a_chunk_whose_body_arrived_over_another_link_does_no_harm() {
    let mut harness = Harness::new(&[("a", "b"), ("a", "c"), ("c", "b")]);
    let sent = harness.send("a", large().retry(true));
    let mut there = Reader::new("a", "b", 700);
    let direct = harness.plane("a").fib().links[&LinkId(instance("b").0)].clone();
    let mut batch = Batch::default();
    while batch.frames < 3 {
        direct.try_take(1 << 20, &mut batch);
    }
    let bytes = written(&batch);
    let (first, rest) = bytes.split_at(CHUNK_BYTES * 3 / 2);
    first.chunks(700).for_each(|piece| there.take(&harness, harness.plane("b"), piece));
    assert!(there.read_buffer.missing().is_some());
    harness.set_edges(&[("a", "c"), ("c", "b")]);
    harness.run();
    assert_eq!(harness.outcomes("a", &sent), [Outcome::Delivered]);
    rest.chunks(700).for_each(|piece| there.take(&harness, harness.plane("b"), piece));
    assert_eq!(there.read_buffer.missing(), None);
    assert_eq!(harness.take("b").len(), 1);
}

#[test]
fn a_message_that_was_canceled_while_its_last_chunk_was_read_is_not_delivered() {
    let harness = Harness::new(PAIR);
    let sent = harness.send("a", Outgoing::set([node("b")], body(2 * CHUNK_BYTES)));
    let mut there = Reader::new("a", "b", 700);
    let mut batch = Batch::default();
    let link = harness.plane("a").fib().links[&LinkId(instance("b").0)].clone();
    while batch.frames < 2 {
        link.try_take(1 << 20, &mut batch);
    }
    let bytes = written(&batch);
    let (first, rest) = bytes.split_at(bytes.len() - 100);
    first.chunks(700).for_each(|piece| there.take(&harness, harness.plane("b"), piece));
    assert_eq!(there.read_buffer.missing(), Some(100));
    harness.plane("a").cancel(sent.id, harness.now.get());
    // The floor of the next message shows that the first was given up; it takes another path.
    let next = harness.send("a", Outgoing::set([node("b")], body(2 * CHUNK_BYTES)));
    harness.run();
    assert_eq!(harness.outcomes("a", &next), [Outcome::Delivered]);
    there.take(&harness, harness.plane("b"), rest);
    assert_eq!(harness.take("b").len(), 1, "only the second");
}
