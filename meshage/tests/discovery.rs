//! Discovery over UDP on the loopback.
#![allow(clippy::disallowed_methods, reason = "these tests run in real time")]
#![cfg(feature = "net")]

mod common;

use common::{SOON, know_all, name, node, quiet, soon, start, udp_port, until};
use meshage::{Config, ConfigBuilder, DialError, Event, Node, Outgoing, StartError, WaitCondition};

/// The configuration of a node that finds its peers by solicitations alone.
fn soliciting(name: &str, namespace: &str, port: u16) -> ConfigBuilder {
    Config::builder(name)
        .namespace(namespace)
        .degree(2)
        .broadcast("127.255.255.255")
        .port(port)
        .listen_port(0)
}

#[tokio::test]
async fn nodes_of_one_namespace_find_each_other() {
    let port = udp_port();
    let mut nodes = Vec::new();
    for name in ["a", "b", "c", "d"] {
        nodes.push(start(soliciting(name, "find", port)).await);
    }
    let other = start(soliciting("e", "another", port)).await;
    know_all(&nodes).await;
    let report = nodes[2].broadcast("x").await.expect("sent");
    assert_eq!(report.delivered().count(), 3, "{report:?}");
    assert_eq!(other.mesh().len(), 1, "namespaces are separate");
    for node in &nodes {
        assert!(node.peers().len() <= 4, "at most twice the degree");
    }
}

#[tokio::test]
async fn a_node_bound_to_one_address_solicits_from_it() {
    let port = udp_port();
    let a = start(soliciting("a", "bound", port).bind("127.0.0.5")).await;
    let b = start(soliciting("b", "bound", port).bind("127.0.0.6")).await;
    know_all(&[a, b]).await;
}

/// A counter of a node.
fn counter(node: &Node, name: &str) -> u64 {
    node.stats().value(name).expect("a counter")
}

/// The configuration of a node that solicits at the default address.
fn everywhere(name: &str, namespace: &str, port: u16) -> ConfigBuilder {
    Config::builder(name).namespace(namespace).degree(2).port(port).listen_port(0)
}

#[tokio::test]
async fn the_default_finds_a_node_that_listens_only_on_the_loopback() {
    let (port, namespace) = (udp_port(), "on-loopback");
    let a = start(everywhere("a", namespace, port).bind("127.0.0.1")).await;
    let b = start(everywhere("b", namespace, port)).await;
    know_all(&[a, b]).await;
}

#[tokio::test]
async fn copies_of_a_solicitation_over_several_interfaces_make_one_dial() {
    let (port, namespace) = (udp_port(), "copies");
    let a = start(everywhere("a", namespace, port).degree(0)).await;
    // Two addresses for the same network: each solicitation arrives twice.
    let twice = everywhere("b", namespace, port).degree(1);
    let b = start(twice.broadcast("127.255.255.255").broadcast("127.255.255.255")).await;
    know_all(&[a.clone(), b]).await;
    until("the copy has arrived", || counter(&a, "solicitations_copied") > 0).await;
    assert_eq!(counter(&a, "dials_started"), 1);
}

#[tokio::test]
async fn discovery_on_an_interface_that_does_not_exist_is_reported_and_goes_on() {
    let port = udp_port();
    let a = start(everywhere("a", "nowhere", port).degree(0).interfaces(["no-such-0"])).await;
    let mut events = a.events();
    a.set_degree(1).expect("in range");
    let Some(Event::DiscoveryFailed { reason }) = soon(events.next()).await else {
        panic!("another event")
    };
    assert!(reason.contains("no-such-0"), "{reason}");
    until("it was tried again", || counter(&a, "solicitations_unsent") > 3).await;
}

#[tokio::test]
async fn a_chosen_interface_is_used_alone() {
    let (port, namespace) = (udp_port(), "chosen");
    let a = start(everywhere("a", namespace, port).interfaces(["lo"])).await;
    let b = start(everywhere("b", namespace, port).degree(0)).await;
    know_all(&[a.clone(), b]).await;
    let rounds = counter(&a, "solicitations_sent") + counter(&a, "beacons_sent");
    assert!(counter(&a, "net_out_datagrams") <= rounds, "one datagram each: {:?}", a.stats());
}

#[tokio::test]
async fn a_link_local_address_needs_a_zone_that_exists() {
    let a = node("a").await;
    let without = a.dial("fe80::1").await.expect_err("no zone");
    assert!(without.to_string().contains("needs a zone"), "{without}");
    let unknown = a.dial("[fe80::1%no-such-0]:9").await.expect_err("no interface");
    assert!(matches!(unknown, DialError::Resolve(..)), "{unknown:?}");
    assert!(unknown.to_string().contains("no interface is named \"no-such-0\""), "{unknown}");
    let config = Config::builder("b").bind("fe80::1%no-such-0").build().expect("valid");
    let not_started = Node::start(config).await.expect_err("no interface");
    assert!(matches!(not_started, StartError::Bind(..)), "{not_started:?}");
    assert!(not_started.to_string().contains("no-such-0"), "{not_started}");
}

#[tokio::test]
async fn a_node_with_ipv6_discovery_starts_without_a_network() {
    let started = Node::start(
        everywhere("a", "six", udp_port())
            .broadcast("ff02::1")
            .broadcast("ff02::1%no-such-0")
            .interfaces(["no-such-0"])
            .build()
            .expect("valid"),
    );
    match started.await {
        Ok(node) => until("it tries", || counter(&node, "solicitations_unsent") > 0).await,
        // A machine without IPv6.
        Err(error) => eprintln!("skipped: {error}"),
    }
}

#[tokio::test]
async fn a_node_whose_degree_is_raised_starts_to_solicit() {
    let port = udp_port();
    let a = start(soliciting("a", "raise", port).degree(0)).await;
    let b = start(soliciting("b", "raise", port).degree(0)).await;
    assert_eq!(b.mesh().len(), 1);
    a.set_degree(1).expect("in range");
    know_all(&[a, b]).await;
}

#[tokio::test]
async fn a_seed_is_dialled_until_it_is_up_and_again_after_it_left() {
    // A port that is free at the moment.
    let first = node("seed").await;
    let port = first.port();
    first.close();
    soon(first.closed()).await;
    let a = start(quiet("a").seed(format!("127.0.0.1:{port}"))).await;
    let seed = start(quiet("seed").listen_port(port)).await;
    a.wait_for(WaitCondition::Nodes(vec![name("seed")]), SOON).await.expect("linked");
    seed.close();
    soon(seed.closed()).await;
    until("the seed has left", || a.mesh().len() == 1).await;
    let again = start(quiet("seed").listen_port(port)).await;
    know_all(&[a.clone(), again.clone()]).await;
    let outgoing = Outgoing::set([name("seed")], "back");
    assert!(a.send(outgoing).await.expect("sent").all_delivered());
}
