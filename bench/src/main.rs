//! Measures libmeshage beside raw TCP and its peers, in one run; `cargo xtask bench` starts it.
//!
//! ```text
//!  systems (what runs) ─┐                       ┌─► table (standard output)
//!                       ├─► builds ─► run ─► figures ─► JSON
//!  cases (what of it) ──┘    processes in turn  └─► targets · chart · report (docs/bench/)
//! ```
//!
//! It measures nothing itself: the drivers do, in processes of their own (`bench/README.md` has the
//! protocol). Here they are started, let run in turn, and their rounds put together: round 1 of
//! every system, then round 2 of every system, so that whatever else the machine does meanwhile
//! falls on all alike, and ratios hold.

mod builds;
mod cases;
mod chart;
mod figures;
mod machine;
mod options;
mod places;
mod process;
mod report;
mod run;
mod systems;
mod table;
mod targets;

use std::process::ExitCode;

use figures::{Figures, Missing};
use options::Options;
use places::Places;

/// What a step gives, or a sentence that says why not.
type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)).and_then(|options| bench(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("bench: {what}");
            ExitCode::FAILURE
        }
    }
}

fn bench(options: &Options) -> Result<()> {
    let places = Places::find();
    let cases: Vec<_> = cases::ALL.iter().filter(|case| options.wants(case)).collect();
    if cases.is_empty() {
        return Err(format!("no case is called {}", options.only.as_deref().unwrap_or("so")));
    }
    let systems = systems::ALL.iter();
    let systems = systems.filter(|system| cases.iter().any(|case| system.runs(case))).collect();
    let mut figures = Figures::default();
    let systems = builds::all(&places, systems, &mut figures);
    for group in cases.chunk_by(|a, b| a.group == b.group) {
        run::group(&places, options, group, &systems, &mut figures);
    }
    if let Some(file) = &options.json {
        let json = figures.json();
        std::fs::write(file, json).map_err(|error| format!("cannot write {file}: {error}"))?;
    }
    println!("\n{}", table::targets(&figures));
    for Missing { what, why } in &figures.missing {
        println!("missing: {what}: {why}");
    }
    if options.report {
        report::write(&places, options, &systems, &figures)?;
        println!("\nwritten: {}", places.report().display());
    }
    Ok(())
}
