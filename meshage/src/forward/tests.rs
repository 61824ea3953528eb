//! A few data planes in memory.

mod forgery;
mod harness;
mod in_place;
mod order;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use self::harness::{Harness, Recorder, Sent, frames};
use super::delivery::channel_flow::{QUERY_AFTER, WINDOW_BYTES};
use super::fib::Fib;
use super::outbound::Batch;
use super::plane::{Limits, Plane};
use crate::error::SendError;
use crate::message::{Outcome, Outgoing, Report};
use crate::name::{LinkId, NodeName};
use crate::route::tests::{instance, node, table};
use crate::wire::data::CHUNK_BYTES;

const LINE: &[(&str, &str)] = &[("a", "b"), ("b", "c")];
const PAIR: &[(&str, &str)] = &[("a", "b")];

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

fn names(list: &[NodeName]) -> Vec<&str> {
    list.iter().map(NodeName::as_str).collect()
}

#[test]
fn a_set_is_acknowledged_by_its_recipient_through_a_relay() {
    let harness = Harness::new(LINE);
    let sent = harness.set("a", &["c"], "hello");
    assert_eq!(harness.report("a", &sent), None, "it has not arrived yet");
    harness.run();
    assert_eq!(harness.outcomes("a", &sent), [Outcome::Delivered]);
    let message = harness.take("c").remove(0);
    assert_eq!(message.text().expect("text"), "hello");
    assert_eq!(names(&message.recipients), ["c"]);
    assert_eq!(names(&message.route), ["a", "b"]);
    assert_eq!((message.source, message.id), (node("a"), sent.id));
    assert!(harness.take("b").is_empty());
}

#[test]
fn a_report_names_every_recipient_once_and_never_the_sender() {
    let harness = Harness::new(LINE);
    let sent = harness.set("a", &["c", "x", "b", "c", "a"], "hello");
    harness.run();
    let report = harness.report("a", &sent).expect("ended");
    let named: Vec<(&str, Outcome)> =
        report.outcomes().iter().map(|(name, outcome)| (name.as_str(), *outcome)).collect();
    assert_eq!(
        named,
        [("c", Outcome::Delivered), ("x", Outcome::NoRoute), ("b", Outcome::Delivered)]
    );
}

#[test]
fn a_send_that_cannot_start_is_an_error_at_once() {
    let harness = Harness::new(PAIR);
    let error = |outgoing| harness.send_until("a", outgoing, None).err();
    assert_eq!(error(Outgoing::set([], "x")), Some(SendError::NoRecipients));
    assert_eq!(error(Outgoing::set([node("a")], "x")), Some(SendError::SelfOnly));
    let large = vec![0; (1 << 20) + 1];
    let refused = SendError::TooLarge(large.len(), 1 << 20);
    assert_eq!(error(Outgoing::set([node("b")], large)), Some(refused));
    let unknown = harness.set("a", &["x"], "hello");
    assert_eq!(harness.outcomes("a", &unknown), [Outcome::NoRoute], "at once");
}

#[test]
fn a_broadcast_crosses_each_link_of_its_tree_once() {
    let edges = [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("d", "e")];
    let harness = Harness::new(&edges);
    let sent = harness.send("a", Outgoing::broadcast("hello"));
    for name in ["b", "c", "d"] {
        harness.plane(name).set_snoop(true);
    }
    let frames = |harness: &Harness| {
        harness.planes.keys().map(|name| harness.counter(name, "frames_relayed")).sum::<u64>()
    };
    harness.run();
    assert_eq!(frames(&harness) + 2, 4, "two frames leave the source, the others are relayed");
    assert_eq!(harness.outcomes("a", &sent), [Outcome::Delivered; 4]);
    for name in ["b", "c", "d", "e"] {
        let messages = harness.take(name);
        assert_eq!(messages.len(), 1);
        assert!(messages[0].is_broadcast());
    }
}

