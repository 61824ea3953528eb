//! Measures libmeshage beside raw TCP and its peers, in one run; `cargo xtask bench` starts it.
//!
//! ```text
//!  systems (the programs) ──┐                      ┌─► terminal (standard output)
//!                           ├─► build ─► run ─► figures ─► JSON
//!  cases (the measurements) ┘    rounds in turn    └─► targets · chart · report (docs/bench/)
//! ```
//!
//! This program measures nothing itself. The drivers measure, in separate processes
//! (`bench/README.md` describes the protocol). This program starts them, runs their rounds in turn
//! and combines the results. It runs round 1 of every system, then round 2 of every system. Other
//! load on the machine then affects all systems alike, and the ratios remain valid.

mod artifact;
mod build;
mod cases;
mod chart;
mod error;
mod figures;
mod format;
mod machine;
mod options;
mod paths;
mod process;
mod report;
mod run;
mod systems;
mod targets;
mod terminal;

use std::process::ExitCode;

use error::Result;
use figures::{Figures, Missing};
use options::Options;
use paths::Paths;

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)).and_then(|options| bench(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(options: &Options) -> Result<()> {
    let paths = Paths::find();
    let cases: Vec<_> = cases::ALL.iter().filter(|case| options.selects(case)).collect();
    if cases.is_empty() {
        let prefix = options.only.as_deref().unwrap_or_default();
        return Err(format!("no case has a name that starts with {prefix:?}"));
    }
    let systems = systems::ALL.iter();
    let systems =
        systems.filter(|system| cases.iter().any(|case| options.measures(system, case))).collect();
    let mut figures = Figures::default();
    let systems = build::build_all(&paths, systems, &mut figures);
    for group in cases.chunk_by(|a, b| a.group == b.group) {
        run::run_group(&paths, options, group, &systems, &mut figures);
    }
    if let Some(file) = &options.json {
        let json = figures.json();
        std::fs::write(file, json).map_err(|error| format!("cannot write {file}: {error}"))?;
    }
    if options.closed {
        println!("\n{}", terminal::cost_table(&systems, &figures));
    }
    println!("\n{}", terminal::target_table(&figures));
    for Missing { what, why } in &figures.missing {
        println!("not measured: {what}: {why}");
    }
    if options.report && options.closed {
        let file = report::write_closed(&paths, options, &systems, &figures)?;
        println!("\nwritten: {}", file.display());
    } else if options.report {
        report::write(&paths, options, &systems, &figures)?;
        println!("\nwritten: {}", paths.report_folder().display());
    }
    Ok(())
}
