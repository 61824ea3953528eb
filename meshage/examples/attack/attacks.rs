//! The list of attacks: in which meshes each is tried, and which counters must count it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use meshage::wire::control::Announcement;

use super::floods::Flood;
use super::mesh::{Mesh, Mode, Pass, REMOVED_KEY, STRANGE_KEY};
use super::peer::RawPeer;
use super::{datagrams, strangers};

/// The name of the hostile peer: the least one, so that it admits its links first.
pub(super) const ATTACKER: &str = "Attacker";
/// The name of a hostile peer whose ticket was revoked.
pub(super) const REVOKED: &str = "Revoked";
/// The honest node in whose name others speak.
pub(super) const OTHER: &str = "c";
/// The pause after a connection that the node refused: others get their turn.
const PAUSE: Duration = Duration::from_millis(1);

/// What is attacked, and with how much.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) mesh: Mesh,
    /// Where the node listens.
    pub(super) address: SocketAddr,
    /// Where it receives datagrams.
    pub(super) datagrams: SocketAddr,
    /// The number of connections that are open at the same time, where an attack has many.
    pub(super) connections: u32,
}

/// What an attack did.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    /// How often it tried: connections, datagrams or frames.
    pub(super) tries: u64,
    /// How often the node closed the connection.
    pub(super) closed: u64,
}

/// Whether an attack goes on.
pub(super) type Continues<'a> = &'a dyn Fn() -> bool;

/// An attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attack {
    /// Connections that send nothing.
    Idle,
    /// Connections that send a byte a second.
    Drip,
    /// Random bytes.
    Garbage,
    /// The first half of a valid message, then the end of the connection.
    Truncated,
    /// Lengths and numbers of keys in the first bytes that are not true.
    LyingLengths,
    /// Connections that begin and end as fast as one processor can.
    HandshakeFlood,
    /// The recorded messages of a valid handshake.
    ReplayedHandshakes,
    /// Another key, under its own id and under that of the mesh.
    WrongKey,
    /// A key that the node has removed.
    RemovedKey,
    /// Connections and datagrams in clear to a closed node.
    Plaintext,
    /// Sealed connections and datagrams to an open node.
    Sealed,
    /// Datagrams that are no solicitations, as fast as possible.
    GarbageDatagrams,
    /// Solicitations of nodes that do not exist, as fast as possible.
    Solicitations,
    /// Datagrams under another key, and altered ones.
    ForgedDatagrams,
    /// A valid datagram again and again.
    ReplayedDatagrams,
    /// A ticket that has ended.
    EndedTicket,
    /// A ticket that was revoked.
    RevokedTicket,
    /// A ticket of another root.
    ForeignTicket,
    /// No ticket.
    NoTicket,
    /// The name of an honest node, with the key and the own ticket.
    OthersName,
    /// Frames longer than the limit, of a peer.
    OversizedFrames,
    /// A peer that causes answers and reads none.
    NeverReads,
    /// A peer that floods the node.
    Flood(Flood),
}

impl Attack {
    /// Every attack.
    pub(super) fn all() -> Vec<Self> {
        let mut all = vec![
            Self::Idle,
            Self::Drip,
            Self::Garbage,
            Self::Truncated,
            Self::LyingLengths,
            Self::HandshakeFlood,
            Self::ReplayedHandshakes,
            Self::WrongKey,
            Self::RemovedKey,
            Self::Plaintext,
            Self::Sealed,
            Self::GarbageDatagrams,
            Self::Solicitations,
            Self::ForgedDatagrams,
            Self::ReplayedDatagrams,
            Self::EndedTicket,
            Self::RevokedTicket,
            Self::ForeignTicket,
            Self::NoTicket,
            Self::OthersName,
            Self::OversizedFrames,
            Self::NeverReads,
        ];
        all.extend(Flood::ALL.map(Self::Flood));
        all
    }

