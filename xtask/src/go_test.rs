//! The tests of the Go package.
//!
//! The package is linked against this tree (`-tags meshage_tree`) and tested three times: as it is,
//! under the race detector, and with the runtime's pointer checks (cgocheck) while garbage is
//! collected continuously.

use std::path::Path;
use std::process::Command;

use crate::build::{Language, Programs};
use crate::go::{BENCH, DRIVER, FOLDER, go, unavailable_reason};
use crate::progress::Progress;
use crate::shell::{self, Result};
use crate::tally::{Counts, Tally};

/// The languages of the nodes in the tests' meshes. Each variable contains the command that starts
/// such a node, with one argument in each line.
const NODES: [(&str, Language); 3] = [
    ("MESHAGE_NODE_RUST", Language::Rust),
    ("MESHAGE_NODE_C", Language::C),
    ("MESHAGE_NODE_PYTHON", Language::Python),
];

/// Runs all checks of the package.
pub(crate) fn run(root: &Path, tally: &mut Tally) {
    if let Some(because) = unavailable_reason() {
        tally.skip("the Go package", because);
        return;
    }
    let mut programs = None;
    tally.check("the library and the node programs for the Go package build", || {
        programs = Some(Programs::build(root)?);
        Ok(())
    });
    let Some(programs) = programs else {
        tally.skip("the Go package", "the library or the node programs were not built");
        return;
    };
    tally.check("the Go sources are formatted", || check_format(root));
    tally.check("go vet reports nothing", || {
        let vet = ["vet", "-tags", "meshage_tree", "./..."];
        [FOLDER, BENCH, DRIVER]
            .into_iter()
            .try_for_each(|folder| shell::run_quietly(&mut go(root, folder, &vet)).map(|_| ()))
    });
    tally.check("a statically linked Go program runs", || static_program(root));
    tally.suite("the Go package", || run_tests(root, &programs, &[], &[]));
    if has_race_detector(root) {
        tally.suite("the Go package under the race detector", || {
            run_tests(root, &programs, &["-race"], &[])
        });
    } else {
        tally.skip("the Go package under the race detector", "this system has no race detector");
    }
    tally.suite("the Go package with pointer checks and continuous garbage collection", || {
        run_tests(root, &programs, &[], &[("GODEBUG", "cgocheck=1"), ("GOGC", "1")])
    });
}

/// Runs the tests.
fn run_tests(
    root: &Path,
    programs: &Programs,
    flags: &[&str],
    environment: &[(&str, &str)],
) -> Result<Counts> {
    let all = ["test", "-json", "-count=1", "-tags", "meshage_tree"];
    let mut test = go(root, FOLDER, &all);
    test.args(flags).arg("./...").envs(environment.iter().copied());
    for (variable, language) in NODES {
        test.env(variable, argument_lines(&programs.command(language)));
    }
    let mut progress = Progress::new();
    progress.start("building and running the tests");
    let (succeeded, text) = shell::follow(&mut test, |line| {
        if is_test(line) && ENDS.iter().any(|end| is_action(line, end)) {
            progress.count_test();
        }
    })?;
    drop(progress);
    let mut counts = counts(&text);
    if !succeeded {
        println!("{}", output_of(&text));
        // A package that did not compile, or crashed, has no counts.
        counts.failed = counts.failed.max(1);
    }
    Ok(counts)
}

/// A command, with one argument in each line.
fn argument_lines(command: &Command) -> String {
    let arguments = std::iter::once(command.get_program()).chain(command.get_args());
    arguments.map(|argument| argument.to_string_lossy().into_owned()).collect::<Vec<_>>().join("\n")
}

/// The actions that end a test.
const ENDS: [&str; 3] = ["pass", "fail", "skip"];

/// The counts in the output of `go test -json`. A test with subtests counts once.
fn counts(text: &str) -> Counts {
    let count =
        |action: &str| text.lines().filter(|line| is_action(line, action) && is_test(line)).count();
    let skips = text.lines().filter(|line| is_action(line, "skip") && is_test(line));
    let skipped = skips.filter_map(|line| field(line, "Test")).map(|test| {
        format!("the test {test}: {}", reason(text, test).unwrap_or("it gives no reason"))
    });
    Counts { passed: count("pass"), failed: count("fail"), skipped: skipped.collect() }
}

