//! What nodes know about the mesh, how soon, and for how long.

use super::harness::{Harness, config};
use super::{linked, ms, name, secs};
use crate::name::Instance;
use crate::name::LinkId;
use crate::name::Sequence;
use crate::protocol::io::CloseReason;
use crate::protocol::io::Command;
use crate::protocol::io::Input;
use crate::protocol::silence::DEAD_INTERVAL_MAX;
use crate::wire::control::{Announcement, ControlFrame};

#[test]
fn a_newcomer_knows_the_whole_mesh_after_one_exchange() {
    let mut harness = linked(
        &["a", "b", "c", "d", "e"],
        &[("a", "b"), ("b", "c"), ("c", "d")]
            .iter()
            .copied()
            .chain([("d", "e")])
            .collect::<Vec<_>>(),
    );
    harness.run(secs(30));
    harness.start(config("f", 0));
    let before = harness.now;
    harness.dial("f", "a");
    assert!(harness.run_until(secs(1), Harness::is_complete));
    assert!(harness.now - before < ms(100));
    assert_eq!(harness.known_nodes("f"), ["a", "b", "c", "d", "e"]);
}

#[test]
fn a_killed_peer_is_removed_at_once_and_a_silent_one_after_the_dead_interval() {
    let mut harness = linked(&["a", "b", "c"], &[("a", "b"), ("a", "c")]);
    harness.kill(1);
    harness.run(ms(16));
    assert_eq!(
        (harness.known_nodes("a"), harness.known_nodes("c")),
        (vec!["c".into()], vec!["a".into()])
    );
    harness.unplug(2, true);
    let before = harness.now;
    assert!(harness.run_until(secs(5), |harness| harness.known_nodes("a").is_empty()));
    let took = harness.now - before;
    assert!(took > secs(2) && took <= ms(3100), "{took:?}");
    assert_eq!(harness.nodes[0].closes, [CloseReason::Silent(DEAD_INTERVAL_MAX)]);
}

#[test]
fn a_process_that_got_no_time_does_not_close_its_links_as_silent() {
    let mut harness = linked(&["a", "b"], &[("a", "b")]);
    harness.freeze(0);
    harness.run(ms(2900));
    harness.unfreeze(0);
    harness.run(secs(10));
    assert_eq!(harness.nodes[0].closes, []);
    assert_eq!(harness.peers("a"), ["b"]);
    assert_eq!(harness.counter(0, "late_wakeups"), 1);
    // After a longer time the other node has closed the link, and this node is notified of it.
    harness.freeze(0);
    harness.run(secs(10));
    assert!(matches!(harness.nodes[1].closes[..], [CloseReason::Silent(_)]));
    harness.unfreeze(0);
    harness.run(ms(100));
    assert_eq!(harness.nodes[0].closes, []);
    assert!(harness.known_nodes("a").is_empty());
}

#[test]
fn a_silent_peer_is_removed_sooner_once_the_link_is_known_to_be_fast() {
    let mut harness = linked(&["a", "b", "c"], &[("a", "b"), ("a", "c")]);
    harness.run(secs(20));
    harness.unplug(2, true);
    let before = harness.now;
    assert!(harness.run_until(secs(5), |harness| harness.known_nodes("a") == ["b"]));
    let took = harness.now - before;
    assert!(took <= ms(1500), "{took:?}");
    assert!(harness.counter(0, "probes_sent") >= 3);
    // Node c has one link, so that it does not know whose fault it is.
    harness.run(ms(100));
    assert!(harness.known_nodes("c").is_empty());
}

#[test]
fn the_probes_of_a_peer_are_answered_up_to_a_limit() {
    let mut harness = linked(&["a", "b"], &[("a", "b")]);
    let link = harness.link("a", "b");
    let before = harness.nodes[0].sends;
    for _ in 0..1000 {
        harness.input(0, Input::Control { link, frame: ControlFrame::Probe });
    }
    let answers = harness.nodes[0].sends - before;
    assert!((32..=64).contains(&answers), "{answers}");
    assert_eq!(harness.counter(0, "probes_limited"), 1000 - answers as u64);
}

#[test]
fn the_last_of_many_changes_is_announced() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut harness = Harness::new(3);
    for name in names {
        harness.start(config(name, 0));
    }
    for name in &names[1..] {
        harness.dial("a", name);
        harness.run(ms(60));
    }
    assert!(harness.run_until(secs(5), Harness::is_complete));
    for name in &names[2..] {
        let peer = harness.find(name);
        harness.kill(peer);
        harness.run(ms(30));
    }
    assert!(harness.run_until(secs(8), Harness::is_complete));
    assert_eq!(harness.known_nodes("b"), ["a"]);
    let originated = harness.counter(0, "announcements_originated");
    assert!(originated <= 12, "6 losses in 180 ms take few announcements: {originated}");
}

#[test]
fn a_hub_that_short_lived_nodes_visit_delays_no_join() {
    let mut harness = linked(&["hub", "a", "far"], &[("hub", "a"), ("a", "far")]);
    let join = |harness: &mut Harness, name: &str, at: &str| {
        let id = harness.start(config(name, 0));
        let instance = harness.instance(id);
        let before = harness.now;
        harness.dial(name, at);
        // Until the others know the newcomer, and it knows them.
        let known = |harness: &Harness| {
            let knows = harness.nodes_with_route_to(instance);
            [0, 1, 2, id].iter().all(|id| knows.contains(id))
                && harness.known_nodes(name).contains(&"far".to_owned())
        };
        assert!(harness.run_until(secs(10), known), "{name} never joined");
        (id, harness.now - before)
    };
    for visit in 0..60 {
        let (id, took) = join(&mut harness, &format!("v{visit}"), "hub");
        assert!(took <= ms(250), "visitor {visit}: {took:?}");
        if visit % 2 == 0 {
            harness.command(id, Command::Close);
        }
        harness.kill(id);
        harness.run(ms(30));
        if visit % 10 == 9 {
            let (_, took) = join(&mut harness, &format!("u{visit}"), "hub");
            assert!(took <= ms(250), "an unrelated newcomer after {visit} visitors: {took:?}");
        }
    }
    assert!(harness.run_until(secs(6), Harness::is_complete));
}

