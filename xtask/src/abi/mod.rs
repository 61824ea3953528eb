//! The ABI check: compares the C header with the ABI that existing programs rely on.
//!
//! `meshage-ffi/abi.txt` records every function, type, constant and value of the C header as of the
//! version that it names, the last published version. A difference requires a new version in
//! Cargo.toml:
//!
//! | change | 0.x | from 1.0 on |
//! |---|---|---|
//! | something is added | a higher version | a higher minor version |
//! | something is removed, or changes | a higher minor version | a higher major version |
//!
//! These are cargo's rules of semantic versioning. The soname contains the part of the version that
//! the second line raises. The function `meshage_abi_…` is also named after that part, so a higher
//! part is itself a change of the second kind.

mod surface;

use std::fmt::Write as _;
use std::path::Path;

use crate::install::compatibility;
use crate::shell::Result;
use crate::usage;
use surface::Surface;

/// The path of the record.
const RECORD: &str = "meshage-ffi/abi.txt";
/// The path of the header.
const HEADER: &str = "include/meshage.h";
/// The first lines of the record.
const HEAD: &str = "\
# The ABI that programs compiled against meshage.h rely on, as of the version below.
# Written by `cargo xtask abi --accept`. `cargo xtask verify` compares the header and the version with it.
";

/// `cargo xtask abi`: lists the differences from the record. `--accept` rewrites the record.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    let known = ["--accept", "--unpublished"];
    if let Some(other) = arguments.iter().find(|argument| !known.contains(&argument.as_str())) {
        let why = format!(
            "unknown option {other:?}; --accept rewrites {RECORD} if the version allows the changes; \
             --accept --unpublished rewrites it for any change of a version that is unpublished"
        );
        return Err(usage::error("abi", &why));
    }
    let now = Record::of_header(root)?;
    let recorded = Record::read(root);
    if let Ok(recorded) = &recorded {
        for change in changes(&recorded.surface, &now.surface) {
            println!("{change}");
        }
    }
    if !has("--accept") {
        return recorded.and_then(|recorded| check_version(&recorded, &now));
    }
    if let Ok(recorded) = &recorded {
        let unpublished = has("--unpublished") && recorded.version == now.version;
        if !unpublished {
            check_version(recorded, &now)?;
        }
    }
    std::fs::write(root.join(RECORD), now.text())
        .map_err(|error| format!("cannot write {RECORD}: {error}"))
}

/// Checks that the version allows the differences between the header and the record.
pub(crate) fn check(root: &Path) -> Result<()> {
    check_version(&Record::read(root)?, &Record::of_header(root)?)
}

/// Checks that every declaration in the header has a comment.
pub(crate) fn check_comments(root: &Path) -> Result<()> {
    let undocumented = surface::undocumented(&read(root, HEADER)?);
    if undocumented.is_empty() {
        Ok(())
    } else {
        Err(format!("these declarations of {HEADER} lack a comment: {undocumented:?}"))
    }
}

/// The ABI of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    version: String,
    surface: Surface,
}

impl Record {
    fn of_header(root: &Path) -> Result<Self> {
        let surface = surface::of_header(&read(root, HEADER)?);
        Ok(Self { version: env!("CARGO_PKG_VERSION").to_owned(), surface })
    }

    fn read(root: &Path) -> Result<Self> {
        let text = read(root, RECORD)?;
        let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let version = lines.next().and_then(|line| line.strip_prefix("version "));
        let version =
            version.ok_or_else(|| format!("{RECORD} has no line with the version"))?.to_owned();
        let surface = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(key, of)| (key.to_owned(), of.to_owned()))
            .collect();
        Ok(Self { version, surface })
    }

    fn text(&self) -> String {
        let mut text = format!("{HEAD}version {}\n\n", self.version);
        for (key, of) in &self.surface {
            let _ = writeln!(text, "{key}: {of}");
        }
        text
    }
}

/// One difference between two ABIs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Added(String),
    Removed(String),
    Changed(String, String, String),
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Added(key) => write!(f, "added: {key}"),
            Self::Removed(key) => write!(f, "removed: {key}"),
            Self::Changed(key, old, new) => write!(f, "changed: {key}: {old} is now {new}"),
        }
    }
}

fn changes(old: &Surface, new: &Surface) -> Vec<Change> {
    let mut changes = Vec::new();
    for (key, of) in old {
        match new.get(key) {
            None => changes.push(Change::Removed(key.clone())),
            Some(now) if now != of => {
                changes.push(Change::Changed(key.clone(), of.clone(), now.clone()));
            }
            Some(_) => {}
        }
    }
    let added = new.keys().filter(|key| !old.contains_key(*key));
    changes.extend(added.map(|key| Change::Added(key.clone())));
    changes
}

