//! What a node does after a panic in each of its tasks. Such a panic is an error of this library;
//! these tests cause one at the points of [`inject`].

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use super::tasks::inject;
use crate::config::Config;
use crate::error::DialError;
use crate::message::Outgoing;
use crate::node::{Node, WaitCondition};

const SOON: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(5);

async fn start(name: &str) -> Node {
    let config = Config::builder(name).bind("127.0.0.1").port(0).build().expect("valid");
    Node::start(config).await.expect("started")
}

fn address(node: &Node) -> String {
    format!("127.0.0.1:{}", node.port())
}

fn counter(node: &Node, name: &str) -> u64 {
    node.stats().value(name).expect("a counter")
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(LOOK).await;
    }
}

async fn know_each_other(a: &Node, b: &Node) {
    for node in [a, b] {
        node.wait_for(WaitCondition::Count(2), SOON).await.expect("linked");
    }
}

#[tokio::test]
async fn a_dial_whose_task_panics_fails_and_the_next_one_succeeds() {
    let (a, b) = (start("dial-a").await, start("dial-b").await);
    inject::arm("dial", "dial-a");
    let failed = a.dial(&address(&b)).await.expect_err("its task panicked");
    let DialError::Broken(reason) = &failed else { panic!("{failed:?}") };
    assert!(reason.contains("injected at dial"), "{reason}");
    assert_eq!(counter(&a, "tasks_panicked"), 1);
    a.dial(&address(&b)).await.expect("linked");
}

#[tokio::test]
async fn a_handshake_that_panics_is_closed_and_its_permit_returned() {
    let (a, b) = (start("shake-a").await, start("shake-b").await);
    inject::arm("handshake", "shake-b");
    a.dial(&address(&b)).await.expect_err("the other end panicked");
    assert_eq!(counter(&b, "tasks_panicked"), 1);
    assert_eq!(counter(&b, "net_handshakes_failed"), 1);
    a.dial(&address(&b)).await.expect("linked");
}

#[tokio::test]
async fn a_listener_that_panics_listens_again() {
    let (a, b) = (start("listen-a").await, start("listen-b").await);
    inject::arm("listener", "listen-b");
    a.dial(&address(&b)).await.expect_err("the connection was dropped");
    assert_eq!(counter(&b, "tasks_panicked"), 1);
    a.dial(&address(&b)).await.expect("linked");
}

#[tokio::test]
async fn a_link_whose_task_panics_goes_down_at_both_ends() {
    for (point, a, b) in
        [("link reader", "reader-a", "reader-b"), ("link writer", "writer-a", "writer-b")]
    {
        let (a, b) = (start(a).await, start(b).await);
        a.dial(&address(&b)).await.expect("linked");
        know_each_other(&a, &b).await;
        inject::arm(point, b.name().as_str());
        // Its acknowledgement makes both tasks of the other end run.
        let report = a.send(Outgoing::broadcast("x").timeout(SOON)).await.expect("sent");
        until("the panic", || counter(&b, "tasks_panicked") == 1).await;
        until("no link", || a.peers().is_empty() && b.peers().is_empty()).await;
        drop(report);
        a.dial(&address(&b)).await.expect("linked again");
        know_each_other(&a, &b).await;
        let report = a.broadcast("y").await.expect("sent");
        assert!(report.all_delivered(), "{point}: {report:?}");
    }
}

#[tokio::test]
async fn discovery_that_panics_receives_again() {
    let port = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let port = port.expect("a free port").port();
    let config = Config::builder("discover").port(port).listen_port(0).bind("127.0.0.1");
    let config = config.build().expect("valid");
    let node = Node::start(config).await.expect("started");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    inject::arm("discovery", "discover");
    until("two datagrams", || {
        socket.send_to(b"x", ("127.0.0.1", port)).expect("sent");
        counter(&node, "net_in_datagrams_malformed") >= 1
    })
    .await;
    assert_eq!(counter(&node, "tasks_panicked"), 1);
}

#[tokio::test]
async fn sends_end_by_their_deadline_after_a_panic_of_the_task_for_deadlines() {
    let (a, b) = (start("late-a").await, start("late-b").await);
    a.dial(&address(&b)).await.expect("linked");
    know_each_other(&a, &b).await;
    inject::arm("deadlines", "late-a");
    // The other end's inbox fills, so that a send waits until its deadline.
    let mut busy = false;
    for _ in 0..10_000 {
        let outgoing = Outgoing::broadcast("x").timeout(Duration::from_millis(50));
        let report = a.send(outgoing).await.expect("sent");
        busy = !report.all_delivered();
        if busy {
            break;
        }
    }
    assert!(busy, "the inbox is bounded");
    until("the panic", || counter(&a, "tasks_panicked") == 1).await;
}

#[tokio::test]
async fn a_node_whose_control_task_panics_is_closed() {
    let node = start("control").await;
    let mut events = node.events();
    inject::arm("control", "control");
    node.close();
    tokio::time::timeout(SOON, node.closed()).await.expect("closed");
    assert_eq!(events.next().await, None);
    assert_eq!(counter(&node, "tasks_panicked"), 1);
}
