//! The steps of a message, each by itself: plan, encode, decode, duplicate detection, outstanding
//! sends; and all of them between two data planes without a socket.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use meshage::config::{MAX_MESSAGE, RECEIVE_BUFFER};
use meshage::forward::dedup::{Arrival, Dedup};
use meshage::forward::delivery::FirstNumbers;
use meshage::forward::fib::Fib;
use meshage::forward::outbound::{Batch, Outbound};
use meshage::forward::plan::plan;
use meshage::forward::plane::{Limits, Plane, Sink};
use meshage::name::{Claim, LinkId};
use meshage::route::{Record, RouteTable};
use meshage::wire::ack::{AckEntry, AckFrame, Verdict};
use meshage::wire::data::{
    Channel, DataFrame, DataHeader, MessageSequence, Target, TargetList, Targets,
};
use meshage::wire::deframe::{Deframer, RawFrame};
use meshage::wire::frame::{FrameKind, PREFIX_BYTES, WireFrame};
use meshage::{Instance, Message, NodeName, Outgoing, Report, SendError};

/// As many messages as one read of a busy link returns.
const BATCH: usize = 64;
/// More than the frames of one batch.
const TAKEN_BYTES: usize = 1 << 20;
const BODY: &[u8] = &[7; 64];
const SMALL_SET: Channel = Channel { broadcast: false, large: false };

/// Nodes `a`, `b`, `c` in a line. Their instances are 1, 2, 3, and a link has its peer's number.
const LINE: [&str; 3] = ["a", "b", "c"];

fn name(text: &str) -> NodeName {
    NodeName::new(text).expect("a valid name")
}

fn routes(me: usize) -> RouteTable {
    let names = LINE.map(name);
    let peers = [vec![Instance(2)], vec![Instance(1), Instance(3)], vec![Instance(2)]];
    let records = names.iter().zip(&peers).zip(1..);
    let records = records.map(|((name, peers), number)| Record {
        name,
        instance: Instance(number),
        claim: Claim::FIRST,
        peers,
    });
    let links = peers[me].iter().map(|&peer| (peer, LinkId(peer.0))).collect();
    RouteTable::compute(&names[me], Instance(me as u64 + 1), records, &links)
}

fn header(to: &str, number: u64) -> DataHeader {
    let sequence = Some(MessageSequence { number, floor: number });
    DataHeader {
        source: name("a"),
        instance: Instance(1),
        id: number,
        channel: SMALL_SET,
        encoding: 0,
        targets: Targets::List(TargetList::from_iter([Target {
            name: name(to),
            sequence,
            oldest: number,
        }])),
        chunk: None,
        route: name("a").into(),
    }
}

/// A frame as a reader passes it on.
fn raw(frame: &WireFrame) -> RawFrame {
    let mut deframer = Deframer::default();
    deframer.buffer().extend_from_slice(&frame.head);
    deframer.buffer().extend_from_slice(&frame.body);
    deframer.next_frame().expect("well-formed").expect("whole")
}

fn planning(criterion: &mut Criterion) {
    let (table, me) = (routes(1), name("b"));
    let relayed = header("c", 1);
    criterion.bench_function("plan/relayed", |bencher| {
        bencher.iter(|| plan(&table, &me, LinkId(1), black_box(&relayed)));
    });
    let delivered = header("b", 1);
    criterion.bench_function("plan/delivered", |bencher| {
        bencher.iter(|| plan(&table, &me, LinkId(1), black_box(&delivered)));
    });
    let flood = Targets::Flood(MessageSequence { number: 1, floor: 1 });
    let channel = Channel { broadcast: true, large: false };
    let broadcast = DataHeader { targets: flood, channel, ..header("b", 1) };
    criterion.bench_function("plan/broadcast", |bencher| {
        bencher.iter(|| plan(&table, &me, LinkId(1), black_box(&broadcast)));
    });
}

fn coding(criterion: &mut Criterion) {
    let frame = DataFrame { header: header("b", 1), body: Bytes::from_static(BODY) };
    criterion.bench_function("encode/data", |bencher| bencher.iter(|| black_box(&frame).encode()));
    let payload = raw(&frame.encode()).payload;
    criterion.bench_function("decode/data", |bencher| {
        bencher.iter(|| DataFrame::decode(black_box(&payload).clone()));
    });
    let acks = AckFrame { entries: [acknowledgement(1)].into_iter().collect() };
    criterion.bench_function("encode/ack", |bencher| bencher.iter(|| black_box(&acks).encode()));
    let wire = acks.encode();
    let payload = &wire.head[PREFIX_BYTES..];
    criterion.bench_function("decode/ack", |bencher| {
        bencher.iter(|| AckFrame::decode(black_box(payload)));
    });
}