/// Checks that the new version allows all changes.
fn check_version(recorded: &Record, now: &Record) -> Result<()> {
    let (old, new) = (numbers(&recorded.version), numbers(&now.version));
    if new < old {
        return Err(format!(
            "the version {} is older than the recorded {}",
            now.version, recorded.version
        ));
    }
    let all = changes(&recorded.surface, &now.surface);
    let may_break = new > old && compatibility(&now.version) != compatibility(&recorded.version);
    // Before 1.0 any higher version may add something. From 1.0 on this needs a higher minor version.
    let may_add = may_break || if old[0] == 0 { new > old } else { new[..2] > old[..2] };
    let violations: Vec<String> = all
        .iter()
        .filter(|change| match change {
            Change::Added(_) => !may_add,
            Change::Removed(_) | Change::Changed(..) => !may_break,
        })
        .map(Change::to_string)
        .collect();
    if violations.is_empty() {
        return Ok(());
    }
    let breaks = all.iter().any(|change| !matches!(change, Change::Added(_)));
    Err(format!(
        "the version {} does not allow these changes since {}, which {RECORD} records:\n  {}\n{} \
         (see xtask/src/abi/mod.rs)",
        now.version,
        recorded.version,
        violations.join("\n  "),
        if breaks {
            "existing programs break; raise the part of the version that the soname contains"
        } else {
            "raise the version"
        },
    ))
}

/// The three numbers of a version.
fn numbers(version: &str) -> [u64; 3] {
    let core = version.split(['-', '+']).next().unwrap_or(version);
    let mut parts = core.split('.').map(|part| part.parse().unwrap_or_default());
    [(); 3].map(|()| parts.next().unwrap_or_default())
}

fn read(root: &Path, file: &str) -> Result<String> {
    std::fs::read_to_string(root.join(file)).map_err(|error| format!("cannot read {file}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(version: &str, things: &[(&str, &str)]) -> Record {
        let surface = things.iter().map(|(key, of)| ((*key).into(), (*of).into())).collect();
        Record { version: version.into(), surface }
    }

    const F: (&str, &str) = ("function f", "void (void)");
    const G: (&str, &str) = ("function g", "void (void)");
    const OTHER_F: (&str, &str) = ("function f", "int (void)");

    fn is_allowed(old: (&str, &[(&str, &str)]), new: (&str, &[(&str, &str)])) -> bool {
        check_version(&record(old.0, old.1), &record(new.0, new.1)).is_ok()
    }

    #[test]
    fn an_unchanged_abi_needs_no_new_version() {
        assert!(is_allowed(("0.1.0", &[F]), ("0.1.0", &[F])));
        assert!(is_allowed(("0.1.0", &[F]), ("0.1.5", &[F])));
        assert!(!is_allowed(("0.2.0", &[F]), ("0.1.0", &[F])));
    }

    #[test]
    fn an_addition_needs_a_higher_version() {
        assert!(!is_allowed(("0.1.0", &[F]), ("0.1.0", &[F, G])));
        assert!(is_allowed(("0.1.0", &[F]), ("0.1.1", &[F, G])));
        assert!(!is_allowed(("1.1.0", &[F]), ("1.1.1", &[F, G])));
        assert!(is_allowed(("1.1.0", &[F]), ("1.2.0", &[F, G])));
    }

    #[test]
    fn a_breaking_change_needs_another_soname() {
        for broken in [&[][..], &[OTHER_F][..]] {
            assert!(!is_allowed(("0.1.0", &[F]), ("0.1.1", broken)));
            assert!(is_allowed(("0.1.0", &[F]), ("0.2.0", broken)));
            assert!(!is_allowed(("1.1.0", &[F]), ("1.2.0", broken)));
            assert!(is_allowed(("1.1.0", &[F]), ("2.0.0", broken)));
        }
    }

    #[test]
    fn the_error_names_the_change() {
        let old = record("0.1.0", &[F]);
        let error = check_version(&old, &record("0.1.0", &[OTHER_F])).expect_err("it changed");
        assert!(error.contains("changed: function f: void (void) is now int (void)"), "{error}");
    }

    #[test]
    fn the_header_matches_the_record() {
        check(&crate::shell::root()).expect("cargo xtask abi");
        check_comments(&crate::shell::root()).expect("every declaration has a comment");
    }
}
