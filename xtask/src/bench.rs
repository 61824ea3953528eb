//! `cargo xtask bench`: builds the bench and runs it. Everything else is in `bench/`, so that the
//! other commands do not depend on it.

use std::path::Path;

use crate::shell::{self, Result};

/// Builds the bench in release mode, and passes the options on.
pub(crate) fn run(root: &Path, options: &[String]) -> Result<()> {
    let _build_lock = shell::lock_build(root)?;
    println!("building the bench");
    let build = ["build", "--release", "--quiet", "-p", "meshage-bench"];
    shell::run(&mut shell::cargo(root, &build))?;
    let program = shell::target(root).join("release/meshage-bench");
    shell::run(shell::command(root, program).args(options))
}
