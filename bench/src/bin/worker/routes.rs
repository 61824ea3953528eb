//! How long the routes of a whole mesh take to compute: the public route table, in this process.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::count::{Round, Times};
use super::protocol::{self, Arguments, Result};
use super::world::World;

/// Computes the routes of the first node, again and again.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let nodes = arguments.number("nodes", 100)?;
    let parts = if arguments.word("cut") == Some("half") { 2 } else { 1 };
    let world = World::new(nodes, parts)?;
    let reached = world.compute().nodes();
    if reached != nodes / parts {
        return Err(format!("{reached} of {nodes} nodes can be reached").into());
    }
    protocol::drive(|limit| Ok(round(&world, limit)))
}

fn round(world: &World, limit: Duration) -> Round {
    let mut times = Times::default();
    let start = Instant::now();
    while start.elapsed() < limit {
        let begun = Instant::now();
        let table = black_box(world.compute());
        times.push(begun.elapsed());
        drop(table);
    }
    times.millis()
}
