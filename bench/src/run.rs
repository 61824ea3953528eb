//! Runs a group of cases: starts every system's processes, then lets them run in turn.
//!
//! ```text
//!             server ── relay … ── driver        for each system of each case, all at once
//!  round 1:   raw-tokio, raw-std, zeromq, …      one at a time, the others idle
//!  round 2:   …, zeromq, raw-std, raw-tokio      the other way round
//! ```
//!
//! What fails is noted by name, and the rest goes on without it.

use std::ffi::OsString;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::Result;
use crate::cases::{Case, Shape, Unit};
use crate::figures::{Figure, Figures};
use crate::machine;
use crate::options::Options;
use crate::places::Places;
use crate::process::{Process, Round};
use crate::systems::System;
use crate::table;

/// How long a node has been idle when its size is looked at.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// One system in one case.
struct Entry<'a> {
    case: &'a Case,
    system: &'static System,
    /// Server, relays and driver, in the order in which they were started.
    processes: Vec<Process>,
    /// Where the process that was started last is reached.
    address: Option<String>,
    rounds: Vec<Round>,
    failed: Option<String>,
}

/// Runs the cases of a group with every system that knows them, and prints the figures.
pub(crate) fn group(
    places: &Places,
    options: &Options,
    cases: &[&'static Case],
    systems: &[&'static System],
    figures: &mut Figures,
) {
    let pairs = cases.iter().flat_map(|case| {
        let runs = systems.iter().filter(|system| system.runs(case));
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
    if cases.iter().all(|case| matches!(case.shape, Shape::Looked { .. })) {
        look(places, options, &mut entries);
    } else {
        start(places, &mut entries);
        take_turns(options, &mut entries);
        peaks(&entries, figures);
        end(&mut entries);
    }
    for entry in entries {
        let (case, system) = (entry.case.name, entry.system.name);
        if let Some(why) = entry.failed {
            figures.miss(format!("{case} of {system}"), places.relative(&why));
        }
        figures.all.extend(Figure::of(case, system, entry.case.unit, &entry.rounds));
    }
    for case in cases.iter().filter(|case| figures.in_case(case.name).next().is_some()) {
        println!("\n{}", table::case(case, figures));
    }
}

/// Starts the processes of all entries, each kind at once, so that their start-up times overlap.
fn start(places: &Places, entries: &mut [Entry<'_>]) {
    let stages = entries.iter().map(|entry| entry.stages()).max().unwrap_or(0);
    for stage in 0..stages {
        for entry in &mut *entries {
            entry.attempt(|entry| entry.spawn(places, stage));
        }
        for entry in &mut *entries {
            if stage < entry.stages() {
                entry.attempt(Entry::await_ready);
            }
        }
    }
}

/// Every other round goes the other way round, so that nobody always comes after the same one.
fn take_turns(options: &Options, entries: &mut [Entry<'_>]) {
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

/// Sizes: every look is at processes that were started for it.
fn look(places: &Places, options: &Options, entries: &mut [Entry<'_>]) {
    for _ in 0..options.rounds {
        start(places, entries);
        thread::sleep(SETTLED_AFTER);
        for entry in &mut *entries {
            entry.attempt(|entry| {
                let server = entry.processes.first().ok_or("no server")?;
                let median = server.size("VmRSS")?;
                entry.rounds.push(Round { median, p99: None, p999: None });
                Ok(())
            });
        }
        end(entries);
    }
}

/// How large the largest process of each entry became.
fn peaks(entries: &[Entry<'_>], figures: &mut Figures) {
    for entry in entries {
        let sizes = entry.processes.iter().filter_map(|process| process.size("VmHWM").ok());
        if let Some(median) = sizes.reduce(f64::max) {
            let (case, peak) =
                (format!("memory@{}", entry.case.name), Round { median, p99: None, p999: None });
            figures.peaks.extend(Figure::of(case, entry.system.name, Unit::Megabytes, &[peak]));
        }
    }
}

/// Ends all processes: they are all told first, since a node takes its time to close.
fn end(entries: &mut [Entry<'_>]) {
    for entry in &mut *entries {
        entry.processes.iter_mut().for_each(Process::close);
    }
    for entry in entries {
        entry.processes.clear();
        entry.address = None;
    }
}

impl Entry<'_> {
    /// Does something unless this entry has failed; where that fails, so has the entry.
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

    /// How many processes the case has, each started after the one before.
    fn stages(&self) -> usize {
        match self.case.shape {
            Shape::Driven { relays } => 2 + relays,
            Shape::Looked { driven: true } => 2,
            Shape::Looked { driven: false } | Shape::Alone => 1,
        }
    }

    /// Starts the process of a stage, if the case has so many.
    fn spawn(&mut self, places: &Places, stage: usize) -> Result<()> {
        if stage >= self.stages() {
            return Ok(());
        }
        let is_last = stage + 1 == self.stages();
        let (role, system) = match (stage, self.case.shape) {
            (0, Shape::Alone) => ("drive", self.system),
            (0, Shape::Driven { .. } | Shape::Looked { .. }) => ("serve", self.system),
            (_, _) if is_last => ("drive", self.system.driver(self.case)),
            (_, _) => ("relay", self.system),
        };
        let mut words: Vec<OsString> = Vec::new();
        if self.case.is_pinned() {
            words.extend(["taskset".into(), "-c".into(), machine::last_core().into()]);
        }
        words.extend(system.command(places));
        words.extend([self.case.base().into(), role.into()]);
        if let Some(address) = &self.address {
            words.push(format!("to={address}").into());
        }
        words.extend(self.case.keys.iter().map(OsString::from));
        let mut command = Command::new(&words[0]);
        // The search path of cargo would find the libraries of another profile first.
        command.args(&words[1..]).env_remove("LD_LIBRARY_PATH");
        self.processes.push(Process::spawn(command)?);
        Ok(())
    }

    /// Waits until the process that was started last is ready.
    fn await_ready(&mut self) -> Result<()> {
        let process = self.processes.last_mut().ok_or("no process")?;
        self.address = Some(process.ready()?);
        Ok(())
    }

    /// Lets the driver run a round.
    fn round(&mut self, length: Duration) -> Result<()> {
        let driver = self.processes.last_mut().ok_or("no driver")?;
        self.rounds.push(driver.round(length)?);
        Ok(())
    }
}
