//! Measurements, run by hand; each says how.

use std::time::Duration;

use super::{ms, secs};
use crate::protocol::world::World;

/// `cargo test --release -p meshage -- --ignored --nocapture thousand`
#[test]
#[ignore = "takes a minute"]
fn a_thousand_nodes_of_degree_four_know_each_other_within_ten_seconds() {
    let mut world = World::group(1, 1000, 4);
    world.checks = false;
    assert!(world.run_until(secs(10), World::is_whole));
    println!("whole after {:?}", world.elapsed());
    report(&world);
    world.run(secs(12));
    report(&world);
    let mut took = Vec::new();
    for victim in (0..1000).step_by(100) {
        let instance = world.instance(victim);
        world.kill(victim);
        let before = world.now;
        while !world.holding(instance).is_empty() {
            world.run(ms(5));
            assert!(world.now - before <= ms(250), "{victim} is still known");
        }
        took.push(world.now - before);
    }
    println!("a killed node was out of every table after {took:?}");
}

fn report(world: &World) {
    let count = world.nodes.len();
    let sum = |of: &str| (0..count).map(|id| world.counter(id, of)).sum::<u64>() / count as u64;
    let most = (0..count).map(|id| world.nodes[id].router.peers().len()).max();
    println!("at {:?}: most links {most:?}, datagrams heard {}", world.elapsed(), world.datagrams);
    for of in [
        "links",
        "dials_started",
        "links_refused",
        "announcements_sent",
        "routes_computed",
        "solicitations_sent",
        "beacons_sent",
        "solicitations_limited",
        "announcements_stale",
        "announcements_originated",
        "dials_limited",
    ] {
        println!("  {of}: {} a node", sum(of));
    }
}

/// `cargo test -p meshage -- --ignored --nocapture groups_of_many_sizes`
#[test]
#[ignore = "a measurement"]
fn groups_of_many_sizes_know_each_other_soon() {
    for (count, degree) in [
        (2, 1),
        (2, 3),
        (4, 1),
        (8, 1),
        (16, 1),
        (8, 2),
        (8, 3),
        (16, 2),
        (16, 3),
        (32, 2),
        (32, 3),
        (32, 5),
        (64, 3),
        (100, 3),
    ] {
        let mut times = Vec::new();
        let mut most = 0;
        let mut over = 0;
        for seed in 0..40 {
            let mut world = World::group(seed, count, degree);
            world.checks = false;
            let whole = world.run_until(secs(120), World::is_whole);
            times.push(if whole { world.elapsed() } else { Duration::MAX });
            world.run(secs(30));
            let links = (0..count).map(|id| world.nodes[id].router.peers().len());
            most = most.max(links.clone().max().unwrap_or(0));
            over += links.filter(|links| *links > 2 * degree as usize).count();
        }
        times.sort_unstable();
        println!(
            "{count} nodes of degree {degree}: median {:?}, worst {:?} {:?}; most links {most}, over {over}",
            times[20], times[38], times[39]
        );
    }
}
