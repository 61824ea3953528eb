//! Connections become links or are refused, and links end.

use super::harness::{Harness, config};
use super::{linked, ms, name, secs};
use crate::event::{Departure, Event, LinkEnd};
use crate::name::Instance;
use crate::name::LinkId;
use crate::protocol::io::CloseReason;
use crate::protocol::io::Command;
use crate::protocol::io::{Input, Role};
use crate::wire::control::ControlFrame;
use crate::wire::hello::{Hello, Purpose};

#[test]
fn a_dial_completes_when_messages_can_flow_both_ways() {
    let mut harness = Harness::new(1);
    harness.start(config("a", 0));
    harness.start(config("b", 0));
    let request = harness.dial("a", "b");
    assert!(harness.run_until(secs(1), |harness| !harness.nodes[0].replies.is_empty()));
    assert_eq!(harness.reply("a", request).as_deref(), Some("Dial(Ok(\"b\"))"));
    assert!(
        harness.elapsed() <= ms(60),
        "in three and a half round trips: {:?}",
        harness.elapsed()
    );
    assert_eq!(harness.known_nodes("a"), ["b"]);
    harness.run(ms(50));
    assert_eq!(harness.known_nodes("b"), ["a"]);
    let events = harness.events("b");
    let instance = harness.instance(0);
    let expected = [
        Event::LinkUp { peer: name("a"), instance },
        Event::NodeJoined { node: name("a"), instance },
        Event::Topology,
    ];
    assert_eq!(events, expected);
}

#[test]
fn simultaneous_dials_end_with_one_link_whatever_the_interleaving() {
    for seed in 0..300 {
        let mut harness = Harness::new(seed);
        harness.latency = ms(1)..=ms(40);
        harness.start(config("a", 0));
        harness.start(config("b", 0));
        harness.dial("a", "b");
        harness.run(ms(seed % 50));
        harness.dial("b", "a");
        if seed % 3 == 0 {
            harness.dial("a", "b");
        }
        harness.run(secs(2));
        assert_eq!(harness.peers("a"), ["b"], "seed {seed}");
        assert_eq!(harness.peers("b"), ["a"], "seed {seed}");
        for id in 0..2 {
            assert_eq!(harness.counter(id, "links"), 1, "seed {seed}");
            let replies = harness.nodes[id].replies.len();
            let dials = if id == 0 && seed % 3 == 0 { 2 } else { 1 };
            assert_eq!(replies, dials, "seed {seed}: every dial has one reply");
            let linked = |(_, reply): &(_, _)| format!("{reply:?}").contains("Ok(");
            if dials == 1 && seed % 50 < 2 {
                assert!(
                    harness.nodes[id].replies.iter().all(linked),
                    "seed {seed}: both are linked"
                );
            }
        }
        assert!(harness.is_complete());
    }
}

#[test]
fn dialling_itself_a_peer_or_a_closed_address_is_an_error() {
    let mut harness = linked(&["a", "b"], &[("a", "b")]);
    for (from, to, error) in [
        ("a", "a", "Refused(Myself)"),
        ("a", "b", "Refused(Duplicate)"),
        ("b", "a", "Refused(Duplicate)"),
        ("a", "x", "Connect"),
    ] {
        let request = harness.dial(from, to);
        harness.run(secs(1));
        let reply = harness.reply(from, request).expect("a reply");
        assert!(reply.contains(error), "{from} to {to}: {reply}");
        assert_eq!(harness.peers("a"), ["b"]);
        assert!(harness.is_complete());
    }
}

#[test]
fn of_two_nodes_with_one_name_the_newcomer_is_refused_and_both_sides_report_it() {
    let mut harness = linked(&["a", "b", "c"], &[("a", "b"), ("b", "c")]);
    let second = harness.start(config("c", 0));
    harness.events("a");
    let request = crate::protocol::io::RequestId(99);
    harness.command(second, Command::Dial { request, address: "a".into() });
    harness.run(secs(1));
    let (_, reply) = harness.nodes[second].replies.pop().expect("a reply");
    assert!(format!("{reply:?}").contains("NameInUse"));
    for events in [std::mem::take(&mut harness.nodes[second].events), harness.events("a")] {
        let [Event::NameConflict { name, reason }] = &events[..] else { panic!("{events:?}") };
        assert_eq!(name.as_str(), "c");
        assert!(reason.contains("another reachable node"), "{reason}");
    }
    assert_eq!(harness.known_nodes("a"), ["b", "c"]);
}

