//! Announcements are flooded over trees, and repaired beside them.

use super::harness::{Harness, config};
use super::{ms, secs};
use crate::name::{Instance, Sequence};
use crate::protocol::io::{CloseReason, Input};
use crate::protocol::router::RouterConfig;
use crate::wire::control::{Announcement, ControlFrame, Listed};

/// A mesh of 100 nodes that has been quiet for a while.
fn quiet_mesh(seed: u64) -> Harness {
    let mut harness = Harness::group(seed, 100, 4);
    assert!(harness.run_until(secs(10), Harness::is_complete));
    harness.run(secs(60));
    harness
}

fn sum(harness: &Harness, counter: &str) -> u64 {
    (0..harness.nodes.len()).map(|id| harness.counter(id, counter)).sum()
}

/// The nodes that are the peers of no other, or of a node that is full.
fn not_linked(harness: &Harness) -> (String, String) {
    let names: Vec<String> = harness.nodes.iter().map(|node| node.name.clone()).collect();
    let peers = harness.peers(&names[0]);
    let other = names[1..].iter().find(|name| !peers.contains(name)).expect("not all are peers");
    (names[0].clone(), other.clone())
}

#[test]
fn a_change_reaches_each_node_about_once() {
    let mut harness = quiet_mesh(1);
    let (a, b) = not_linked(&harness);
    let before = |of| sum(&harness, of);
    let (sent, originated) = (before("announcements_sent"), before("announcements_originated"));
    let (offered, requested) = (before("announcements_offered"), before("announcements_requested"));
    harness.dial(&a, &b);
    harness.run(secs(1));
    assert!(harness.is_complete());
    // Both ends announce the link.
    assert_eq!(sum(&harness, "announcements_originated") - originated, 2);
    let sent = sum(&harness, "announcements_sent") - sent;
    assert!((2 * 99..=2 * 120).contains(&sent), "{sent} announcements for 100 nodes and 2 changes");
    let requested = sum(&harness, "announcements_requested") - requested;
    assert_eq!(requested, 0, "the tree brought them in time");
    // Each link beside the tree carries an offer, or two that cross.
    let offered = sum(&harness, "announcements_offered") - offered;
    assert!(offered > 0 && offered < 2 * 400, "{offered}");
}

#[test]
fn what_the_tree_does_not_deliver_is_offered_and_requested() {
    let mut harness = quiet_mesh(2);
    // The nodes of the tree change with it: of each node that dies, all former peers announce the loss,
    // over trees that lead through the dead node.
    for victim in [3, 40, 77] {
        let instance = harness.instance(victim);
        let before = harness.now;
        harness.kill(victim);
        while !harness.nodes_with_route_to(instance).is_empty() {
            harness.run(ms(5));
            assert!(harness.now - before <= ms(250), "some node still has a route to {victim}");
        }
        harness.run(secs(10));
        assert!(harness.is_complete());
    }
    assert!(sum(&harness, "announcements_requested") > 0);
}

#[test]
fn all_links_are_used_in_a_small_mesh_and_for_a_node_without_a_route() {
    let mut harness = Harness::group(3, 20, 4);
    assert!(harness.run_until(secs(10), Harness::is_complete));
    harness.run(secs(30));
    let (a, b) = not_linked(&harness);
    harness.dial(&a, &b);
    harness.run(secs(1));
    assert_eq!(sum(&harness, "announcements_offered"), 0);
    // A newcomer in a large one: what it sends must not overtake its announcement.
    let mut harness = quiet_mesh(4);
    let offered = sum(&harness, "announcements_offered");
    harness.start(config("new", 0));
    let sent = sum(&harness, "announcements_sent");
    harness.dial("new", "n0000");
    harness.run(ms(100));
    assert!(sum(&harness, "announcements_sent") - sent > 3 * 100);
    // Nor may it overtake that of its only peer, so that is not offered either.
    assert_eq!(sum(&harness, "announcements_offered"), offered);
}

#[test]
fn an_offer_is_requested_once_and_only_if_it_is_newer() {
    let mut harness = super::linked(&["a", "b"], &[("a", "b")]);
    let (link, b) = (harness.link("a", "b"), harness.instance(1));
    let known = harness.nodes[0].router.announcement(b).expect("known").clone();
    let offer = |instance, sequence| {
        let entries = vec![Listed { instance, sequence, check: 0 }];
        Input::Control { link, frame: ControlFrame::Have { entries } }
    };
    for (instance, sequence, requested) in [
        (b, Sequence(known.sequence.0 - 1), 0),
        (harness.instance(0), Sequence(known.sequence.0 + 9), 0),
        (b, known.sequence.next(), 1),
        (b, known.sequence, 2),
        (Instance(12345), Sequence::FIRST, 3),
    ] {
        harness.input(0, offer(instance, sequence));
        assert_eq!(harness.counter(0, "announcements_requested"), requested, "{instance}");
    }
    // Before the link is admitted, it is a breach; too many are dropped.
    for _ in 0..1000 {
        harness.input(0, offer(Instance(12345), Sequence::FIRST));
    }
    assert!(harness.counter(0, "announcements_requested") <= 3 + 128);
    assert!(harness.counter(0, "comparisons_limited") >= 800);
    assert_eq!(harness.nodes[0].closes, [] as [CloseReason; 0]);
}

#[test]
fn a_mesh_that_uses_trees_for_every_change_stays_complete() {
    for seed in 0..4 {
        let mut harness = Harness::new(seed);
        for at in 0..24 {
            let config = config(&format!("n{at:02}"), 3);
            harness.start(RouterConfig { tree_nodes_min: 2, ..config });
        }
        assert!(harness.run_until(secs(20), Harness::is_complete), "seed {seed}");
        for round in 0..10 {
            let (one, other) = (round * 7 % 24, round * 5 % 24);
            harness.unplug(one, true);
            harness.run(secs(4));
            harness.unplug(one, false);
            harness.freeze(other);
            harness.run(secs(2));
            harness.unfreeze(other);
        }
        assert!(harness.run_until(secs(60), Harness::is_complete), "seed {seed}");
        // Links are still made, and announced.
        harness.run(secs(20));
        let announcement = |id: usize, of| harness.nodes[id].router.announcement(of).cloned();
        for of in 0..24 {
            let instance = harness.instance(of);
            let known: Vec<Option<Announcement>> =
                (0..24).filter(|id| *id != of).map(|id| announcement(id, instance)).collect();
            assert!(known.windows(2).all(|pair| pair[0] == pair[1]), "seed {seed}: {known:?}");
        }
    }
}
