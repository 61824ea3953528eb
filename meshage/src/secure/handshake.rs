//! The handshake of a sealed link.
//!
//! ```text
//!  dialler                                              listener
//!     │ ── preface (dial): key ids, a proof for each ──────► │  checks the proof: one hash
//!     │ ◄───────────── preface (answer): key, cipher, proof ─┤  otherwise declines
//!     ├─── Noise 1, and a proof over all before it ────────► │  checks the proof: one hash
//!     │ ◄──────────────────────────────────────── Noise 2 ── ┤
//!     ├─── Noise 3 ────────────────────────────────────────► │
//!     ├─── first record: hello, identity, ticket ──────────► │  checks who it is
//!     │ ◄─────────── first record: hello, identity, ticket ─ ┤  or a record with a refusal
//! ```
//!
//! A listener computes no key agreement for a stranger, nor for recorded messages: the proof with
//! the first Noise message covers the nonce that the listener has just chosen. Each end signs its
//! name, its instance, its static key and the hash of the whole handshake with its identity.
//!
//! The caller reads exactly [`Handshake::wanted`] bytes, passes them to [`Handshake::receive`], and
//! sends what [`Handshake::take_output`] returns, also after an error: the other end then learns the
//! reason.

use std::sync::Arc;

use bincode::{Decode, Encode};

use super::cipher::Cipher;
use super::error::{AuthError, Refusal};
use super::identity::{Identity, PublicKey, SIGNATURE_BYTES};
use super::key::{KEY_BYTES, Key, KeyId, MAC_BYTES, Use, equal_macs};
use super::key_ring::{KEYS_MAX, KeyRing};
use super::noise::{self, FIRST_BYTES, HASH_BYTES, LinkKeys, Noise, SECOND_BYTES, THIRD_BYTES};
use super::policy::{Grant, Policy};
use super::preface::{self, HEADER_BYTES, Header, Kind, NONCE_BYTES, Preface};
use super::seal::{LENGTH_BYTES, Opened, Opener, Sealer};
use super::ticket::TICKET_BYTES_MAX;
use super::{Secret, UnixMillis};
use crate::wire::hello::{self, Hello};
use crate::wire::{WireError, codec};

/// The bytes of the magic, by which a listener recognises an open node.
pub(crate) const MAGIC_BYTES: usize = 4;
/// The most bytes of a first record: a hello, an identity and a ticket take 1,800.
const FIRST_RECORD_BYTES_MAX: usize = 4096;

/// A source of random bytes: the system's, or the simulator's.
pub type Entropy<'a> = &'a mut dyn FnMut(&mut [u8]);

/// What a node brings into every handshake.
#[derive(Debug, Clone)]
pub struct Context {
    /// Its pre-shared keys.
    pub ring: KeyRing,
    /// Who may be its peer.
    pub policy: Arc<Policy>,
    /// The cipher that it does faster.
    pub cipher: Cipher,
    /// Its identity.
    pub identity: Arc<Identity>,
    /// Its ticket.
    pub ticket: Option<Arc<[u8]>>,
    /// Its key for key agreements, made at its start.
    pub static_key: Arc<StaticKey>,
}

/// The key of a node for key agreements.
pub struct StaticKey(Secret);

impl StaticKey {
    /// A key of random bytes.
    pub fn new(entropy: Entropy<'_>) -> Self {
        Self(random(entropy))
    }
}

impl std::fmt::Debug for StaticKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StaticKey")
    }
}

/// A complete handshake.
#[derive(Debug)]
pub struct Secured {
    /// Seals what this end sends.
    pub sealer: Sealer,
    /// Opens what the other end sends.
    pub opener: Opener,
    /// The other end.
    pub peer: Peer,
}

/// What the other end of a sealed link has proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its hello.
    pub hello: Hello,
    /// Its public key.
    pub public_key: PublicKey,
    /// What its name is based on.
    pub grant: Grant,
    /// Its ticket, if it showed one.
    pub ticket: Option<Arc<[u8]>>,
    /// The ids of the pre-shared keys that it accepts, its primary one first.
    pub ring: Vec<KeyId>,
}

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandshakeError {
    /// The other end is not who it must be, or this node is not for it.
    Auth(AuthError),
    /// The other end uses another protocol, another version, or sent bytes that do not decode.
    Wire(WireError),
}

