//! Control frames that are well-formed, from the bytes of an input, and the kinds of the router's inputs.

use meshage::error::RefuseReason;
use meshage::name::{Claim, Sequence};
use meshage::protocol::io::Input as Event;
use meshage::wire::control::{
    Announcement, ControlFrame, FormerHolder, LISTED_MAX, Listed, RANGES_MAX, Range,
};
use meshage::{Instance, NodeName};

use super::input::Input;
use super::members::{Members, NAMES, OWN_NAME, name};

/// The reasons of a refusal.
const REASONS: [RefuseReason; 9] = [
    RefuseReason::Myself,
    RefuseReason::Duplicate,
    RefuseReason::NameInUse,
    RefuseReason::Full,
    RefuseReason::TooManyLinks,
    RefuseReason::Closing,
    RefuseReason::HungUp,
    RefuseReason::TicketEnded,
    RefuseReason::Revoked,
];

/// Where instances and signatures come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Open or closed: no signatures.
    Plain,
    /// Names are bound to keys.
    Allowed,
    /// And announcements are signed.
    Signed,
}

impl Level {
    pub(crate) const ALL: [Self; 4] = [Self::Plain, Self::Plain, Self::Allowed, Self::Signed];

    /// The instance of the node under test.
    pub(crate) fn own_instance(self) -> Instance {
        match self {
            Self::Plain => Instance(4),
            Self::Allowed | Self::Signed => Members::get().own().instance,
        }
    }

    /// An instance, mostly one of a few.
    pub(crate) fn instance(self, input: &mut Input<'_>) -> Instance {
        match self {
            Self::Plain => Instance(input.number() % if input.flag() { 9 } else { u64::MAX }),
            Self::Allowed | Self::Signed if input.below(8) == 0 => Instance(input.number()),
            Self::Allowed | Self::Signed => Members::get().pick(input).instance,
        }
    }
}

/// The name of another node, or now and then that of the node under test.
pub(crate) fn node_name(input: &mut Input<'_>) -> NodeName {
    match input.below(16) {
        0 => name(OWN_NAME),
        _ => name(input.pick(&NAMES)),
    }
}

