//! Connections become links, or do not, and links end.

use super::{linked, ms, name, secs};
use crate::event::Event;
use crate::name::Instance;
use crate::name::LinkId;
use crate::protocol::io::CloseReason;
use crate::protocol::io::Command;
use crate::protocol::io::Input;
use crate::protocol::world::{World, config};
use crate::wire::control::ControlFrame;

#[test]
fn a_dial_is_answered_when_messages_can_go_both_ways() {
    let mut world = World::new(1);
    world.start(config("a", 0));
    world.start(config("b", 0));
    let request = world.dial("a", "b");
    assert!(world.run_until(secs(1), |world| !world.nodes[0].replies.is_empty()));
    assert_eq!(world.reply("a", request).as_deref(), Some("Dial(Ok(\"b\"))"));
    assert!(world.elapsed() <= ms(60), "in three exchanges and a half: {:?}", world.elapsed());
    assert_eq!(world.knows("a"), ["b"]);
    world.run(ms(50));
    assert_eq!(world.knows("b"), ["a"]);
    let events = world.events("b");
    let expected = [Event::LinkUp(name("a")), Event::NodeJoined(name("a")), Event::Topology];
    assert_eq!(events, expected);
}

#[test]
fn simultaneous_dials_end_with_one_link_whatever_the_interleaving() {
    for seed in 0..300 {
        let mut world = World::new(seed);
        world.latency = ms(1)..=ms(40);
        world.start(config("a", 0));
        world.start(config("b", 0));
        world.dial("a", "b");
        world.run(ms(seed % 50));
        world.dial("b", "a");
        if seed % 3 == 0 {
            world.dial("a", "b");
        }
        world.run(secs(2));
        assert_eq!(world.peers("a"), ["b"], "seed {seed}");
        assert_eq!(world.peers("b"), ["a"], "seed {seed}");
        for id in 0..2 {
            assert_eq!(world.counter(id, "links"), 1, "seed {seed}");
            let replies = world.nodes[id].replies.len();
            let asked = if id == 0 && seed % 3 == 0 { 2 } else { 1 };
            assert_eq!(replies, asked, "seed {seed}: every dial is answered once");
            let linked = |(_, reply): &(_, _)| format!("{reply:?}").contains("Ok(");
            if asked == 1 && seed % 50 < 2 {
                assert!(world.nodes[id].replies.iter().all(linked), "seed {seed}: both are linked");
            }
        }
        assert!(world.is_whole());
    }
}

#[test]
fn dialling_oneself_twice_or_nobody_is_an_error() {
    let mut world = linked(&["a", "b"], &[("a", "b")]);
    for (from, to, error) in [
        ("a", "a", "Refused(Myself)"),
        ("a", "b", "Refused(Duplicate)"),
        ("b", "a", "Refused(Duplicate)"),
        ("a", "x", "Connect"),
    ] {
        let request = world.dial(from, to);
        world.run(secs(1));
        let reply = world.reply(from, request).expect("answered");
        assert!(reply.contains(error), "{from} to {to}: {reply}");
        assert_eq!(world.peers("a"), ["b"]);
        assert!(world.is_whole());
    }
}

#[test]
fn of_two_nodes_of_one_name_the_newcomer_is_refused_and_both_sides_hear_of_it() {
    let mut world = linked(&["a", "b", "c"], &[("a", "b"), ("b", "c")]);
    let second = world.start(config("c", 0));
    world.events("a");
    let request = crate::protocol::io::RequestId(99);
    world.command(second, Command::Dial { request, address: "a".into() });
    world.run(secs(1));
    let (_, reply) = world.nodes[second].replies.pop().expect("answered");
    assert!(format!("{reply:?}").contains("NameInUse"));
    assert_eq!(world.nodes[second].events, [Event::NameConflict(name("c"))]);
    assert_eq!(world.events("a"), [Event::NameConflict(name("c"))]);
    assert_eq!(world.knows("a"), ["b", "c"]);
}

#[test]
fn a_node_that_restarted_takes_its_name_back_once_the_old_link_is_gone() {
    let mut world = linked(&["a", "b", "c"], &[("a", "b"), ("b", "c")]);
    let old = world.find("c");
    world.kill(old);
    world.run(ms(100));
    world.start(config("c", 0));
    let request = world.dial("c", "a");
    world.run(secs(1));
    assert!(world.reply("c", request).expect("answered").contains("Ok"));
    assert!(world.is_whole());
    // Where the old link is merely silent, it lasts no longer than the dead interval.
    let old = world.find("c");
    world.unplug(old, true);
    world.kill(old);
    let new = world.start(config("c", 0));
    let mut config = config("d", 0);
    config.seeds.push("c".into());
    world.start(config);
    world.dial("b", "d");
    assert!(world.run_until(secs(8), |world| world.knows("a").len() == 3));
    assert!(world.nodes[0].router.routes().contains(world.instance(new)));
}

