//! Complete runs: one seed from the start to the last check, and many seeds in parallel.

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::forward::reverse_path::ROUTES_SETTLED_AFTER;
use crate::planted::{self, Mistake};
use crate::secure::Key;

use super::chaos::{Chaos, closed_key, keys_of_stage};
use super::endings;
use super::liar::Liars;
use super::network::HostId;
use super::node::NodeSpec;
use super::report::Summary;
use super::rng::SimRng;
use super::rotation;
use super::simulation::Sim;

/// The default degree.
pub const DEGREE: u32 = 3;
/// Nodes that are "started together" all start within this time.
const START_SPREAD: Duration = Duration::from_millis(100);
/// The time limit for a mesh to settle, from a cold start or after faults. The original's back-off
/// and two slow beacons take less.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(120);
/// The interval of the checks whether the mesh has settled.
const SETTLE_STEP: Duration = Duration::from_millis(10);
/// The idle time before the last checks: longer than any deadline, and longer than a partial large
/// message is kept.
const REST_TIME: Duration = Duration::from_secs(35);
/// How long a node that has joined may take to make its other links.
const JOINED_TIME: Duration = Duration::from_secs(5);
/// The share of chaotic runs, per thousand, in which nodes find each other by seed addresses only.
const SEEDED_PERMILLE: u32 = 150;
/// How many times the liars lie in a mesh at rest, each time after this interval.
const LIES_AT_REST: u32 = 100;
const LIE_INTERVAL: Duration = Duration::from_millis(20);
/// The clocks of two closed hosts differ by less than this: almost as much as they may.
const CLOCKS_DIFFER_MAX: Duration = Duration::from_secs(29);
/// In one of this many chaotic runs of open meshes, a name is taken over at the end.
const TAKEN_OVER_ONE_IN: u64 = 4;
/// In meshes of up to this size every application sends a message to every node that joins.
const GREETING_NODES: usize = 32;
/// Larger meshes are not observed at rest: each second of such a mesh costs as much as the whole
/// run of a small one.
const REST_NODES: usize = 200;

/// The options of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimOptions {
    /// The seed of all randomness.
    pub seed: u64,
    /// The number of nodes.
    pub nodes: usize,
    /// The degree of each node.
    pub degree: u32,
    /// Whether to inject faults.
    pub chaos: bool,
    /// Whether some nodes forge frames in the names of others.
    pub liars: bool,
    /// Which nodes have which keys.
    pub keys: Keys,
    /// Whether to print every event.
    pub trace: bool,
    /// The mistake that all nodes make.
    pub planted: Option<Mistake>,
}

/// Which nodes of a run have which keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keys {
    /// None has a key.
    #[default]
    Open,
    /// All have the same, which is rotated.
    Closed,
    /// Some are open, the others have one of two keys; in half of the runs, some have both.
    Mixed,
}

impl Keys {
    fn flag(self) -> &'static str {
        match self {
            Self::Open => "",
            Self::Closed => " --closed",
            Self::Mixed => " --mixed",
        }
    }
}

impl SimOptions {
    /// A run of `nodes` nodes without faults.
    pub fn new(seed: u64, nodes: usize) -> Self {
        Self {
            seed,
            nodes,
            degree: DEGREE,
            chaos: false,
            liars: false,
            keys: Keys::Open,
            trace: false,
            planted: None,
        }
    }
}

/// A violated invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvariantViolation {
    /// The options that reproduce it.
    pub options: SimOptions,
    /// When it was found, in virtual time.
    pub at: Duration,
    /// The invariant, and the finding.
    pub what: String,
}

impl fmt::Display for InvariantViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SimOptions { seed, nodes, degree, chaos, liars, keys, trace: _, planted } =
            self.options;
        let (at, what) = (self.at.as_secs_f64(), &self.what);
        if let Some(mistake) = planted {
            return write!(
                f,
                "violation at {at:.6} s: {what}\n  replay: cargo xtask sim --planted {mistake} \
                 --seed {seed} --trace"
            );
        }
        let chaos = if chaos { " --chaos" } else { "" };
        let liars = if liars { " --liars" } else { "" };
        write!(
            f,
            "violation at {at:.6} s: {what}\n  replay: cargo xtask sim --seed {seed} --nodes {nodes} \
             --degree {degree}{chaos}{liars}{} --trace",
            keys.flag(),
        )
    }
}

impl std::error::Error for InvariantViolation {}

/// Runs one simulation from its start to its last check.
///
/// # Errors
/// [`InvariantViolation`] if an invariant did not hold.
pub fn run_one(options: SimOptions) -> Result<Summary, InvariantViolation> {
    let mut sim = Sim::new(options.seed, options.trace);
    if options.seed.is_multiple_of(2) {
        // As in a large mesh.
        sim.tree_nodes_min = 2;
    }
    let run = || planted::with(options.planted, || run_to_end(&mut sim, options));
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let what = match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
            (Some(text), _) => text.clone(),
            (None, Some(text)) => (*text).into(),
            (None, None) => "a panic without a message".into(),
        };
        InvariantViolation { options, at: sim.now(), what }
    })
}