/// Some instances, ascending.
fn instances(input: &mut Input<'_>, level: Level, count_max: usize) -> Vec<Instance> {
    let count = input.below(count_max + 1);
    let mut all: Vec<Instance> = (0..count).map(|_| level.instance(input)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn sequence(input: &mut Input<'_>) -> Sequence {
    Sequence(input.number() as u32)
}

/// An announcement. Often it is one that makes its node a neighbour of the node under test.
pub(crate) fn announcement(input: &mut Input<'_>, level: Level) -> Announcement {
    let (name, instance) = (node_name(input), level.instance(input));
    let mut peers = instances(input, level, 6);
    if input.flag() {
        peers.push(level.own_instance());
        peers.sort_unstable();
        peers.dedup();
    }
    let claim = Claim(input.number() as u32);
    let leaving = input.below(12) == 0;
    Announcement { name, instance, sequence: sequence(input), claim, leaving, peers }
}

fn listed(input: &mut Input<'_>, level: Level) -> Vec<Listed> {
    let count_max = if input.below(16) == 0 { LISTED_MAX } else { 5 };
    let instances = instances(input, level, count_max);
    let entry =
        |instance| Listed { instance, sequence: sequence(input), check: input.number() as u32 };
    instances.into_iter().map(entry).collect()
}

/// The first and the last instances of ranges, ascending and without overlap.
fn ranges(input: &mut Input<'_>, level: Level) -> Vec<(Instance, Instance)> {
    if input.flag() {
        return vec![(Instance(0), Instance(u64::MAX))];
    }
    if input.below(32) == 0 {
        let width = u64::MAX / RANGES_MAX as u64;
        let range = |at| (Instance(at * width), Instance((at + 1) * width - 1));
        return (0..RANGES_MAX as u64).map(range).collect();
    }
    let limits = instances(input, level, 8);
    limits.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

/// A frame that a peer may send.
pub(crate) fn frame(input: &mut Input<'_>, level: Level) -> ControlFrame {
    match input.below(18) {
        0 => ControlFrame::Admit { other_link: input.flag() },
        1 => ControlFrame::Refuse { reason: input.pick(&REASONS) },
        2 => ControlFrame::Digest {
            entries: instances(input, level, 8)
                .into_iter()
                .map(|instance| (instance, sequence(input)))
                .collect(),
            last: input.flag(),
        },
        3..7 => announce(input, level),
        7 => ControlFrame::Synced,
        8 => ControlFrame::Leaving,
        9 => {
            let count = input.below(5);
            let entry = |_| FormerHolder {
                name: node_name(input),
                instance: level.instance(input),
                claim: Claim(input.number() as u32),
            };
            ControlFrame::Claims { entries: (0..count).map(entry).collect() }
        }
        10 => {
            let count = input.below(4);
            let entry = |_| match input.below(4) {
                0 => input.bytes(255).to_vec(),
                _ => Members::get().pick(input).revocation.clone(),
            };
            ControlFrame::Revocations { entries: (0..count).map(entry).collect() }
        }
        11 => {
            let ranges = ranges(input, level);
            let range = |(first, last)| Range { first, last, digest: input.number() };
            ControlFrame::Compare { ranges: ranges.into_iter().map(range).collect() }
        }
        12 => {
            let entries = listed(input, level);
            let whole = input.flag();
            let first = entries.first().filter(|_| !whole).map_or(Instance(0), |it| it.instance);
            let last =
                entries.last().filter(|_| !whole).map_or(Instance(u64::MAX), |it| it.instance);
            ControlFrame::Listing { first, last, entries }
        }
        13 => ControlFrame::Request { instances: instances(input, level, LISTED_MAX) },
        14 => ControlFrame::DigestRequest { ranges: ranges(input, level) },
        15 => ControlFrame::Probe,
        16 => ControlFrame::ProbeAnswer,
        _ => ControlFrame::Have { entries: listed(input, level) },
    }
}

/// An announcement as it is sent at this level, or now and then as at another one.
fn announce(input: &mut Input<'_>, level: Level) -> ControlFrame {
    let announcement = announcement(input, level);
    let signed = level == Level::Signed;
    match (level, input.below(16)) {
        (Level::Plain, 1..) | (Level::Allowed | Level::Signed, 0) => {
            ControlFrame::Announce(announcement)
        }
        (Level::Plain, 0) | (Level::Allowed | Level::Signed, 1..) => {
            let frame = Members::get().sign(announcement, signed, input);
            ControlFrame::SignedAnnounce(Box::new(frame))
        }
    }
}

/// The kind of an input, for the feedback.
pub(crate) fn kind(event: &Event) -> &'static str {
    match event {
        Event::LinkUp { .. } => "link up",
        Event::LinkDown { .. } => "link down",
        Event::Control { frame, .. } => match frame {
            ControlFrame::Admit { .. } => "admit",
            ControlFrame::Refuse { .. } => "refuse",
            ControlFrame::Digest { .. } => "digest",
            ControlFrame::Announce(_) => "announce",
            ControlFrame::Synced => "synced",
            ControlFrame::Leaving => "leaving",
            ControlFrame::Claims { .. } => "claims",
            ControlFrame::SignedAnnounce(_) => "signed announce",
            ControlFrame::Revocations { .. } => "revocations",
            ControlFrame::Compare { .. } => "compare",
            ControlFrame::Listing { .. } => "listing",
            ControlFrame::Request { .. } => "request",
            ControlFrame::DigestRequest { .. } => "digest request",
            ControlFrame::Probe => "probe",
            ControlFrame::ProbeAnswer => "probe answer",
            ControlFrame::Have { .. } => "have",
        },
        Event::BytesReceived { .. } => "bytes received",
        Event::Solicited { .. } => "solicited",
        Event::SolicitationUnsent { .. } => "solicitation unsent",
        Event::NetworkChanged => "network changed",
        Event::WallClock(_) => "wall clock",
        Event::DialFailed { .. } => "dial failed",
        Event::Denied { .. } => "denied",
        Event::Command(_) => "command",
    }
}
