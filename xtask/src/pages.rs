//! Checks of the documents and of every file: the programs in the documents are tested programs, the
//! architecture page stays short, and no file contains a path of a developer's machine.

use std::path::Path;

use crate::shell::{self, Result};

/// The marker in front of a block of code that contains a whole file.
const MARKER: &str = "<!-- file: ";
/// The documents with such blocks.
const DOCUMENTS: &[&str] =
    &["README.md", "meshage/README.md", "meshage-ffi/README.md", "meshage-py/README.md"];
/// The maximum length of the architecture page, so that it can be read at once.
const ARCHITECTURE_LINES_MAX: usize = 180;
/// Top folders of a file system that contain a user's own files.
const PRIVATE_FOLDERS: [&str; 5] = ["home", "root", "Users", "tmp", "work"];

/// Checks that the programs in the documents equal their files.
pub(crate) fn check_programs(root: &Path) -> Result<()> {
    for page in DOCUMENTS {
        let text = read(&root.join(page))?;
        if text != refreshed(&text, &|file| read(&root.join(file)))? {
            return Err(format!(
                "the programs in {page} differ from their files; run cargo xtask fix"
            ));
        }
    }
    Ok(())
}

/// Rewrites the programs in the documents.
pub(crate) fn write(root: &Path) -> Result<()> {
    for page in DOCUMENTS {
        let path = root.join(page);
        let text = refreshed(&read(&path)?, &|file| read(&root.join(file)))?;
        std::fs::write(&path, text).map_err(|error| format!("cannot write {page}: {error}"))?;
    }
    Ok(())
}

/// Replaces every marked block of a page with its file.
fn refreshed(page: &str, file: &dyn Fn(&str) -> Result<String>) -> Result<String> {
    let mut text = String::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        text.push_str(line);
        text.push('\n');
        let Some(name) = line.strip_prefix(MARKER).and_then(|rest| rest.strip_suffix(" -->"))
        else {
            continue;
        };
        let fence = lines.next().filter(|line| line.starts_with("```"));
        let fence =
            fence.ok_or_else(|| format!("no block of code follows the marker of {name}"))?;
        if !lines.any(|line| line == "```") {
            return Err(format!("the block of {name} has no end"));
        }
        text.push_str(fence);
        text.push('\n');
        text.push_str(file(name)?.trim_end());
        text.push_str("\n```\n");
    }
    Ok(text)
}

/// Checks the length of the architecture page.
pub(crate) fn check_length(root: &Path) -> Result<()> {
    let lines = read(&root.join("ARCHITECTURE.md"))?.lines().count();
    if lines <= ARCHITECTURE_LINES_MAX {
        Ok(())
    } else {
        Err(format!("ARCHITECTURE.md has {lines} lines; the maximum is {ARCHITECTURE_LINES_MAX}"))
    }
}

/// Checks that no file contains a path of a developer's machine.
pub(crate) fn check_machine_paths(root: &Path) -> Result<()> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let files = shell::run_quietly(shell::command(root, "git").args(list))?;
    let mut found = Vec::new();
    for file in files.lines() {
        // Skip files that were deleted or are not text: they contain no path.
        let Ok(text) = std::fs::read_to_string(root.join(file)) else { continue };
        found.extend(
            private_paths(&text)
                .map(|line| format!("{file}:{line}: a path of a developer's machine")),
        );
    }
    if found.is_empty() { Ok(()) } else { Err(found.join("\n")) }
}

/// The numbers of the lines that contain such a path.
fn private_paths(text: &str) -> impl Iterator<Item = usize> {
    text.lines().enumerate().filter(|(_, line)| names_private_folder(line)).map(|(at, _)| at + 1)
}

fn names_private_folder(line: &str) -> bool {
    PRIVATE_FOLDERS.iter().any(|folder| {
        let path = format!("/{folder}/");
        line.match_indices(&path).any(|(at, _)| {
            // "target/tmp/" and similar paths are not top folders.
            let before = line[..at].chars().next_back();
            before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '.' | '_' | '-' | '}' | '/'))
        })
    })
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_block_is_replaced_and_other_blocks_are_kept() {
        let page = "a\n<!-- file: x.rs -->\n```rust\nold\n```\nb\n```sh\nstays\n```\n";
        let text = refreshed(page, &|name| Ok(format!("new {name}\n\n"))).expect("well-formed");
        assert_eq!(text, page.replace("old", "new x.rs"));
    }

    #[test]
    fn a_marker_without_a_block_is_an_error() {
        assert!(refreshed("<!-- file: x.rs -->\ntext\n", &|_| Ok(String::new())).is_err());
        assert!(refreshed("<!-- file: x.rs -->\n```\ntext\n", &|_| Ok(String::new())).is_err());
    }

    #[test]
    fn only_top_folders_are_private() {
        let path = |folder: &str| format!("see /{folder}/x");
        assert!(names_private_folder(&path("home")));
        assert!(!names_private_folder("target/tmp/x, and https://example.org/home/x"));
    }
}
