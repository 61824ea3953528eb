//! The workers of four systems in one program: the two Rust nodes, and raw TCP with and without
//! tokio. `bench/README.md` describes their protocol with the harness.
//!
//! ```text
//!  meshage-bench-worker SYSTEM CASE serve|relay|drive [to=ADDRESS,…] [key=value …]
//!                         │                    │
//!   asynchronous · blocking · raw_tokio      stdin: round MS    stdout: ready …, one JSON a round
//!   raw_std
//! ```
//!
//! A worker contains what a careful user would write, with the recommended settings and nothing
//! more.

mod asynchronous;
mod blocking;
mod mesh_setup;
mod node_setup;
mod protocol;
mod raw;
mod raw_std;
mod raw_tokio;
mod round;
mod routes;

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
        "meshage-rust" => asynchronous::run(&arguments),
        "meshage-blocking" => blocking::run(&arguments),
        "raw-tokio" => raw_tokio::run(&arguments),
        "raw-std" => raw_std::run(&arguments),
        other => Err(format!("unknown system {other:?}").into()),
    }
}
