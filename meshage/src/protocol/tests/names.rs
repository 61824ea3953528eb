//! One name, one holder: the reachable node that has a name keeps it.

use super::harness::{Harness, NodeId, config};
use super::{ms, secs};
use crate::event::Event;
use crate::name::Instance;
use crate::protocol::io::{Command, RequestId};

/// The instances with the name "x" in the table of a node, the holder first.
fn instances_of_x(harness: &Harness, at: NodeId) -> Vec<Instance> {
    let routes = harness.nodes[at].router.routes();
    let holder = routes.route("x").map(|route| route.instance);
    let others = routes.others().filter(|(name, _)| name.as_str() == "x").map(|(_, i)| i);
    holder.into_iter().chain(others.filter(|&instance| Some(instance) != holder)).collect()
}

fn dial(harness: &mut Harness, from: NodeId, to: &str) {
    let request = RequestId(1000);
    harness.command(from, Command::Dial { request, address: to.into() });
}

fn has_conflict(events: &[Event]) -> bool {
    events.iter().any(|event| {
        matches!(event, Event::NameConflict { name, reason }
        if name.as_str() == "x" && reason.contains("another reachable node"))
    })
}

/// The nodes a – b – i – x. Then x, alone or together with i, is separated from the others, and a
/// replacement with its name is linked to a. Returns the old x and the new one.
fn replaced(seed: u64, with_island: bool) -> (Harness, NodeId, NodeId) {
    let mut harness = Harness::new(seed);
    for name in ["a", "b", "i", "x"] {
        harness.start(config(name, 0));
    }
    for (from, to) in [("a", "b"), ("b", "i"), ("i", "x")] {
        harness.dial(from, to);
    }
    assert!(harness.run_until(secs(8), Harness::is_complete));
    let old = 3;
    harness.set_group(old, 1);
    harness.set_group(2, usize::from(with_island));
    harness.run(secs(10));
    let new = harness.start(config("x", 0));
    dial(&mut harness, new, "a");
    let replacement = harness.instance(new);
    assert!(harness.run_until(secs(1), |harness| instances_of_x(harness, 1) == [replacement]));
    harness.set_group(old, 0);
    harness.set_group(2, 0);
    for name in ["a", "b", "i"] {
        harness.events(name);
    }
    (harness, old, new)
}

#[test]
fn a_former_holder_that_comes_back_alone_does_not_get_its_name_back() {
    for seed in 0..20 {
        let (mut harness, old, new) = replaced(seed, false);
        harness.nodes[old].events.clear();
        dial(&mut harness, old, "i");
        harness.run(secs(1));
        let replacement = harness.instance(new);
        for at in 0..3 {
            assert_eq!(instances_of_x(&harness, at), [replacement], "seed {seed}");
        }
        assert!(harness.nodes[old].router.routes().is_alone());
        assert!(has_conflict(&harness.nodes[old].events), "{:?}", harness.nodes[old].events);
        assert!(has_conflict(&harness.events("i")), "seed {seed}");
    }
}

#[test]
fn a_former_holder_that_comes_back_with_an_island_does_not_get_its_name_back() {
    let mut lesser = 0;
    for seed in 0..20 {
        let (mut harness, old, new) = replaced(seed, true);
        let replacement = harness.instance(new);
        lesser += usize::from(harness.instance(old) < replacement);
        assert_eq!(instances_of_x(&harness, 2), [harness.instance(old)]);
        harness.nodes[old].events.clear();
        harness.dial("i", "a");
        harness.run(secs(1));
        for at in 0..3 {
            assert_eq!(instances_of_x(&harness, at), [replacement], "seed {seed}");
        }
        assert!(harness.nodes[old].router.routes().is_alone());
        assert!(has_conflict(&harness.nodes[old].events), "{:?}", harness.nodes[old].events);
        assert!(has_conflict(&harness.events("i")), "seed {seed}");
        // When the name is free, the former holder is accepted again.
        harness.command(new, Command::Close);
        harness.kill(new);
        harness.run(ms(100));
        dial(&mut harness, old, "i");
        assert!(harness.run_until(secs(1), Harness::is_complete), "seed {seed}");
        assert_eq!(instances_of_x(&harness, 0), [harness.instance(old)]);
    }
    assert!((1..20).contains(&lesser), "instances of both orders were tested: {lesser}");
}

#[test]
fn a_node_that_joined_later_knows_which_names_were_taken_over() {
    // Every node that was there when the old x failed is gone when the new one comes.
    let mut harness = Harness::new(4);
    for name in ["a", "i", "x"] {
        harness.start(config(name, 0));
    }
    harness.dial("a", "i");
    harness.dial("i", "x");
    assert!(harness.run_until(secs(8), Harness::is_complete));
    harness.set_group(1, 1);
    harness.set_group(2, 1);
    harness.run(secs(10));
    let later = harness.start(config("later", 0));
    harness.dial("later", "a");
    harness.run(secs(1));
    harness.kill(0);
    let new = harness.start(config("x", 0));
    dial(&mut harness, new, "later");
    harness.run(secs(40));
    let claim = |harness: &Harness, at: NodeId| harness.nodes[at].router.claim().0;
    assert_eq!((claim(&harness, 2), claim(&harness, new)), (1, 2));
    harness.set_group(1, 0);
    harness.set_group(2, 0);
    harness.dial("i", "later");
    harness.run(secs(1));
    assert_eq!(instances_of_x(&harness, later), [harness.instance(new)]);
    assert_eq!(instances_of_x(&harness, 1), [harness.instance(new)]);
}

#[test]
fn a_restarted_node_that_failed_claims_its_name_again() {
    let mut harness = Harness::new(6);
    for start in 1..5 {
        let id = harness.start(config("x", 0));
        if start == 1 {
            harness.start(config("a", 0));
        }
        harness.dial("x", "a");
        harness.run(secs(1));
        assert_eq!(harness.known_nodes("a"), ["x"]);
        assert_eq!(harness.nodes[id].router.claim().0, start);
        assert!(!has_conflict(&harness.events("a")));
        harness.kill(id);
        harness.run(secs(1));
    }
}

#[test]
fn a_refused_node_is_linked_soon_after_its_name_is_free() {
    for seed in 0..10 {
        let mut harness = Harness::new(seed);
        for name in ["a", "b", "x"] {
            harness.start(config(name, 2));
        }
        assert!(harness.run_until(secs(8), Harness::is_complete));
        let second = harness.start(config("x", 2));
        harness.run(secs(300));
        assert!(harness.nodes[second].router.routes().is_alone());
        harness.command(2, Command::Close);
        harness.kill(2);
        assert!(harness.run_until(secs(11), Harness::is_complete), "seed {seed}");
    }
}
