//! Two groups of nodes that have enough links and cannot reach each other. After a cable joins their
//! networks, their beacons merge them into one mesh.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::netns::Network;
use crate::agreement::{agreed, names};
use crate::build::{Language, Programs};
use crate::process::{Process, wait_until};
use crate::random;
use crate::shell::Result;

const EACH: usize = 4;
/// Four nodes of degree 3 are all linked to each other, and look for no further links.
const DEGREE: &str = "3";
const PORT: &str = "9000";
/// The time limit for each group to form.
const FORM_MAX: Duration = Duration::from_secs(20);
/// How long the groups stay separate: after this time, beacons are no longer frequent.
const SEPARATE: Duration = Duration::from_secs(15);
/// The time limit from the cable to one mesh.
const MERGE_MAX: Duration = Duration::from_secs(60);

pub(super) fn run(programs: &Programs) -> Result<()> {
    let network = Network::new(2 * EACH, 2, |node| node / EACH)?;
    let namespace = random::namespace("islands");
    let mut nodes = Vec::new();
    for node in 0..2 * EACH {
        let name = format!("{}{}", ["left", "right"][node / EACH], node % EACH);
        let mut command = programs.command(Language::Rust);
        command.args([&name, &namespace, PORT, DEGREE, "255.255.255.255"]);
        nodes.push(Process::spawn(&name, network.inside(node, &command))?);
    }
    for node in &mut nodes {
        node.wait_until_ready()?;
    }
    for group in nodes.chunks_mut(EACH) {
        let all = names(group);
        wait_until("a full group", Instant::now(), FORM_MAX, || {
            Ok(agreed(group, &all)?.is_some() && is_full(group, &all)?)
        })?;
    }
    std::thread::sleep(SEPARATE);
    network.join(0, 1)?;
    let joined = Instant::now();
    let all = names(&nodes);
    let took =
        wait_until("one mesh", joined, MERGE_MAX, || Ok(agreed(&mut nodes, &all)?.is_some()))?;
    println!("   one mesh {:.1} s after the cable (limit {MERGE_MAX:?})", took.as_secs_f64());
    nodes.into_iter().try_for_each(Process::stop)
}

/// Whether each node is linked to all others.
fn is_full(group: &mut [Process], all: &BTreeSet<String>) -> Result<bool> {
    for node in group {
        if node.peers()?.len() + 1 != all.len() {
            return Ok(false);
        }
    }
    Ok(true)
}
