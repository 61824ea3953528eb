//! `cargo xtask test`: runs every test of the project.
//!
//! The command first installs what a test needs, if the user has the permission. A part that cannot
//! run on this machine is reported as skipped, with the reason. The last line has the sums of all
//! suites.

use std::path::Path;

use crate::build::{self, Programs};
use crate::shell::{self, Result};
use crate::tally::Tally;
use crate::{
    cargo_test, conformance, go_test, install_test, packages, python, readme, scenario, usage,
};

/// Programs that some tests need, and the packages that contain them.
const PACKAGES: &[(&str, &str)] = &[("valgrind", "valgrind"), ("ip", "iproute2")];

/// Shows the output of tests that passed: it names the parts that they skip.
const SHOW_OUTPUT: [&str; 2] = ["--", "--show-output"];

/// The parts that can run alone: `cargo xtask test scenarios`.
const PARTS: [&str; 9] =
    ["rust", "c", "install", "python", "go", "packages", "readme", "conformance", "scenarios"];

/// The variable that gives the nodes of tests a key, and the tests that run a second time with it.
const CLOSED: &str = "MESHAGE_TEST_CLOSED";
const CLOSED_TESTS: [&str; 5] = ["answers", "bodies", "lifecycle", "links", "messages"];

/// Runs all parts, or the named ones.
pub(crate) fn run(root: &Path, parts: &[String]) -> Result<()> {
    if let Some(other) = parts.iter().find(|part| !PARTS.contains(&part.as_str())) {
        return Err(usage::error("test", &format!("unknown part {other:?}")));
    }
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|named| named == part);
    shell::build_releases_quickly();
    let mut tally = Tally::default();
    for (program, package) in PACKAGES {
        install_package(root, program, package);
    }
    if wanted("rust") {
        rust(root, &mut tally);
    }
    if wanted("c") {
        c(root, &mut tally);
    }
    if wanted("install") {
        install_test::run(root, &mut tally);
    }
    if wanted("python") {
        tally.suite("the Python module", || {
            let _build_lock = shell::lock_build(root)?;
            python::test(root)
        });
    }
    if wanted("go") {
        go_test::run(root, &mut tally);
    }
    if wanted("packages") {
        packages::run(root, &mut tally);
    }
    if wanted("readme") {
        readme::test(root, &mut tally);
    }
    if wanted("conformance") {
        conformance::run(root, &mut tally);
    }
    if wanted("scenarios") {
        let mut programs = None;
        tally.check("the node programs for the scenarios build", || {
            programs = Some(Programs::build(root)?);
            Ok(())
        });
        match &programs {
            Some(programs) => scenario::run(root, programs, &mut tally),
            None => tally.skip("the scenarios with processes", "the node programs were not built"),
        }
    }
    tally.finish()
}

fn rust(root: &Path, tally: &mut Tally) {
    let cargo = |arguments: &[&str]| shell::cargo(root, arguments);
    tally.suite("the core, its documentation examples and the simulator", || {
        let core = ["test", "-p", "meshage", "--features", "sim", "--no-fail-fast"];
        cargo_test::run(cargo(&core).args(SHOW_OUTPUT))
    });
    tally.suite("the same links and messages in a closed mesh", || {
        let closed = ["test", "-p", "meshage", "--features", "sim", "--no-fail-fast"];
        let tests = CLOSED_TESTS.iter().flat_map(|test| ["--test", *test]);
        let mut command = cargo(&closed);
        cargo_test::run(command.args(tests).env(CLOSED, "1").args(SHOW_OUTPUT))
    });
    tally.suite("the developer commands", || {
        cargo_test::run(cargo(&["test", "-p", "xtask"]).args(SHOW_OUTPUT))
    });
    tally.suite("the bench", || {
        cargo_test::run(&mut cargo(&["test", "-p", "meshage-bench", "--bin", "meshage-bench"]))
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
    tally.suite("the C library", || {
        let ffi = ["test", "-p", "meshage-ffi", "--no-fail-fast"];
        cargo_test::run(shell::cargo(root, &ffi).args(SHOW_OUTPUT))
    });
    tally.check("the C examples compile without warnings", || {
        let folder = shell::target(root).join("examples-c");
        std::fs::create_dir_all(&folder)
            .map_err(|error| format!("cannot create a folder for them: {error}"))?;
        for source in build::c_sources(root)? {
            build::compile(root, &source, &folder.join(source.replace('.', "_")))?;
        }
        Ok(())
    });
}

/// Installs a package if its program is missing and the user has the permission. Otherwise the tests
/// that need the program report that they are skipped.
fn install_package(root: &Path, program: &str, package: &str) {
    if shell::is_installed(program) || !shell::is_installed("apt-get") || !is_superuser(root) {
        return;
    }
    println!("installing {package}");
    let apt = |arguments: &[&str]| {
        let mut command = shell::command(root, "apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        shell::run_quietly(&mut command)
    };
    let installed = apt(&["install", "-y", "-q", package])
        .or_else(|_| apt(&["update", "-q"]).and_then(|_| apt(&["install", "-y", "-q", package])));
    if installed.is_err() {
        println!("cannot install {package}");
    }
}

fn is_superuser(root: &Path) -> bool {
    shell::run_quietly(shell::command(root, "id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}
