//! `cargo xtask demo`: nodes in four languages (three if Go is not installed), which share only a
//! namespace.
//!
//! The nodes find each other, and each sends to all others. One node is killed, the mesh closes the
//! gap, and the remaining nodes send again. The demo checks every message at its recipient, and counts
//! a missing message as lost. With `--closed` the nodes have a key, which is made for this run.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::agreement::{agreed, names};
use crate::build::{Language, Programs};
use crate::drawing;
use crate::process::{self, Adjacency, Process};
use crate::random;
use crate::shell::Result;
use crate::temp_folder::TempFolder;
use crate::usage;

/// The links of each node. With three, seven nodes cannot split into two groups that both have enough
/// links. Eight nodes can split into two groups of four, which then find each other and merge.
const DEGREE: u32 = 3;
/// The nodes.
const NODES: [(&str, Language); 8] = [
    ("rust-ada", Language::Rust),
    ("rust-bob", Language::Rust),
    ("rust-cid", Language::Rust),
    ("c-dora", Language::C),
    ("c-emil", Language::C),
    ("py-fay", Language::Python),
    ("py-gus", Language::Python),
    ("go-hana", Language::Go),
];
/// The node that is killed.
const VICTIM: &str = "c-emil";
/// The time limit for the nodes to find each other.
const CONVERGE_MAX: Duration = Duration::from_secs(10);
/// The time limit for a killed node to leave every table.
const REMOVAL_MAX: Duration = Duration::from_secs(5);
/// The time limit for an acknowledged message to get from the recipient's queue to its output.
const PRINT_MAX: Duration = Duration::from_secs(3);

/// The variable that tells a node where its keys are.
const KEY_FILE: &str = "MESHAGE_KEY_FILE";

/// Builds the programs, then runs the demo.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let closed = match arguments {
        [] => false,
        [option] if option == "--closed" => true,
        [first, ..] => return Err(usage::error("demo", &format!("unknown argument {first:?}"))),
    };
    let folder = TempFolder::new("demo")?;
    let key_file = closed.then(|| write_key(folder.path())).transpose()?;
    let programs = Programs::build(root)?;
    let members: Vec<_> =
        NODES.into_iter().filter(|&(_, language)| programs.has(language)).collect();
    let start_time = Instant::now();
    let namespace = random::namespace("demo");
    let port = random::udp_port()?;
    println!();
    let kind = if closed { "closed nodes" } else { "nodes" };
    println!("starting {} {kind} of degree {DEGREE} in namespace {namespace}", members.len());
    let mut nodes = start(&programs, &members, &namespace, port, key_file.as_deref())?;
    let all = names(&nodes);
    let mut mesh = Adjacency::new();
    let took = process::wait_until("one mesh", Instant::now(), CONVERGE_MAX, || {
        Ok(agreed(&mut nodes, &all)?.map(|agreed| mesh = agreed).is_some())
    })?;
    println!("all nodes know the whole mesh {:.0} ms after the last start\n", milliseconds(took));
    print!("{}", drawing::draw(&mesh));

    let mut count = Count::default();
    println!("\neach node sends to every other node, and broadcasts");
    send_to_all(&mut nodes, "first", &mut count)?;
    println!("{} messages delivered, {} lost", count.delivered, count.lost);

    let at = nodes
        .iter()
        .position(|node| node.name() == VICTIM)
        .ok_or("the node to kill does not exist")?;
    let mut victim = nodes.remove(at);
    println!("\nkilling {VICTIM} with SIGKILL");
    let killed = Instant::now();
    victim.kill()?;
    let remaining = names(&nodes);
    let removed = process::wait_until("the removal of the dead node", killed, REMOVAL_MAX, || {
        for node in &mut nodes {
            if node.mesh()?.contains_key(VICTIM) {
                return Ok(false);
            }
        }
        Ok(true)
    })?;
    println!("no table contains it after {:.0} ms", milliseconds(removed));
    let reformed = process::wait_until("one mesh again", killed, CONVERGE_MAX, || {
        Ok(agreed(&mut nodes, &remaining)?.map(|agreed| mesh = agreed).is_some())
    })?;
    println!("the other nodes form one mesh again after {:.0} ms\n", milliseconds(reformed));
    print!("{}", drawing::draw(&mesh));

    println!("\neach node sends to every other node again");
    send_to_all(&mut nodes, "second", &mut count)?;
    println!("{} messages delivered, {} lost", count.delivered, count.lost);
    for node in nodes {
        node.stop()?;
    }
    println!("\nthe demo took {:.1} s", start_time.elapsed().as_secs_f64());
    println!(
        "demo: {} nodes, {} messages delivered, {} lost",
        members.len(),
        count.delivered,
        count.lost
    );
    if count.lost == 0 { Ok(()) } else { Err("messages were lost".into()) }
}

