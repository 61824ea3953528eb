//! `cargo xtask key`: makes keys, identities and tickets, by the example program `key` of the crate.
//!
//! The command itself does not depend on the crate, so that the other commands build quickly.

use std::path::Path;

use crate::shell::{self, Result};

/// Builds and runs the program in the folder of the caller, so that its paths are the caller's.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let folder = std::env::current_dir()
        .map_err(|error| format!("cannot find the current folder: {error}"))?;
    let run = ["run", "--quiet", "-p", "meshage", "--example", "key", "--manifest-path"];
    let mut command = shell::cargo(&folder, &run);
    command.arg(root.join("Cargo.toml")).arg("--").args(arguments);
    let status = command.status().map_err(|error| format!("cannot run cargo: {error}"))?;
    // The program has said what is wrong.
    if status.success() { Ok(()) } else { Err("key: nothing was changed".into()) }
}
