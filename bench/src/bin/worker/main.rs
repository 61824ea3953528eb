//! The workers of four systems in one program: our two Rust faces, and raw TCP with and without
//! tokio. `bench/README.md` has the protocol that they speak with the harness.
//!
//! ```text
//!  meshage-bench-worker SYSTEM CASE serve|relay|drive [to=ADDRESS,…] [key=value …]
//!                         │                    │
//!   rust · blocking · raw_tokio · raw_std    stdin: round MS    stdout: ready …, one JSON a round
//! ```
//!
//! A worker is what a careful user would write, with the recommended settings and nothing besides.

mod blocking;
mod count;
mod mesh;
mod protocol;
mod raw;
mod raw_std;
mod raw_tokio;
mod routes;
mod rust;
mod world;

use std::process::ExitCode;

use protocol::{Arguments, Result};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let system = arguments.next().unwrap_or_default();
    match run(&system, arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{system}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(system: &str, arguments: impl Iterator<Item = String>) -> Result<()> {
    let arguments = Arguments::parse(arguments)?;
    match system {
        "meshage-rust" => rust::run(&arguments),
        "meshage-blocking" => blocking::run(&arguments),
        "raw-tokio" => raw_tokio::run(&arguments),
        "raw-std" => raw_std::run(&arguments),
        other => Err(format!("no system {other:?}").into()),
    }
}
