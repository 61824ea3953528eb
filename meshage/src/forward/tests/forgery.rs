//! Frames that a relay forges in the names of others, in a line a–b–c. The relay is on the path, so no
//! check of the path drops them. Once it stops, every pair delivers again.

use smallvec::smallvec;

use super::*;
use crate::forward::delivery::channel_flow::ROUTES_STABLE_AFTER;
use crate::wire::ack::{AckEntry, AckFrame, Refusal, Verdict};
use crate::wire::data::{Channel, DataFrame, DataHeader, MessageSequence, Target, Targets};
use crate::wire::deframe::{Deframer, RawFrame};
use crate::wire::frame::WireFrame;

const FAR: u64 = 1 << 62;
const SET: Channel = Channel { broadcast: false, large: false };
const BROADCAST: Channel = Channel { broadcast: true, large: false };

fn raw(frame: &WireFrame) -> RawFrame {
    let mut deframer = Deframer::default();
    deframer.buffer().extend_from_slice(&frame.head);
    deframer.buffer().extend_from_slice(&frame.body);
    deframer.next_frame().expect("well-formed").expect("whole")
}

/// The relay sends c a message in the name of a.
fn forge(harness: &Harness, channel: Channel, number: u64, floor: u64, (id, oldest): (u64, u64)) {
    let sequence = MessageSequence { number, floor };
    let target = Target { name: node("c"), sequence: Some(sequence), oldest };
    let header = DataHeader {
        source: node("a"),
        instance: instance("a"),
        id,
        channel,
        encoding: 1,
        targets: match channel.broadcast {
            true => Targets::Flood(sequence),
            false => Targets::List(smallvec![target]),
        },
        chunk: None,
        route: [node("a"), node("b")].into_iter().collect(),
    };
    let frame = DataFrame { header, body: Bytes::from_static(b"forged") }.encode();
    let link = LinkId(instance("b").0);
    harness.plane("c").receive(link, &[raw(&frame)], harness.now.get()).expect("well-formed");
}

/// Drops what c has queued for b: an acknowledgement that is lost.
fn lose_answers(harness: &Harness) {
    for outbound in harness.plane("c").fib().links.values() {
        outbound.try_take(usize::MAX, &mut Batch::default());
    }
}

fn send(harness: &Harness, channel: Channel, text: &str) -> Sent {
    match channel.broadcast {
        true => harness.send("a", Outgoing::broadcast(text.to_owned())),
        false => harness.set("a", &["c"], text),
    }
}

fn genuine(harness: &Harness) -> Vec<String> {
    let mut texts = harness.texts("c");
    texts.retain(|text| text != "forged");
    texts
}

#[test]
fn a_forged_number_far_ahead_costs_no_message() {
    for channel in [SET, BROADCAST] {
        for (forgeries, lost) in [(1, false), (1, true), (2, false), (2, true)] {
            for before in [0, 3] {
                let harness = Harness::new(LINE);
                // While routes have just changed, a refused broadcast may still arrive.
                harness.pass(2 * ROUTES_STABLE_AFTER);
                let mut sent = Vec::new();
                for text in &numbers(before) {
                    sent.push(send(&harness, channel, text));
                }
                harness.run();
                for forgery in 0..forgeries {
                    let number = FAR + 10_000 * forgery;
                    forge(&harness, channel, number, number, (FAR, FAR));
                }
                if lost {
                    lose_answers(&harness);
                }
                for text in &numbers(before + 3)[before..] {
                    sent.push(send(&harness, channel, text));
                    harness.run();
                }
                harness.pass(Duration::from_secs(3));
                let case = format!("{channel}, {forgeries} forged, lost: {lost}, {before} before");
                for sent in &sent {
                    let outcomes = harness.outcomes("a", sent);
                    assert!(outcomes.iter().all(|it| *it == Outcome::Delivered), "{case}");
                }
                assert_eq!(genuine(&harness), numbers(before + 3), "{case}");
                assert_eq!(harness.counter("a", "channel_restarts_requested"), 1, "{case}");
            }
        }
    }
}

