//! `cargo xtask verify`: checks the source. It changes nothing.

use std::path::Path;
use std::process::Command;

use crate::shell::{self, Result};
use crate::tally::Tally;
use crate::{abi, code_map, header, pages, purity};

/// The platforms that the README names, beside Linux with glibc.
const PLATFORMS: [&str; 3] =
    ["x86_64-unknown-linux-musl", "aarch64-apple-darwin", "x86_64-pc-windows-msvc"];

/// Runs every check, lists the failures, and prints the counts in the last line.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut tally = Tally::default();
    let cargo = |arguments: &[&str]| shell::cargo(root, arguments);
    let strict = ["--", "-D", "warnings"];
    tally.check("the source is formatted", || shell::run(&mut cargo(&["fmt", "--all", "--check"])));
    tally.check("clippy reports nothing in the workspace", || {
        let all = ["clippy", "--quiet", "--workspace", "--all-targets", "--all-features"];
        shell::run(cargo(&all).args(strict))
    });
    tally.check("clippy reports nothing in the core without sockets", || {
        let core = ["clippy", "--quiet", "-p", "meshage", "--no-default-features"];
        shell::run(cargo(&core).args(["--features", "sim", "--lib"]).args(strict))
    });
    tally.check("the documentation builds without warnings", || {
        let doc = ["doc", "--quiet", "--workspace", "--no-deps", "--all-features"];
        shell::run(cargo(&doc).env("RUSTDOCFLAGS", "-D warnings"))
    });
    tally.check("the C header is up to date", || header::check(root));
    tally.check("every declaration in the C header has a comment", || abi::check_comments(root));
    tally.check("the version allows the changes of the C API", || abi::check(root));
    tally.check(
        "the planes use no clocks, sockets or randomness, and only net/sys the system",
        || purity::check(root),
    );
    tally.check("the programs in the documents are the examples", || pages::check_programs(root));
    tally.check("the architecture page is short enough", || pages::check_length(root));
    tally.check("the code map covers the tree", || code_map::check(root));
    tally.check("no file contains a path of a developer's machine", || {
        pages::check_machine_paths(root)
    });
    check_platforms(root, &mut tally);
    check_dependencies(root, &mut tally);
    tally.finish()
}

/// Checks that the core and the C library compile for other platforms, if their standard libraries
/// are installed.
fn check_platforms(root: &Path, tally: &mut Tally) {
    for target in PLATFORMS {
        let mut find = shell::command(root, std::env::var_os("RUSTC").unwrap_or("rustc".into()));
        let folder =
            shell::run_quietly(find.args(["--print", "target-libdir", "--target", target]));
        if folder.is_ok_and(|folder| Path::new(folder.trim()).is_dir()) {
            tally.check(&format!("the core and the C library compile for {target}"), || {
                let check = ["check", "--quiet", "-p", "meshage", "-p", "meshage-ffi"];
                shell::run(shell::cargo(root, &check).args(["--target", target]))
            });
        } else {
            let because =
                format!("its standard library is not installed (rustup target add {target})");
            tally.skip(&format!("the check for {target}"), &because);
        }
    }
}

/// Checks licences, advisories and sources of the dependencies, if cargo-deny is installed.
fn check_dependencies(root: &Path, tally: &mut Tally) {
    let what = "the licences and advisories of the dependencies are acceptable";
    if !shell::is_installed("cargo-deny") {
        tally.skip(
            "the check of the dependencies",
            "cargo-deny is not installed (cargo install --locked cargo-deny)",
        );
        return;
    }
    tally.check(what, || {
        let mut deny: Command = shell::cargo(root, &["deny", "--all-features", "check"]);
        shell::run(&mut deny)
    });
}
