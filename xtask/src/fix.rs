//! `cargo xtask fix`: what a machine can put right by itself.

use std::path::Path;

use crate::shell::{self, Result};
use crate::{header, pages};

/// Formats, lets clippy apply what it can, writes the C header and the test vectors anew.
pub(crate) fn run(root: &Path) -> Result<()> {
    shell::run(&mut shell::cargo(root, &["fmt", "--all"]))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--all-features", "--fix"];
    shell::run(shell::cargo(root, &clippy).args(["--allow-dirty", "--allow-staged"]))?;
    header::write(root)?;
    pages::write(root)?;
    let vectors = ["test", "--quiet", "-p", "meshage", "--test", "vectors"];
    shell::run(shell::cargo(root, &vectors).env("MESHAGE_WRITE_VECTORS", "1"))?;
    shell::run(&mut shell::cargo(root, &["fmt", "--all"]))
}
