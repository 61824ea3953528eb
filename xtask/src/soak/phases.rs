//! The phases of a soak in which no faults happen: the start, the recovery, the last round and the end.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::run::{CHECK_INTERVAL, Soak};
use crate::agreement::is_one_mesh;
use crate::shell::Result;

/// The time limits, for a busy machine: for all programs to start and form one mesh, at the start and
/// after the faults; for the last round; for the descriptors of closed links to be given back.
const FORM_MAX: Duration = Duration::from_secs(60);
const LAST_ROUND_MAX: Duration = Duration::from_secs(30);
const DESCRIPTORS_MAX: Duration = Duration::from_secs(15);
impl Soak<'_> {
    /// Continues and restarts every node, and waits for one mesh and the end of all sends.
    pub(super) fn heal(&mut self) -> Result<()> {
        for slot in 0..self.nodes.len() {
            if let Some(current) = &self.nodes[slot].current {
                self.resume(current.life);
            }
        }
        let whole = |soak: &Self| {
            soak.nodes.iter().all(|node| {
                node.current.as_ref().is_some_and(|current| current.is_ready && !current.is_closing)
            }) && soak.ledger.outstanding() == 0
        };
        if !self.pump(Instant::now() + FORM_MAX, whole) {
            let outstanding = self.ledger.outstanding();
            self.ledger.violation(0, &format!("{outstanding} sends did not end after the faults"));
        }
        self.form("after the faults")
    }

    /// Waits until all nodes know one mesh of all.
    pub(super) fn form(&mut self, when: &str) -> Result<()> {
        let names: BTreeSet<String> = self.nodes.iter().map(|node| node.name.clone()).collect();
        let deadline = Instant::now() + FORM_MAX;
        while Instant::now() < deadline {
            for node in &mut self.nodes {
                if let Some(current) = &mut node.current {
                    current.mesh = None;
                    current.process.send_line("mesh mesh");
                }
            }
            let meshes = |soak: &Self| {
                soak.nodes
                    .iter()
                    .all(|node| node.current.as_ref().is_some_and(|c| c.mesh.is_some()))
            };
            self.pump(deadline, meshes);
            let mut all = self.nodes.iter().map(|node| node.current.as_ref()?.mesh.as_ref());
            let first = all.next().flatten();
            if first.is_some_and(|mesh| is_one_mesh(mesh, &names)) && all.all(|mesh| mesh == first)
            {
                return Ok(());
            }
            self.pump(Instant::now() + CHECK_INTERVAL, |_| false);
        }
        for node in &self.nodes {
            let mesh = node.current.as_ref().and_then(|current| current.mesh.as_ref());
            println!("   {} knows {mesh:?}", node.name);
        }
        Err(format!("the nodes did not form one mesh {when} in {FORM_MAX:?}"))
    }

    /// Each node sends to all others, and broadcasts. All must be delivered, because no fault happens.
    pub(super) fn last_round(&mut self) {
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        let mut numbers = Vec::new();
        for slot in 0..self.nodes.len() {
            let others: Vec<usize> = all.iter().copied().filter(|&other| other != slot).collect();
            for to in [others, Vec::new()] {
                if let Some(current) = &self.nodes[slot].current {
                    let (life, timeout) = (current.life, LAST_ROUND_MAX / 2);
                    numbers.push((slot, self.send(life, 0, to, 100, timeout)));
                }
            }
        }
        let recipients = self.nodes.len() - 1;
        let complete = |soak: &Self| {
            numbers.iter().all(|&(_, number)| soak.ledger.is_complete(number, recipients))
        };
        if !self.pump(Instant::now() + LAST_ROUND_MAX, complete) {
            for &(slot, number) in &numbers {
                if !self.ledger.is_complete(number, recipients) {
                    let text = format!("message {number} of the last round did not reach all");
                    self.ledger.violation(slot, &text);
                }
            }
        }
    }

    /// Waits until no node has more descriptors than before the faults, and lists those that have.
    pub(super) fn descriptor_problems(&mut self) -> Vec<String> {
        let deadline = Instant::now() + DESCRIPTORS_MAX;
        loop {
            let grown: Vec<String> = self
                .nodes
                .iter()
                .filter_map(|node| {
                    let (base, now) = (node.base_descriptors?, node.descriptors()?);
                    let name = &node.name;
                    (now > base).then(|| format!("{name}: {now} descriptors instead of {base}"))
                })
                .collect();
            if grown.is_empty() || Instant::now() > deadline {
                return grown;
            }
            // Links may have changed.
            if self.form("after the last round").is_err() {
                return grown;
            }
            self.pump(Instant::now() + CHECK_INTERVAL, |_| false);
        }
    }

    pub(super) fn close_all(&mut self) {
        for node in &mut self.nodes {
            if let Some(current) = &mut node.current {
                current.is_closing = true;
                current.process.quit();
            }
        }
        for slot in 0..self.nodes.len() {
            let node = &mut self.nodes[slot];
            let exited = node.current.as_mut().map(|current| current.process.wait_for_exit());
            if let Some(Err(why)) = exited {
                self.ledger.violation(slot, &why);
            }
        }
    }
}
