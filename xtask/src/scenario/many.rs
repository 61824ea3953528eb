//! 32 nodes in network namespaces, started together: the whole map within 2 s, and no node keeps
//! more than twice its degree in links.

use std::time::{Duration, Instant};

use super::netns::Network;
use super::{agreed, names};
use crate::build::{Language, Programs};
use crate::process::{Process, until};
use crate::random;
use crate::shell::Result;

const NODES: usize = 32;
const DEGREE: usize = 3;
/// The mesh's own port: every node has a network of its own.
const PORT: &str = "9000";
/// From the last start to the whole map at every node.
const MAP_MAX: Duration = Duration::from_secs(2);
/// Any time beyond the limit that is still worth measuring.
const SLACK: Duration = Duration::from_secs(15);

pub(super) fn run(programs: &Programs) -> Result<()> {
    let network = Network::new(NODES, 1, |_| 0)?;
    let namespace = random::namespace("many");
    let mut nodes = Vec::new();
    for node in 0..NODES {
        let name = format!("n{node:02}");
        let mut command = programs.command(Language::Rust);
        command.args([&name, &namespace, PORT, &DEGREE.to_string(), "255.255.255.255"]);
        nodes.push(Process::spawn(&name, network.inside(node, &command))?);
    }
    for node in &mut nodes {
        node.ready()?;
    }
    let started = Instant::now();
    let all = names(&nodes);
    let mut mesh = None;
    let took = until("the whole map", started, MAP_MAX + SLACK, || {
        mesh = agreed(&mut nodes, &all)?;
        Ok(mesh.is_some())
    })?;
    let mesh = mesh.unwrap_or_default();
    let most = mesh.values().map(|peers| peers.len()).max().unwrap_or_default();
    let links = mesh.values().map(|peers| peers.len()).sum::<usize>() / 2;
    println!(
        "   the whole map at every node: {:.0} ms (limit {:.0} ms); {links} links, {most} at most",
        took.as_secs_f64() * 1e3,
        MAP_MAX.as_secs_f64() * 1e3
    );
    for node in nodes {
        node.end()?;
    }
    if most > 2 * DEGREE {
        return Err(format!("a node keeps {most} links at degree {DEGREE}"));
    }
    if took > MAP_MAX {
        return Err(format!("the whole map took {took:.2?}, not {MAP_MAX:?}"));
    }
    Ok(())
}