impl From<AuthError> for HandshakeError {
    fn from(error: AuthError) -> Self {
        Self::Auth(error)
    }
}

impl From<WireError> for HandshakeError {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl From<noise::Failed> for HandshakeError {
    fn from(_: noise::Failed) -> Self {
        Self::Auth(AuthError::NotAuthentic("a message of the handshake"))
    }
}

/// The contents of the first record of each end.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct Introduction {
    hello: Hello,
    public_key: PublicKey,
    signature: [u8; SIGNATURE_BYTES],
    ring: Vec<[u8; 8]>,
    ticket: Option<Vec<u8>>,
}

/// What the handshake waits for.
enum State {
    /// The magic of a preface.
    Magic,
    /// The rest of the header.
    Header,
    /// The rest of the preface.
    Preface(Header),
    /// The listener: the first Noise message, with its proof.
    First(Begun),
    /// The dialler: the second Noise message.
    Second(Agreement),
    /// The listener: the third Noise message.
    Third(Agreement),
    /// The length of the other end's first record.
    RecordLength(Established),
    /// The rest of it.
    Record(Established, [u8; LENGTH_BYTES]),
    /// Complete, or failed.
    Ended,
}

/// How far the other end of a handshake has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It has proven nothing, or the handshake has ended.
    Silent,
    /// Its preface has a proof of a key. The preface may be a recorded one.
    KeyNamed,
    /// It has proven in this handshake that it has a key.
    KeyProven,
}

/// Both prefaces are known.
struct Begun {
    prologue: Vec<u8>,
    key: Key,
    cipher: Cipher,
}

/// A key agreement has begun.
struct Agreement {
    noise: Noise,
    key: Key,
    cipher: Cipher,
}

/// All keys are known.
struct Established {
    sealer: Sealer,
    opener: Opener,
    hash: [u8; HASH_BYTES],
    remote_static: [u8; KEY_BYTES],
}

/// One end of a handshake.
pub struct Handshake {
    context: Arc<Context>,
    hello: Hello,
    /// Whether this is the dialling end.
    dials: bool,
    /// Its preface, until the answer to it arrives.
    dial: Option<Preface>,
    state: State,
    /// The start of the header.
    magic: [u8; MAGIC_BYTES],
    output: Vec<u8>,
}

impl Handshake {
    /// The handshake of the dialling end. Its first output is there at once.
    pub fn dial(context: Arc<Context>, hello: Hello, entropy: Entropy<'_>) -> Self {
        let nonce = nonce(entropy);
        let level = context.policy.level();
        let dial = Preface::dial(&context.ring, level, context.cipher, nonce);
        let output = dial.bytes().to_vec();
        let dial = Some(dial);
        let (state, magic) = (State::Magic, [0; MAGIC_BYTES]);
        Self { context, hello, dials: true, dial, state, magic, output }
    }

    /// The handshake of the listening end.
    pub fn listen(context: Arc<Context>, hello: Hello) -> Self {
        let (state, magic) = (State::Magic, [0; MAGIC_BYTES]);
        Self { context, hello, dials: false, dial: None, state, magic, output: Vec::new() }
    }

    /// How many bytes it waits for.
    pub fn wanted(&self) -> usize {
        match &self.state {
            State::Magic => MAGIC_BYTES,
            State::Header => HEADER_BYTES - MAGIC_BYTES,
            State::Preface(header) => header.rest_bytes(),
            State::First(_) => FIRST_BYTES + MAC_BYTES,
            State::Second(_) => SECOND_BYTES,
            State::Third(_) => THIRD_BYTES,
            State::RecordLength(_) => LENGTH_BYTES,
            State::Record(_, length) => usize::from(u16::from_le_bytes(*length)),
            State::Ended => 0,
        }
    }

    /// How far the other end has come.
    pub fn stage(&self) -> Stage {
        match &self.state {
            State::First(_) => Stage::KeyNamed,
            State::Second(_) | State::Third(_) => Stage::KeyProven,
            State::RecordLength(_) | State::Record(..) => Stage::KeyProven,
            State::Magic | State::Header | State::Preface(_) | State::Ended => Stage::Silent,
        }
    }

