//! The network and the processes of a case.
//!
//! ```text
//!  node-0 ─ eth0 ┐                      ┌ history of n00 ─┐
//!  node-1 ─ eth0 ┼─ impairing bridge    ├ history of n01 ─┼─► history.rs
//!  node-2 ─ eth0 ┘                      └ history of n02 ─┘
//! ```

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::bridge;
use super::case::{Case, Discovery, Fault};
use super::faults::ports;
use super::history::Disturbances;
use super::record::{self, Life};
use crate::agreement::{agreed, names};
use crate::process::{POLL_INTERVAL, Process};
use crate::random;
use crate::scenario::netns::Network;
use crate::shell::{self, Result};
use crate::temp_folder::TempFolder;

const PORT: &str = "9000";
/// How long a send waits: shorter than most faults, so that every outcome occurs.
pub(super) const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// The time limit of the bridge for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How many nodes are the seeds of the others.
const SEEDS: usize = 2;
/// The number of open files that a process may have in the case of a full table.
const FILES_MAX: usize = 64;

/// A running case.
pub(super) struct Lab {
    case: Case,
    network: Network,
    bridge: Process,
    /// The nodes, in order of their number.
    pub(super) nodes: Vec<Process>,
    program: PathBuf,
    folder: TempFolder,
    namespace: String,
    pub(super) disturbances: Disturbances,
}

impl Lab {
    /// Creates the network and starts the nodes.
    pub(super) fn start(case: &Case, program: &Path) -> Result<Self> {
        let network = Network::bare(case.nodes)?;
        let networks = if case.fault == Fault::LoseNetwork { 2 } else { 1 };
        let own = std::env::current_exe().map_err(|error| format!("no program: {error}"))?;
        let mut command = Command::new(own);
        let ports = networks * case.nodes;
        command.args(["networks", bridge::SUBCOMMAND, &ports.to_string()]);
        let mut bridge = Process::spawn("the bridge", network.inside_hub(&command))?;
        bridge.wait_until_ready()?;
        let mut lab = Self {
            case: *case,
            network,
            bridge,
            nodes: Vec::new(),
            program: program.to_path_buf(),
            folder: TempFolder::new("networks")?,
            namespace: random::namespace("networks"),
            disturbances: Disturbances::default(),
        };
        lab.connect(networks)?;
        if case.discovery == Discovery::Seeds {
            lab.order("set all both no-broadcast=1")?;
        }
        for node in 0..case.nodes {
            let process = lab.spawn(node)?;
            lab.nodes.push(process);
        }
        lab.nodes.iter_mut().try_for_each(Process::wait_until_ready)?;
        Ok(lab)
    }

    /// Gives each node its interfaces and addresses.
    fn connect(&mut self, networks: usize) -> Result<()> {
        for port in 0..networks * self.case.nodes {
            let (node, number) = (port % self.case.nodes, port / self.case.nodes);
            let name = format!("eth{number}");
            self.network.move_from_hub(&format!("tap{port}"), node, &name)?;
            if self.case.discovery == Discovery::BeaconsV6 {
                continue;
            }
            let address = format!("10.{}.0.{}/24", 77 + number, node + 1);
            self.network.ip(node, &["addr", "add", &address, "broadcast", "+", "dev", &name])?;
            if number == 0 {
                self.network.ip(node, &["route", "add", "default", "dev", &name])?;
            }
        }
        if self.case.discovery == Discovery::BeaconsV6 {
            for node in 0..self.case.nodes {
                self.network.link_local(node)?;
            }
        }
        if networks == 2 {
            let nodes = self.case.nodes;
            let (first, second) = (ports(0..nodes), ports(nodes..2 * nodes));
            self.order(&format!("groups {first}/{second}"))?;
        }
        Ok(())
    }

