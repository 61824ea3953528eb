//! Two first programs, whatever they are written in, run until each has been greeted by the other.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::Process;
use crate::random;
use crate::shell::Result;

/// How long two nodes on one machine may take until both have been greeted, on a busy one too.
const GREETING_MAX: Duration = Duration::from_secs(20);
/// What two nodes that were started for a test get as the time after which they give up.
const PATIENCE_SECONDS: &str = "60";

/// Starts both, with names that nobody else has, and waits for the greetings.
pub(crate) fn greet(one: Command, other: Command) -> Result<()> {
    let run = random::number();
    let names = [format!("one-{run:016x}"), format!("other-{run:016x}")];
    let start = |mut command: Command, name: &str| {
        command.args([name, PATIENCE_SECONDS]);
        Process::spawn(name, command)
    };
    let mut nodes = [start(one, &names[0])?, start(other, &names[1])?];
    let by = Instant::now() + GREETING_MAX;
    for (node, from) in nodes.iter_mut().zip(names.iter().rev()) {
        while !is_greeting(&node.answer(by.saturating_duration_since(Instant::now()))?, from) {}
    }
    Ok(())
}

/// Whether a line of a first program's is about what this node said. Where two programs print to one
/// place, it may not begin the line.
pub(crate) fn is_greeting(line: &str, from: &str) -> bool {
    ['"', '\''].into_iter().any(|quote| line.contains(&format!("{from} says {quote}hello")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_told_from_other_lines_in_every_language() {
        for line in [
            "bob says \"hello\"",
            "bob says 'hello, this is bob'",
            "bob says \"hello, this is bob\"",
        ] {
            assert!(is_greeting(line, "bob"), "{line}");
        }
        for line in
            ["hello to bob: ok", "bob says \"good-bye\"", "bob says \"\"", "bob looks for others"]
        {
            assert!(!is_greeting(line, "bob"), "{line}");
        }
    }
}
