//! Closed meshes over real sockets: who may join, what travels, and how keys are changed.
#![cfg(feature = "net")]
#![allow(clippy::disallowed_methods, reason = "these tests run in real time")]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{
    SOON, address, count, know_all, link, name, open, soon, start, until, until_event, within,
};
use meshage::{
    AuthError, ConfigBuilder, DialError, Event, Key, KeyId, LinkEnd, Node, Outgoing, Refusal,
};

fn key(number: u8) -> Key {
    Key::from_bytes(&[number; 32])
}

fn id(number: u8) -> KeyId {
    key(number).id()
}

fn with_keys(builder: ConfigBuilder, keys: &[u8]) -> ConfigBuilder {
    keys.iter().fold(builder, |builder, number| builder.key(key(*number)))
}

/// Starts a quiet node with these keys.
async fn closed(name: &str, keys: &[u8]) -> Node {
    start(with_keys(open(name), keys)).await
}

/// Starts nodes with these keys, and links each to the next.
async fn closed_line(names: &[&str], keys: &[u8]) -> Vec<Node> {
    let mut nodes = Vec::new();
    for name in names {
        nodes.push(closed(name, keys).await);
    }
    for pair in nodes.windows(2) {
        link(&pair[0], &pair[1]).await;
    }
    know_all(&nodes).await;
    nodes
}

/// The error of a dial that must fail for lack of a key.
async fn denied(from: &Node, to: &Node) -> AuthError {
    match soon(from.dial(&address(to))).await {
        Err(DialError::Auth(error)) => error,
        other => panic!("not denied: {other:?}"),
    }
}

/// The ids of the event that reports a node without a common key.
async fn mismatch(events: &mut meshage::Events) -> Vec<KeyId> {
    let event = until_event(events, |event| matches!(event, Event::KeyMismatch { .. })).await;
    let Event::KeyMismatch { heard, .. } = event else { unreachable!() };
    heard
}

async fn send(from: &Node, to: &Node, body: Vec<u8>) {
    let outgoing = Outgoing::set([to.name().clone()], body.clone()).timeout(SOON);
    let report = soon(from.send(outgoing)).await.expect("sent");
    assert!(report.all_delivered(), "{report:?}");
    let message = soon(to.recv()).await.expect("received");
    assert!(message.body == body, "the body of {} bytes is another", body.len());
}

#[tokio::test]
async fn two_holders_of_a_key_exchange_messages() {
    let nodes = closed_line(&["a", "b"], &[1]).await;
    for number in 0..1000_usize {
        send(&nodes[0], &nodes[1], vec![number as u8; number * 100]).await;
    }
    assert_eq!(count(&nodes[0], "links_sealed"), 1);
    assert_eq!(count(&nodes[0], "links_under_primary_key"), 1);
}

#[tokio::test]
async fn a_node_with_another_key_is_denied_and_both_learn_the_key_ids() {
    let (a, b) = (closed("a", &[1]).await, closed("b", &[2]).await);
    let (mut heard_by_a, mut heard_by_b) = (a.events(), b.events());
    let error = denied(&a, &b).await;
    assert_eq!(error, AuthError::NoCommonKey { own: vec![id(1)], heard: vec![id(2)] });
    let text = error.to_string();
    assert!(text.contains(&id(1).to_string()) && text.contains(&id(2).to_string()), "{text}");
    assert_eq!(mismatch(&mut heard_by_a).await, [id(2)]);
    assert_eq!(mismatch(&mut heard_by_b).await, [id(1)]);
    for node in [&a, &b] {
        assert_eq!(count(node, "denied_no_common_key"), 1);
        assert!(node.peers().is_empty());
    }
    // The second time within a minute, no event is added.
    denied(&a, &b).await;
    until("counted", || count(&b, "denied_no_common_key") == 2).await;
    for (node, events) in [(&a, &mut heard_by_a), (&b, &mut heard_by_b)] {
        assert_eq!(events.try_next(), None);
        assert_eq!(count(node, "key_mismatches_unreported"), 1);
    }
}

#[tokio::test]
async fn an_open_node_and_a_closed_one_deny_each_other_with_clear_errors() {
    let (open, closed) = (start(open("open")).await, closed("closed", &[1]).await);
    let (mut open_events, mut closed_events) = (open.events(), closed.events());

    let error = denied(&open, &closed).await;
    assert_eq!(error, AuthError::PeerIsClosed { heard: vec![id(1)] });
    let text = error.to_string();
    assert!(text.contains("requires a key") && text.contains(&id(1).to_string()), "{text}");
    assert_eq!(mismatch(&mut open_events).await, [id(1)]);
    assert_eq!(mismatch(&mut closed_events).await, []);
    assert_eq!(count(&open, "denied_sealed"), 1);
    assert_eq!(count(&closed, "denied_plaintext"), 1);

    let error = denied(&closed, &open).await;
    assert_eq!(error, AuthError::PeerIsOpen);
    assert!(error.to_string().contains("does not encrypt"), "{error}");
    assert_eq!(count(&closed, "denied_plaintext"), 2);
    until("the open node has counted", || count(&open, "denied_sealed") == 2).await;
}

