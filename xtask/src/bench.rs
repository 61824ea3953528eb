//! `cargo xtask bench`: builds the bench and runs it. All else is in `bench/`, so that the other
//! commands need nothing of it.

use std::path::Path;

use crate::shell::{self, Result};

/// Builds for release and hands the options on.
pub(crate) fn run(root: &Path, options: &[String]) -> Result<()> {
    let _others_wait = shell::alone(root)?;
    println!("building the bench");
    let build = ["build", "--release", "--quiet", "-p", "meshage-bench"];
    shell::run(&mut shell::cargo(root, &build))?;
    let program = shell::target(root).join("release/meshage-bench");
    shell::run(shell::command(root, program).args(options))
}
