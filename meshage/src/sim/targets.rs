//! The performance targets of the mesh, measured at full size.
//!
//! A thousand nodes take minutes of real time. The tests measure small meshes, and
//! `cargo xtask sim --targets` measures the large one.

use std::fmt;
use std::time::Duration;

use super::network::HostId;
use super::node::NodeSpec;
use super::rng::SimRng;
use super::run::two_islands;
use super::simulation::Sim;

/// One target and its measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// What is measured.
    pub what: String,
    /// The upper limit.
    pub limit: f64,
    /// The measured value, or `None` if it was not reached within twice the limit.
    pub measured: Option<f64>,
    /// The unit of the limit and the value.
    pub unit: &'static str,
}

impl Target {
    fn time(what: String, limit: Duration, measured: Option<Duration>) -> Self {
        let measured = measured.map(|time| time.as_secs_f64());
        Self { what, limit: limit.as_secs_f64(), measured, unit: "s" }
    }

    /// Whether the measured value is within the limit.
    pub fn is_met(&self) -> bool {
        self.measured.is_some_and(|measured| measured <= self.limit)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_met() { "ok" } else { "MISSED" };
        let measured = self.measured.map_or("never".into(), |figure| format!("{figure:.3}"));
        let Self { what, limit, unit, .. } = self;
        write!(f, "{verdict:<7} {measured:>8} of {limit} {unit}: {what}")
    }
}

/// The degree of the measured meshes.
const DEGREE: u32 = 4;
/// Nodes that are started together all start within this time.
const START_SPREAD: Duration = Duration::from_millis(100);

/// Measures a mesh of `nodes` nodes (1,000 in the design). `seed` determines everything else.
/// `done` is called with each target once it is measured.
pub fn measure(nodes: usize, seed: u64, done: impl Fn(&Target)) -> Vec<Target> {
    let mut targets = Vec::new();
    let mut note = |target: Target| {
        done(&target);
        targets.push(target);
    };
    let mut sim = Sim::new(seed, false);
    let mut rng = SimRng::new(seed).fork(20);
    for number in 0..nodes {
        let at = START_SPREAD * number as u32 / nodes as u32;
        sim.run_to(at);
        sim.add(NodeSpec::new(&format!("n{number:04}"), DEGREE));
    }
    let limit = Duration::from_secs(10);
    note(Target::time(
        format!("{nodes} nodes of degree {DEGREE}, started together, learn the whole mesh"),
        limit,
        sim.run_until_full(limit * 2),
    ));
    // So long that the nodes know how fast their links are.
    sim.run_for(Duration::from_secs(12));
    let links = sim.links();
    note(Target {
        what: format!("no node has more than twice its degree (min/mean/max {links})"),
        limit: f64::from(DEGREE) * 2.0,
        measured: Some(links.max() as f64),
        unit: "links",
    });
    let killed = HostId(rng.index(nodes));
    let limit = Duration::from_millis(250);
    let times = sim.removal_times(killed, limit * 2, |sim| sim.kill(killed));
    note(Target::time(
        "a killed node disappears from 99 % of the tables".into(),
        limit,
        times.map(|times| times[times.len() * 99 / 100]),
    ));
    let silent = HostId((killed.0 + nodes / 2) % nodes);
    let limit = Duration::from_millis(1500);
    let times = sim.removal_times(silent, limit * 2, |sim| sim.power_off(silent));
    note(Target::time(
        "a silent node disappears from every table".into(),
        limit,
        times.and_then(|times| times.last().copied()),
    ));
    for islands in [8, 32] {
        let mut sim = two_islands(seed, islands, 3);
        sim.settle_down();
        sim.run_for(Duration::from_secs(100));
        sim.network().heal_all();
        sim.release();
        let limit = Duration::from_secs(60);
        note(Target::time(
            format!("two full groups of {} without earlier contact merge", islands / 2),
            limit,
            sim.run_until_full(limit * 2),
        ));
    }
    targets
}

impl Sim {
    /// Advances the time until every running node knows every other one, and returns how long it
    /// took.
    pub fn run_until_full(&mut self, limit: Duration) -> Option<Duration> {
        let running: Vec<HostId> =
            self.hosts().filter(|&host_id| self.is_running(host_id)).collect();
        self.run_until(limit, |sim| {
            running.iter().all(|&host_id| sim.known_nodes(host_id) == running.len())
        })
    }

    /// Applies a fault to a node, and returns for each other node how long the faulty node stays in
    /// its table, sorted. Returns `None` if it stays in a table for longer than the limit.
    pub fn removal_times(
        &mut self,
        host_id: HostId,
        limit: Duration,
        fault: impl FnOnce(&mut Self),
    ) -> Option<Vec<Duration>> {
        let instance = self.instance(host_id)?;
        let began = self.now();
        fault(self);
        let mut waiting: Vec<HostId> =
            self.hosts().filter(|&other| other != host_id && self.is_running(other)).collect();
        let mut times = Vec::new();
        while !waiting.is_empty() {
            if self.now() - began > limit {
                return None;
            }
            self.run_for(Duration::from_millis(1));
            waiting.retain(|&other| {
                let there = self.routes(other).is_some_and(|routes| routes.contains(instance));
                if !there {
                    times.push(self.now() - began);
                }
                there
            });
        }
        Some(times)
    }
}
