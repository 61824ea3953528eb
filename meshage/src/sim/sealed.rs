//! Closed hosts: their keys, their handshakes, the records of their links, and their datagrams.
//!
//! It drives `secure` as the driver over sockets does, with the random numbers of the seed. What
//! travels in a pipe between two closed hosts is sealed.
//!
//! ```text
//!  read ──► Handshake ──► link up          frames ──► Sealer ──► pipe ──► Opener ──► frames
//!              └─► denied: the routers of both ends are informed         ring, switch ──► Rotation
//! ```

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::error::DialError;
use crate::event::LinkEnd;
use crate::name::LinkId;
use crate::protocol::io::{Command, Input};
use crate::secure::datagram::{self, DatagramError, Now, ReplayWindow};
use crate::secure::handshake::{Context, HandshakeError, StaticKey};
use crate::secure::preface::{self, HEADER_BYTES, Header, Preface};
use crate::secure::rotation::{Rotation, Step};
use crate::secure::seal::Opened;
use crate::secure::{
    AuthError, Cipher, Handshake, Identity, Key, KeyId, KeyRing, Opener, Refusal, Sealer, Secured,
    UnixMillis,
};
use crate::wire::hello::Purpose;
use crate::wire::solicitation::Solicitation;

use super::connection::{ConnectionId, Segment, Side, State};
use super::event::SimEvent;
use super::network::HostId;
use super::rng::SimRng;
use super::simulation::{PORT, Sim};

/// The time of day at which a simulation begins.
const BEGIN: UnixMillis = UnixMillis(1_700_000_000_000);
/// The share of datagrams, per thousand, that someone records and sends again later.
const REPLAYED_PERMILLE: u32 = 100;
/// When they are sent again at the latest: some of them so late that they are too old.
const REPLAYED_WITHIN: Duration = Duration::from_secs(60);
/// For how long a handshake may go on, a stop of one end before its time limit included.
const HANDSHAKE_LASTS: Duration = Duration::from_secs(15);
/// The share of messages of handshakes, per thousand, that arrive in two segments.
const SPLIT_PERMILLE: u32 = 200;

/// The security of one incarnation of a closed node.
#[derive(Debug)]
pub(super) struct NodeSecurity {
    pub(super) context: Arc<Context>,
    window: ReplayWindow,
    /// Every datagram that was accepted.
    accepted: std::collections::BTreeSet<Arc<[u8]>>,
}

impl NodeSecurity {
    pub(super) fn new(ring: KeyRing, rng: &mut SimRng) -> Self {
        let cipher = if rng.permille(500) { Cipher::AesGcm } else { Cipher::ChaChaPoly };
        let context = Context {
            ring,
            policy: Arc::default(),
            cipher,
            identity: Arc::new(Identity::from_seed(&rng.seed())),
            ticket: None,
            static_key: Arc::new(StaticKey::new(&mut |bytes| rng.fill(bytes))),
        };
        Self {
            context: Arc::new(context),
            window: ReplayWindow::new(datagram::CLOCK_SKEW),
            accepted: Default::default(),
        }
    }
}

/// A handshake in progress.
#[derive(Debug)]
pub(super) struct Sealing {
    handshake: Handshake,
    /// The ids of the keys that the other end is told.
    announced: Vec<KeyId>,
    collected: Vec<u8>,
}

/// The keys of one end of a sealed link.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) sealer: Sealer,
    pub(super) opener: Opener,
    rotation: Rotation,
    /// When the link was made.
    pub(super) made_at: Duration,
    /// Bytes that do not make a record yet.
    pub(super) unopened: Vec<u8>,
    /// When the next step of the rotation is due.
    step_at: Option<Duration>,
}

/// A datagram on its way.
#[derive(Debug, Clone)]
pub(super) enum SimDatagram {
    Plain(Arc<Solicitation>),
    Sealed(Arc<[u8]>),
}

impl Sim {
    // ---- keys -------------------------------------------------------------------------------

