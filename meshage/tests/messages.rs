//! The guarantees for messages, over real sockets.
#![cfg(feature = "net")]
#![expect(clippy::disallowed_methods, reason = "these tests run in real time")]

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{
    SOON, count, know_all, line, link, name, node, quiet, soon, start, until, until_event,
};
use meshage::{Encoding, Event, Message, Node, NodeName, Outcome, Outgoing, RecvError, SendError};

async fn recv(node: &Node) -> Message {
    soon(node.recv()).await.expect("a message")
}

#[tokio::test]
async fn messages_go_both_ways_with_all_their_fields() {
    let nodes = line(&["a", "b"]).await;
    let [a, b] = nodes.as_slice() else { panic!("two nodes") };
    let outgoing = Outgoing::set([name("b")], "ping").encoding(Encoding::TEXT);
    assert!(a.send(outgoing).await.expect("sent").all_delivered());
    let ping = recv(b).await;
    assert_eq!((ping.source.as_str(), ping.text().expect("text")), ("a", "ping"));
    assert_eq!(ping.instance, a.instance());
    assert_eq!(ping.recipients, [name("b")]);
    assert_eq!(ping.route, [name("a")]);
    assert_eq!(ping.encoding, Encoding::TEXT);
    assert!(!ping.is_broadcast());
    assert!(ping.to_string().contains("ping"));
    assert!(b.set([ping.source], "pong").await.expect("sent").all_delivered());
    assert_eq!(recv(a).await.text().expect("text"), "pong");
}

#[tokio::test]
async fn a_request_right_after_the_dial_is_acknowledged_and_its_reply_arrives() {
    for round in 0..50 {
        let (a, b) = (node("a").await, node("b").await);
        link(&a, &b).await;
        let report = a.set([name("b")], "request").await.expect("sent");
        assert!(report.all_delivered(), "round {round}: {report:?}");
        let request = recv(&b).await;
        let report = b.set([request.source], "reply").await.expect("sent");
        assert!(report.all_delivered(), "round {round}: {report:?}");
    }
}

#[tokio::test]
async fn a_request_to_a_distant_node_that_just_joined_is_acknowledged() {
    let nodes = line(&["a", "b", "c", "d"]).await;
    // More rounds would wait for the rate limit of announcements, which slows down a node that
    // joins and leaves often.
    for round in 0..2 {
        let joins = node("joins").await;
        let mut events = nodes[0].events();
        link(&joins, &nodes[3]).await;
        until_event(
            &mut events,
            |event| matches!(event, Event::NodeJoined { node, .. } if *node == name("joins")),
        )
        .await;
        let report = nodes[0].set([name("joins")], "request").await.expect("sent");
        assert!(report.all_delivered(), "round {round}: {report:?}");
        let report = joins.set([recv(&joins).await.source], "reply").await.expect("sent");
        assert!(report.all_delivered(), "round {round}: {report:?}");
        joins.close();
        soon(joins.closed()).await;
        until("the node has left", || !nodes[0].mesh().contains("joins")).await;
    }
}

#[tokio::test]
async fn a_message_through_relays_carries_its_route() {
    let nodes = line(&["a", "b", "c", "d"]).await;
    assert!(nodes[0].set([name("d")], "x").await.expect("sent").all_delivered());
    assert_eq!(recv(&nodes[3]).await.route, ["a", "b", "c"].map(name));
    let report = nodes[0].set(["d", "b", "a", "b"].map(name), "y").await.expect("sent");
    let recipients: Vec<_> = report.outcomes().iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(recipients, ["d", "b"], "each recipient once, without the sender");
    assert!(report.all_delivered());
    assert_eq!(recv(&nodes[1]).await.body, "y");
    assert_eq!(recv(&nodes[3]).await.body, "y");
    assert_eq!(nodes[2].try_recv(), Err(RecvError::Timeout), "the relay received none");
}