#[test]
fn a_broadcast_on_an_empty_mesh_succeeds_with_an_empty_report() {
    let harness = Harness::new(PAIR).with_edges(&[]);
    let sent = harness.send("a", Outgoing::broadcast("hello"));
    assert_eq!(harness.report("a", &sent), Some(Report::default()));
}

#[test]
fn a_full_inbox_refuses_messages_which_follow_later_in_order() {
    let harness = Harness::with_buffer(LINE, 2);
    let sent: Vec<Sent> = numbers(7).iter().map(|text| harness.set("a", &["c"], text)).collect();
    harness.run();
    assert!(harness.report("a", &sent[1]).is_some());
    assert!(harness.report("a", &sent[2]).is_none());
    let mut got = Vec::new();
    while got.len() < 7 {
        let texts = harness.texts("c");
        assert!(!texts.is_empty(), "the source is notified of room, and does not wait");
        got.extend(texts);
        harness.run();
    }
    assert_eq!(got, numbers(7));
    for sent in &sent {
        assert_eq!(harness.outcomes("a", sent), [Outcome::Delivered]);
    }
}

#[test]
fn sets_and_broadcasts_keep_order_with_each_other_while_an_inbox_is_full() {
    let harness = Harness::with_buffer(LINE, 2);
    let count = 60;
    for number in numbers(count) {
        if number.ends_with(['3', '7', '8']) {
            harness.send("a", Outgoing::broadcast(number.clone()));
        } else {
            harness.set("a", &["c", "b"], &number);
        }
        if number.ends_with('9') {
            harness.step();
        }
    }
    let (mut at_b, mut at_c) = (Vec::new(), Vec::new());
    while at_c.len() < count || at_b.len() < count {
        harness.step();
        at_c.extend(
            harness.plane("c").take(1).0.iter().map(|m| m.text().expect("text").to_owned()),
        );
        harness.step();
        at_b.extend(
            harness.plane("b").take(1).0.iter().map(|m| m.text().expect("text").to_owned()),
        );
        harness.pass(Duration::from_millis(1));
    }
    assert_eq!(at_c, numbers(count));
    assert_eq!(at_b, numbers(count));
}

#[test]
fn a_receiver_that_never_reads_is_busy_and_one_that_is_frozen_times_out() {
    let mut harness = Harness::with_buffer(LINE, 1);
    let first = harness.set("a", &["c"], "first");
    let second = harness.set("a", &["c"], "second");
    harness.pass(Duration::from_secs(11));
    assert_eq!(harness.outcomes("a", &first), [Outcome::Delivered]);
    assert_eq!(harness.outcomes("a", &second), [Outcome::Busy]);
    assert_eq!(harness.texts("c"), ["first"]);
    harness.run();
    assert!(harness.texts("c").is_empty(), "a message that certainly failed never arrives");
    harness.frozen = Some("c");
    let third = harness.set("a", &["c"], "third");
    harness.pass(Duration::from_secs(11));
    assert_eq!(harness.outcomes("a", &third), [Outcome::Timeout]);
}

#[test]
fn messages_after_one_that_was_given_up_are_delivered() {
    let harness = Harness::with_buffer(PAIR, 1);
    harness.set("a", &["b"], "0");
    let short = harness
        .send_until("a", Outgoing::set([node("b")], "1"), Some(Duration::from_millis(5)))
        .expect("sent");
    let after = harness.set("a", &["b"], "2");
    harness.pass(Duration::from_millis(50));
    assert_eq!(harness.outcomes("a", &short), [Outcome::Busy]);
    assert_eq!(harness.texts("b"), ["0"]);
    harness.pass(Duration::from_secs(1));
    assert_eq!(harness.outcomes("a", &after), [Outcome::Delivered]);
    assert_eq!(harness.texts("b"), ["2"]);
}

