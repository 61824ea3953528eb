//! Checks that the code map of ARCHITECTURE.md names existing paths, and that it covers the tree.
//!
//! The code map is the first table under the heading `## Code map`. The first column of each row
//! contains paths in backticks; the path of a folder ends with `/`:
//!
//! ```text
//!  | `meshage/src/wire/` | bytes ↔ frames | panic |
//!  | `meshage/src/name.rs`, `meshage/src/config.rs` | the basic types | |
//! ```
//!
//! Every folder of the tree needs a row. A row for a folder covers everything in it. Instead of one
//! row, a folder may have a row for each of its subfolders. The core's modules must be listed one by
//! one: every folder and every Rust file directly in `meshage/src/` needs its own row.

use std::collections::BTreeSet;
use std::path::Path;

use crate::shell::{self, Result};

/// The page with the code map.
const PAGE: &str = "ARCHITECTURE.md";
/// The heading of the code map.
const HEADING: &str = "## Code map";
/// The folder whose entries must be listed one by one.
const CORE: &str = "meshage/src/";

/// Checks the code map against the tracked files.
pub(crate) fn check(root: &Path) -> Result<()> {
    let page = std::fs::read_to_string(root.join(PAGE))
        .map_err(|error| format!("cannot read {PAGE}: {error}"))?;
    let listed = shell::run_quietly(shell::command(root, "git").args(["ls-files"]))?;
    // The index still lists a file that was deleted in the working tree.
    let files: Vec<&str> = listed.lines().filter(|file| root.join(file).exists()).collect();
    let problems = problems(&rows(&page)?, &files);
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

/// The paths in the first column of the code map.
fn rows(page: &str) -> Result<BTreeSet<&str>> {
    let section = page.lines().skip_while(|line| line.trim_end() != HEADING).skip(1);
    let section = section.take_while(|line| !line.starts_with("## "));
    let table = section.filter_map(|line| line.strip_prefix('|')?.split('|').next());
    let paths: BTreeSet<&str> = table.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    if paths.is_empty() {
        return Err(format!("{PAGE} has no table with paths in backticks under {HEADING:?}"));
    }
    Ok(paths)
}

/// One sentence for each path that does not exist, and for each folder or file without a row.
fn problems(rows: &BTreeSet<&str>, files: &[&str]) -> Vec<String> {
    let folders: BTreeSet<&str> = files.iter().flat_map(|file| folders_of(file)).collect();
    let missing = rows.iter().filter(|row| !folders.contains(**row) && !files.contains(*row));
    let mut problems: Vec<String> = missing
        .map(|row| {
            let hint = if folders.contains(format!("{row}/").as_str()) {
                "; the path of a folder must end with /"
            } else {
                ""
            };
            format!("the code map of {PAGE} names {row}, which does not exist in git{hint}")
        })
        .collect();
    let mut uncovered = BTreeSet::new();
    for folder in folders.iter().filter(|folder| is_entry_of(folder, "")) {
        add_uncovered(folder, rows, &folders, &mut uncovered);
    }
    let modules = folders.iter().chain(files).copied();
    let modules = modules.filter(|path| path.ends_with('/') || path.ends_with(".rs"));
    let modules = modules.filter(|path| is_entry_of(path, CORE));
    uncovered.extend(modules.filter(|path| !rows.contains(path)));
    problems.extend(
        uncovered.iter().map(|path| format!("the code map of {PAGE} has no row for {path}")),
    );
    problems
}

/// Adds the folder, or the folders in it, that no row covers.
fn add_uncovered<'a>(
    folder: &'a str,
    rows: &BTreeSet<&str>,
    folders: &BTreeSet<&'a str>,
    uncovered: &mut BTreeSet<&'a str>,
) {
    if rows.contains(folder) || folder == CORE {
        return;
    }
    if !rows.iter().any(|row| row.starts_with(folder)) {
        uncovered.insert(folder);
        return;
    }
    for inner in folders.iter().filter(|inner| is_entry_of(inner, folder)) {
        add_uncovered(inner, rows, folders, uncovered);
    }
}

/// The folders that contain a file, each with a `/` at its end.
fn folders_of(file: &str) -> impl Iterator<Item = &str> {
    file.match_indices('/').map(|(at, _)| &file[..=at])
}

/// Whether a path is directly in a folder, whose path ends with `/` or is empty.
fn is_entry_of(path: &str, folder: &str) -> bool {
    let name = path.strip_prefix(folder).map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    name.is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&str; 8] = [
        "README.md",
        "bench/c/worker.c",
        "bench/go/worker.go",
        "bench/src/main.rs",
        "meshage/Cargo.toml",
        "meshage/src/name.rs",
        "meshage/src/wire/codec.rs",
        "meshage/tests/tcp.rs",
    ];

    fn found(rows: &[&str]) -> Vec<String> {
        problems(&rows.iter().copied().collect(), &FILES)
    }

    fn no_row_for(path: &str) -> String {
        format!("the code map of {PAGE} has no row for {path}")
    }

    const COMPLETE: [&str; 4] =
        ["bench/", "meshage/src/name.rs", "meshage/src/wire/", "meshage/tests/"];

    #[test]
    fn the_rows_are_the_paths_in_the_first_column_of_the_table() {
        let page = "# A\n`x/`\n## Code map\n\nText with `y/`.\n\n| path | what |\n|---|---|\n\
                    | `a/`, `b.rs` | uses `c/` |\n\n## Next\n\n| `d/` | |\n";
        assert_eq!(rows(page), Ok(BTreeSet::from(["a/", "b.rs"])));
        assert!(rows("# A\n\n| `a/` | |\n").is_err());
    }

    #[test]
    fn a_complete_code_map_has_no_problems() {
        assert_eq!(found(&COMPLETE), [""; 0]);
    }

    #[test]
    fn a_path_that_does_not_exist_is_found() {
        let rows = [&COMPLETE[..], &["meshage/src/gone.rs", "meshage/src/wire"]].concat();
        let problems = found(&rows);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("meshage/src/gone.rs, which does not exist"));
        assert!(problems[1].contains("must end with /"));
    }

    #[test]
    fn a_top_folder_without_a_row_is_found() {
        assert_eq!(found(&COMPLETE[1..]), [no_row_for("bench/")]);
    }

    #[test]
    fn rows_for_some_folders_of_a_crate_require_rows_for_all() {
        let rows = [&["bench/src/", "bench/c/"], &COMPLETE[1..]].concat();
        assert_eq!(found(&rows), [no_row_for("bench/go/")]);
        assert_eq!(found(&COMPLETE[..3]), [no_row_for("meshage/tests/")]);
    }

    #[test]
    fn every_module_of_the_core_needs_its_own_row() {
        let rows = ["bench/", "meshage/src/", "meshage/tests/"];
        let expected = [no_row_for("meshage/src/name.rs"), no_row_for("meshage/src/wire/")];
        assert_eq!(found(&rows), expected);
        assert_eq!(found(&["bench/", "meshage/"]), expected);
    }

    #[test]
    fn the_code_map_of_this_tree_is_complete() {
        assert_eq!(check(&shell::root()), Ok(()));
    }
}