#[tokio::test]
async fn two_nodes_with_one_of_several_keys_in_common_use_this_one() {
    let (a, b) = (closed("a", &[1, 2, 3]).await, closed("b", &[4, 3]).await);
    link(&a, &b).await;
    let nodes = [a, b];
    know_all(&nodes).await;
    send(&nodes[0], &nodes[1], b"x".to_vec()).await;
    assert_eq!(count(&nodes[0], "links_under_primary_key"), 0);
    // The keys that both have, and the primary of neither.
    nodes[0].keys().use_key(id(3)).expect("known");
    until("no change", || count(&nodes[0], "links_under_primary_key") == 1).await;
}

#[tokio::test]
async fn large_bodies_and_many_small_ones_cross_sealed_links_and_a_relay() {
    let names = ["a", "relay", "c"];
    let nodes = closed_line(&names, &[1]).await;
    let (a, c) = (&nodes[0], &nodes[2]);
    for bytes in [64 << 20, 1 << 20, (1 << 20) + 1, 65_517, 65_518, 65_519] {
        let body: Vec<u8> = (0..bytes as u32).map(|at| (at ^ at >> 8 ^ at >> 16) as u8).collect();
        send(a, c, body).await;
    }
    let mut pending = Vec::new();
    for number in 0..5000_u32 {
        let body = number.to_le_bytes().to_vec();
        pending.push(a.start_send(Outgoing::set([name("c")], body).timeout(SOON)).expect("begun"));
        if pending.len() == 500 {
            for mut sent in pending.drain(..) {
                assert!(soon(sent.wait()).await.expect("sent").all_delivered());
            }
            for expected in number - 499..=number {
                let message = soon(c.recv()).await.expect("received");
                assert_eq!(message.body, expected.to_le_bytes().to_vec());
            }
        }
    }
}

/// What a node of the rotation does beside it.
struct Load {
    stop: Arc<AtomicBool>,
    /// Each send: when it began, and how long it took.
    sends: Vec<tokio::task::JoinHandle<Vec<(Instant, Duration)>>>,
    receives: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    /// Each node sends to the third one after it, without a pause.
    fn start(nodes: &[Arc<Node>]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut load = Self { stop: stop.clone(), sends: Vec::new(), receives: Vec::new() };
        for (at, node) in nodes.iter().enumerate() {
            let (from, to) = (node.clone(), nodes[(at + 3) % nodes.len()].name().clone());
            let stop = stop.clone();
            load.sends.push(tokio::spawn(async move {
                let mut times = Vec::new();
                let mut number = 0_usize;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    let bytes = if number.is_multiple_of(16) { 200_000 } else { 64 };
                    let outgoing = Outgoing::set([to.clone()], vec![7; bytes]).timeout(SOON);
                    let begin = Instant::now();
                    let report = from.send(outgoing).await.expect("sent");
                    assert!(report.all_delivered(), "{report:?}");
                    times.push((begin, begin.elapsed()));
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                times
            }));
            let node = node.clone();
            load.receives.push(tokio::spawn(async move { while node.recv().await.is_ok() {} }));
        }
        load
    }

