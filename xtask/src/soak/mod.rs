//! `cargo xtask soak`: processes in every language send each other messages for a long time, while
//! nodes are killed, stopped, closed and restarted. Every message is checked, and no process may grow.
//!
//! ```text
//!  run ── commands ─► drivers (one process for each node)     ledger: checks of every message
//!   │  ◄── results ──                                         growth: memory, threads, descriptors
//!   └─ forms the mesh ─► faults ─► the mesh heals ─► last round ─► closes all ─► report
//! ```

mod faults;
mod growth;
mod ledger;
mod node;
mod phases;
mod report;
mod run;
mod traffic;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::driver::Drivers;
use crate::random;
use crate::shell::{self, Result};
use crate::usage;

/// How long a soak takes, and with how many processes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// How long faults are caused.
    length: Duration,
    processes: usize,
    seed: u64,
    /// The mean time between two faults.
    fault_interval: Duration,
    /// The time between two bodies of the largest size.
    largest_interval: Duration,
    sample_interval: Duration,
    /// Whether growth is judged. In a short run everything is warm-up.
    judges_growth: bool,
}

impl Plan {
    /// The short form, which is a test.
    pub(crate) fn short() -> Self {
        Self {
            length: Duration::from_secs(20),
            processes: 6,
            seed: random::number(),
            fault_interval: Duration::from_secs(2),
            largest_interval: Duration::from_secs(7),
            sample_interval: Duration::from_millis(500),
            judges_growth: false,
        }
    }

    fn long(minutes: f64) -> Self {
        Self {
            length: Duration::from_secs_f64(minutes * 60.0),
            processes: 16,
            seed: random::number(),
            fault_interval: Duration::from_secs(4),
            largest_interval: Duration::from_secs(15),
            sample_interval: Duration::from_secs(2),
            judges_growth: minutes >= GROWTH_MINUTES_MIN,
        }
    }
}

/// The default length.
const MINUTES: f64 = 30.0;
/// The shortest run in which growth is judged.
const GROWTH_MINUTES_MIN: f64 = 3.0;
/// The fewest and the most processes.
const PROCESSES: std::ops::RangeInclusive<usize> = 3..=64;

/// Builds the drivers, and runs the soak.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let (plan, report) = parse(arguments).map_err(|why| usage::error("soak", &why))?;
    shell::build_releases_quickly();
    let drivers = Drivers::build(root)?;
    soak(&drivers, plan, report.as_deref())
}

/// Runs a soak, prints the report, and writes it into a file.
pub(crate) fn soak(drivers: &Drivers, plan: Plan, file: Option<&Path>) -> Result<()> {
    for (language, because) in drivers.missing() {
        println!("skipped: nodes in {language} because {because}");
    }
    if !growth::Sample::is_available() {
        println!("skipped: memory, descriptors and threads because the system has no /proc");
    }
    let report = run::Soak::new(drivers, plan)?.run()?;
    let text = report.markdown();
    println!("\n{text}");
    if let Some(path) = file {
        std::fs::write(path, &text).map_err(|why| format!("{}: {why}", path.display()))?;
        println!("the report is in {}", path.display());
    }
    match report.problems().len() {
        0 => Ok(()),
        1 => Err(format!("the soak found a problem: {}", report.problems()[0])),
        count => Err(format!("the soak found {count} problems: {}", report.problems()[0])),
    }
}

fn parse(arguments: &[String]) -> Result<(Plan, Option<PathBuf>)> {
    let mut plan = Plan::long(MINUTES);
    let mut report = None;
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let Some(option) = OPTIONS.iter().find(|option| *option == argument) else {
            return Err(format!("unknown argument {argument:?}"));
        };
        let value = arguments.next().ok_or(format!("{option} needs a value"))?;
        let invalid = || format!("{option} {value} is not valid");
        match *option {
            "--minutes" => {
                let minutes: f64 = value.parse().map_err(|_| invalid())?;
                if !(0.1..=10_000.0).contains(&minutes) {
                    return Err(invalid());
                }
                let (processes, seed) = (plan.processes, plan.seed);
                plan = Plan { processes, seed, ..Plan::long(minutes) };
            }
            "--processes" => {
                plan.processes = value.parse().map_err(|_| invalid())?;
                if !PROCESSES.contains(&plan.processes) {
                    return Err(invalid());
                }
            }
            "--seed" => plan.seed = value.parse().map_err(|_| invalid())?,
            _ => report = Some(PathBuf::from(value)),
        }
    }
    Ok((plan, report))
}

const OPTIONS: [&str; 4] = ["--minutes", "--processes", "--seed", "--report"];

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<(Plan, Option<PathBuf>)> {
        parse(&arguments.iter().map(|&argument| argument.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_options_may_come_in_any_order() {
        let (plan, report) =
            parsed(&["--processes", "5", "--seed", "7", "--minutes", "2", "--report", "r.md"])
                .expect("valid");
        assert_eq!((plan.processes, plan.seed), (5, 7));
        assert_eq!((plan.length, plan.judges_growth), (Duration::from_secs(120), false));
        assert_eq!(report, Some(PathBuf::from("r.md")));
    }

    #[test]
    fn unknown_options_and_values_out_of_range_are_refused() {
        for arguments in [
            &["--what", "1"][..],
            &["--minutes"],
            &["--minutes", "0"],
            &["--minutes", "NaN"],
            &["--processes", "2"],
            &["--seed", "x"],
        ] {
            assert!(parsed(arguments).is_err(), "{arguments:?}");
        }
    }
}