    /// The bytes to send now, also after an error.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Takes exactly the wanted bytes. Returns the link once the other end has proven itself.
    ///
    /// # Errors
    /// [`HandshakeError`]: close the connection after the output is sent.
    pub fn receive(
        &mut self,
        bytes: &[u8],
        now: UnixMillis,
        entropy: Entropy<'_>,
    ) -> Result<Option<Secured>, HandshakeError> {
        let state = std::mem::replace(&mut self.state, State::Ended);
        self.state = match state {
            State::Magic => self.receive_magic(bytes, entropy)?,
            State::Header => self.receive_header(bytes)?,
            State::Preface(header) => {
                let preface = Preface::decode(header, bytes)?;
                match self.dial.take() {
                    Some(dial) => self.receive_answer(&dial, &preface, entropy)?,
                    None => self.receive_dial(&preface, entropy)?,
                }
            }
            State::First(begun) => self.receive_first(begun, bytes, entropy)?,
            State::Second(mut agreement) => {
                agreement.noise.read(bytes)?;
                self.output.extend(agreement.noise.write::<THIRD_BYTES>()?);
                let mut established = establish(agreement, true)?;
                self.introduce(&mut established);
                State::RecordLength(established)
            }
            State::Third(mut agreement) => {
                agreement.noise.read(bytes)?;
                State::RecordLength(establish(agreement, false)?)
            }
            State::RecordLength(established) => {
                let length = bytes.try_into().map_err(|_| WireError::new("a record"))?;
                if usize::from(u16::from_le_bytes(length)) > FIRST_RECORD_BYTES_MAX {
                    return Err(WireError::new("a first record that is too long").into());
                }
                State::Record(established, length)
            }
            State::Record(established, length) => {
                return self.receive_record(established, length, bytes, now).map(Some);
            }
            State::Ended => return Err(WireError::new("bytes after the handshake").into()),
        };
        Ok(None)
    }

    fn receive_magic(
        &mut self,
        bytes: &[u8],
        entropy: Entropy<'_>,
    ) -> Result<State, HandshakeError> {
        if bytes == hello::MAGIC {
            if !self.dials {
                self.decline(entropy);
            }
            return Err(AuthError::PeerIsOpen.into());
        }
        self.magic = bytes
            .try_into()
            .ok()
            .filter(|magic| *magic == preface::MAGIC)
            .ok_or_else(|| WireError::new("it does not use the mesh protocol"))?;
        Ok(State::Header)
    }

    fn receive_header(&mut self, bytes: &[u8]) -> Result<State, HandshakeError> {
        let mut header = [0; HEADER_BYTES];
        header[..MAGIC_BYTES].copy_from_slice(&self.magic);
        let rest = &mut header[MAGIC_BYTES..];
        if bytes.len() != rest.len() {
            return Err(WireError::new("a preface of another length").into());
        }
        rest.copy_from_slice(bytes);
        let header = Header::decode(&header)?;
        if self.dials == (header.kind == Kind::Dial) {
            return Err(WireError::new("a preface of the wrong end").into());
        }
        Ok(State::Preface(header))
    }

    /// The listener: the dialler's preface.
    fn receive_dial(
        &mut self,
        dial: &Preface,
        entropy: Entropy<'_>,
    ) -> Result<State, HandshakeError> {
        let context = self.context.clone();
        let own = context.policy.level();
        let key = match dial.choose_key(&context.ring) {
            Ok(key) if dial.header.level == own => key.clone(),
            Ok(_) => {
                self.decline(entropy);
                return Err(AuthError::Level { own, heard: dial.header.level }.into());
            }
            Err(error) => {
                if let AuthError::NoCommonKey { .. } = error {
                    self.decline(entropy);
                }
                return Err(error.into());
            }
        };
        let cipher = context.cipher.agreed(dial.header.cipher);
        let answer = Preface::answer(dial, &key, own, cipher, nonce(entropy));
        self.output.extend(answer.bytes());
        Ok(State::First(Begun { prologue: prologue(dial, &answer), key, cipher }))
    }

    fn decline(&mut self, entropy: Entropy<'_>) {
        let (ring, cipher) = (&self.context.ring, self.context.cipher);
        let decline = Preface::decline(ring, self.context.policy.level(), cipher, nonce(entropy));
        self.output.extend(decline.bytes());
    }

