//! Shows how far a long suite is: a line when a group of tests starts, a line with the time when it
//! ends, and on a terminal a line in between that counts the tests.
//!
//! The readers of the suites' output (cargo, pytest, go) call this with what they find in it.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// How often the line on a terminal changes.
const REFRESH_INTERVAL: Duration = Duration::from_millis(200);

/// The progress of one suite.
pub(crate) struct Progress {
    is_terminal: bool,
    group: Option<Group>,
}

struct Group {
    name: String,
    start: Instant,
    /// The tests that have ended.
    tests: usize,
    shown: Instant,
}

impl Progress {
    /// A suite without a group.
    pub(crate) fn new() -> Self {
        Self { is_terminal: std::io::stdout().is_terminal(), group: None }
    }

    /// Runs a step that has no tests, as a group.
    pub(crate) fn step<T>(&mut self, name: &str, run: impl FnOnce() -> T) -> T {
        self.start(name);
        let result = run();
        self.end("done");
        result
    }

    /// Starts a group. A group that has not ended ends first.
    pub(crate) fn start(&mut self, name: &str) {
        self.end("done");
        let now = Instant::now();
        println!("   {name}: started");
        self.group = Some(Group { name: name.to_owned(), start: now, tests: 0, shown: now });
    }

    /// The name of the current group.
    pub(crate) fn group(&self) -> Option<&str> {
        self.group.as_ref().map(|group| group.name.as_str())
    }

    /// Counts one test of the group.
    pub(crate) fn count_test(&mut self) {
        let Some(group) = &mut self.group else { return };
        group.tests += 1;
        let text = format!("{} tests so far", group.tests);
        self.show(&text);
    }

    /// Shows on a terminal what the group does now.
    pub(crate) fn show(&mut self, what: &str) {
        let Some(group) = &mut self.group else { return };
        if self.is_terminal && group.shown.elapsed() >= REFRESH_INTERVAL {
            group.shown = Instant::now();
            let took = group.start.elapsed().as_secs();
            print!("\r\x1b[K   {}: {what}, {took} s", group.name);
            let _ = std::io::stdout().flush();
        }
    }

    /// Ends the group, if there is one.
    pub(crate) fn end(&mut self, result: &str) {
        let Some(group) = self.group.take() else { return };
        if self.is_terminal {
            print!("\r\x1b[K");
        }
        println!("   {}: {result} ({:.1} s)", group.name, group.start.elapsed().as_secs_f64());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end("done");
    }
}
