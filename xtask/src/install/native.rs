//! What the static library needs of the system: rustc says it while it makes one.
//!
//! The library of the development profile is asked, which needs no optimizing, and the answer is
//! kept as long as the compiler and the dependencies stay what they were.

use std::path::Path;

use crate::shell::{self, Result};

/// What rustc writes before the answer.
const MARK: &str = "native-static-libs: ";
/// Where the answer is kept, in the target folder: the first part asks, the last line answers.
const KEPT: &str = "native-static-libs.txt";

/// The flags for the linker: `-lgcc_s -lm -lc` or the like.
pub(super) fn libraries(root: &Path) -> Result<String> {
    let compiler = shell::quietly(shell::command(root, rustc()).arg("-vV"))?;
    let lock = std::fs::read_to_string(root.join("Cargo.lock"))
        .map_err(|error| format!("cannot read Cargo.lock: {error}"))?;
    let question = format!("{compiler}\n{lock}\n{MARK}");
    let kept = shell::target(root).join(KEPT);
    if let Ok(text) = std::fs::read_to_string(&kept)
        && let Some(answer) = text.strip_prefix(&question)
    {
        return Ok(answer.trim().to_owned());
    }
    println!("asking the compiler what the static library needs");
    let _others_wait = shell::alone(root)?;
    let ask = ["rustc", "-p", "meshage-ffi", "--lib", "--crate-type", "staticlib", "--"];
    let text = shell::quietly(shell::cargo(root, &ask).args(["--print", "native-static-libs"]))?;
    let answer = answer(&text).ok_or_else(|| format!("no {MARK}in\n{text}"))?;
    std::fs::write(&kept, format!("{question}{answer}\n"))
        .map_err(|error| format!("cannot write {}: {error}", kept.display()))?;
    Ok(answer)
}

fn rustc() -> std::ffi::OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

/// The answer among all that is printed.
fn answer(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.split_once(MARK))?.1;
    let flags: Vec<&str> = line.split_whitespace().filter(|flag| flag.starts_with('-')).collect();
    if flags.is_empty() { None } else { Some(flags.join(" ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_found_among_all_that_is_printed() {
        let text = "   Compiling x\nnote: native-static-libs: -lgcc_s -lm  -lc\nnote: more\n";
        assert_eq!(answer(text).as_deref(), Some("-lgcc_s -lm -lc"));
        assert_eq!(answer("nothing"), None);
    }
}