#[test]
fn dials_one_after_the_other_do_not_wait_ever_longer() {
    let mut world = World::new(8);
    world.start(config("hub", 0));
    for i in 0..20 {
        let name = format!("n{i}");
        world.start(config(&name, 0));
        let request = world.dial("hub", &name);
        assert!(world.run_until(ms(250), |world| world.nodes[0].replies.len() > i));
        assert!(world.reply("hub", request).is_some_and(|reply| reply.contains("Ok")));
        world.nodes[0].replies.resize_with(i + 1, || {
            (crate::protocol::io::RequestId(0), crate::protocol::io::Reply::Hangup(Ok(())))
        });
    }
}

#[test]
fn a_link_on_which_the_ends_do_not_agree_is_given_up() {
    for (me, frames) in [("z", vec![]), ("z", vec![ControlFrame::Admit { other_link: false }])] {
        let mut world = World::new(1);
        world.start(config(me, 0));
        let hello = crate::wire::hello::Hello {
            name: name("b"),
            namespace: Default::default(),
            instance: Instance(5),
            version: "another".into(),
            capabilities: 0,
            purpose: crate::wire::hello::Purpose::Dialled,
        };
        let link = LinkId(1);
        world.input(0, Input::LinkUp { link, role: crate::protocol::io::Role::Listener, hello });
        for frame in frames {
            world.input(0, Input::Control { link, frame });
        }
        for _ in 0..40 {
            world.run(secs(1));
            world.input(0, Input::Heard { link });
        }
        assert_eq!(world.nodes[0].closes, [CloseReason::AdmissionTimeout]);
        assert_eq!(world.counter(0, "links_undecided"), 1);
    }
}

#[test]
fn a_link_replaces_a_dead_one_at_once() {
    // Either end may be the one that decides, and either may be the one that lost the old link.
    for (from, to) in [("a", "b"), ("b", "a")] {
        let mut world = linked(&["a", "b"], &[("a", "b")]);
        let id = world.find(from);
        world.unplug(id, true);
        let link = LinkId(1);
        world.input(id, Input::LinkDown { link, reason: "broken".into(), breach: false });
        world.unplug(id, false);
        let request = world.dial(from, to);
        world.run(ms(200));
        assert!(world.reply(from, request).expect("answered").contains("Ok"));
        assert!(world.is_whole());
        let other = world.find(to);
        assert_eq!(world.nodes[other].closes, [CloseReason::Replaced]);
    }
}

#[test]
fn leaving_is_told_and_closing_is_final() {
    let mut world = linked(&["a", "b", "c"], &[("a", "b"), ("b", "c")]);
    world.command(1, Command::Close);
    world.run(ms(6));
    assert_eq!(world.nodes[0].closes, [CloseReason::Left]);
    assert!(world.knows("a").is_empty() && world.knows("c").is_empty());
    let request = world.dial("b", "a");
    assert!(world.reply("b", request).expect("at once").contains("Closed"));
    let request = world.dial("a", "b");
    world.run(secs(1));
    assert!(world.reply("a", request).expect("answered").contains("Refused(Closing)"));
}

#[test]
fn a_hang_up_closes_the_link_and_only_a_peer_can_be_hung_up() {
    let mut world = linked(&["a", "b"], &[("a", "b")]);
    let request = crate::protocol::io::RequestId(50);
    world.command(0, Command::Hangup { request, peer: name("x") });
    assert!(world.reply("a", request).expect("at once").contains("NotAPeer"));
    world.command(0, Command::Hangup { request, peer: name("b") });
    assert!(world.reply("a", request).expect("at once").contains("Ok"));
    world.run(ms(20));
    assert!(world.peers("a").is_empty() && world.peers("b").is_empty());
    assert!(world.events("b").contains(&Event::LinkDown(name("a"))));
}

#[test]
fn a_canceled_dial_leaves_no_link() {
    for wait in 0..60 {
        let mut world = World::new(wait);
        world.start(config("a", 0));
        world.start(config("b", 0));
        let request = world.dial("a", "b");
        world.run(ms(wait));
        if world.reply("a", request).is_none() {
            world.command(0, Command::CancelDial { request });
            world.run(secs(1));
            assert!(world.peers("a").is_empty() && world.peers("b").is_empty(), "{wait} ms");
        }
    }
}

#[test]
fn there_are_no_more_links_than_may_be() {
    let mut world = World::new(4);
    world.checks = false;
    world.start(config("hub", 0));
    for i in 0..260 {
        world.start(config(&format!("n{i:03}"), 0));
        world.dial(&format!("n{i:03}"), "hub");
    }
    world.run(secs(3));
    assert_eq!(world.peers("hub").len(), 256);
    assert_eq!(world.counter(0, "links_limited"), 4);
    world.nodes[0].router.check();
}
