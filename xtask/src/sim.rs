//! `cargo xtask sim`: runs the simulator in release mode, with the given flags.

use std::path::Path;

use crate::shell::{self, Result};

/// Builds and runs the simulator.
pub(crate) fn run(root: &Path, flags: &[String]) -> Result<()> {
    let example = ["run", "--quiet", "--release", "-p", "meshage", "--features", "sim"];
    shell::run(shell::cargo(root, &example).args(["--example", "sim", "--"]).args(flags))
}
