//! The test vectors in PROTOCOL.md match the encoders, and the decoders decode them.
//!
//! `cargo xtask fix` regenerates them.
#![expect(clippy::disallowed_methods, reason = "a replay window needs some time")]

use std::fmt::Write as _;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use meshage::error::RefuseReason;
use meshage::name::{Claim, Instance, Namespace, NodeName, Sequence};
use meshage::secure::datagram::{self, Now, ReplayWindow};
use meshage::secure::handshake::{Context, StaticKey};
use meshage::secure::seal::{LENGTH_BYTES, Opened};
use meshage::secure::ticket::{Revocation, Terms, Ticket};
use meshage::secure::{
    Cipher, Handshake, Identity, Key, KeyRing, NamePattern, Sealer, Secured, UnixMillis,
};
use meshage::wire::ack::{AckEntry, AckFrame, Refusal, Verdict};
use meshage::wire::control::{
    Announcement, ControlFrame, Credential, FormerHolder, SignedAnnouncement,
};
use meshage::wire::data::{
    Channel, Chunk, DataFrame, DataHeader, MessageSequence, Target, Targets,
};
use meshage::wire::frame::{PREFIX_BYTES, WireFrame};
use meshage::wire::hello::{Hello, PREFACE_BYTES, Purpose};
use meshage::wire::solicitation::Solicitation;

/// A source of random bytes.
type Random<'a> = &'a mut dyn FnMut(&mut [u8]);

const BEGIN: &str = "<!-- vectors: written by `cargo xtask fix` -->\n";
const END: &str = "<!-- end of vectors -->\n";
/// The bytes in one line of a vector.
const LINE_BYTES: usize = 16;

const SMALL_SET: Channel = Channel { broadcast: false, large: false };

#[test]
fn the_vectors_in_the_protocol_page_match_the_encoders() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../PROTOCOL.md");
    let text = std::fs::read_to_string(&page).expect("PROTOCOL.md is readable");
    let (before, rest) = text.split_once(BEGIN).expect("the start marker of the vectors");
    let (written, after) = rest.split_once(END).expect("the end marker of the vectors");
    let vectors = vectors();
    if std::env::var_os("MESHAGE_WRITE_VECTORS").is_some() {
        let text = [before, BEGIN, &vectors, END, after].concat();
        std::fs::write(&page, text).expect("PROTOCOL.md is writable");
        return;
    }
    assert!(written == vectors, "the vectors do not match the encoders: run `cargo xtask fix`");
}

#[test]
fn every_vector_decodes_to_the_value_that_it_shows() {
    let hello = hello().encode();
    assert_eq!(Hello::decode(&hello[PREFACE_BYTES..]), Ok(self::hello()));
    assert_eq!(Solicitation::decode(&solicitation().encode()), Ok(solicitation()));
    let ring = KeyRing::new([key()]).expect("a key");
    let mut window = ReplayWindow::new(datagram::CLOCK_SKEW);
    let now = Now { unix: SEALED_AT, monotonic: Instant::now() };
    let opened = datagram::open(&sealed_solicitation(), &ring, &mut window, now);
    assert_eq!(opened, Ok(solicitation()));
    for (_, frame) in controls() {
        assert_eq!(ControlFrame::decode(&frame.encode().head[PREFIX_BYTES..]), Ok(frame));
    }
    for (_, frame) in data() {
        let wire = bytes(&frame.encode());
        assert_eq!(DataFrame::decode(Bytes::from(wire[PREFIX_BYTES..].to_vec())), Ok(frame));
    }
    assert_eq!(AckFrame::decode(&acks().encode().head[PREFIX_BYTES..]), Ok(acks()));
    assert_eq!(Ticket::decode(&ticket().encode()), Ok(ticket()));
    assert_eq!(Revocation::decode(&revocation().encode()), Ok(revocation()));
}

