//! The Go package: its node for the demo, and its tests. All of it is skipped where Go is missing.
//!
//! The package is linked against this tree (`-tags meshage_tree`), and tested three times: as it is,
//! under the race detector, and with the runtime's checks of pointers that cross to C while garbage
//! is collected all the time.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build::{Language, Programs};
use crate::shell::{self, Result};
use crate::tally::Tally;

/// Where the Go part of the project is, from the top folder.
const FOLDER: &str = "meshage-go";
/// Other Go code, which is held to the same format and vetted as well.
const BENCH: &str = "bench/go";
/// The languages of the nodes that the tests make a mesh with, and the variables that tell them how
/// such a node is started: a word a line.
const NODES: [(&str, Language); 3] = [
    ("MESHAGE_NODE_RUST", Language::Rust),
    ("MESHAGE_NODE_C", Language::C),
    ("MESHAGE_NODE_PYTHON", Language::Python),
];

/// Why there is nothing to do here, where that is so.
pub(crate) fn why_not() -> Option<&'static str> {
    if shell::is_installed("go") { None } else { Some("Go is not installed") }
}

/// What `CGO_CFLAGS` has to be where an installed copy is looked for that is not always in one place.
///
/// Go keeps what it compiled under a key that has these flags, and not what pkg-config said: with
/// the usual ones, it would look for the library where it was when another test ran.
pub(crate) fn apart(copy: &Path) -> String {
    let name = copy.file_name().unwrap_or_default().to_string_lossy().replace('-', "_");
    format!("-O2 -g -Dcopy_of_{name}")
}

/// Builds the node of the demo. The library was built before.
pub(crate) fn node(root: &Path) -> Result<PathBuf> {
    let program = shell::target(root).join("demo_node_go");
    let mut build = go(root, FOLDER, &["build", "-tags", "meshage_tree", "-o"]);
    shell::quietly(build.arg(&program).arg("./examples/demo_node"))?;
    Ok(program)
}

/// Every check of the package.
pub(crate) fn test(root: &Path, tally: &mut Tally) {
    if let Some(because) = why_not() {
        tally.skip("the Go package", because);
        return;
    }
    let mut programs = None;
    tally.check("the library and the nodes for the Go package build", || {
        programs = Some(Programs::build(root)?);
        Ok(())
    });
    let Some(programs) = programs else {
        tally.skip("the Go package", "what it needs was not built");
        return;
    };
    tally.check("the Go sources are formatted", || formatted(root));
    tally.check("go vet", || {
        let vet = ["vet", "-tags", "meshage_tree", "./..."];
        shell::quietly(&mut go(root, FOLDER, &vet))?;
        shell::quietly(&mut go(root, BENCH, &vet)).map(|_| ())
    });
    tally.check("a Go program with the library inside it runs", || inside(root));
    tally.runner("the Go package", || tested(root, &programs, &[], &[]));
    if has_race_detector(root) {
        tally.runner("the Go package under the race detector", || {
            tested(root, &programs, &["-race"], &[])
        });
    } else {
        tally.skip("the Go package under the race detector", "it is not there for this system");
    }
    tally.runner("the Go package, every pointer checked, garbage collected all the time", || {
        tested(root, &programs, &[], &[("GODEBUG", "cgocheck=1"), ("GOGC", "1")])
    });
}

/// Runs the tests; how many passed, failed and were skipped.
fn tested(
    root: &Path,
    programs: &Programs,
    flags: &[&str],
    environment: &[(&str, &str)],
) -> Result<(usize, usize, usize)> {
    let all = ["test", "-json", "-count=1", "-tags", "meshage_tree"];
    let mut test = go(root, FOLDER, &all);
    test.args(flags).arg("./...").envs(environment.iter().copied());
    for (variable, language) in NODES {
        test.env(variable, words(&programs.command(language)));
    }
    let (succeeded, text) = shell::capture(&mut test)?;
    let (passed, mut failed, skipped) = counts(&text);
    if !succeeded {
        println!("{}", said(&text));
        // What did not compile, or crashed, has no count of its own.
        failed = failed.max(1);
    }
    Ok((passed, failed, skipped))
}