    /// The dialler: the listener's preface.
    fn receive_answer(
        &mut self,
        dial: &Preface,
        answer: &Preface,
        entropy: Entropy<'_>,
    ) -> Result<State, HandshakeError> {
        let own = dial.header.level;
        if answer.header.level != own {
            return Err(AuthError::Level { own, heard: answer.header.level }.into());
        }
        if answer.header.kind == Kind::Decline {
            let heard = answer.ids.clone();
            return Err(AuthError::NoCommonKey { own: self.context.ring.ids(), heard }.into());
        }
        let key = answer.chosen_key(dial, &self.context.ring)?.clone();
        let begun = Begun { prologue: prologue(dial, answer), key, cipher: answer.header.cipher };
        let mut noise = self.noise(&begun, true, entropy)?;
        let first = noise.write::<FIRST_BYTES>()?;
        self.output.extend(first);
        self.output.extend(begin_proof(&begun, &first));
        Ok(State::Second(Agreement { noise, key: begun.key, cipher: begun.cipher }))
    }

    /// The listener: the first Noise message.
    fn receive_first(
        &mut self,
        begun: Begun,
        bytes: &[u8],
        entropy: Entropy<'_>,
    ) -> Result<State, HandshakeError> {
        let (first, proof) = bytes
            .split_last_chunk::<MAC_BYTES>()
            .ok_or_else(|| WireError::new("a message of another length"))?;
        if !equal_macs(proof, &begin_proof(&begun, first)) {
            return Err(AuthError::NotAuthentic("the first message of the handshake").into());
        }
        let mut noise = self.noise(&begun, false, entropy)?;
        noise.read(first)?;
        self.output.extend(noise.write::<SECOND_BYTES>()?);
        Ok(State::Third(Agreement { noise, key: begun.key, cipher: begun.cipher }))
    }

    fn noise(
        &self,
        begun: &Begun,
        dials: bool,
        entropy: Entropy<'_>,
    ) -> Result<Noise, noise::Failed> {
        // The library that keeps it during the handshake does not erase it, so it is a key for this
        // handshake alone.
        let pre_shared = begun.key.derive(Use::Handshake, &[&begun.prologue]);
        let static_key = &self.context.static_key.0;
        let cipher = begun.cipher;
        Noise::new(dials, cipher, &begun.prologue, &pre_shared, static_key, random(entropy))
    }

    /// The other end's first record.
    fn receive_record(
        &mut self,
        mut established: Established,
        length: [u8; LENGTH_BYTES],
        bytes: &[u8],
        now: UnixMillis,
    ) -> Result<Secured, HandshakeError> {
        let mut record = [&length, bytes].concat();
        let introduction = match established.opener.open(&mut record, &self.context.ring)? {
            Some((Opened::Hello(range), _)) => codec::decode::<Introduction>(&record[range])?,
            Some((Opened::Refused(refusal), _)) => {
                return Err(AuthError::RefusedByPeer(refusal).into());
            }
            _ => return Err(WireError::new("a first record of the wrong kind").into()),
        };
        let peer = match self.verify(introduction, &established, now) {
            Ok(peer) => peer,
            Err(error) => {
                let refusal = match &error {
                    HandshakeError::Auth(error) => error.refusal(),
                    HandshakeError::Wire(_) => Refusal::Identity,
                };
                established.sealer.seal_refusal(refusal, &mut self.output);
                return Err(error);
            }
        };
        if !self.dials {
            // The dialler has introduced itself with the last message of the key agreement.
            self.introduce(&mut established);
        }
        let Established { sealer, opener, .. } = established;
        Ok(Secured { sealer, opener, peer })
    }

    /// Seals the first record of this end.
    fn introduce(&mut self, established: &mut Established) {
        let own_static = noise::public_of(&self.context.static_key.0);
        let signed = signed_text(&self.hello, self.dials, &own_static, &established.hash);
        let introduction = Introduction {
            hello: self.hello.clone(),
            public_key: self.context.identity.public_key(),
            signature: self.context.identity.sign(&signed),
            ring: self.context.ring.ids().into_iter().map(|id| id.0).collect(),
            ticket: self.context.ticket.as_deref().map(<[u8]>::to_vec),
        };
        let mut bytes = Vec::new();
        codec::encode(&introduction, &mut bytes);
        established.sealer.seal_hello(&bytes, &mut self.output);
    }

