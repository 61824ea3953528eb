//! Every decoder of bytes from the network. What decodes must encode, and decode to the same again.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use meshage::secure::datagram::{self, Now, ReplayWindow};
use meshage::secure::handshake::{Context, StaticKey};
use meshage::secure::preface::{HEADER_BYTES, Header, Preface};
use meshage::secure::ticket::{Revocation, Ticket};
use meshage::secure::{Cipher, Handshake, Identity, Key, KeyRing, Policy, Secured, UnixMillis};
use meshage::wire::ack::AckFrame;
use meshage::wire::control::ControlFrame;
use meshage::wire::data::DataFrame;
use meshage::wire::deframe::Deframer;
use meshage::wire::frame::WireFrame;
use meshage::wire::hello::{Hello, PREFACE_BYTES, Purpose};
use meshage::wire::solicitation::Solicitation;
use meshage::{Instance, Namespace, NodeName};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

use super::behaviour::Behaviour;

/// The time at which the datagrams of the corpus are valid.
pub(crate) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
/// A handshake takes nine pieces.
const PIECES_MAX: usize = 16;
/// No piece is longer.
const PIECE_BYTES_MAX: usize = 1 << 16;

/// A decoder: returns whether the input is valid.
pub(crate) type Decoder = fn(&[u8], &mut Behaviour) -> bool;

/// Each decoder with its name, which is that of its file in the corpus.
pub(crate) const DECODERS: [(&str, Decoder); 12] = [
    ("hello", decode_hello),
    ("solicitation", |bytes, behaviour| {
        let decoded = observe(Solicitation::decode(bytes), behaviour);
        is_same_again(decoded, |value| Solicitation::decode(&value.encode()))
    }),
    ("control", |bytes, behaviour| {
        let decoded = observe(ControlFrame::decode(bytes), behaviour);
        is_same_again(decoded, |value| ControlFrame::decode(value.encode().payload()))
    }),
    ("data", |bytes, behaviour| {
        let decoded = observe(DataFrame::decode(Bytes::copy_from_slice(bytes)), behaviour);
        is_same_again(decoded, |value| DataFrame::decode(whole_payload(&value.encode())))
    }),
    ("ack", |bytes, behaviour| {
        let decoded = observe(AckFrame::decode(bytes), behaviour);
        is_same_again(decoded, |value| AckFrame::decode(value.encode().payload()))
    }),
    ("frames", decode_frames),
    ("preface", decode_preface),
    ("datagram", |bytes, behaviour| {
        let ring = KeyRing::new([datagram_key()]).expect("a key");
        let mut window = ReplayWindow::new(Duration::from_secs(30));
        let now = Now { unix: NOW, monotonic: super::start() };
        observe(datagram::open(bytes, &ring, &mut window, now), behaviour).is_some()
    }),
    ("ticket", |bytes, behaviour| {
        let decoded = observe(Ticket::decode(bytes), behaviour);
        is_same_again(decoded, |value| Ticket::decode(&value.encode()))
    }),
    ("revocation", |bytes, behaviour| {
        let decoded = observe(Revocation::decode(bytes), behaviour);
        is_same_again(decoded, |value| Revocation::decode(&value.encode()))
    }),
    // The messages of one end, one after the other, each to another end with fixed random bytes.
    ("listener", |bytes, behaviour| {
        receive_all(listener(), bytes, &mut entropy(2), behaviour).is_some()
    }),
    ("dialler", |bytes, behaviour| {
        let mut random = entropy(1);
        receive_all(dialler(&mut random), bytes, &mut random, behaviour).is_some()
    }),
];

/// Notes the value or the error, and returns the value.
fn observe<T: Debug, E: Debug>(result: Result<T, E>, behaviour: &mut Behaviour) -> Option<T> {
    match result {
        Ok(value) => {
            behaviour.note("value", &value);
            Some(value)
        }
        Err(error) => {
            behaviour.error("error", &error);
            None
        }
    }
}

/// Whether there is a value. It must decode to the same after it was encoded.
fn is_same_again<T: Debug + PartialEq, E: Debug + PartialEq>(
    decoded: Option<T>,
    again: impl FnOnce(&T) -> Result<T, E>,
) -> bool {
    let Some(value) = decoded else { return false };
    assert_eq!(again(&value).as_ref(), Ok(&value), "what was decoded encodes to itself");
    true
}

fn whole_payload(frame: &WireFrame) -> Bytes {
    [frame.payload(), &frame.body[..]].concat().into()
}

