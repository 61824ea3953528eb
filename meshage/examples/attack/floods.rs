//! The floods: each is a sequence of writes that a peer repeats, and that costs the node work.

use std::io;

use bytes::Bytes;
use meshage::Instance;
use meshage::name::{Claim, NodeName, Sequence};
use meshage::wire::ack::{AckEntry, AckFrame, Refusal, Verdict};
use meshage::wire::control::{Announcement, ControlFrame, FormerHolder};
use meshage::wire::data::{
    CHUNK_BYTES, Channel, Chunk, DataFrame, DataHeader, MessageSequence, Target, Targets,
};
use meshage::wire::frame::WireFrame;
use smallvec::SmallVec;

use super::peer::RawPeer;

/// The first sequence number on the ring, with room above it.
const SEQUENCE_FIRST: u32 = 1000;
/// A number that no source reaches.
const FAR: u64 = 1 << 62;
/// The instance that takes the name of another node.
const TAKER: Instance = Instance(4242);
/// As many entries as an acknowledgement frame may have.
const ENTRIES: usize = meshage::wire::ack::ACK_ENTRIES_MAX;

/// What a peer floods a node with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flood {
    /// Messages to 80 recipients that do not exist: each is refused.
    UnknownRecipients,
    /// Refusals to the node for messages that it did not send.
    Refusals,
    /// Refusals to another node, which this one forwards.
    RefusalsForwarded,
    /// Queries, which the node answers.
    Queries,
    /// Queries in the name of another node, which gets the answers.
    QueriesForOthers,
    /// Announcements of nodes that do not exist, each with 256 peers that do not exist.
    InventedNodes,
    /// Announcements of the peer itself, each with other peers.
    OwnAnnouncements,
    /// Announcements in the name of another node.
    ForgedAnnouncements,
    /// Announcements in the name of the node itself, which it corrects.
    ForgedOwn,
    /// Names of failed nodes that do not exist.
    Claims,
    /// Keep-alives, the shortest frames.
    KeepAlives,
    /// Valid messages to another node, in order, as fast as they are accepted.
    Messages,
    /// Valid messages to the node itself, whose application takes none.
    Unread,
    /// Messages in the name of another node, with numbers and floors that it never reaches.
    ForgedSources,
    /// Acknowledgements in the name of another node, for messages that the node did not send to it.
    ForgedAcks,
    /// The peer's own acknowledgements of messages that were never sent to it.
    UnsentAcks,
    /// Messages of the peer itself, with numbers far ahead of their floor.
    SequenceJumps,
    /// The first chunks of large bodies that are never completed, or claim to be longer than any.
    LyingBodies,
    /// Announcements of a node that does not exist, with the name of another one and a higher claim.
    TakenNames,
}

impl Flood {
    /// Every flood.
    pub(super) const ALL: [Self; 19] = [
        Self::UnknownRecipients,
        Self::Refusals,
        Self::RefusalsForwarded,
        Self::Queries,
        Self::QueriesForOthers,
        Self::InventedNodes,
        Self::OwnAnnouncements,
        Self::ForgedAnnouncements,
        Self::ForgedOwn,
        Self::Claims,
        Self::KeepAlives,
        Self::Messages,
        Self::Unread,
        Self::ForgedSources,
        Self::ForgedAcks,
        Self::UnsentAcks,
        Self::SequenceJumps,
        Self::LyingBodies,
        Self::TakenNames,
    ];

