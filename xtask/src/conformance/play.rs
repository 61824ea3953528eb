//! Plays one group of the script with real nodes.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use super::script::{Action, Group, Signal, Step};
use crate::driver::{Drivers, Language, Running, checksum};
use crate::random;
use crate::shell::Result;
use crate::temp_folder::TempFolder;

/// The time limit for any result: longer than the timeouts in the script.
const RESULT_MAX: Duration = Duration::from_secs(40);
/// The time limit for a state that the nodes reach by themselves, and the interval between questions.
const EVENTUALLY_MAX: Duration = Duration::from_secs(10);
const ASK_INTERVAL: Duration = Duration::from_millis(20);
/// The default timeouts in milliseconds.
const TIMEOUT: &str = "5000";
const WAIT: &str = "10000";
/// The most messages that `fill` sends: the largest queue of the script has room for fewer.
const FILL_MAX: usize = 50;
/// How long a message of `fill` waits for room.
const FILL_TIMEOUT: &str = "400";
/// How long nothing may arrive after the last message.
const NOTHING: &str = "200";

/// Plays a group. The error names the step, and has the expected and the actual result.
pub(super) fn play(group: &Group, drivers: &Drivers, languages: &[Language]) -> Result<()> {
    let folder = TempFolder::new("conformance")?;
    let mut play = Play {
        drivers,
        languages,
        namespace: random::namespace("conformance"),
        folder: folder.path(),
        mesh_port: random::udp_port()?,
        nodes: BTreeMap::new(),
        started: 0,
        begun: BTreeMap::new(),
        commands: 0,
        filled: 0,
    };
    for step in &group.steps {
        play.step(step).map_err(|why| format!("line {}: {}: {why}", step.line, step.text))?;
    }
    play.nodes.into_values().filter(|node| !node.is_killed).try_for_each(|mut node| {
        node.process.quit();
        node.process.wait_for_exit()
    })
}

struct Play<'a> {
    drivers: &'a Drivers,
    /// The language of the first node, of the second one and so on, from the start again at the end.
    languages: &'a [Language],
    namespace: String,
    folder: &'a Path,
    mesh_port: u16,
    nodes: BTreeMap<String, Node>,
    started: usize,
    /// The node of each command that was begun.
    begun: BTreeMap<String, String>,
    commands: usize,
    /// The messages that `fill` delivered.
    filled: usize,
}

struct Node {
    process: Running,
    port: String,
    lines: Receiver<String>,
    /// Results that were read while another one was waited for.
    results: BTreeMap<String, String>,
    is_killed: bool,
}

