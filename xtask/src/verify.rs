//! `cargo xtask verify`: what must hold of the source. It changes nothing.

use std::path::Path;
use std::process::Command;

use crate::shell::{self, Result};
use crate::tally::Tally;
use crate::{abi, header, pages, purity};

/// Makes every check, says which failed, and ends with the counts.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut tally = Tally::default();
    let cargo = |arguments: &[&str]| shell::cargo(root, arguments);
    let strict = ["--", "-D", "warnings"];
    tally.check("the format", || shell::run(&mut cargo(&["fmt", "--all", "--check"])));
    tally.check("clippy, the whole workspace", || {
        let all = ["clippy", "--quiet", "--workspace", "--all-targets", "--all-features"];
        shell::run(cargo(&all).args(strict))
    });
    tally.check("clippy, the core without sockets", || {
        let core = ["clippy", "--quiet", "-p", "meshage", "--no-default-features"];
        shell::run(cargo(&core).args(["--features", "sim", "--lib"]).args(strict))
    });
    tally.check("the documentation", || {
        let doc = ["doc", "--quiet", "--workspace", "--no-deps", "--all-features"];
        shell::run(cargo(&doc).env("RUSTDOCFLAGS", "-D warnings"))
    });
    tally.check("the C header is what the source says", || header::check(root));
    tally.check("everything in the C header has its comment", || abi::documented(root));
    tally.check("the C API is the recorded one, or the version says so", || abi::check(root));
    tally.check("the planes are pure", || purity::check(root));
    tally.check("the programs in the README are the examples", || pages::shown_programs(root));
    tally.check("the architecture page keeps its length", || pages::architecture(root));
    tally.check("no path of somebody's machine", || pages::machine_paths(root));
    dependencies(root, &mut tally);
    tally.finish()
}

/// Licences, advisories and sources of the dependencies, where cargo-deny is at hand.
fn dependencies(root: &Path, tally: &mut Tally) {
    let what = "licences and advisories of the dependencies";
    if !shell::is_installed("cargo-deny") {
        tally.skip(what, "cargo-deny is not installed (cargo install --locked cargo-deny)");
        return;
    }
    tally.check(what, || {
        let mut deny: Command = shell::cargo(root, &["deny", "--all-features", "check"]);
        shell::run(&mut deny)
    });
}
