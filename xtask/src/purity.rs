//! Checks that the planes do not use what they must not use, and that only the system modules depend
//! on the operating system.
//!
//! The type system cannot express that a module has no clock. Therefore each rule here names a folder
//! and the words that its code must not contain. Comments and unit tests are ignored.

use std::path::{Path, PathBuf};

use crate::shell::Result;

struct Rule {
    /// A file or folder below the tree.
    place: &'static str,
    /// A description for the error.
    description: &'static str,
    /// The forbidden words.
    words: &'static [&'static [&'static str]],
}

const SOCKETS: &[&str] = &["tokio", "socket2", "libc::", "TcpStream", "TcpListener", "UdpSocket"];
const CLOCKS: &[&str] = &["Instant::now", "SystemTime", "thread::sleep"];
const RANDOMNESS: &[&str] =
    &["rand::rng()", "rand::random", "SysRng", "OsRng", "ThreadRng", "getrandom", "RandomState"];
const THREADS: &[&str] = &["std::thread", "thread::spawn", "thread_local!"];
const WAITING: &[&str] = &[".await", "async fn", "async move"];
const LOCKS: &[&str] = &["Mutex", "RwLock", "Condvar"];
const DRIVER: &[&str] = &["crate::net", "crate::node", "crate::blocking"];

/// What differs between operating systems. `std::os::raw` has the types of C, on every system.
const SYSTEM: &[&str] = &[
    "std::os::fd",
    "std::os::unix",
    "std::os::linux",
    "std::os::windows",
    "libc::",
    "socket2",
    "cfg(unix",
    "cfg(windows",
    "cfg(not(unix",
    "cfg(not(windows",
    "cfg(any(unix",
    "cfg(all(unix",
    "target_os",
    "target_vendor",
    "target_family",
    "target_env",
];
/// The only modules that may use [`SYSTEM`].
const SYSTEM_MODULES: [&str; 3] =
    ["meshage/src/net/sys/", "meshage-ffi/src/system.rs", "meshage-py/src/system.rs"];

const RULES: &[Rule] = &[
    Rule { place: "meshage/src", description: "code outside of net/sys", words: &[SYSTEM] },
    Rule { place: "meshage-ffi/src", description: "code outside of system.rs", words: &[SYSTEM] },
    Rule { place: "meshage-py/src", description: "code outside of system.rs", words: &[SYSTEM] },
    Rule {
        place: "meshage/src/protocol",
        description: "the control plane",
        words: &[
            SOCKETS,
            CLOCKS,
            RANDOMNESS,
            THREADS,
            WAITING,
            LOCKS,
            DRIVER,
            &["crate::forward", "crate::sim"],
        ],
    },
    Rule {
        place: "meshage/src/forward",
        description: "the data plane",
        words: &[
            SOCKETS,
            CLOCKS,
            RANDOMNESS,
            THREADS,
            WAITING,
            DRIVER,
            &["crate::protocol", "crate::sim"],
        ],
    },
    Rule {
        place: "meshage/src/wire",
        description: "the wire format",
        words: &[
            SOCKETS,
            CLOCKS,
            RANDOMNESS,
            THREADS,
            WAITING,
            LOCKS,
            DRIVER,
            &["crate::protocol", "crate::forward", "crate::sim"],
        ],
    },
    Rule {
        place: "meshage/src/sim",
        description: "the simulator",
        words: &[SOCKETS, RANDOMNESS, WAITING, DRIVER],
    },
    Rule {
        place: "meshage/src/name.rs",
        description: "the names",
        words: &[SOCKETS, CLOCKS, RANDOMNESS, THREADS, LOCKS],
    },
    Rule {
        place: "meshage/src/route.rs",
        description: "the routes",
        words: &[SOCKETS, CLOCKS, RANDOMNESS, THREADS],
    },
    Rule {
        place: "meshage/src/route",
        description: "the graph of the routes",
        words: &[SOCKETS, CLOCKS, RANDOMNESS, THREADS, LOCKS],
    },
    Rule {
        place: "meshage/src/topology.rs",
        description: "the topology",
        words: &[SOCKETS, CLOCKS, RANDOMNESS, LOCKS],
    },
];

/// Checks every rule.
pub(crate) fn check(root: &Path) -> Result<()> {
    let mut violations = Vec::new();
    for rule in RULES {
        for file in rust_files(&root.join(rule.place))? {
            let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
            let is_own = SYSTEM_MODULES.iter().any(|own| shown.starts_with(own));
            if is_test(&file) || rule.words == [SYSTEM] && is_own {
                continue;
            }
            let text = std::fs::read_to_string(&file)
                .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
            violations.extend(violations_of(rule, &text).map(|(line, word)| {
                format!("{shown}:{line}: {} must not use `{word}`", rule.description)
            }));
        }
    }
    if violations.is_empty() { Ok(()) } else { Err(violations.join("\n")) }
}

/// Whether a file holds only unit tests: `tests.rs`, or a file in a folder `tests`.
fn is_test(file: &Path) -> bool {
    file.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")))
}

fn violations_of<'a>(rule: &'a Rule, text: &'a str) -> impl Iterator<Item = (usize, &'static str)> {
    code(text).flat_map(move |(number, line)| {
        let words = rule.words.iter().flat_map(|group| group.iter());
        words.filter(move |word| line.contains(**word)).map(move |word| (number, *word))
    })
}

