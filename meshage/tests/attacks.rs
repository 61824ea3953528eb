//! Every attack of `cargo xtask attack`, in short: while it runs, honest members go on, and what is
//! refused is counted. The command measures times and memory in processes of their own.
#![cfg(feature = "net")]
#![allow(clippy::disallowed_methods, reason = "these tests run in real time")]

#[path = "../examples/attack/attacks.rs"]
#[allow(dead_code, reason = "the program uses more of it")]
mod attacks;
mod common;
#[path = "../examples/attack/datagrams.rs"]
mod datagrams;
#[path = "../examples/attack/floods.rs"]
#[allow(dead_code, reason = "the program uses more of it")]
mod floods;
#[path = "../examples/attack/mesh.rs"]
#[allow(dead_code, reason = "the program uses more of it")]
mod mesh;
#[path = "../examples/attack/peer.rs"]
#[allow(dead_code, reason = "the program uses more of it")]
mod peer;
#[path = "../examples/attack/strangers.rs"]
mod strangers;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use attacks::{ATTACKER, Attack, REVOKED, Target};
use common::{SOON, address, count, know_all, link, soon, start, udp_port, until};
use mesh::{Mesh, Mode, REMOVED_KEY, key};
use meshage::{Node, Outgoing};

/// The honest messages that are sent during an attack, at least.
const MESSAGES: u64 = 50;
/// The connections of the attacks that keep many open: few enough for the descriptors of a process.
const CONNECTIONS: u32 = 200;
/// The most memory of this process: three nodes, an attacker, and 64 MiB of frames.
const MEMORY_MAX: u64 = 256 << 20;

/// Nodes a, b and c in a line, where b is attacked, and the files of their mesh.
async fn line(mode: Mode) -> (Vec<Node>, Target) {
    let mesh = Mesh::new(mode).expect("a folder");
    let datagrams = udp_port();
    let mut nodes = Vec::new();
    for name in ["a", "b", "c"] {
        let mut config = mesh.member(name).expect("written");
        if name == "b" {
            config = config.port(datagrams).listen_port(0).broadcast("127.0.0.1:9");
            if mode.is_closed() {
                config = config.key(key(REMOVED_KEY));
            }
        }
        nodes.push(start(config).await);
    }
    let b = &nodes[1];
    if mode.is_closed() {
        b.keys().remove(key(REMOVED_KEY).id()).expect("not primary");
    }
    if mode.binds_names() {
        b.revoke(&Mesh::revocation(REVOKED).expect("valid")).expect("of the root");
    }
    for pair in nodes.windows(2) {
        link(&pair[0], &pair[1]).await;
    }
    know_all(&nodes).await;
    let target = Target {
        mesh,
        address: address(&nodes[1]).parse().expect("valid"),
        datagrams: ([127, 0, 0, 1], datagrams).into(),
        connections: CONNECTIONS,
    };
    (nodes, target)
}

/// The memory of this process, where the system reports it (Linux).
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

/// Sends from a to c until every counter of the attack has grown.
async fn withstands(attack: Attack, mode: Mode) {
    let Some(counters) = attack.counted(mode) else { return };
    let what = format!("{} on a mesh that is {}", attack.name(), mode.name());
    let (nodes, target) = line(mode).await;
    let nodes: Vec<Arc<Node>> = nodes.into_iter().map(Arc::new).collect();
    let (arrivals, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let receiver = tokio::spawn({
        let c = nodes[2].clone();
        async move {
            while let Ok(message) = c.recv().await {
                // A hostile member may send in its own name.
                if message.source.as_str() != ATTACKER && arrivals.send(message).is_err() {
                    return;
                }
            }
        }
    });
    let counted = |counter: &str| nodes.iter().map(|node| count(node, counter)).sum::<u64>();
    let before: Vec<u64> = counters.iter().map(|counter| counted(counter)).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let attacker =
        std::thread::spawn(move || attack.run(&target, &|| !stopped.load(Ordering::Relaxed)));
    let begin = std::time::Instant::now();
    let mut sent = 0;
    loop {
        sent += 1;
        let body = sent.to_string();
        let outgoing = Outgoing::set([nodes[2].name().clone()], body.clone()).timeout(SOON);
        let report = soon(nodes[0].send(outgoing)).await.expect("sent");
        assert!(report.all_delivered(), "{what}: {report:?}");
        let message = soon(arrived.recv()).await.expect("received");
        assert_eq!(message.source, *nodes[0].name(), "{what}");
        assert_eq!(message.text().expect("text"), body, "{what}");
        assert!(memory() < MEMORY_MAX, "{what}: {} bytes of memory", memory());
        let all = counters.iter().zip(&before).all(|(counter, before)| counted(counter) > *before);
        if all && sent >= MESSAGES {
            break;
        }
        let values: Vec<_> = counters.iter().map(|counter| (counter, counted(counter))).collect();
        assert!(begin.elapsed() < SOON, "{what}: not all are counted: {values:?}");
    }
    stop.store(true, Ordering::Relaxed);
    until(&format!("the attacker has ended: {what}"), || attacker.is_finished()).await;
    attacker.join().expect("no panic").unwrap_or_else(|error| panic!("{what}: {error}"));
    receiver.abort();
    for node in [&nodes[0], &nodes[2]] {
        assert_eq!(count(node, "links_lost"), 0, "{what}");
    }
    for node in &nodes {
        assert_eq!(count(node, "tasks_panicked"), 0, "{what}");
    }
}

async fn withstands_all(mode: Mode, of_strangers: bool) {
    for attack in Attack::all() {
        if attack.is_of_stranger() == of_strangers {
            withstands(attack, mode).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_mesh_withstands_strangers() {
    withstands_all(Mode::Open, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_mesh_withstands_strangers() {
    withstands_all(Mode::Closed, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_mesh_withstands_a_hostile_peer() {
    withstands_all(Mode::Open, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_mesh_withstands_a_hostile_holder_of_its_key() {
    withstands_all(Mode::Closed, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_with_tickets_withstands_holders_of_its_key_without_a_valid_one() {
    withstands_all(Mode::Allowed, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_mesh_withstands_a_hostile_member() {
    withstands_all(Mode::Signed, false).await;
}
