//! Every developer command of the project: `cargo xtask help` lists them.
//!
//! Each command has its own file. The commands need only Rust, a C compiler and Python. A command
//! sets up anything else under `target/`, or reports that it skips the part and why.
//!
//! ```text
//!  main ─► demo · test · verify · fix · sim · bench · install · wheel · readme · header · abi · help
//!            │      │      │
//!            │      │      └─ purity · pages · code_map (rules of the source and the documents)
//!            │      └─ tally (counts of all suites) · scenario/ (whole processes)
//!            └─ build (library, C programs, wheel) · process (a node program) · drawing
//! ```

mod abi;
mod agreement;
mod bench;
mod build;
mod code_map;
mod demo;
mod drawing;
mod fix;
mod go;
mod go_test;
mod greeting;
mod header;
mod install;
mod install_test;
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
mod temp_folder;
mod test;
mod verify;
mod wheel;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <command>

  demo      starts nodes in Rust, C, Python and Go that send each other messages
  test      runs every test, or the named parts: rust, c, install, python, go, packages,
            readme, scenarios; the last line is `N passed, N failed`
  verify    checks format, lints, documentation, generated files, purity and the code map;
            changes nothing
  fix       formats, applies clippy's suggestions, and regenerates the C header, the programs
            in the documents and the test vectors
  sim       runs the simulator: --seeds 300 --nodes 3..32 --chaos, or --seed N --nodes N
  bench     measures libmeshage beside raw TCP and the peers: [--json FILE] [--quick]
            [--only CASE] [--report]; a full run writes docs/bench/ (see bench/README.md)
  header    regenerates include/meshage.h
  install   installs the library for programs outside this tree: [--prefix DIR]
            [--libdir DIR] [--destdir DIR] [--uninstall]
  wheel     builds the Python wheel and its source distribution: [--out DIR] (default: dist),
            [--manylinux 2_17] for systems older than this one
  readme    runs every command of the README in a temporary home folder
  abi       lists differences from the recorded C API, and checks that the version allows
            them: [--accept] [--unpublished]
  help      prints this text
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next();
    let rest: Vec<String> = arguments.collect();
    let root = shell::root();
    let result = match command.as_deref() {
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
        Some(other) => Err(format!("unknown command {other:?}\n\n{HELP}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
