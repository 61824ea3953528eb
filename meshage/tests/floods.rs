//! Peers that flood a node, and strangers that take its places: honest members go on.
#![cfg(feature = "net")]
#![allow(clippy::disallowed_methods, reason = "these tests run in real time")]

mod common;
#[path = "../examples/attack/floods.rs"]
#[allow(dead_code, reason = "the program uses more of it")]
mod floods;
#[path = "../examples/attack/mesh.rs"]
#[allow(dead_code, reason = "the program uses more of it")]
mod mesh;
#[path = "../examples/attack/peer.rs"]
#[allow(dead_code, reason = "the program uses more of it")]
mod peer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{SOON, address, count, line, link, name, node, until};
use floods::Flood;
use meshage::{Instance, Outgoing};
use peer::RawPeer;
use tokio::net::TcpSocket;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honest_messages_pass_through_a_node_that_a_peer_floods_and_the_flood_is_counted() {
    let floods = [
        (Flood::UnknownRecipients, "net_links_paused"),
        (Flood::Refusals, "net_links_paused"),
        (Flood::RefusalsForwarded, "net_links_paused"),
        (Flood::Queries, "net_links_paused"),
        (Flood::QueriesForOthers, "net_links_paused"),
        (Flood::InventedNodes, "announcements_postponed"),
        (Flood::OwnAnnouncements, "announcements_postponed"),
        (Flood::ForgedAnnouncements, "announcements_postponed"),
        (Flood::Claims, "claims_limited"),
    ];
    for (flood, counter) in floods {
        let nodes = line(&["a", "b", "c"]).await;
        let at = address(&nodes[1]);
        let member = mesh::Member::new("Attacker", Instance(77)).expect("valid");
        let mut peer = RawPeer::connect(&at, &member).expect("connected");
        let known = peer.join().expect("linked");
        let other = known.into_iter().find(|node| node.name == name("c")).expect("c is known");
        peer.discard_arrivals().expect("started");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let flooding = std::thread::spawn(move || {
            let mut sent = 0;
            while !stopped.load(Ordering::Relaxed) {
                let (bytes, frames) = flood.write(&peer, &other, sent).expect("valid");
                if peer.send_bytes(&bytes).is_err() {
                    return;
                }
                sent += frames;
            }
        });
        until(&format!("{flood:?} is limited"), || count(&nodes[1], counter) > 0).await;
        for _ in 0..100 {
            let outgoing = Outgoing::set([name("c")], "x").timeout(SOON);
            let report = nodes[0].send(outgoing).await.expect("sent");
            assert!(report.all_delivered(), "{flood:?}: {report:?}");
        }
        let lost: u64 = nodes.iter().map(|node| count(node, "links_lost")).sum();
        assert_eq!(lost, 0, "{flood:?}: no link ends");
        stop.store(true, Ordering::Relaxed);
        for node in &nodes {
            node.close();
        }
        for node in &nodes {
            node.closed().await;
        }
        flooding.join().expect("no panic");
    }
}

/// Connects from an address of the loopback and sends nothing.
async fn connect_from(host: [u8; 4], to: &str) -> tokio::net::TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((host, 0).into()).expect("bound");
    socket.connect(to.parse().expect("valid")).await.expect("connected")
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn known_hosts_and_newcomers_get_in_beside_four_hundred_silent_connections() {
    let (a, b) = (node("a").await, node("b").await);
    link(&b, &a).await;
    b.hangup("a").await.expect("linked");
    until("it is gone", || a.peers().is_empty()).await;
    let at = address(&a);
    let mut silent = Vec::new();
    for number in 0..400_u32 {
        silent.push(connect_from([127, 1, 0, (number % 200) as u8 + 1], &at).await);
    }
    let known = count(&a, "net_accepted_known");
    link(&b, &a).await;
    assert_eq!(count(&a, "net_accepted_known"), known + 1, "it did not wait for a place");
    let begin = std::time::Instant::now();
    let mut newcomer = connect_from([127, 2, 0, 1], &at).await;
    // A node sends its hello as soon as the connection has a place.
    use tokio::io::AsyncReadExt as _;
    newcomer.read_exact(&mut [0; 4]).await.expect("a hello");
    assert!(begin.elapsed() < Duration::from_secs(5), "the oldest silent ones gave their places");
    assert!(count(&a, "net_handshakes_evicted") > 0);
    drop(silent);
}
