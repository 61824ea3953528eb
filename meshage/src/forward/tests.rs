//! The data plane of a few nodes in memory.

mod order;
mod placing;
mod world;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use self::world::{Recorder, Sent, World, frames};
use super::delivery::flow::{QUERY_AFTER, WINDOW_BYTES};
use super::outbound::Batch;
use super::plane::{Fib, Limits, Plane};
use crate::error::SendError;
use crate::message::{Outcome, Outgoing, Report};
use crate::name::{LinkId, NodeName};
use crate::route::tests::{instance, node, table};
use crate::wire::ack::{AckEntry, AckFrame, Refusal, Verdict};
use crate::wire::data::{CHUNK_BYTES, Lane};
use crate::wire::deframe::Deframer;

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
    let world = World::new(LINE);
    let sent = world.set("a", &["c"], "hello");
    assert_eq!(world.report("a", &sent), None, "nobody has it yet");
    world.run();
    assert_eq!(world.outcomes("a", &sent), [Outcome::Delivered]);
    let message = world.take("c").remove(0);
    assert_eq!(message.text().expect("text"), "hello");
    assert_eq!(names(&message.recipients), ["c"]);
    assert_eq!(names(&message.route), ["a", "b"]);
    assert_eq!((message.source, message.id), (node("a"), sent.id));
    assert!(world.take("b").is_empty());
}

#[test]
fn a_report_names_every_recipient_once_and_never_the_sender() {
    let world = World::new(LINE);
    let sent = world.set("a", &["c", "x", "b", "c", "a"], "hello");
    world.run();
    let report = world.report("a", &sent).expect("ended");
    let named: Vec<(&str, Outcome)> =
        report.outcomes().iter().map(|(name, outcome)| (name.as_str(), *outcome)).collect();
    assert_eq!(
        named,
        [("c", Outcome::Delivered), ("x", Outcome::NoRoute), ("b", Outcome::Delivered)]
    );
}

#[test]
fn what_cannot_be_sent_is_an_error_at_once() {
    let world = World::new(PAIR);
    let error = |outgoing| world.send_until("a", outgoing, None).err();
    assert_eq!(error(Outgoing::set([], "x")), Some(SendError::NoRecipients));
    assert_eq!(error(Outgoing::set([node("a")], "x")), Some(SendError::SelfOnly));
    let large = vec![0; (1 << 20) + 1];
    let refused = SendError::TooLarge(large.len(), 1 << 20);
    assert_eq!(error(Outgoing::set([node("b")], large)), Some(refused));
    let unknown = world.set("a", &["x"], "hello");
    assert_eq!(world.outcomes("a", &unknown), [Outcome::NoRoute], "at once");
}

#[test]
fn a_broadcast_crosses_each_link_of_its_tree_once() {
    let edges = [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("d", "e")];
    let world = World::new(&edges);
    let sent = world.send("a", Outgoing::broadcast("hello"));
    for name in ["b", "c", "d"] {
        world.plane(name).set_snoop(true);
    }
    let frames = |world: &World| {
        world.planes.keys().map(|name| world.counter(name, "frames_relayed")).sum::<u64>()
    };
    world.run();
    assert_eq!(frames(&world) + 2, 4, "two frames leave the source, the rest is relayed");
    assert_eq!(world.outcomes("a", &sent), [Outcome::Delivered; 4]);
    for name in ["b", "c", "d", "e"] {
        let messages = world.take(name);
        assert_eq!(messages.len(), 1);
        assert!(messages[0].is_broadcast());
    }
}

#[test]
fn a_broadcast_on_an_empty_mesh_succeeds_with_an_empty_report() {
    let world = World::new(PAIR).with_edges(&[]);
    let sent = world.send("a", Outgoing::broadcast("hello"));
    assert_eq!(world.report("a", &sent), Some(Report::default()));
}

#[test]
fn a_full_inbox_refuses_and_what_was_refused_follows_in_order() {
    let world = World::with_buffer(LINE, 2);
    let sent: Vec<Sent> = numbers(7).iter().map(|text| world.set("a", &["c"], text)).collect();
    world.run();
    assert!(world.report("a", &sent[1]).is_some());
    assert!(world.report("a", &sent[2]).is_none());
    let mut got = Vec::new();
    while got.len() < 7 {
        let texts = world.texts("c");
        assert!(!texts.is_empty(), "room is told, not waited for");
        got.extend(texts);
        world.run();
    }
    assert_eq!(got, numbers(7));
    for sent in &sent {
        assert_eq!(world.outcomes("a", sent), [Outcome::Delivered]);
    }
}

