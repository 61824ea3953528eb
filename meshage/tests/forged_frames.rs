//! A neighbour that forges frames in the names of other nodes, over real sockets: it silences nobody,
//! and each kind of forgery is dropped and counted.
#![cfg(feature = "net")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use common::{SOON, address, count, line, name, until};
use meshage::wire::ack::{AckEntry, AckFrame, Refusal, Verdict};
use meshage::wire::control::{Announcement, ControlFrame};
use meshage::wire::data::{Channel, DataFrame, DataHeader, MessageSequence, Target, Targets};
use meshage::wire::deframe::Deframer;
use meshage::wire::frame::{FrameKind, WireFrame};
use meshage::wire::hello::{Hello, PREFACE_BYTES, Purpose};
use meshage::{Instance, LOLLIPOP_LENGTH, Namespace, Node, Outcome, Outgoing};

const SET: Channel = Channel { broadcast: false, large: false };
const FAR: u64 = 1 << 62;

/// The liar: a node without a data plane, linked to one node.
struct Liar {
    stream: TcpStream,
    /// The sequence numbers of the messages that the node sends to it.
    numbers: Receiver<u64>,
}

impl Liar {
    const INSTANCE: Instance = Instance(7);

    /// Completes the handshake and the database exchange. Its name is less than all others, so it
    /// admits the link first.
    async fn link_to(node: &Node) -> Self {
        let mut stream = TcpStream::connect(address(node)).expect("connected");
        stream.set_read_timeout(Some(SOON)).expect("set");
        let hello = Hello {
            name: name("Liar"),
            namespace: Namespace::default(),
            instance: Self::INSTANCE,
            version: String::new(),
            capabilities: 0,
            purpose: Purpose::Dialled,
        };
        stream.write_all(&hello.encode()).expect("written");
        let mut preface = [0; PREFACE_BYTES];
        stream.read_exact(&mut preface).expect("read");
        let mut rest = vec![0; Hello::length(preface).expect("the protocol")];
        stream.read_exact(&mut rest).expect("read");
        let (sender, numbers) = channel();
        let mut reader = stream.try_clone().expect("cloned");
        let mut liar = Self { stream, numbers };
        liar.write(&ControlFrame::Admit { other_link: false }.encode());
        let announcement = Announcement {
            name: name("Liar"),
            instance: Self::INSTANCE,
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
            liar.write(&frame.encode());
        }
        until("it is a peer", || node.mesh().contains("Liar")).await;
        // What the node writes is read, so that its writes do not wait.
        reader.set_read_timeout(None).expect("set");
        std::thread::spawn(move || {
            let mut deframer = Deframer::default();
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                deframer.buffer().extend_from_slice(&bytes[..count]);
                while let Some(frame) = deframer.next_frame().expect("well-formed") {
                    if frame.kind == Some(FrameKind::Data) {
                        let frame = DataFrame::decode(frame.payload).expect("well-formed");
                        let Targets::List(list) = frame.header.targets else { continue };
                        let numbers = list.iter().filter_map(|it| it.sequence);
                        numbers.for_each(|it| sender.send(it.number).unwrap_or_default());
                    }
                }
            }
        });
        liar
    }

    /// Waits until every frame is checked: the routes have not changed for 30 s.
    async fn settle(&mut self) {
        for _ in 0..31 {
            self.write(&WireFrame::keep_alive());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    fn write(&mut self, frame: &WireFrame) {
        self.stream.write_all(&[&frame.head[..], &frame.body[..]].concat()).expect("written");
    }

    /// Sends a message in the name of `source` with a far number and floor.
    fn forge_message(&mut self, source: (&str, Instance), to: &str, channel: Channel) {
        let sequence = MessageSequence { number: FAR, floor: FAR };
        let target = Target { name: name(to), sequence: Some(sequence), oldest: FAR };
        let header = DataHeader {
            source: name(source.0),
            instance: source.1,
            id: FAR,
            channel,
            encoding: 1,
            targets: match channel.broadcast {
                true => Targets::Flood(sequence),
                false => Targets::List(vec![target].into()),
            },
            chunk: None,
            route: [name(source.0), name("Liar")].into_iter().collect(),
        };
        self.write(&DataFrame { header, body: Bytes::from_static(b"forged") }.encode());
    }

    fn forge_ack(&mut self, to: &Node, from: &str, by: Option<Instance>, verdict: Verdict) {
        let entry =
            AckEntry { to: to.instance(), from: name(from), by, channel: SET, verdict, hops: 1 };
        self.write(&AckFrame { entries: [entry].into_iter().collect() }.encode());
    }
}

async fn delivers(from: &Node, to: &str, text: &str) {
    let outgoing = Outgoing::set([name(to)], text.to_owned()).timeout(Duration::from_secs(5));
    let report = from.send(outgoing).await.expect("sent");
    assert_eq!(report.outcome(to), Some(Outcome::Delivered), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_in_the_name_of_a_node_that_is_not_behind_the_link_is_dropped_and_counted() {
    let nodes = line(&["a", "b", "c"]).await;
    let (a, c) = (&nodes[0], &nodes[2]);
    delivers(a, "c", "before").await;
    assert_eq!(c.recv().await.expect("received").text().expect("text"), "before");
    let mut liar = Liar::link_to(c).await;
    liar.settle().await;
    for channel in [SET, SET.sibling()] {
        liar.forge_message(("a", a.instance()), "c", channel);
    }
    until("both are counted", || count(c, "frames_wrong_path") == 2).await;
    delivers(a, "c", "after").await;
    assert_eq!(c.recv().await.expect("received").text().expect("text"), "after");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_forged_while_routes_change_silences_nobody() {
    let nodes = line(&["a", "b", "c"]).await;
    let (a, c) = (&nodes[0], &nodes[2]);
    let mut liar = Liar::link_to(c).await;
    for channel in [SET, SET.sibling()] {
        liar.forge_message(("a", a.instance()), "c", channel);
    }
    until("the set is refused", || count(c, "messages_doubtful") == 1).await;
    // The numbers of broadcasts are no secret, so that refusing them would gain little.
    until("the broadcast arrives", || count(c, "messages_received") == 1).await;
    delivers(a, "c", "after").await;
    let mut received = Vec::new();
    while received.last().is_none_or(|text| text != "after") {
        received.push(c.recv().await.expect("received").text().expect("text").to_owned());
    }
    assert_eq!(received, ["forged", "after"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_nodes_name_with_ones_own_instance_is_dropped_and_counted() {
    let nodes = line(&["b", "c"]).await;
    let mut liar = Liar::link_to(&nodes[1]).await;
    liar.forge_message(("b", Liar::INSTANCE), "c", SET);
    until("it is counted", || count(&nodes[1], "frames_wrong_path") == 1).await;
    assert_eq!(count(&nodes[1], "messages_received"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recipient_starts_a_channel_anew_at_the_request_of_its_source() {
    let nodes = line(&["c"]).await;
    let c = &nodes[0];
    let mut liar = Liar::link_to(c).await;
    // Here it sends in its own name, so that it may request what a source requests.
    liar.forge_message(("Liar", Liar::INSTANCE), "c", SET);
    until("the forged message arrives", || count(c, "messages_received") == 1).await;
    let restart = Verdict::Restart { claimed: FAR + 1, limit: 1 };
    liar.forge_ack(c, "Liar", Some(Liar::INSTANCE), restart);
    until("the channel starts anew", || count(c, "channel_restarts") == 1).await;
    let sequence = MessageSequence { number: 1, floor: 1 };
    let header = DataHeader {
        source: name("Liar"),
        instance: Liar::INSTANCE,
        id: 1,
        channel: SET,
        encoding: 1,
        targets: Targets::List(
            vec![Target { name: name("c"), sequence: Some(sequence), oldest: 1 }].into(),
        ),
        chunk: None,
        route: name("Liar").into(),
    };
    liar.write(&DataFrame { header, body: Bytes::from_static(b"first") }.encode());
    until("the next message arrives", || count(c, "messages_received") == 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledgements_of_what_was_never_sent_are_dropped_and_counted() {
    let nodes = line(&["a", "c"]).await;
    let (a, c) = (&nodes[0], &nodes[1]);
    delivers(a, "c", "before").await;
    let mut liar = Liar::link_to(a).await;
    let delivered = Verdict::Delivered { next: 1 };
    liar.settle().await;
    liar.forge_ack(a, "c", Some(c.instance()), delivered);
    until("it came over the wrong link", || count(a, "acks_wrong_path") == 1).await;
    liar.forge_ack(a, "c", Some(Liar::INSTANCE), delivered);
    until("it is not from the recipient", || count(a, "acks_not_recipient") == 1).await;
    delivers(a, "c", "after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recipient_that_acknowledges_or_refuses_too_much_is_not_believed() {
    let nodes = line(&["a"]).await;
    let a = &nodes[0];
    let mut liar = Liar::link_to(a).await;
    let outgoing = Outgoing::set([name("Liar")], "x").timeout(SOON);
    let mut pending = a.start_send(outgoing).expect("sent");
    let number = liar.numbers.recv().expect("the message");
    let by = Some(Liar::INSTANCE);
    let refusal = Refusal::TooLarge;
    liar.forge_ack(a, "Liar", by, Verdict::Refused { number: FAR, refusal });
    liar.forge_ack(a, "Liar", by, Verdict::Progress { number, received: FAR });
    until("both are counted", || count(a, "acks_beyond_sent") == 2).await;
    liar.forge_ack(a, "Liar", by, Verdict::Delivered { next: FAR });
    until("it must start anew", || count(a, "channel_restarts_requested") == 1).await;
    assert!(pending.try_wait().is_none(), "the message has no outcome yet");
    liar.forge_ack(a, "Liar", by, Verdict::Delivered { next: number + 1 });
    assert!(pending.wait().await.expect("sent").all_delivered());
}
