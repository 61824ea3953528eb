//! Discovery over UDP on the loopback.
#![allow(clippy::disallowed_methods, reason = "these tests run in real time")]
#![cfg(feature = "net")]

mod common;

use common::{SOON, know_all, name, node, quiet, soon, start, udp_port, until};
use meshage::{Config, ConfigBuilder, Outgoing, WaitCondition};

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