fn run_to_end(sim: &mut Sim, options: SimOptions) -> Summary {
    let mut rng = SimRng::new(options.seed).fork(10);
    if options.nodes <= GREETING_NODES {
        sim.greet_new_nodes();
    }
    let seeded = populate(sim, options, &mut rng);
    // A node that is a part of two meshes may have to be a bridge beyond twice its degree.
    let limited = !seeded && options.keys != Keys::Mixed;
    let known = sim.run_until_stepping(SETTLE_TIME_MAX, SETTLE_STEP, &mut Sim::all_are_known);
    let known = known.unwrap_or_else(|| panic!("invariant S7: {}", sim.unsettled_reason()));
    let converged = known + settle(sim, "at first");
    sim.check_tables(limited.then_some(2 * options.degree as usize));
    let mut faults = 0;
    let mut healed = None;
    let mut liars = Liars::choose(sim, options.liars, rng.fork(13));
    if options.chaos {
        sim.network().set_loss(rng.within(0..300) as u32);
        sim.network().disturb_datagrams(rng.fork(18).within(0..300) as u32);
        let mut chaos = Chaos::plan(sim, rng.fork(11), options.keys == Keys::Closed);
        chaos.execute(sim, &mut liars);
        faults = chaos.faults();
        healed = Some(settle(sim, "after the faults"));
    }
    if options.liars {
        lie_at_rest(sim, &mut liars);
    }
    if options.nodes <= REST_NODES {
        sim.run_for(REST_TIME);
    }
    // A node that lacks links may be making one now.
    settle(sim, "again");
    sim.check_tables(limited.then_some(2 * options.degree.max(5) as usize));
    if options.keys == Keys::Closed && options.nodes <= REST_NODES && !options.liars {
        rotation::rotate(sim, rng.fork(15));
        // The node that got the new key last looks for further links.
        sim.run_for(JOINED_TIME);
        sim.check_tables(limited.then_some(2 * options.degree.max(5) as usize));
    }
    if options.chaos && !options.liars && options.nodes <= REST_NODES {
        end_chaos(sim, options, seeded, &rng);
    }
    sim.probe();
    sim.check_quiescence(options.nodes <= REST_NODES);
    sim.check_outcomes();
    Summary {
        seed: options.seed,
        nodes: options.nodes,
        degree: options.degree,
        faults,
        known,
        converged,
        healed,
        lasted: sim.now(),
        counters: sim.counters().clone(),
        links: sim.links(),
        sends: sim.history().sent().len() as u64,
        outcomes: sim.outcomes(),
        received: sim.history().received(),
        events: sim.trace_hash().events(),
        digest: sim.trace_hash().digest(),
    }
}

/// Tries with a mesh at rest what chaos does not do.
fn end_chaos(sim: &mut Sim, options: SimOptions, seeded: bool, rng: &SimRng) {
    endings::set_back(sim, rng.fork(17));
    let takes_over = options.seed.is_multiple_of(TAKEN_OVER_ONE_IN);
    if takes_over && options.keys == Keys::Open && options.nodes > 2 && !seeded {
        endings::take_over(sim, rng.fork(18));
        settle(sim, "after a name was taken over");
        sim.run_for(REST_TIME);
    }
}

/// Lets the liars lie while routes change, and once they have been at rest for so long that a frame
/// must arrive over the expected link. Applications send meanwhile.
fn lie_at_rest(sim: &mut Sim, liars: &mut Liars) {
    for rest in [Duration::ZERO, ROUTES_SETTLED_AFTER + Duration::from_secs(1)] {
        sim.run_for(rest);
        for _ in 0..LIES_AT_REST {
            sim.run_for(LIE_INTERVAL);
            liars.lie(sim);
            liars.send(sim);
        }
    }
}

/// Starts the nodes of a run and returns whether they find each other by seed addresses. In a chaotic
/// run their settings differ, so that limits are reached.
fn populate(sim: &mut Sim, options: SimOptions, rng: &mut SimRng) -> bool {
    let mut starts: Vec<(Duration, usize)> =
        (0..options.nodes).map(|number| (rng.time(Duration::ZERO..START_SPREAD), number)).collect();
    starts.sort();
    let seeded = options.chaos && rng.permille(SEEDED_PERMILLE) && options.keys != Keys::Mixed;
    // Random numbers of their own, so that a closed run differs from an open one in its keys alone.
    let mut keys_rng = rng.fork(16);
    let bridged = keys_rng.permille(500);
    for (at, number) in starts {
        sim.run_to(at);
        let mut spec = NodeSpec::new(&format!("n{number:03}"), options.degree);
        spec.keys = keys(options, bridged, &mut keys_rng);
        if !spec.keys.is_empty() {
            spec.clock_ahead = keys_rng.time(Duration::ZERO..CLOCKS_DIFFER_MAX);
        }
        if seeded {
            // No node solicits links: all dial the same two nodes, forever.
            spec.degree = 0;
            spec.seeds = vec!["n000".into(), format!("n001:{}", crate::config::DEFAULT_PORT)];
        }
        if options.chaos {
            spec.receive_buffer = [4, 16, 64, 1024][rng.index(4)];
            spec.msa_timeout = Duration::from_secs(rng.within(3..11));
            spec.lag = Duration::from_micros([0, 0, 500, 3000, 30_000][rng.index(5)]);
            spec.max_message = [100_000, 1 << 20][usize::from(rng.permille(700))];
        }
        sim.add(spec);
    }
    seeded
}

