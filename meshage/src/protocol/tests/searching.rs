//! Nodes find each other by calls, beacons and seeds.

use std::time::Duration;

use super::{ms, secs};
use crate::protocol::io::Command;
use crate::protocol::world::{World, config};

#[test]
fn a_node_that_restarted_unnoticed_is_back_soon_after_the_dead_interval() {
    for seed in 0..20 {
        let mut world = World::group(seed, 6, 3);
        world.run(secs(20));
        world.unplug(0, true);
        world.kill(0);
        world.start(config("n0000", 3));
        assert!(world.run_until(secs(5), World::is_whole), "seed {seed}");
    }
}

#[test]
fn seeds_are_dialled_for_ever_and_again_when_the_link_breaks() {
    let mut world = World::new(5);
    let mut seeded = config("a", 0);
    seeded.seeds = vec!["b".into(), "a".into(), "b".into()];
    world.start(seeded);
    world.run(secs(120));
    let dials = world.counter(0, "dials_started");
    assert!((10..60).contains(&dials), "{dials} dials in 120 s");
    world.start(config("b", 0));
    assert!(world.run_until(secs(31), World::is_whole));
    world.run(secs(40));
    let dials = world.counter(0, "dials_started");
    world.run(secs(60));
    assert_eq!(
        world.counter(0, "dials_started"),
        dials,
        "what is linked, or oneself, is left alone"
    );
    world.kill(1);
    world.run(ms(10));
    world.start(config("b", 0));
    assert!(world.run_until(secs(2), |world| world.knows("a") == ["b"]), "soon, after a break");
}

#[test]
fn a_degree_that_is_met_as_soon_as_it_is_wanted_sends_beacons() {
    let mut world = World::new(1);
    for name in ["a", "b"] {
        world.start(config(name, 0));
    }
    world.dial("a", "b");
    assert!(world.run_until(Duration::from_secs(1), |world| world.is_whole()));
    let id = world.find("a");
    world.command(id, Command::SetDegree(1));
    assert!(world.run_until(Duration::from_secs(1), |world| world.counter(id, "beacons_sent") > 0));
}

#[test]
fn a_raised_degree_starts_the_search() {
    let mut world = World::group(6, 6, 0);
    world.run(secs(10));
    assert_eq!(world.datagrams, 0, "degree 0 is silent");
    world.command(0, Command::SetDegree(3));
    world.run(secs(2));
    assert!((3..=6).contains(&world.peers("n0000").len()));
    assert_eq!(world.nodes[0].router.degree(), 3);
}

#[test]
fn nodes_of_other_namespaces_do_not_answer() {
    let mut world = World::new(9);
    world.start(config("a", 2));
    let mut other = config("b", 2);
    other.namespace = "other".parse().expect("valid");
    world.start(other);
    world.run(secs(60));
    assert!(world.knows("a").is_empty());
    assert!(world.counter(0, "solicitations_foreign") > 0);
    assert!(world.counter(0, "solicitations_own") > 0);
    world.dial("a", "b");
    world.run(secs(1));
    assert_eq!(world.knows("a"), ["b"], "dialling ignores the namespace");
}

#[test]
fn two_full_groups_find_each_other() {
    let mut world = World::group(11, 8, 3);
    for id in 4..8 {
        world.put(id, 1);
    }
    world.run(secs(300));
    assert!((0..8).all(|id| world.nodes[id].router.routes().nodes() == 4));
    for id in 4..8 {
        world.put(id, 0);
    }
    let before = world.now;
    assert!(world.run_until(secs(61), World::is_whole));
    assert!(world.now - before < secs(60));
    world.check_symmetry();
}

#[test]
fn thirty_two_nodes_of_degree_three_know_each_other_within_two_seconds() {
    let mut slowest = Duration::ZERO;
    for seed in 0..20 {
        let mut world = World::group(seed, 32, 3);
        world.checks = seed < 2;
        assert!(world.run_until(secs(2), World::is_whole), "seed {seed}");
        slowest = slowest.max(world.elapsed());
        world.run(secs(90));
        world.check_symmetry();
        let most = (0..32).map(|id| world.nodes[id].router.peers().len()).max();
        assert!(most <= Some(6), "seed {seed}: nobody keeps more than twice its degree: {most:?}");
        assert!(world.is_whole());
    }
    println!("slowest of 20: {slowest:?}");
}
