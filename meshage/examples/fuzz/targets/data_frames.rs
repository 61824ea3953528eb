//! Data and acknowledgement frames that are well-formed, from the bytes of an input, and the state
//! of the sources that would send them.

use std::collections::BTreeMap;

use bytes::Bytes;
use meshage::name::Names;
use meshage::wire::ack::{ACK_ENTRIES_MAX, AckEntry, AckFrame, Refusal, Verdict};
use meshage::wire::data::{
    CHUNK_BYTES, Channel, Chunk, DataFrame, DataHeader, HOP_LIMIT, MessageSequence, Target,
    TargetList, Targets,
};
use meshage::wire::deframe::RawFrame;
use meshage::wire::frame::{FrameKind, WireFrame};
use meshage::{Instance, NodeName};

use super::input::Input;
use super::members::{NAMES, OWN_NAME, name};

/// The instance of the node under test.
pub(crate) const OWN_INSTANCE: Instance = Instance(99);
/// What is added to the instance of a node for another node of the same name.
const NAMESAKE: u64 = 10;
/// The lengths of bodies.
const BODY_LENGTHS: [usize; 6] = [0, 1, 16, 1000, 5000, CHUNK_BYTES];
const REFUSALS: [Refusal; 5] =
    [Refusal::Busy, Refusal::Early, Refusal::NoRoute, Refusal::TooLarge, Refusal::Stale];

/// The instance of the node at this place in [`NAMES`].
pub(crate) fn instance_at(place: usize) -> Instance {
    Instance(place as u64 + 1)
}

/// The instance of a node of this name.
pub(crate) fn instance_of(node: &NodeName) -> Instance {
    let place = NAMES.iter().position(|name| *name == node.as_str());
    place.map_or(OWN_INSTANCE, instance_at)
}

/// A body of zeros of one of some lengths.
pub(crate) fn body(input: &mut Input<'_>) -> Bytes {
    vec![0; input.pick(&BODY_LENGTHS)].into()
}

pub(crate) fn channel(input: &mut Input<'_>) -> Channel {
    Channel { broadcast: input.flag(), large: input.below(4) == 0 }
}

/// A frame as a deframer returns it.
pub(crate) fn raw(frame: &WireFrame) -> RawFrame {
    let payload = [frame.payload(), &frame.body[..]].concat().into();
    RawFrame { kind: Some(frame.kind()), payload }
}

/// A frame of any bytes and any kind.
pub(crate) fn any_frame(input: &mut Input<'_>) -> RawFrame {
    let kind = FrameKind::from_number(input.below(6) as u8);
    RawFrame { kind, payload: Bytes::copy_from_slice(input.bytes(255)) }
}

/// The channels of other nodes to the node under test.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// The number that follows the last one, of each channel.
    next: BTreeMap<(Instance, usize), u64>,
    /// Of each large channel, the part of its body that was sent.
    sent: BTreeMap<(Instance, usize), Chunk>,
    ids: u64,
}

impl Sources {
    /// The node under test accepts this number next.
    pub(crate) fn expected(&mut self, entry: &AckEntry) {
        if let Verdict::Delivered { next } = entry.verdict {
            self.next.insert((entry.to, entry.channel.index()), next);
        }
    }

    /// The header of a message or of a chunk with a body of `body` bytes.
    pub(crate) fn header(&mut self, input: &mut Input<'_>, body: usize) -> DataHeader {
        let source = name(input.pick(&NAMES));
        let instance = match input.below(16) {
            0 => Instance(instance_of(&source).0 + NAMESAKE),
            1 => Instance(input.number()),
            _ => instance_of(&source),
        };
        let channel = channel(input);
        self.ids += 1;
        let id = if input.below(8) == 0 { input.number() } else { self.ids };
        let key = (instance, channel.index());
        let chunk = channel.large.then(|| self.chunk(key, input, body));
        let sequence = self.sequence(key, input);
        let targets = match channel.broadcast && input.below(4) > 0 {
            true => Targets::Flood(sequence),
            false => Targets::List(targets(input, sequence)),
        };
        let hops = if input.below(32) == 0 { HOP_LIMIT - 1 } else { input.below(3) };
        let mut route = Names::new();
        route.push(source.clone());
        (0..hops).for_each(|_| route.push(name(input.pick(&NAMES))));
        let encoding = u32::from(input.byte());
        DataHeader { source, instance, id, channel, encoding, targets, chunk, route }
    }