    /// The ids of the keys of a host, the primary one first; none if it is open.
    pub fn key_ids(&self, host_id: HostId) -> Vec<KeyId> {
        self.hosts[host_id.0].ring.as_ref().map(KeyRing::ids).unwrap_or_default()
    }

    /// Gives a host other keys, as an operator does that changes its key file.
    ///
    /// # Panics
    /// If the host is open, or the keys make no ring, which is an error of the test.
    pub fn set_keys(&mut self, host_id: HostId, keys: &[Key]) {
        #[expect(clippy::expect_used, reason = "keys that make no ring are an error of the test")]
        let ring = KeyRing::new(keys.iter().cloned()).expect("one to eight keys");
        let host = &mut self.hosts[host_id.0];
        assert!(host.ring.is_some(), "an open host stays open");
        let ids = ring.ids();
        self.trace_hash.line(self.now, || format!("keys {} {ids:?}", host_id.0));
        host.keys_ever.extend(ids);
        host.ring = Some(ring.clone());
        host.keys_changed_at = self.now;
        self.label_meshes();
        let Some(incarnation) = &mut self.hosts[host_id.0].incarnation else {
            return;
        };
        if let Some(security) = &mut incarnation.security {
            security.context = Arc::new(Context { ring, ..Context::clone(&security.context) });
        }
        for (id, side) in incarnation.open.clone() {
            self.rotate(id, side);
        }
        self.command(host_id, Command::KeysChanged);
    }

    /// The time of day according to a host.
    fn unix_millis(&self, host_id: HostId) -> UnixMillis {
        let ahead = self.hosts[host_id.0].spec.clock_ahead;
        UnixMillis(BEGIN.0 + (self.now + ahead).as_millis() as u64)
    }

    // ---- handshakes -------------------------------------------------------------------------

    /// Starts the exchange of hellos at one end.
    pub(super) fn begin_hello(&mut self, id: ConnectionId, side: Side, purpose: Purpose) {
        let end = self.connections[id.0].end_mut(side);
        let Some(incarnation) = &self.hosts[end.host_id.0].incarnation else {
            panic!("invariant S1: an open end belongs to an incarnation");
        };
        let hello = incarnation.router.hello(purpose);
        let Some(security) = &incarnation.security else {
            end.state = State::Hello(Vec::new());
            return self.put_bytes(id, side, vec![hello.encode().into()]);
        };
        let context = security.context.clone();
        let announced = context.ring.ids();
        let rng = &mut self.secure_rng;
        let mut handshake = match side {
            Side::Dialler => Handshake::dial(context, hello, &mut |bytes| rng.fill(bytes)),
            Side::Listener => Handshake::listen(context, hello),
        };
        let output = handshake.take_output();
        let sealing = Sealing { handshake, announced, collected: Vec::new() };
        end.state = State::Sealing(Box::new(sealing));
        self.put_split(id, side, output);
    }

    pub(super) fn read_handshake(&mut self, id: ConnectionId, side: Side, buffers: &[Bytes]) {
        let host_id = self.connections[id.0].end(side).host_id;
        let now = self.unix_millis(host_id);
        let rng = &mut self.secure_rng;
        let State::Sealing(sealing) = &mut self.connections[id.0].end_mut(side).state else {
            return;
        };
        let Sealing { handshake, announced, collected } = &mut **sealing;
        buffers.iter().for_each(|buffer| collected.extend_from_slice(buffer));
        let mut result = Ok(None);
        while let Ok(None) = result {
            let wanted = handshake.wanted();
            if collected.len() < wanted {
                break;
            }
            let bytes: Vec<u8> = collected.drain(..wanted).collect();
            result = handshake.receive(&bytes, now, &mut |bytes| rng.fill(bytes));
        }
        let output = handshake.take_output();
        let (announced, unopened) = match result {
            Ok(None) => Default::default(),
            Ok(Some(_)) | Err(_) => (std::mem::take(announced), std::mem::take(collected)),
        };
        self.put_split(id, side, output);
        match result {
            Ok(None) => {}
            Ok(Some(Secured { sealer, opener, peer })) => {
                let key = sealer.key_id();
                let rotation = Rotation::new(announced, peer.ring, key, key, self.instant());
                let sealed = Sealed {
                    sealer,
                    opener,
                    rotation,
                    made_at: self.now,
                    unopened: Vec::new(),
                    step_at: None,
                };
                self.link_up(id, side, peer.hello, &[], Some(Box::new(sealed)));
                // The keys may have changed since the handshake began.
                self.rotate(id, side);
                self.open_records(host_id, id, side, &[unopened.into()]);
            }
            Err(HandshakeError::Auth(error)) => self.deny(id, side, error),
            Err(HandshakeError::Wire(error)) => {
                panic!("invariant S8: a node's handshake is refused: {error}")
            }
        }
    }

