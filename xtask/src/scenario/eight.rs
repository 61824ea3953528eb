//! Eight processes on one machine form one mesh. A node that is killed or stopped leaves every table
//! in time. A node that continues comes back.

use std::time::{Duration, Instant};

use crate::agreement::{agreed, names};
use crate::build::{Language, Programs};
use crate::process::{Process, wait_until};
use crate::random;
use crate::shell::Result;

const DEGREE: u32 = 3;
const NODES: [(&str, Language); 8] = [
    ("rust-1", Language::Rust),
    ("rust-2", Language::Rust),
    ("rust-3", Language::Rust),
    ("c-1", Language::C),
    ("c-2", Language::C),
    ("c-3", Language::C),
    ("py-1", Language::Python),
    ("py-2", Language::Python),
];

/// From the last start to one mesh that all nodes know.
const FORM_MAX: Duration = Duration::from_secs(3);
/// From kill -9 until no table contains the node.
const KILLED_MAX: Duration = Duration::from_secs(1);
/// From SIGSTOP until no table contains the node, and from SIGCONT until every table contains it.
const STOPPED_MAX: Duration = Duration::from_secs(4);
/// How long to measure beyond a limit, so that a failure shows by how much it was missed.
const SLACK: Duration = Duration::from_secs(6);

pub(super) fn run(programs: &Programs) -> Result<()> {
    let namespace = random::namespace("eight");
    let port = random::udp_port()?;
    let mut nodes = Vec::new();
    for (name, language) in NODES {
        let mut command = programs.command(language);
        command.args([name, &namespace, &port.to_string(), &DEGREE.to_string()]);
        nodes.push(Process::spawn(name, command)?);
    }
    for node in &mut nodes {
        node.wait_until_ready()?;
    }
    let all = names(&nodes);
    measured("one mesh after the last start", FORM_MAX, |limit| {
        wait_until("one mesh", Instant::now(), limit, || Ok(agreed(&mut nodes, &all)?.is_some()))
    })?;

    for language in [Language::Rust, Language::C, Language::Python] {
        let at = NODES.iter().position(|(_, l)| *l == language).ok_or("no such node")?;
        stop_and_continue(&mut nodes, at)?;
    }
    for language in [Language::Rust, Language::C, Language::Python] {
        let name = NODES.iter().rfind(|(_, l)| *l == language).ok_or("no such node")?.0;
        kill(&mut nodes, name)?;
    }
    for node in nodes {
        node.stop()?;
    }
    Ok(())
}

fn stop_and_continue(nodes: &mut Vec<Process>, at: usize) -> Result<()> {
    let all = names(nodes);
    let stopped = nodes.remove(at);
    let name = stopped.name().to_owned();
    let since = Instant::now();
    stopped.signal("STOP")?;
    measured(&format!("{name} stopped; no table contains it"), STOPPED_MAX, |limit| {
        wait_until("the removal of a stopped node", since, limit, || no_node_knows(nodes, &name))
    })?;
    let since = Instant::now();
    stopped.signal("CONT")?;
    nodes.insert(at, stopped);
    measured(&format!("{name} continued; every table contains it"), STOPPED_MAX, |limit| {
        wait_until("the return of a node", since, limit, || Ok(agreed(nodes, &all)?.is_some()))
    })
}

fn kill(nodes: &mut Vec<Process>, name: &str) -> Result<()> {
    let at = nodes.iter().position(|node| node.name() == name).ok_or("no such node")?;
    let mut victim = nodes.remove(at);
    let since = Instant::now();
    victim.kill()?;
    measured(&format!("{name} killed; no table contains it"), KILLED_MAX, |limit| {
        wait_until("the removal of a killed node", since, limit, || no_node_knows(nodes, name))
    })
}

fn no_node_knows(nodes: &mut [Process], name: &str) -> Result<bool> {
    for node in nodes.iter_mut() {
        node.send_line("mesh")?;
    }
    let mut known = false;
    for node in nodes {
        known |= node.read_mesh()?.contains_key(name);
    }
    Ok(!known)
}

/// Prints the measured time, and checks its limit.
fn measured(
    what: &str,
    limit: Duration,
    run: impl FnOnce(Duration) -> Result<Duration>,
) -> Result<()> {
    let took = run(limit + SLACK)?;
    println!(
        "   {what}: {:.0} ms (limit {:.0} ms)",
        took.as_secs_f64() * 1e3,
        limit.as_secs_f64() * 1e3
    );
    if took <= limit {
        Ok(())
    } else {
        Err(format!("{what} took {took:.2?}; the limit is {limit:?}"))
    }
}
