//! One node of the soak: its name and language, its present life, and what its lives have left.

use std::sync::mpsc::Sender;
use std::time::Instant;

use super::growth::{Sample, Summary};
use super::ledger::{Life, Standing};
use super::traffic::LANES;
use crate::driver::{Drivers, Language, Running};
use crate::process::Adjacency;
use crate::shell::Result;

/// A line of a driver's output; `None` is its end.
pub(super) type Line = (Life, Option<String>);

/// Makes the C library return the memory of freed bodies to the system, so that the memory of a process
/// is what it uses. By default it keeps what it has once needed, in pieces.
const RETURN_MEMORY: [(&str, &str); 2] =
    [("MALLOC_MMAP_THRESHOLD_", "262144"), ("MALLOC_TRIM_THRESHOLD_", "262144")];
/// The links that each node looks for.
const DEGREE: &str = "3";

/// A node that may be restarted under its name.
pub(super) struct Node {
    pub(super) slot: usize,
    pub(super) name: String,
    pub(super) language: Language,
    /// It is never killed or closed, so that its use of memory is that of a long life.
    pub(super) is_steady: bool,
    pub(super) current: Option<Current>,
    lives: u32,
    /// How often it was stopped.
    pub(super) stops: u32,
    /// The samples of the longest life that has ended.
    longest: Vec<Sample>,
    /// The descriptors that are not links, before the faults began.
    pub(super) base_descriptors: Option<u64>,
}

/// The present life of a node.
pub(super) struct Current {
    pub(super) life: Life,
    pub(super) process: Running,
    pub(super) is_ready: bool,
    pub(super) is_closing: bool,
    /// `None` while it is stopped.
    pub(super) runs_since: Option<Instant>,
    /// The message that each lane waits for.
    pub(super) lanes: [Option<u64>; LANES],
    /// The last answer to `mesh`.
    pub(super) mesh: Option<Adjacency>,
    samples: Vec<Sample>,
}

impl Node {
    pub(super) fn new(slot: usize, language: Language, is_steady: bool) -> Self {
        let kind = if is_steady { "" } else { "x" };
        let name = format!("{}-{slot:02}{kind}", language.short());
        let (current, longest, base_descriptors) = (None, Vec::new(), None);
        let (lives, stops) = (0, 0);
        Self { slot, name, language, is_steady, current, lives, stops, longest, base_descriptors }
    }

    /// Starts a process for the next life.
    pub(super) fn start(
        &mut self,
        drivers: &Drivers,
        namespace: &str,
        port: u16,
        lines: &Sender<Line>,
    ) -> Result<()> {
        self.lives += 1;
        let life = Life { slot: self.slot, number: self.lives };
        let mut command = drivers.command(self.language);
        command.arg(&self.name).arg(format!("namespace={namespace}")).arg(format!("port={port}"));
        command.args(["listen=0", "broadcast=127.255.255.255", &format!("degree={DEGREE}")]);
        command.envs(RETURN_MEMORY);
        let lines = lines.clone();
        let mut process = Running::spawn(&self.name, command, move |line| {
            let _ = lines.send((life, line));
        })?;
        process.send_line("listen listen");
        self.current = Some(Current {
            life,
            process,
            is_ready: false,
            is_closing: false,
            runs_since: Some(Instant::now()),
            lanes: [None; LANES],
            mesh: None,
            samples: Vec::new(),
        });
        Ok(())
    }

    /// How often the node was restarted.
    pub(super) fn restarts(&self) -> u32 {
        self.lives.saturating_sub(1)
    }

    /// The present life, if it is this one.
    pub(super) fn current(&mut self, life: Life) -> Option<&mut Current> {
        self.current.as_mut().filter(|current| current.life == life)
    }

    /// Forgets the present life, which has ended.
    pub(super) fn end_life(&mut self) {
        if let Some(current) = self.current.take()
            && current.samples.len() > self.longest.len()
        {
            self.longest = current.samples;
        }
    }

    /// Takes a sample of the process.
    pub(super) fn sample(&mut self) {
        if let Some(current) = &mut self.current
            && current.is_ready
            && let Some(sample) = Sample::take(current.process.pid())
        {
            current.samples.push(sample);
        }
    }

    /// The descriptors that are not links. `None` if the system does not tell them.
    pub(super) fn descriptors(&self) -> Option<u64> {
        let current = self.current.as_ref()?;
        let links = current.mesh.as_ref()?.get(&self.name)?.len() as u64;
        Some(Sample::take(current.process.pid())?.descriptors.saturating_sub(links))
    }

    /// The samples of its longest life: their number, and what they say.
    pub(super) fn summary(&self) -> (usize, Option<Summary>) {
        let current = self.current.as_ref().map_or(&[][..], |current| &current.samples);
        let samples = if current.len() >= self.longest.len() { current } else { &self.longest };
        (samples.len(), Summary::of(samples))
    }

    /// What this life of the node does now.
    pub(super) fn standing(&self, life: Life) -> Standing {
        match &self.current {
            Some(current) if current.life == life && !current.is_closing => {
                match current.runs_since {
                    Some(since) => Standing::Running(since),
                    None => Standing::Stopped,
                }
            }
            Some(_) | None => Standing::Gone,
        }
    }
}
