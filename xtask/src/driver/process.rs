//! A driver as a child process. A thread reads its output and passes each line on.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use crate::process::{signal, wait_for_exit, wait_until};
use crate::shell::Result;

/// The time limit for a signal to stop all threads.
const STOP_MAX: Duration = Duration::from_secs(5);

/// A running driver. Dropping the value kills it.
pub(crate) struct Running {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Running {
    /// Starts a driver. `pass` gets every line of its output, and `None` after the last one.
    pub(crate) fn spawn(
        name: &str,
        mut command: Command,
        mut pass: impl FnMut(Option<String>) + Send + 'static,
    ) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {name}: {error}"))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or("the child process has no standard output")?;
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n') {
                let Ok(line) = line else { break };
                pass(Some(String::from_utf8_lossy(&line).into_owned()));
            }
            pass(None);
        });
        Ok(Self { name: name.to_owned(), child, stdin })
    }

    /// Sends a line. A driver that has exited does not get it: the end of its output tells so.
    pub(crate) fn send_line(&mut self, line: &str) {
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin.write_all(format!("{line}\n").as_bytes());
        }
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops the driver, and waits until all of its threads are stopped.
    pub(crate) fn stop(&self) -> Result<()> {
        signal(self.pid(), "STOP")?;
        wait_until("the stop of all threads", Instant::now(), STOP_MAX, || Ok(self.is_stopped()))
            .map(|_| ())
    }

    /// Continues the stopped driver.
    pub(crate) fn resume(&self) -> Result<()> {
        signal(self.pid(), "CONT")
    }

    /// Whether no thread of the driver runs. A system without /proc does not tell.
    fn is_stopped(&self) -> bool {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", self.pid())) else {
            return true;
        };
        threads.flatten().all(|thread| {
            std::fs::read_to_string(thread.path().join("status"))
                .map_or(true, |status| status.contains("State:\tT"))
        })
    }

    /// Kills the driver.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill().map_err(|error| format!("cannot kill {}: {error}", self.name))?;
        self.child.wait().map_err(|error| format!("cannot reap {}: {error}", self.name))?;
        Ok(())
    }

    /// Tells the driver to close its node and to exit.
    pub(crate) fn quit(&mut self) {
        self.send_line("quit");
        self.stdin = None;
    }

    /// Waits until the driver has exited, and checks that it exited successfully.
    pub(crate) fn wait_for_exit(&mut self) -> Result<()> {
        wait_for_exit(&self.name, &mut self.child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
