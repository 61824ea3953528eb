//! One process of a case, spoken to in lines.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::Result;

/// How long a process may take until it is ready: an interpreter on a busy machine, and 64 nodes
/// that have to find each other.
const READY_MAX: Duration = Duration::from_secs(30);
/// How much longer than it was told to a round may take.
const LATE_MAX: Duration = Duration::from_secs(30);
/// How long a process may take to end by itself once its input has ended.
const END_MAX: Duration = Duration::from_secs(5);
/// How long after its end what it complained of may take to be read.
const COMPLAINT_MAX: Duration = Duration::from_secs(1);
/// Between two looks at whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What a driver says of one round.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Round {
    pub(crate) median: f64,
    pub(crate) p99: Option<f64>,
    pub(crate) p999: Option<f64>,
}

/// A running process. Dropping it ends it.
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// The last line of its standard error.
    complaint: Arc<Mutex<String>>,
    /// Ends when its standard error has.
    complained: Receiver<()>,
}

impl Process {
    /// Starts it, and gives back at once.
    pub(crate) fn spawn(mut command: Command) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let piped =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = piped.map_err(|error| format!("cannot start {program}: {error}"))?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (sender, lines) = mpsc::channel();
        let complaint = Arc::new(Mutex::new(String::new()));
        let last = complaint.clone();
        let (until_the_end, complained) = mpsc::channel::<()>();
        if let Some(stdout) = stdout {
            thread::spawn(move || {
                let lines = BufReader::new(stdout).lines();
                // Whoever listened has gone: the process is being ended.
                lines.map_while(io_ok).all(|line| sender.send(line).is_ok())
            });
        }
        if let Some(stderr) = stderr {
            thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(io_ok) {
                    if !line.trim().is_empty() {
                        *last.lock().unwrap_or_else(PoisonError::into_inner) = line;
                    }
                }
                drop(until_the_end);
            });
        }
        Ok(Self { child, stdin, lines, complaint, complained })
    }

    /// Waits until it is ready; gives the address, if it says one.
    pub(crate) fn ready(&mut self) -> Result<String> {
        let line = self.line(READY_MAX)?;
        let said = line.strip_prefix("ready").map(|address| address.trim().to_owned());
        said.ok_or_else(|| format!("it said {line:?} instead of ready"))
    }

    /// Lets a driver run a round.
    pub(crate) fn round(&mut self, length: Duration) -> Result<Round> {
        let stdin = self.stdin.as_mut().ok_or("its input has ended")?;
        let told = writeln!(stdin, "round {}", length.as_millis()).and_then(|()| stdin.flush());
        if told.is_err() {
            return Err(self.gone());
        }
        let line = self.line(length + LATE_MAX)?;
        let round: Round = serde_json::from_str(&line).map_err(|_| format!("it said {line:?}"))?;
        if round.median.is_finite() { Ok(round) } else { Err(format!("it measured {line}")) }
    }

    /// How many bytes of it are resident now (`VmRSS`), or were at most (`VmHWM`), in MB.
    pub(crate) fn size(&self, key: &str) -> Result<f64> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = fs::read_to_string(&path).map_err(|error| format!("no {path}: {error}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        kibibytes.map(|size| size * 1024.0 / 1e6).ok_or_else(|| format!("no {key} in {path}"))
    }

    /// Tells it to end, without waiting for it.
    pub(crate) fn close(&mut self) {
        self.stdin = None;
    }

    fn line(&mut self, limit: Duration) -> Result<String> {
        self.lines.recv_timeout(limit).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("it said nothing for {limit:?}"),
            RecvTimeoutError::Disconnected => self.gone(),
        })
    }

    /// That it has ended, and what it complained of last.
    fn gone(&mut self) -> String {
        self.close();
        let ended = self.wait().unwrap_or_else(|| "it closed its output".to_owned());
        // Until it has been read to its end, or somebody else holds it open.
        let _ = self.complained.recv_timeout(COMPLAINT_MAX);
        let complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        if complaint.is_empty() { ended } else { format!("{ended}: {complaint}") }
    }

    /// How it ended; `None` if it did not in time.
    fn wait(&mut self) -> Option<String> {
        let asked = Instant::now();
        while asked.elapsed() < END_MAX {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(format!("it ended with {status}")),
                Ok(None) => thread::sleep(LOOK_EVERY),
                Err(error) => return Some(format!("it cannot be waited for: {error}")),
            }
        }
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.close();
        if self.wait().is_none() {
            // Nothing is left to do where this fails.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn io_ok(line: std::io::Result<String>) -> Option<String> {
    line.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::spawn(command).expect("there is a shell")
    }

    #[test]
    fn a_driver_is_ready_and_answers_each_round() {
        let mut process = shell(
            r#"echo "ready 1.2.3.4:5"; while read -r line; do echo '{"median":2.5,"count":1}'; done"#,
        );
        assert_eq!(process.ready().as_deref(), Ok("1.2.3.4:5"));
        let round = process.round(Duration::from_millis(1)).expect("it answers");
        assert_eq!((round.median, round.p99), (2.5, None));
        assert!(process.size("VmHWM").expect("it runs") > 0.0);
    }

    #[test]
    fn what_a_process_complained_of_is_told() {
        let mut process = shell("echo oh no >&2; exit 3");
        let why = process.ready().expect_err("it is not ready");
        assert!(why.contains("exit status: 3"), "{why}");
    }
}
