//! No input makes a decoder panic, hang or allocate much: every input of the corpus, and altered
//! copies of it from a fixed seed.
//!
//! `meshage/tests/corpus/` has a file for each decoder. A line is an input in hex after `valid` or
//! `invalid`; `#` begins a remark. An input that once led to a fault is added there.
#![expect(clippy::disallowed_methods, reason = "a replay window needs some time")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use meshage::secure::datagram::{self, Now, ReplayWindow};
use meshage::secure::handshake::{Context, StaticKey};
use meshage::secure::preface::{HEADER_BYTES, Header, Preface};
use meshage::secure::seal::Opener;
use meshage::secure::ticket::{Revocation, Ticket};
use meshage::secure::{Cipher, Handshake, Identity, Key, KeyRing, Policy, Secured, UnixMillis};
use meshage::wire::ack::AckFrame;
use meshage::wire::control::ControlFrame;
use meshage::wire::data::DataFrame;
use meshage::wire::deframe::Deframer;
use meshage::wire::hello::{Hello, PREFACE_BYTES, Purpose};
use meshage::wire::solicitation::Solicitation;
use meshage::{Instance, Namespace, NodeName};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

/// The altered copies of each input.
const COPIES: usize = 2000;
/// The seed of what is altered.
const SEED: u64 = 20_261_128;
/// The time at which the datagrams of the corpus are valid.
const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

/// A decoder: returns whether the input is valid.
type Decoder = fn(&[u8]) -> bool;

/// Each decoder with the name of its file.
const DECODERS: [(&str, Decoder); 12] = [
    ("hello", |bytes| {
        let length = bytes.first_chunk::<PREFACE_BYTES>().map(|preface| Hello::length(*preface));
        length
            .is_some_and(|length| length.is_ok_and(|length| length + PREFACE_BYTES == bytes.len()))
            && Hello::decode(&bytes[PREFACE_BYTES..]).is_ok()
    }),
    ("solicitation", |bytes| Solicitation::decode(bytes).is_ok()),
    ("control", |bytes| ControlFrame::decode(bytes).is_ok()),
    ("data", |bytes| DataFrame::decode(Bytes::copy_from_slice(bytes)).is_ok()),
    ("ack", |bytes| AckFrame::decode(bytes).is_ok()),
    ("frames", frames),
    ("preface", |bytes| {
        let header = bytes.first_chunk::<HEADER_BYTES>().and_then(|it| Header::decode(it).ok());
        header.is_some_and(|header| Preface::decode(header, &bytes[HEADER_BYTES..]).is_ok())
    }),
    ("datagram", |bytes| {
        let key = Key::from_bytes(&std::array::from_fn(|at| at as u8));
        let ring = KeyRing::new([key]).expect("a key");
        let now = Now { unix: NOW, monotonic: Instant::now() };
        datagram::open(bytes, &ring, &mut ReplayWindow::new(Duration::from_secs(30)), now).is_ok()
    }),
    ("ticket", |bytes| Ticket::decode(bytes).is_ok()),
    ("revocation", |bytes| Revocation::decode(bytes).is_ok()),
    // The messages of one end, one after the other, each to another end with fixed random bytes.
    ("listener", |bytes| receive_all(listener(), bytes, &mut entropy(2)).is_some()),
    ("dialler", |bytes| {
        let mut random = entropy(1);
        receive_all(dialler(&mut random), bytes, &mut random).is_some()
    }),
];

fn frames(bytes: &[u8]) -> bool {
    let mut deframer = Deframer::default();
    deframer.buffer().extend_from_slice(bytes);
    let mut found = 0;
    loop {
        match deframer.next_frame() {
            Ok(Some(_)) => found += 1,
            Ok(None) => return found > 0,
            Err(_) => return false,
        }
    }
}

fn key() -> Key {
    Key::from_bytes(&[1; 32])
}

fn ring() -> KeyRing {
    KeyRing::new([key()]).expect("a key")
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
) -> Option<Secured> {
    // A handshake takes nine pieces; one that wants no bytes has ended.
    for _ in 0..16 {
        let (piece, rest) = bytes.split_at_checked(handshake.wanted())?;
        bytes = rest;
        assert!(handshake.wanted() <= 1 << 16, "a piece is bounded");
        match handshake.receive(piece, NOW, random) {
            Ok(None) => {}
            Ok(Some(secured)) => return Some(secured),
            Err(_) => return None,
        }
    }
    panic!("a handshake that does not end");
}