    /// Starts a node, without waiting for it.
    pub(super) fn spawn(&self, node: usize) -> Result<Process> {
        let name = format!("n{node:02}");
        let limited = self.case.fault == Fault::FullTable && node == self.last();
        let mut command = match limited {
            false => shell::command(Path::new("/"), &self.program),
            true => {
                let mut command = shell::command(Path::new("/"), "sh");
                let limit = format!("ulimit -n {FILES_MAX} && exec \"$@\"");
                command.args(["-c", &limit, "sh"]).arg(&self.program);
                command
            }
        };
        command.args([&name, &self.namespace, PORT]).arg(self.folder.path()).args([
            format!("degree={}", self.case.degree),
            format!("sizes={}", self.case.sizes),
            format!("interval={}", self.case.interval),
            format!("timeout={}", SEND_TIMEOUT.as_millis()),
        ]);
        match self.case.discovery {
            Discovery::Beacons => {}
            Discovery::BeaconsV6 => {
                command.arg("broadcast=ff02::1");
            }
            Discovery::Seeds => {
                let seeds = (0..SEEDS).filter(|seed| *seed != node);
                command.args(seeds.map(|seed| format!("seed=10.77.0.{}", seed + 1)));
            }
        }
        Process::spawn(&name, self.network.inside(node, &command))
    }

    /// The number of the node that most faults are about.
    pub(super) fn last(&self) -> usize {
        self.case.nodes - 1
    }

    /// Gives the bridge a command.
    pub(super) fn order(&mut self, command: &str) -> Result<()> {
        self.bridge.send_line(command)?;
        let answer = self.bridge.read_answer(ANSWER_MAX)?;
        if answer == "ok" { Ok(()) } else { Err(format!("the bridge: {command}: {answer}")) }
    }

    /// How many frames arrived, were dropped on purpose, and found a full queue.
    pub(super) fn frames(&mut self) -> Result<[u64; 3]> {
        self.bridge.send_line("counters")?;
        let answer = self.bridge.read_answer(ANSWER_MAX)?;
        let counts: Vec<u64> =
            answer.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
        match counts[..] {
            [arrived, _, dropped, full] => Ok([arrived, dropped, full]),
            _ => Err(format!("the bridge: counters: {answer}")),
        }
    }

    /// Runs `ip` in the namespace of a node.
    pub(super) fn ip(&self, node: usize, arguments: &[&str]) -> Result<()> {
        self.network.ip(node, arguments)
    }

    /// Gives a node a command.
    pub(super) fn tell(&mut self, node: usize, command: &str) -> Result<()> {
        self.nodes[node].send_line(command)?;
        let answer = self.nodes[node].read_answer(ANSWER_MAX)?;
        if answer == "ok" { Ok(()) } else { Err(format!("n{node:02}: {command}: {answer}")) }
    }

    /// Starts or ends the work of all nodes.
    pub(super) fn tell_all(&mut self, command: &str) -> Result<()> {
        (0..self.nodes.len()).try_for_each(|node| self.tell(node, command))
    }

    /// Whether all nodes see the same mesh, and all are in it.
    pub(super) fn is_whole(&mut self) -> Result<bool> {
        let all = names(&self.nodes);
        Ok(agreed(&mut self.nodes, &all)?.is_some())
    }

    /// Waits until all nodes see each other. Returns the time since `since`, or `None` after the limit.
    pub(super) fn wait_until_whole(
        &mut self,
        since: Instant,
        limit: Duration,
    ) -> Result<Option<Duration>> {
        poll(since, limit, || self.is_whole())
    }

    /// Waits until no other node sees the last one. Returns the time since `since`, or `None`.
    pub(super) fn wait_until_noticed(
        &mut self,
        since: Instant,
        limit: Duration,
    ) -> Result<Option<Duration>> {
        let last = self.last();
        let name = self.nodes[last].name().to_owned();
        poll(since, limit, || {
            let others = &mut self.nodes[..last];
            others.iter_mut().try_for_each(|node| node.send_line("mesh"))?;
            let mut known = false;
            for node in others {
                known |= node.read_mesh()?.contains_key(&name);
            }
            Ok(!known)
        })
    }

    /// Ends all nodes, and reads their histories from the returned folder.
    pub(super) fn finish(self) -> Result<(Vec<Life>, Disturbances, TempFolder)> {
        self.nodes.into_iter().try_for_each(Process::stop)?;
        Ok((record::read(self.folder.path())?, self.disturbances, self.folder))
    }

    /// The names of the nodes that the histories must be of.
    pub(super) fn names(&self) -> BTreeSet<String> {
        names(&self.nodes)
    }
}

/// Waits until a condition holds. Returns the time since `since`, or `None` after the limit.
fn poll(
    since: Instant,
    limit: Duration,
    mut holds: impl FnMut() -> Result<bool>,
) -> Result<Option<Duration>> {
    loop {
        if holds()? {
            return Ok(Some(since.elapsed()));
        }
        if since.elapsed() > limit {
            return Ok(None);
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}
