//! A node program as a child process, spoken to in lines (meshage/examples/demo_node.rs says which).
//!
//! ```text
//!  ask("peers") ──► stdin │ program │ stdout ──► reader thread ─┬─► answers (one for each request)
//!                                                               └─► got (every message, in order)
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::shell::Result;

/// How long a program may take to answer: longer than any send waits.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// How long a program may take to start; an interpreter on a busy machine needs its time.
const START_MAX: Duration = Duration::from_secs(20);
/// How long it may take to end by itself once told to.
const END_MAX: Duration = Duration::from_secs(5);
/// Between two looks at something that is waited for.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Who is linked to whom, as a program says it.
pub(crate) type Adjacency = BTreeMap<String, BTreeSet<String>>;

/// A running node program. Dropping it kills it.
pub(crate) struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    answers: Receiver<String>,
    got: Arc<Mutex<Vec<(String, String)>>>,
}

impl Process {
    /// Starts a program and gives back at once; [`Process::ready`] waits for it.
    pub(crate) fn spawn(name: &str, mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {name}: {error}"))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or("a child without output")?;
        let (sender, answers) = mpsc::channel();
        let got = Arc::new(Mutex::new(Vec::new()));
        let messages = got.clone();
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
        Ok(Self { name: name.to_owned(), child, stdin, answers, got })
    }

    /// Waits until the node listens.
    pub(crate) fn ready(&mut self) -> Result<()> {
        let line = self.answer(START_MAX)?;
        match line.strip_prefix("ready ") {
            Some(_) => Ok(()),
            None => Err(format!("{} said {line:?} instead of ready", self.name)),
        }
    }

    /// The node's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The program's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Tells it something without waiting for the answer.
    pub(crate) fn tell(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().ok_or("its input is closed")?;
        writeln!(stdin, "{line}").map_err(|error| format!("{} hears nothing: {error}", self.name))
    }

    /// The next answer.
    pub(crate) fn answer(&mut self, wait: Duration) -> Result<String> {
        self.answers.recv_timeout(wait).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("{} did not answer in {wait:?}", self.name),
            RecvTimeoutError::Disconnected => format!("{} has ended", self.name),
        })
    }

    fn ask(&mut self, line: &str) -> Result<String> {
        self.tell(line)?;
        self.answer(ANSWER_MAX)
    }

    /// The nodes it has links to.
    pub(crate) fn peers(&mut self) -> Result<BTreeSet<String>> {
        let line = self.ask("peers")?;
        let mut words = line.split_whitespace();
        match words.next() {
            Some("peers") => Ok(words.map(str::to_owned).collect()),
            Some(_) | None => Err(format!("{} answered {line:?} to peers", self.name)),
        }
    }

    /// Every node it knows, with its neighbours.
    pub(crate) fn mesh(&mut self) -> Result<Adjacency> {
        self.tell("mesh")?;
        self.mesh_answer()
    }

    /// The answer to a `mesh` that was told.
    pub(crate) fn mesh_answer(&mut self) -> Result<Adjacency> {
        let line = self.answer(ANSWER_MAX)?;
        adjacency(&line).ok_or_else(|| format!("{} answered {line:?} to mesh", self.name))
    }

    /// What became of the oldest send that was told and not yet asked for: how many recipients have
    /// it, and how many have not.
    pub(crate) fn sent(&mut self) -> Result<(usize, usize)> {
        let line = self.answer(ANSWER_MAX)?;
        let numbers: Vec<usize> =
            line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
        match (line.starts_with("sent "), &numbers[..]) {
            (true, &[delivered, failed]) => Ok((delivered, failed)),
            (true | false, _) => Err(format!("{} answered {line:?} to a send", self.name)),
        }
    }

    /// Every message it got so far, in order: source and text.
    pub(crate) fn got(&self) -> Vec<(String, String)> {
        lock(&self.got).clone()
    }

    /// Ends it without a word.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill().map_err(|error| format!("cannot kill {}: {error}", self.name))?;
        self.child.wait().map_err(|error| format!("cannot reap {}: {error}", self.name))?;
        Ok(())
    }

    /// Sends it a signal by name: `STOP`, `CONT`.
    pub(crate) fn signal(&self, signal: &str) -> Result<()> {
        let line = format!("kill -{signal} {}", self.pid());
        let status = Command::new("sh").arg("-c").arg(&line).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("`{line}` failed: {status}")),
            Err(error) => Err(format!("cannot run `{line}`: {error}")),
        }
    }

    /// Closes its input: it ends by itself, and well.
    pub(crate) fn end(mut self) -> Result<()> {
        let _ = self.tell("quit");
        self.stdin = None;
        let by = Instant::now() + END_MAX;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("{} ended with {status}", self.name)),
                Ok(None) if Instant::now() < by => std::thread::sleep(LOOK_EVERY),
                Ok(None) => return Err(format!("{} did not end in {END_MAX:?}", self.name)),
                Err(error) => return Err(format!("cannot wait for {}: {error}", self.name)),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks again and again until something holds; how long that took from `since`.
pub(crate) fn until(
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
            return Err(format!("{what}: not within {limit:?}"));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads `mesh a:b,c b:a c:a`.
fn adjacency(line: &str) -> Option<Adjacency> {
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

/// Whether everybody is in it and reaches everybody.
pub(crate) fn is_one_mesh(mesh: &Adjacency, names: &BTreeSet<String>) -> bool {
    if !mesh.keys().eq(names) {
        return false;
    }
    let mut seen = BTreeSet::new();
    let mut stack: Vec<&String> = mesh.keys().take(1).collect();
    while let Some(node) = stack.pop() {
        if seen.insert(node) {
            stack.extend(mesh.get(node).into_iter().flatten());
        }
    }
    seen.len() == names.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn an_answer_to_mesh_is_read_whole() {
        let mesh = adjacency("mesh a:b,c b:a c:a d:").expect("well-formed");
        assert_eq!(mesh["a"], names(&["b", "c"]));
        assert_eq!(mesh["d"], names(&[]));
        assert_eq!(adjacency("peers a"), None);
        assert_eq!(adjacency("mesh a"), None);
    }

    #[test]
    fn one_mesh_is_everybody_and_connected() {
        let mesh = adjacency("mesh a:b b:a,c c:b").expect("well-formed");
        assert!(is_one_mesh(&mesh, &names(&["a", "b", "c"])));
        assert!(!is_one_mesh(&mesh, &names(&["a", "b"])));
        let parted = adjacency("mesh a:b b:a c:").expect("well-formed");
        assert!(!is_one_mesh(&parted, &names(&["a", "b", "c"])));
    }

    #[test]
    fn a_program_that_ends_without_a_word_is_told_by_name() {
        let mut gone = Process::spawn("gone", Command::new("true")).expect("starts");
        let error = gone.ready().expect_err("it said nothing");
        assert!(error.contains("gone has ended"), "{error}");
    }
}