/// The bytes that both ends send in a whole handshake, with the random bytes of [`DECODERS`].
fn handshake() -> ([Vec<u8>; 2], [Secured; 2]) {
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

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

/// The inputs of a decoder, each with whether it is valid.
fn corpus(decoder: &str) -> Vec<(bool, Vec<u8>)> {
    let path = folder().join(format!("{decoder}.hex"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (verdict, hex) = line.split_once(' ').unwrap_or((line, ""));
            let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes());
            (verdict == "valid", bytes.unwrap_or_else(|error| panic!("{path:?}: {error}")))
        })
        .collect()
}

/// An altered copy: bits, bytes, lengths and whole parts of it.
fn alter(input: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..=bytes.len());
        match random.random_range(0..7) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.random()),
            2 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            3 if at < bytes.len() => {
                bytes[at] = [0, 1, 0x7f, 0xfa, 0xfb, 0xfc, 0xfd, 0xff][random.random_range(0..8)]
            }
            4 => {
                // A length of eight bytes that claims too much.
                let claim = [&[0xfd][..], &random.random::<u64>().to_le_bytes()].concat();
                bytes.splice(at..bytes.len().min(at + 9), claim);
            }
            5 => {
                let end = random.random_range(at..=bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            6 => {
                let end = random.random_range(at..=bytes.len());
                bytes.drain(at..end);
            }
            _ => bytes.push(random.random()),
        }
    }
    bytes
}

#[test]
fn every_input_of_the_corpus_is_valid_or_not_as_it_says() {
    for (name, decode) in DECODERS {
        let corpus = corpus(name);
        assert!(corpus.iter().any(|(valid, _)| *valid), "{name}: no valid input");
        assert!(corpus.iter().any(|(valid, _)| !*valid), "{name}: no invalid input");
        for (valid, input) in corpus {
            assert_eq!(decode(&input), valid, "{name}: {}", hex(&input));
        }
    }
}

#[test]
fn the_corpus_holds_the_handshake_of_this_version() {
    let ([from_dialler, from_listener], _) = handshake();
    let missing = [("listener", from_dialler), ("dialler", from_listener)]
        .into_iter()
        .filter(|(name, bytes)| !corpus(name).contains(&(true, bytes.clone())))
        .map(|(name, bytes)| {
            format!("tests/corpus/{name}.hex needs the line\nvalid {}\n", hex(&bytes))
        });
    assert_eq!(missing.collect::<String>(), "");
}

#[test]
fn no_altered_input_causes_a_panic() {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    for (name, decode) in DECODERS {
        let corpus = corpus(name);
        let copies = COPIES / corpus.len();
        for (_, input) in &corpus {
            for _ in 0..copies {
                let altered = alter(input, &mut random);
                let outcome = std::panic::catch_unwind(|| decode(&altered));
                assert!(outcome.is_ok(), "{name} panics: add it to its corpus: {}", hex(&altered));
            }
        }
    }
}

#[test]
fn no_altered_handshake_leads_to_a_link() {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let ([from_dialler, from_listener], _) = handshake();
    for (name, decode) in DECODERS {
        let original = match name {
            "listener" => &from_dialler,
            "dialler" => &from_listener,
            _ => continue,
        };
        assert!(decode(original), "{name}: the recorded handshake leads to a link");
        for _ in 0..COPIES {
            let altered = alter(original, &mut random);
            // What follows a complete handshake is a part of the link.
            if !altered.starts_with(original) {
                assert!(!decode(&altered), "{name}: {}", hex(&altered));
            }
        }
    }
}

#[test]
fn no_altered_record_opens() {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let (_, [mut dialler, _]) = handshake();
    let mut record = Vec::new();
    let frames = [std::io::IoSlice::new(&[7; 300])];
    dialler.sealer.seal_frames(&frames, usize::MAX, &mut record);
    let opens = |bytes: &[u8]| {
        // The records of a link are numbered, so each try has a link of its own.
        let (_, [_, mut listener]) = handshake();
        let mut bytes = bytes.to_vec();
        matches!(listener.opener.open(&mut bytes, &ring()), Ok(Some(_)))
    };
    assert!(opens(&record));
    for _ in 0..COPIES / 10 {
        let altered = alter(&record, &mut random);
        if !altered.starts_with(&record) {
            assert!(!opens(&altered), "{}", hex(&altered));
            // No length is beyond what two bytes can claim.
            assert!(Opener::record_bytes(&altered).is_none_or(|bytes| bytes <= 2 + 0xffff));
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
