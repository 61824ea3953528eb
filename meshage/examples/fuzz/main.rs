//! Fuzzes every decoder, the deframer, the control plane and the data plane.
//!
//! ```text
//!  corpus ──► input ──► altered copy ──► target ──┬─► panic, slow, too much memory: a finding
//!               ▲                                 │
//!               └──── kept, if it led to new behaviour
//! ```
//!
//! `cargo xtask fuzz` builds and runs it: `--seconds N` in all, `--only TARGET`, `--seed S`,
//! `--replay HEX` (with `--only`), `--list`, `--save` (writes a small corpus of what was found to
//! target/fuzz-findings/). It needs no nightly compiler: the targets themselves
//! tell what behaviour is new (`targets/behaviour.rs`).

#![expect(clippy::disallowed_methods, reason = "it measures real time")]
#![expect(unsafe_code, reason = "an allocator that counts")]

mod campaign;
mod finding;
mod memory;
mod targets;

use std::process::ExitCode;
use std::time::Duration;

use targets::corpus::from_hex;
use targets::{Behaviour, Target};

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// How long a run takes by default.
const SECONDS: u64 = 60;

#[derive(Debug, Default)]
struct Options {
    seconds: Option<u64>,
    only: Option<String>,
    seed: u64,
    replay: Option<String>,
    list: bool,
    save: bool,
}

fn main() -> ExitCode {
    let result = options().and_then(|options| run(&options));
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(found) => {
            eprintln!("fuzz: {found} faults found");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("fuzz: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options, String> {
    let mut options = Options::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--seconds" => options.seconds = Some(number(&value()?)?),
            "--seed" => options.seed = number(&value()?)?,
            "--only" => options.only = Some(value()?),
            "--replay" => options.replay = Some(value()?),
            "--save" => options.save = true,
            "--list" => options.list = true,
            other => return Err(format!("unknown argument {other:?}")),
        }
    }
    Ok(options)
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

/// Returns how many faults were found.
fn run(options: &Options) -> Result<usize, String> {
    let is_wanted = |target: &Target| options.only.as_ref().is_none_or(|only| only == target.name);
    let targets: Vec<Target> = Target::all().filter(is_wanted).collect();
    if targets.is_empty() {
        return Err("there is no target of this name; --list lists them".into());
    }
    if options.list {
        targets.iter().for_each(|target| println!("{}", target.name));
        return Ok(0);
    }
    if let Some(replay) = &options.replay {
        let [target] = targets[..] else { return Err("--replay needs --only TARGET".into()) };
        return replay_input(&target, &from_hex(replay)?);
    }
    finding::keep_panics();
    let seconds = options.seconds.unwrap_or(SECONDS);
    let each = Duration::from_secs(seconds) / targets.len() as u32;
    println!("{} targets, {} s each, seed {}", targets.len(), each.as_secs(), options.seed);
    let run = |target| campaign::run(target, each, options.seed, options.save);
    Ok(targets.iter().map(run).sum())
}

/// Runs one input. A panic is printed with its backtrace, if RUST_BACKTRACE is set.
fn replay_input(target: &Target, input: &[u8]) -> Result<usize, String> {
    let mut behaviour = Behaviour::default();
    let outcome = finding::run(target, input, &mut behaviour);
    println!("{}: {} bytes, {} observations", target.name, input.len(), behaviour.observed().len());
    match outcome {
        Ok(()) => println!("nothing is wrong with it"),
        Err(why) => {
            println!("{}", if why.is_empty() { "it panics" } else { &why });
            return Ok(1);
        }
    }
    Ok(0)
}
