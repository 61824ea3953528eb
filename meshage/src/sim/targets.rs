//! The performance targets of the mesh, measured at full size.
//!
//! A thousand nodes take minutes of real time. The tests measure small meshes, and
//! `cargo xtask sim --targets` measures the large one.
//!
//! ```text
//!  start together ──► idle ──► one joins ──► it leaves ──► one is killed ──► one loses power
//!                                              ──► two halves without contact ──► they merge
//! ```

use std::fmt;
use std::time::Duration;

use super::network::HostId;
use super::node::NodeSpec;
use super::rng::SimRng;
use super::run::two_islands;
use super::simulation::Sim;

/// The mesh to measure.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// The number of nodes.
    pub nodes: usize,
    /// The degree of each node.
    pub degree: u32,
    /// Determines everything else.
    pub seed: u64,
}

/// One target and its measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// A short name: the same for every size.
    pub key: &'static str,
    /// What is measured.
    pub what: String,
    /// The upper limit.
    pub limit: f64,
    /// The measured value, or `None` if it was not reached within twice the limit.
    pub measured: Option<f64>,
    /// The unit of the limit and the value.
    pub unit: &'static str,
    /// What all nodes sent meanwhile to keep the mesh.
    pub traffic: Traffic,
}

/// What a node sent to keep the mesh: control frames and keep-alives, on average over all nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Traffic {
    /// The number of frames.
    pub frames: f64,
    /// The bytes of these frames.
    pub bytes: f64,
    /// In which virtual time, in seconds.
    pub seconds: f64,
}

impl Target {
    /// Whether the measured value is within the limit.
    pub fn is_met(&self) -> bool {
        self.measured.is_some_and(|measured| measured <= self.limit)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_met() { "ok" } else { "MISSED" };
        let measured = self.measured.map_or("never".into(), |figure| format!("{figure:.3}"));
        let Self { what, limit, unit, traffic, .. } = self;
        let Traffic { frames, bytes, seconds } = traffic;
        write!(f, "{verdict:<7} {measured:>8} of {limit} {unit}: {what}")?;
        match *seconds > 0.0 {
            true => write!(f, " ({frames:.0} frames, {bytes:.0} bytes a node in {seconds:.1} s)"),
            false => Ok(()),
        }
    }
}

/// Nodes that are started together all start within this time.
const START_SPREAD: Duration = Duration::from_millis(100);
/// So long that the nodes know how fast their links are, and that the last change is announced.
const REST_TIME: Duration = Duration::from_secs(12);
/// For how long an idle mesh is measured: two periods in which databases are compared.
const IDLE_TIME: Duration = Duration::from_secs(20);
/// How long the halves have no contact: beyond the dead interval.
const PARTED_TIME: Duration = Duration::from_secs(10);
const START_MAX: Duration = Duration::from_secs(10);
const JOIN_MAX: Duration = Duration::from_secs(2);
const REMOVAL_MAX: Duration = Duration::from_millis(250);
const SILENT_MAX: Duration = Duration::from_millis(1500);
const MERGE_MAX: Duration = Duration::from_secs(10);
const FIRST_CONTACT_MAX: Duration = Duration::from_secs(60);
/// The bytes of protocol that a node may send in a second while nothing changes.
const IDLE_BYTES_MAX: f64 = 100.0;

/// A simulation whose phases are measured.
struct Measurement<'a> {
    sim: Sim,
    targets: Vec<Target>,
    done: &'a dyn Fn(&Target),
}

impl Measurement<'_> {
    /// Measures how long a phase takes; `None` is never.
    fn time(
        &mut self,
        key: &'static str,
        what: String,
        limit: Duration,
        phase: impl FnOnce(&mut Sim) -> Option<Duration>,
    ) {
        let (time, traffic) = traffic_of(&mut self.sim, phase);
        let measured = time.map(|time| time.as_secs_f64());
        self.note(Target { key, what, limit: limit.as_secs_f64(), measured, unit: "s", traffic });
    }

    fn note(&mut self, target: Target) {
        (self.done)(&target);
        self.targets.push(target);
    }
}