impl Play<'_> {
    fn step(&mut self, step: &Step) -> Result<()> {
        match &step.action {
            Action::Start { name, options, failure } => {
                self.start(name, options, failure.as_deref())
            }
            Action::Signal { name, signal } => {
                let node = self.node(name)?;
                match signal {
                    Signal::Kill => {
                        node.is_killed = true;
                        node.process.kill()
                    }
                    Signal::Stop => node.process.stop(),
                    Signal::Continue => node.process.resume(),
                }
            }
            Action::Begin { name, words, token } => {
                let line = self.command(words)?;
                self.begun.insert(token.clone(), name.clone());
                self.node(name)?.process.send_line(&format!("{token} {line}"));
                Ok(())
            }
            Action::End { token, expected } => {
                let name = self.begun.remove(token).ok_or("no such command was begun")?;
                let result = self.node(&name)?.result(token)?;
                compare(&result, expected)
            }
            Action::Run { name, words, expected } => self.run(name, words, expected),
        }
    }

    fn run(&mut self, name: &str, words: &[String], expected: &[String]) -> Result<()> {
        match words.first().map(String::as_str) {
            Some("fill") => self.fill(name, words.get(1).map_or("", String::as_str), expected),
            Some("drain") => {
                for _ in 0..self.filled {
                    let result = self.ask(name, &format!("recv {TIMEOUT}"))?;
                    if !result.starts_with("got ") {
                        return Err(format!("{result} instead of a message that was delivered"));
                    }
                }
                compare(&self.ask(name, &format!("recv {NOTHING}"))?, &["error timeout".into()])
            }
            Some("event") => self.event(name, expected),
            Some("peers" | "mesh") => {
                let deadline = Instant::now() + EVENTUALLY_MAX;
                loop {
                    let result = self.ask(name, &words[0])?;
                    match compare(&result, expected) {
                        Err(_) if Instant::now() < deadline => std::thread::sleep(ASK_INTERVAL),
                        compared => return compared,
                    }
                }
            }
            Some(_) | None => {
                let line = self.command(words)?;
                compare(&self.ask(name, &line)?, expected)
            }
        }
    }

    /// Sends until a message is not delivered.
    fn fill(&mut self, name: &str, to: &str, expected: &[String]) -> Result<()> {
        for number in 0..FILL_MAX {
            let result = self.ask(name, &format!("set {to} f{number} 5 {FILL_TIMEOUT}"))?;
            if result != format!("sent {to}=delivered") {
                self.filled = number;
                return compare(&result, expected);
            }
        }
        Err(format!("{FILL_MAX} messages were delivered"))
    }

    /// Reads events until one is of the expected kind.
    fn event(&mut self, name: &str, expected: &[String]) -> Result<()> {
        let kind_of = |words: &str| words.split(' ').next().unwrap_or_default().to_owned();
        loop {
            let result = self.ask(name, &format!("event {WAIT}"))?;
            let event = result.strip_prefix("event ").unwrap_or(&result);
            let is_awaited = expected.iter().any(|expected| kind_of(expected) == kind_of(event));
            if is_awaited || !result.starts_with("event ") {
                return compare(&result, expected);
            }
        }
    }

    /// The line of a command, with its defaults.
    fn command(&self, words: &[String]) -> Result<String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Ok(match words[..] {
            ["dial", to] => format!("dial {} {TIMEOUT}", self.address(to)?),
            ["dial", to, timeout] => format!("dial {} {timeout}", self.address(to)?),
            ["wait", names] => format!("wait {names} {WAIT}"),
            ["set", names, label, length] => format!("set {names} {label} {length} {TIMEOUT}"),
            ["broadcast", label, length] => format!("broadcast {label} {length} {TIMEOUT}"),
            ["recv"] => format!("recv {TIMEOUT}"),
            _ => words.join(" "),
        })
    }

    /// The address of a node, or an address as it is.
    fn address(&self, to: &str) -> Result<String> {
        match self.nodes.get(to) {
            Some(node) => Ok(format!("127.0.0.1:{}", node.port)),
            None => self.substitute(to),
        }
    }

    /// Replaces `port:NODE` and `key:N`.
    fn substitute(&self, text: &str) -> Result<String> {
        if let Some((before, after)) = text.split_once("port:") {
            let end = after.find(':').unwrap_or(after.len());
            let (name, rest) = after.split_at(end);
            let port = match name {
                "mesh" => self.mesh_port.to_string(),
                _ => self.nodes.get(name).ok_or(format!("no node {name}"))?.port.clone(),
            };
            return Ok(format!("{before}{port}{rest}"));
        }
        if let Some((before, number)) = text.split_once("key:") {
            let path = self.folder.join(number);
            let key = number.repeat(64);
            std::fs::write(&path, key).map_err(|why| format!("{}: {why}", path.display()))?;
            let private = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&path, private)
                .map_err(|why| format!("{}: {why}", path.display()))?;
            return Ok(format!("{before}{}", path.display()));
        }
        Ok(text.to_owned())
    }

    fn start(&mut self, name: &str, options: &[String], failure: Option<&str>) -> Result<()> {
        let mut command = self.drivers.command(self.languages[self.started % self.languages.len()]);
        self.started += 1;
        command.arg(name);
        for (option, value) in [("namespace", self.namespace.as_str()), ("port", "0")] {
            if !options.iter().any(|given| given.starts_with(&format!("{option}="))) {
                command.arg(format!("{option}={value}"));
            }
        }
        for option in options {
            command.arg(self.substitute(option)?);
        }
        let (sender, lines) = mpsc::channel();
        let process = Running::spawn(name, command, move |line| {
            if let Some(line) = line {
                let _ = sender.send(line);
            }
        })?;
        let (results, port) = (BTreeMap::new(), String::new());
        let mut node = Node { process, port, lines, results, is_killed: false };
        let first = node.read()?;
        match (first.split_once(' '), failure) {
            (Some(("ready", port)), None) => node.port = port.to_owned(),
            (Some(("failed", word)), Some(failure)) if word == failure => return Ok(()),
            (_, _) => return Err(format!("the driver printed {first:?}")),
        }
        self.nodes.insert(name.to_owned(), node);
        Ok(())
    }

    fn node(&mut self, name: &str) -> Result<&mut Node> {
        self.nodes.get_mut(name).ok_or(format!("no node {name}"))
    }

    /// Runs a command and returns its result.
    fn ask(&mut self, name: &str, line: &str) -> Result<String> {
        self.commands += 1;
        let token = format!("t{}", self.commands);
        let node = self.node(name)?;
        node.process.send_line(&format!("{token} {line}"));
        node.result(&token)
    }
}

