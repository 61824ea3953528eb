//! An orderly rotation of the key of a whole mesh under load, at the end of a closed run.
//!
//! ```text
//!  one node is stopped ──► add ──► use ──► remove, at all others, while they send to each other
//!                     ──► it goes on, and is alone ──► it gets the key, and joins
//! ```

use std::time::Duration;

use crate::message::{Outcome, Recipients};
use crate::secure::Key;

use super::application::SendOptions;
use super::chaos::closed_key;
use super::history::SendId;
use super::network::HostId;
use super::rng::SimRng;
use super::simulation::Sim;

/// The number of the new key: none that chaos uses.
const NEW_KEY: usize = 100;
/// All nodes take a step of the rotation within this time.
const STEP_SPREAD: Duration = Duration::from_millis(500);
/// How often some node sends a message.
const SEND_INTERVAL: Duration = Duration::from_millis(20);
/// No message may take longer.
const MESSAGE_TIME_MAX: Duration = Duration::from_secs(1);
/// How long after the last removal no link is under the old key.
const REMOVED_KEY_TIME_MAX: Duration = Duration::from_secs(2);
/// How long the mesh may take to settle without the stopped node, and that node to notice that it has
/// other keys: beacons are sent every 60 s, and a mismatch is reported once in 60 s.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(150);
/// How long a node that gets the key may take to join.
const JOIN_TIME_MAX: Duration = Duration::from_secs(5);

/// Rotates the key of a mesh at rest, all of whose nodes have one key in common.
pub(super) fn rotate(sim: &mut Sim, mut rng: SimRng) {
    let hosts: Vec<HostId> = sim.hosts().collect();
    let sleeper = (hosts.len() > 2).then(|| hosts[rng.index(hosts.len())]);
    let awake: Vec<HostId> = hosts.iter().copied().filter(|host| Some(*host) != sleeper).collect();
    let Some(ring) = sim.hosts[awake[0].0].ring.clone() else { return };
    let (old, new) = (ring.primary().clone(), closed_key(NEW_KEY));
    if let Some(sleeper) = sleeper {
        sim.stop(sleeper);
        // The others notice after the dead interval.
        sim.run_for(Duration::from_secs(5));
        settle(sim, "without the stopped node");
    }
    let mut sent = Vec::new();
    let steps: [&[Key]; 3] =
        [&[old.clone(), new.clone()], &[new.clone(), old.clone()], std::slice::from_ref(&new)];
    for keys in steps {
        let mut times: Vec<(Duration, HostId)> =
            awake.iter().map(|host| (rng.time(Duration::ZERO..STEP_SPREAD), *host)).collect();
        times.sort();
        let begin = sim.now();
        for (time, host_id) in times {
            send_until(sim, begin + time, &awake, &mut rng, &mut sent);
            sim.set_keys(host_id, keys);
        }
        let end = begin + STEP_SPREAD + Duration::from_millis(100);
        send_until(sim, end, &awake, &mut rng, &mut sent);
    }
    let end = sim.now() + REMOVED_KEY_TIME_MAX;
    send_until(sim, end, &awake, &mut rng, &mut sent);
    sim.check_links_are_under(&[new.id()]);
    sim.run_for(MESSAGE_TIME_MAX);
    sent.iter().for_each(|send_id| check_sent(sim, *send_id));
    assert!(
        sim.is_settled(),
        "invariant S19: the rotation unsettled the mesh: {}",
        sim.unsettled_reason()
    );
    if let Some(sleeper) = sleeper {
        wake(sim, sleeper, &new);
    }
}

/// Lets the node go on that was stopped during the rotation, and then gives it the key.
fn wake(sim: &mut Sim, sleeper: HostId, new: &Key) {
    sim.resume(sleeper);
    let name = sim.host_name(sleeper);
    let heard = sim.run_until(SETTLE_TIME_MAX, |sim| {
        let incarnation = sim.incarnation(sleeper);
        incarnation.is_some_and(|incarnation| incarnation.heard_keys.contains(&new.id()))
    });
    assert!(heard.is_some(), "invariant S19: {name} was not told which key it lacks");
    settle(sim, "around the node that lacks the key");
    assert_eq!(sim.known_nodes(sleeper), 1, "invariant S19: {name} has links without the key");
    sim.set_keys(sleeper, std::slice::from_ref(new));
    let joined = sim.run_until(JOIN_TIME_MAX, Sim::all_are_known);
    assert!(
        joined.is_some(),
        "invariant S19: {name} got the key and did not join: {}",
        sim.unsettled_reason()
    );
    settle(sim, "after the rotation");
}

fn settle(sim: &mut Sim, when: &str) {
    let step = Duration::from_millis(10);
    let settled = sim.run_until_stepping(SETTLE_TIME_MAX, step, &mut Sim::is_settled);
    assert!(settled.is_some(), "invariant S7: not settled {when}: {}", sim.unsettled_reason());
}

/// Sends from node to node until a time.
fn send_until(
    sim: &mut Sim,
    end: Duration,
    hosts: &[HostId],
    rng: &mut SimRng,
    sent: &mut Vec<SendId>,
) {
    while sim.now() < end {
        let (from, to) = (hosts[rng.index(hosts.len())], hosts[rng.index(hosts.len())]);
        if from != to {
            let to = Recipients::Set(sim.hosts[to.0].spec.name.clone().into());
            let length = rng.within(0..2000) as usize;
            match sim.send(from, to, length, SendOptions::default()) {
                Ok(send_id) => sent.push(send_id),
                Err(error) => panic!("invariant S19: a message was refused in a rotation: {error}"),
            }
        }
        sim.run_to(end.min(sim.now() + SEND_INTERVAL));
    }
}

/// Checks that a message of a rotation arrived, and in time.
fn check_sent(sim: &Sim, send_id: SendId) {
    let entry = sim.history().entry(send_id);
    let delivered = sim.report(send_id).is_some_and(|report| {
        report.outcomes().iter().all(|(_, outcome)| *outcome == Outcome::Delivered)
    });
    assert!(delivered, "invariant S19: a rotation lost a message: {entry:?}");
    for delivery in &entry.deliveries {
        assert!(
            delivery.at <= entry.started + MESSAGE_TIME_MAX,
            "invariant S19: a rotation delayed a message: {entry:?}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::NodeSpec;

    #[test]
    #[should_panic(expected = "invariant S19: a rotation lost a message")]
    fn a_message_that_a_rotation_loses_is_detected() {
        let mut sim = Sim::new(1, false);
        for name in ["a", "b"] {
            sim.add(NodeSpec { keys: vec![closed_key(0)], ..NodeSpec::new(name, 1) });
        }
        sim.settle_down();
        // Not in order: the key is used before the other node has it.
        let (a, b) = (sim.host("a"), sim.host("b"));
        sim.set_keys(a, &[closed_key(1)]);
        sim.run_for(REMOVED_KEY_TIME_MAX - Duration::from_millis(1));
        let send_id = sim.send_to("b", ["a"], 10);
        sim.cut("a", "b");
        sim.run_for(Duration::from_secs(11));
        assert_ne!(sim.key_ids(a), sim.key_ids(b));
        check_sent(&sim, send_id);
    }
}
