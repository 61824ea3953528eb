//! The mesh in virtual time: named scenarios, and a few hundred seeds of small meshes with faults.
//!
//! A seed that once violated an invariant stays here by its number, in a test named for its finding.

use std::time::Duration;

use meshage::error::DialError;
use meshage::message::{Outcome, Recipients};
use meshage::name::NodeName;
use meshage::protocol::io::{Command, Reply};
use meshage::secure::{AuthError, Key};
use meshage::sim::network::{HostId, Path};
use meshage::sim::{
    Campaign, Keys, NodeSpec, Scale, SendOptions, Sim, SimOptions, measure, run_many, run_one,
    two_islands,
};

fn node(name: &str) -> NodeName {
    NodeName::new(name).expect("valid")
}

const SECOND: Duration = Duration::from_secs(1);

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn campaign(seeds: std::ops::Range<u64>, nodes: std::ops::RangeInclusive<usize>, chaos: bool) {
    campaign_with(Keys::Open, seeds, nodes, chaos);
}

fn campaign_with(
    keys: Keys,
    seeds: std::ops::Range<u64>,
    nodes: std::ops::RangeInclusive<usize>,
    chaos: bool,
) {
    let campaign =
        Campaign { seeds, nodes, degree: None, chaos, liars: false, keys, threads: threads() };
    let result = run_many(&campaign, |_| ());
    println!("{result}");
    let violations: Vec<String> = result.violations.iter().map(ToString::to_string).collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn two_hundred_chaotic_runs_keep_every_invariant() {
    campaign(1..201, 3..=12, true);
}

#[test]
fn forty_chaotic_runs_of_closed_meshes_keep_every_invariant_while_keys_rotate() {
    campaign_with(Keys::Closed, 1..41, 3..=10, true);
}

#[test]
fn thirty_chaotic_runs_of_meshes_with_different_keys_keep_them_apart() {
    campaign_with(Keys::Mixed, 1..31, 3..=12, true);
}

#[test]
fn ten_runs_of_closed_meshes_without_faults_settle_and_rotate() {
    campaign_with(Keys::Closed, 1..11, 1..=16, false);
}

#[test]
fn a_seed_of_a_closed_mesh_replays_to_the_byte() {
    let options = SimOptions { chaos: true, keys: Keys::Closed, ..SimOptions::new(3, 6) };
    let (first, second) = (run_one(options), run_one(options));
    let first = first.expect("no violation");
    assert!(first.counters.key_switches > 0 && first.counters.searched > 0);
    assert!(first.counters.datagrams_replayed > 0);
    assert_eq!(first, second.expect("no violation"));
}

fn closed(name: &str, keys: &[u8]) -> NodeSpec {
    let keys = keys.iter().map(|number| Key::from_bytes(&[*number; 32])).collect();
    NodeSpec { keys, ..NodeSpec::new(name, 2) }
}

#[test]
fn an_open_mesh_and_two_closed_ones_on_one_network_do_not_mix() {
    let mut sim = Sim::new(1, false);
    for (name, keys) in
        [("a", &[][..]), ("b", &[]), ("c", &[1]), ("d", &[1]), ("e", &[2]), ("f", &[2])]
    {
        sim.add(closed(name, keys));
    }
    sim.settle_down();
    for (from, to) in [("a", "c"), ("c", "a"), ("c", "e")] {
        let request = sim.dial(from, to);
        sim.run_for(SECOND);
        let Some(Reply::Dial(Err(DialError::Auth(error)))) = sim.reply(request) else {
            panic!("{from} to {to}: {:?}", sim.reply(request))
        };
        match from {
            "a" => assert!(matches!(error, AuthError::PeerIsClosed { heard } if heard.len() == 1)),
            _ if to == "a" => assert_eq!(*error, AuthError::PeerIsOpen),
            _ => assert!(matches!(error, AuthError::NoCommonKey { .. }), "{error}"),
        }
    }
    sim.run_for(60 * SECOND);
    assert!(sim.hosts().all(|host_id| sim.known_nodes(host_id) == 2), "pairs");
    assert!(sim.counters().denials > 0);
}

#[test]
fn a_node_with_the_keys_of_two_meshes_joins_them() {
    let mut sim = Sim::new(2, false);
    for (name, keys) in [("a", &[1][..]), ("b", &[1]), ("c", &[2]), ("d", &[2]), ("e", &[2, 1])] {
        sim.add(closed(name, keys));
    }
    sim.settle_down();
    let send_id = sim.send_to("a", ["d"], 100);
    sim.run_for(SECOND);
    assert!(sim.report(send_id).expect("ended").all_delivered());
}

#[test]
fn a_node_that_keeps_a_removed_key_loses_its_links_within_two_seconds() {
    let mut sim = Sim::new(3, false);
    let hosts = ["a", "b", "c"].map(|name| sim.add(closed(name, &[1])));
    sim.settle_down();
    let (old, new) = (Key::from_bytes(&[1; 32]), Key::from_bytes(&[2; 32]));
    for keys in [&[old.clone(), new.clone()][..], &[new.clone(), old], std::slice::from_ref(&new)] {
        for host_id in &hosts[..2] {
            sim.set_keys(*host_id, keys);
        }
        sim.run_for(SECOND / 2);
    }
    let alone = sim.run_until(2 * SECOND, |sim| sim.peers(hosts[2]).is_empty());
    assert!(alone.is_some(), "{:?}", sim.peers(hosts[2]));
    sim.check_links_are_under(&[new.id()]);
    let known = sim.run_until(SECOND, |sim| sim.known_nodes(hosts[0]) == 2);
    assert!(known.is_some(), "the others notice");
}

#[test]
fn forty_runs_with_lying_nodes_keep_every_invariant_and_deliver_again_afterwards() {
    let campaign = Campaign {
        seeds: 1..41,
        nodes: 3..=12,
        degree: None,
        chaos: true,
        liars: true,
        keys: Keys::Open,
        threads: threads(),
    };
    let result = run_many(&campaign, |_| ());
    println!("{result}");
    let violations: Vec<String> = result.violations.iter().map(ToString::to_string).collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn sixty_runs_without_faults_settle_and_stay_settled() {
    campaign(1..61, 1..=16, false);
}

/// Seeds that broke an invariant before it was mended: a message whose source was announced over
/// another link (5), and an announcement that was flooded in the instant in which a link was admitted
/// (248).
#[test]
fn the_seeds_in_which_a_receiver_could_not_answer_keep_every_invariant() {
    for (seed, nodes, degree) in [(5, 21, 3), (248, 28, 2)] {
        let options = SimOptions { chaos: true, degree, ..SimOptions::new(seed, nodes) };
        let run = run_one(options);
        assert!(run.is_ok(), "{}", run.err().map_or_else(String::new, |broken| broken.to_string()));
    }
}

/// Seeds that broke an invariant before it was mended: a message that overtook the announcement of its
/// source's only peer (212), a datagram that was accepted again after a clock had been set forward and
/// back (15), and a receiver that was asked in vain to start a channel anew (52).
#[test]
fn the_seeds_that_later_faults_of_networks_and_clocks_broke_keep_every_invariant() {
    let chaos =
        |seed, nodes, degree| SimOptions { chaos: true, degree, ..SimOptions::new(seed, nodes) };
    for options in [
        chaos(212, 20, 2),
        SimOptions { keys: Keys::Closed, ..chaos(15, 8, 4) },
        SimOptions { liars: true, ..chaos(52, 10, 2) },
    ] {
        let run = run_one(options);
        assert!(run.is_ok(), "{}", run.err().map_or_else(String::new, |broken| broken.to_string()));
    }
}

/// Seeds in which a timer in the past counted as a late wakeup, so that the silence of dead links was
/// measured anew: a new link had ended the doubt about the others.
#[test]
fn the_seeds_in_which_dead_links_were_kept_for_too_long_keep_every_invariant() {
    for (seed, nodes, degree) in [(40, 11, 4), (126, 12, 2), (137, 9, 3)] {
        let options = SimOptions { chaos: true, degree, ..SimOptions::new(seed, nodes) };
        let run = run_one(options);
        assert!(run.is_ok(), "{}", run.err().map_or_else(String::new, |broken| broken.to_string()));
    }
}

#[test]
fn a_path_that_loses_large_packets_gets_no_link_and_few_dials_and_messages_go_around_it() {
    let mut sim = Sim::new(4, false);
    let [a, b, c] = ["a", "b", "c"].map(|name| sim.add(NodeSpec::new(name, 0)));
    let hole = Path { packet_bytes_max: Some(1400), ..Path::default() };
    sim.network().set_path(a, b, Some(hole));
    for host_id in [a, b, c] {
        sim.command(host_id, Command::SetDegree(2));
    }
    sim.run_for(120 * SECOND);
    assert_eq!([sim.peers(a), sim.peers(b)], [[node("c")], [node("c")]]);
    let dials = sim.counters().hosts.iter().map(|host| host.dials).sum::<u64>();
    assert!(dials <= 15, "{dials} dials in two minutes");
    let send_id = sim.send_to("a", ["b"], 10_000);
    sim.run_for(SECOND);
    assert!(sim.report(send_id).expect("ended").all_delivered());
    sim.network().set_path(a, b, None);
    sim.release();
    let linked = sim.run_until(60 * SECOND, |sim| sim.peers(a).len() == 2);
    assert!(linked.is_some(), "{:?}", sim.peers(a));
}

#[test]
fn a_mesh_of_forty_nodes_meets_every_target() {
    let targets = measure(Scale { nodes: 40, degree: 4, seed: 1 }, |_| ());
    for key in ["cold start", "idle", "join", "leave", "kill", "silent death", "heal"] {
        assert!(targets.iter().any(|target| target.key == key), "{key} is measured");
    }
    for target in &targets {
        assert!(target.is_met(), "{target}");
    }
}

#[test]
fn a_seed_replays_to_the_byte() {
    let options = SimOptions { chaos: true, ..SimOptions::new(7, 8) };
    let (first, second) = (run_one(options), run_one(options));
    let first = first.expect("no violation");
    assert_eq!(first, second.expect("no violation"));
    let other = run_one(SimOptions { seed: 8, ..options }).expect("no violation");
    assert_ne!(first.digest, other.digest);
}

#[test]
fn thirty_two_nodes_of_degree_three_have_the_full_map_within_two_seconds() {
    let mut slowest = Duration::ZERO;
    for seed in 1..21 {
        let summary = run_one(SimOptions::new(seed, 32)).expect("no violation");
        slowest = slowest.max(summary.known);
        assert!(summary.links.max() <= 6, "twice the degree at most: {}", summary.links);
    }
    println!("full map of 32 nodes after {slowest:?} at most");
    assert!(slowest <= 2 * SECOND, "{slowest:?}");
}

#[test]
fn two_full_groups_merge_within_a_minute() {
    for seed in 1..6 {
        let mut sim = two_islands(seed, 8, 3);
        sim.settle_down();
        sim.run_for(45 * SECOND);
        assert!(sim.hosts().all(|host_id| sim.known_nodes(host_id) == 4));
        sim.network().heal_all();
        sim.release();
        let merged = sim.run_until_full(60 * SECOND);
        println!("seed {seed}: merged after {merged:?}");
        assert!(merged.is_some(), "two islands of seed {seed}");
    }
}

#[test]
fn a_killed_node_disappears_from_every_table_at_once_and_a_silent_node_soon() {
    let mut sim = Sim::group(100, 4);
    sim.settle_down();
    sim.run_for(5 * SECOND);
    let killed =
        sim.removal_times(HostId(50), SECOND, |sim| sim.kill(HostId(50))).expect("in time");
    let late = killed[killed.len() * 99 / 100];
    println!(
        "killed: removed from 99 % of the tables after {late:?}, of all after {:?}",
        killed[98]
    );
    assert!(late <= Duration::from_millis(250), "{late:?}");

    sim.start(HostId(50));
    sim.settle_down();
    sim.run_for(10 * SECOND);
    let silent =
        sim.removal_times(HostId(7), 5 * SECOND, |sim| sim.power_off(HostId(7))).expect("in time");
    let last = silent[98];
    println!("silent: removed from every table after {last:?}");
    assert!(last <= Duration::from_millis(3500), "{last:?}");
}

#[test]
fn a_stopped_process_disappears_and_returns() {
    let mut sim = Sim::group(8, 3);
    sim.settle_down();
    sim.run_for(5 * SECOND);
    let stopped = HostId(3);
    let left = sim.removal_times(stopped, 4 * SECOND, |sim| sim.stop(stopped));
    assert!(left.is_some(), "removed from every table within 4 s");
    sim.run_for(2 * SECOND);
    sim.resume(stopped);
    let back = sim.run_until_full(4 * SECOND);
    println!("back after {back:?}");
    assert!(back.is_some());
}

#[test]
fn a_restarted_node_takes_its_name_back_at_once() {
    let mut sim = Sim::line(["a", "b", "c"]);
    let b = sim.host("b");
    sim.kill(b);
    sim.start(b);
    sim.dial("a", "b");
    sim.run_for(SECOND);
    assert_eq!(sim.mesh("a").neighbors("b").map(<[NodeName]>::len), Some(1));
    let send_id = sim.send_to("a", ["b"], 10);
    sim.run_for(SECOND);
    assert!(sim.report(send_id).expect("ended").all_delivered());
}

#[test]
fn a_second_node_of_a_name_is_refused_with_a_reason() {
    let mut sim = Sim::line(["a", "b", "c"]);
    let impostor = NodeSpec { host_name: "elsewhere".into(), ..NodeSpec::new("c", 0) };
    sim.add(impostor);
    let request = sim.dial("elsewhere", "a");
    sim.run_for(SECOND);
    match sim.reply(request) {
        Some(Reply::Dial(Err(error))) => assert!(error.to_string().contains("name"), "{error}"),
        other => panic!("it should have been refused: {other:?}"),
    }
    assert_eq!(sim.mesh("a").len(), 3);
}

#[test]
fn two_islands_with_one_name_in_both_merge_and_agree_on_its_holder() {
    let mut sim = Sim::new(3, false);
    for (group, host_name) in [(0, "a"), (0, "x"), (1, "b"), (1, "other-x")] {
        let name = if host_name == "other-x" { "x" } else { host_name };
        let host_id = sim.add(NodeSpec { host_name: host_name.into(), ..NodeSpec::new(name, 1) });
        sim.network().set_group(host_id, group);
    }
    sim.run_for(5 * SECOND);
    sim.network().heal_all();
    sim.release();
    sim.dial("a", "b");
    sim.run_for(5 * SECOND);
    // Neither knew of the other, so that the lesser instance holds the name. The other is refused.
    let (x, other) = (sim.host("x"), sim.host("other-x"));
    let holder = if sim.instance(x) < sim.instance(other) { x } else { other };
    let refused = if holder == x { other } else { x };
    assert_eq!((sim.known_nodes(holder), sim.known_nodes(refused)), (3, 1));
    sim.check_holder(holder);
    assert!(sim.counters().conflicts > 0, "applications receive an event");
    let send_id = sim.send_to("a", ["x"], 10);
    sim.run_for(SECOND);
    assert!(sim.report(send_id).expect("ended").all_delivered());
}

#[test]
fn a_former_holder_that_comes_back_does_not_get_its_name_back() {
    for seed in 1..21 {
        for island in [&["x"][..], &["x", "i", "j"]] {
            let mut sim = Sim::new(seed, false);
            for name in ["a", "b", "c", "i", "j", "x"] {
                sim.add(NodeSpec::new(name, 2));
            }
            sim.settle_down();
            for name in island {
                let host_id = sim.host(name);
                sim.network().set_group(host_id, 1);
            }
            sim.run_for(5 * SECOND);
            let spec = NodeSpec { host_name: "replacement".into(), ..NodeSpec::new("x", 2) };
            let replacement = sim.add(spec);
            sim.run_for(10 * SECOND);
            sim.network().heal_all();
            sim.release();
            // Beacons join the two meshes, in a minute at most.
            sim.run_for(70 * SECOND);
            sim.check_holder(replacement);
            let old = sim.host("x");
            assert_eq!(sim.known_nodes(old), 1, "seed {seed}: the former holder is refused");
            for name in ["a", "b", "c", "i", "j"] {
                assert_eq!(sim.known_nodes(sim.host(name)), 6, "seed {seed}: at {name}");
            }
            assert!(sim.counters().conflicts > 0);
            // When the replacement leaves, the name is free.
            sim.leave(replacement);
            let back = sim.run_until(15 * SECOND, |sim| sim.known_nodes(old) == 6);
            assert!(back.is_some(), "seed {seed}: accepted again");
        }
    }
}

#[test]
fn both_ends_dialling_at_once_end_with_one_link() {
    for delay_micros in [0, 1, 2000, 5000, 7000, 10_000, 12_000, 15_000, 20_000] {
        let mut sim = Sim::new(delay_micros, false);
        sim.add(NodeSpec::new("a", 0));
        sim.add(NodeSpec::new("b", 0));
        sim.dial("a", "b");
        sim.run_for(Duration::from_micros(delay_micros));
        sim.dial("b", "a");
        sim.settle_down();
        sim.run_for(2 * SECOND);
        assert_eq!(sim.peers(HostId(0)).len(), 1, "{delay_micros} µs apart");
        assert_eq!(sim.peers(HostId(1)).len(), 1, "{delay_micros} µs apart");
    }
}

#[test]
fn a_message_follows_the_line_and_records_its_route() {
    let mut sim = Sim::line(["a", "b", "c"]);
    sim.set_snoop("b", true);
    let send_id = sim.send_to("a", ["c"], 100);
    sim.run_for(SECOND);
    assert!(sim.report(send_id).expect("ended").all_delivered());
    let [message] = sim.received("c") else { panic!("one message") };
    assert_eq!(message.route.iter().map(NodeName::as_str).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(sim.snooped("b").len(), 1);
    assert!(sim.received("b").is_empty());
}

#[test]
fn a_cut_line_reports_lost_on_detection_and_no_route_afterwards() {
    let mut sim = Sim::line(["a", "b", "c"]);
    sim.cut("b", "c");
    let send_id = sim.send_to("a", ["c"], 100);
    let reported = sim.run_until(4 * SECOND, |sim| sim.report(send_id).is_some());
    assert!(reported.is_some(), "the report does not wait for the timeout");
    assert_eq!(sim.report(send_id).and_then(|report| report.outcome("c")), Some(Outcome::Lost));
    let send_id = sim.send_to("a", ["c"], 100);
    let report = sim.report(send_id).expect("answered at once");
    assert_eq!(report.outcome("c"), Some(Outcome::NoRoute));
}

#[test]
fn a_receiver_that_stops_reading_slows_no_other_node_and_loses_nothing() {
    let mut sim = Sim::line(["a", "b", "c"]);
    let b = sim.host("b");
    sim.set_reading(b, false);
    let options = SendOptions { timeout: 20 * SECOND, retry: false };
    let name = |name: &str| vec![NodeName::new(name).expect("valid")];
    let a = sim.host("a");
    let mut stuck = Vec::new();
    for _ in 0..1500 {
        stuck.push(sim.send(a, Recipients::Set(name("b").into()), 50, options).expect("room"));
    }
    sim.run_for(SECOND);
    let passing = sim.send_to("a", ["c"], 50);
    sim.run_for(SECOND);
    assert!(sim.report(passing).expect("ended").all_delivered(), "b relays messages");
    sim.run_for(8 * SECOND);
    sim.set_reading(b, true);
    sim.run_for(10 * SECOND);
    assert_eq!(sim.received("b").len(), stuck.len());
    for send_id in stuck {
        assert!(sim.report(send_id).expect("ended").all_delivered());
    }
}

#[test]
fn a_receiver_that_never_reads_causes_busy_for_the_rest_at_the_deadline() {
    let mut sim = Sim::line(["a", "b"]);
    let (a, b) = (sim.host("a"), sim.host("b"));
    sim.set_reading(b, false);
    let options = SendOptions { timeout: 2 * SECOND, retry: false };
    let to = Recipients::Set(NodeName::new("b").expect("valid").into());
    let send_ids: Vec<_> =
        (0..1200).map(|_| sim.send(a, to.clone(), 10, options).expect("room")).collect();
    sim.run_for(3 * SECOND);
    let outcome = |outcome| {
        send_ids
            .iter()
            .filter(|&&send_id| sim.report(send_id).and_then(|r| r.outcome("b")) == Some(outcome))
            .count()
    };
    assert_eq!(outcome(Outcome::Delivered), 1024);
    assert_eq!(outcome(Outcome::Busy), 1200 - 1024);
}

#[test]
fn one_slow_link_delays_only_the_traffic_that_crosses_it() {
    let mut sim = Sim::line(["a", "b", "c"]);
    let (b, c) = (sim.host("b"), sim.host("c"));
    let mut path = sim.network().path(b, c);
    path.bandwidth = 100_000;
    sim.network().set_path(b, c, Some(path));
    let large = sim.send_to("a", ["c"], 600_000);
    sim.run_for(Duration::from_millis(200));
    let small = sim.send_to("a", ["b"], 100);
    let took = sim.run_until(SECOND, |sim| sim.report(small).is_some());
    assert!(took.is_some_and(|took| took < Duration::from_millis(30)), "{took:?}");
    sim.run_for(9 * SECOND);
    assert!(sim.report(large).expect("ended").all_delivered(), "{:?}", sim.report(large));
    assert_eq!(sim.mesh("a").len(), 3, "bulk traffic is a sign of life");
}

#[test]
fn a_broadcast_crosses_each_link_of_its_tree_once() {
    let mut sim = Sim::group(12, 3);
    sim.settle_down();
    sim.run_for(5 * SECOND);
    let before = sim.counters().total().data.0;
    let send_id = sim.broadcast("n000", 500);
    sim.run_for(SECOND);
    assert_eq!(sim.counters().total().data.0 - before, 11);
    assert_eq!(sim.report(send_id).expect("ended").delivered().count(), 11);
}

/// Closes each of these nodes as soon as it has received a message, until all have left.
fn close_on_receipt(sim: &mut Sim, names: &[&str]) {
    let mut open = names.to_vec();
    let limit = sim.now() + 5 * SECOND;
    while names.iter().any(|name| sim.is_running(sim.host(name))) {
        assert!(sim.now() < limit, "every node receives the message and leaves");
        open.retain(|name| {
            let received = !sim.received(name).is_empty();
            if received {
                sim.close(sim.host(name));
            }
            !received
        });
        sim.run_for(Duration::from_micros(100));
    }
}

#[test]
fn nodes_that_close_when_a_broadcast_arrives_are_all_reported_as_delivered() {
    let mut sim = Sim::line(["a", "r", "s", "b"]);
    let send_id = sim.broadcast("a", 100);
    close_on_receipt(&mut sim, &["r", "s", "b"]);
    let report = sim.report(send_id).expect("ended");
    assert!(report.all_delivered(), "{report:?}");
    assert!(sim.now() < 10 * SECOND);
}

#[test]
fn a_relay_that_closes_passes_on_the_acknowledgements_of_what_it_forwarded() {
    let mut sim = Sim::line(["a", "r", "b"]);
    sim.set_snoop("r", true);
    let send_ids: Vec<_> = (0..20).map(|_| sim.send_to("a", ["b"], 50)).collect();
    let passed = sim.run_until_stepping(SECOND, Duration::from_micros(100), &mut |sim: &Sim| {
        sim.snooped("r").len() == send_ids.len()
    });
    assert!(passed.is_some(), "the relay has forwarded them");
    assert!(sim.report(send_ids[19]).is_none(), "the last is not acknowledged yet");
    let r = sim.host("r");
    sim.close(r);
    sim.run_for(Duration::from_millis(1));
    let refused = sim.send_to("a", ["b"], 50);
    let left = sim.run_until(SECOND, |sim| !sim.is_running(r)).expect("it leaves");
    println!("left after {left:?}");
    assert!(left < Duration::from_millis(100), "it leaves once they are acknowledged");
    sim.run_for(SECOND);
    for send_id in send_ids {
        let report = sim.report(send_id).expect("ended");
        assert!(report.all_delivered(), "{report:?}");
    }
    assert!(!sim.report(refused).expect("ended").all_delivered());
    assert_eq!(sim.received("b").len(), 20, "a closing relay forwards no further message");
}

#[test]
fn nodes_of_a_meshed_network_that_close_when_a_broadcast_arrives_are_all_reported_as_delivered() {
    for seed in 1..31 {
        let mut sim = Sim::new(seed, false);
        sim.record_inboxes();
        let names: Vec<String> = (0..10).map(|number| format!("n{number:03}")).collect();
        for name in &names {
            sim.add(NodeSpec::new(name, 3));
        }
        sim.settle_down();
        sim.run_for(2 * SECOND);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let send_id = sim.broadcast(names[0], 100);
        close_on_receipt(&mut sim, &names[1..]);
        let ended = sim.run_until(SECOND, |sim| sim.report(send_id).is_some());
        assert!(ended.is_some(), "seed {seed}: the send has ended");
        let report = sim.report(send_id).expect("ended");
        assert!(report.all_delivered(), "seed {seed}: {report:?}");
    }
}