#[tokio::test]
async fn a_broadcast_reaches_every_node_and_reports_each_outcome() {
    let alone = node("alone").await;
    assert!(alone.broadcast("x").await.expect("sent").outcomes().is_empty());
    let nodes = line(&["a", "b", "c", "d"]).await;
    link(&nodes[3], &nodes[0]).await;
    assert_eq!(nodes[1].broadcast_recipients(), ["a", "c", "d"].map(name));
    let report = nodes[1].broadcast("all").await.expect("sent");
    assert_eq!(report.delivered().collect::<Vec<_>>(), ["a", "c", "d"].map(name).each_ref());
    for at in [0, 2, 3] {
        let message = recv(&nodes[at]).await;
        assert_eq!(message.body, "all");
        assert!(message.is_broadcast());
    }
    assert_eq!(nodes[1].try_recv(), Err(RecvError::Timeout));
}

#[tokio::test]
async fn a_message_that_cannot_be_sent_fails_at_once_with_the_reason() {
    let small = start(quiet("a").max_message(10)).await;
    assert_eq!(small.set([], "x").await, Err(SendError::NoRecipients));
    assert_eq!(small.set([name("a")], "x").await, Err(SendError::SelfOnly));
    let too_large = Err(SendError::TooLarge(11, 10));
    assert_eq!(small.set([name("b")], vec![0; 11]).await, too_large);
    let begin = Instant::now();
    let report = small.set([name("absent")], "x").await.expect("sent");
    assert_eq!(report.outcome("absent"), Some(Outcome::NoRoute));
    assert!(begin.elapsed() < Duration::from_secs(5), "the send does not wait for its timeout");
}

#[tokio::test]
async fn bodies_of_every_size_arrive_as_they_were_sent() {
    let nodes = line(&["a", "relay", "b"]).await;
    let max = 64 << 20;
    for len in [0, 1, 1 << 10, (64 << 10) - 1, 64 << 10, (1 << 20) + 7, max] {
        let body: Vec<u8> = (0..len).map(|i| (i * 7 + i / 251) as u8).collect();
        let body = Bytes::from(body);
        let outgoing = Outgoing::set([name("b")], body.clone()).timeout(Duration::from_secs(60));
        let report = nodes[0].send(outgoing).await.expect("sent");
        assert!(report.all_delivered(), "{len} bytes: {report:?}");
        assert!(recv(&nodes[2]).await.body == body, "{len} bytes arrive as sent");
    }
    let one_more = nodes[0].set([name("b")], vec![0; max + 1]).await;
    assert_eq!(one_more, Err(SendError::TooLarge(max + 1, max)));
}

#[tokio::test]
async fn a_body_above_the_receivers_limit_is_reported_as_too_large() {
    let (a, b) = (node("a").await, start(quiet("b").max_message(1000)).await);
    link(&a, &b).await;
    know_all(&[a.clone(), b.clone()]).await;
    let report = a.set([name("b")], vec![0; 100_000]).await.expect("sent");
    assert_eq!(report.outcome("b"), Some(Outcome::TooLarge));
}

#[tokio::test]
async fn serde_values_travel_as_bodies() {
    let nodes = line(&["a", "b"]).await;
    let value: BTreeMap<String, Vec<u32>> = BTreeMap::from([("x".into(), vec![1, 2, 3])]);
    let outgoing = Outgoing::set([name("b")], "").value(&value).expect("serialised");
    assert!(nodes[0].send(outgoing).await.expect("sent").all_delivered());
    let message = recv(&nodes[1]).await;
    assert_eq!(message.encoding, Encoding::BINCODE);
    assert_eq!(message.value::<BTreeMap<String, Vec<u32>>>().expect("read"), value);
    assert!(message.value::<String>().is_err());
}

