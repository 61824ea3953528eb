//! The simulator's command line: many seeds with one line of figures, or one seed with a report.
//!
//! ```text
//! cargo run --release -p meshage --features sim --example sim -- --seeds 300 --nodes 3..32 --chaos
//! cargo run --release -p meshage --features sim --example sim -- --seed 17 --nodes 9 --chaos --trace
//! cargo run --release -p meshage --features sim --example sim -- --targets
//! ```
#![allow(clippy::disallowed_methods, reason = "it says how long it took")]

use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::time::Instant;

use meshage::sim::{Campaign, DEGREE, SimOptions, Target, measure, run_many, run_one};

const USAGE: &str = "\
usage: sim [--seeds COUNT | --seed SEED] [--nodes N | --nodes LEAST..MOST] [--degree D] [--chaos]
           [--first SEED] [--threads N] [--trace]
       sim --targets [--nodes N] [--seed SEED]

  --seeds COUNT   run that many seeds; ends with one line of figures
  --seed SEED     run one seed, to the byte as before, and print its report
  --nodes         how many nodes: one number, or a range of which each seed picks (both ends count)
  --degree D      how many links each node wants; without it many seeds pick 2, 3 or 4, one takes 3
  --chaos         with faults: killed, stopped and unpowered nodes, cut, slow and parted networks
  --first SEED    the first of many seeds (default 1)
  --threads N     how many run side by side (default: one per core)
  --trace         print every event of one run
  --targets       measure what the design asks of a mesh, with 1,000 nodes unless told otherwise;
                  takes some minutes";

struct Arguments {
    seeds: u64,
    seed: Option<u64>,
    first: u64,
    nodes: Option<RangeInclusive<usize>>,
    degree: Option<u32>,
    chaos: bool,
    threads: usize,
    trace: bool,
    targets: bool,
}

fn number<T: std::str::FromStr>(flag: &str, value: Option<String>) -> Result<T, String> {
    let value = value.ok_or_else(|| format!("{flag} wants a number"))?;
    value.parse().map_err(|_| format!("{flag} wants a number, not {value:?}"))
}

fn range(value: Option<String>) -> Result<RangeInclusive<usize>, String> {
    let value = value.ok_or("--nodes wants a number or a range")?;
    let (least, most) = value.split_once("..").unwrap_or((&value, &value));
    let least = number("--nodes", Some(least.into()))?;
    let most = number("--nodes", Some(most.trim_start_matches('=').into()))?;
    if least == 0 || least > most {
        return Err(format!("--nodes wants at least one node and the lesser first, not {value:?}"));
    }
    Ok(least..=most)
}

fn arguments() -> Result<Arguments, String> {
    let mut found = Arguments {
        seeds: 300,
        seed: None,
        first: 1,
        nodes: None,
        degree: None,
        chaos: false,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        trace: false,
        targets: false,
    };
    let mut given = std::env::args().skip(1);
    while let Some(flag) = given.next() {
        match flag.as_str() {
            "--seeds" => found.seeds = number(&flag, given.next())?,
            "--seed" => found.seed = Some(number(&flag, given.next())?),
            "--first" => found.first = number(&flag, given.next())?,
            "--nodes" => found.nodes = Some(range(given.next())?),
            "--degree" => found.degree = Some(number(&flag, given.next())?),
            "--chaos" => found.chaos = true,
            "--threads" => found.threads = number(&flag, given.next())?,
            "--trace" => found.trace = true,
            "--targets" => found.targets = true,
            other => return Err(format!("{other:?} is none of the flags\n{USAGE}")),
        }
    }
    Ok(found)
}

fn most(arguments: &Arguments, otherwise: usize) -> usize {
    arguments.nodes.as_ref().map_or(otherwise, |nodes| *nodes.end())
}

fn targets(arguments: &Arguments) -> ExitCode {
    let began = Instant::now();
    let seed = arguments.seed.unwrap_or(1);
    let found = measure(most(arguments, 1000), seed, |target| println!("{target}"));
    let met = found.iter().filter(|target| target.is_met()).count();
    println!("sim: {met} of {} targets met, {:.1} s", found.len(), began.elapsed().as_secs_f64());
    if found.iter().all(Target::is_met) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(seed: u64, arguments: &Arguments) -> ExitCode {
    let options = SimOptions {
        seed,
        nodes: most(arguments, 32),
        degree: arguments.degree.unwrap_or(DEGREE),
        chaos: arguments.chaos,
        trace: arguments.trace,
    };
    match run_one(options) {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(broken) => {
            println!("{broken}");
            ExitCode::FAILURE
        }
    }
}

fn many(arguments: &Arguments) -> ExitCode {
    let campaign = Campaign {
        seeds: arguments.first..arguments.first + arguments.seeds,
        nodes: arguments.nodes.clone().unwrap_or(3..=32),
        degree: arguments.degree,
        chaos: arguments.chaos,
        threads: arguments.threads,
    };
    let began = Instant::now();
    let tally = run_many(&campaign, |result| {
        if let Err(broken) = result {
            println!("{broken}");
        }
    });
    println!("{tally}, {:.1} s", began.elapsed().as_secs_f64());
    if tally.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn main() -> ExitCode {
    match arguments() {
        Ok(arguments) if arguments.targets => targets(&arguments),
        Ok(arguments) => match arguments.seed {
            Some(seed) => one(seed, &arguments),
            None => many(&arguments),
        },
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