fn acknowledgement(next: u64) -> AckEntry {
    AckEntry {
        to: Instance(1),
        from: name("b"),
        by: Some(Instance(2)),
        channel: SMALL_SET,
        verdict: Verdict::Delivered { next },
        hops: 1,
    }
}

fn deduplicating(criterion: &mut Criterion) {
    let (mut dedup, mut number) = (Dedup::default(), 0);
    criterion.bench_function("dedup/next", |bencher| {
        bencher.iter(|| {
            number += 1;
            let sequence = MessageSequence { number, floor: number };
            let source = dedup.source(Instance(1));
            let arrival = source.arrival(SMALL_SET, sequence, number, Some(number));
            assert_eq!(arrival, Arrival::Next);
            source.delivered(SMALL_SET, number);
        });
    });
}

/// Ignores all notifications.
struct NullSink;

impl Sink for NullSink {
    type Completion = ();
    fn complete(&self, completed: &mut Vec<((), Result<Report, SendError>)>) {
        for ((), result) in completed.drain(..) {
            assert!(result.is_ok_and(|report| report.all_delivered()), "it is delivered");
        }
    }
    fn inbox_filled(&self) {}
    fn send_space(&self) {}
    fn snooped(&self, _: Message) {}
    fn deadline_moved(&self) {}
}

/// One end of a link between `a` and `b`.
struct End {
    plane: Plane<NullSink>,
    outbound: Arc<Outbound>,
    peer: LinkId,
    taken: Batch,
}

impl End {
    fn new(me: usize, peer: LinkId, now: Instant) -> Self {
        let limits = Limits { max_message: MAX_MESSAGE, receive_buffer: RECEIVE_BUFFER };
        let first_numbers = FirstNumbers::new([me as u8; 32]);
        let plane =
            Plane::new(name(LINE[me]), Instance(me as u64 + 1), limits, first_numbers, NullSink);
        let outbound = Arc::new(Outbound::default());
        let links = BTreeMap::from([(peer, outbound.clone())]);
        plane.install(Fib::new(Arc::new(routes(me)), links), now);
        Self { plane, outbound, peer, taken: Batch::default() }
    }

    fn send(&self, to: &NodeName, now: Instant) {
        let outgoing = Outgoing::set([to.clone()], Bytes::from_static(BODY));
        assert!(self.plane.send(outgoing, None, (), now).is_ok(), "there is room");
    }

    /// The frames that wait for the link, as the reader at the other end passes them on.
    fn crossing(&mut self) -> Vec<RawFrame> {
        self.outbound.try_take(TAKEN_BYTES, &mut self.taken);
        let mut deframer = Deframer::default();
        for buffer in &self.taken.buffers {
            deframer.buffer().extend_from_slice(&buffer.bytes);
            deframer.buffer().extend_from_slice(&buffer.body);
        }
        self.taken.advance(self.taken.bytes);
        let mut frames = Vec::new();
        while let Ok(Some(frame)) = deframer.next_frame() {
            frames.push(frame);
        }
        frames
    }
}

fn sending(criterion: &mut Criterion) {
    let now = Instant::now();
    let (mut end, to, mut number) = (End::new(0, LinkId(2), now), name("b"), 0);
    criterion.bench_function("outstanding/send and acknowledgement", |bencher| {
        bencher.iter(|| {
            number += 1;
            end.send(&to, now);
            let frame =
                AckFrame { entries: [acknowledgement(number + 1)].into_iter().collect() }.encode();
            let payload = Bytes::copy_from_slice(frame.payload());
            let acks = [RawFrame { kind: Some(FrameKind::Ack), payload }];
            end.plane.receive(end.peer, &acks, now).expect("well-formed");
            end.outbound.try_take(TAKEN_BYTES, &mut end.taken);
            end.taken.advance(end.taken.bytes);
        });
    });
    assert!(end.plane.is_idle(), "every send was acknowledged");
}

fn crossing(criterion: &mut Criterion) {
    let now = Instant::now();
    let (mut a, mut b) = (End::new(0, LinkId(2), now), End::new(1, LinkId(1), now));
    let to = name("b");
    let mut group = criterion.benchmark_group("planes");
    for batch in [1, BATCH] {
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(format!("{batch} sets there and acknowledged"), |bencher| {
            bencher.iter(|| {
                for _ in 0..batch {
                    a.send(&to, now);
                }
                let there = a.crossing();
                b.plane.receive(b.peer, &there, now).expect("well-formed");
                assert_eq!(b.plane.take(batch).0.len(), batch);
                let back = b.crossing();
                a.plane.receive(a.peer, &back, now).expect("well-formed");
            });
        });
    }
    group.finish();
    assert!(a.plane.is_idle(), "every send was acknowledged");
}

criterion_group!(benches, planning, coding, deduplicating, sending, crossing);
criterion_main!(benches);