#[tokio::test]
async fn a_full_inbox_makes_the_sender_wait_and_then_report_busy() {
    let (a, b) = (node("a").await, start(quiet("b").receive_buffer(4)).await);
    link(&a, &b).await;
    know_all(&[a.clone(), b.clone()]).await;
    for number in 0..4 {
        assert!(a.set([name("b")], vec![number]).await.expect("sent").all_delivered());
    }
    let outgoing = Outgoing::set([name("b")], vec![4]).timeout(Duration::from_millis(300));
    assert_eq!(a.send(outgoing).await.expect("sent").outcome("b"), Some(Outcome::Busy));
    // A send that has time left is delivered as soon as there is room.
    let mut waiting = a.start_send(Outgoing::set([name("b")], vec![5])).expect("started");
    let taken: Vec<u8> = soon(b.recv_many(10)).await.expect("taken").iter().map(first).collect();
    assert_eq!(taken, [0, 1, 2, 3]);
    assert!(soon(waiting.wait()).await.expect("sent").all_delivered());
    assert_eq!(waiting.wait().await, waiting.wait().await, "a second wait gives the same report");
    assert_eq!(first(&recv(&b).await), 5);
}

fn first(message: &Message) -> u8 {
    message.body[0]
}

#[tokio::test]
async fn a_send_that_is_canceled_ends_at_once() {
    let (a, b) = (node("a").await, start(quiet("b").receive_buffer(1)).await);
    link(&a, &b).await;
    know_all(&[a.clone(), b.clone()]).await;
    assert!(a.set([name("b")], "fills it").await.expect("sent").all_delivered());
    let mut pending = a.start_send(Outgoing::set([name("b")], "x")).expect("started");
    pending.cancel();
    let outcome = soon(pending.wait()).await.expect("ended").outcome("b").expect("reported");
    assert!(matches!(outcome, Outcome::Canceled | Outcome::Timeout | Outcome::Busy), "{outcome}");
}

#[tokio::test]
async fn a_callback_is_called_once_on_the_callback_thread() {
    let nodes = line(&["a", "b"]).await;
    let (sender, called) = mpsc::channel();
    let done = move |result: Result<meshage::Report, SendError>| {
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        sender.send((thread, result)).expect("received");
    };
    let mut pending = nodes[0].send_with(Outgoing::set([name("b")], "x"), done).expect("started");
    assert!(soon(pending.wait()).await.expect("sent").all_delivered());
    let (thread, result) = called.recv_timeout(SOON).expect("called");
    assert_eq!(thread, "meshage-callback");
    assert!(result.expect("sent").all_delivered());
    assert!(called.recv_timeout(Duration::ZERO).is_err(), "once");
}

#[tokio::test]
async fn a_relay_can_snoop_on_messages_in_transit() {
    let nodes = line(&["a", "relay", "b"]).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    nodes[1]
        .set_snoop(Some(Box::new(move |message| {
            sink.lock().expect("unpoisoned").push(message);
        })))
        .expect("a thread");
    for body in ["1", "2"] {
        assert!(nodes[0].set([name("b")], body).await.expect("sent").all_delivered());
    }
    assert!(nodes[0].set([name("relay")], "not this").await.expect("sent").all_delivered());
    until("both are snooped", || seen.lock().expect("unpoisoned").len() == 2).await;
    nodes[1].set_snoop(None).expect("no thread is needed");
    assert!(nodes[0].set([name("b")], "3").await.expect("sent").all_delivered());
    let seen = seen.lock().expect("unpoisoned");
    assert_eq!(seen.iter().map(|m| m.text().expect("text")).collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(seen[0].source, name("a"));
    assert_eq!(seen[0].recipients, [name("b")]);
}

#[tokio::test]
async fn a_send_with_retry_survives_a_broken_route() {
    let nodes = line(&["a", "b", "c"]).await;
    nodes[1].hangup("c").await.expect("hung up");
    until("c has left", || !nodes[0].mesh().contains("c")).await;
    let once = nodes[0].set([name("c")], "once").await.expect("sent");
    assert_eq!(once.outcome("c"), Some(Outcome::NoRoute));
    let outgoing = Outgoing::set([name("c")], "again").retry(true);
    let sending = tokio::spawn({
        let a = nodes[0].clone();
        async move { a.send(outgoing).await }
    });
    link(&nodes[2], &nodes[0]).await;
    let report = soon(sending).await.expect("no panic").expect("sent");
    assert!(report.all_delivered(), "{report:?}");
    assert_eq!(recv(&nodes[2]).await.body, "again");
    assert_eq!(nodes[2].try_recv(), Err(RecvError::Timeout), "delivered once only");
}

#[tokio::test]
async fn a_send_to_a_dead_peer_ends_at_once() {
    let (a, b) = (node("a").await, start(quiet("b").receive_buffer(1)).await);
    link(&a, &b).await;
    know_all(&[a.clone(), b.clone()]).await;
    assert!(a.set([name("b")], "fills it").await.expect("sent").all_delivered());
    let begin = Instant::now();
    let mut pending = a.start_send(Outgoing::set([name("b")], "x")).expect("started");
    a.hangup("b").await.expect("hung up");
    let outcome = soon(pending.wait()).await.expect("ended").outcome("b").expect("reported");
    assert_ne!(outcome, Outcome::Delivered);
    assert_ne!(outcome, Outcome::Timeout);
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "a send to a dead peer does not wait for its timeout"
    );
}

