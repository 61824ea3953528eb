//! `cargo xtask attack`: attacks real nodes in processes of their own, and measures what honest members
//! notice.

use std::path::Path;

use crate::shell::{self, Result};
use crate::usage;

/// The report that `--report` writes.
const REPORT: &str = "docs/attack.md";

/// Builds the program and runs it.
pub(crate) fn run(root: &Path, flags: &[String]) -> Result<()> {
    let mut arguments = Vec::new();
    let mut flags = flags.iter();
    while let Some(flag) = flags.next() {
        match flag.as_str() {
            "--report" => arguments.extend([flag.clone(), REPORT.into()]),
            "--free" => arguments.push(flag.clone()),
            "--seconds" | "--only" | "--mesh" => {
                let missing = || usage::error("attack", &format!("{flag} needs a value"));
                arguments.extend([flag.clone(), flags.next().ok_or_else(missing)?.clone()]);
            }
            other => return Err(usage::error("attack", &format!("unknown argument {other:?}"))),
        }
    }
    let example = ["run", "--quiet", "--release", "-p", "meshage", "--example", "attack", "--"];
    shell::run(shell::cargo(root, &example).arg("run").args(arguments))
}