#[test]
fn sets_and_broadcasts_keep_order_with_each_other_though_an_inbox_is_full() {
    let world = World::with_buffer(LINE, 2);
    let count = 60;
    for number in numbers(count) {
        if number.ends_with(['3', '7', '8']) {
            world.send("a", Outgoing::broadcast(number.clone()));
        } else {
            world.set("a", &["c", "b"], &number);
        }
        if number.ends_with('9') {
            world.step();
        }
    }
    let (mut at_b, mut at_c) = (Vec::new(), Vec::new());
    while at_c.len() < count || at_b.len() < count {
        world.step();
        at_c.extend(world.plane("c").take(1).0.iter().map(|m| m.text().expect("text").to_owned()));
        world.step();
        at_b.extend(world.plane("b").take(1).0.iter().map(|m| m.text().expect("text").to_owned()));
        world.pass(Duration::from_millis(1));
    }
    assert_eq!(at_c, numbers(count));
    assert_eq!(at_b, numbers(count));
}

#[test]
fn a_receiver_that_never_reads_is_busy_and_one_that_is_frozen_times_out() {
    let mut world = World::with_buffer(LINE, 1);
    let first = world.set("a", &["c"], "first");
    let second = world.set("a", &["c"], "second");
    world.pass(Duration::from_secs(11));
    assert_eq!(world.outcomes("a", &first), [Outcome::Delivered]);
    assert_eq!(world.outcomes("a", &second), [Outcome::Busy]);
    assert_eq!(world.texts("c"), ["first"]);
    world.run();
    assert!(world.texts("c").is_empty(), "a certain failure never arrives");
    world.frozen = Some("c");
    let third = world.set("a", &["c"], "third");
    world.pass(Duration::from_secs(11));
    assert_eq!(world.outcomes("a", &third), [Outcome::Timeout]);
}

#[test]
fn what_follows_a_message_that_was_given_up_is_delivered() {
    let world = World::with_buffer(PAIR, 1);
    world.set("a", &["b"], "0");
    let short = world
        .send_until("a", Outgoing::set([node("b")], "1"), Some(Duration::from_millis(5)))
        .expect("sent");
    let after = world.set("a", &["b"], "2");
    world.pass(Duration::from_millis(50));
    assert_eq!(world.outcomes("a", &short), [Outcome::Busy]);
    assert_eq!(world.texts("b"), ["0"]);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.outcomes("a", &after), [Outcome::Delivered]);
    assert_eq!(world.texts("b"), ["2"]);
}

#[test]
fn a_broken_route_ends_what_was_in_flight_at_once() {
    let mut world = World::new(LINE);
    let lost = world.set("a", &["c"], "lost");
    world.set_edges(PAIR);
    assert_eq!(world.outcomes("a", &lost), [Outcome::Lost]);
    let unknown = world.set("a", &["c"], "unknown");
    assert_eq!(world.outcomes("a", &unknown), [Outcome::NoRoute]);
}

#[test]
fn what_was_refused_and_then_lost_its_route_was_certainly_not_delivered() {
    let mut world = World::with_buffer(LINE, 1);
    world.set("a", &["c"], "first");
    let refused = world.set("a", &["c"], "second");
    world.run();
    world.set_edges(PAIR);
    assert_eq!(world.outcomes("a", &refused), [Outcome::NoRoute]);
}

#[test]
fn a_retried_send_arrives_once_over_the_new_route() {
    let square = [("a", "b"), ("b", "d"), ("a", "c"), ("c", "d")];
    let mut world = World::new(&square);
    let sent = world.send("a", Outgoing::set([node("d")], "hello").retry(true));
    // It gets there, but the acknowledgement does not come back.
    world.step();
    world.step();
    world.set_edges(&[("a", "c"), ("c", "d")]);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.outcomes("a", &sent), [Outcome::Delivered]);
    assert_eq!(world.texts("d"), ["hello"]);
}

