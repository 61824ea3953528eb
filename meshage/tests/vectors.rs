//! The test vectors in PROTOCOL.md match the encoders, and the decoders decode them.
//!
//! `cargo xtask fix` regenerates them.

use std::fmt::Write as _;
use std::path::Path;

use bytes::Bytes;

use meshage::error::RefuseReason;
use meshage::name::{Claim, Instance, Namespace, NodeName, Sequence};
use meshage::secure::datagram::{self, ReplayWindow};
use meshage::secure::{Key, KeyRing, UnixMillis};
use meshage::wire::ack::{AckEntry, AckFrame, Refusal, Verdict};
use meshage::wire::control::{Announcement, ControlFrame, FormerHolder};
use meshage::wire::data::{
    Channel, Chunk, DataFrame, DataHeader, MessageSequence, Target, Targets,
};
use meshage::wire::frame::{PREFIX_BYTES, WireFrame};
use meshage::wire::hello::{Hello, PREFACE_BYTES, Purpose};
use meshage::wire::solicitation::Solicitation;

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
    let opened = datagram::open(&sealed_solicitation(), &ring, &mut window, SEALED_AT);
    assert_eq!(opened, Ok(solicitation()));
    for (_, frame) in controls() {
        assert_eq!(ControlFrame::decode(&frame.encode().head[PREFIX_BYTES..]), Ok(frame));
    }
    for (_, frame) in data() {
        let wire = bytes(&frame.encode());
        assert_eq!(DataFrame::decode(Bytes::from(wire[PREFIX_BYTES..].to_vec())), Ok(frame));
    }
    assert_eq!(AckFrame::decode(&acks().encode().head[PREFIX_BYTES..]), Ok(acks()));
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
    text
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

fn solicitation() -> Solicitation {
    Solicitation {
        namespace: Namespace::new("demo").expect("valid"),
        name: name("ada"),
        instance: Instance(0x0102_0304_0506_0708),
        port: 9000,
        wanted: 3,
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
        (
            "announce",
            ControlFrame::Announce(Announcement {
                name: name("ada"),
                instance: Instance(7),
                sequence: Sequence(17),
                claim: Claim(2),
                leaving: false,
                peers: vec![Instance(8), Instance(300)],
            }),
        ),
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
