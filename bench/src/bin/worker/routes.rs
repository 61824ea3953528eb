//! Measures how long the routes of a whole mesh take to compute, with the public route table.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::mesh_setup::SyntheticMesh;
use super::protocol::{self, Arguments, Result};
use super::round::{Round, Samples};

/// Computes the routes of the first node repeatedly.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let nodes = arguments.number("nodes", 100)?;
    let parts = if arguments.text("cut") == Some("half") { 2 } else { 1 };
    let mesh = SyntheticMesh::new(nodes, parts)?;
    let reached = mesh.compute().nodes();
    if reached != nodes / parts {
        return Err(format!("{reached} of {nodes} nodes are reachable").into());
    }
    protocol::drive(|limit| Ok(round(&mesh, limit)))
}

fn round(mesh: &SyntheticMesh, limit: Duration) -> Round {
    let mut times = Samples::default();
    let start = Instant::now();
    while start.elapsed() < limit {
        let before = Instant::now();
        let table = black_box(mesh.compute());
        times.push(before.elapsed());
        drop(table);
    }
    times.millis()
}