#[test]
fn a_retried_send_waits_for_a_route() {
    let mut world = World::new(LINE).with_edges(PAIR);
    let sent = world.send("a", Outgoing::set([node("c")], "hello").retry(true));
    world.run();
    assert_eq!(world.report("a", &sent), None);
    world.set_edges(LINE);
    world.run();
    assert_eq!(world.outcomes("a", &sent), [Outcome::Delivered]);
}

#[test]
fn a_large_body_travels_in_chunks_and_arrives_whole() {
    let world = World::new(LINE);
    let body: Vec<u8> = (0..10 * CHUNK_BYTES + 7).map(|at| at as u8).collect();
    let sent = world.send("a", Outgoing::set([node("b"), node("c")], body.clone()));
    let broadcast = world.send("a", Outgoing::broadcast(body.clone()));
    world.run();
    assert_eq!(world.outcomes("a", &sent), [Outcome::Delivered; 2]);
    assert_eq!(world.outcomes("a", &broadcast), [Outcome::Delivered; 2]);
    for name in ["b", "c"] {
        let bodies: Vec<Bytes> = world.take(name).into_iter().map(|message| message.body).collect();
        assert_eq!(bodies, [body.clone(), body.clone()]);
        assert_eq!(world.counter(name, "reassembly_bytes"), 0);
    }
}

#[test]
fn a_receiver_takes_no_body_beyond_its_own_limit_and_what_follows_all_the_same() {
    let mut world = World::new(PAIR);
    let limits = Limits { max_message: 10, receive_buffer: 10 };
    let fib = world.plane("b").fib();
    let plane = Plane::new(node("b"), instance("b"), limits, Recorder::default());
    plane.install(Fib { routes: fib.routes.clone(), links: fib.links.clone() }, world.now.get());
    world.planes.insert("b", plane);
    let over = world.set("a", &["b"], "eleven byte");
    let far_over = world.send("a", Outgoing::set([node("b")], vec![0; 2 * CHUNK_BYTES]));
    let fits = world.set("a", &["b"], "ten bytes!");
    world.pass(Duration::from_secs(1));
    assert_eq!(world.outcomes("a", &over), [Outcome::TooLarge]);
    assert_eq!(world.outcomes("a", &far_over), [Outcome::TooLarge]);
    assert_eq!(world.outcomes("a", &fits), [Outcome::Delivered]);
    assert_eq!(world.texts("b"), ["ten bytes!"]);
}

#[test]
fn a_small_message_does_not_wait_behind_a_large_one() {
    let world = World::new(PAIR);
    world.send("a", Outgoing::set([node("b")], vec![0; 1 << 20]));
    let small = world.set("a", &["b"], "small");
    world.step();
    world.step();
    assert_eq!(world.outcomes("a", &small), [Outcome::Delivered]);
    assert_eq!(world.texts("b"), ["small"]);
}

#[test]
fn large_bodies_find_a_full_inbox_and_come_again_in_order() {
    let world = World::with_buffer(LINE, 1);
    let sent: Vec<Sent> = (0..3_u8)
        .map(|fill| world.send("a", Outgoing::set([node("c")], vec![fill; CHUNK_BYTES * 3])))
        .collect();
    let mut fills = Vec::new();
    while fills.len() < 3 {
        world.pass(Duration::from_millis(600));
        fills.extend(world.take("c").iter().map(|message| message.body[0]));
    }
    world.run();
    assert_eq!(fills, [0, 1, 2]);
    for sent in &sent {
        assert_eq!(world.outcomes("a", sent), [Outcome::Delivered]);
    }
}

#[test]
fn a_full_relay_refuses_and_order_holds() {
    let mut world = World::with_buffer(LINE, 100_000);
    world.frozen = Some("c");
    // More than a relay's queue holds, from two sources, so that no window prevents it.
    let body = |number: usize| format!("{number:0>50000}");
    let mut count = 0;
    while world.counter("b", "frames_refused_in_transit") == 0 {
        world.set("a", &["c"], &body(count));
        world.set("b", &["c"], "filler".repeat(5000).as_str());
        count += 1;
        world.run();
    }
    world.frozen = None;
    world.pass(Duration::from_secs(5));
    let got: Vec<String> = world
        .take("c")
        .iter()
        .filter(|message| message.source == node("a"))
        .map(|message| message.text().expect("text").to_owned())
        .collect();
    assert_eq!(got, (0..count).map(body).collect::<Vec<_>>());
}