#[test]
fn a_restarted_node_regains_its_name_once_the_old_link_has_ended() {
    let mut harness = linked(&["a", "b", "c"], &[("a", "b"), ("b", "c")]);
    let old = harness.find("c");
    harness.kill(old);
    harness.run(ms(100));
    harness.start(config("c", 0));
    let request = harness.dial("c", "a");
    harness.run(secs(1));
    assert!(harness.reply("c", request).expect("a reply").contains("Ok"));
    assert!(harness.is_complete());
    // An old link that is only silent lasts no longer than the dead interval.
    let old = harness.find("c");
    harness.unplug(old, true);
    harness.kill(old);
    let new = harness.start(config("c", 0));
    let mut config = config("d", 0);
    config.seeds.push("c".into());
    harness.start(config);
    harness.dial("b", "d");
    assert!(harness.run_until(secs(8), |harness| harness.known_nodes("a").len() == 3));
    assert!(harness.nodes[0].router.routes().contains(harness.instance(new)));
}

#[test]
fn consecutive_dials_do_not_take_longer_and_longer() {
    let mut harness = Harness::new(8);
    harness.start(config("hub", 0));
    for i in 0..20 {
        let name = format!("n{i}");
        harness.start(config(&name, 0));
        let request = harness.dial("hub", &name);
        assert!(harness.run_until(ms(250), |harness| harness.nodes[0].replies.len() > i));
        assert!(harness.reply("hub", request).is_some_and(|reply| reply.contains("Ok")));
        harness.nodes[0].replies.resize_with(i + 1, || {
            (crate::protocol::io::RequestId(0), crate::protocol::io::Reply::Hangup(Ok(())))
        });
    }
}

#[test]
fn a_link_whose_admission_or_exchange_does_not_finish_is_closed() {
    for (me, frames) in [("z", vec![]), ("z", vec![ControlFrame::Admit { other_link: false }])] {
        let mut harness = Harness::new(1);
        harness.start(config(me, 0));
        let hello = crate::wire::hello::Hello {
            name: name("b"),
            namespace: Default::default(),
            instance: Instance(5),
            version: "another".into(),
            capabilities: 0,
            purpose: crate::wire::hello::Purpose::Dialled,
        };
        let link = LinkId(1);
        harness.input(
            0,
            Input::LinkUp { link, role: crate::protocol::io::Role::Listener, hello, proof: None },
        );
        for frame in frames {
            harness.input(0, Input::Control { link, frame });
        }
        for _ in 0..40 {
            harness.run(secs(1));
            harness.input(0, Input::BytesReceived { link });
        }
        assert_eq!(harness.nodes[0].closes, [CloseReason::AdmissionTimeout]);
        assert_eq!(harness.counter(0, "links_timed_out"), 1);
    }
}

#[test]
fn a_link_replaces_a_dead_one_at_once() {
    // Either end may be the deciding one, and either may be the one that lost the old link.
    for (from, to) in [("a", "b"), ("b", "a")] {
        let mut harness = linked(&["a", "b"], &[("a", "b")]);
        let id = harness.find(from);
        harness.unplug(id, true);
        let link = LinkId(1);
        harness.input(id, Input::LinkDown { link, end: LinkEnd::Broken("broken".into()) });
        harness.unplug(id, false);
        let request = harness.dial(from, to);
        harness.run(ms(200));
        assert!(harness.reply(from, request).expect("a reply").contains("Ok"));
        assert!(harness.is_complete());
        let other = harness.find(to);
        assert_eq!(harness.nodes[other].closes, [CloseReason::Replaced]);
    }
}

#[test]
fn peers_are_informed_of_a_node_that_leaves_and_closing_is_final() {
    let mut harness = linked(&["a", "b", "c"], &[("a", "b"), ("b", "c")]);
    harness.command(1, Command::Close);
    harness.run(ms(6));
    assert_eq!(harness.nodes[0].closes, [CloseReason::Left]);
    assert!(harness.known_nodes("a").is_empty() && harness.known_nodes("c").is_empty());
    let request = harness.dial("b", "a");
    assert!(harness.reply("b", request).expect("a reply at once").contains("Closed"));
    let request = harness.dial("a", "b");
    harness.run(secs(1));
    assert!(harness.reply("a", request).expect("a reply").contains("Refused(Closing)"));
}