#[test]
fn a_broken_route_completes_the_sends_in_flight_at_once() {
    let mut harness = Harness::new(LINE);
    let lost = harness.set("a", &["c"], "lost");
    harness.set_edges(PAIR);
    assert_eq!(harness.outcomes("a", &lost), [Outcome::Lost]);
    let unknown = harness.set("a", &["c"], "unknown");
    assert_eq!(harness.outcomes("a", &unknown), [Outcome::NoRoute]);
}

#[test]
fn a_refused_message_that_then_loses_its_route_was_certainly_not_delivered() {
    let mut harness = Harness::with_buffer(LINE, 1);
    harness.set("a", &["c"], "first");
    let refused = harness.set("a", &["c"], "second");
    harness.run();
    harness.set_edges(PAIR);
    assert_eq!(harness.outcomes("a", &refused), [Outcome::NoRoute]);
}

#[test]
fn a_retried_send_arrives_once_over_the_new_route() {
    let square = [("a", "b"), ("b", "d"), ("a", "c"), ("c", "d")];
    let mut harness = Harness::new(&square);
    let sent = harness.send("a", Outgoing::set([node("d")], "hello").retry(true));
    // The message arrives, but its acknowledgement does not come back.
    harness.step();
    harness.step();
    harness.set_edges(&[("a", "c"), ("c", "d")]);
    harness.pass(Duration::from_secs(2));
    assert_eq!(harness.outcomes("a", &sent), [Outcome::Delivered]);
    assert_eq!(harness.texts("d"), ["hello"]);
}

#[test]
fn a_retried_send_waits_for_a_route() {
    let mut harness = Harness::new(LINE).with_edges(PAIR);
    let sent = harness.send("a", Outgoing::set([node("c")], "hello").retry(true));
    harness.run();
    assert_eq!(harness.report("a", &sent), None);
    harness.set_edges(LINE);
    harness.run();
    assert_eq!(harness.outcomes("a", &sent), [Outcome::Delivered]);
}

#[test]
fn a_large_body_travels_in_chunks_and_arrives_whole() {
    let harness = Harness::new(LINE);
    let body: Vec<u8> = (0..10 * CHUNK_BYTES + 7).map(|at| at as u8).collect();
    let sent = harness.send("a", Outgoing::set([node("b"), node("c")], body.clone()));
    let broadcast = harness.send("a", Outgoing::broadcast(body.clone()));
    harness.run();
    assert_eq!(harness.outcomes("a", &sent), [Outcome::Delivered; 2]);
    assert_eq!(harness.outcomes("a", &broadcast), [Outcome::Delivered; 2]);
    for name in ["b", "c"] {
        let bodies: Vec<Bytes> =
            harness.take(name).into_iter().map(|message| message.body).collect();
        assert_eq!(bodies, [body.clone(), body.clone()]);
        assert_eq!(harness.counter(name, "reassembly_bytes"), 0);
    }
}

#[test]
fn a_receiver_refuses_a_body_beyond_its_own_limit_and_takes_the_messages_after_it() {
    let mut harness = Harness::new(PAIR);
    let limits = Limits { max_message: 10, receive_buffer: 10 };
    let fib = harness.plane("b").fib();
    let plane = harness::new_plane("b", limits);
    plane.install(Fib::new(fib.routes.clone(), fib.links.clone()), harness.now.get());
    harness.planes.insert("b", plane);
    let over = harness.set("a", &["b"], "eleven byte");
    let far_over = harness.send("a", Outgoing::set([node("b")], vec![0; 2 * CHUNK_BYTES]));
    let fits = harness.set("a", &["b"], "ten bytes!");
    harness.pass(Duration::from_secs(1));
    assert_eq!(harness.outcomes("a", &over), [Outcome::TooLarge]);
    assert_eq!(harness.outcomes("a", &far_over), [Outcome::TooLarge]);
    assert_eq!(harness.outcomes("a", &fits), [Outcome::Delivered]);
    assert_eq!(harness.texts("b"), ["ten bytes!"]);
}