fn decode_hello(bytes: &[u8], behaviour: &mut Behaviour) -> bool {
    let Some(preface) = bytes.first_chunk::<PREFACE_BYTES>() else { return false };
    let Some(length) = observe(Hello::length(*preface), behaviour) else { return false };
    let decoded = observe(Hello::decode(&bytes[PREFACE_BYTES..]), behaviour);
    let again = |value: &Hello| Hello::decode(&value.encode()[PREFACE_BYTES..]);
    is_same_again(decoded, again) && length + PREFACE_BYTES == bytes.len()
}

fn decode_frames(bytes: &[u8], behaviour: &mut Behaviour) -> bool {
    let mut deframer = Deframer::default();
    deframer.buffer().extend_from_slice(bytes);
    let mut found = 0;
    loop {
        match deframer.next_frame() {
            Ok(Some(frame)) => {
                behaviour.note("frame", &frame.kind);
                found += 1;
            }
            Ok(None) => return found > 0,
            Err(error) => {
                behaviour.error("error", &error);
                return false;
            }
        }
    }
}

fn decode_preface(bytes: &[u8], behaviour: &mut Behaviour) -> bool {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return false };
    let Some(header) = observe(Header::decode(header), behaviour) else { return false };
    observe(Preface::decode(header, &bytes[HEADER_BYTES..]), behaviour).is_some()
}

/// The key of the datagrams in the corpus.
fn datagram_key() -> Key {
    Key::from_bytes(&std::array::from_fn(|at| at as u8))
}

/// The key of both ends of the handshakes.
pub(crate) fn ring() -> KeyRing {
    KeyRing::new([Key::from_bytes(&[1; 32])]).expect("a key")
}

/// Random bytes that are the same in each run.
fn entropy(seed: u64) -> impl FnMut(&mut [u8]) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    move |bytes| random.fill(bytes)
}

fn context(seed: u64) -> Arc<Context> {
    Arc::new(Context {
        ring: ring(),
        policy: Arc::new(Policy::default()),
        cipher: Cipher::ChaChaPoly,
        identity: Arc::new(Identity::from_seed(&[seed as u8; 32])),
        ticket: None,
        static_key: Arc::new(StaticKey::new(&mut entropy(100 + seed))),
    })
}

fn hello(name: &str) -> Hello {
    Hello {
        name: NodeName::new(name).expect("valid"),
        namespace: Namespace::default(),
        instance: Instance(7),
        version: "1".into(),
        capabilities: 0,
        purpose: Purpose::Dialled,
    }
}

fn listener() -> Handshake {
    Handshake::listen(context(2), hello("listener"))
}

fn dialler(random: &mut dyn FnMut(&mut [u8])) -> Handshake {
    Handshake::dial(context(1), hello("dialler"), random)
}

/// Gives a handshake all bytes, and returns the link if they lead to one.
fn receive_all(
    mut handshake: Handshake,
    mut bytes: &[u8],
    random: &mut dyn FnMut(&mut [u8]),
    behaviour: &mut Behaviour,
) -> Option<Secured> {
    for piece_number in 0..PIECES_MAX {
        behaviour.count("pieces", 1 << piece_number);
        let (piece, rest) = bytes.split_at_checked(handshake.wanted())?;
        bytes = rest;
        assert!(handshake.wanted() <= PIECE_BYTES_MAX, "a piece is bounded");
        match handshake.receive(piece, NOW, random) {
            Ok(None) => {}
            Ok(Some(secured)) => return Some(secured),
            Err(error) => {
                behaviour.error("error", &error);
                return None;
            }
        }
    }
    panic!("a handshake that does not end");
}

/// The bytes that both ends send in a whole handshake, with the random bytes of [`DECODERS`].
#[allow(dead_code, reason = "a test uses it")]
pub(crate) fn handshake() -> ([Vec<u8>; 2], [Secured; 2]) {
    let mut random = [Box::new(entropy(1)) as Box<dyn FnMut(&mut [u8])>, Box::new(entropy(2))];
    let mut ends = [dialler(&mut random[0]), listener()];
    let (mut sent, mut read) = ([Vec::new(), Vec::new()], [0; 2]);
    let mut secured = [None, None];
    while secured.iter().any(Option::is_none) {
        for end in 0..2 {
            sent[end].extend(ends[end].take_output());
            let wanted = ends[end].wanted();
            let arrived = &sent[1 - end][read[end]..];
            if secured[end].is_none() && wanted > 0 && arrived.len() >= wanted {
                let piece = arrived[..wanted].to_vec();
                read[end] += wanted;
                secured[end] = ends[end].receive(&piece, NOW, &mut random[end]).expect("valid");
                sent[end].extend(ends[end].take_output());
            }
        }
    }
    (sent, secured.map(|end| end.expect("secured")))
}
