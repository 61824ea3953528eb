//! Peers that speak the protocol's first words and then do as they please. Each is a bare socket.
#![cfg(feature = "net")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use common::{SOON, address, count, link, name, node, until, within};
use meshage::wire::control::{Announcement, ControlFrame};
use meshage::wire::deframe::Deframer;
use meshage::wire::frame::{FRAME_BYTES_MAX, FrameKind, WireFrame};
use meshage::wire::hello::{Hello, PREFACE_BYTES, Purpose};
use meshage::{Instance, LOLLIPOP_LENGTH, Namespace, Node, Outcome, Outgoing};

/// A peer called "a": the lesser name, which admits first.
struct Stranger {
    stream: TcpStream,
    deframer: Deframer,
}

impl Stranger {
    /// Connects, shakes hands and brings the databases level; the node has it as a peer then.
    async fn meet(node: &Node) -> Self {
        let mut stranger = Self::connect(node);
        stranger.send(&ControlFrame::Admit { other_link: false }.encode());
        let own = Announcement {
            name: name("a"),
            instance: Instance(7),
            sequence: meshage::name::Sequence(LOLLIPOP_LENGTH),
            peers: vec![node.instance()],
        };
        for frame in [
            ControlFrame::Digest { entries: Vec::new(), last: true },
            ControlFrame::Announce(own),
            ControlFrame::Synced,
        ] {
            stranger.send(&frame.encode());
        }
        until("it is a peer", || node.peers() == [name("a")] && node.mesh().contains("a")).await;
        stranger
    }

    fn connect(node: &Node) -> Self {
        let mut stream = TcpStream::connect(address(node)).expect("connected");
        stream.set_read_timeout(Some(SOON)).expect("set");
        let hello = Hello {
            name: name("a"),
            namespace: Namespace::default(),
            instance: Instance(7),
            version: "another".into(),
            capabilities: u64::MAX,
            purpose: Purpose::Dialled,
        };
        stream.write_all(&hello.encode()).expect("said");
        let mut preface = [0; PREFACE_BYTES];
        stream.read_exact(&mut preface).expect("heard");
        let mut rest = vec![0; Hello::length(preface).expect("the protocol")];
        stream.read_exact(&mut rest).expect("heard");
        let hello = Hello::decode(&rest).expect("a hello");
        assert_eq!((hello.name, hello.instance), (node.name().clone(), node.instance()));
        Self { stream, deframer: Deframer::default() }
    }

    fn send(&mut self, frame: &WireFrame) {
        self.send_bytes(&[&frame.head[..], &frame.body[..]].concat());
    }

    fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("written");
    }

    /// Reads until the node has closed the connection; gives back the control frames.
    fn read_to_end(mut self) -> Vec<ControlFrame> {
        let mut frames = Vec::new();
        loop {
            while let Some(frame) = self.deframer.next_frame().expect("well-formed") {
                if frame.kind == Some(FrameKind::Control) {
                    frames.push(ControlFrame::decode(&frame.payload).expect("well-formed"));
                }
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) | Err(_) => return frames,
                Ok(length) => self.deframer.buffer().extend_from_slice(&bytes[..length]),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_of_a_later_version_is_passed_over() {
    let node = node("n").await;
    let mut stranger = Stranger::meet(&node).await;
    stranger.send_bytes(&[3, 0, 0, 0, 200, 1, 2]);
    stranger.send(&WireFrame::keep_alive());
    until("it is counted", || count(&node, "net_in_frames_unknown") == 1).await;
    assert_eq!(node.peers(), [name("a")], "the link stands");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_breaks_the_protocol_is_closed_and_counted() {
    let too_long = (FRAME_BYTES_MAX as u32 + 1).to_le_bytes();
    let breaches: [&[u8]; 5] = [
        &[0, 0, 0, 0],
        &too_long,
        &[4, 0, 0, 0, FrameKind::Control as u8, 255, 255, 255],
        &[4, 0, 0, 0, FrameKind::Data as u8, 255, 255, 255],
        &[4, 0, 0, 0, FrameKind::Ack as u8, 255, 255, 255],
    ];
    for breach in breaches {
        let node = node("n").await;
        let mut stranger = Stranger::meet(&node).await;
        stranger.send_bytes(breach);
        stranger.read_to_end();
        until("it is out", || node.peers().is_empty() && node.mesh().len() == 1).await;
        assert_eq!(count(&node, "net_breaches"), 1, "{breach:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_falls_silent_is_out_within_four_seconds_whatever_it_was_sent() {
    let node = node("n").await;
    let stranger = Stranger::meet(&node).await;
    // More than the sockets hold, to one who reads nothing.
    let outgoing = Outgoing::set([name("a")], vec![0; 32 << 20]).timeout(SOON);
    let pending = node.start_send(outgoing).expect("begun");
    let out = || node.peers().is_empty();
    within(Duration::from_secs(4), "it is out", out).await;
    let mut pending = pending;
    assert_eq!(pending.wait().await.expect("sent").outcome("a"), Some(Outcome::Lost));
    drop(stranger);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_floods_control_frames_slows_nobody() {
    let (n, other) = (node("n").await, node("other").await);
    link(&n, &other).await;
    let mut stranger = Stranger::connect(&n);
    stranger.send(&ControlFrame::Admit { other_link: false }.encode());
    let frame = ControlFrame::Digest {
        entries: vec![(Instance(7), meshage::name::Sequence(1)); 1000],
        last: false,
    }
    .encode();
    let flood = std::thread::spawn(move || {
        let bytes = [&frame.head[..], &frame.body[..]].concat();
        for _ in 0..20_000 {
            if stranger.stream.write_all(&bytes).is_err() {
                return;
            }
        }
    });
    for _ in 0..100 {
        let outgoing = Outgoing::set([name("other")], "x").timeout(Duration::from_secs(5));
        assert!(n.send(outgoing).await.expect("sent").all_delivered());
    }
    n.close();
    n.closed().await;
    flood.join().expect("the stranger ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_closes_says_so_to_its_peers() {
    let node = node("n").await;
    let stranger = Stranger::meet(&node).await;
    node.close();
    let heard = stranger.read_to_end();
    assert_eq!(heard.last(), Some(&ControlFrame::Leaving), "{heard:?}");
    node.closed().await;
}