    /// Checks who the other end is.
    fn verify(
        &self,
        introduction: Introduction,
        established: &Established,
        now: UnixMillis,
    ) -> Result<Peer, HandshakeError> {
        let Introduction { hello, public_key, signature, ring, ticket } = introduction;
        hello.check()?;
        if ring.len() > KEYS_MAX {
            return Err(WireError::new("too many key ids").into());
        }
        if ticket.as_ref().is_some_and(|ticket| ticket.len() > TICKET_BYTES_MAX) {
            return Err(WireError::new("a ticket that is too long").into());
        }
        let remote_static = &established.remote_static;
        let signed = signed_text(&hello, !self.dials, remote_static, &established.hash);
        if !public_key.has_signed(&signed, &signature) {
            return Err(AuthError::NotAuthentic("the identity").into());
        }
        let grant = self.context.policy.admit(&hello.name, &public_key, ticket.as_deref(), now)?;
        let ring = ring.into_iter().map(KeyId).collect();
        Ok(Peer { hello, public_key, grant, ticket: ticket.map(Into::into), ring })
    }
}

/// What both ends bind into the key agreement.
fn prologue(dial: &Preface, answer: &Preface) -> Vec<u8> {
    [dial.bytes(), answer.bytes()].concat()
}

/// The dialler's proof that it has just received the listener's preface.
fn begin_proof(begun: &Begun, first: &[u8]) -> [u8; MAC_BYTES] {
    begun.key.mac(Use::Preface, &[b"begin", &begun.prologue, first])
}

fn establish(mut agreement: Agreement, dials: bool) -> Result<Established, HandshakeError> {
    let remote_static = agreement.noise.remote_static().ok_or(noise::Failed)?;
    let hash = agreement.noise.hash();
    let LinkKeys { dialler, listener } = agreement.noise.split();
    let (sealing, opening) = if dials { (dialler, listener) } else { (listener, dialler) };
    let (cipher, id) = (agreement.cipher, agreement.key.id());
    Ok(Established {
        sealer: Sealer::new(cipher, sealing, id),
        opener: Opener::new(cipher, opening, id),
        hash,
        remote_static,
    })
}

/// What an end signs.
fn signed_text(
    hello: &Hello,
    dials: bool,
    static_key: &[u8; KEY_BYTES],
    hash: &[u8; HASH_BYTES],
) -> Vec<u8> {
    let mut text = b"meshage 1 identity".to_vec();
    text.push(u8::from(dials));
    codec::encode(&(&hello.namespace, &hello.name, hello.instance), &mut text);
    text.extend(static_key);
    text.extend(hash);
    text
}

fn nonce(entropy: Entropy<'_>) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    entropy(&mut nonce);
    nonce
}