#[test]
fn a_stuck_receiver_holds_no_more_than_a_window() {
    let mut world = World::new(LINE);
    world.frozen = Some("b");
    for _ in 0..200 {
        world.set("a", &["c"], &"x".repeat(50_000));
    }
    let waiting = world.plane("a").fib().links[&LinkId(2)].waiting_bytes();
    assert!(waiting as u64 <= WINDOW_BYTES + 51_000, "{waiting} bytes");
    assert!(waiting > 1 << 20);
}

#[test]
fn a_full_local_queue_says_again_and_then_that_it_has_room() {
    let mut world = World::new(PAIR);
    world.frozen = Some("b");
    let large = || Outgoing::set([node("b")], vec![0; 1 << 20]);
    let timeout = Some(Duration::from_secs(10));
    while world.send_until("a", large(), timeout).is_ok() {}
    assert_eq!(world.send_until("a", large(), timeout).err(), Some(SendError::Again));
    assert_eq!(*world.plane("a").host().spaces.lock().expect("sane"), 0);
    world.pass(Duration::from_secs(11));
    assert_eq!(*world.plane("a").host().spaces.lock().expect("sane"), 1);
    assert!(world.send_until("a", large(), timeout).is_ok());
}

#[test]
fn a_canceled_send_ends_at_once_and_truthfully() {
    let mut world = World::with_buffer(LINE, 1);
    world.set("a", &["c"], "0");
    let refused = world.set("a", &["c"], "1");
    world.run();
    world.plane("a").cancel(refused.id, world.now.get());
    assert_eq!(world.outcomes("a", &refused), [Outcome::Canceled]);
    world.frozen = Some("c");
    world.take("c");
    let flying = world.set("a", &["c"], "2");
    world.run();
    world.plane("a").cancel(flying.id, world.now.get());
    assert_eq!(world.outcomes("a", &flying), [Outcome::Timeout]);
    world.frozen = None;
    world.run();
    assert_eq!(world.texts("c"), ["2"], "it may still arrive, and did");
}

#[test]
fn a_snoop_sees_what_passes_through_and_nothing_else() {
    let world = World::new(LINE);
    world.plane("b").set_snoop(true);
    world.set("a", &["c"], "through");
    world.set("a", &["b"], "to it");
    world.send("a", Outgoing::set([node("c")], vec![7; CHUNK_BYTES * 2]));
    world.send("a", Outgoing::broadcast("to all"));
    world.run();
    let snooped = world.plane("b").host().snooped.lock().expect("sane");
    let lengths: Vec<usize> = snooped.iter().map(|message| message.body.len()).collect();
    assert_eq!(lengths, [7, CHUNK_BYTES * 2]);
}

#[test]
fn a_lost_acknowledgement_is_asked_for() {
    let world = World::new(PAIR);
    let sent = world.set("a", &["b"], "hello");
    let mut batch = Batch::default();
    // The message arrives, its acknowledgement is thrown away.
    let out = world.plane("a").fib().links[&LinkId(2)].clone();
    out.try_take(usize::MAX, &mut batch);
    let raw = frames(&batch);
    world.plane("b").receive(LinkId(1), &raw, world.now.get()).expect("in order");
    batch = Batch::default();
    world.plane("b").fib().links[&LinkId(1)].try_take(usize::MAX, &mut batch);
    assert_eq!(batch.frames, 1);
    world.pass(QUERY_AFTER);
    assert_eq!(world.outcomes("a", &sent), [Outcome::Delivered]);
}

#[test]
fn a_closed_plane_ends_every_send_and_takes_no_more() {
    let world = World::new(PAIR);
    let sent = world.set("a", &["b"], "hello");
    let mut waiting = 0;
    world.plane("a").stop(|_| waiting += 1);
    assert_eq!(waiting, 1);
    let refused = world.send_until("a", Outgoing::set([node("b")], "late"), None).err();
    assert_eq!(refused, Some(SendError::Closed));
    assert!(!world.plane("a").is_idle());
    world.plane("a").close();
    let done = world.plane("a").host().done.lock().expect("sane");
    assert_eq!(done[&sent.token], Err(SendError::Closed));
}

