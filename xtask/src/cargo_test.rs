//! Runs `cargo test`, shows its progress by test program, and finds the counts and the skipped tests
//! in its output.

use std::process::Command;

use crate::progress::Progress;
use crate::shell::{self, Result};
use crate::tally::{Counts, number_before};

/// The group of the time before the first test program starts.
const BUILDING: &str = "building";
/// What a test prints if it cannot run on this machine.
const SKIPPED: &str = "skipped: ";

/// Runs `cargo test`. Prints its output if a test failed.
pub(crate) fn run(command: &mut Command) -> Result<Counts> {
    let mut suite = Suite { progress: Progress::new(), counts: Counts::default() };
    suite.progress.start(BUILDING);
    let (succeeded, text) = shell::follow(command, |line| suite.read(line))?;
    let Suite { progress, mut counts } = suite;
    drop(progress);
    if !succeeded {
        println!("{text}");
        // A test program that did not compile, or crashed, has no counts.
        counts.failed = counts.failed.max(1);
    }
    Ok(counts)
}

struct Suite {
    progress: Progress,
    counts: Counts,
}

impl Suite {
    fn read(&mut self, line: &str) {
        let trimmed = line.trim_start();
        if let Some(program) = trimmed.strip_prefix("Running ").filter(|_| line.starts_with(' ')) {
            self.progress.start(group_name(program));
        } else if let Some(package) = trimmed.strip_prefix("Doc-tests ") {
            self.progress.start(&format!("documentation examples of {package}"));
        } else if trimmed.starts_with("Compiling ") {
            self.progress.show(trimmed);
        } else if line.starts_with("test result:") {
            self.read_result(line);
        } else if let Some(test) = line.strip_prefix("test ") {
            self.read_test(test);
        }
        // Tests run in parallel, so the text may follow that of another test on its line.
        if let Some((_, what)) = line.split_once(SKIPPED) {
            self.counts.skipped.push(what.to_owned());
        }
    }

    /// Reads a line `name ... ok` or `name ... ignored, reason`.
    fn read_test(&mut self, line: &str) {
        let Some((name, result)) = line.split_once(" ... ") else { return };
        self.progress.count_test();
        if let Some(reason) = result.strip_prefix("ignored") {
            let reason = reason.trim_start_matches(", ");
            let reason = if reason.is_empty() { "it is ignored" } else { reason };
            self.counts.skipped.push(format!("the test {name}: {reason}"));
        }
    }

    fn read_result(&mut self, line: &str) {
        let (passed, failed) = (number_before(line, "passed"), number_before(line, "failed"));
        self.counts.passed += passed;
        self.counts.failed += failed;
        self.progress.end(&format!("{passed} passed, {failed} failed"));
    }
}

/// `tests/links` for `tests/links.rs (target/debug/…)`, `src/lib` for `unittests src/lib.rs (…)`.
fn group_name(program: &str) -> &str {
    let path = program.strip_prefix("unittests ").unwrap_or(program);
    let path = path.split(" (").next().unwrap_or(path);
    path.strip_suffix(".rs").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Counts {
        let mut suite = Suite { progress: Progress::new(), counts: Counts::default() };
        text.lines().for_each(|line| suite.read(line));
        std::mem::take(&mut suite.counts)
    }

    #[test]
    fn the_counts_of_all_test_programs_are_summed() {
        let counts = read(
            "\
   Compiling meshage v0.1.0
     Running unittests src/lib.rs (target/debug/deps/meshage-1)
running 2 tests
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
noise
     Running tests/links.rs (target/debug/deps/links-1)
test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out
",
        );
        assert_eq!((counts.passed, counts.failed, counts.skipped.len()), (5, 1, 0));
    }

    #[test]
    fn every_skipped_test_is_named_with_its_reason() {
        let counts = read(
            "\
test a::measurement ... ignored, takes a minute
test b ... ignored
test c ... ok
test d ... skipped: the C programs under valgrind, because it is not installed
test result: ok. 2 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s
",
        );
        let named = [
            "the test a::measurement: takes a minute",
            "the test b: it is ignored",
            "the C programs under valgrind, because it is not installed",
        ];
        assert_eq!(counts.skipped, named);
    }

    #[test]
    fn a_group_is_named_after_its_file() {
        assert_eq!(group_name("unittests src/lib.rs (target/debug/deps/m-1)"), "src/lib");
        assert_eq!(group_name("tests/links.rs (target/debug/deps/links-1)"), "tests/links");
    }
}