fn random(entropy: Entropy<'_>) -> Secret {
    let mut secret = Secret::zeros();
    entropy(&mut secret[..]);
    secret
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handshake({})", self.hello.name)
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use rand::{RngExt as _, SeedableRng as _};

    use super::super::Level;
    use super::*;
    use crate::name::{Instance, Namespace, NodeName};
    use crate::wire::hello::Purpose;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    /// Random bytes that differ from call to call.
    fn entropy(seed: u8) -> impl FnMut(&mut [u8]) {
        let mut count = 0_u64;
        move |bytes| {
            for chunk in bytes.chunks_mut(32) {
                count += 1;
                let block = super::super::key::keyed_hash(&[seed; 32], &[&count.to_le_bytes()]);
                chunk.copy_from_slice(&block[..chunk.len()]);
            }
        }
    }

    fn key(number: u8) -> Key {
        Key::from_bytes(&[number; 32])
    }

    fn hello(name: &str) -> Hello {
        Hello {
            name: NodeName::new(name).expect("valid"),
            namespace: Namespace::new("secret-space").expect("valid"),
            instance: Instance(name.len() as u64),
            version: String::new(),
            capabilities: 0,
            purpose: Purpose::Dialled,
        }
    }

    fn context(keys: &[u8], seed: u8) -> Context {
        Context {
            ring: KeyRing::new(keys.iter().map(|number| key(*number))).expect("keys"),
            policy: Arc::default(),
            cipher: Cipher::AesGcm,
            identity: Arc::new(Identity::from_seed(&[seed; 32])),
            ticket: None,
            static_key: Arc::new(StaticKey::new(&mut entropy(seed))),
        }
    }

    /// What both ends of a handshake got, and the bytes that each sent.
    struct Outcome {
        dialler: Result<Secured, HandshakeError>,
        listener: Result<Secured, HandshakeError>,
        sent: [Vec<u8>; 2],
    }

    /// Runs a handshake. `alter` may change the bytes that an end (0: the dialler) sends.
    fn run_altered(
        dialler: Context,
        listener: Context,
        mut alter: impl FnMut(usize, &mut Vec<u8>),
    ) -> Outcome {
        let mut randoms = [entropy(101), entropy(102)];
        let ends = [
            Handshake::dial(Arc::new(dialler), hello("the-dialler"), &mut randoms[0]),
            Handshake::listen(Arc::new(listener), hello("the-listener")),
        ];
        let mut ends = ends.map(|end| (end, Vec::new(), None));
        let mut sent = [Vec::new(), Vec::new()];
        loop {
            let mut progress = false;
            for index in 0..2 {
                let mut output = ends[index].0.take_output();
                if !output.is_empty() {
                    progress = true;
                    alter(index, &mut output);
                    sent[index].extend_from_slice(&output);
                    ends[1 - index].1.extend(output);
                }
                let (end, input, result) = &mut ends[index];
                while result.is_none() && input.len() >= end.wanted() {
                    progress = true;
                    let bytes: Vec<u8> = input.drain(..end.wanted()).collect();
                    match end.receive(&bytes, NOW, &mut randoms[index]) {
                        Ok(None) => {}
                        Ok(Some(secured)) => *result = Some(Ok(secured)),
                        Err(error) => *result = Some(Err(error)),
                    }
                }
            }
            if !progress {
                break;
            }
        }
        let incomplete = || Err(WireError::new("incomplete").into());
        let [dialler, listener] = ends.map(|(_, _, result)| result.unwrap_or_else(incomplete));
        Outcome { dialler, listener, sent }
    }

    fn run(dialler: Context, listener: Context) -> Outcome {
        run_altered(dialler, listener, |_, _| {})
    }

    fn auth(result: Result<Secured, HandshakeError>) -> AuthError {
        match result {
            Err(HandshakeError::Auth(error)) => error,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn two_holders_of_a_key_agree_and_each_learns_who_the_other_is() {
        let outcome = run(context(&[1], 11), context(&[2, 1], 22));
        let (mut dialler, mut listener) =
            (outcome.dialler.expect("linked"), outcome.listener.expect("linked"));
        assert_eq!(dialler.peer.hello, hello("the-listener"));
        assert_eq!(listener.peer.hello, hello("the-dialler"));
        assert_eq!(listener.peer.public_key, Identity::from_seed(&[11; 32]).public_key());
        assert_eq!(dialler.peer.ring, [key(2).id(), key(1).id()]);
        assert_eq!(dialler.sealer.key_id(), key(1).id());
        let ring = KeyRing::new([key(1)]).expect("a key");
        for (from, to) in [
            (&mut dialler.sealer, &mut listener.opener),
            (&mut listener.sealer, &mut dialler.opener),
        ] {
            let mut output = Vec::new();
            from.seal_frames(&[IoSlice::new(b"frame")], 1, &mut output);
            let opened = to.open(&mut output, &ring).expect("authentic");
            assert!(matches!(opened, Some((Opened::Frames(_), _))));
        }
    }

    #[test]
    fn names_travel_sealed() {
        let outcome = run(context(&[1], 11), context(&[1], 22));
        for bytes in &outcome.sent {
            for secret in ["the-dialler", "the-listener", "secret-space"] {
                let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
                assert!(!found, "{secret}");
            }
        }
    }

    #[test]
    fn the_primary_key_of_the_listener_wins_if_both_have_it() {
        let outcome = run(context(&[1, 2], 11), context(&[2, 1], 22));
        assert_eq!(outcome.dialler.expect("linked").sealer.key_id(), key(2).id());
    }

    #[test]
    fn aes_is_used_only_if_both_ends_prefer_it() {
        let slow = || Context { cipher: Cipher::ChaChaPoly, ..context(&[1], 22) };
        assert!(run(context(&[1], 11), slow()).dialler.is_ok());
        assert!(run(slow(), context(&[1], 11)).dialler.is_ok());
        assert!(run(slow(), slow()).dialler.is_ok());
    }

    #[test]
    fn a_stranger_is_turned_away_before_any_key_agreement_and_learns_the_key_ids() {
        let outcome = run(context(&[1], 11), context(&[2], 22));
        let (own, heard) = (vec![key(1).id()], vec![key(2).id()]);
        assert_eq!(
            auth(outcome.dialler),
            AuthError::NoCommonKey { own: own.clone(), heard: heard.clone() }
        );
        assert_eq!(auth(outcome.listener), AuthError::NoCommonKey { own: heard, heard: own });
        assert_eq!(outcome.sent[0].len(), HEADER_BYTES + 8 + MAC_BYTES);
        assert_eq!(outcome.sent[1].len(), HEADER_BYTES + 8);
    }

    #[test]
    fn a_link_is_made_only_between_equal_levels() {
        let allowed = |context: Context| {
            let name = NodeName::new("the-dialler").expect("valid");
            let key = Identity::from_seed(&[11; 32]).public_key();
            let policy = Policy { allow: [(name, key)].into(), ..Policy::default() };
            Context { policy: Arc::new(policy), ..context }
        };
        let outcome = run(context(&[1], 11), allowed(context(&[1], 22)));
        let (own, heard) = (Level::Closed, Level::Allowed);
        assert_eq!(auth(outcome.dialler), AuthError::Level { own, heard });
        assert_eq!(auth(outcome.listener), AuthError::Level { own: heard, heard: own });
        // The listener is not on the dialler's list, but the dialler is on the listener's.
        let outcome = run(allowed(context(&[1], 11)), allowed(context(&[1], 22)));
        assert_eq!(auth(outcome.dialler), AuthError::NotAllowed("the-listener".into()));
        assert!(outcome.listener.is_ok());
        // Another node that uses the dialler's name has another key.
        let outcome = run(allowed(context(&[1], 33)), allowed(context(&[1], 22)));
        assert_eq!(auth(outcome.listener), AuthError::NotAllowed("the-dialler".into()));
        assert_eq!(auth(outcome.dialler), AuthError::RefusedByPeer(Refusal::NotAllowed));
    }

    #[test]
    fn an_open_dialler_is_told_that_a_key_is_required() {
        let mut listener = Handshake::listen(Arc::new(context(&[1], 1)), hello("l"));
        let open = hello("d").encode();
        let failed = listener.receive(&open[..listener.wanted()], NOW, &mut entropy(1));
        assert_eq!(failed.err(), Some(AuthError::PeerIsOpen.into()));
        let output = listener.take_output();
        let header = Header::decode(output.first_chunk().expect("a header")).expect("valid");
        assert_eq!(header.kind, Kind::Decline);
        let mut dialler = Handshake::dial(Arc::new(context(&[1], 1)), hello("d"), &mut entropy(1));
        let failed = dialler.receive(&hello::MAGIC, NOW, &mut entropy(1));
        assert_eq!(failed.err(), Some(AuthError::PeerIsOpen.into()));
    }

    #[test]
    fn no_altered_byte_leads_to_a_link() {
        let lengths = run(context(&[1], 11), context(&[1], 22)).sent.map(|sent| sent.len());
        for (end, length) in lengths.into_iter().enumerate() {
            for position in 0..length {
                let mut offset = 0;
                let outcome = run_altered(context(&[1], 11), context(&[1], 22), |from, bytes| {
                    if from == end {
                        let here = position.checked_sub(offset);
                        if let Some(byte) = here.and_then(|here| bytes.get_mut(here)) {
                            *byte ^= 0x40;
                        }
                        offset += bytes.len();
                    }
                });
                // An end that has sent its last byte cannot know that it was altered. The other end
                // closes the connection.
                let both = outcome.dialler.is_ok() && outcome.listener.is_ok();
                assert!(!both, "end {end}, byte {position}");
            }
        }
    }

    #[test]
    fn a_listener_knows_how_far_a_dialler_has_come() {
        let (dialler, listener) = (Arc::new(context(&[1], 1)), Arc::new(context(&[1], 2)));
        let mut dialler = Handshake::dial(dialler, hello("a"), &mut entropy(3));
        let mut listener = Handshake::listen(listener, hello("b"));
        let mut stages = vec![listener.stage()];
        let (mut to_listener, mut to_dialler) = (dialler.take_output(), Vec::new());
        let take = |end: &mut Handshake, bytes: &mut Vec<u8>, seed| {
            let mut secured = None;
            while end.wanted() > 0 && end.wanted() <= bytes.len() {
                let now: Vec<u8> = bytes.drain(..end.wanted()).collect();
                secured =
                    end.receive(&now, UnixMillis(0), &mut entropy(seed)).expect("it holds the key");
            }
            secured.is_some()
        };
        let mut done = false;
        while !done {
            done = take(&mut listener, &mut to_listener, 4);
            stages.push(listener.stage());
            to_dialler.extend(listener.take_output());
            take(&mut dialler, &mut to_dialler, 5);
            to_listener.extend(dialler.take_output());
        }
        let expected = [Stage::Silent, Stage::KeyNamed, Stage::KeyProven, Stage::Silent];
        stages.dedup();
        assert_eq!(stages, expected);
    }

    #[test]
    fn a_recorded_handshake_costs_the_listener_no_key_agreement() {
        let recorded = run(context(&[1], 11), context(&[1], 22)).sent[0].clone();
        let mut listener = Handshake::listen(Arc::new(context(&[1], 22)), hello("l"));
        let (mut rest, mut random) = (&recorded[..], entropy(77));
        let error = loop {
            let (bytes, later) = rest.split_at(listener.wanted());
            rest = later;
            match listener.receive(bytes, NOW, &mut random) {
                Ok(None) => {}
                Ok(Some(_)) => panic!("a replay led to a link"),
                Err(error) => break error,
            }
        };
        let what = "the first message of the handshake";
        assert_eq!(error, AuthError::NotAuthentic(what).into());
    }

    #[test]
    fn an_altered_introduction_of_a_holder_of_the_key_proves_no_other_name() {
        let mut randoms = [entropy(101), entropy(102)];
        let dialling = Arc::new(context(&[1], 11));
        let mut dialler = Handshake::dial(dialling, hello("the-dialler"), &mut randoms[0]);
        let mut listener = Handshake::listen(Arc::new(context(&[1], 22)), hello("the-listener"));
        let mut to_listener = dialler.take_output();
        while !matches!(listener.state, State::RecordLength(_)) {
            let bytes: Vec<u8> = to_listener.drain(..listener.wanted()).collect();
            listener.receive(&bytes, NOW, &mut randoms[1]).expect("valid");
            let mut to_dialler = listener.take_output();
            while !to_dialler.is_empty() {
                let bytes: Vec<u8> = to_dialler.drain(..dialler.wanted()).collect();
                dialler.receive(&bytes, NOW, &mut randoms[0]).expect("valid");
            }
            to_listener.extend(dialler.take_output());
        }
        let state = std::mem::replace(&mut listener.state, State::Ended);
        let State::RecordLength(mut established) = state else { unreachable!() };
        let opened = established.opener.open(&mut to_listener, &listener.context.ring);
        let Ok(Some((Opened::Hello(range), _))) = opened else { panic!("{opened:?}") };
        let original = to_listener[range].to_vec();
        let decode = |bytes: &[u8]| codec::decode::<Introduction>(bytes);
        let verify = |introduction| listener.verify(introduction, &established, NOW);
        let valid = verify(decode(&original).expect("valid")).expect("valid");

        let mut random = rand::rngs::ChaCha8Rng::seed_from_u64(1);
        let mut decoded = 0;
        for _ in 0..20_000 {
            let mut altered = original.clone();
            for _ in 0..random.random_range(1..=3) {
                let at = random.random_range(0..altered.len());
                match random.random_range(0..4) {
                    0 => altered[at] ^= 1 << random.random_range(0..8),
                    1 => altered[at] = [0, 0xfb, 0xfc, 0xfd, 0xff][random.random_range(0..5)],
                    2 => altered.insert(at, random.random()),
                    _ => drop(altered.remove(at)),
                }
            }
            let Ok(introduction) = decode(&altered) else { continue };
            decoded += 1;
            // The record protects the other fields from everyone but the sender.
            if let Ok(peer) = verify(introduction) {
                let named = |hello: &Hello| (hello.name.clone(), hello.instance);
                assert_eq!(named(&peer.hello), named(&valid.hello));
                assert_eq!(peer.public_key, valid.public_key);
            }
        }
        assert!(decoded > 1000, "{decoded} altered introductions were decoded");
    }
}
