//! Measurements that are run by hand. Each states the command.

use std::time::Duration;

use super::harness::Harness;
use super::{ms, secs};

/// `cargo test --release -p meshage -- --ignored --nocapture thousand`
#[test]
#[ignore = "takes a minute"]
fn a_thousand_nodes_of_degree_four_know_each_other_within_ten_seconds() {
    let mut harness = Harness::group(1, 1000, 4);
    harness.checks = false;
    assert!(harness.run_until(secs(10), Harness::is_complete));
    println!("complete after {:?}", harness.elapsed());
    report(&harness);
    harness.run(secs(12));
    report(&harness);
    let mut took = Vec::new();
    for victim in (0..1000).step_by(100) {
        let instance = harness.instance(victim);
        harness.kill(victim);
        let before = harness.now;
        while !harness.nodes_with_route_to(instance).is_empty() {
            harness.run(ms(5));
            assert!(harness.now - before <= ms(250), "some node still has a route to {victim}");
        }
        took.push(harness.now - before);
    }
    println!("a killed node was out of every table after {took:?}");
}

fn report(harness: &Harness) {
    let count = harness.nodes.len();
    let mean = |of: &str| (0..count).map(|id| harness.counter(id, of)).sum::<u64>() / count as u64;
    let most = (0..count).map(|id| harness.nodes[id].router.peers().len()).max();
    println!(
        "at {:?}: most links {most:?}, datagrams received {}",
        harness.elapsed(),
        harness.datagrams
    );
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
        println!("  {of}: {} a node", mean(of));
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
            let mut harness = Harness::group(seed, count, degree);
            harness.checks = false;
            let complete = harness.run_until(secs(120), Harness::is_complete);
            times.push(if complete { harness.elapsed() } else { Duration::MAX });
            harness.run(secs(30));
            let links = (0..count).map(|id| harness.nodes[id].router.peers().len());
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
