//! `cargo xtask fix`: everything that can be corrected automatically.

use std::path::Path;

use crate::shell::{self, Result};
use crate::{header, pages};

/// Formats, applies clippy's suggestions, and regenerates the C header, the programs in the documents
/// and the test vectors.
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