    /// Its name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Drip => "drip",
            Self::Garbage => "garbage",
            Self::Truncated => "truncated",
            Self::LyingLengths => "lying-lengths",
            Self::HandshakeFlood => "handshake-flood",
            Self::ReplayedHandshakes => "replayed-handshakes",
            Self::WrongKey => "wrong-key",
            Self::RemovedKey => "removed-key",
            Self::Plaintext => "plaintext",
            Self::Sealed => "sealed",
            Self::GarbageDatagrams => "garbage-datagrams",
            Self::Solicitations => "solicitations",
            Self::ForgedDatagrams => "forged-datagrams",
            Self::ReplayedDatagrams => "replayed-datagrams",
            Self::EndedTicket => "ended-ticket",
            Self::RevokedTicket => "revoked-ticket",
            Self::ForeignTicket => "foreign-ticket",
            Self::NoTicket => "no-ticket",
            Self::OthersName => "others-name",
            Self::OversizedFrames => "oversized-frames",
            Self::NeverReads => "never-reads",
            Self::Flood(flood) => flood.name(),
        }
    }

    /// The attack of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|attack| attack.name() == name)
    }

    /// Whether it needs no key.
    pub(super) fn is_of_stranger(self) -> bool {
        match self {
            Self::Idle
            | Self::Drip
            | Self::Garbage
            | Self::Truncated
            | Self::LyingLengths
            | Self::HandshakeFlood
            | Self::ReplayedHandshakes
            | Self::WrongKey
            | Self::RemovedKey
            | Self::Plaintext
            | Self::Sealed
            | Self::GarbageDatagrams
            | Self::ForgedDatagrams
            | Self::ReplayedDatagrams => true,
            Self::Solicitations
            | Self::EndedTicket
            | Self::RevokedTicket
            | Self::ForeignTicket
            | Self::NoTicket
            | Self::OthersName
            | Self::OversizedFrames
            | Self::NeverReads
            | Self::Flood(_) => false,
        }
    }

    /// The counters that grow on the honest nodes if the attack is tried on such a mesh. None: it is
    /// not tried, because it means nothing there, or because such a mesh does not withstand it.
    pub(super) fn counted(self, mode: Mode) -> Option<&'static [&'static str]> {
        let (closed, binds) = (mode.is_closed(), mode.binds_names());
        // The levels above do not differ from level closed until the preface has been exchanged.
        if self.is_of_stranger() && binds {
            return None;
        }
        match self {
            Self::Idle | Self::Drip => Some(&["net_handshakes_evicted"]),
            Self::Garbage | Self::Truncated | Self::LyingLengths => {
                Some(&["net_handshakes_failed"])
            }
            Self::HandshakeFlood if closed => Some(&["denied_no_common_key"]),
            Self::HandshakeFlood => Some(&["net_handshakes_failed"]),
            Self::ReplayedHandshakes => closed.then_some(&["denied_not_authentic"]),
            Self::WrongKey => closed.then_some(&["denied_no_common_key", "denied_not_authentic"]),
            Self::RemovedKey => closed.then_some(&["denied_no_common_key"]),
            Self::Plaintext => closed.then_some(&["denied_plaintext", "net_in_datagrams_plain"]),
            Self::Sealed => (!closed).then_some(&["denied_sealed", "net_in_datagrams_sealed"]),
            Self::GarbageDatagrams => Some(&["net_in_datagrams_malformed"]),
            Self::Solicitations => (!binds).then_some(&["solicitations_limited"]),
            Self::ForgedDatagrams => {
                closed.then_some(&["net_in_datagrams_forged", "net_in_datagrams_unknown_key"])
            }
            Self::ReplayedDatagrams => closed.then_some(&["net_in_datagrams_replayed"]),
            Self::EndedTicket | Self::RevokedTicket | Self::ForeignTicket => {
                binds.then_some(&["denied_ticket"])
            }
            Self::NoTicket => binds.then_some(&["denied_not_allowed"]),
            Self::OthersName if binds => Some(&["denied_ticket"]),
            Self::OthersName => Some(&["links_refused"]),
            Self::OversizedFrames => (!binds).then_some(&["net_breaches"]),
            Self::NeverReads => (!binds).then_some(&["net_links_paused"]),
            Self::Flood(flood) => counted_flood(flood, mode),
        }
    }

    /// Whether it is a load: frames that a correct node might send, too, as fast as a processor can.
    /// Such a peer gets its share of the processor, so the times of others are not judged.
    pub(super) fn is_load(self) -> bool {
        matches!(
            self,
            Self::Flood(
                Flood::KeepAlives
                    | Flood::Messages
                    | Flood::Unread
                    | Flood::SequenceJumps
                    | Flood::LyingBodies
            )
        )
    }

    /// Attacks until it may not go on.
    ///
    /// # Errors
    /// A socket cannot be used, or the node accepted what it must refuse.
    pub(super) fn run(self, target: &Target, goes_on: Continues<'_>) -> io::Result<Tally> {
        let refused = |name: &str, pass| -> io::Result<Tally> {
            let member = target.mesh.hostile(name, pass)?;
            strangers::refused(target, &member, goes_on)
        };
        match self {
            Self::Idle => strangers::idle(target, goes_on),
            Self::Drip => strangers::drip(target, goes_on),
            Self::Garbage => strangers::garbage(target, goes_on),
            Self::Truncated => strangers::truncated(target, goes_on),
            Self::LyingLengths => strangers::lying_lengths(target, goes_on),
            Self::HandshakeFlood => strangers::handshakes(target, goes_on),
            Self::ReplayedHandshakes => strangers::replayed_handshakes(target, goes_on),
            Self::WrongKey => strangers::keys(target, STRANGE_KEY, goes_on),
            Self::RemovedKey => strangers::keys(target, REMOVED_KEY, goes_on),
            Self::Plaintext => strangers::plaintext(target, goes_on),
            Self::Sealed => strangers::sealed(target, goes_on),
            Self::GarbageDatagrams => datagrams::garbage(target, goes_on),
            Self::Solicitations => datagrams::solicitations(target, goes_on),
            Self::ForgedDatagrams => datagrams::forged(target, goes_on),
            Self::ReplayedDatagrams => datagrams::replayed(target, goes_on),
            Self::EndedTicket => refused(ATTACKER, Pass::Ended),
            Self::RevokedTicket => refused(REVOKED, Pass::Revoked),
            Self::ForeignTicket => refused(ATTACKER, Pass::Foreign),
            Self::NoTicket => refused(ATTACKER, Pass::Missing),
            Self::OthersName if target.mesh.mode.binds_names() => {
                let mut member = target.mesh.hostile(ATTACKER, Pass::Valid)?;
                member.name = meshage::NodeName::new(OTHER).map_err(io::Error::other)?;
                strangers::refused(target, &member, goes_on)
            }
            Self::OthersName => others_name(target, goes_on),
            Self::OversizedFrames => oversized(target, goes_on),
            Self::NeverReads => flood(target, Flood::Queries, false, goes_on),
            Self::Flood(kind) => flood(target, kind, true, goes_on),
        }
    }
}

