//! Helpers of the tests with real sockets. Every node listens on a free port of the loopback.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::disallowed_methods, reason = "these tests run in real time")]

use std::future::Future;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use meshage::{Config, ConfigBuilder, Event, Events, Key, Node, NodeName, WaitCondition};

/// The time limit of a wait for something that is certain to happen.
pub const SOON: Duration = Duration::from_secs(20);

/// The variable that makes the nodes of these tests a closed mesh.
pub const CLOSED: &str = "MESHAGE_TEST_CLOSED";

/// A configuration isolated from other tests: no solicitations, any free port of the loopback. With
/// the variable [`CLOSED`], it has a key.
pub fn quiet(name: &str) -> ConfigBuilder {
    as_tested(open(name))
}

/// Adds a key if the tests run in a closed mesh.
pub fn as_tested(builder: ConfigBuilder) -> ConfigBuilder {
    match std::env::var_os(CLOSED) {
        Some(_) => builder.key(Key::from_bytes(&[1; 32])),
        None => builder,
    }
}

/// As [`quiet`], but never with a key.
pub fn open(name: &str) -> ConfigBuilder {
    Config::builder(name).bind("127.0.0.1").port(0)
}

/// Starts a node.
pub async fn start(builder: ConfigBuilder) -> Node {
    Node::start(builder.build().expect("a valid configuration")).await.expect("started")
}

/// Starts a quiet node.
pub async fn node(name: &str) -> Node {
    start(quiet(name)).await
}

/// The address to dial a node at.
pub fn address(node: &Node) -> String {
    format!("127.0.0.1:{}", node.port())
}

/// A node name.
pub fn name(text: &str) -> NodeName {
    NodeName::new(text).expect("a valid name")
}

/// Links one node to another.
pub async fn link(from: &Node, to: &Node) {
    let linked = from.dial(&address(to)).await.expect("linked");
    assert_eq!(linked, *to.name());
}

/// Starts quiet nodes, links each to the next and waits until every node knows all others.
pub async fn line(names: &[&str]) -> Vec<Node> {
    let mut nodes = Vec::new();
    for name in names {
        nodes.push(node(name).await);
    }
    for pair in nodes.windows(2) {
        link(&pair[0], &pair[1]).await;
    }
    know_all(&nodes).await;
    nodes
}

/// Waits until every node knows all of these nodes.
pub async fn know_all(nodes: &[Node]) {
    for node in nodes {
        node.wait_for(WaitCondition::Count(nodes.len()), SOON)
            .await
            .expect("every node knows all others");
    }
}

/// Waits until a condition holds.
pub async fn until(what: &str, condition: impl FnMut() -> bool) {
    within(SOON, what, condition).await;
}

/// Waits until a condition holds, up to a limit, and returns how long it took.
pub async fn within(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}

/// Waits for a future that is certain to complete.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(SOON, future).await.expect("completes soon")
}

/// Waits for an event that matches.
pub async fn until_event(events: &mut Events, matches: impl Fn(&Event) -> bool) -> Event {
    loop {
        let event = soon(events.next()).await.expect("an event");
        if matches(&event) {
            return event;
        }
    }
}

/// An unused UDP port for the solicitations of one test.
pub fn udp_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("bound").port()
}

/// The value of a counter.
pub fn count(node: &Node, counter: &str) -> u64 {
    node.stats().value(counter).unwrap_or_else(|| panic!("no counter {counter:?}"))
}