#[test]
fn a_set_to_more_recipients_than_a_header_holds_reaches_them_all() {
    // The table's tests know 26 names; a long list of unknown ones fills the header all the same.
    let world = World::new(&[("a", "b"), ("b", "c"), ("b", "d")]);
    let mut to: Vec<NodeName> = (0..200).map(|i| node(&format!("z{i:0>62}"))).collect();
    to.insert(0, node("c"));
    to.push(node("d"));
    let sent = world.send("a", Outgoing::set(to, "hello"));
    world.run();
    let report = world.report("a", &sent).expect("ended");
    assert_eq!(report.outcomes().len(), 202);
    assert_eq!(report.delivered().count(), 2);
}

#[test]
fn a_newcomer_in_the_middle_of_a_stream_of_broadcasts_misses_none_that_is_meant_for_it() {
    let mut world = World::with_buffer(&[("a", "b"), ("b", "c"), ("a", "d")], 1000)
        .with_edges(&[("a", "b"), ("a", "d")]);
    world.frozen = Some("d");
    for text in numbers(3) {
        world.send("a", Outgoing::broadcast(text));
    }
    world.run();
    world.set_edges(&[("a", "b"), ("b", "c"), ("a", "d")]);
    let late: Vec<Sent> =
        (3..6).map(|number| world.send("a", Outgoing::broadcast(number.to_string()))).collect();
    world.pass(Duration::from_secs(1));
    assert_eq!(world.texts("b"), numbers(6));
    assert_eq!(world.texts("c"), numbers(6)[3..]);
    world.frozen = None;
    world.pass(Duration::from_secs(1));
    assert_eq!(world.texts("d"), numbers(6));
    for sent in &late {
        assert_eq!(world.outcomes("a", sent), [Outcome::Delivered; 3]);
    }
}

#[test]
fn a_broadcast_that_a_relay_did_not_pass_on_goes_again_to_whom_it_missed() {
    let world = World::new(LINE);
    // The relay knows nothing of the source yet, nor of anybody else.
    let relay = world.plane("b").fib();
    let routes = Arc::new(table("b", &[]));
    world.plane("b").install(Fib { routes, links: relay.links.clone() }, world.now.get());
    let sent = world.send("a", Outgoing::broadcast("hello"));
    let large = world.send("a", Outgoing::broadcast(vec![7; 1 << 20]));
    world.run();
    assert!(world.texts("c").is_empty());
    let routes = relay.routes.clone();
    world.plane("b").install(Fib { routes, links: relay.links.clone() }, world.now.get());
    world.pass(Duration::from_millis(600));
    for sent in [&sent, &large] {
        assert_eq!(world.outcomes("a", sent), [Outcome::Delivered; 2]);
    }
    for name in ["b", "c"] {
        let lengths: Vec<usize> = world.take(name).iter().map(|m| m.body.len()).collect();
        assert_eq!(lengths, [5, 1 << 20]);
    }
}

#[test]
fn a_relay_that_refuses_a_broadcast_for_a_node_speaks_for_its_own_copy_alone() {
    let mut world = World::new(LINE);
    world.frozen = Some("b");
    let timeout = Duration::from_millis(30);
    let sent = world.send_until("a", Outgoing::broadcast("hello"), Some(timeout)).expect("sent");
    let refusal = AckEntry {
        to: instance("a"),
        from: node("c"),
        by: None,
        lane: Lane { broadcast: true, large: false },
        verdict: Verdict::Refused { number: 1, refusal: Refusal::Busy },
        hops: 1,
    };
    let link = LinkId(instance("b").0);
    // The first refuses what went along the tree, the second what then went to that node alone.
    for _ in 0..2 {
        world.answer("a", link, refusal.clone());
        world.pass(Duration::from_millis(15));
    }
    assert_eq!(world.outcomes("a", &sent), [Outcome::Timeout; 2], "a copy may still arrive");
    world.frozen = None;
    world.run();
    assert_eq!(world.texts("c"), ["hello"]);
}