    /// An open end: the key ids in the preface of a closed one, if that is what has arrived. Closes
    /// the connection then. Returns whether the bytes are a preface.
    pub(super) fn read_foreign_preface(&mut self, id: ConnectionId, side: Side) -> bool {
        let State::Hello(collected) = &self.connections[id.0].end(side).state else {
            return false;
        };
        if !collected.starts_with(&preface::MAGIC) {
            return false;
        }
        let decode = |error| panic!("invariant S8: a node's preface is refused: {error}");
        let Some((header, rest)) = collected.split_first_chunk::<HEADER_BYTES>() else {
            return true;
        };
        let header = Header::decode(header).unwrap_or_else(decode);
        let Some(rest) = rest.get(..header.rest_bytes()) else {
            return true;
        };
        let decode = |error| panic!("invariant S8: a node's preface is refused: {error}");
        let heard = Preface::decode(header, rest).unwrap_or_else(decode).ids;
        self.deny(id, side, AuthError::PeerIsClosed { heard });
        true
    }

    /// Ends a handshake in which one end turned the other one away.
    fn deny(&mut self, id: ConnectionId, side: Side, error: AuthError) {
        let connection = &self.connections[id.0];
        let (own, other) = (connection.end(side).host_id, connection.end(side.other()).host_id);
        // A handshake goes on under the keys with which it began.
        let changing = [own, other].into_iter().any(|host_id| {
            let host = &self.hosts[host_id.0];
            self.now < host.keys_changed_at.max(host.continued_at) + HANDSHAKE_LASTS
        });
        assert!(
            changing || !self.are_of_one_mesh(own, other),
            "invariant S18: hosts {} and {} have a key in common, and one denies the other: {error}",
            own.0,
            other.0
        );
        self.counters.denials += 1;
        self.put(id, side, Segment::Fin);
        let from = std::net::SocketAddr::new(other.ip(), PORT);
        let dialled = side == Side::Dialler;
        self.feed(own, Input::Denied { from, dialled, error: error.clone() });
        self.end_without_link(id, side, DialError::Auth(error));
    }

    /// Queues bytes that may arrive in two segments.
    fn put_split(&mut self, id: ConnectionId, side: Side, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        self.trace_hash.bytes(&bytes);
        let mut bytes = Bytes::from(bytes);
        if bytes.len() > 1 && self.secure_rng.permille(SPLIT_PERMILLE) {
            let first = bytes.split_to(1 + self.secure_rng.index(bytes.len() - 1));
            self.put_bytes(id, side, vec![first]);
        }
        self.put_bytes(id, side, vec![bytes]);
    }

    // ---- links ------------------------------------------------------------------------------

    /// Seals what one write gathers.
    pub(super) fn seal(&mut self, id: ConnectionId, side: Side, buffers: Vec<Bytes>) -> Vec<Bytes> {
        let Some(sealed) = &mut self.connections[id.0].end_mut(side).sealed else {
            return buffers;
        };
        let mut output = Vec::new();
        let slices: Vec<IoSlice<'_>> = buffers.iter().map(|buffer| IoSlice::new(buffer)).collect();
        sealed.sealer.seal_frames(&slices, usize::MAX, &mut output);
        self.check_hidden(&buffers, &output);
        self.trace_hash.bytes(&output);
        vec![output.into()]
    }

