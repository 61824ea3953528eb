//! `cargo xtask demo`: nodes of four languages (three where Go is missing), told nothing of each other but a namespace.
//!
//! They find each other, everybody sends to everybody, one is killed, the mesh closes the gap, the
//! rest send again. Every message is looked for at its receiver: what is missing is counted as lost.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::build::{Language, Programs};
use crate::drawing;
use crate::process::{self, Adjacency, Process, is_one_mesh};
use crate::random;
use crate::shell::Result;

/// Three links each: seven nodes cannot split into two groups that are both content. Eight can, into
/// twice four; then the two find each other and merge.
const DEGREE: u32 = 3;
/// Who takes part.
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
/// Who is killed.
const VICTIM: &str = "c-emil";
/// How long the nodes may take to find each other.
const CONVERGE_MAX: Duration = Duration::from_secs(10);
/// How long a killed node may stay in a table.
const CLOSE_MAX: Duration = Duration::from_secs(5);
/// How long an acknowledged message may take from the receiver's queue to its output.
const ARRIVE_MAX: Duration = Duration::from_secs(3);

/// Builds everything, then runs it.
pub(crate) fn run(root: &Path) -> Result<()> {
    let programs = Programs::build(root)?;
    let there: Vec<_> = NODES.into_iter().filter(|&(_, language)| programs.has(language)).collect();
    let began = Instant::now();
    let namespace = random::namespace("demo");
    let port = random::udp_port()?;
    println!();
    println!("starting {} nodes of degree {DEGREE} in namespace {namespace}", there.len());
    let mut nodes = start(&programs, &there, &namespace, port)?;
    let names: BTreeSet<String> = nodes.iter().map(|node| node.name().to_owned()).collect();
    let mut mesh = Adjacency::new();
    let took = process::until("one mesh", Instant::now(), CONVERGE_MAX, || {
        agree(&mut nodes, &names, &mut mesh)
    })?;
    println!("all know the whole mesh {:.0} ms after the last start\n", milliseconds(took));
    print!("{}", drawing::draw(&mesh));

    let mut count = Count::default();
    println!("\neverybody sends to everybody, one by one, and broadcasts");
    everybody_sends(&mut nodes, "first", &mut count)?;
    println!("{} messages delivered, {} lost", count.delivered, count.lost);

    let at = nodes.iter().position(|node| node.name() == VICTIM).ok_or("no victim")?;
    let mut victim = nodes.remove(at);
    println!("\nkilling {VICTIM} with SIGKILL");
    let killed = Instant::now();
    victim.kill()?;
    let rest: BTreeSet<String> = nodes.iter().map(|node| node.name().to_owned()).collect();
    let gone = process::until("the dead node gone", killed, CLOSE_MAX, || {
        for node in &mut nodes {
            if node.mesh()?.contains_key(VICTIM) {
                return Ok(false);
            }
        }
        Ok(true)
    })?;
    println!("it is out of every table after {:.0} ms", milliseconds(gone));
    let closed = process::until("one mesh again", killed, CONVERGE_MAX, || {
        agree(&mut nodes, &rest, &mut mesh)
    })?;
    println!("the rest is one mesh again after {:.0} ms\n", milliseconds(closed));
    print!("{}", drawing::draw(&mesh));

    println!("\neverybody sends to everybody again");
    everybody_sends(&mut nodes, "second", &mut count)?;
    println!("{} messages delivered, {} lost", count.delivered, count.lost);
    for node in nodes {
        node.end()?;
    }
    println!("\nthe demo took {:.1} s", began.elapsed().as_secs_f64());
    println!(
        "demo: {} nodes, {} messages delivered, {} lost",
        there.len(),
        count.delivered,
        count.lost
    );
    if count.lost == 0 { Ok(()) } else { Err("messages were lost".into()) }
}

#[derive(Default)]
struct Count {
    delivered: usize,
    lost: usize,
}

fn start(
    programs: &Programs,
    there: &[(&str, Language)],
    namespace: &str,
    port: u16,
) -> Result<Vec<Process>> {
    let mut nodes = Vec::new();
    for &(name, language) in there {
        let mut command = programs.command(language);
        command.args([name, namespace, &port.to_string(), &DEGREE.to_string()]);
        nodes.push(Process::spawn(name, command)?);
    }
    for node in &mut nodes {
        node.ready()?;
        println!("  {} listens (process {})", node.name(), node.pid());
    }
    Ok(nodes)
}

/// Whether all know the same mesh, and everybody is in it.
fn agree(nodes: &mut [Process], names: &BTreeSet<String>, mesh: &mut Adjacency) -> Result<bool> {
    let mut first: Option<Adjacency> = None;
    for node in nodes {
        let sees = node.mesh()?;
        if !is_one_mesh(&sees, names) || first.as_ref().is_some_and(|first| *first != sees) {
            return Ok(false);
        }
        first = Some(sees);
    }
    *mesh = first.unwrap_or_default();
    Ok(true)
}

/// Each node sends to each other one, and to all at once; then every message is looked for.
fn everybody_sends(nodes: &mut [Process], round: &str, count: &mut Count) -> Result<()> {
    let names: Vec<String> = nodes.iter().map(|node| node.name().to_owned()).collect();
    let mut reported = 0;
    for node in nodes.iter_mut() {
        let name = node.name().to_owned();
        for other in names.iter().filter(|other| **other != name) {
            node.tell(&format!("set {other} {round} set from {name} to {other}"))?;
        }
        node.tell(&format!("broadcast {round} broadcast from {name}"))?;
    }
    for node in nodes.iter_mut() {
        for _ in 0..names.len() {
            reported += node.sent()?.0;
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
                let got = node.got();
                let ours = got.into_iter().filter(|(source, text)| {
                    wanted(node, text) && sender(text) == source && source != node.name()
                });
                ours.collect::<BTreeSet<_>>().len()
            })
            .sum()
    };
    // An acknowledgement says that a message is in the receiver's queue; printing it follows.
    let _ = process::until("every message", Instant::now(), ARRIVE_MAX, || {
        Ok(arrived(nodes) == expected)
    });
    let arrived = arrived(nodes);
    if reported != arrived {
        println!("{reported} were reported delivered, {arrived} arrived");
    }
    let delivered = arrived.min(reported);
    count.delivered += delivered;
    count.lost += expected - delivered;
    Ok(())
}

/// The node that a message says it is from.
fn sender(text: &str) -> &str {
    text.split(" from ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap_or_default()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