    /// Its name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::UnknownRecipients => "unknown-recipients",
            Self::Refusals => "refusals",
            Self::RefusalsForwarded => "refusals-forwarded",
            Self::Queries => "queries",
            Self::QueriesForOthers => "queries-for-others",
            Self::InventedNodes => "invented-nodes",
            Self::OwnAnnouncements => "own-announcements",
            Self::ForgedAnnouncements => "forged-announcements",
            Self::ForgedOwn => "forged-own",
            Self::Claims => "claims",
            Self::KeepAlives => "keep-alives",
            Self::Messages => "messages",
            Self::Unread => "unread",
            Self::ForgedSources => "forged-sources",
            Self::ForgedAcks => "forged-acks",
            Self::UnsentAcks => "unsent-acks",
            Self::SequenceJumps => "sequence-jumps",
            Self::LyingBodies => "lying-bodies",
            Self::TakenNames => "taken-names",
        }
    }

    /// The number of frames in one write, so that a write has about 16 KiB.
    fn frames_per_write(self) -> u64 {
        match self {
            Self::UnknownRecipients | Self::InventedNodes | Self::OwnAnnouncements => 8,
            Self::Refusals | Self::RefusalsForwarded => 4,
            Self::Queries | Self::QueriesForOthers => 4,
            Self::ForgedAnnouncements | Self::ForgedOwn => 8,
            Self::Claims => 1,
            Self::KeepAlives => 3000,
            Self::Messages | Self::Unread => 64,
            Self::ForgedSources | Self::SequenceJumps => 64,
            Self::ForgedAcks | Self::UnsentAcks => 4,
            Self::LyingBodies => 1,
            Self::TakenNames => 8,
        }
    }

    /// The bytes of one write, and the number of frames in them. `sent` frames were sent before.
    ///
    /// # Errors
    /// A name is not valid.
    pub(super) fn write(
        self,
        peer: &RawPeer,
        other: &Announcement,
        sent: u64,
    ) -> io::Result<(Vec<u8>, u64)> {
        let mut bytes = Vec::new();
        let count = self.frames_per_write();
        for number in sent..sent + count {
            let frame = self.frame(peer, other, number)?;
            bytes.extend_from_slice(&frame.head);
            bytes.extend_from_slice(&frame.body);
        }
        Ok((bytes, count))
    }

    fn frame(self, peer: &RawPeer, other: &Announcement, number: u64) -> io::Result<WireFrame> {
        let (node, victim) = (&peer.node.name, peer.node.instance);
        Ok(match self {
            Self::UnknownRecipients => {
                let targets: io::Result<Vec<Target>> =
                    (0..80).map(|at| Ok(target(name(&format!("u{at}"))?, number + 1))).collect();
                data(own(peer), number, Targets::List(targets?.into()))
            }
            Self::Refusals => {
                let refused = Verdict::Refused { number: number + 1, refusal: Refusal::Busy };
                acks(victim, &other.name, Some(other.instance), refused)
            }
            Self::RefusalsForwarded => {
                let refused = Verdict::Refused { number: number + 1, refusal: Refusal::Busy };
                acks(other.instance, node, Some(victim), refused)
            }
            Self::Queries => acks(victim, &peer.name, Some(peer.instance), Verdict::Query),
            Self::QueriesForOthers => {
                acks(victim, &other.name, Some(other.instance), Verdict::Query)
            }
            Self::InventedNodes => {
                let instance = 1_000_000 * (number + 1);
                let peers = (1..=255).map(|at| Instance(instance + at)).collect();
                announce(
                    peer,
                    name(&format!("i{number}"))?,
                    Instance(instance),
                    SEQUENCE_FIRST,
                    peers,
                )
            }
            Self::OwnAnnouncements => {
                let mut peers: Vec<Instance> =
                    (1..=200).map(|at| Instance(1_000 * (number % 1000) + at)).collect();
                peers.push(victim);
                peers.sort_unstable();
                peers.dedup();
                let sequence = SEQUENCE_FIRST + number as u32;
                announce(peer, peer.name.clone(), peer.instance, sequence, peers)
            }
            Self::ForgedAnnouncements => {
                let sequence = other.sequence.0.max(SEQUENCE_FIRST) + number as u32;
                let peers = if number.is_multiple_of(2) { vec![] } else { other.peers.clone() };
                announce(peer, other.name.clone(), other.instance, sequence, peers)
            }
            Self::ForgedOwn => {
                let sequence = SEQUENCE_FIRST + number as u32 * 3;
                announce(peer, node.clone(), victim, sequence, vec![])
            }
            Self::Claims => {
                let entries: io::Result<Vec<FormerHolder>> = (0..512)
                    .map(|at| {
                        let number = number * 512 + at;
                        let (name, instance) = (name(&format!("f{number}"))?, Instance(number));
                        Ok(FormerHolder { name, instance, claim: Claim(2) })
                    })
                    .collect();
                ControlFrame::Claims { entries: entries? }.encode()
            }
            Self::KeepAlives => WireFrame::keep_alive(),
            Self::Messages => {
                let target = target(other.name.clone(), number + 1);
                data(own(peer), number, Targets::List([target].into_iter().collect()))
            }
            Self::Unread => {
                let target = target(node.clone(), number + 1);
                data(own(peer), number, Targets::List([target].into_iter().collect()))
            }
            Self::ForgedSources => {
                let number = FAR + number;
                let target = target(node.clone(), number);
                let source = (&other.name, other.instance);
                data(source, number, Targets::List([target].into_iter().collect()))
            }
            Self::ForgedAcks => {
                let delivered = Verdict::Delivered { next: FAR };
                acks(victim, &other.name, Some(other.instance), delivered)
            }
            Self::UnsentAcks => {
                let refused = Verdict::Refused { number: FAR, refusal: Refusal::TooLarge };
                acks(victim, &peer.name, Some(peer.instance), refused)
            }
            Self::SequenceJumps => {
                let sequence = MessageSequence { number: FAR + 3 * number, floor: 1 };
                let name = node.clone();
                let target = Target { name, sequence: Some(sequence), oldest: 1 };
                data(own(peer), number, Targets::List([target].into_iter().collect()))
            }
            Self::LyingBodies => {
                let target = target(node.clone(), number + 1);
                let total = if number.is_multiple_of(2) { 16 << 20 } else { 1 << 60 };
                let header = DataHeader {
                    channel: Channel { broadcast: false, large: true },
                    chunk: Some(Chunk { offset: 0, total }),
                    ..header(own(peer), number, Targets::List([target].into_iter().collect()))
                };
                DataFrame { header, body: Bytes::from(vec![0; CHUNK_BYTES]) }.encode()
            }
            Self::TakenNames if number.is_multiple_of(2) => {
                let mut peers = vec![victim, TAKER];
                peers.sort_unstable();
                let sequence = SEQUENCE_FIRST + number as u32;
                announce(peer, peer.name.clone(), peer.instance, sequence, peers)
            }
            Self::TakenNames => {
                let announcement = Announcement {
                    name: other.name.clone(),
                    instance: TAKER,
                    sequence: Sequence(SEQUENCE_FIRST + number as u32),
                    claim: Claim(1000),
                    leaving: false,
                    peers: vec![peer.instance],
                };
                peer.member.announce(announcement).encode()
            }
        })
    }
}

