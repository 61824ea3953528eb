//! `cargo xtask test`: every test of the project, whatever runs it.
//!
//! What a test needs is set up first, where this user may; a part that cannot run here is said to
//! be skipped, with the reason. The last line is the sum of all runners.

use std::path::Path;
use std::process::Command;

use crate::build::{self, Programs};
use crate::shell::{self, Result};
use crate::tally::{self, Tally};
use crate::{go, outside, packages, python, readme, scenario};

/// Programs that some tests need, and the packages that bring them.
const PACKAGES: &[(&str, &str)] = &[("valgrind", "valgrind"), ("ip", "iproute2")];

/// The parts that can be run alone: `cargo xtask test scenarios`.
const PARTS: [&str; 8] =
    ["rust", "c", "install", "python", "go", "packages", "readme", "scenarios"];

/// Runs everything, or the parts that are named.
pub(crate) fn run(root: &Path, parts: &[String]) -> Result<()> {
    if let Some(other) = parts.iter().find(|part| !PARTS.contains(&part.as_str())) {
        return Err(format!("no part {other:?}: there are {}", PARTS.join(", ")));
    }
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|named| named == part);
    let mut tally = Tally::default();
    for (program, package) in PACKAGES {
        provide(root, program, package);
    }
    if wanted("rust") {
        rust(root, &mut tally);
    }
    if wanted("c") {
        c(root, &mut tally);
    }
    if wanted("install") {
        outside::run(root, &mut tally);
    }
    if wanted("python") {
        tally.runner("the Python module", || {
            let _others_wait = shell::alone(root)?;
            let (passed, failed) = python::test(root)?;
            Ok((passed, failed, 0))
        });
    }
    if wanted("go") {
        go::test(root, &mut tally);
    }
    if wanted("packages") {
        packages::run(root, &mut tally);
    }
    if wanted("readme") {
        readme::test(root, &mut tally);
    }
    if wanted("scenarios") {
        let mut programs = None;
        tally.check("the node programs of the scenarios build", || {
            programs = Some(Programs::build(root)?);
            Ok(())
        });
        match &programs {
            Some(programs) => scenario::run(root, programs, &mut tally),
            None => tally.skip("the scenarios with processes", "their programs were not built"),
        }
    }
    tally.finish()
}

fn rust(root: &Path, tally: &mut Tally) {
    let cargo = |arguments: &[&str]| shell::cargo(root, arguments);
    tally.runner("the core, its documentation and the simulator", || {
        cargo_test(&mut cargo(&["test", "-p", "meshage", "--features", "sim", "--no-fail-fast"]))
    });
    tally.runner("the developer commands", || cargo_test(&mut cargo(&["test", "-p", "xtask"])));
    tally.runner("the bench's arithmetic", || {
        cargo_test(&mut cargo(&["test", "-p", "meshage-bench", "--bin", "meshage-bench"]))
    });
    for features in [&[][..], &["--features", "sim"][..]] {
        let what = if features.is_empty() { "" } else { ", with the simulator" };
        tally.check(&format!("the core builds without sockets{what}"), || {
            let core = ["build", "--quiet", "-p", "meshage", "--no-default-features"];
            shell::run(cargo(&core).args(features))
        });
    }
}

fn c(root: &Path, tally: &mut Tally) {
    tally.check("the C library builds", || {
        shell::run(&mut shell::cargo(root, &["build", "--release", "-p", "meshage-ffi"]))
    });
    tally.runner("the C library", || {
        // What a test says of itself is shown, so that a part that is skipped is told.
        let ffi = ["test", "-p", "meshage-ffi", "--no-fail-fast", "--", "--show-output"];
        cargo_test(&mut shell::cargo(root, &ffi))
    });
    tally.check("the C examples compile without a warning", || {
        let folder = shell::target(root).join("examples-c");
        std::fs::create_dir_all(&folder).map_err(|error| format!("no folder for them: {error}"))?;
        for source in build::c_sources(root)? {
            build::compile(root, &source, &folder.join(source.replace('.', "_")))?;
        }
        Ok(())
    });
}

/// Runs a test program of cargo's; its lines are shown where something failed.
fn cargo_test(command: &mut Command) -> Result<(usize, usize, usize)> {
    let (succeeded, text) = shell::capture(command)?;
    let (passed, failed, ignored) = tally::of_cargo(&text);
    for line in text.lines().filter(|line| line.starts_with("skipped: ")) {
        println!("   {line}");
    }
    if !succeeded {
        println!("{text}");
        // A test program that did not compile, or crashed, has no count of its own.
        return Ok((passed, failed.max(1), ignored));
    }
    Ok((passed, failed, ignored))
}

/// Installs a package where its program is missing and this user may. Where not, the tests that
/// need it say so themselves.
fn provide(root: &Path, program: &str, package: &str) {
    if shell::is_installed(program) || !shell::is_installed("apt-get") || !is_superuser(root) {
        return;
    }
    println!("installing {package}");
    let apt = |arguments: &[&str]| {
        let mut command = shell::command(root, "apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        shell::quietly(&mut command)
    };
    let installed = apt(&["install", "-y", "-q", package])
        .or_else(|_| apt(&["update", "-q"]).and_then(|_| apt(&["install", "-y", "-q", package])));
    if installed.is_err() {
        println!("{package} cannot be installed here");
    }
}

fn is_superuser(root: &Path) -> bool {
    shell::quietly(shell::command(root, "id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}
