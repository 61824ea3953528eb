//! The ABI watch: what programs that were compiled against an earlier header rely on.
//!
//! `meshage-ffi/abi.txt` has every function, type, constant and value of the C header as of the
//! version that it names: the last one that was published. What differs from it must be said by the
//! version in Cargo.toml:
//!
//! | change | 0.x | from 1.0 on |
//! |---|---|---|
//! | something is added | a higher version | a higher minor version |
//! | something is removed, or changes | a higher minor version | a higher major version |
//!
//! These are the rules of semantic versioning as cargo reads them, and of the soname, which names
//! the part of the version that the second line raises. The function `meshage_abi_…` is named for
//! that part as well, so that raising it is itself a change of the second kind.

mod surface;

use std::fmt::Write as _;
use std::path::Path;

use crate::install::compatibility;
use crate::shell::Result;
use surface::Surface;

/// The record, from the top folder.
const RECORD: &str = "meshage-ffi/abi.txt";
/// The header, from the top folder.
const HEADER: &str = "include/meshage.h";
/// What the record begins with.
const HEAD: &str = "\
# What programs compiled against meshage.h rely on, as of the version below.
# Written by `cargo xtask abi --accept`; `cargo xtask verify` holds the header and the version to it.
";

/// `cargo xtask abi`: says what differs from the record; `--accept` writes it anew.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    let known = ["--accept", "--unpublished"];
    if let Some(other) = arguments.iter().find(|argument| !known.contains(&argument.as_str())) {
        return Err(format!(
            "no option {other:?}: --accept writes {RECORD} anew, where the version says enough; \
             with --unpublished also where it says nothing, since nobody has that version yet"
        ));
    }
    let now = Record::of_header(root)?;
    let recorded = Record::read(root);
    if let Ok(recorded) = &recorded {
        for change in changes(&recorded.surface, &now.surface) {
            println!("{change}");
        }
    }
    if !has("--accept") {
        return recorded.and_then(|recorded| judge(&recorded, &now));
    }
    if let Ok(recorded) = &recorded {
        let unpublished = has("--unpublished") && recorded.version == now.version;
        if !unpublished {
            judge(recorded, &now)?;
        }
    }
    std::fs::write(root.join(RECORD), now.text())
        .map_err(|error| format!("cannot write {RECORD}: {error}"))
}

/// Whether the header is the recorded one, or the version says that it is not.
pub(crate) fn check(root: &Path) -> Result<()> {
    judge(&Record::read(root)?, &Record::of_header(root)?)
}

/// Whether everything in the header has its comment.
pub(crate) fn documented(root: &Path) -> Result<()> {
    let bare = surface::undocumented(&read(root, HEADER)?);
    if bare.is_empty() { Ok(()) } else { Err(format!("{HEADER} says nothing of {bare:?}")) }
}

/// What a version offers.
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
        let version = version.ok_or_else(|| format!("{RECORD} names no version"))?.to_owned();
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

/// One difference, and what it asks of the version.
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

fn judge(recorded: &Record, now: &Record) -> Result<()> {
    let (old, new) = (numbers(&recorded.version), numbers(&now.version));
    if new < old {
        return Err(format!("the version {} is before {}", now.version, recorded.version));
    }
    let all = changes(&recorded.surface, &now.surface);
    let may_break = new > old && compatibility(&now.version) != compatibility(&recorded.version);
    // Before 1.0 whatever is higher may add; from then on it takes a higher minor version.
    let may_add = may_break || if old[0] == 0 { new > old } else { new[..2] > old[..2] };
    let breaches: Vec<String> = all
        .iter()
        .filter(|change| match change {
            Change::Added(_) => !may_add,
            Change::Removed(_) | Change::Changed(..) => !may_break,
        })
        .map(Change::to_string)
        .collect();
    if breaches.is_empty() {
        return Ok(());
    }
    let breaks = all.iter().any(|change| !matches!(change, Change::Added(_)));
    Err(format!(
        "the version {} does not say of {}, which {RECORD} records, that\n  {}\n{} (see xtask/src/abi)",
        now.version,
        recorded.version,
        breaches.join("\n  "),
        if breaks { "programs break: raise the part that the soname has" } else { "raise it" },
    ))
}

/// A version's three numbers.
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

    fn passes(old: (&str, &[(&str, &str)]), new: (&str, &[(&str, &str)])) -> bool {
        judge(&record(old.0, old.1), &record(new.0, new.1)).is_ok()
    }

    #[test]
    fn nothing_new_asks_for_nothing() {
        assert!(passes(("0.1.0", &[F]), ("0.1.0", &[F])));
        assert!(passes(("0.1.0", &[F]), ("0.1.5", &[F])));
        assert!(!passes(("0.2.0", &[F]), ("0.1.0", &[F])));
    }

    #[test]
    fn an_addition_asks_for_a_higher_version() {
        assert!(!passes(("0.1.0", &[F]), ("0.1.0", &[F, G])));
        assert!(passes(("0.1.0", &[F]), ("0.1.1", &[F, G])));
        assert!(!passes(("1.1.0", &[F]), ("1.1.1", &[F, G])));
        assert!(passes(("1.1.0", &[F]), ("1.2.0", &[F, G])));
    }

    #[test]
    fn what_breaks_programs_asks_for_another_soname() {
        for broken in [&[][..], &[OTHER_F][..]] {
            assert!(!passes(("0.1.0", &[F]), ("0.1.1", broken)));
            assert!(passes(("0.1.0", &[F]), ("0.2.0", broken)));
            assert!(!passes(("1.1.0", &[F]), ("1.2.0", broken)));
            assert!(passes(("1.1.0", &[F]), ("2.0.0", broken)));
        }
    }

    #[test]
    fn a_breach_is_told_by_name() {
        let old = record("0.1.0", &[F]);
        let error = judge(&old, &record("0.1.0", &[OTHER_F])).expect_err("it changed");
        assert!(error.contains("changed: function f: void (void) is now int (void)"), "{error}");
    }

    #[test]
    fn the_header_is_as_recorded() {
        check(&crate::shell::root()).expect("cargo xtask abi");
        documented(&crate::shell::root()).expect("every function has its comment");
    }
}