/// The numbered lines of code, without comments, up to the unit tests.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let tests = ["#[cfg(test)]\nmod ", "#[cfg(test)]\npub(crate) mod "];
    let end = tests.iter().filter_map(|start| text.find(start)).min().unwrap_or(text.len());
    text[..end]
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
}

/// The Rust files of a folder and its subfolders, or the file itself. Empty if the path does not exist.
pub(crate) fn rust_files(place: &Path) -> Result<Vec<PathBuf>> {
    if place.is_file() {
        return Ok(vec![place.to_path_buf()]);
    }
    let mut files = Vec::new();
    let mut folders = vec![place.to_path_buf()];
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        let entries = std::fs::read_dir(&folder)
            .map_err(|error| format!("cannot list {}: {error}", folder.display()))?;
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files.retain(|file| !is_unit_test(file));
    Ok(files)
}

/// Whether a file is a module that its parent declares only for tests, or is part of such a module.
fn is_unit_test(file: &Path) -> bool {
    let (Some(folder), Some(name)) = (file.parent(), file.file_stem()) else { return false };
    let declared = format!("#[cfg(test)]\nmod {};", name.display());
    let parents = [folder.join("mod.rs"), folder.with_extension("rs"), folder.join("lib.rs")];
    let is_declared = |parent: &PathBuf| {
        std::fs::read_to_string(parent).is_ok_and(|text| text.contains(&declared))
    };
    let parent = folder.with_extension("rs");
    parents.iter().any(is_declared) || parent.is_file() && is_unit_test(&parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule { place: "", description: "it", words: &[CLOCKS, LOCKS] };

    fn found(text: &str) -> Vec<(usize, &'static str)> {
        violations_of(&RULE, text).collect()
    }

    #[test]
    fn a_clock_in_the_code_is_found_with_its_line() {
        assert_eq!(found("fn f() {}\nlet t = Instant::now();\n"), [(2, "Instant::now")]);
    }

    #[test]
    fn only_the_system_modules_may_depend_on_the_operating_system() {
        let rule = Rule { place: "", description: "it", words: &[SYSTEM] };
        let found = |text: &str| violations_of(&rule, text).count();
        assert_eq!(found("use std::os::fd::AsRawFd;\n"), 1);
        assert_eq!(found("#[cfg(unix)]\nfn f() {}\n"), 1);
        assert_eq!(found("#[cfg(any(target_os = \"linux\"))]\n"), 1);
        assert_eq!(found("use std::os::raw::c_int;\n#[cfg(test)]\nfn f() {}\n"), 0);
        for own in SYSTEM_MODULES {
            assert!(crate::shell::root().join(own).exists(), "{own}");
        }
    }

    #[test]
    fn comments_and_unit_tests_are_ignored() {
        assert_eq!(found("// no Mutex here\nfn f() {} // nor SystemTime\n"), []);
        assert_eq!(found("fn f() {}\n#[cfg(test)]\nmod tests { use std::sync::Mutex; }\n"), []);
    }
}