/// Writes a key for this run into a file that only its owner may read.
fn write_key(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("mesh.key");
    let key: String = (0..4).map(|_| format!("{:016x}", random::number())).collect();
    std::fs::write(&path, key).map_err(|error| format!("{}: {error}", path.display()))?;
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&path, private)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

#[derive(Default)]
struct Count {
    delivered: usize,
    lost: usize,
}

fn start(
    programs: &Programs,
    members: &[(&str, Language)],
    namespace: &str,
    port: u16,
    key_file: Option<&Path>,
) -> Result<Vec<Process>> {
    let mut nodes = Vec::new();
    for &(name, language) in members {
        let mut command = programs.command(language);
        command.args([name, namespace, &port.to_string(), &DEGREE.to_string()]);
        command.env_remove(KEY_FILE);
        if let Some(path) = key_file {
            command.env(KEY_FILE, path);
        }
        nodes.push(Process::spawn(name, command)?);
    }
    for node in &mut nodes {
        node.wait_until_ready()?;
        println!("  {} is listening (process {})", node.name(), node.pid());
    }
    Ok(nodes)
}

/// Each node sends to every other node, and broadcasts. Then every message is checked.
fn send_to_all(nodes: &mut [Process], round: &str, count: &mut Count) -> Result<()> {
    let names: Vec<String> = nodes.iter().map(|node| node.name().to_owned()).collect();
    let mut reported = 0;
    for node in nodes.iter_mut() {
        let name = node.name().to_owned();
        for other in names.iter().filter(|other| **other != name) {
            node.send_line(&format!("set {other} {round} set from {name} to {other}"))?;
        }
        node.send_line(&format!("broadcast {round} broadcast from {name}"))?;
    }
    for node in nodes.iter_mut() {
        for _ in 0..names.len() {
            reported += node.read_outcome()?.0;
        }
    }
    let expected = names.len() * (names.len() - 1) * 2;
    let arrived = |nodes: &[Process]| -> usize {
        let wanted = |node: &Process, text: &str| {
            text == format!("{round} set from {} to {}", sender(text), node.name())
                || text == format!("{round} broadcast from {}", sender(text))
        };
        nodes
            .iter()
            .map(|node| {
                let got = node.received();
                let ours = got.into_iter().filter(|(source, text)| {
                    wanted(node, text) && sender(text) == source && source != node.name()
                });
                ours.collect::<BTreeSet<_>>().len()
            })
            .sum()
    };
    // An acknowledged message is in the recipient's queue. The recipient prints it later.
    let _ = process::wait_until("every message", Instant::now(), PRINT_MAX, || {
        Ok(arrived(nodes) == expected)
    });
    let arrived = arrived(nodes);
    if reported != arrived {
        println!("{reported} messages were reported as delivered, {arrived} arrived");
    }
    let delivered = arrived.min(reported);
    count.delivered += delivered;
    count.lost += expected - delivered;
    Ok(())
}

/// The sender that the text of a message names.
fn sender(text: &str) -> &str {
    text.split(" from ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap_or_default()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
