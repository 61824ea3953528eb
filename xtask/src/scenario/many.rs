//! 32 nodes in network namespaces start together. All know the whole mesh within 2 s, and no node has
//! more links than twice its degree.

use std::time::{Duration, Instant};

use super::netns::Network;
use crate::agreement::{agreed, names};
use crate::build::{Language, Programs};
use crate::process::{Process, wait_until};
use crate::random;
use crate::shell::Result;

const NODES: usize = 32;
const DEGREE: usize = 3;
/// The port of the mesh. All nodes can use the same one, because each has its own network.
const PORT: &str = "9000";
/// The time limit from the last start until every node knows the whole mesh.
const CONVERGE_MAX: Duration = Duration::from_secs(2);
/// How long to measure beyond the limit.
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
        node.wait_until_ready()?;
    }
    let started = Instant::now();
    let all = names(&nodes);
    let mut mesh = None;
    let took = wait_until("the whole mesh at every node", started, CONVERGE_MAX + SLACK, || {
        mesh = agreed(&mut nodes, &all)?;
        Ok(mesh.is_some())
    })?;
    let mesh = mesh.unwrap_or_default();
    let most = mesh.values().map(|peers| peers.len()).max().unwrap_or_default();
    let links = mesh.values().map(|peers| peers.len()).sum::<usize>() / 2;
    println!(
        "   every node knows the whole mesh: {:.0} ms (limit {:.0} ms); {links} links, at most {most} a node",
        took.as_secs_f64() * 1e3,
        CONVERGE_MAX.as_secs_f64() * 1e3
    );
    for node in nodes {
        node.stop()?;
    }
    if most > 2 * DEGREE {
        return Err(format!("a node has {most} links at degree {DEGREE}"));
    }
    if took > CONVERGE_MAX {
        return Err(format!("the whole mesh took {took:.2?}; the limit is {CONVERGE_MAX:?}"));
    }
    Ok(())
}
