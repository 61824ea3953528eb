//! Peers that complete the handshake and then misbehave. Each is a bare socket.
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

/// A peer with the name "a": the lesser name, which admits first.
struct RawPeer {
    stream: TcpStream,
    deframer: Deframer,
}

impl RawPeer {
    /// Connects and completes the handshake and the database exchange. The node then has it as a
    /// peer.
    async fn link_to(node: &Node) -> Self {
        let mut peer = Self::connect(node);
        peer.send(&ControlFrame::Admit { other_link: false }.encode());
        let announcement = Announcement {
            name: name("a"),
            instance: Instance(7),
            sequence: meshage::name::Sequence(LOLLIPOP_LENGTH),
            claim: meshage::name::Claim::FIRST,
            leaving: false,
            peers: vec![node.instance()],
        };
        for frame in [
            ControlFrame::Digest { entries: Vec::new(), last: true },
            ControlFrame::Announce(announcement),
            ControlFrame::Synced,
        ] {
            peer.send(&frame.encode());
        }
        until("it is a peer", || node.peers() == [name("a")] && node.mesh().contains("a")).await;
        peer
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
        stream.write_all(&hello.encode()).expect("written");
        let mut preface = [0; PREFACE_BYTES];
        stream.read_exact(&mut preface).expect("read");
        let mut rest = vec![0; Hello::length(preface).expect("the protocol")];
        stream.read_exact(&mut rest).expect("read");
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

    /// Reads until the node has closed the connection, and returns the control frames.
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
async fn a_frame_of_an_unknown_kind_is_skipped() {
    let node = node("n").await;
    let mut peer = RawPeer::link_to(&node).await;
    peer.send_bytes(&[3, 0, 0, 0, 200, 1, 2]);
    peer.send(&WireFrame::keep_alive());
    until("the frame is counted", || count(&node, "net_in_frames_unknown") == 1).await;
    assert_eq!(node.peers(), [name("a")], "the link stays up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_whose_peer_breaks_the_protocol_is_closed_and_counted() {
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
        let mut peer = RawPeer::link_to(&node).await;
        peer.send_bytes(breach);
        peer.read_to_end();
        until("the peer is removed", || node.peers().is_empty() && node.mesh().len() == 1).await;
        assert_eq!(count(&node, "net_breaches"), 1, "{breach:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_peer_is_removed_within_four_seconds_even_with_sends_outstanding() {
    let node = node("n").await;
    let peer = RawPeer::link_to(&node).await;
    // More than the sockets hold, to a peer that reads nothing.
    let outgoing = Outgoing::set([name("a")], vec![0; 32 << 20]).timeout(SOON);
    let mut pending = node.start_send(outgoing).expect("started");
    let removed = || node.peers().is_empty();
    within(Duration::from_secs(4), "the peer is removed", removed).await;
    assert_eq!(pending.wait().await.expect("sent").outcome("a"), Some(Outcome::Lost));
    drop(peer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_floods_control_frames_does_not_slow_other_peers() {
    let (n, other) = (node("n").await, node("other").await);
    link(&n, &other).await;
    let mut peer = RawPeer::connect(&n);
    peer.send(&ControlFrame::Admit { other_link: false }.encode());
    let frame = ControlFrame::Digest {
        entries: vec![(Instance(7), meshage::name::Sequence(1)); 1000],
        last: false,
    }
    .encode();
    let flood = std::thread::spawn(move || {
        let bytes = [&frame.head[..], &frame.body[..]].concat();
        for _ in 0..20_000 {
            if peer.stream.write_all(&bytes).is_err() {
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
    flood.join().expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_closes_notifies_its_peers() {
    let node = node("n").await;
    let peer = RawPeer::link_to(&node).await;
    node.close();
    let frames = peer.read_to_end();
    assert_eq!(frames.last(), Some(&ControlFrame::Leaving), "{frames:?}");
    node.closed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_of_a_peer_that_violates_the_protocol_is_a_strangers() {
    let b = node("b").await;
    // A host that has completed a handshake is known.
    drop(RawPeer::link_to(&b).await);
    until("the link ended", || b.peers().is_empty()).await;
    let mut peer = RawPeer::link_to(&b).await;
    assert_eq!(count(&b, "net_accepted_known"), 1);
    peer.send_bytes(&u32::try_from(FRAME_BYTES_MAX + 1).expect("small").to_le_bytes());
    until("the link is closed", || count(&b, "net_breaches") == 1 && b.peers().is_empty()).await;
    let _peer = RawPeer::connect(&b);
    until("it is accepted", || count(&b, "net_accepted") == 3).await;
    assert_eq!(count(&b, "net_accepted_known"), 1, "the third one waited as a stranger's");
}
