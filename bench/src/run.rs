//! Runs a group of cases: starts the processes of all systems, then runs their rounds in turn.
//!
//! ```text
//!             server ── relay … ── driver        for each system of each case, all started at once
//!  round 1:   raw-tokio, raw-std, zeromq, …      one at a time, while the others are idle
//!  round 2:   …, zeromq, raw-std, raw-tokio      in reverse order
//! ```
//!
//! A system that fails is recorded with the reason, and the other systems continue.

use std::ffi::OsString;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::cases::{Case, Shape, Unit};
use crate::error::Result;
use crate::figures::{Figure, Figures};
use crate::machine;
use crate::options::Options;
use crate::paths::Paths;
use crate::process::{Process, Round};
use crate::systems::System;
use crate::terminal;

/// How long a node has been idle when its memory is measured.
const SETTLE_TIME: Duration = Duration::from_secs(2);

/// One system in one case.
struct Entry<'a> {
    case: &'a Case,
    system: &'static System,
    /// Server, relays and driver, in the order of their start.
    processes: Vec<Process>,
    /// The address of the process that was started last.
    address: Option<String>,
    rounds: Vec<Round>,
    failed: Option<String>,
}

/// Runs the cases of a group with every system that supports them, and prints the figures.
pub(crate) fn run_group(
    paths: &Paths,
    options: &Options,
    cases: &[&'static Case],
    systems: &[&'static System],
    figures: &mut Figures,
) {
    let pairs = cases.iter().flat_map(|case| {
        let runs = systems.iter().filter(|system| options.measures(system, case));
        runs.map(|system| Entry {
            case,
            system,
            processes: Vec::new(),
            address: None,
            rounds: Vec::new(),
            failed: None,
        })
    });
    let mut entries: Vec<Entry<'_>> = pairs.collect();
    if cases.iter().all(|case| matches!(case.shape, Shape::Memory { .. })) {
        measure_memory(paths, options, &mut entries);
    } else {
        start_all(paths, &mut entries);
        run_rounds(options, &mut entries);
        record_peaks(&entries, figures);
        stop_all(&mut entries);
    }
    for entry in entries {
        let (case, system) = (entry.case.name, entry.system.name);
        if let Some(why) = entry.failed {
            figures.add_missing(format!("{case} of {system}"), paths.relative(&why));
        }
        figures.all.extend(Figure::from_rounds(case, system, entry.case.unit, &entry.rounds));
    }
    for case in cases.iter().filter(|case| figures.in_case(case.name).next().is_some()) {
        println!("\n{}", terminal::case_table(case, figures));
    }
}

/// Starts the processes of all entries. All servers start together, then all relays, then all
/// drivers, so that their start-up times overlap.
fn start_all(paths: &Paths, entries: &mut [Entry<'_>]) {
    let stages = entries.iter().map(|entry| entry.stages()).max().unwrap_or(0);
    for stage in 0..stages {
        for entry in &mut *entries {
            entry.attempt(|entry| entry.spawn(paths, stage));
        }
        for entry in &mut *entries {
            if stage < entry.stages() {
                entry.attempt(Entry::await_ready);
            }
        }
    }
}

/// Runs the rounds. Every second round runs in reverse order, so that no system always follows the
/// same one.
fn run_rounds(options: &Options, entries: &mut [Entry<'_>]) {
    for number in 0..options.rounds {
        for entry in &mut *entries {
            entry.attempt(|entry| entry.round(options.round));
        }
        if number + 1 < options.rounds {
            entries.reverse();
        }
    }
    if options.rounds.is_multiple_of(2) {
        entries.reverse();
    }
}

/// Measures memory. Each round measures processes that were started for it.
fn measure_memory(paths: &Paths, options: &Options, entries: &mut [Entry<'_>]) {
    for _ in 0..options.rounds {
        start_all(paths, entries);
        thread::sleep(SETTLE_TIME);
        for entry in &mut *entries {
            entry.attempt(|entry| {
                let server = entry.processes.first().ok_or("no server")?;
                let median = server.size("VmRSS")?;
                entry.rounds.push(Round { median, p99: None, p999: None });
                Ok(())
            });
        }
        stop_all(entries);
    }
}

/// Records the peak size of the largest process of each entry.
fn record_peaks(entries: &[Entry<'_>], figures: &mut Figures) {
    for entry in entries {
        let sizes = entry.processes.iter().filter_map(|process| process.size("VmHWM").ok());
        if let Some(median) = sizes.reduce(f64::max) {
            let (case, peak) =
                (format!("memory@{}", entry.case.name), Round { median, p99: None, p999: None });
            figures.peaks.extend(Figure::from_rounds(
                case,
                entry.system.name,
                Unit::Megabytes,
                &[peak],
            ));
        }
    }
}

/// Stops all processes. It closes the inputs of all of them first, because a node takes time to
/// close.
fn stop_all(entries: &mut [Entry<'_>]) {
    for entry in &mut *entries {
        entry.processes.iter_mut().for_each(Process::close);
    }
    for entry in entries {
        entry.processes.clear();
        entry.address = None;
    }
}

impl Entry<'_> {
    /// Runs a step unless this entry has failed. An error of the step makes the entry fail.
    fn attempt(&mut self, act: impl FnOnce(&mut Self) -> Result<()>) {
        if self.failed.is_some() {
            return;
        }
        if let Err(why) = act(self) {
            println!("failed: {} of {}: {why}", self.case.name, self.system.name);
            self.failed = Some(why);
            self.processes.clear();
        }
    }

    /// The number of processes, which start one after the other.
    fn stages(&self) -> usize {
        match self.case.shape {
            Shape::Driven { relays } => 2 + relays,
            Shape::Memory { with_driver: true } => 2,
            Shape::Memory { with_driver: false } | Shape::DriverOnly => 1,
        }
    }

    /// Starts the process of a stage, if the case has this stage.
    fn spawn(&mut self, paths: &Paths, stage: usize) -> Result<()> {
        if stage >= self.stages() {
            return Ok(());
        }
        let is_last = stage + 1 == self.stages();
        let (role, system) = match (stage, self.case.shape) {
            (0, Shape::DriverOnly) => ("drive", self.system),
            (0, Shape::Driven { .. } | Shape::Memory { .. }) => ("serve", self.system),
            (_, _) if is_last => ("drive", self.system.driver(self.case)),
            (_, _) => ("relay", self.system),
        };
        let mut arguments: Vec<OsString> = Vec::new();
        if self.case.is_pinned() {
            arguments.extend(["taskset".into(), "-c".into(), machine::last_core().into()]);
        }
        arguments.extend(system.command(paths));
        arguments.extend([self.case.base().into(), role.into()]);
        if let Some(address) = &self.address {
            arguments.push(format!("to={address}").into());
        }
        arguments.extend(self.case.keys.iter().map(OsString::from));
        arguments.extend(system.arguments(paths));
        let mut command = Command::new(&arguments[0]);
        // cargo's library search path would find the libraries of another profile first.
        command.args(&arguments[1..]).env_remove("LD_LIBRARY_PATH");
        self.processes.push(Process::spawn(command)?);
        Ok(())
    }

    /// Waits until the process that was started last is ready.
    fn await_ready(&mut self) -> Result<()> {
        let process = self.processes.last_mut().ok_or("no process")?;
        self.address = Some(process.ready()?);
        Ok(())
    }

    /// Makes the driver run a round.
    fn round(&mut self, length: Duration) -> Result<()> {
        let driver = self.processes.last_mut().ok_or("no driver")?;
        self.rounds.push(driver.round(length)?);
        Ok(())
    }
}