#[test]
fn messages_in_flight_when_a_number_is_forged_arrive_once_and_in_order() {
    for floor in [FAR, 2] {
        let harness = Harness::new(LINE);
        let first = harness.set("a", &["c"], "0");
        harness.run();
        let sent: Vec<Sent> =
            numbers(6)[1..].iter().map(|text| harness.set("a", &["c"], text)).collect();
        forge(&harness, SET, if floor == FAR { FAR } else { 40 }, floor.max(40), (FAR, FAR));
        harness.pass(Duration::from_secs(3));
        assert_eq!(harness.outcomes("a", &first), [Outcome::Delivered]);
        for sent in &sent {
            assert_eq!(harness.outcomes("a", sent), [Outcome::Delivered]);
        }
        assert_eq!(genuine(&harness), numbers(6));
    }
}

#[test]
fn a_forged_message_with_a_number_that_its_source_uses_later_makes_no_outcome_untrue() {
    let harness = Harness::new(LINE);
    forge(&harness, SET, 1, 1, (FAR, FAR));
    lose_answers(&harness);
    let sent: Vec<Sent> = numbers(3).iter().map(|text| harness.set("a", &["c"], text)).collect();
    harness.pass(Duration::from_secs(3));
    assert_eq!(harness.outcomes("a", &sent[0]), [Outcome::Lost]);
    assert_eq!(harness.outcomes("a", &sent[2]), [Outcome::Delivered]);
    assert_eq!(genuine(&harness), ["1", "2"]);
    assert_eq!(harness.counter("c", "messages_conflicting"), 1);
}

#[test]
fn a_forged_oldest_message_blocks_nobody() {
    for (id, oldest) in [(0, 0), (1, 0), (1, FAR), (FAR, 0), (FAR, FAR)] {
        for channel in [SET, BROADCAST] {
            let harness = Harness::new(LINE);
            // Too early, so that the recipient waits for it.
            forge(&harness, SET, 50, 1, (id, oldest));
            let sent = send(&harness, channel, "genuine");
            harness.pass(Duration::from_secs(3));
            let outcomes = harness.outcomes("a", &sent);
            assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Delivered), "{id} {oldest}");
            assert_eq!(genuine(&harness), ["genuine"]);
        }
    }
}

#[test]
fn a_forged_acknowledgement_far_ahead_costs_a_round_trip() {
    let harness = Harness::new(LINE);
    let sent = harness.set("a", &["c"], "genuine");
    let entry = AckEntry {
        to: instance("a"),
        from: node("c"),
        by: Some(instance("c")),
        channel: SET,
        verdict: Verdict::Delivered { next: FAR },
        hops: 1,
    };
    let frame = AckFrame { entries: smallvec![entry] }.encode();
    let link = LinkId(instance("b").0);
    harness.plane("a").receive(link, &[raw(&frame)], harness.now.get()).expect("well-formed");
    assert!(harness.report("a", &sent).is_none(), "it is not believed");
    harness.run();
    assert_eq!(harness.outcomes("a", &sent), [Outcome::Delivered]);
    let after = harness.set("a", &["c"], "after");
    harness.run();
    assert_eq!(harness.outcomes("a", &after), [Outcome::Delivered]);
    assert_eq!(harness.counter("c", "channel_restarts"), 0);
}

#[test]
fn acknowledgements_of_what_was_never_sent_count_as_work_that_leads_to_nothing() {
    let harness = Harness::new(LINE);
    let link = LinkId(instance("b").0);
    // Of a node to which nothing is outstanding: a asks it to start the channel anew.
    let far_ahead = Verdict::Delivered { next: FAR };
    // Of a node to which something else is outstanding.
    let beyond = Verdict::Refused { number: FAR, refusal: Refusal::TooLarge };
    for verdict in [far_ahead, beyond] {
        if verdict == beyond {
            harness.set("a", &["c"], "genuine");
        }
        let entry = AckEntry {
            to: instance("a"),
            from: node("c"),
            by: Some(instance("c")),
            channel: SET,
            verdict,
            hops: 1,
        };
        let frame = AckFrame { entries: smallvec![entry; 100] }.encode();
        let received = harness.plane("a").receive(link, &[raw(&frame)], harness.now.get());
        let futile = received.expect("well-formed").futile;
        assert!(futile >= 100, "{verdict:?}: {futile}");
    }
}
