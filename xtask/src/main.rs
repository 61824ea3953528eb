//! Every developer command of the project: `cargo xtask help` lists them.
//!
//! A command is a file of its own. Nothing here needs more than Rust, a C compiler and Python; what
//! a command needs besides, it sets up under `target/`, or says that it skips the part and why.
//!
//! ```text
//!  main ─► demo · test · verify · fix · sim · bench · install · wheel · readme · header · abi · help
//!            │      │      │
//!            │      │      └─ purity · pages (what the source and the documents must hold to)
//!            │      └─ tally (counts of all runners) · scenario/ (whole processes)
//!            └─ build (library, C programs, wheel) · process (a node program) · drawing
//! ```

mod abi;
mod bench;
mod build;
mod demo;
mod drawing;
mod fix;
mod go;
mod greeting;
mod header;
mod install;
mod outside;
mod packages;
mod pages;
mod process;
mod purity;
mod python;
mod random;
mod readme;
mod scenario;
mod shell;
mod sim;
mod tally;
mod test;
mod verify;
mod wheel;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <command>

  demo      nodes in Rust, C, Python and Go find each other and pass messages
  test      every test of the project; ends with `N passed, N failed`; or parts of it:
            rust, c, install, python, go, packages, readme, scenarios
  verify    what must hold of the source: format, lints, docs, drift, purity (changes nothing)
  fix       formats, applies what clippy can, writes the C header anew
  sim       the simulator: --seeds 300 --nodes 3..32 --chaos, or --seed N --nodes N
  bench     measures us beside raw TCP and the peers: [--json FILE] [--quick] [--only CASE]
            [--report]; a full run writes docs/bench/ (bench/README.md has the cases)
  header    writes include/meshage.h anew
  install   the library for programs outside this tree: [--prefix DIR] [--libdir DIR]
            [--destdir DIR] [--uninstall]
  wheel     the Python package for others, and its sources: [--out DIR] (dist, by default),
            [--manylinux 2_17] for systems older than this one
  readme    runs every command of the README in a home of its own
  abi       what differs from the recorded C API, and whether the version says so: [--accept]
  help      this
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next();
    let rest: Vec<String> = arguments.collect();
    let root = shell::root();
    let done = match command.as_deref() {
        Some("demo") => demo::run(&root),
        Some("test") => test::run(&root, &rest),
        Some("verify") => verify::run(&root),
        Some("fix") => fix::run(&root),
        Some("sim") => sim::run(&root, &rest),
        Some("bench") => bench::run(&root, &rest),
        Some("install") => install::run(&root, &rest),
        Some("wheel") => wheel::run(&root, &rest),
        Some("readme") => readme::run(&root),
        Some("abi") => abi::run(&root, &rest),
        Some("header") => header::write(&root),
        None | Some("help" | "--help" | "-h") => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => Err(format!("no command {other:?}\n\n{HELP}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("xtask: {what}");
            ExitCode::FAILURE
        }
    }
}
