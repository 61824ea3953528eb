//! Runs two first programs, in any language, until each has received a greeting from the other.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::Process;
use crate::random;
use crate::shell::Result;

/// The time limit for both greetings between two nodes on one machine, which may be busy.
const GREETING_MAX: Duration = Duration::from_secs(20);
/// The time after which a node that was started for a test exits, as its argument.
const NODE_TIMEOUT_SECONDS: &str = "60";

/// Starts both programs with unique names, and waits for the greetings.
pub(crate) fn exchange_greetings(one: Command, other: Command) -> Result<()> {
    let run = random::number();
    let names = [format!("one-{run:016x}"), format!("other-{run:016x}")];
    let start = |mut command: Command, name: &str| {
        command.args([name, NODE_TIMEOUT_SECONDS]);
        Process::spawn(name, command)
    };
    let mut nodes = [start(one, &names[0])?, start(other, &names[1])?];
    let deadline = Instant::now() + GREETING_MAX;
    for (node, from) in nodes.iter_mut().zip(names.iter().rev()) {
        while !is_greeting(
            &node.read_answer(deadline.saturating_duration_since(Instant::now()))?,
            from,
        ) {}
    }
    Ok(())
}

/// Whether a line that a first program printed contains a greeting from this node. If two programs
/// share an output, the greeting may be in the middle of the line.
pub(crate) fn is_greeting(line: &str, from: &str) -> bool {
    ['"', '\''].into_iter().any(|quote| line.contains(&format!("{from} says {quote}hello")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_recognised_in_every_language() {
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
