//! A node program as a child process. Requests and answers are lines of text, which
//! meshage/examples/demo_node.rs describes.
//!
//! ```text
//!  request("peers") ─► stdin │ program │ stdout ─► reader thread ─┬─► answers (one for each request)
//!                                                                 └─► received (messages, in order)
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::shell::Result;

/// The time limit for an answer: longer than the timeout of a send.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// The time limit for a program to start, which covers an interpreter on a busy machine.
const START_MAX: Duration = Duration::from_secs(20);
/// The time limit for a program to exit after the request to do so.
const EXIT_MAX: Duration = Duration::from_secs(5);
/// The interval between two checks of a condition.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The neighbours of every node, as a program reports them.
pub(crate) type Adjacency = BTreeMap<String, BTreeSet<String>>;

/// A running node program. Dropping the value kills the program.
pub(crate) struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    answers: Receiver<String>,
    received: Arc<Mutex<Vec<(String, String)>>>,
}

impl Process {
    /// Starts a program, and returns at once. [`Process::wait_until_ready`] waits for it.
    pub(crate) fn spawn(name: &str, mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {name}: {error}"))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or("the child process has no standard output")?;
        let (sender, answers) = mpsc::channel();
        let received = Arc::new(Mutex::new(Vec::new()));
        let messages = received.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                match line.strip_prefix("got ") {
                    Some(message) => {
                        let (source, text) = message.split_once(' ').unwrap_or((message, ""));
                        lock(&messages).push((source.to_owned(), text.to_owned()));
                    }
                    None => {
                        if sender.send(line).is_err() {
                            return;
                        }
                    }
                }
            }
        });
        Ok(Self { name: name.to_owned(), child, stdin, answers, received })
    }

    /// Waits until the node is listening.
    pub(crate) fn wait_until_ready(&mut self) -> Result<()> {
        let line = self.read_answer(START_MAX)?;
        match line.strip_prefix("ready ") {
            Some(_) => Ok(()),
            None => Err(format!("{} printed {line:?} instead of ready", self.name)),
        }
    }

    /// The node's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The process id of the program.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a request without waiting for the answer.
    pub(crate) fn send_line(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().ok_or("the input of the program is closed")?;
        writeln!(stdin, "{line}").map_err(|error| format!("cannot write to {}: {error}", self.name))
    }

    /// Reads the next answer.
    pub(crate) fn read_answer(&mut self, wait: Duration) -> Result<String> {
        self.answers.recv_timeout(wait).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("{} did not answer in {wait:?}", self.name),
            RecvTimeoutError::Disconnected => format!("{} has exited", self.name),
        })
    }

    fn request(&mut self, line: &str) -> Result<String> {
        self.send_line(line)?;
        self.read_answer(ANSWER_MAX)
    }

    /// The peers of the node.
    pub(crate) fn peers(&mut self) -> Result<BTreeSet<String>> {
        let line = self.request("peers")?;
        let mut words = line.split_whitespace();
        match words.next() {
            Some("peers") => Ok(words.map(str::to_owned).collect()),
            Some(_) | None => Err(format!("{} answered {line:?} to peers", self.name)),
        }
    }

    /// Every node that the node knows, with its neighbours.
    pub(crate) fn mesh(&mut self) -> Result<Adjacency> {
        self.send_line("mesh")?;
        self.read_mesh()
    }

    /// Reads the answer to a request `mesh`.
    pub(crate) fn read_mesh(&mut self) -> Result<Adjacency> {
        let line = self.read_answer(ANSWER_MAX)?;
        adjacency(&line).ok_or_else(|| format!("{} answered {line:?} to mesh", self.name))
    }

    /// Reads the outcome of the oldest send that was not read yet: the number of recipients that have
    /// the message, and of those that do not.
    pub(crate) fn read_outcome(&mut self) -> Result<(usize, usize)> {
        let line = self.read_answer(ANSWER_MAX)?;
        let numbers: Vec<usize> =
            line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
        match (line.starts_with("sent "), &numbers[..]) {
            (true, &[delivered, failed]) => Ok((delivered, failed)),
            (true | false, _) => Err(format!("{} answered {line:?} to a send", self.name)),
        }
    }

    /// Every message that the node has received so far, in order: source and text.
    pub(crate) fn received(&self) -> Vec<(String, String)> {
        lock(&self.received).clone()
    }

    /// Kills the program.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill().map_err(|error| format!("cannot kill {}: {error}", self.name))?;
        self.child.wait().map_err(|error| format!("cannot reap {}: {error}", self.name))?;
        Ok(())
    }

    /// Sends the program a signal by name: `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        signal(self.pid(), name)
    }

    /// Makes the program quit, and checks that it exits successfully.
    pub(crate) fn stop(mut self) -> Result<()> {
        let _ = self.send_line("quit");
        self.stdin = None;
        wait_for_exit(&self.name, &mut self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a process a signal by name.
pub(crate) fn signal(pid: u32, name: &str) -> Result<()> {
    let line = format!("kill -{name} {pid}");
    let status = Command::new("sh").arg("-c").arg(&line).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` failed: {status}")),
        Err(error) => Err(format!("cannot run `{line}`: {error}")),
    }
}

/// Waits until a program exits, and checks that it exits successfully.
pub(crate) fn wait_for_exit(name: &str, child: &mut Child) -> Result<()> {
    let deadline = Instant::now() + EXIT_MAX;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("{name} exited with {status}")),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(POLL_INTERVAL),
            Ok(None) => return Err(format!("{name} did not exit in {EXIT_MAX:?}")),
            Err(error) => return Err(format!("cannot wait for {name}: {error}")),
        }
    }
}

/// Waits until a condition holds. Returns the time since `since`.
pub(crate) fn wait_until(
    what: &str,
    since: Instant,
    limit: Duration,
    mut holds: impl FnMut() -> Result<bool>,
) -> Result<Duration> {
    loop {
        if holds()? {
            return Ok(since.elapsed());
        }
        if since.elapsed() > limit {
            return Err(format!("{what}: not reached in {limit:?}"));
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Parses `mesh a:b,c b:a c:a`.
pub(crate) fn adjacency(line: &str) -> Option<Adjacency> {
    let mut words = line.split_whitespace();
    if words.next() != Some("mesh") {
        return None;
    }
    words
        .map(|word| {
            let (node, neighbors) = word.split_once(':')?;
            let names = neighbors.split(',').filter(|name| !name.is_empty());
            Some((node.to_owned(), names.map(str::to_owned).collect()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn an_answer_to_mesh_is_parsed() {
        let mesh = adjacency("mesh a:b,c b:a c:a d:").expect("well-formed");
        assert_eq!(mesh["a"], names(&["b", "c"]));
        assert_eq!(mesh["d"], names(&[]));
        assert_eq!(adjacency("peers a"), None);
        assert_eq!(adjacency("mesh a"), None);
    }

    #[test]
    fn the_error_of_a_program_that_exits_contains_its_name() {
        let mut process = Process::spawn("exited", Command::new("true")).expect("starts");
        let error = process.wait_until_ready().expect_err("it exits at once");
        assert!(error.contains("exited has exited"), "{error}");
    }
}