/// The counters of a flood. Messages in order are no attack but a load, which nothing refuses.
fn counted_flood(flood: Flood, mode: Mode) -> Option<&'static [&'static str]> {
    let counters: &'static [&'static str] = match (flood, mode) {
        (
            Flood::InventedNodes | Flood::ForgedAnnouncements | Flood::TakenNames,
            Mode::Allowed | Mode::Signed,
        )
        | (Flood::ForgedOwn, Mode::Signed) => &["announcements_forged"],
        // Only names that are bound to keys are kept from a member that claims them.
        (Flood::TakenNames, Mode::Open | Mode::Closed) => return None,
        (
            Flood::InventedNodes | Flood::OwnAnnouncements | Flood::ForgedAnnouncements,
            Mode::Open | Mode::Closed,
        ) => &["announcements_postponed"],
        (Flood::ForgedOwn, Mode::Open | Mode::Closed | Mode::Allowed) => &["announcements_limited"],
        // The others do not depend on names.
        (_, Mode::Allowed | Mode::Signed) => return None,
        (
            Flood::UnknownRecipients
            | Flood::Refusals
            | Flood::RefusalsForwarded
            | Flood::Queries
            | Flood::QueriesForOthers,
            Mode::Open | Mode::Closed,
        ) => &["net_links_paused"],
        (Flood::Claims, Mode::Open | Mode::Closed) => &["claims_limited"],
        (Flood::KeepAlives | Flood::Messages, Mode::Open | Mode::Closed) => &[],
        (Flood::Unread, Mode::Open | Mode::Closed) => &["messages_refused_busy"],
        (Flood::LyingBodies, Mode::Open | Mode::Closed) => &["messages_refused_too_large"],
        (Flood::ForgedSources, Mode::Open | Mode::Closed) => &["messages_doubtful"],
        (Flood::ForgedAcks, Mode::Open | Mode::Closed) => &["net_links_paused"],
        (Flood::UnsentAcks, Mode::Open | Mode::Closed) => &["acks_not_recipient"],
        (Flood::SequenceJumps, Mode::Open | Mode::Closed) => &["messages_refused_early"],
    };
    Some(counters)
}

