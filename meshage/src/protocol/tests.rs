//! What a few routers do together.

use std::time::Duration;

use super::io::{CloseReason, Command, Input};
use super::world::{World, config};
use crate::event::Event;
use crate::name::{Instance, LinkId, NodeName, Sequence};
use crate::wire::control::{Announcement, ControlFrame};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn name(text: &str) -> NodeName {
    NodeName::new(text).expect("valid")
}

/// Nodes of degree 0 that were linked as said, and have settled.
fn linked(names: &[&str], links: &[(&str, &str)]) -> World {
    let mut world = World::new(7);
    for name in names {
        world.start(config(name, 0));
    }
    for (a, b) in links {
        world.dial(a, b);
    }
    assert!(world.run_until(secs(8), World::is_whole), "all links come up");
    // Until everybody may announce at once again.
    world.run(secs(3));
    world
}

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
    let request = super::io::RequestId(99);
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
fn dials_one_after_the_other_do_not_wait_ever_longer() {
    let mut world = World::new(8);
    world.start(config("hub", 0));
    for i in 0..20 {
        let name = format!("n{i}");
        world.start(config(&name, 0));
        let request = world.dial("hub", &name);
        assert!(world.run_until(ms(250), |world| world.nodes[0].replies.len() > i));
        assert!(world.reply("hub", request).is_some_and(|reply| reply.contains("Ok")));
        world.nodes[0]
            .replies
            .resize_with(i + 1, || (super::io::RequestId(0), super::io::Reply::Hangup(Ok(()))));
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
        world.input(0, Input::LinkUp { link, role: super::io::Role::Listener, hello });
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

/// Whatever peers send, in whatever order, a router keeps its invariants and its peace.
#[test]
fn no_order_of_inputs_breaks_a_router() {
    use super::io::{DialId, RequestId, Role};
    use crate::error::{DialError, RefuseReason};
    use crate::wire::hello::{Hello, Purpose};
    use crate::wire::solicit::Solicitation;
    use rand::{RngExt as _, SeedableRng as _};

    for seed in 0..60 {
        let mut rng = rand::rngs::ChaCha8Rng::seed_from_u64(seed);
        let mut world = World::new(seed);
        let mut me = config("m", rng.random_range(0..5));
        me.seeds = vec!["x".into()];
        world.start(me);
        let own = world.instance(0);
        let mut links = 0;
        for step in 0..600 {
            let instance = match rng.random_range(0..8_u64) {
                0 => own,
                n => Instance(n),
            };
            let peer = name(["a", "b", "m", "y", "z"][rng.random_range(0..5_usize)]);
            let link = LinkId(rng.random_range(0..=links));
            let mut peers: Vec<Instance> =
                (0..rng.random_range(0..5)).map(|_| Instance(rng.random_range(0..8))).collect();
            peers.push(own);
            peers.sort_unstable();
            peers.dedup();
            let sequence = Sequence(rng.random_range(1..40));
            let frame = match rng.random_range(0..9) {
                0..3 => ControlFrame::Admit { other_link: rng.random() },
                3 => ControlFrame::Refuse { reason: RefuseReason::Duplicate },
                4 => {
                    ControlFrame::Digest { entries: vec![(instance, sequence)], last: rng.random() }
                }
                5..7 => ControlFrame::Announce(Announcement {
                    name: peer.clone(),
                    instance,
                    sequence,
                    peers,
                }),
                7 => ControlFrame::Synced,
                _ => ControlFrame::Leaving,
            };
            let purpose =
                [Purpose::Dialled, Purpose::Solicited, Purpose::Bridge][step as usize % 3];
            let dial = DialId(rng.random_range(0..20));
            let hello = Hello {
                purpose,
                name: peer.clone(),
                instance,
                ..world.nodes[0].router.hello(purpose)
            };
            let from = "10.1.1.1:9".parse().expect("valid");
            let call = Solicitation {
                namespace: Default::default(),
                name: peer.clone(),
                instance,
                port: 9000,
                wanted: rng.random_range(0..3),
            };
            let request = RequestId(rng.random_range(0..9));
            let input = match rng.random_range(0..40) {
                0..6 => {
                    links += 1;
                    let role = if rng.random() { Role::Listener } else { Role::Dialler(dial) };
                    Input::LinkUp { link: LinkId(links), role, hello }
                }
                6..28 => Input::Control { link, frame },
                28 => Input::LinkDown { link, reason: "gone".into() },
                29..33 => Input::Heard { link },
                33 => Input::Solicited { from, solicitation: call },
                34 => Input::DialFailed { dial, error: DialError::Closed },
                35 => Input::Command(Command::Dial { request, address: "a".into() }),
                36 => Input::Command(Command::CancelDial { request }),
                37 => Input::Command(Command::Hangup { request, peer }),
                38 => Input::Command(Command::SetDegree(rng.random_range(0..5))),
                _ if step > 590 => Input::Command(Command::Close),
                _ => Input::Command(Command::Announce),
            };
            world.input(0, input);
            world.run(ms(rng.random_range(0..300)));
        }
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
        world.input(id, Input::LinkDown { link, reason: "broken".into() });
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
    let request = super::io::RequestId(50);
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
fn every_limit_is_counted() {
    let mut world = World::new(2);
    world.start(config("a", 3));
    let forged = |i: u32| crate::wire::solicit::Solicitation {
        namespace: Default::default(),
        name: name(&format!("x{i}")),
        instance: Instance(u64::from(i) + 1),
        port: if i == 0 { 0 } else { 9000 },
        wanted: 4,
    };
    for i in 0..3000 {
        let from = "10.9.9.9:1".parse().expect("valid");
        world.input(0, Input::Solicited { from, solicitation: forged(i) });
    }
    assert_eq!(world.counter(0, "solicitations_malformed"), 1);
    assert_eq!(world.counter(0, "solicitations_heard"), 199);
    assert_eq!(world.counter(0, "solicitations_limited"), 2800);
    assert_eq!(world.counter(0, "answers_limited"), 199 - 64);
    world.run(secs(1));
    assert!(world.counter(0, "dials_started") <= 12, "a forged flood starts few dials");
    assert!(world.counter(0, "dials_limited") > 0);
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

#[test]
fn a_peer_that_breaks_the_protocol_loses_its_link() {
    let breaches = [
        ControlFrame::Admit { other_link: false },
        ControlFrame::Digest { entries: Vec::new(), last: true },
        ControlFrame::Synced,
    ];
    for frame in breaches {
        let mut world = linked(&["a", "b"], &[("a", "b")]);
        world.input(0, Input::Control { link: LinkId(1), frame });
        assert_eq!(world.nodes[0].closes, [CloseReason::Breach]);
        assert_eq!(world.counter(0, "breaches"), 1);
        assert!(world.peers("a").is_empty());
    }
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
