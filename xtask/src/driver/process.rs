//! A driver as a child process. A thread reads its output and passes each line on.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::process::{signal, wait_for_exit};
use crate::shell::Result;

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

    /// Sends a signal by name: `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        signal(self.pid(), name)
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