#[test]
fn every_node_learns_whether_a_node_left_or_failed() {
    let names = ["a", "b", "c", "d", "e"];
    let ring = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("e", "a")];
    for departure in [Departure::Left, Departure::Failed] {
        let mut harness = linked(&names, &ring);
        let (id, instance) = (harness.find("c"), harness.instance(2));
        for name in ["a", "b", "d", "e"] {
            harness.events(name);
        }
        match departure {
            Departure::Left => harness.command(id, Command::Close),
            Departure::Failed => {}
        }
        harness.kill(id);
        harness.run(secs(1));
        for at in ["a", "b", "d", "e"] {
            let events = harness.events(at);
            let left = Event::NodeLeft { node: name("c"), instance, departure };
            assert!(events.contains(&left), "{at}: {events:?}");
            let reason = match departure {
                Departure::Left => LinkEnd::PeerLeft,
                Departure::Failed => LinkEnd::Closed,
            };
            let down = Event::LinkDown { peer: name("c"), instance, reason };
            assert_eq!(events.first() == Some(&down), at == "b" || at == "d", "{at}: {events:?}");
        }
    }
}

#[test]
fn a_hangup_closes_the_link_and_only_a_peer_can_be_hung_up_on() {
    let mut harness = linked(&["a", "b"], &[("a", "b")]);
    let request = crate::protocol::io::RequestId(50);
    harness.command(0, Command::Hangup { request, peer: name("x") });
    assert!(harness.reply("a", request).expect("a reply at once").contains("NotAPeer"));
    harness.command(0, Command::Hangup { request, peer: name("b") });
    assert!(harness.reply("a", request).expect("a reply at once").contains("Ok"));
    harness.run(ms(20));
    assert!(harness.peers("a").is_empty() && harness.peers("b").is_empty());
    for (at, peer, reason) in [("a", "b", LinkEnd::HungUp), ("b", "a", LinkEnd::HungUpByPeer)] {
        let instance = harness.instance(harness.find(peer));
        let down = Event::LinkDown { peer: name(peer), instance, reason };
        let events = harness.events(at);
        assert!(events.contains(&down), "{at}: {events:?}");
    }
}

#[test]
fn a_canceled_dial_leaves_no_link() {
    for wait in 0..60 {
        let mut harness = Harness::new(wait);
        harness.start(config("a", 0));
        harness.start(config("b", 0));
        let request = harness.dial("a", "b");
        harness.run(ms(wait));
        if harness.reply("a", request).is_none() {
            harness.command(0, Command::CancelDial { request });
            harness.run(secs(1));
            assert!(harness.peers("a").is_empty() && harness.peers("b").is_empty(), "{wait} ms");
        }
    }
}

#[test]
fn the_number_of_links_is_bounded() {
    let mut harness = Harness::new(4);
    harness.checks = false;
    harness.start(config("hub", 0));
    for i in 0..260 {
        harness.start(config(&format!("n{i:03}"), 0));
        harness.dial(&format!("n{i:03}"), "hub");
    }
    harness.run(secs(3));
    assert_eq!(harness.peers("hub").len(), 256);
    assert_eq!(harness.counter(0, "links_limited"), 4);
    harness.nodes[0].router.check();
}

/// A node has one name. One with two names, a lesser and a greater one, decides about one link and
/// leaves the other to this node.
#[test]
fn a_peer_with_two_names_gets_one_link() {
    let mut harness = Harness::new(4);
    harness.start(config("m", 0));
    for (link, name_of_peer) in [(1, "z"), (2, "a")] {
        let own = harness.nodes[0].router.hello(Purpose::Dialled);
        let hello = Hello { name: name(name_of_peer), instance: Instance(5), ..own };
        let role = Role::Listener;
        harness.input(0, Input::LinkUp { link: LinkId(link), role, hello, proof: None });
    }
    for link in [2, 1] {
        let frame = ControlFrame::Admit { other_link: false };
        harness.input(0, Input::Control { link: LinkId(link), frame });
    }
    assert_eq!(harness.nodes[0].closes, [CloseReason::Replaced]);
}
