//! What a few routers do together.

mod knowing;
mod linking;
mod measured;
mod robust;
mod searching;

use std::time::Duration;

use super::world::{World, config};
use crate::name::NodeName;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn name(text: &str) -> NodeName {
    NodeName::new(text).expect("valid")
}

/// Nodes of degree 0 that were linked as said, and have settled.
fn linked(names: &[&str], links: &[(&str, &str)]) -> World {
    let mut world = World::new(7);
    for name in names {
        world.start(config(name, 0));
    }
    for (a, b) in links {
        world.dial(a, b);
    }
    assert!(world.run_until(secs(8), World::is_whole), "all links come up");
    // Until everybody may announce at once again.
    world.run(secs(3));
    world
}
