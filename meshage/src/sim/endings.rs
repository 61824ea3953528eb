//! What is tried with a mesh that has come to rest after the faults of a run.
//!
//! ```text
//!  one announcement is set back at one node ──► a comparison repairs it
//!  some nodes are cut off, another one takes over a name ──► its holder comes back, and is refused
//!                                                     ──► the other one leaves, and it is accepted
//! ```

use std::time::Duration;

use super::network::HostId;
use super::node::NodeSpec;
use super::rng::SimRng;
use super::simulation::Sim;

/// How long a comparison may take to come: the longest period of a run, with its jitter, and the time
/// for the answers.
const COMPARED_TIME_MAX: Duration = Duration::from_secs(15);
/// The dead interval, and the time for the announcements after it.
const CUT_OFF_TIME: Duration = Duration::from_secs(5);
/// How long a node that takes over a name may take to join.
const JOINED_TIME: Duration = Duration::from_secs(10);
/// Beacons, which join the two meshes again, are sent every 60 s.
const MERGED_TIME: Duration = Duration::from_secs(70);
/// How long a node may take to join once its name is free.
const ACCEPTED_TIME_MAX: Duration = Duration::from_secs(15);
/// The interval of the checks whether the mesh has settled.
const SETTLE_STEP: Duration = Duration::from_millis(10);

/// Sets one announcement back at one node, as if the node had missed the last one.
pub(super) fn set_back(sim: &mut Sim, mut rng: SimRng) {
    let hosts: Vec<HostId> = sim.hosts().collect();
    let at = hosts[rng.index(hosts.len())];
    let of = hosts[rng.index(hosts.len())];
    let Some(instance) = sim.instance(of).filter(|_| at != of) else { return };
    let now = sim.instant();
    let Some(incarnation) = &mut sim.hosts[at.0].incarnation else { return };
    incarnation.router.set_back(instance, now);
    sim.settle(at);
    let repaired = sim.run_until_stepping(COMPARED_TIME_MAX, SETTLE_STEP, &mut Sim::is_settled);
    assert!(
        repaired.is_some(),
        "invariant S7: no comparison repaired what {} lacks: {}",
        sim.host_name(at),
        sim.unsettled_reason()
    );
}

/// Cuts a node off together with some others, and lets another node take over its name.
pub(super) fn take_over(sim: &mut Sim, mut rng: SimRng) {
    let former = HostId(rng.index(sim.hosts.len()));
    let nodes = sim.hosts.len();
    let spec = NodeSpec { host_name: "replacement".into(), ..sim.hosts[former.0].spec.clone() };
    let first = rng.index(nodes - 1);
    for other in (0..nodes).map(HostId).filter(|other| *other != former) {
        // One of the others stays at least, and one is cut off.
        let is_cut_off = match other.0 {
            number if number == (former.0 + 1 + first) % nodes => true,
            number if number == (former.0 + 1 + (first + 1) % (nodes - 1)) % nodes => false,
            _ => rng.permille(300),
        };
        sim.network().set_group(other, u32::from(is_cut_off));
    }
    sim.network().set_group(former, 1);
    sim.run_for(CUT_OFF_TIME);
    let replacement = sim.add(spec);
    sim.run_for(JOINED_TIME);
    sim.network().heal_all();
    sim.release();
    sim.run_for(MERGED_TIME);
    let claim = |host_id| sim.incarnation(host_id).map(|it| it.router.own_claim());
    // If the mesh has fallen apart once more, the former holder may have taken its name over again.
    let (holder, other) = match claim(former) > claim(replacement) {
        true => (former, replacement),
        false => (replacement, former),
    };
    sim.check_holder(holder);
    assert_eq!(
        (sim.known_nodes(other), sim.known_nodes(holder)),
        (1, nodes),
        "invariant S16: the node that took the name over last has it, and no other: {}",
        sim.host_name(holder)
    );
    sim.leave(replacement);
    let accepted = sim.run_until(ACCEPTED_TIME_MAX, |sim| sim.known_nodes(former) == nodes);
    assert!(accepted.is_some(), "invariant S16: {} is refused still", sim.host_name(former));
}
