//! Two groups of nodes that are content with their links and never heard each other: once a cable
//! joins their networks, their beacons make one mesh of them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::netns::Network;
use super::{agreed, names};
use crate::build::{Language, Programs};
use crate::process::{Process, until};
use crate::random;
use crate::shell::Result;

const EACH: usize = 4;
/// Four nodes of degree 3 are all linked to each other, and want no more.
const DEGREE: &str = "3";
const PORT: &str = "9000";
/// How long each group may take to form.
const FORM_MAX: Duration = Duration::from_secs(20);
/// How long the groups stay apart: beacons are frequent at first, and by then no more.
const APART: Duration = Duration::from_secs(15);
/// From the cable to one mesh.
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
        node.ready()?;
    }
    for group in nodes.chunks_mut(EACH) {
        let all = names(group);
        until("a full group", Instant::now(), FORM_MAX, || {
            Ok(agreed(group, &all)?.is_some() && is_full(group, &all)?)
        })?;
    }
    std::thread::sleep(APART);
    network.join(0, 1)?;
    let joined = Instant::now();
    let all = names(&nodes);
    let took = until("one mesh", joined, MERGE_MAX, || Ok(agreed(&mut nodes, &all)?.is_some()))?;
    println!("   one mesh {:.1} s after the cable (limit {MERGE_MAX:?})", took.as_secs_f64());
    nodes.into_iter().try_for_each(Process::end)
}

/// Whether each is linked to all others.
fn is_full(group: &mut [Process], all: &BTreeSet<String>) -> Result<bool> {
    for node in group {
        if node.peers()?.len() + 1 != all.len() {
            return Ok(false);
        }
    }
    Ok(true)
}