    /// Opens the records that have arrived on a link.
    pub(super) fn open_records(
        &mut self,
        host_id: HostId,
        id: ConnectionId,
        side: Side,
        buffers: &[Bytes],
    ) {
        if let Some(sealed) = &mut self.connections[id.0].end_mut(side).sealed {
            buffers.iter().for_each(|buffer| sealed.unopened.extend_from_slice(buffer));
        }
        loop {
            let Some(ring) = &self.hosts[host_id.0].ring else { return };
            let end = self.connections[id.0].end_mut(side);
            let (State::Link { link, .. }, Some(sealed)) = (&end.state, &mut end.sealed) else {
                return;
            };
            let link = *link;
            let (opened, length) = match sealed.opener.open(&mut sealed.unopened, ring) {
                Ok(Some(opened)) => opened,
                Ok(None) => return,
                // The key was removed while the record was on its way.
                Err(error @ AuthError::NoCommonKey { .. }) => {
                    return self.end_sealed(id, side, link, error);
                }
                Err(error) => panic!("invariant S8: a node's record is refused: {error}"),
            };
            let record: Vec<u8> = sealed.unopened.drain(..length).collect();
            match opened {
                Opened::Frames(range) => {
                    let frames = Bytes::from(record).slice(range);
                    self.read_frames_of(host_id, id, side, vec![frames]);
                }
                Opened::Ring(ids) => {
                    sealed.rotation.set_peer_ring(ids);
                    self.rotate(id, side);
                }
                Opened::Switched(key) => {
                    sealed.rotation.set_receiving(key);
                    self.counters.key_switches += 1;
                    self.rotate(id, side);
                }
                Opened::Rekeyed => {}
                Opened::Refused(refusal) => {
                    return self.end_sealed(id, side, link, AuthError::RefusedByPeer(refusal));
                }
                Opened::Hello(_) | Opened::Unknown => {
                    panic!("invariant S8: a node sent a record of a wrong kind")
                }
            }
        }
    }

    /// Moves a link to the current keys, as far as the other end has them.
    pub(super) fn rotate(&mut self, id: ConnectionId, side: Side) {
        let now = self.instant();
        let end = self.connections[id.0].end_mut(side);
        let Some(ring) = self.hosts[end.host_id.0].ring.clone() else { return };
        let (State::Link { link, .. }, Some(sealed)) = (&end.state, &mut end.sealed) else {
            return;
        };
        let (link, sealer) = (*link, &mut sealed.sealer);
        let (mut output, mut closed) = (Vec::new(), None);
        for step in sealed.rotation.steps(&ring, now) {
            match step {
                Step::Announce => sealer.seal_ring(&ring, &mut output),
                Step::Switch(key) => sealer.switch(&key, &mut output),
                Step::Rekey => sealer.rekey(&mut output),
                Step::Close(error) => {
                    sealer.seal_refusal(Refusal::KeyRemoved, &mut output);
                    closed = Some(error);
                }
            }
        }
        let step_at = Self::since_epoch(sealed.rotation.next_step_at());
        if sealed.step_at != Some(step_at) {
            sealed.step_at = Some(step_at);
            self.schedule(step_at, SimEvent::KeyStep { connection: id, side });
        }
        self.put_split(id, side, output);
        if let Some(error) = closed {
            self.end_sealed(id, side, link, error);
        }
    }

    /// A step of a link's rotation is due.
    pub(super) fn key_step(&mut self, id: ConnectionId, side: Side) {
        let end = self.connections[id.0].end(side);
        let host_id = end.host_id;
        let due = |sealed: &Sealed| sealed.step_at.is_some_and(|at| at <= self.now);
        if !end.sealed.as_deref().is_some_and(due) {
            return;
        }
        if self.hosts[host_id.0].state == super::node::HostState::Stopped {
            return self.defer(host_id, SimEvent::KeyStep { connection: id, side });
        }
        self.rotate(id, side);
        self.settle(host_id);
    }

    /// Ends a link whose two ends have no key in common any more.
    fn end_sealed(&mut self, id: ConnectionId, side: Side, link: LinkId, error: AuthError) {
        let host_id = self.connections[id.0].end(side).host_id;
        self.counters.links_outdated += 1;
        self.put(id, side, Segment::Fin);
        self.link_down(host_id, link, LinkEnd::Auth(error));
    }

