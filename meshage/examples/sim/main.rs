//! The simulator's command line. It runs many seeds and prints a summary line, or one seed and
//! prints a report.
//!
//! ```text
//! cargo run --release -p meshage --features sim --example sim -- --seeds 300 --nodes 3..32 --chaos
//! cargo run --release -p meshage --features sim --example sim -- --seed 17 --nodes 9 --chaos --trace
//! cargo run --release -p meshage --features sim --example sim -- --targets
//! ```
#![allow(clippy::disallowed_methods, reason = "it prints the elapsed time")]

mod planted;
mod scale;

use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::time::Instant;

use meshage::sim::{
    Campaign, DEGREE, InvariantViolation, Keys, Mistake, Scale, SimOptions, options_of, run_many,
    run_one,
};

/// How much of a violation is printed: a screen.
const SCREEN_BYTES: usize = 1600;

/// The degree of the meshes whose targets are measured.
const TARGETS_DEGREE: u32 = 4;

const USAGE: &str = "\
usage: sim [--seeds COUNT | --seed SEED] [--nodes N | --nodes LEAST..MOST] [--degree D] [--chaos]
           [--closed | --mixed] [--liars] [--first SEED] [--threads N] [--trace]
       sim --targets [--nodes N] [--degree D] [--seed SEED] [--report]
       sim --planted [NAME] [--seeds COUNT] [--threads N] [--report]
       sim --planted NAME --seed SEED [--trace]

  --seeds COUNT   run this many seeds and print a summary line
  --seed SEED     run one seed, exactly reproducible, and print its report
  --nodes         the number of nodes, or an inclusive range from which each seed chooses one
  --degree D      the degree of each node; default: 2, 3 or 4 for many seeds, 3 for one seed
  --chaos         inject faults: nodes are killed, stopped or lose power; networks are cut,
                  slow or partitioned
  --closed        all nodes have a key, which is rotated (with --chaos among the faults, too)
  --mixed         some nodes are open, and others have one of two keys, or both
  --liars         let some nodes forge frames in the names of others
  --first SEED    the first of many seeds (default 1)
  --threads N     how many simulations run in parallel (default: one per core)
  --trace         print every event of one run
  --targets       measure the design's targets, with 1,000 nodes of degree 4 by default; takes some
                  minutes. --report: at 32, 100, 320 … nodes up to --nodes, and write docs/scale.md
  --planted       plant mistakes in the core, and print how many seeds it takes to find each: all
                  of them or, with NAME or --only NAME, one; at most 1,000 seeds by default
  --report        write the table of the planted mistakes to docs/planted.md";

/// The most seeds that look for a planted mistake by default.
const PLANTED_SEEDS: u64 = 1000;
/// The number of seeds of a campaign by default.
const CAMPAIGN_SEEDS: u64 = 300;

struct Arguments {
    seeds: Option<u64>,
    seed: Option<u64>,
    first: u64,
    nodes: Option<RangeInclusive<usize>>,
    degree: Option<u32>,
    chaos: bool,
    keys: Keys,
    liars: bool,
    threads: usize,
    trace: bool,
    targets: bool,
    planted: bool,
    only: Option<Mistake>,
    report: bool,
}

fn number<T: std::str::FromStr>(flag: &str, value: Option<String>) -> Result<T, String> {
    let value = value.ok_or_else(|| format!("{flag} needs a number"))?;
    value.parse().map_err(|_| format!("{flag} needs a number, not {value:?}"))
}

fn range(value: Option<String>) -> Result<RangeInclusive<usize>, String> {
    let value = value.ok_or("--nodes needs a number or a range")?;
    let (least, most) = value.split_once("..").unwrap_or((&value, &value));
    let least = number("--nodes", Some(least.into()))?;
    let most = number("--nodes", Some(most.trim_start_matches('=').into()))?;
    if least == 0 || least > most {
        return Err(format!(
            "--nodes needs a number from 1, or a range in ascending order, not {value:?}"
        ));
    }
    Ok(least..=most)
}