#[test]
fn two_hundred_dials_to_one_node_take_no_longer_than_their_round_trips() {
    let mut harness = Harness::new(8);
    harness.checks = false;
    harness.start(config("hub", 0));
    let before = harness.now;
    for i in 0..200 {
        let name = format!("n{i}");
        let id = harness.start(config(&name, 0));
        harness.dial(&name, "hub");
        assert!(harness.run_until(secs(1), |harness| !harness.nodes[id].replies.is_empty()));
    }
    let took = (harness.now - before) / 200;
    assert!(took <= ms(50), "{took:?} for a dial, of which 35 ms are round trips");
    assert!(harness.run_until(secs(1), Harness::is_complete));
}

#[test]
fn a_message_that_follows_announcements_brings_the_routes_forward() {
    let mut harness = linked(&["a", "b"], &[("a", "b")]);
    let announcement = |name_of: &str, peers: &[Instance], sequence| Announcement {
        name: name(name_of),
        instance: Instance(name_of.len() as u64),
        sequence: Sequence(sequence),
        claim: crate::name::Claim::FIRST,
        leaving: false,
        peers: peers.to_vec(),
    };
    // b announces "xx", and "xx" announces b, again and again.
    let mut ran = 0;
    for sequence in 20..220 {
        let before = harness.counter(0, "routes_computed");
        let link = LinkId(1);
        let peers = [Instance(sequence.into())];
        let frame = ControlFrame::Announce(announcement("xx", &peers, sequence));
        harness.input(0, Input::Control { link, frame });
        let mut waited = 0;
        while !harness.nodes[0].router.settle_routes(harness.now) {
            harness.run(ms(1));
            waited += 1;
        }
        assert!(waited <= 5, "a message waits for a few milliseconds: {waited}");
        ran += harness.counter(0, "routes_computed") - before;
    }
    assert!(ran <= 200, "one computation for each announcement at most: {ran}");
}

#[test]
fn an_unreachable_node_expires_and_does_not_come_back() {
    let mut harness = linked(&["a", "b", "c"], &[("a", "b"), ("b", "c")]);
    harness.kill(2);
    harness.run(secs(29));
    assert_eq!(harness.counter(0, "database_nodes"), 2, "kept for three periods");
    harness.start(config("d", 0));
    harness.dial("d", "a");
    harness.run(secs(1));
    assert_eq!(harness.counter(3, "database_nodes"), 2, "but not offered");
    harness.run(secs(2));
    assert_eq!(harness.counter(0, "database_nodes"), 2);
    assert_eq!(harness.counter(0, "nodes_expired"), 1);
}

#[test]
fn two_halves_that_are_joined_again_know_each_other_at_once() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let line = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("e", "f")];
    for away in [5, 29, 35] {
        let mut harness = linked(&names, &line);
        for id in 3..6 {
            harness.set_group(id, 1);
        }
        harness.run(secs(away));
        assert_eq!(harness.known_nodes("a"), ["b", "c"]);
        for id in 3..6 {
            harness.set_group(id, 0);
        }
        harness.dial("a", "f");
        assert!(harness.run_until(ms(500), Harness::is_complete), "after {away} s apart");
    }
}

/// An announcement of a node without links, in the name of the node itself.
fn forged(harness: &Harness, id: usize, of: &str, sequence: u32) -> Input {
    let forged = Announcement {
        name: name(of),
        instance: harness.instance(id),
        sequence: Sequence(sequence),
        claim: crate::name::Claim::FIRST,
        leaving: false,
        peers: Vec::new(),
    };
    Input::Control { link: LinkId(1), frame: ControlFrame::Announce(forged) }
}

#[test]
fn a_false_copy_of_the_own_announcement_is_superseded() {
    let links = [("a", "b"), ("b", "c"), ("c", "d")];
    let mut harness = linked(&["a", "b", "c", "d"], &links);
    harness.run(secs(3));
    let originated = harness.counter(3, "announcements_originated");
    let input = forged(&harness, 3, "d", 1000);
    harness.input(1, input);
    harness.run(ms(500));
    assert!(harness.is_complete(), "the real one supersedes it");
    assert!(harness.counter(3, "announcements_originated") > originated);
}

#[test]
fn a_false_announcement_of_a_peer_is_never_installed() {
    let mut harness = linked(&["a", "b", "c"], &[("a", "b"), ("b", "c")]);
    harness.run(secs(3));
    for sequence in 1000..1100 {
        let input = forged(&harness, 2, "c", sequence);
        harness.input(1, input);
        assert_eq!(harness.known_nodes("b"), ["a", "c"]);
    }
    assert!(harness.counter(1, "announcements_postponed") > 0);
    let originated = harness.counter(2, "announcements_originated");
    harness.run(ms(500));
    assert!(harness.is_complete());
    assert!(harness.counter(2, "announcements_originated") > originated, "it corrects them");
}