#[test]
fn a_small_message_does_not_wait_behind_a_large_one() {
    let harness = Harness::new(PAIR);
    harness.send("a", Outgoing::set([node("b")], vec![0; 1 << 20]));
    let small = harness.set("a", &["b"], "small");
    harness.step();
    harness.step();
    assert_eq!(harness.outcomes("a", &small), [Outcome::Delivered]);
    assert_eq!(harness.texts("b"), ["small"]);
}

#[test]
fn large_bodies_that_find_a_full_inbox_are_resent_in_order() {
    let harness = Harness::with_buffer(LINE, 1);
    let sent: Vec<Sent> = (0..3_u8)
        .map(|fill| harness.send("a", Outgoing::set([node("c")], vec![fill; CHUNK_BYTES * 3])))
        .collect();
    let mut fills = Vec::new();
    while fills.len() < 3 {
        harness.pass(Duration::from_millis(600));
        fills.extend(harness.take("c").iter().map(|message| message.body[0]));
    }
    harness.run();
    assert_eq!(fills, [0, 1, 2]);
    for sent in &sent {
        assert_eq!(harness.outcomes("a", sent), [Outcome::Delivered]);
    }
}

#[test]
fn order_holds_when_a_relays_queue_is_full() {
    let mut harness = Harness::with_buffer(LINE, 100_000);
    harness.frozen = Some("c");
    // More than a relay's queue holds, from two sources, so that no window prevents it.
    let body = |number: usize| format!("{number:0>50000}");
    let mut count = 0;
    while harness.counter("b", "frames_refused_in_transit") == 0 {
        harness.set("a", &["c"], &body(count));
        harness.set("b", &["c"], "filler".repeat(5000).as_str());
        count += 1;
        harness.run();
    }
    harness.frozen = None;
    harness.pass(Duration::from_secs(5));
    let got: Vec<String> = harness
        .take("c")
        .iter()
        .filter(|message| message.source == node("a"))
        .map(|message| message.text().expect("text").to_owned())
        .collect();
    assert_eq!(got, (0..count).map(body).collect::<Vec<_>>());
}

#[test]
fn a_stuck_receiver_delays_no_more_than_a_window() {
    let mut harness = Harness::new(LINE);
    harness.frozen = Some("b");
    for _ in 0..200 {
        harness.set("a", &["c"], &"x".repeat(50_000));
    }
    let waiting = harness.plane("a").fib().links[&LinkId(2)].waiting_bytes();
    assert!(waiting as u64 <= WINDOW_BYTES + 51_000, "{waiting} bytes");
    assert!(waiting > 1 << 20);
}

#[test]
fn a_full_local_queue_is_reported_and_so_is_room_in_it() {
    let mut harness = Harness::new(PAIR);
    harness.frozen = Some("b");
    let large = || Outgoing::set([node("b")], vec![0; 1 << 20]);
    let timeout = Some(Duration::from_secs(10));
    while harness.send_until("a", large(), timeout).is_ok() {}
    assert_eq!(harness.send_until("a", large(), timeout).err(), Some(SendError::Again));
    assert_eq!(*harness.plane("a").sink().spaces.lock().expect("sane"), 0);
    harness.pass(Duration::from_secs(11));
    assert_eq!(*harness.plane("a").sink().spaces.lock().expect("sane"), 1);
    assert!(harness.send_until("a", large(), timeout).is_ok());
}

#[test]
fn a_canceled_send_completes_at_once_with_true_outcomes() {
    let mut harness = Harness::with_buffer(LINE, 1);
    harness.set("a", &["c"], "0");
    let refused = harness.set("a", &["c"], "1");
    harness.run();
    harness.plane("a").cancel(refused.id, harness.now.get());
    assert_eq!(harness.outcomes("a", &refused), [Outcome::Canceled]);
    harness.frozen = Some("c");
    harness.take("c");
    let flying = harness.set("a", &["c"], "2");
    harness.run();
    harness.plane("a").cancel(flying.id, harness.now.get());
    assert_eq!(harness.outcomes("a", &flying), [Outcome::Timeout]);
    harness.frozen = None;
    harness.run();
    assert_eq!(harness.texts("c"), ["2"], "it could still arrive, and did");
}