/// Why a test was skipped: the text that it printed, `    file_test.go:7: text`.
fn reason<'a>(text: &'a str, test: &str) -> Option<&'a str> {
    let of_test = text.lines().filter(|line| field(line, "Test") == Some(test));
    let mut printed = of_test.filter_map(|line| field(line, "Output"));
    let (_, reason) = printed.find_map(|output| output.split_once("_test.go:"))?;
    Some(reason.split_once(": ")?.1.trim_end_matches("\\n"))
}

fn is_action(line: &str, action: &str) -> bool {
    field(line, "Action") == Some(action)
}

/// Whether a line is about a test that is not a subtest.
fn is_test(line: &str) -> bool {
    field(line, "Test").is_some_and(|name| !name.contains('/'))
}

/// The text of a field in a line of JSON, with its escapes.
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

/// The output of the tests, and the lines that are not JSON (those of the compiler).
fn output_of(text: &str) -> String {
    let mut printed = String::new();
    for line in text.lines() {
        match field(line, "Output") {
            Some(output) => printed.push_str(&output.replace("\\n", "\n").replace("\\\"", "\"")),
            None if !line.starts_with('{') => {
                printed.push_str(line);
                printed.push('\n');
            }
            None => {}
        }
    }
    printed
}

fn check_format(root: &Path) -> Result<()> {
    let mut gofmt = shell::command(root, "gofmt");
    let files = shell::run_quietly(gofmt.args(["-l", FOLDER, BENCH, DRIVER]))?;
    match files.trim() {
        "" => Ok(()),
        files => Err(format!("not formatted; run gofmt -w {}", files.replace('\n', " "))),
    }
}

/// Links an example statically, and runs it without the folder of the shared library.
fn static_program(root: &Path) -> Result<()> {
    let program = shell::target(root).join("own_types_go");
    let mut build = go(root, FOLDER, &["build", "-tags", "meshage_tree,meshage_static", "-o"]);
    shell::run_quietly(build.arg(&program).arg("./examples/own_types"))?;
    let mut run = shell::command(root, &program);
    let text = shell::run_quietly(run.env_remove("LD_LIBRARY_PATH"))?;
    if text.contains("door measured 20.5") { Ok(()) } else { Err(format!("it printed {text:?}")) }
}

/// Whether this system can build programs with the race detector.
fn has_race_detector(root: &Path) -> bool {
    let mut build = go(root, FOLDER, &["build", "-race", "-o"]);
    build.arg(shell::target(root).join("race_go")).args(["-tags", "meshage_tree"]);
    shell::run_quietly(build.arg("./examples/own_types")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
{"Action":"start","Package":"meshage"}
{"Action":"run","Package":"meshage","Test":"TestA"}
{"Action":"output","Package":"meshage","Test":"TestA","Output":"it printed \"no\"\n"}
{"Action":"pass","Package":"meshage","Test":"TestA/one","Elapsed":0}
{"Action":"pass","Package":"meshage","Test":"TestA","Elapsed":0}
{"Action":"fail","Package":"meshage","Test":"TestB","Elapsed":0}
{"Action":"output","Package":"meshage","Test":"TestC","Output":"    a_test.go:9: no node is set\n"}
{"Action":"skip","Package":"meshage","Test":"TestC","Elapsed":0}
{"Action":"fail","Package":"meshage","Elapsed":0.1}
# meshage
"#;

    #[test]
    fn tests_are_counted_once_and_subtests_and_packages_are_not() {
        let counts = counts(TEXT);
        assert_eq!((counts.passed, counts.failed), (1, 1));
        assert_eq!(counts.skipped, ["the test TestC: no node is set"]);
    }

    #[test]
    fn the_output_of_the_tests_is_shown_unescaped() {
        let printed = "\nit printed \"no\"\n    a_test.go:9: no node is set\n# meshage\n";
        assert_eq!(output_of(TEXT), printed);
    }
}