fn name(text: &str) -> io::Result<NodeName> {
    NodeName::new(text).map_err(io::Error::other)
}

fn target(name: NodeName, number: u64) -> Target {
    // The source waits for nothing below: a message that was refused is not sent again.
    Target { name, sequence: Some(MessageSequence { number, floor: number }), oldest: number }
}

/// A source: its name and instance.
type Source<'a> = (&'a NodeName, Instance);

fn own(peer: &RawPeer) -> Source<'_> {
    (&peer.name, peer.instance)
}

/// A small message.
fn data(source: Source<'_>, number: u64, targets: Targets) -> WireFrame {
    let header = header(source, number, targets);
    DataFrame { header, body: Bytes::from_static(b"flood") }.encode()
}

fn header(source: Source<'_>, number: u64, targets: Targets) -> DataHeader {
    DataHeader {
        source: source.0.clone(),
        instance: source.1,
        id: number + 1,
        channel: Channel::ALL[0],
        encoding: 0,
        targets,
        chunk: None,
        route: [source.0.clone()].into_iter().collect(),
    }
}

/// A full frame of the same acknowledgement.
fn acks(to: Instance, from: &NodeName, by: Option<Instance>, verdict: Verdict) -> WireFrame {
    let entry = AckEntry { to, from: from.clone(), by, channel: Channel::ALL[0], verdict, hops: 0 };
    let entries: SmallVec<[AckEntry; 1]> = std::iter::repeat_n(entry, ENTRIES).collect();
    AckFrame { entries }.encode()
}

fn announce(
    peer: &RawPeer,
    name: NodeName,
    instance: Instance,
    sequence: u32,
    peers: Vec<Instance>,
) -> WireFrame {
    let announcement = Announcement {
        name,
        instance,
        sequence: Sequence(sequence),
        claim: Claim::FIRST,
        leaving: false,
        peers,
    };
    peer.member.announce(announcement).encode()
}