    /// The longest send that ended after an instant.
    async fn longest_since(self, since: Instant) -> (Duration, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let (mut before, mut after) = (Duration::ZERO, Duration::ZERO);
        for sender in self.sends {
            for (begin, took) in soon(sender).await.expect("no send failed") {
                let longest = if begin + took > since { &mut after } else { &mut before };
                *longest = took.max(*longest);
            }
        }
        self.receives.iter().for_each(|receiver| receiver.abort());
        (before, after)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_over_a_running_mesh_loses_and_delays_no_message_and_leaves_no_link_behind() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let nodes = closed_line(&names, &[1]).await;
    link(&nodes[7], &nodes[0]).await;
    link(&nodes[2], &nodes[6]).await;
    until("all links", || nodes.iter().all(|node| count(node, "links") >= 2)).await;
    let mut events: Vec<_> = nodes.iter().map(Node::events).collect();
    let nodes: Vec<Arc<Node>> = nodes.into_iter().map(Arc::new).collect();
    let load = Load::start(&nodes);
    // A part of the load without a rotation, to compare with.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begin = Instant::now();
    for (old, new) in [(1, 2), (2, 3), (3, 4)] {
        for node in &nodes {
            node.keys().add(key(new)).expect("room");
        }
        for node in &nodes {
            node.keys().use_key(id(new)).expect("known");
        }
        for node in &nodes {
            node.keys().remove(id(old)).expect("not primary");
        }
        within(Duration::from_secs(2), "every link is under the new key", || {
            nodes.iter().all(|node| {
                let sealed = count(node, "links_sealed");
                sealed == count(node, "links") && sealed == count(node, "links_under_primary_key")
            })
        })
        .await;
    }
    // The time in which a link under a removed key would be closed.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let (before, after) = load.longest_since(begin).await;
    assert!(after < before + Duration::from_secs(1), "{before:?}, {after:?} with rotations");
    for (node, events) in nodes.iter().zip(&mut events) {
        while let Some(event) = events.try_next() {
            let lost = matches!(event, Event::LinkDown { .. } | Event::NodeLeft { .. });
            assert!(!lost, "{}: {event:?}", node.name());
        }
        assert_eq!(node.keys().ids(), [id(4)]);
    }
}

#[tokio::test]
async fn a_node_that_was_stopped_during_a_rotation_says_so_and_is_back_once_it_has_the_key() {
    let nodes = closed_line(&["a", "b"], &[1]).await;
    let late = closed("late", &[1]).await;
    link(&late, &nodes[0]).await;
    late.close();
    soon(late.closed()).await;
    for node in &nodes {
        node.keys().add(key(2)).expect("room");
        node.keys().use_key(id(2)).expect("known");
        node.keys().remove(id(1)).expect("not primary");
    }
    let late = start(with_keys(open("late").seed(address(&nodes[0])), &[1])).await;
    let mut events = late.events();
    assert_eq!(mismatch(&mut events).await, [id(2)]);
    // By then it waits for seconds between two dials.
    until("some dials have failed", || count(&late, "dials_failed") >= 6).await;
    late.keys().add(key(2)).expect("room");
    let limit = Duration::from_secs(5);
    within(limit, "it is back", || late.peers() == [name("a")]).await;
    know_all(&nodes).await;
    send(&late, &nodes[1], b"back".to_vec()).await;
}

#[tokio::test]
async fn a_link_whose_peer_lacks_the_new_key_is_closed_two_seconds_after_the_old_one_is_removed() {
    let nodes = closed_line(&["a", "b"], &[1]).await;
    let (mut events, mut other_events) = (nodes[0].events(), nodes[1].events());
    nodes[0].keys().add(key(2)).expect("room");
    nodes[0].keys().use_key(id(2)).expect("known");
    send(&nodes[0], &nodes[1], b"under the old key".to_vec()).await;
    nodes[0].keys().remove(id(1)).expect("not primary");
    let begin = Instant::now();
    let down = |event: &Event| matches!(event, Event::LinkDown { .. });
    let Event::LinkDown { reason, .. } = until_event(&mut events, down).await else {
        unreachable!()
    };
    assert!(begin.elapsed() >= Duration::from_millis(1900), "{:?}", begin.elapsed());
    let error = AuthError::NoCommonKey { own: vec![id(2)], heard: vec![id(1)] };
    assert_eq!(reason, LinkEnd::Auth(error));
    let Event::LinkDown { reason, .. } = until_event(&mut other_events, down).await else {
        unreachable!()
    };
    // The other end knows the ring of this one, and may come to the same conclusion first.
    let refused = LinkEnd::Auth(AuthError::RefusedByPeer(Refusal::KeyRemoved));
    let error = AuthError::NoCommonKey { own: vec![id(1)], heard: vec![id(2)] };
    assert!(reason == refused || reason == LinkEnd::Auth(error), "{reason}");
    assert_eq!(count(&nodes[0], "denied_no_common_key"), 1);
    let counted = count(&nodes[1], "denied_by_peer") + count(&nodes[1], "denied_no_common_key");
    assert_eq!(counted, 1);
}

#[cfg(unix)]
#[tokio::test]
async fn keys_are_read_again_from_their_file() {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = std::env::temp_dir().join(format!("meshage-keys-{}", std::process::id()));
    let write = |bytes: &[u8]| {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&path).and_then(|mut file| file.write_all(bytes)).expect("written");
    };
    let (first, second) = ("01".repeat(32), "02".repeat(32));
    write(first.as_bytes());
    let a = start(open("a").key_file(&path)).await;
    let b = closed("b", &[1]).await;
    link(&a, &b).await;
    assert_eq!(a.keys().ids(), [id(1)]);
    write(format!("{second} # the new one\n{first}\n").as_bytes());
    a.keys().reload().expect("readable");
    assert_eq!(a.keys().ids(), [id(2), id(1)]);
    b.keys().add(key(2)).expect("room");
    until("the link moved", || count(&a, "links_under_primary_key") == 0).await;
    b.keys().use_key(id(2)).expect("known");
    until("both directions moved", || count(&a, "links_under_primary_key") == 1).await;
    write(b"nonsense");
    assert!(a.keys().reload().is_err());
    assert_eq!(a.keys().ids(), [id(2), id(1)], "unchanged");
    std::fs::remove_file(&path).expect("removed");
}

