//! `cargo xtask sim`: the simulator, built for speed, with the flags it is given.

use std::path::Path;

use crate::shell::{self, Result};

/// Runs it.
pub(crate) fn run(root: &Path, flags: &[String]) -> Result<()> {
    let example = ["run", "--quiet", "--release", "-p", "meshage", "--features", "sim"];
    shell::run(shell::cargo(root, &example).args(["--example", "sim", "--"]).args(flags))
}
