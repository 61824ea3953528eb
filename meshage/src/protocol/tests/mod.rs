//! What a few routers do together.

mod database;
mod discovery;
mod links;
mod measurements;
mod robustness;

use std::time::Duration;

use super::harness::{Harness, config};
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
fn linked(names: &[&str], links: &[(&str, &str)]) -> Harness {
    let mut harness = Harness::new(7);
    for name in names {
        harness.start(config(name, 0));
    }
    for (a, b) in links {
        harness.dial(a, b);
    }
    assert!(harness.run_until(secs(8), Harness::is_whole), "all links come up");
    // Until everybody may announce at once again.
    harness.run(secs(3));
    harness
}
