//! What must hold of the documents and of every file: programs shown are programs that are tested,
//! pages keep their length, and no path of somebody's machine is left in.

use std::path::Path;

use crate::shell::{self, Result};

/// Before a block of code in a document: the block is this file, whole.
const MARK: &str = "<!-- file: ";
/// Documents with blocks that are files.
const SHOWING: &[&str] =
    &["README.md", "meshage/README.md", "meshage-ffi/README.md", "meshage-py/README.md"];
/// The architecture page is read in one sitting.
const ARCHITECTURE_LINES_MAX: usize = 200;
/// Folders at the top of a file system in which somebody's own files lie.
const PRIVATE_FOLDERS: [&str; 5] = ["home", "root", "Users", "tmp", "work"];

/// Whether the programs in the documents are the files that they say they are.
pub(crate) fn shown_programs(root: &Path) -> Result<()> {
    for page in SHOWING {
        let text = read(&root.join(page))?;
        if text != refreshed(&text, &|file| read(&root.join(file)))? {
            return Err(format!("{page} shows other programs than its files: cargo xtask fix"));
        }
    }
    Ok(())
}

/// Writes the programs in the documents anew.
pub(crate) fn write(root: &Path) -> Result<()> {
    for page in SHOWING {
        let path = root.join(page);
        let text = refreshed(&read(&path)?, &|file| read(&root.join(file)))?;
        std::fs::write(&path, text).map_err(|error| format!("cannot write {page}: {error}"))?;
    }
    Ok(())
}

/// The page with every marked block replaced by its file.
fn refreshed(page: &str, file: &dyn Fn(&str) -> Result<String>) -> Result<String> {
    let mut text = String::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        text.push_str(line);
        text.push('\n');
        let Some(name) = line.strip_prefix(MARK).and_then(|rest| rest.strip_suffix(" -->")) else {
            continue;
        };
        let fence = lines.next().filter(|line| line.starts_with("```"));
        let fence = fence.ok_or_else(|| format!("no block of code follows {name}"))?;
        if !lines.any(|line| line == "```") {
            return Err(format!("the block of {name} does not end"));
        }
        text.push_str(fence);
        text.push('\n');
        text.push_str(file(name)?.trim_end());
        text.push_str("\n```\n");
    }
    Ok(text)
}

/// Whether the architecture page keeps its length.
pub(crate) fn architecture(root: &Path) -> Result<()> {
    let lines = read(&root.join("ARCHITECTURE.md"))?.lines().count();
    if lines <= ARCHITECTURE_LINES_MAX {
        Ok(())
    } else {
        Err(format!("ARCHITECTURE.md has {lines} lines, and may have {ARCHITECTURE_LINES_MAX}"))
    }
}

/// Whether any file names a folder of somebody's machine.
pub(crate) fn machine_paths(root: &Path) -> Result<()> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let files = shell::quietly(shell::command(root, "git").args(list))?;
    let mut found = Vec::new();
    for file in files.lines() {
        // What is listed may be deleted, and what is read may be no text: neither names a path.
        let Ok(text) = std::fs::read_to_string(root.join(file)) else { continue };
        found.extend(
            private_paths(&text).map(|line| format!("{file}:{line}: a machine's own path")),
        );
    }
    if found.is_empty() { Ok(()) } else { Err(found.join("\n")) }
}

/// The numbers of the lines that hold such a path.
fn private_paths(text: &str) -> impl Iterator<Item = usize> {
    text.lines().enumerate().filter(|(_, line)| names_private_folder(line)).map(|(at, _)| at + 1)
}

fn names_private_folder(line: &str) -> bool {
    PRIVATE_FOLDERS.iter().any(|folder| {
        let path = format!("/{folder}/");
        line.match_indices(&path).any(|(at, _)| {
            // "target/tmp/" and the like are no folders at the top.
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
    fn a_marked_block_becomes_its_file_and_others_stay() {
        let page = "a\n<!-- file: x.rs -->\n```rust\nold\n```\nb\n```sh\nstays\n```\n";
        let text = refreshed(page, &|name| Ok(format!("new {name}\n\n"))).expect("well-formed");
        assert_eq!(text, page.replace("old", "new x.rs"));
    }

    #[test]
    fn a_mark_without_a_block_is_an_error() {
        assert!(refreshed("<!-- file: x.rs -->\ntext\n", &|_| Ok(String::new())).is_err());
        assert!(refreshed("<!-- file: x.rs -->\n```\ntext\n", &|_| Ok(String::new())).is_err());
    }

    #[test]
    fn only_folders_at_the_top_are_private() {
        let path = |folder: &str| format!("see /{folder}/x");
        assert!(names_private_folder(&path("home")));
        assert!(!names_private_folder("target/tmp/x, and https://example.org/home/x"));
    }
}