/// Sends `count` numbered messages from each of `callers` tasks, one after the other.
async fn flood(from: Node, to: NodeName, callers: u32, count: u32) {
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..callers {
        let (from, to) = (from.clone(), to.clone());
        tasks.spawn(async move {
            for number in 0..count {
                let body = [caller.to_le_bytes(), number.to_le_bytes()].concat();
                let outgoing = Outgoing::set([to.clone()], body).timeout(Duration::from_secs(60));
                let report = from.send(outgoing).await.expect("sent");
                assert!(report.all_delivered(), "caller {caller}, {number}: {report:?}");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no caller panics");
    }
}

/// Receives all of them. Panics if one is missing, duplicated or out of order.
async fn receive_in_order(at: Node, callers: u32, count: u32, pause: Duration) {
    let mut next = vec![0; callers as usize];
    let mut left = callers * count;
    let half = left / 2;
    let mut paused = pause.is_zero();
    while left > 0 {
        if left <= half && !paused {
            // The receiving program is busy with something else for a while.
            tokio::time::sleep(pause).await;
            paused = true;
        }
        for message in soon(at.recv_many(256)).await.expect("more to come") {
            let word = |at: usize| {
                u32::from_le_bytes(*message.body[at..].first_chunk().expect("eight bytes"))
            };
            let (caller, number) = (word(0) as usize, word(4));
            assert_eq!(
                next[caller], number,
                "caller {caller}: in order, none lost, none duplicated"
            );
            next[caller] += 1;
            left -= 1;
        }
    }
    assert_eq!(at.try_recv(), Err(RecvError::Timeout), "none duplicated at the end");
}

async fn both_ways(callers: u32, count: u32, pause: Duration) {
    let nodes = line(&["a", "relay", "b"]).await;
    let (a, b) = (nodes[0].clone(), nodes[2].clone());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(flood(a.clone(), name("b"), callers, count));
    tasks.spawn(flood(b.clone(), name("a"), callers, count));
    tasks.spawn(receive_in_order(a, callers, count, Duration::ZERO));
    tasks.spawn(receive_in_order(b, callers, count, pause));
    while let Some(done) = tasks.join_next().await {
        done.expect("no side panics");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_through_a_relay_is_lost_or_duplicated() {
    both_ways(32, 100, Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn senders_through_a_relay_wait_for_a_receiver_that_pauses() {
    both_ways(32, 100, Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_messages_overtake_large_ones_and_none_is_corrupted() {
    let nodes = line(&["a", "relay", "b"]).await;
    let large = Bytes::from(vec![9; 8 << 20]);
    let mut sends = Vec::new();
    for _ in 0..3 {
        let outgoing = Outgoing::set([name("b")], large.clone()).timeout(Duration::from_secs(60));
        sends.push(nodes[0].start_send(outgoing).expect("started"));
    }
    for number in 0..100_u8 {
        assert!(nodes[0].set([name("b")], vec![number]).await.expect("sent").all_delivered());
    }
    for mut send in sends {
        assert!(soon(send.wait()).await.expect("sent").all_delivered());
    }
    let (mut small, mut larges) = (0, 0);
    while small < 100 || larges < 3 {
        let message = recv(&nodes[2]).await;
        if message.body.len() == 1 {
            assert_eq!(first(&message), small, "small messages arrive in order");
            small += 1;
        } else {
            assert!(message.body == large);
            larges += 1;
        }
    }
    assert_eq!(count(&nodes[1], "net_breaches"), 0);
}

/// Sends without waiting, and returns the outcome for the only recipient.
async fn send_unwaited(from: &Node, to: &str, body: impl Into<Bytes>) -> Outcome {
    let outgoing = Outgoing::set([name(to)], body).timeout(Duration::ZERO);
    from.send(outgoing).await.expect("sent").outcome(to).expect("an outcome")
}

#[tokio::test]
async fn a_send_with_a_timeout_of_zero_does_not_wait_and_its_outcome_is_unknown() {
    let nodes = line(&["a", "relay", "b"]).await;
    for number in 0..1000_u32 {
        let outcome = send_unwaited(&nodes[0], "b", number.to_string()).await;
        assert_eq!(outcome, Outcome::Timeout, "message {number}");
    }
    for number in 0..1000_u32 {
        assert_eq!(recv(&nodes[2]).await.body, number.to_string(), "all of them arrive");
    }
    let large = vec![7; 5 << 20];
    assert_eq!(send_unwaited(&nodes[0], "b", large.clone()).await, Outcome::Timeout);
    assert!(recv(&nodes[2]).await.body == large, "a large body is sent to its end");

    let several = Outgoing::set(["relay", "absent"].map(name), "x").timeout(Duration::ZERO);
    let report = nodes[0].send(several).await.expect("sent");
    assert_eq!(report.outcome("relay"), Some(Outcome::Timeout));
    assert_eq!(report.outcome("absent"), Some(Outcome::NoRoute), "known at once");
    let report = nodes[0].send(Outgoing::broadcast("all").timeout(Duration::ZERO)).await;
    let outcomes: Vec<_> = report.expect("sent").outcomes().iter().map(|(_, o)| *o).collect();
    assert_eq!(outcomes, [Outcome::Timeout; 2]);
    assert_eq!(recv(&nodes[2]).await.body, "all");

    let mut pending = nodes[0]
        .start_send(Outgoing::set([name("b")], "pending").timeout(Duration::ZERO))
        .expect("started");
    let report = pending.try_wait().expect("it has ended").expect("sent");
    assert_eq!(report.outcome("b"), Some(Outcome::Timeout));
    assert_eq!(recv(&nodes[2]).await.body, "pending");
}

#[tokio::test]
async fn a_message_that_was_sent_without_waiting_is_flushed_when_the_node_closes() {
    let nodes = line(&["a", "relay", "b"]).await;
    let body = vec![7; 8 << 20];
    assert_eq!(send_unwaited(&nodes[0], "b", body.clone()).await, Outcome::Timeout);
    nodes[0].close();
    assert!(recv(&nodes[2]).await.body == body);
}

#[tokio::test]
async fn a_send_with_a_timeout_of_zero_is_busy_if_the_local_queue_is_full() {
    let (a, b) = (node("a").await, start(quiet("b").receive_buffer(1)).await);
    link(&a, &b).await;
    know_all(&[a.clone(), b.clone()]).await;
    assert!(a.set([name("b")], "the only one").await.expect("sent").all_delivered());
    let body = Bytes::from(vec![0; 63 << 20]);
    for _ in 0..2 {
        assert_eq!(send_unwaited(&a, "b", body.clone()).await, Outcome::Timeout);
    }
    let begin = Instant::now();
    assert_eq!(send_unwaited(&a, "b", body.clone()).await, Outcome::Busy);
    let outgoing = Outgoing::set([name("b")], body).timeout(Duration::ZERO);
    assert!(matches!(a.start_send(outgoing), Err(SendError::Again)), "it can be sent later");
    assert!(begin.elapsed() < Duration::from_secs(5));
}