/// A command, a word a line.
fn words(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join("\n")
}

/// The counts in what `go test -json` prints. A test with parts counts once.
fn counts(text: &str) -> (usize, usize, usize) {
    let count = |action: &str| {
        let action = format!("\"Action\":\"{action}\"");
        text.lines().filter(|line| line.contains(&action) && is_test(line)).count()
    };
    (count("pass"), count("fail"), count("skip"))
}

/// Whether a line is about a test that is no part of another.
fn is_test(line: &str) -> bool {
    field(line, "Test").is_some_and(|name| !name.contains('/'))
}

/// A text in a line of JSON, as it is written there.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("\"{name}\":\""))?;
    let mut before = ' ';
    let end = rest.find(|c| {
        let ends = c == '"' && before != '\\';
        before = c;
        ends
    })?;
    rest.get(..end)
}

/// What the tests printed, and what is no JSON (the compiler's lines).
fn said(text: &str) -> String {
    let mut said = String::new();
    for line in text.lines() {
        match field(line, "Output") {
            Some(output) => said.push_str(&output.replace("\\n", "\n").replace("\\\"", "\"")),
            None if !line.starts_with('{') => {
                said.push_str(line);
                said.push('\n');
            }
            None => {}
        }
    }
    said
}

fn formatted(root: &Path) -> Result<()> {
    let mut gofmt = shell::command(root, "gofmt");
    let files = shell::quietly(gofmt.args(["-l", FOLDER, BENCH]))?;
    match files.trim() {
        "" => Ok(()),
        files => Err(format!("gofmt -w {}", files.replace('\n', " "))),
    }
}

/// Links an example statically, and runs it without the shared library's folder.
fn inside(root: &Path) -> Result<()> {
    let program = shell::target(root).join("own_types_go");
    let mut build = go(root, FOLDER, &["build", "-tags", "meshage_tree,meshage_static", "-o"]);
    shell::quietly(build.arg(&program).arg("./examples/own_types"))?;
    let mut run = shell::command(root, &program);
    let said = shell::quietly(run.env_remove("LD_LIBRARY_PATH"))?;
    if said.contains("door measured 20.5") { Ok(()) } else { Err(format!("it said {said:?}")) }
}

/// Whether programs can be built with the race detector here.
fn has_race_detector(root: &Path) -> bool {
    let mut nothing = go(root, FOLDER, &["build", "-race", "-o"]);
    nothing.arg(shell::target(root).join("race_go")).args(["-tags", "meshage_tree"]);
    shell::quietly(nothing.arg("./examples/own_types")).is_ok()
}

/// `go` in one of the project's folders.
fn go(root: &Path, folder: &str, arguments: &[&str]) -> Command {
    let mut command = shell::command(root, "go");
    command.current_dir(root.join(folder)).args(arguments);
    // cargo's own search path would find the library of another profile first.
    command.env_remove("LD_LIBRARY_PATH");
    if std::env::var_os("CARGO_TARGET_DIR").is_some() {
        let release = shell::target(root).join("release");
        let release = release.display();
        command.env("CGO_LDFLAGS", format!("-L{release} -Wl,-rpath,{release}"));
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
{"Action":"start","Package":"meshage"}
{"Action":"run","Package":"meshage","Test":"TestA"}
{"Action":"output","Package":"meshage","Test":"TestA","Output":"it said \"no\"\n"}
{"Action":"pass","Package":"meshage","Test":"TestA/one","Elapsed":0}
{"Action":"pass","Package":"meshage","Test":"TestA","Elapsed":0}
{"Action":"fail","Package":"meshage","Test":"TestB","Elapsed":0}
{"Action":"skip","Package":"meshage","Test":"TestC","Elapsed":0}
{"Action":"fail","Package":"meshage","Elapsed":0.1}
# meshage
"#;

    #[test]
    fn tests_are_counted_once_and_their_parts_and_packages_are_not() {
        assert_eq!(counts(TEXT), (1, 1, 1));
    }

    #[test]
    fn what_the_tests_said_is_shown_as_they_said_it() {
        assert_eq!(said(TEXT), "\nit said \"no\"\n# meshage\n");
    }
}
