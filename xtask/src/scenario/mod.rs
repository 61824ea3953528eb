//! Tests with whole processes: what the mesh must show from outside, timed with a wall clock.
//!
//! A limit is the project's promise. A loaded machine can be slow by itself, so a scenario has
//! [`TRIES`] tries; every figure is printed, and it fails when none of the tries kept the promise.

mod eight;
mod islands;
mod many;
mod netns;
mod relay;

use std::collections::BTreeSet;
use std::path::Path;

use crate::build::Programs;
use crate::process::{Adjacency, Process, is_one_mesh};
use crate::shell::Result;
use crate::tally::Tally;

/// How often a scenario is tried.
const TRIES: usize = 3;

/// Runs them all.
pub(crate) fn run(root: &Path, programs: &Programs, tally: &mut Tally) {
    scenario(tally, "eight processes of three languages, degree 3", || eight::run(programs));
    scenario(tally, "numbered messages each way through a relay", || relay::run(root));
    match netns::why_not() {
        Some(because) => {
            tally.skip("32 nodes in network namespaces", &because);
            tally.skip("two full groups that merge", &because);
        }
        None => {
            scenario(tally, "32 nodes in network namespaces, degree 3", || many::run(programs));
            scenario(tally, "two full groups that merge", || islands::run(programs));
        }
    }
}

/// One scenario, up to [`TRIES`] times.
fn scenario(tally: &mut Tally, what: &str, run: impl Fn() -> Result<()>) {
    tally.check(what, || {
        let mut last = String::new();
        for attempt in 1..=TRIES {
            match run() {
                Ok(()) => return Ok(()),
                Err(why) => {
                    println!("   try {attempt} of {TRIES}: {why}");
                    last = why;
                }
            }
        }
        Err(last)
    });
}

/// Whether every node knows the same mesh, and everybody is in it; where so, the mesh.
fn agreed(nodes: &mut [Process], names: &BTreeSet<String>) -> Result<Option<Adjacency>> {
    let mut first: Option<Adjacency> = None;
    // All are asked first, so that they answer side by side.
    for node in nodes.iter_mut() {
        node.tell("mesh")?;
    }
    let mut agree = true;
    for node in nodes {
        let sees = node.mesh_answer()?;
        agree &= is_one_mesh(&sees, names);
        agree &= first.as_ref().is_none_or(|first| *first == sees);
        first = Some(sees);
    }
    Ok(first.filter(|_| agree))
}

/// The names of processes.
fn names(nodes: &[Process]) -> BTreeSet<String> {
    nodes.iter().map(|node| node.name().to_owned()).collect()
}