impl Node {
    fn read(&self) -> Result<String> {
        self.lines.recv_timeout(RESULT_MAX).map_err(|_| "the driver gave no answer".to_owned())
    }

    fn result(&mut self, token: &str) -> Result<String> {
        loop {
            if let Some(result) = self.results.remove(token) {
                return Ok(result);
            }
            let line = self.read()?;
            let (of, result) =
                line.split_once(' ').ok_or(format!("the driver printed {line:?}"))?;
            self.results.insert(of.to_owned(), result.to_owned());
        }
    }
}

/// Compares a result with the expected ones, in the words of the script.
fn compare(result: &str, expected: &[String]) -> Result<()> {
    let actual = in_words(result);
    if expected.contains(&actual) {
        return Ok(());
    }
    Err(format!("the result is {actual:?}"))
}

/// A driver's result in the words of the script.
fn in_words(result: &str) -> String {
    let (kind, rest) = result.split_once(' ').unwrap_or((result, ""));
    match kind {
        "sent" if rest.is_empty() => "none".to_owned(),
        "sent" => {
            let mut outcomes: Vec<&str> = rest.split(' ').collect();
            outcomes.sort_unstable();
            outcomes.join(" ")
        }
        "got" => arrival(rest).unwrap_or_else(|| result.to_owned()),
        "event" | "peers" | "mesh" => rest.to_owned(),
        _ => result.to_owned(),
    }
}

/// `SOURCE TO ROUTE LENGTH CRC LABEL` in the words of the script.
fn arrival(message: &str) -> Option<String> {
    let words: Vec<&str> = message.split(' ').collect();
    let [source, to, route, length, crc, label] = words[..] else { return None };
    // The label of a shorter body is cut, so the body is compared with that of the cut one.
    let is_intact = checksum(label, length.parse().ok()?) == crc;
    let altered = if is_intact { "" } else { " altered" };
    Some(format!("{label} {length} from {source} to {to} via {route}{altered}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_compared_in_the_words_of_the_script() {
        assert_eq!(in_words("sent c=lost b=delivered"), "b=delivered c=lost");
        assert_eq!(in_words("sent"), "none");
        assert_eq!(in_words("error closed"), "error closed");
        assert_eq!(in_words("event node-left b left"), "node-left b left");
        let crc = checksum("hello", 20);
        let arrived = in_words(&format!("got a b,c a,r 20 {crc} hello"));
        assert_eq!(arrived, "hello 20 from a to b,c via a,r");
        assert!(in_words("got a b a 20 00000000 hello").ends_with("altered"));
    }

    #[test]
    fn an_unexpected_result_is_an_error_that_shows_it() {
        let expected = ["b=lost".to_owned(), "b=timeout".to_owned()];
        assert_eq!(compare("sent b=timeout", &expected), Ok(()));
        let error = compare("sent b=delivered", &expected).expect_err("not expected");
        assert!(error.contains("b=delivered"), "{error}");
    }
}
