//! Every developer command of the project: `cargo xtask help` lists them.
//!
//! Each command has its own file. The commands need only Rust, a C compiler and Python. A command
//! sets up anything else under `target/`, or reports that it skips the part and why.
//!
//! ```text
//!  main ─► demo · test · verify · fix · sim · attack · networks · fuzz · soak · bench · key · install · wheel · readme · header · abi · help
//!            │      │      │
//!            │      │      └─ purity · pages · code_map (rules of the source and the documents)
//!            │      └─ tally (counts of all suites) · progress · scenario/ (whole processes)
//!            └─ build (library, C programs, wheel) · process (a node program) · drawing
//! ```

mod abi;
mod agreement;
mod attack;
mod bench;
mod build;
mod cargo_test;
mod code_map;
mod conformance;
mod demo;
mod drawing;
mod driver;
mod fix;
mod fuzz;
mod go;
mod go_test;
mod greeting;
mod header;
mod install;
mod install_test;
mod key;
mod networks;
mod packages;
mod pages;
mod process;
mod progress;
mod purity;
mod python;
mod random;
mod readme;
mod scenario;
mod shell;
mod sim;
mod soak;
mod tally;
mod temp_folder;
mod test;
mod usage;
mod verify;
mod wheel;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_else(|| "help".into());
    let rest: Vec<String> = arguments.collect();
    match run(&command, &rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command. Each one refuses arguments that it does not know.
fn run(command: &str, rest: &[String]) -> shell::Result<()> {
    let root = shell::root();
    let asks_for_help = rest.iter().any(|argument| argument == "--help" || argument == "-h");
    // `key` has subcommands, and prints their usage itself.
    let own_help = command == "key";
    if let (true, false, Some(usage)) = (asks_for_help, own_help, usage::of(command)) {
        println!("{usage}");
        return Ok(());
    }
    let none = || usage::no_arguments(command, rest);
    match command {
        "demo" => demo::run(&root, rest),
        "test" => test::run(&root, rest),
        "verify" => none().and_then(|()| verify::run(&root)),
        "fix" => none().and_then(|()| fix::run(&root)),
        "sim" => sim::run(&root, rest),
        "attack" => attack::run(&root, rest),
        "networks" => networks::run(&root, rest),
        "fuzz" => fuzz::run(&root, rest),
        "soak" => soak::run(&root, rest),
        "bench" => bench::run(&root, rest),
        "install" => install::run(&root, rest),
        "wheel" => wheel::run(&root, rest),
        "readme" => none().and_then(|()| readme::run(&root)),
        "abi" => abi::run(&root, rest),
        "key" => key::run(&root, rest),
        "header" => none().and_then(|()| header::write(&root)),
        "help" | "--help" | "-h" => {
            print!("{}", usage::HELP);
            Ok(())
        }
        other => Err(format!("unknown command {other:?}\n\n{}", usage::HELP)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_refuses_an_argument_that_it_does_not_know() {
        // The simulator and the bench check their arguments themselves, after they were built.
        for command in [
            "demo", "test", "verify", "fix", "attack", "networks", "fuzz", "soak", "install",
            "wheel", "readme", "abi", "header",
        ] {
            let refused = run(command, &["--what".into()]).expect_err(command);
            assert!(refused.contains("--what"), "{refused}");
            assert!(refused.contains(&usage::of(command).expect("a usage")), "{refused}");
        }
    }
}