/// Passes bytes between a dialler and a node, keeps a copy, and alters a byte if asked to.
struct Proxy {
    address: SocketAddr,
    captured: Arc<Mutex<Vec<u8>>>,
    /// Whether to alter the next byte that goes to the node.
    alter: Arc<AtomicBool>,
}

impl Proxy {
    fn start(to: &Node) -> Self {
        let target = address(to);
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        let (captured, alter) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let proxy = Self { address, captured: Arc::clone(&captured), alter: alter.clone() };
        let never = Arc::new(AtomicBool::new(false));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let Ok(node) = TcpStream::connect(&target) else { continue };
                let directions = [(&stream, &node, &alter), (&node, &stream, &never)];
                for (from, to, alter) in directions {
                    let from = from.try_clone().expect("a descriptor");
                    let to = to.try_clone().expect("a descriptor");
                    let (captured, alter) = (captured.clone(), alter.clone());
                    std::thread::spawn(move || copy(from, to, &captured, &alter));
                }
            }
        });
        proxy
    }

    fn captured(&self, text: &[u8]) -> bool {
        let captured = self.captured.lock().expect("not poisoned");
        captured.windows(text.len()).any(|part| part == text)
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, captured: &Mutex<Vec<u8>>, alter: &AtomicBool) {
    let mut buffer = [0; 32 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if alter.swap(false, Ordering::Relaxed) {
            buffer[length / 2] ^= 1;
        }
        captured.lock().expect("not poisoned").extend_from_slice(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[tokio::test]
async fn a_capture_of_a_sealed_link_holds_no_name_namespace_or_byte_of_a_body() {
    let secrets: [&[u8]; 4] =
        [b"name-of-the-dialler", b"name-of-the-node", b"hidden-space", b"version-of-it"];
    let body: Vec<u8> = (0..40_000_u32).flat_map(u32::to_le_bytes).collect();
    for keys in [&[][..], &[1]] {
        let configured = |name: &str| {
            with_keys(open(name).namespace("hidden-space").version("version-of-it"), keys)
        };
        let a = start(configured("name-of-the-dialler")).await;
        let b = start(configured("name-of-the-node")).await;
        let proxy = Proxy::start(&b);
        a.dial(&proxy.address.to_string()).await.expect("linked");
        let nodes = [a, b];
        know_all(&nodes).await;
        send(&nodes[0], &nodes[1], body.clone()).await;
        send(&nodes[1], &nodes[0], body[..100].to_vec()).await;
        let is_open = keys.is_empty();
        for secret in secrets {
            assert_eq!(proxy.captured(secret), is_open, "{secret:?}, open: {is_open}");
        }
        let parts = body.chunks(8).step_by(97);
        let found = parts.filter(|part| proxy.captured(part)).count();
        assert_eq!(found > 0, is_open, "{found} parts of the body, open: {is_open}");
    }
}

#[tokio::test]
async fn an_altered_byte_closes_the_link_and_nothing_wrong_is_delivered() {
    let (a, b) = (closed("a", &[1]).await, closed("b", &[1]).await);
    let proxy = Proxy::start(&b);
    let mut events = b.events();
    for round in 1..=5_u64 {
        a.dial(&proxy.address.to_string()).await.expect("linked");
        let linked = || !a.peers().is_empty() && !b.peers().is_empty();
        until("linked", linked).await;
        let bytes = 300_000 * (round as usize - 1) + 64;
        send(&a, &b, vec![round as u8; bytes]).await;
        proxy.alter.store(true, Ordering::Relaxed);
        let outgoing = Outgoing::set([name("b")], vec![99; bytes]).timeout(SOON).retry(false);
        let report = soon(a.send(outgoing)).await.expect("sent");
        assert!(!report.all_delivered(), "{report:?}");
        let down = |event: &Event| matches!(event, Event::LinkDown { .. });
        let Event::LinkDown { reason, .. } = until_event(&mut events, down).await else {
            unreachable!()
        };
        assert!(matches!(reason, LinkEnd::Auth(AuthError::NotAuthentic(_))), "{reason}");
        assert_eq!(count(&b, "denied_not_authentic"), round);
        assert!(b.try_recv().is_err(), "nothing was delivered");
        until("both ends have noticed", || a.peers().is_empty()).await;
    }
}