/// Joins, and returns the peer with the announcement of the honest node.
fn join(target: &Target) -> io::Result<(RawPeer, Announcement)> {
    let member = target.mesh.hostile(ATTACKER, Pass::Valid)?;
    let mut peer = RawPeer::connect(&target.address.to_string(), &member)?;
    let known = peer.join()?;
    let other = known.into_iter().find(|node| node.name.as_str() == OTHER);
    Ok((peer, other.ok_or_else(|| io::Error::other("the honest node is not known"))?))
}

/// Joins and floods, and joins anew after the node has closed the link.
fn flood(target: &Target, flood: Flood, reads: bool, goes_on: Continues<'_>) -> io::Result<Tally> {
    let mut tally = Tally::default();
    // The first link must be made: otherwise nothing is tried.
    let mut joined = Some(join(target)?);
    while goes_on() {
        let Some((mut peer, other)) = joined.take().or_else(|| join(target).ok()) else {
            std::thread::sleep(PAUSE);
            continue;
        };
        if reads {
            peer.discard_arrivals()?;
        } else {
            // Otherwise a write would wait for as long as the node does not read.
            peer.stream.set_write_timeout(Some(Duration::from_millis(100)))?;
        }
        let mut sent = 0;
        while goes_on() {
            let (bytes, frames) = flood.write(&peer, &other, sent)?;
            match peer.send_bytes(&bytes) {
                Ok(()) => sent += frames,
                // A part of a write that timed out was sent: the link is of no use any more.
                Err(error) => {
                    tally.closed += u64::from(error.kind() != io::ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        tally.tries += sent;
        if !reads {
            // The connection stays open, and is not read.
            while goes_on() && peer.send(&meshage::wire::frame::WireFrame::keep_alive()).is_ok() {
                std::thread::sleep(100 * PAUSE);
            }
        }
    }
    Ok(tally)
}

/// Frames that claim more bytes than a frame may have.
fn oversized(target: &Target, goes_on: Continues<'_>) -> io::Result<Tally> {
    let mut tally = Tally::default();
    while goes_on() {
        let Ok((mut peer, _)) = join(target) else {
            std::thread::sleep(PAUSE);
            continue;
        };
        let length = [u32::MAX, meshage::wire::frame::FRAME_BYTES_MAX as u32 + 1, 0];
        let length = length[tally.tries as usize % 3];
        tally.tries += 1;
        let sent = peer.send_bytes(&length.to_le_bytes());
        let closed = sent.and_then(|()| std::io::copy(&mut peer.stream, &mut std::io::sink()));
        tally.closed += u64::from(closed.is_ok());
    }
    Ok(tally)
}

/// Joins in the name of a node that is there.
fn others_name(target: &Target, goes_on: Continues<'_>) -> io::Result<Tally> {
    let member = target.mesh.hostile(OTHER, Pass::Valid)?;
    let mut tally = Tally::default();
    while goes_on() {
        tally.tries += 1;
        let mut peer = RawPeer::connect(&target.address.to_string(), &member)?;
        match peer.join() {
            Ok(_) => return Err(io::Error::other("two nodes have one name")),
            Err(_) => tally.closed += 1,
        }
    }
    Ok(tally)
}