    /// Mostly the number that comes next, sometimes the last one again, one too early, or any.
    fn sequence(&mut self, key: (Instance, usize), input: &mut Input<'_>) -> MessageSequence {
        let next = self.next.entry(key).or_insert(1);
        let number = match input.below(12) {
            0 => next.saturating_sub(1),
            1 => next.saturating_add(1),
            2 => input.number(),
            3 => *next,
            _ => {
                let number = *next;
                *next = next.saturating_add(1);
                number
            }
        };
        let floor = match input.below(4) {
            0 => number.saturating_sub(input.number()),
            1 => number,
            _ => number.saturating_sub(1),
        };
        MessageSequence { number, floor }
    }

    /// The next chunk of a body, the first one of another, or one that fits nowhere.
    fn chunk(&mut self, key: (Instance, usize), input: &mut Input<'_>, body: usize) -> Chunk {
        let body = body as u64;
        let chunk = match (self.sent.get(&key), input.below(8)) {
            (Some(sent), 0..6) => Chunk { offset: sent.offset, total: sent.total },
            (_, 0..7) => {
                let total = match input.below(4) {
                    0 => body.saturating_add(input.number()),
                    more => body * (more as u64 + 1),
                };
                Chunk { offset: 0, total }
            }
            _ => Chunk { offset: input.number(), total: input.number() },
        };
        self.sent.insert(key, Chunk { offset: chunk.offset.saturating_add(body), ..chunk });
        chunk
    }

    /// A message or a chunk.
    pub(crate) fn data(&mut self, input: &mut Input<'_>) -> DataFrame {
        let body = body(input);
        DataFrame { header: self.header(input, body.len()), body }
    }
}

fn targets(input: &mut Input<'_>, sequence: MessageSequence) -> TargetList {
    let mut list = TargetList::new();
    for _ in 0..1 + input.below(4) {
        let target = match input.below(4) {
            0 | 1 => name(OWN_NAME),
            _ => name(input.pick(&NAMES)),
        };
        let sequence = (input.below(8) > 0).then_some(sequence);
        list.push(Target { name: target, sequence, oldest: input.number() });
    }
    list
}

/// An acknowledgement or a query that another node may send.
fn ack_entry(input: &mut Input<'_>) -> AckEntry {
    let from = name(input.pick(&NAMES));
    let to = match input.below(4) {
        0 => instance_at(input.below(NAMES.len())),
        _ => OWN_INSTANCE,
    };
    let by = (input.below(4) > 0).then(|| instance_of(&from));
    let verdict = match input.below(8) {
        0..3 => Verdict::Delivered { next: input.number() },
        3 | 4 => Verdict::Refused { number: input.number(), refusal: input.pick(&REFUSALS) },
        5 => Verdict::Progress { number: input.number(), received: input.number() },
        6 => match input.flag() {
            true => Verdict::Ready,
            false => Verdict::Query,
        },
        _ => Verdict::Restart { claimed: input.number(), limit: input.number() },
    };
    let hops = if input.below(16) == 0 { input.byte() } else { 0 };
    AckEntry { to, from, by, channel: channel(input), verdict, hops }
}

/// A frame of acknowledgements.
pub(crate) fn ack_frame(input: &mut Input<'_>) -> AckFrame {
    let count = if input.below(64) == 0 { ACK_ENTRIES_MAX } else { 1 + input.below(3) };
    AckFrame { entries: (0..count).map(|_| ack_entry(input)).collect() }
}

/// What the recipient of a message answers: mostly that it has it.
pub(crate) fn answer(
    input: &mut Input<'_>,
    frame: &DataFrame,
    recipient: &NodeName,
    number: u64,
) -> AckEntry {
    let received = frame.header.chunk.map_or(0, |chunk| chunk.offset + frame.body.len() as u64);
    let is_whole = frame.header.chunk.is_none_or(|chunk| received == chunk.total);
    let verdict = match input.below(8) {
        0 => Verdict::Refused { number, refusal: input.pick(&REFUSALS) },
        1 => Verdict::Ready,
        _ if is_whole => Verdict::Delivered { next: number + 1 },
        _ => Verdict::Progress { number, received },
    };
    AckEntry {
        to: OWN_INSTANCE,
        from: recipient.clone(),
        by: Some(instance_of(recipient)),
        channel: frame.header.channel,
        verdict,
        hops: 0,
    }
}
