//! One process of a case. The harness exchanges lines of text with it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::error::Result;

/// The time limit for a process to become ready. It covers an interpreter on a busy machine, and 64
/// nodes that have to find each other.
const READY_MAX: Duration = Duration::from_secs(30);
/// How much longer than its given length a round may take.
const LATE_MAX: Duration = Duration::from_secs(30);
/// The time limit for a process to exit after its input was closed.
const EXIT_MAX: Duration = Duration::from_secs(5);
/// The time limit for reading the rest of its standard error after it has exited.
const STDERR_MAX: Duration = Duration::from_secs(1);
/// The interval between two checks whether it has exited.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The result of one round, as a driver prints it.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Round {
    pub(crate) median: f64,
    pub(crate) p99: Option<f64>,
    pub(crate) p999: Option<f64>,
}

/// A running process. Dropping the value ends the process.
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// The last line of its standard error.
    last_error_line: Arc<Mutex<String>>,
    /// Disconnected when its standard error was read to its end.
    stderr_end: Receiver<()>,
}

impl Process {
    /// Starts the process, and returns at once.
    pub(crate) fn spawn(mut command: Command) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let piped =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = piped.map_err(|error| format!("cannot start {program}: {error}"))?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (sender, lines) = mpsc::channel();
        let last_error_line = Arc::new(Mutex::new(String::new()));
        let last = last_error_line.clone();
        let (stderr_open, stderr_end) = mpsc::channel::<()>();
        if let Some(stdout) = stdout {
            thread::spawn(move || {
                let lines = BufReader::new(stdout).lines();
                // Without a receiver, the process is being ended.
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
                drop(stderr_open);
            });
        }
        Ok(Self { child, stdin, lines, last_error_line, stderr_end })
    }

    /// Waits until the process is ready. Returns the address that it prints, if any.
    pub(crate) fn ready(&mut self) -> Result<String> {
        let line = self.line(READY_MAX)?;
        let address = line.strip_prefix("ready").map(|address| address.trim().to_owned());
        address.ok_or_else(|| format!("it printed {line:?} instead of ready"))
    }

    /// Makes a driver run a round.
    pub(crate) fn round(&mut self, length: Duration) -> Result<Round> {
        let stdin = self.stdin.as_mut().ok_or("its input is closed")?;
        let written = writeln!(stdin, "round {}", length.as_millis()).and_then(|()| stdin.flush());
        if written.is_err() {
            return Err(self.exit_error());
        }
        let line = self.line(length + LATE_MAX)?;
        let round: Round = serde_json::from_str(&line)
            .map_err(|_| format!("it printed {line:?} instead of figures"))?;
        if round.median.is_finite() { Ok(round) } else { Err(format!("it measured {line}")) }
    }

    /// Its resident size in MB: the present one (`VmRSS`), or the peak (`VmHWM`).
    pub(crate) fn size(&self, key: &str) -> Result<f64> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = fs::read_to_string(&path).map_err(|error| format!("no {path}: {error}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        kibibytes.map(|size| size * 1024.0 / 1e6).ok_or_else(|| format!("no {key} in {path}"))
    }

    /// Closes its input so that it exits. Does not wait for that.
    pub(crate) fn close(&mut self) {
        self.stdin = None;
    }

    fn line(&mut self, limit: Duration) -> Result<String> {
        self.lines.recv_timeout(limit).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("it printed nothing for {limit:?}"),
            RecvTimeoutError::Disconnected => self.exit_error(),
        })
    }

    /// The error of a process that has exited: its status and its last line on standard error.
    fn exit_error(&mut self) -> String {
        self.close();
        let status = self.wait().unwrap_or_else(|| "it closed its output".to_owned());
        // The timeout applies if another process holds its standard error open.
        let _ = self.stderr_end.recv_timeout(STDERR_MAX);
        let line = self.last_error_line.lock().unwrap_or_else(PoisonError::into_inner);
        if line.is_empty() { status } else { format!("{status}: {line}") }
    }

    /// Waits for its exit. Returns a description, or `None` at the time limit.
    fn wait(&mut self) -> Option<String> {
        let start = Instant::now();
        while start.elapsed() < EXIT_MAX {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(format!("it exited with {status}")),
                Ok(None) => thread::sleep(POLL_INTERVAL),
                Err(error) => return Some(format!("cannot wait for it: {error}")),
            }
        }
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.close();
        if self.wait().is_none() {
            // A failure cannot be handled here.
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
    fn a_driver_becomes_ready_and_reports_each_round() {
        let mut process = shell(
            r#"echo "ready 1.2.3.4:5"; while read -r line; do echo '{"median":2.5,"count":1}'; done"#,
        );
        assert_eq!(process.ready().as_deref(), Ok("1.2.3.4:5"));
        let round = process.round(Duration::from_millis(1)).expect("it answers");
        assert_eq!((round.median, round.p99), (2.5, None));
        assert!(process.size("VmHWM").expect("it runs") > 0.0);
    }

    #[test]
    fn the_error_of_a_process_includes_its_exit_status() {
        let mut process = shell("echo oh no >&2; exit 3");
        let why = process.ready().expect_err("it is not ready");
        assert!(why.contains("exit status: 3"), "{why}");
    }
}
