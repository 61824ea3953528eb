//! Nodes find each other by solicitations, beacons and seeds.

use std::time::Duration;

use super::harness::{Harness, config};
use super::{ms, secs};
use crate::event::Event;
use crate::protocol::io::{Command, Input};

#[test]
fn a_node_that_restarted_unnoticed_is_linked_soon_after_the_dead_interval() {
    for seed in 0..20 {
        let mut harness = Harness::group(seed, 6, 3);
        harness.run(secs(20));
        harness.unplug(0, true);
        harness.kill(0);
        harness.start(config("n0000", 3));
        assert!(harness.run_until(secs(5), Harness::is_complete), "seed {seed}");
    }
}

#[test]
fn a_node_whose_cable_was_out_for_ten_minutes_is_linked_within_two_seconds() {
    for seed in 0..20 {
        for count in [2, 6] {
            let mut harness = Harness::group(seed, count, 1 + count as u32 / 3);
            harness.run(secs(20));
            harness.unplug(0, true);
            harness.run(secs(600));
            assert!(harness.known_nodes("n0000").is_empty());
            harness.unplug(0, false);
            harness.input(0, Input::NetworkChanged);
            assert!(harness.run_until(secs(2), Harness::is_complete), "seed {seed}, {count} nodes");
        }
    }
}

#[test]
fn an_island_whose_cable_was_out_for_ten_minutes_is_joined_within_two_seconds() {
    for seed in 0..20 {
        let mut harness = Harness::group(seed, 6, 2);
        for id in 3..6 {
            harness.set_group(id, 1);
        }
        harness.run(secs(600));
        assert!((0..6).all(|id| harness.nodes[id].router.routes().nodes() == 3));
        for id in 3..6 {
            harness.set_group(id, 0);
        }
        harness.input(4, Input::NetworkChanged);
        assert!(harness.run_until(secs(2), Harness::is_complete), "seed {seed}");
    }
}

#[test]
fn a_seed_that_could_not_be_reached_is_dialled_soon_after_the_network_changes() {
    for seed in 0..20 {
        let mut harness = Harness::new(seed);
        let mut seeded = config("a", 0);
        seeded.seeds = vec!["b".into()];
        harness.start(seeded);
        harness.run(secs(600));
        harness.start(config("b", 0));
        harness.input(0, Input::NetworkChanged);
        assert!(harness.run_until(secs(1), Harness::is_complete), "seed {seed}");
    }
}

#[test]
fn solicitations_that_cannot_be_sent_do_not_back_off_and_are_reported_once() {
    let mut harness = Harness::new(1);
    harness.start(config("a", 1));
    harness.nodes[0].unsent = Some("the network is unreachable");
    harness.run(secs(600));
    let sent = harness.counter(0, "solicitations_sent");
    assert!((600..1300).contains(&sent), "{sent} attempts in 600 s");
    assert_eq!(
        harness.counter(0, "solicitations_unsent"),
        sent + harness.counter(0, "beacons_sent")
    );
    let reason = "the network is unreachable".to_owned();
    assert_eq!(harness.events("a"), [Event::DiscoveryFailed { reason: reason.clone() }]);
    harness.nodes[0].unsent = None;
    harness.run(secs(2));
    harness.nodes[0].unsent = Some("the network is unreachable");
    harness.run(secs(200));
    assert_eq!(harness.events("a"), [Event::DiscoveryFailed { reason }], "reported again");
    harness.nodes[0].unsent = None;
    harness.start(config("b", 0));
    assert!(harness.run_until(secs(2), Harness::is_complete));
}

#[test]
fn seeds_are_dialled_until_linked_and_again_when_the_link_breaks() {
    let mut harness = Harness::new(5);
    let mut seeded = config("a", 0);
    seeded.seeds = vec!["b".into(), "a".into(), "b".into()];
    harness.start(seeded);
    harness.run(secs(120));
    let dials = harness.counter(0, "dials_started");
    // Two seeds, each about once a second.
    assert!((150..300).contains(&dials), "{dials} dials in 120 s");
    harness.start(config("b", 0));
    assert!(harness.run_until(ms(2100), Harness::is_complete));
    harness.run(secs(40));
    let dials = harness.counter(0, "dials_started");
    harness.run(secs(60));
    assert_eq!(
        harness.counter(0, "dials_started"),
        dials,
        "linked seeds and the node itself are not dialled"
    );
    harness.kill(1);
    harness.run(ms(10));
    harness.start(config("b", 0));
    assert!(
        harness.run_until(secs(2), |harness| harness.known_nodes("a") == ["b"]),
        "a broken link is replaced soon"
    );
}

#[test]
fn a_node_that_already_has_the_degree_it_is_given_sends_beacons() {
    let mut harness = Harness::new(1);
    for name in ["a", "b"] {
        harness.start(config(name, 0));
    }
    harness.dial("a", "b");
    assert!(harness.run_until(Duration::from_secs(1), |harness| harness.is_complete()));
    let id = harness.find("a");
    harness.command(id, Command::SetDegree(1));
    assert!(
        harness
            .run_until(Duration::from_secs(1), |harness| harness.counter(id, "beacons_sent") > 0)
    );
}

#[test]
fn a_raised_degree_starts_discovery() {
    let mut harness = Harness::group(6, 6, 0);
    harness.run(secs(10));
    assert_eq!(harness.datagrams, 0, "a node of degree 0 sends no datagrams");
    harness.command(0, Command::SetDegree(3));
    harness.run(secs(2));
    assert!((3..=6).contains(&harness.peers("n0000").len()));
    assert_eq!(harness.nodes[0].router.degree(), 3);
}

#[test]
fn nodes_of_other_namespaces_do_not_respond() {
    let mut harness = Harness::new(9);
    harness.start(config("a", 2));
    let mut other = config("b", 2);
    other.namespace = "other".parse().expect("valid");
    harness.start(other);
    harness.run(secs(60));
    assert!(harness.known_nodes("a").is_empty());
    assert!(harness.counter(0, "solicitations_foreign") > 0);
    assert!(harness.counter(0, "solicitations_own") > 0);
    harness.dial("a", "b");
    harness.run(secs(1));
    assert_eq!(harness.known_nodes("a"), ["b"], "dialling ignores the namespace");
}

#[test]
fn two_full_groups_find_each_other() {
    let mut harness = Harness::group(11, 8, 3);
    for id in 4..8 {
        harness.set_group(id, 1);
    }
    harness.run(secs(300));
    assert!((0..8).all(|id| harness.nodes[id].router.routes().nodes() == 4));
    for id in 4..8 {
        harness.set_group(id, 0);
    }
    let before = harness.now;
    assert!(harness.run_until(secs(61), Harness::is_complete));
    assert!(harness.now - before < secs(60));
    harness.check_symmetry();
}

#[test]
fn thirty_two_nodes_of_degree_three_know_each_other_within_two_seconds() {
    let mut slowest = Duration::ZERO;
    for seed in 0..20 {
        let mut harness = Harness::group(seed, 32, 3);
        harness.checks = seed < 2;
        assert!(harness.run_until(secs(2), Harness::is_complete), "seed {seed}");
        slowest = slowest.max(harness.elapsed());
        harness.run(secs(90));
        harness.check_symmetry();
        let most = (0..32).map(|id| harness.nodes[id].router.peers().len()).max();
        assert!(most <= Some(6), "seed {seed}: no node keeps more than twice its degree: {most:?}");
        assert!(harness.is_complete());
    }
    println!("slowest of 20: {slowest:?}");
}