#[test]
fn a_snoop_gets_messages_in_transit_and_no_others() {
    let harness = Harness::new(LINE);
    harness.plane("b").set_snoop(true);
    harness.set("a", &["c"], "through");
    harness.set("a", &["b"], "not in transit");
    harness.send("a", Outgoing::set([node("c")], vec![7; CHUNK_BYTES * 2]));
    harness.send("a", Outgoing::broadcast("to all"));
    harness.run();
    let snooped = harness.plane("b").sink().snooped.lock().expect("sane");
    let lengths: Vec<usize> = snooped.iter().map(|message| message.body.len()).collect();
    assert_eq!(lengths, [7, CHUNK_BYTES * 2]);
}

#[test]
fn a_lost_acknowledgement_is_queried() {
    let harness = Harness::new(PAIR);
    let sent = harness.set("a", &["b"], "hello");
    let mut batch = Batch::default();
    // The message arrives, but its acknowledgement is lost.
    let out = harness.plane("a").fib().links[&LinkId(2)].clone();
    out.try_take(usize::MAX, &mut batch);
    let raw = frames(&batch);
    harness.plane("b").receive(LinkId(1), &raw, harness.now.get()).expect("in order");
    batch = Batch::default();
    harness.plane("b").fib().links[&LinkId(1)].try_take(usize::MAX, &mut batch);
    assert_eq!(batch.frames, 1);
    harness.pass(QUERY_AFTER);
    assert_eq!(harness.outcomes("a", &sent), [Outcome::Delivered]);
}

#[test]
fn a_lost_refusal_delays_a_channel_until_the_recipient_is_queried() {
    let harness = Harness::with_buffer(PAIR, 1);
    harness.set("a", &["b"], "1");
    harness.run();
    let sent = ["2", "3"].map(|text| harness.set("a", &["b"], text));
    let take = |from: &str, link| {
        let mut batch = Batch::default();
        let out = harness.plane(from).fib().links[&LinkId(link)].clone();
        out.try_take(usize::MAX, &mut batch);
        frames(&batch)
    };
    // Both are refused, because the inbox is full. The second refusal is lost.
    for raw in take("a", 2) {
        harness.plane("b").receive(LinkId(1), &[raw], harness.now.get()).expect("in order");
        let refusal = take("b", 1);
        assert_eq!(refusal.len(), 1);
        if harness.counter("b", "messages_refused_early") == 0 {
            harness.plane("a").receive(LinkId(2), &refusal, harness.now.get()).expect("in order");
        }
    }
    for expected in ["1", "2", "3"] {
        assert_eq!(harness.texts("b"), [expected]);
        harness.pass(QUERY_AFTER + Duration::from_millis(200));
    }
    for sent in &sent {
        assert_eq!(harness.outcomes("a", sent), [Outcome::Delivered]);
    }
}

#[test]
fn a_closed_plane_completes_every_send_and_accepts_no_more() {
    let harness = Harness::new(PAIR);
    let sent = harness.set("a", &["b"], "hello");
    let mut waiting = 0;
    harness.plane("a").stop(harness.now.get(), |_| waiting += 1);
    assert_eq!(waiting, 1);
    let refused = harness.send_until("a", Outgoing::set([node("b")], "late"), None).err();
    assert_eq!(refused, Some(SendError::Closed));
    assert!(!harness.plane("a").is_idle());
    harness.plane("a").close();
    let done = harness.plane("a").sink().done.lock().expect("sane");
    assert_eq!(done[&sent.token], Err(SendError::Closed));
}

#[test]
fn a_closing_plane_does_not_wait_for_a_route() {
    let harness = Harness::new(PAIR);
    let sent = harness.send("a", Outgoing::set([node("unknown")], "hello").retry(true));
    assert!(!harness.plane("a").is_idle());
    harness.plane("a").stop(harness.now.get(), |_| ());
    assert!(harness.plane("a").is_idle());
    assert_eq!(harness.outcomes("a", &sent), [Outcome::NoRoute]);
}

