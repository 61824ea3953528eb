//! Tests with whole processes: the observable behaviour of a mesh, timed with a wall clock.
//!
//! A time limit is a promise of the project. A loaded machine can be slow, so a scenario has
//! [`ATTEMPTS`] attempts. It prints every measured time, and fails if no attempt keeps the limits.

mod eight;
mod islands;
mod jobs;
mod many;
pub(crate) mod netns;
mod networks;
mod relay;

use std::path::Path;

use crate::build::Programs;
use crate::driver::Drivers;
use crate::networks as networks_under_faults;
use crate::shell::Result;
use crate::soak;
use crate::tally::Tally;

/// The number of attempts of a scenario.
const ATTEMPTS: usize = 3;

/// Runs all scenarios.
pub(crate) fn run(root: &Path, programs: &Programs, tally: &mut Tally) {
    scenario(tally, "eight processes in three languages form one mesh of degree 3", || {
        eight::run(programs)
    });
    scenario(
        tally,
        "numbered messages cross a relay in both directions, in order and without loss",
        || relay::run(root),
    );
    scenario(tally, "a job queue loses no job when workers are killed", || {
        jobs::run(root, programs)
    });
    short_soak(root, tally);
    match netns::unavailable_reason() {
        Some(because) => {
            tally.skip("32 nodes in network namespaces", &because);
            tally.skip("the merge of two full groups", &because);
            for (what, _) in networks::ALL {
                tally.skip(what, &because);
            }
        }
        None => {
            scenario(tally, "32 nodes in network namespaces form one mesh of degree 3", || {
                many::run(programs)
            });
            scenario(tally, "two full groups merge", || islands::run(programs));
            for (what, run) in networks::ALL {
                scenario(tally, what, || run(programs));
            }
        }
    }
    networks_under_faults::test(root, tally);
}

/// The short form of `cargo xtask soak`.
fn short_soak(root: &Path, tally: &mut Tally) {
    let what = "a short soak: six processes with faults violate no promise about messages";
    let mut drivers = None;
    let built = tally.check("the drivers for the soak build", || {
        drivers = Some(Drivers::build(root)?);
        Ok(())
    });
    match &drivers {
        Some(drivers) if built => {
            tally.check(what, || soak::soak(drivers, soak::Plan::short(), None));
        }
        Some(_) | None => tally.skip(what, "the drivers were not built"),
    }
}

/// Runs one scenario, up to [`ATTEMPTS`] times.
fn scenario(tally: &mut Tally, what: &str, run: impl Fn() -> Result<()>) {
    tally.check(what, || {
        let mut last = String::new();
        for attempt in 1..=ATTEMPTS {
            match run() {
                Ok(()) => return Ok(()),
                Err(why) => {
                    println!("   attempt {attempt} of {ATTEMPTS} failed: {why}");
                    last = why;
                }
            }
        }
        Err(last)
    });
}
