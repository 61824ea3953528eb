//! The system libraries that the static library needs, as rustc reports them.
//!
//! The query builds the library in the development profile, which needs no optimization. The result
//! is cached until the compiler or the dependencies change.

use std::path::Path;

use crate::shell::{self, Result};

/// The text in front of rustc's answer.
const MARKER: &str = "native-static-libs: ";
/// The cache file in the target folder. Its last line is the answer, and the rest is the cache key.
const CACHE: &str = "native-static-libs.txt";

/// The flags for the linker: `-lgcc_s -lm -lc` or the like.
pub(super) fn libraries(root: &Path) -> Result<String> {
    let compiler = shell::run_quietly(shell::command(root, rustc()).arg("-vV"))?;
    let lock = std::fs::read_to_string(root.join("Cargo.lock"))
        .map_err(|error| format!("cannot read Cargo.lock: {error}"))?;
    let key = format!("{compiler}\n{lock}\n{MARKER}");
    let cache = shell::target(root).join(CACHE);
    if let Ok(text) = std::fs::read_to_string(&cache)
        && let Some(answer) = text.strip_prefix(&key)
    {
        return Ok(answer.trim().to_owned());
    }
    println!("asking the compiler for the libraries that the static library needs");
    let _build_lock = shell::lock_build(root)?;
    let rustc = ["rustc", "-p", "meshage-ffi", "--lib", "--crate-type", "staticlib", "--"];
    let text =
        shell::run_quietly(shell::cargo(root, &rustc).args(["--print", "native-static-libs"]))?;
    let answer =
        answer(&text).ok_or_else(|| format!("rustc printed no line with {MARKER:?}:\n{text}"))?;
    std::fs::write(&cache, format!("{key}{answer}\n"))
        .map_err(|error| format!("cannot write {}: {error}", cache.display()))?;
    Ok(answer)
}

fn rustc() -> std::ffi::OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

/// Finds the answer in the output of rustc.
fn answer(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.split_once(MARKER))?.1;
    let flags: Vec<&str> = line.split_whitespace().filter(|flag| flag.starts_with('-')).collect();
    if flags.is_empty() { None } else { Some(flags.join(" ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_found_in_the_output() {
        let text = "   Compiling x\nnote: native-static-libs: -lgcc_s -lm  -lc\nnote: more\n";
        assert_eq!(answer(text).as_deref(), Some("-lgcc_s -lm -lc"));
        assert_eq!(answer("nothing"), None);
    }
}