#[test]
fn a_set_to_more_recipients_than_a_header_holds_reaches_them_all() {
    // The route table's tests have 26 names; a long list of unknown names fills the header too.
    let harness = Harness::new(&[("a", "b"), ("b", "c"), ("b", "d")]);
    let mut to: Vec<NodeName> = (0..200).map(|i| node(&format!("z{i:0>62}"))).collect();
    to.insert(0, node("c"));
    to.push(node("d"));
    let sent = harness.send("a", Outgoing::set(to, "hello"));
    harness.run();
    let report = harness.report("a", &sent).expect("ended");
    assert_eq!(report.outcomes().len(), 202);
    assert_eq!(report.delivered().count(), 2);
}

#[test]
fn a_newcomer_amid_broadcasts_receives_all_that_are_meant_for_it() {
    let mut harness = Harness::with_buffer(&[("a", "b"), ("b", "c"), ("a", "d")], 1000)
        .with_edges(&[("a", "b"), ("a", "d")]);
    harness.frozen = Some("d");
    for text in numbers(3) {
        harness.send("a", Outgoing::broadcast(text));
    }
    harness.run();
    harness.set_edges(&[("a", "b"), ("b", "c"), ("a", "d")]);
    let late: Vec<Sent> =
        (3..6).map(|number| harness.send("a", Outgoing::broadcast(number.to_string()))).collect();
    harness.pass(Duration::from_secs(1));
    assert_eq!(harness.texts("b"), numbers(6));
    assert_eq!(harness.texts("c"), numbers(6)[3..]);
    harness.frozen = None;
    harness.pass(Duration::from_secs(1));
    assert_eq!(harness.texts("d"), numbers(6));
    for sent in &late {
        assert_eq!(harness.outcomes("a", sent), [Outcome::Delivered; 3]);
    }
}

#[test]
fn a_broadcast_that_a_relay_did_not_forward_is_resent_to_the_recipients_it_missed() {
    let harness = Harness::new(LINE);
    // The relay has no route to any other node yet.
    let relay = harness.plane("b").fib();
    let routes = Arc::new(table("b", &[]));
    harness.plane("b").install(Fib::new(routes, relay.links.clone()), harness.now.get());
    let sent = harness.send("a", Outgoing::broadcast("hello"));
    let large = harness.send("a", Outgoing::broadcast(vec![7; 1 << 20]));
    harness.run();
    assert!(harness.texts("c").is_empty());
    let routes = relay.routes.clone();
    harness.plane("b").install(Fib::new(routes, relay.links.clone()), harness.now.get());
    harness.pass(Duration::from_millis(600));
    for sent in [&sent, &large] {
        assert_eq!(harness.outcomes("a", sent), [Outcome::Delivered; 2]);
    }
    for name in ["b", "c"] {
        let lengths: Vec<usize> = harness.take(name).iter().map(|m| m.body.len()).collect();
        assert_eq!(lengths, [5, 1 << 20]);
    }
}

#[test]
fn a_relay_that_refuses_a_broadcast_refuses_its_own_copy_only() {
    let mut harness = Harness::new(LINE);
    harness.frozen = Some("b");
    let timeout = Duration::from_millis(30);
    let sent = harness.send_until("a", Outgoing::broadcast("hello"), Some(timeout)).expect("sent");
    let link = LinkId(instance("b").0);
    // The first refuses the copy that was flooded, the second the copy for that node alone.
    for _ in 0..2 {
        harness.refuse_first("a", link, "c", true);
        harness.pass(Duration::from_millis(15));
    }
    assert_eq!(harness.outcomes("a", &sent), [Outcome::Timeout; 2], "a copy may still arrive");
    harness.frozen = None;
    harness.run();
    assert_eq!(harness.texts("c"), ["hello"]);
}
