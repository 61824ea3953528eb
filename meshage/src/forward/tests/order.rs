//! Order while queues are full.

use super::*;
use crate::forward::outbound::MESSAGE_BYTES_MAX;

#[test]
fn a_short_broadcast_does_not_overtake_a_long_set_that_waits_for_the_links_queue() {
    const LONG: usize = 40_000;
    let harness = Harness::new(LINE);
    let fill = |len: usize| harness.send("a", Outgoing::set([node("c")], vec![0; len]));
    for _ in 0..MESSAGE_BYTES_MAX / LONG - 1 {
        fill(LONG);
    }
    let queue = harness.plane("a").fib().links[&LinkId(instance("b").0)].clone();
    while queue.waiting_bytes() + LONG < MESSAGE_BYTES_MAX {
        fill(LONG / 8);
    }
    let set = harness.send("a", Outgoing::set([node("b")], vec![1; LONG]));
    let broadcast = harness.send("a", Outgoing::broadcast("x"));
    harness.run();
    assert_eq!(harness.outcomes("a", &set), [Outcome::Delivered]);
    assert_eq!(harness.outcomes("a", &broadcast), [Outcome::Delivered; 2]);
    let lengths: Vec<usize> = harness.take("b").iter().map(|message| message.body.len()).collect();
    assert_eq!(lengths, [LONG, 1]);
}

#[test]
fn a_broadcast_does_not_overtake_a_set_that_waits_for_older_acknowledgements() {
    let harness = Harness::new(&[("a", "b"), ("b", "c"), ("b", "d")]);
    let sets = [harness.set("a", &["c"], "1"), harness.set("a", &["c"], "2")];
    // Although the first was refused, the source sends nothing new until the second is answered.
    harness.refuse_first("a", LinkId(instance("b").0), "c", false);
    let third = harness.set("a", &["c"], "3");
    let broadcast = harness.send("a", Outgoing::broadcast("broadcast"));
    harness.pass(Duration::from_secs(2));
    for sent in sets.iter().chain([&third]) {
        assert_eq!(harness.outcomes("a", sent), [Outcome::Delivered]);
    }
    assert_eq!(harness.outcomes("a", &broadcast), [Outcome::Delivered; 3]);
    assert_eq!(harness.texts("c"), ["1", "2", "3", "broadcast"]);
    assert_eq!(harness.texts("b"), ["broadcast"], "the others do not wait for it");
}

#[test]
fn a_channel_continues_after_all_its_messages_were_canceled_or_lost() {
    let mut harness = Harness::with_buffer(&[("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")], 1);
    harness.set("a", &["c"], "fills the queue");
    harness.run();
    let refused = harness.set("a", &["c"], "refused");
    harness.step();
    assert_eq!(harness.texts("c"), ["fills the queue"]);
    let lost = harness.set("a", &["c"], "lost");
    harness.step();
    // The channel is draining when the refused message is canceled and the link breaks.
    harness.plane("a").cancel(refused.id, harness.now.get());
    harness.set_edges(&[("b", "c"), ("c", "d"), ("a", "d")]);
    assert_eq!(harness.outcomes("a", &refused), [Outcome::Canceled]);
    assert_eq!(harness.outcomes("a", &lost), [Outcome::Lost]);
    let broadcast = harness.send("a", Outgoing::broadcast("x"));
    harness.run();
    assert_eq!(harness.outcomes("a", &broadcast), [Outcome::Delivered; 3]);
}

#[test]
fn a_set_is_sent_after_the_broadcast_before_it_timed_out() {
    let harness = Harness::new(PAIR);
    let limit = Some(Duration::from_millis(5));
    let broadcast = harness.send_until("a", Outgoing::broadcast("x"), limit).expect("sent");
    let link = LinkId(instance("b").0);
    harness.plane("a").fib().links[&link].try_take(usize::MAX, &mut Batch::default());
    harness.refuse_first("a", link, "b", true);
    let set = harness.send_until("a", Outgoing::set([node("b")], "y"), None).expect("sent");
    harness.pass(Duration::from_secs(1));
    assert_eq!(harness.outcomes("a", &broadcast), [Outcome::Timeout]);
    assert_eq!(harness.outcomes("a", &set), [Outcome::Delivered]);
}

#[test]
fn a_notification_of_room_is_remembered_while_the_channel_drains() {
    let harness = Harness::with_buffer(LINE, 1);
    harness.set("a", &["c"], "0");
    harness.run();
    harness.set("a", &["c"], "1");
    harness.step();
    // The first is refused, and there is room before the second is answered.
    let second = harness.set("a", &["c"], "2");
    assert_eq!(harness.texts("c"), ["0"]);
    harness.run();
    assert_eq!(harness.texts("c"), ["1"], "without a back-off");
    harness.run();
    assert_eq!(harness.texts("c"), ["2"]);
    assert_eq!(harness.outcomes("a", &second), [Outcome::Delivered]);
}

#[test]
fn a_waiting_recipient_of_a_broadcast_that_was_just_flooded_is_not_certainly_canceled() {
    const STAR: &[(&str, &str)] = &[("a", "b"), ("a", "c")];
    for (pause, outcome) in [(0, Outcome::Timeout), (2, Outcome::Canceled)] {
        let harness = Harness::with_buffer(STAR, 1);
        harness.pass(Duration::from_secs(2));
        harness.set("a", &["c"], "fills the queue");
        harness.set("a", &["c"], "refused");
        harness.run();
        let broadcast = harness.send("a", Outgoing::broadcast("x"));
        harness.pass(Duration::from_secs(pause));
        harness.plane("a").cancel(broadcast.id, harness.now.get());
        assert_eq!(harness.outcomes("a", &broadcast), [Outcome::Delivered, outcome]);
    }
}
