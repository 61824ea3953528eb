//! Parses the script. xtask/conformance.txt describes its form.

use crate::shell::Result;

/// Steps that share nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// Its number in the file, from 1 on.
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) action: Action,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Starts a node; with a word, the start must fail with it.
    Start { name: String, options: Vec<String>, failure: Option<String> },
    /// Sends a signal.
    Signal { name: String, signal: Signal },
    /// Runs a command, and compares its result.
    Run { name: String, words: Vec<String>, expected: Vec<String> },
    /// Begins a command under a token.
    Begin { name: String, words: Vec<String>, token: String },
    /// Compares the result of a command that was begun.
    End { token: String, expected: Vec<String> },
}

/// A signal to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Kill,
    Stop,
    Continue,
}

/// Parses the whole script.
pub(super) fn parse(text: &str) -> Result<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let (line, number) = (line.trim(), at + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("== ") {
            groups.push(Group { name: name.to_owned(), steps: Vec::new() });
            continue;
        }
        let action = action(line).ok_or(format!("line {number} is no step: {line}"))?;
        let group = groups.last_mut().ok_or(format!("line {number} is before the first group"))?;
        group.steps.push(Step { line: number, text: line.to_owned(), action });
    }
    Ok(groups)
}

fn action(line: &str) -> Option<Action> {
    let (command, expected) = match line.split_once(" = ") {
        Some((command, result)) => (command, Some(result)),
        None => (line, None),
    };
    let alternatives =
        |result: &str| result.split(" | ").map(|one| one.trim().to_owned()).collect::<Vec<_>>();
    let mut words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    let signal = match words.first()?.as_str() {
        "node" if words.len() > 1 => {
            let failure = match expected {
                Some(result) => Some(result.strip_prefix("failed ")?.to_owned()),
                None => None,
            };
            let options = words.split_off(2);
            return Some(Action::Start { name: words.pop()?, options, failure });
        }
        "kill" => Some(Signal::Kill),
        "stop" => Some(Signal::Stop),
        "continue" => Some(Signal::Continue),
        _ => None,
    };
    if let (Some(signal), None, [_, name]) = (signal, expected, words.as_slice()) {
        return Some(Action::Signal { name: name.clone(), signal });
    }
    if let (Some(result), [token]) = (expected, words.as_slice()) {
        return Some(Action::End { token: token.clone(), expected: alternatives(result) });
    }
    if words.len() < 2 {
        return None;
    }
    let token = words.last()?.strip_prefix('&').map(str::to_owned);
    let name = words.remove(0);
    match (token, expected) {
        (Some(token), None) => {
            words.pop();
            Some(Action::Begin { name, words, token })
        }
        (None, Some(result)) => Some(Action::Run { name, words, expected: alternatives(result) }),
        (Some(_), Some(_)) | (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn each_kind_of_step_is_parsed() {
        let text = "# remark\n== one\nnode a degree=1\nnode b = failed invalid\nkill a\n\
                    a set b x 5 = b=lost | b=timeout\na recv 5 &x1\nx1 = error closed\n";
        let groups = parse(text).expect("valid");
        assert_eq!(groups.len(), 1);
        let mut actions = groups[0].steps.iter().map(|step| step.action.clone());
        let (a, b) = ("a".to_owned(), "b".to_owned());
        let options = vec!["degree=1".to_owned()];
        let mut next = || actions.next().expect("a step");
        assert_eq!(next(), Action::Start { name: a.clone(), options, failure: None });
        let failure = Some("invalid".to_owned());
        assert_eq!(next(), Action::Start { name: b, options: vec![], failure });
        assert_eq!(next(), Action::Signal { name: a.clone(), signal: Signal::Kill });
        let expected = words("b=lost b=timeout");
        let run = Action::Run { name: a.clone(), words: words("set b x 5"), expected };
        assert_eq!(next(), run);
        let token = "x1".to_owned();
        assert_eq!(next(), Action::Begin { name: a, words: words("recv 5"), token: token.clone() });
        assert_eq!(next(), Action::End { token, expected: vec!["error closed".to_owned()] });
    }

    #[test]
    fn a_line_that_is_no_step_is_refused_with_its_number() {
        for text in ["== a\n\na set b x 5", "== a\n\na", "\n\nnode a", "== a\n\na recv &x = ok"] {
            let error = parse(text).expect_err(text);
            assert!(error.contains("line 3"), "{error}");
        }
    }
}