/// Runs a phase, and measures what the nodes send in it.
fn traffic_of<T>(sim: &mut Sim, phase: impl FnOnce(&mut Sim) -> T) -> (T, Traffic) {
    let sent = |sim: &Sim| {
        let total = sim.counters().total();
        let (control, keep_alives) = (total.control, total.keep_alives);
        (control.0 + keep_alives.0, control.1 + keep_alives.1)
    };
    let (before, began) = (sent(sim), sim.now());
    let result = phase(sim);
    let after = sent(sim);
    let per_node = |count: u64| count as f64 / sim.hosts().count() as f64;
    let traffic = Traffic {
        frames: per_node(after.0 - before.0),
        bytes: per_node(after.1 - before.1),
        seconds: (sim.now() - began).as_secs_f64(),
    };
    (result, traffic)
}

/// Measures a mesh. `done` is called with each target once it is measured.
pub fn measure(scale: Scale, done: impl Fn(&Target)) -> Vec<Target> {
    let Scale { nodes, degree, seed } = scale;
    let sim = Sim::new(seed, false);
    let mut measured = Measurement { sim, targets: Vec::new(), done: &done };
    let mut rng = SimRng::new(seed).fork(20);
    let what = format!("{nodes} nodes of degree {degree}, started together, learn the whole mesh");
    measured.time("cold start", what, START_MAX, |sim| {
        for number in 0..nodes {
            sim.run_to(START_SPREAD * number as u32 / nodes as u32);
            sim.add(NodeSpec::new(&format!("n{number:05}"), degree));
        }
        sim.run_until_full(START_MAX * 2)
    });
    measured.sim.run_for(REST_TIME);
    let links = measured.sim.links();
    measured.note(Target {
        key: "links",
        what: format!("no node has more than twice its degree (min/mean/max {links})"),
        limit: f64::from(degree) * 2.0,
        measured: Some(links.max() as f64),
        unit: "links",
        traffic: Traffic::default(),
    });
    let ((), traffic) = traffic_of(&mut measured.sim, |sim| sim.run_for(IDLE_TIME));
    measured.note(Target {
        key: "idle",
        what: "what a node sends while nothing changes".into(),
        limit: IDLE_BYTES_MAX,
        measured: Some(traffic.bytes / traffic.seconds),
        unit: "bytes/s",
        traffic,
    });
    let mut joined = None;
    measured.time("join", "every node knows one that joins".into(), JOIN_MAX, |sim| {
        joined = Some(sim.add(NodeSpec::new("joins", degree)));
        sim.run_until_full(JOIN_MAX * 2)
    });
    measured.sim.run_for(REST_TIME);
    let percentile = |times: Option<Vec<Duration>>| {
        times.and_then(|times| times.get(times.len().saturating_sub(1) * 99 / 100).copied())
    };
    if let Some(joined) = joined {
        let what = "a node that leaves disappears from 99 % of the tables".into();
        measured.time("leave", what, REMOVAL_MAX, |sim| {
            percentile(sim.removal_times(joined, REMOVAL_MAX * 2, |sim| sim.leave(joined)))
        });
    }
    measured.sim.run_for(REST_TIME);
    let killed = HostId(rng.index(nodes));
    let what = "a killed node disappears from 99 % of the tables".into();
    measured.time("kill", what, REMOVAL_MAX, |sim| {
        percentile(sim.removal_times(killed, REMOVAL_MAX * 2, |sim| sim.kill(killed)))
    });
    measured.sim.run_for(REST_TIME);
    let silent = HostId((killed.0 + nodes / 2) % nodes);
    let what = "a silent node disappears from every table".into();
    measured.time("silent death", what, SILENT_MAX, |sim| {
        let times = sim.removal_times(silent, SILENT_MAX * 2, |sim| sim.power_off(silent));
        times.and_then(|times| times.last().copied())
    });
    measured.sim.run_for(REST_TIME);
    let what = format!("two halves that were parted for {PARTED_TIME:?} are one mesh again");
    for number in 0..nodes {
        measured.sim.network().set_group(HostId(number), (number % 2) as u32);
    }
    measured.sim.run_for(PARTED_TIME);
    measured.time("heal", what, MERGE_MAX, |sim| {
        sim.network().heal_all();
        sim.release();
        sim.run_until_full(MERGE_MAX * 2)
    });
    for islands in [8, 32] {
        measured.sim = two_islands(seed, islands, 3);
        measured.sim.settle_down();
        measured.sim.run_for(Duration::from_secs(100));
        let what = format!("two full groups of {} without earlier contact merge", islands / 2);
        measured.time("first contact", what, FIRST_CONTACT_MAX, |sim| {
            sim.network().heal_all();
            sim.release();
            sim.run_until_full(FIRST_CONTACT_MAX * 2)
        });
    }
    measured.targets
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