fn arguments() -> Result<Arguments, String> {
    let mut arguments = Arguments {
        seeds: None,
        seed: None,
        first: 1,
        nodes: None,
        degree: None,
        chaos: false,
        keys: Keys::Open,
        liars: false,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        trace: false,
        targets: false,
        planted: false,
        only: None,
        report: false,
    };
    let mut flags = std::env::args().skip(1).peekable();
    while let Some(flag) = flags.next() {
        match flag.as_str() {
            "--seeds" => arguments.seeds = Some(number(&flag, flags.next())?),
            "--seed" => arguments.seed = Some(number(&flag, flags.next())?),
            "--first" => arguments.first = number(&flag, flags.next())?,
            "--nodes" => arguments.nodes = Some(range(flags.next())?),
            "--degree" => arguments.degree = Some(number(&flag, flags.next())?),
            "--chaos" => arguments.chaos = true,
            "--closed" => arguments.keys = Keys::Closed,
            "--mixed" => arguments.keys = Keys::Mixed,
            "--liars" => arguments.liars = true,
            "--threads" => arguments.threads = number(&flag, flags.next())?,
            "--trace" => arguments.trace = true,
            "--targets" => arguments.targets = true,
            "--planted" => {
                arguments.planted = true;
                if let Some(name) = flags.next_if(|next| !next.starts_with("--")) {
                    arguments.only = Some(mistake(&name)?);
                }
            }
            "--only" => {
                arguments.only = Some(mistake(&flags.next().unwrap_or_default())?);
            }
            "--report" => arguments.report = true,
            other => return Err(format!("unknown flag {other:?}\n{USAGE}")),
        }
    }
    if !arguments.planted && arguments.only.is_some() {
        return Err("--only belongs to --planted".into());
    }
    if !arguments.planted && !arguments.targets && arguments.report {
        return Err("--report belongs to --planted or --targets".into());
    }
    if arguments.planted && arguments.seed.is_some() && arguments.only.is_none() {
        return Err("--planted with --seed needs the name of a mistake".into());
    }
    if arguments.report && arguments.only.is_some() {
        return Err("--report needs all planted mistakes, not one".into());
    }
    Ok(arguments)
}

fn mistake(name: &str) -> Result<Mistake, String> {
    Mistake::named(name).ok_or_else(|| {
        let names: Vec<String> = Mistake::ALL.iter().map(ToString::to_string).collect();
        format!("no mistake is called {name:?}; they are: {}", names.join(", "))
    })
}

fn nodes_max(arguments: &Arguments, default: usize) -> usize {
    arguments.nodes.as_ref().map_or(default, |nodes| *nodes.end())
}

fn targets(arguments: &Arguments) -> ExitCode {
    let scale = Scale {
        nodes: nodes_max(arguments, 1000),
        degree: arguments.degree.unwrap_or(TARGETS_DEGREE),
        seed: arguments.seed.unwrap_or(1),
    };
    scale::run(scale, arguments.report)
}

/// Prints a violation, but no more than a screen of it. The whole text is then in a file.
fn report(violation: &InvariantViolation) {
    let what = &violation.what;
    if what.len() <= SCREEN_BYTES {
        println!("{violation}");
        return;
    }
    let file = std::env::temp_dir().join(format!("meshage-sim-{}.txt", violation.options.seed));
    let rest = match std::fs::write(&file, what) {
        Ok(()) => format!("… ({} bytes, all of them in {})", what.len(), file.display()),
        Err(error) => format!("… ({} bytes; cannot write {}: {error})", what.len(), file.display()),
    };
    let start: String = what.chars().take(SCREEN_BYTES).collect();
    let shown = InvariantViolation { what: start + &rest, ..violation.clone() };
    println!("{shown}");
}

fn one(seed: u64, arguments: &Arguments) -> ExitCode {
    let options = SimOptions {
        seed,
        nodes: nodes_max(arguments, 32),
        degree: arguments.degree.unwrap_or(DEGREE),
        chaos: arguments.chaos,
        keys: arguments.keys,
        liars: arguments.liars,
        trace: arguments.trace,
        planted: None,
    };
    let options = match arguments.only {
        Some(mistake) => SimOptions { trace: arguments.trace, ..options_of(mistake, seed) },
        None => options,
    };
    match run_one(options) {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            report(&violation);
            ExitCode::FAILURE
        }
    }
}

fn many(arguments: &Arguments) -> ExitCode {
    let campaign = Campaign {
        seeds: arguments.first..arguments.first + arguments.seeds.unwrap_or(CAMPAIGN_SEEDS),
        nodes: arguments.nodes.clone().unwrap_or(3..=32),
        degree: arguments.degree,
        chaos: arguments.chaos,
        keys: arguments.keys,
        liars: arguments.liars,
        threads: arguments.threads,
    };
    let start = Instant::now();
    let result = run_many(&campaign, |result| {
        if let Err(violation) = result {
            report(violation);
        }
    });
    println!("{result}, {:.1} s", start.elapsed().as_secs_f64());
    if result.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn main() -> ExitCode {
    match arguments() {
        Ok(arguments) if arguments.targets => targets(&arguments),
        Ok(arguments) => match arguments.seed {
            Some(seed) => one(seed, &arguments),
            None if arguments.planted => {
                let Arguments { only, seeds, threads, report, .. } = arguments;
                planted::run(only, seeds.unwrap_or(PLANTED_SEEDS), threads, report)
            }
            None => many(&arguments),
        },
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
