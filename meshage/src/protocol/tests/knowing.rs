//! What nodes know of the mesh, how soon, and for how long.

use super::{linked, ms, name, secs};
use crate::name::LinkId;
use crate::name::Sequence;
use crate::protocol::io::CloseReason;
use crate::protocol::io::Input;
use crate::protocol::world::{World, config};
use crate::wire::control::Announcement;
use crate::wire::control::ControlFrame;

#[test]
fn a_newcomer_knows_the_whole_mesh_in_one_exchange() {
    let mut world = linked(
        &["a", "b", "c", "d", "e"],
        &[("a", "b"), ("b", "c"), ("c", "d")]
            .iter()
            .copied()
            .chain([("d", "e")])
            .collect::<Vec<_>>(),
    );
    world.run(secs(30));
    world.start(config("f", 0));
    let before = world.now;
    world.dial("f", "a");
    assert!(world.run_until(secs(1), World::is_whole));
    assert!(world.now - before < ms(100));
    assert_eq!(world.knows("f"), ["a", "b", "c", "d", "e"]);
}

#[test]
fn a_killed_peer_is_gone_at_once_and_a_silent_one_after_the_dead_interval() {
    let mut world = linked(&["a", "b", "c"], &[("a", "b"), ("a", "c")]);
    world.kill(1);
    world.run(ms(16));
    assert_eq!((world.knows("a"), world.knows("c")), (vec!["c".into()], vec!["a".into()]));
    world.unplug(2, true);
    let before = world.now;
    assert!(world.run_until(secs(5), |world| world.knows("a").is_empty()));
    let took = world.now - before;
    assert!(took > secs(2) && took <= ms(3100), "{took:?}");
    assert_eq!(world.nodes[0].closes, [CloseReason::Silent]);
}

#[test]
fn nobody_is_silent_because_this_process_got_no_time() {
    let mut world = linked(&["a", "b"], &[("a", "b")]);
    world.freeze(0);
    world.run(ms(2900));
    world.thaw(0);
    world.run(secs(10));
    assert_eq!(world.nodes[0].closes, []);
    assert_eq!(world.peers("a"), ["b"]);
    assert_eq!(world.counter(0, "starved"), 1);
    // After a longer time the others have given it up, and it hears so from them.
    world.freeze(0);
    world.run(secs(10));
    assert_eq!(world.nodes[1].closes, [CloseReason::Silent]);
    world.thaw(0);
    world.run(ms(100));
    assert_eq!(world.nodes[0].closes, []);
    assert!(world.knows("a").is_empty());
}

#[test]
fn the_last_of_many_changes_is_announced() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut world = World::new(3);
    for name in names {
        world.start(config(name, 0));
    }
    for name in &names[1..] {
        world.dial("a", name);
        world.run(ms(60));
    }
    assert!(world.run_until(secs(5), World::is_whole));
    for name in &names[2..] {
        let peer = world.find(name);
        world.kill(peer);
        world.run(ms(30));
    }
    assert!(world.run_until(secs(8), World::is_whole));
    assert_eq!(world.knows("b"), ["a"]);
    let originated = world.counter(0, "announcements_originated");
    assert!(originated <= 9, "13 changes in 600 ms are told in few: {originated}");
}

#[test]
fn what_cannot_be_reached_is_forgotten_and_does_not_come_back() {
    let mut world = linked(&["a", "b", "c"], &[("a", "b"), ("b", "c")]);
    world.kill(2);
    world.run(secs(29));
    assert_eq!(world.counter(0, "database_nodes"), 2, "kept for three periods");
    world.start(config("d", 0));
    world.dial("d", "a");
    world.run(secs(1));
    assert_eq!(world.counter(3, "database_nodes"), 2, "but not offered");
    world.run(secs(2));
    assert_eq!(world.counter(0, "database_nodes"), 2);
    assert_eq!(world.counter(0, "nodes_forgotten"), 1);
}

#[test]
fn halves_that_met_again_know_each_other_at_once() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let line = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("e", "f")];
    for away in [5, 29, 35] {
        let mut world = linked(&names, &line);
        for id in 3..6 {
            world.put(id, 1);
        }
        world.run(secs(away));
        assert_eq!(world.knows("a"), ["b", "c"]);
        for id in 3..6 {
            world.put(id, 0);
        }
        world.dial("a", "f");
        assert!(world.run_until(ms(500), World::is_whole), "after {away} s apart");
    }
}

#[test]
fn a_false_copy_of_ones_own_announcement_is_outdone() {
    let mut world = linked(&["a", "b", "c"], &[("a", "b"), ("b", "c")]);
    world.run(secs(3));
    let forged = Announcement {
        name: name("c"),
        instance: world.instance(2),
        sequence: Sequence(1000),
        peers: Vec::new(),
    };
    let link = LinkId(1);
    world.input(1, Input::Control { link, frame: ControlFrame::Announce(forged) });
    assert_eq!(world.knows("b"), ["a"]);
    assert!(world.run_until(ms(500), World::is_whole), "the real one says more");
}