    // ---- datagrams --------------------------------------------------------------------------

    /// Sends a solicitation to every host.
    pub(super) fn solicit(&mut self, from: HostId, solicitation: &Solicitation) {
        let wanted = solicitation.wanted;
        self.trace_hash.line(self.now, || format!("solicit {} wants {wanted}", from.0));
        self.counters.hosts[from.0].datagrams += 1;
        let now = self.unix_millis(from);
        let datagram = match &self.hosts[from.0].ring {
            Some(ring) => {
                let rng = &mut self.secure_rng;
                let random = &mut |bytes: &mut [u8]| rng.fill(bytes);
                let bytes = datagram::seal(solicitation, ring.primary(), now, random);
                self.check_hidden(&[solicitation.encode().into()], &bytes);
                self.trace_hash.bytes(&bytes);
                SimDatagram::Sealed(bytes.into())
            }
            None => {
                let bytes = solicitation.encode();
                self.trace_hash.bytes(&bytes);
                match Solicitation::decode(&bytes) {
                    Ok(decoded) => SimDatagram::Plain(Arc::new(decoded)),
                    Err(error) => {
                        panic!("invariant S8: a node's datagram does not decode: {error}")
                    }
                }
            }
        };
        for to in self.hosts() {
            if !self.network.reaches(from, to) || (from != to && self.network.drops_datagram()) {
                continue;
            }
            let at = self.now + self.network.delay(from, to);
            for late in self.network.datagram_delays() {
                let datagram = datagram.clone();
                self.schedule(at + late, SimEvent::Datagram { from, to, datagram });
            }
            if let SimDatagram::Sealed(_) = datagram
                && self.secure_rng.permille(REPLAYED_PERMILLE)
            {
                let at = at + self.secure_rng.time(Duration::ZERO..REPLAYED_WITHIN);
                self.schedule(at, SimEvent::Datagram { from, to, datagram: datagram.clone() });
            }
        }
    }

    /// What a node does with a datagram that has arrived.
    pub(super) fn open_datagram(&mut self, to: HostId, datagram: SimDatagram) -> Opening {
        let now = Now { unix: self.unix_millis(to), monotonic: self.instant() };
        let host = &mut self.hosts[to.0];
        let security =
            host.incarnation.as_mut().and_then(|incarnation| incarnation.security.as_mut());
        let (bytes, security) = match (datagram, security) {
            (SimDatagram::Plain(solicitation), None) => {
                return Opening::Solicited(Arc::unwrap_or_clone(solicitation));
            }
            (SimDatagram::Sealed(bytes), Some(security)) => (bytes, security),
            (SimDatagram::Plain(_), Some(_)) | (SimDatagram::Sealed(_), None) => {
                return Opening::Dropped;
            }
        };
        let ring = &security.context.ring;
        match datagram::open(&bytes, ring, &mut security.window, now) {
            Ok(solicitation) => {
                let is_new = security.accepted.insert(bytes);
                assert!(is_new, "invariant S18: a datagram was accepted twice: {solicitation:?}");
                Opening::Solicited(solicitation)
            }
            Err(DatagramError::UnknownKey(id)) => {
                Opening::Denied(AuthError::NoCommonKey { own: ring.ids(), heard: vec![id] })
            }
            Err(DatagramError::Replayed | DatagramError::Skewed) => {
                self.counters.datagrams_replayed += 1;
                Opening::Dropped
            }
            Err(
                error @ (DatagramError::Plain
                | DatagramError::Malformed(_)
                | DatagramError::NotAuthentic
                | DatagramError::WindowFull),
            ) => panic!("invariant S8: a node's datagram is refused: {error:?}"),
        }
    }
}

/// The result of opening a datagram.
#[derive(Debug)]
pub(super) enum Opening {
    Solicited(Solicitation),
    /// It is sealed under a key that the node does not have.
    Denied(AuthError),
    Dropped,
}
