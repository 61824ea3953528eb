//! Tests of several routers together.

mod comparison;
mod database;
mod discovery;
mod flooding;
mod harness;
mod links;
mod measurements;
mod membership;
mod names;
mod robustness;

use std::time::Duration;

use crate::name::NodeName;
use harness::{Harness, config};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn name(text: &str) -> NodeName {
    NodeName::new(text).expect("valid")
}

/// Nodes of degree 0 with the given links, in a steady state.
fn linked(names: &[&str], links: &[(&str, &str)]) -> Harness {
    let mut harness = Harness::new(7);
    for name in names {
        harness.start(config(name, 0));
    }
    for (a, b) in links {
        harness.dial(a, b);
    }
    assert!(harness.run_until(secs(8), Harness::is_complete), "all links come up");
    // Until every node may announce without delay again.
    harness.run(secs(3));
    harness
}
