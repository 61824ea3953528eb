//! Peers compare their databases, and repair what differs.

use super::harness::{Harness, config};
use super::{linked, ms, secs};

const LINE: &[(&str, &str)] = &[("a", "b"), ("b", "c"), ("c", "d"), ("d", "e")];
const NAMES: &[&str] = &["a", "b", "c", "d", "e"];

fn sum(harness: &Harness, counter: &str) -> u64 {
    (0..harness.nodes.len()).map(|id| harness.counter(id, counter)).sum()
}

#[test]
fn nothing_is_announced_while_nothing_changes() {
    let mut harness = linked(NAMES, LINE);
    harness.run(secs(30));
    let before = sum(&harness, "announcements_sent");
    harness.run(secs(600));
    assert_eq!(sum(&harness, "announcements_sent"), before);
    assert_eq!(sum(&harness, "differences_found"), 0);
}

#[test]
fn an_announcement_that_a_node_lacks_is_found_within_a_period() {
    let mut harness = linked(NAMES, LINE);
    harness.run(secs(30));
    let (instance, now) = (harness.instance(4), harness.now);
    harness.nodes[0].router.forget(instance, now);
    assert_eq!(harness.known_nodes("a"), ["b", "c", "d"]);
    assert!(harness.run_until(secs(11), Harness::is_complete));
    assert!(sum(&harness, "differences_found") > 0);
}

#[test]
fn a_newcomer_and_a_new_link_in_a_large_mesh_are_synchronised() {
    let mut harness = Harness::group(1, 300, 3);
    harness.checks = false;
    assert!(harness.run_until(secs(30), Harness::is_complete));
    harness.run(secs(30));
    harness.start(config("newcomer", 0));
    harness.dial("newcomer", "n0000");
    assert!(harness.run_until(secs(1), |harness| harness.known_nodes("newcomer").len() == 300));
    assert_eq!(sum(&harness, "breaches"), 0);
    harness.run(secs(5));
    let (one, other) = ("newcomer", "n0299");
    let before = (sum(&harness, "announcements_sent"), harness.now);
    harness.dial(one, other);
    let linked = |harness: &Harness| harness.peers(one).len() == 2;
    assert!(harness.run_until(secs(1), linked));
    assert!(harness.now - before.1 < ms(50));
    // The two ends announce the new link, over each link of the mesh. Nothing else was sent.
    harness.run(secs(5));
    let sent = sum(&harness, "announcements_sent") - before.0;
    let links: usize = (0..301).map(|id| harness.nodes[id].router.peers().len()).sum();
    assert!(sent as usize <= 2 * links, "{sent} for {links} ends of links");
}