/// The keys of the next node of a run.
fn keys(options: SimOptions, bridged: bool, rng: &mut SimRng) -> Vec<Key> {
    let both = [closed_key(0), closed_key(1)];
    match options.keys {
        Keys::Open => Vec::new(),
        Keys::Closed => keys_of_stage(0),
        Keys::Mixed => match rng.within(0..if bridged { 4 } else { 3 }) {
            0 => Vec::new(),
            1 => both[..1].to_vec(),
            2 => both[1..].to_vec(),
            _ => both.into(),
        },
    }
}

fn settle(sim: &mut Sim, when: &str) -> Duration {
    let settled = sim.run_until_stepping(SETTLE_TIME_MAX, SETTLE_STEP, &mut Sim::is_settled);
    settled.unwrap_or_else(|| {
        panic!(
            "invariant S7: the mesh did not settle {when} in {SETTLE_TIME_MAX:?}: {}",
            sim.unsettled_reason()
        )
    })
}

/// The options of many runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Campaign {
    /// The seeds.
    pub seeds: Range<u64>,
    /// The range from which each seed picks the number of nodes.
    pub nodes: RangeInclusive<usize>,
    /// The degree. With `None`, each seed picks 2, 3 or 4.
    pub degree: Option<u32>,
    /// Whether to inject faults.
    pub chaos: bool,
    /// Whether some nodes forge frames in the names of others.
    pub liars: bool,
    /// Which nodes have which keys.
    pub keys: Keys,
    /// The number of parallel threads.
    pub threads: usize,
}

impl Campaign {
    /// The options of the run of one seed.
    pub fn options(&self, seed: u64) -> SimOptions {
        let mut rng = SimRng::new(seed).fork(12);
        let nodes = rng.within(*self.nodes.start() as u64..*self.nodes.end() as u64 + 1);
        let degree = rng.within(2..5) as u32;
        SimOptions {
            seed,
            nodes: nodes as usize,
            degree: self.degree.unwrap_or(degree),
            chaos: self.chaos,
            liars: self.liars,
            keys: self.keys,
            trace: false,
            planted: None,
        }
    }
}

/// The results of many runs.
#[derive(Debug, Clone, Default)]
pub struct CampaignResult {
    /// The runs without a violation, by seed.
    pub summaries: Vec<Summary>,
    /// The runs with a violation, by seed.
    pub violations: Vec<InvariantViolation>,
}

/// Runs many seeds. `done` is called with each result, in any order.
pub fn run_many(
    campaign: &Campaign,
    done: impl Fn(&Result<Summary, InvariantViolation>) + Sync,
) -> CampaignResult {
    let next = AtomicU64::new(campaign.seeds.start);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..campaign.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= campaign.seeds.end {
                        return;
                    }
                    let result = run_one(campaign.options(seed));
                    done(&result);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push(result);
                }
            });
        }
    });
    let mut campaign_result = CampaignResult::default();
    for result in results.into_inner().unwrap_or_else(PoisonError::into_inner) {
        match result {
            Ok(summary) => campaign_result.summaries.push(summary),
            Err(violation) => campaign_result.violations.push(violation),
        }
    }
    campaign_result.summaries.sort_by_key(|summary| summary.seed);
    campaign_result.violations.sort_by_key(|violation| violation.options.seed);
    campaign_result
}

impl fmt::Display for CampaignResult {
    /// Prints one summary line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = &self.summaries;
        let most = |of: fn(&Summary) -> Option<Duration>| {
            runs.iter().filter_map(of).max().unwrap_or_default().as_secs_f64()
        };
        let sum = |of: fn(&Summary) -> u64| runs.iter().map(of).sum::<u64>();
        write!(
            f,
            "sim: {} seeds, {} violations, {} nodes, {} faults, {} sends, {} received, \
             converged in {:.2} s at most, healed in {:.2} s at most, {:.1} h virtual, {} events",
            runs.len() + self.violations.len(),
            self.violations.len(),
            sum(|run| run.nodes as u64),
            sum(|run| run.faults as u64),
            sum(|run| run.sends),
            sum(|run| run.received),
            most(|run| Some(run.converged)),
            most(|run| run.healed),
            runs.iter().map(|run| run.lasted.as_secs_f64()).sum::<f64>().abs() / 3600.0,
            sum(|run| run.events),
        )
    }
}

/// Creates nodes of one degree on a network that is partitioned from the start.
pub fn two_islands(seed: u64, nodes: usize, degree: u32) -> Sim {
    let mut sim = Sim::new(seed, false);
    for number in 0..nodes {
        sim.network().set_group(HostId(number), u32::from(number >= nodes / 2));
        sim.add(NodeSpec::new(&format!("n{number:03}"), degree));
    }
    sim
}