fn vectors() -> String {
    let mut text = String::new();
    vector(&mut text, "preface and hello", &hello(), &hello().encode());
    vector(&mut text, "solicitation", &solicitation(), &solicitation().encode());
    let title = "the same, sealed under the key 00 01 … 1f";
    vector(&mut text, title, &(SEALED_AT, NONCE), &sealed_solicitation());
    for (title, frame) in controls() {
        vector(&mut text, title, &frame, &bytes(&frame.encode()));
    }
    for (title, frame) in data() {
        vector(&mut text, title, &frame, &bytes(&frame.encode()));
    }
    vector(&mut text, "acknowledgements", &acks(), &bytes(&acks().encode()));
    vector(&mut text, "keep-alive", &"no payload", &bytes(&WireFrame::keep_alive()));
    let sealed = Sealed::new();
    for (title, value, bytes) in &sealed.messages {
        vector(&mut text, title, value, bytes);
    }
    let signed = "a ticket, signed by the root with the seed 01 01 … 01, for the seed 02 02 … 02";
    vector(&mut text, signed, &ticket().terms, &ticket().encode());
    vector(&mut text, "its revocation", &revocation().revoked, &revocation().encode());
    text
}

/// What two nodes send each other over a sealed link, with fixed random bytes.
struct Sealed {
    messages: Vec<(&'static str, String, Vec<u8>)>,
    dialler: Secured,
    listener: Secured,
}

/// The keys of both nodes: the first is primary.
fn ring() -> KeyRing {
    KeyRing::new([1, 2].map(|number| Key::from_bytes(&[number; 32]))).expect("two keys")
}

/// The context of a node, and its random bytes: each is the number before plus one.
fn context(seed: u8) -> (Arc<Context>, impl FnMut(&mut [u8])) {
    let mut next = seed;
    let mut random = move |bytes: &mut [u8]| {
        for byte in bytes {
            *byte = next;
            next = next.wrapping_add(1);
        }
    };
    let context = Context {
        ring: ring(),
        policy: Arc::default(),
        cipher: Cipher::AesGcm,
        identity: Arc::new(Identity::from_seed(&[seed; 32])),
        ticket: None,
        static_key: Arc::new(StaticKey::new(&mut random)),
    };
    (Arc::new(context), random)
}

impl Sealed {
    fn new() -> Self {
        let ((dialling, mut dialler_random), (listening, mut listener_random)) =
            (context(100), context(200));
        let other = Hello { name: name("b"), instance: Instance(2), ..hello() };
        let mut dialler = Handshake::dial(dialling, hello(), &mut dialler_random);
        let mut listener = Handshake::listen(listening, other);
        let titles = [
            ("dial preface", "two keys; random bytes 100, 101, …"),
            ("answer preface", "random bytes 200, 201, …"),
            ("first Noise message and its proof", "no payload"),
            ("second Noise message", "no payload"),
            ("third Noise message and first record of the dialler", "hello of ada"),
            ("first record of the listener", "hello of b"),
        ];
        let (mut messages, mut ends) = (Vec::new(), (None, None));
        for (at, (title, value)) in titles.into_iter().enumerate() {
            let (from, to, random): (_, _, Random<'_>) = if at % 2 == 0 {
                (&mut dialler, &mut listener, &mut listener_random)
            } else {
                (&mut listener, &mut dialler, &mut dialler_random)
            };
            let output = from.take_output();
            let mut rest = &output[..];
            while !rest.is_empty() {
                let (bytes, later) = rest.split_at(to.wanted());
                rest = later;
                if let Some(secured) = to.receive(bytes, UnixMillis(0), random).expect("valid") {
                    let end = if at % 2 == 0 { &mut ends.1 } else { &mut ends.0 };
                    *end = Some(secured);
                }
            }
            messages.push((title, value.to_owned(), output));
        }
        let (Some(dialler), Some(listener)) = ends else { panic!("incomplete") };
        let mut sealed = Self { messages, dialler, listener };
        sealed.seal("record of frames", "frames: one keep-alive", |sealer, output| {
            let frame = bytes(&WireFrame::keep_alive());
            sealer.seal_frames(&[IoSlice::new(&frame)], 1, output);
        });
        sealed.seal("record ring", "both keys", |sealer, output| {
            sealer.seal_ring(&ring(), output);
        });
        let second = ring().keys()[1].clone();
        sealed.seal("record switch", "to the second key", |sealer, output| {
            sealer.switch(&second, output);
        });
        sealed.seal("record rekey", "under the second key", Sealer::rekey);
        sealed.seal("record refuse", "KeyRemoved, under the new key", |sealer, output| {
            sealer.seal_refusal(meshage::Refusal::KeyRemoved, output);
        });
        sealed
    }

