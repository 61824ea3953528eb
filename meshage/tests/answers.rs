//! A node that has received a message can answer its sender at once.
#![allow(clippy::disallowed_methods, reason = "these tests run in real time")]
#![cfg(feature = "net")]

mod common;

use std::time::Instant;

use common::{as_tested, know_all, line, link, name, node, soon, start, udp_port};
use meshage::{Config, Event, Node, Outcome};
use tokio::sync::mpsc;

/// Answers every message at once. Returns the outcomes of the answers.
fn answer_all(node: &Node) -> mpsc::UnboundedReceiver<Outcome> {
    let (outcomes, received) = mpsc::unbounded_channel();
    let node = node.clone();
    tokio::spawn(async move {
        while let Ok(message) = node.recv().await {
            let report = node.set([message.source.clone()], "answer").await.expect("sent");
            let outcome = report.outcome(message.source.as_str()).expect("in the report");
            if outcomes.send(outcome).is_err() {
                break;
            }
        }
    });
    received
}

/// Nodes that dial the relay and send to the node behind it at once, one after the other.
async fn newcomers_behind_a_relay(rounds: usize) {
    let nodes = line(&["a", "r"]).await;
    let mut answers = answer_all(&nodes[0]);
    for round in 0..rounds {
        let newcomer = node(&format!("n{round}")).await;
        link(&newcomer, &nodes[1]).await;
        let report = newcomer.set([name("a")], "request").await.expect("sent");
        assert!(report.all_delivered(), "round {round}: {report:?}");
        let outcome = soon(answers.recv()).await.expect("an answer");
        assert_eq!(outcome, Outcome::Delivered, "round {round}");
        newcomer.close();
        soon(newcomer.closed()).await;
    }
}

/// Six nodes that start together. Each sends a message to every node that joins, and each message is
/// answered at once. Returns how many of the answers had no route.
async fn six_nodes_greet_each_other(round: usize) -> usize {
    const NODES: usize = 6;
    let port = udp_port();
    let mut nodes = Vec::new();
    let mut answers = Vec::new();
    for i in 0..NODES {
        let config = Config::builder(format!("n{i}"))
            .namespace(format!("greet{round}"))
            .degree(2)
            .broadcast("127.255.255.255")
            .port(port)
            .listen_port(0);
        let node = start(as_tested(config)).await;
        let mut events = node.events();
        let greeter = node.clone();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if let Event::NodeJoined { node, .. } = event {
                    let greeter = greeter.clone();
                    tokio::spawn(async move { greeter.set([node], "hello").await });
                }
            }
        });
        answers.push(answer_first(&node));
        nodes.push(node);
    }
    know_all(&nodes).await;
    let mut without_route = 0;
    for answers in &mut answers {
        for _ in 1..NODES {
            let outcome = soon(answers.recv()).await.expect("an answer");
            without_route += usize::from(outcome == Outcome::NoRoute);
        }
    }
    for node in nodes {
        node.close();
    }
    without_route
}

/// Answers every greeting at once, and no answer.
fn answer_first(node: &Node) -> mpsc::UnboundedReceiver<Outcome> {
    let (outcomes, received) = mpsc::unbounded_channel();
    let node = node.clone();
    tokio::spawn(async move {
        while let Ok(message) = node.recv().await {
            if message.body != "hello" {
                continue;
            }
            let (node, outcomes) = (node.clone(), outcomes.clone());
            tokio::spawn(async move {
                let Ok(report) = node.set([message.source.clone()], "answer").await else { return };
                let outcome = report.outcome(message.source.as_str()).expect("in the report");
                let _ = outcomes.send(outcome);
            });
        }
    });
    received
}

#[tokio::test]
async fn a_node_behind_a_relay_can_answer_a_newcomer_at_once() {
    newcomers_behind_a_relay(300).await;
}

#[tokio::test]
async fn nodes_that_start_together_can_answer_each_other_at_once() {
    for round in 0..4 {
        assert_eq!(six_nodes_greet_each_other(round).await, 0, "round {round}");
    }
}

/// `cargo test --release -p meshage --test answers -- --ignored --nocapture`
#[tokio::test]
#[ignore = "a measurement, which takes minutes"]
async fn none_of_ten_thousand_answers_has_no_route() {
    let before = Instant::now();
    newcomers_behind_a_relay(8000).await;
    println!("8,000 answers behind a relay in {:?}", before.elapsed());
    let mut without_route = 0;
    for round in 0..67 {
        without_route += six_nodes_greet_each_other(round).await;
    }
    println!("of 2,010 answers among six nodes, {without_route} had no route");
    assert_eq!(without_route, 0);
}

#[tokio::test]
async fn two_hundred_dials_to_one_node_do_not_wait_for_each_other() {
    let hub = node("hub").await;
    let mut nodes = Vec::new();
    for i in 0..200 {
        nodes.push(node(&format!("n{i}")).await);
    }
    let before = Instant::now();
    for node in &nodes {
        link(node, &hub).await;
    }
    let took = before.elapsed();
    println!("200 dials took {took:?}");
    assert!(took.as_secs() < 8, "15 s if each waits for 100 ms: {took:?}");
}
