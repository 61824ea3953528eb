//! Counts the checks that passed, failed and were skipped, over all suites.

use std::time::Instant;

use crate::shell::Result;

/// The counts, and the failures to list at the end.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Checks that passed.
    pub(crate) passed: usize,
    /// Checks that failed.
    pub(crate) failed: usize,
    /// Checks that cannot run on this machine.
    pub(crate) skipped: usize,
    failures: Vec<String>,
}

/// The counts of one suite.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Tests that passed.
    pub(crate) passed: usize,
    /// Tests that failed.
    pub(crate) failed: usize,
    /// Tests that did not run, each with the reason.
    pub(crate) skipped: Vec<String>,
}

impl Tally {
    /// Runs one check. Prints its name first, and its result afterwards.
    pub(crate) fn check(&mut self, what: &str, run: impl FnOnce() -> Result<()>) -> bool {
        let start = Instant::now();
        println!("── {what}");
        match run() {
            Ok(()) => {
                println!("   passed: {what} ({:.1} s)", start.elapsed().as_secs_f64());
                self.passed += 1;
                true
            }
            Err(why) => {
                self.fail(what, &why);
                false
            }
        }
    }

    /// Runs a suite that has its own counts.
    pub(crate) fn suite(&mut self, what: &str, run: impl FnOnce() -> Result<Counts>) {
        let start = Instant::now();
        println!("── {what}");
        match run() {
            Ok(Counts { passed, failed, skipped }) => {
                for skipped in &skipped {
                    println!("skipped: {skipped}");
                }
                let took = start.elapsed().as_secs_f64();
                println!("   {passed} passed, {failed} failed: {what} ({took:.1} s)");
                self.passed += passed;
                self.failed += failed;
                self.skipped += skipped.len();
                if failed > 0 {
                    self.failures.push(format!("{what}: {failed} failed"));
                }
            }
            Err(why) => self.fail(what, &why),
        }
    }

    /// Skips a check that cannot run on this machine.
    pub(crate) fn skip(&mut self, what: &str, because: &str) {
        println!("skipped: {what} because {because}");
        self.skipped += 1;
    }

    fn fail(&mut self, what: &str, why: &str) {
        println!("   FAILED: {what}: {why}");
        self.failed += 1;
        self.failures.push(format!("{what}: {}", why.lines().next().unwrap_or_default()));
    }

    /// The last line of the output.
    pub(crate) fn line(&self) -> String {
        let mut line = format!("{} passed, {} failed", self.passed, self.failed);
        if self.skipped > 0 {
            line.push_str(&format!(", {} skipped", self.skipped));
        }
        line
    }

    /// Prints the failures, then the last line. Returns an error if there were failures.
    pub(crate) fn finish(self) -> Result<()> {
        for failure in &self.failures {
            println!("failed: {failure}");
        }
        println!("{}", self.line());
        if self.failed == 0 { Ok(()) } else { Err("some checks failed".into()) }
    }
}

/// The number before `word` in a line of counts, or 0 if there is none.
pub(crate) fn number_before(line: &str, word: &str) -> usize {
    let words: Vec<&str> =
        line.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words
        .windows(2)
        .find(|pair| pair[1] == word)
        .and_then(|pair| pair[0].parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_before_its_word() {
        assert_eq!(number_before("== 12 passed, 1 failed in 0.3s ==", "passed"), 12);
        assert_eq!(number_before("== 12 passed in 0.3s ==", "failed"), 0);
    }

    #[test]
    fn the_skipped_tests_of_a_suite_are_counted_as_they_are_named() {
        let mut tally = Tally::default();
        let skipped = vec!["a: no network".to_owned(), "b: no valgrind".to_owned()];
        tally.suite("a suite", || Ok(Counts { passed: 4, failed: 0, skipped }));
        assert_eq!(tally.line(), "4 passed, 0 failed, 2 skipped");
    }

    #[test]
    fn the_last_line_contains_skips_only_if_there_are_some() {
        let mut tally = Tally { passed: 3, ..Tally::default() };
        assert_eq!(tally.line(), "3 passed, 0 failed");
        tally.skip("a check", "it cannot run here");
        assert_eq!(tally.line(), "3 passed, 0 failed, 1 skipped");
    }
}