    fn seal(
        &mut self,
        title: &'static str,
        value: &str,
        seal: impl FnOnce(&mut Sealer, &mut Vec<u8>),
    ) {
        let mut output = Vec::new();
        seal(&mut self.dialler.sealer, &mut output);
        self.messages.push((title, value.to_owned(), output));
    }
}

#[test]
fn the_sealed_vectors_open_to_what_they_show() {
    let Sealed { messages, dialler, mut listener } = Sealed::new();
    assert_eq!(listener.peer.hello, hello());
    assert_eq!(dialler.peer.hello.name, name("b"));
    let ids = ring().ids();
    let keep_alive = bytes(&WireFrame::keep_alive());
    for ((title, _, bytes), expected) in messages[6..].iter().zip([
        Opened::Frames(LENGTH_BYTES..LENGTH_BYTES + keep_alive.len()),
        Opened::Ring(ids.clone()),
        Opened::Switched(ids[1]),
        Opened::Rekeyed,
        Opened::Refused(meshage::Refusal::KeyRemoved),
    ]) {
        let mut record = bytes.clone();
        let opened = listener.opener.open(&mut record, &ring()).expect("authentic");
        assert_eq!(opened, Some((expected, bytes.len())), "{title}");
    }
}

fn vector(text: &mut String, title: &str, value: &dyn std::fmt::Debug, bytes: &[u8]) {
    let _ = write!(text, "\n**{title}**\n\n```text\n{value:?}\n");
    for line in bytes.chunks(LINE_BYTES) {
        let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let _ = writeln!(text, "    {}", hex.join(" "));
    }
    text.push_str("```\n");
}

fn bytes(frame: &WireFrame) -> Vec<u8> {
    [&frame.head[..], &frame.body[..]].concat()
}

fn name(text: &str) -> NodeName {
    NodeName::new(text).expect("valid")
}

fn hello() -> Hello {
    Hello {
        name: name("ada"),
        namespace: Namespace::new("demo").expect("valid"),
        instance: Instance(0x0102_0304_0506_0708),
        version: "1.0".into(),
        capabilities: 0,
        purpose: Purpose::Solicited,
    }
}

fn root() -> Identity {
    Identity::from_seed(&[1; 32])
}

fn ticket() -> Ticket {
    let terms = Terms {
        name: NamePattern::new("rack1.*").expect("valid"),
        public_key: Identity::from_seed(&[2; 32]).public_key(),
        not_before: UnixMillis(1_800_000_000_000),
        not_after: UnixMillis(1_831_536_000_000),
        serial: 70_000,
    };
    Ticket::issue(&root(), terms)
}

fn revocation() -> Revocation {
    Revocation::of(&root(), &ticket().terms)
}

fn solicitation() -> Solicitation {
    Solicitation {
        namespace: Namespace::new("demo").expect("valid"),
        name: name("ada"),
        instance: Instance(0x0102_0304_0506_0708),
        port: 9000,
        wanted: 3,
    }
}

fn announcement() -> Announcement {
    Announcement {
        name: name("ada"),
        instance: Instance(7),
        sequence: Sequence(17),
        claim: Claim(2),
        leaving: false,
        peers: vec![Instance(8), Instance(300)],
    }
}

/// The time and the nonce of the sealed solicitation.
const SEALED_AT: UnixMillis = UnixMillis(1_700_000_000_000);
const NONCE: [u8; 16] = [0xa5; 16];

fn key() -> Key {
    Key::from_bytes(&std::array::from_fn(|index| index as u8))
}

fn sealed_solicitation() -> Vec<u8> {
    datagram::seal(&solicitation(), &key(), SEALED_AT, &mut |bytes| bytes.copy_from_slice(&NONCE))
}

fn controls() -> Vec<(&'static str, ControlFrame)> {
    vec![
        ("admit", ControlFrame::Admit { other_link: false }),
        ("refuse", ControlFrame::Refuse { reason: RefuseReason::NameInUse }),
        (
            "digest",
            ControlFrame::Digest {
                entries: vec![(Instance(7), Sequence(1)), (Instance(300), Sequence(70_000))],
                last: true,
            },
        ),
        ("announce", ControlFrame::Announce(announcement())),
        ("synced", ControlFrame::Synced),
        ("leaving", ControlFrame::Leaving),
        (
            "claims",
            ControlFrame::Claims {
                entries: vec![FormerHolder {
                    name: name("bob"),
                    instance: Instance(8),
                    claim: Claim::FIRST,
                }],
            },
        ),
        (
            "signed announce",
            ControlFrame::SignedAnnounce(Box::new(SignedAnnouncement {
                announcement: announcement(),
                signature: [0x5a; 64],
                credential: Some(Credential {
                    public_key: [0xa5; 32],
                    nonce: 9,
                    ticket: Some(b"ticket".to_vec()),
                }),
            })),
        ),
        ("revocations", ControlFrame::Revocations { entries: vec![b"revocation".to_vec()] }),
    ]
}

fn data() -> Vec<(&'static str, DataFrame)> {
    let header = DataHeader {
        source: name("ada"),
        instance: Instance(7),
        id: 1,
        channel: SMALL_SET,
        encoding: 1,
        targets: Targets::List(
            vec![
                Target {
                    name: name("bob"),
                    sequence: Some(MessageSequence { number: 1, floor: 1 }),
                    oldest: 1,
                },
                Target { name: name("cid"), sequence: None, oldest: 0 },
            ]
            .into(),
        ),
        chunk: None,
        route: vec![name("ada")].into(),
    };
    let set = DataFrame { header: header.clone(), body: Bytes::from_static(b"hello") };
    let broadcast = DataFrame {
        header: DataHeader {
            id: 2,
            channel: Channel { broadcast: true, large: true },
            encoding: 0,
            targets: Targets::Flood(MessageSequence { number: 2, floor: 1 }),
            chunk: Some(Chunk { offset: 57_328, total: 57_330 }),
            route: vec![name("ada"), name("bob")].into(),
            ..header
        },
        body: Bytes::from_static(&[0xca, 0xfe]),
    };
    vec![
        ("a set of five bytes", set),
        ("the last chunk of a large broadcast, forwarded once", broadcast),
    ]
}

fn acks() -> AckFrame {
    let entry = |from: &str, by: Option<u64>, verdict: Verdict| AckEntry {
        to: Instance(7),
        from: name(from),
        by: by.map(Instance),
        channel: SMALL_SET,
        verdict,
        hops: 1,
    };
    AckFrame {
        entries: vec![
            entry("bob", Some(8), Verdict::Delivered { next: 2 }),
            entry("cid", None, Verdict::Refused { number: 1, refusal: Refusal::NoRoute }),
            entry("dora", Some(9), Verdict::Progress { number: 3, received: 1 << 20 }),
            entry("dora", Some(9), Verdict::Ready),
            entry("ada", Some(7), Verdict::Query),
        ]
        .into(),
    }
}
