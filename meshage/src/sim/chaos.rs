//! Turns a seed into a plan of faults and traffic, and executes the plan on a simulation.
//!
//! It owns the plan: which action happens, and when. It changes the simulation only through its
//! public operations. Each fault has an end: a killed node is restarted and a cut path is healed,
//! at the latest when the plan ends.
//!
//! ```text
//!  seed ──► plan: [0.4 s send][1.1 s cut 3–7][1.9 s kill 2]…       faults and traffic together
//!                                    └─► [4.2 s heal 3–7]            each with its end
//!  end of the plan ──► all faults heal ──► the run checks the invariants
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use crate::message::Recipients;
use crate::name::NodeName;
use crate::protocol::io::Command;
use crate::secure::Key;

use super::application::SendOptions;
use super::history::SendId;
use super::liar::Liars;
use super::network::{HostId, Path};
use super::node::HostState;
use super::rng::SimRng;
use super::simulation::Sim;

/// The duration of the fault phase: several dead intervals and announcement periods.
const FAULTS_TIME: Duration = Duration::from_secs(30);
/// The longest fault: longer than the dead interval, so that some faults are detected and others
/// are not.
const FAULT_TIME_MAX: Duration = Duration::from_secs(9);
/// The range of announcement periods. A run lasts several of the longest.
const PERIOD_MIN: Duration = Duration::from_secs(1);
const PERIOD_MAX: Duration = Duration::from_secs(10);
/// How fast a flapping path changes, and how often.
const FLAP_PERIOD_MIN: Duration = Duration::from_millis(400);
const FLAP_PERIOD_MAX: Duration = Duration::from_secs(4);
const FLAPS_MAX: u32 = 8;
/// How far a clock jumps at most.
const CLOCK_JUMP_MAX: Duration = Duration::from_secs(3600);
/// The largest body of chaotic traffic: several chunks, but small enough for thousands of runs.
const BODY_BYTES_MAX: u64 = 400_000;
/// The largest burst: more messages than the small inboxes of chaotic runs hold.
const BURST_MAX: u64 = 60;

/// All hosts get the keys of a stage within this time.
const STAGE_SPREAD: Duration = Duration::from_secs(2);
/// The number of stages: two rotations of three steps each, from the first key.
const STAGES: usize = 7;

/// The keys of a stage: each new key is added, then used, and then the one before is removed.
pub(super) fn keys_of_stage(stage: usize) -> Vec<Key> {
    let (round, step) = (stage / 3, stage % 3);
    let (old, new) = (closed_key(round), closed_key(round + 1));
    match step {
        0 => vec![old],
        1 => vec![old, new],
        _ => vec![new, old],
    }
}

/// The key with a number.
pub(super) fn closed_key(number: usize) -> Key {
    Key::from_bytes(&[number as u8 + 1; 32])
}

/// One planned action.
#[derive(Debug, Clone)]
enum Action {
    Kill(HostId),
    PowerOff(HostId),
    Leave(HostId),
    Start(HostId),
    Stop(HostId),
    Resume(HostId),
    /// Cuts the path to one of the peers at that time.
    CutPeer(HostId, usize),
    Heal(HostId, HostId),
    SlowPeer(HostId, usize, Path),
    /// What one of the two sends to the other is lost.
    CutPeerOneWay(HostId, usize),
    /// The path cuts off and comes back again and again, with this period.
    FlapPeer(HostId, usize, Duration),
    Flap(HostId, HostId, Duration, u32),
    /// Changes the clock of a host by this much, forwards; at most once for each host.
    JumpClock(HostId, Duration),
    RestoreClock(HostId, Duration),
    RestorePath(HostId, HostId),
    /// Assigns each host to the group of its bit.
    Partition(u64),
    HealPartition,
    StopReading(HostId),
    ResumeReading(HostId),
    Hangup(HostId, usize),
    Dial(HostId, HostId),
    SetDegree(HostId, u32),
    SetPeriod(HostId, Duration),
    Announce(HostId),
    Send(HostId, PlannedSend),
    Cancel(SendId),
    /// Gives a host the keys of a stage of the rotation, as soon as its process can take them.
    SetKeys(HostId, usize),
}

/// A planned send.
#[derive(Debug, Clone)]
struct PlannedSend {
    to: Recipients,
    length: usize,
    options: SendOptions,
    copies: u64,
    cancel_after: Option<Duration>,
}

/// A plan, and the random generator that made it.
#[derive(Debug)]
pub(super) struct Chaos {
    actions: BTreeMap<(Duration, u64), Action>,
    serial: u64,
    rng: SimRng,
    faults: usize,
    rotates: bool,
    /// The stage of the keys of each host.
    stages: BTreeMap<HostId, usize>,
}

impl Chaos {
    /// Plans the actions of a seed for the hosts of a simulation, from the current time.
    pub(super) fn plan(sim: &Sim, rng: SimRng, rotates: bool) -> Self {
        let mut plan = Self {
            actions: BTreeMap::new(),
            serial: 0,
            rng,
            faults: 0,
            rotates,
            stages: BTreeMap::new(),
        };
        let hosts: Vec<HostId> = sim.hosts().collect();
        let from = sim.now();
        let faults = 4 + plan.rng.within(0..hosts.len() as u64 + 6);
        for _ in 0..faults {
            let at = from + plan.rng.time(Duration::ZERO..FAULTS_TIME);
            let action = plan.fault(&hosts);
            plan.add(at, action);
        }
        // Random numbers of its own, so that the other faults of a seed stay as they were.
        let mut rng = plan.rng.fork(17);
        let more = rng.within(0..hosts.len() as u64 / 2 + 4);
        for _ in 0..more {
            let at = from + rng.time(Duration::ZERO..FAULTS_TIME);
            let action = Self::network_fault(&hosts, &mut rng);
            plan.add(at, action);
        }
        plan.faults = (faults + more) as usize;
        plan.plan_rotation(&hosts, from, rotates);
        let mean_gap = Duration::from_millis(plan.rng.within(300..3000));
        for &host_id in &hosts {
            let mut at = from + plan.rng.time(Duration::ZERO..mean_gap);
            while at < from + FAULTS_TIME {
                let planned = plan.planned_send(sim, host_id, &hosts);
                plan.add(at, Action::Send(host_id, planned));
                at += plan.rng.time(mean_gap / 4..mean_gap * 2);
            }
        }
        plan
    }

    /// Plans the stages of the rotation, each at all hosts within a short time. A host that is stopped
    /// or off then gets its keys later.
    fn plan_rotation(&mut self, hosts: &[HostId], from: Duration, rotates: bool) {
        if !rotates {
            return;
        }
        // Random numbers of its own, so that a closed run has the same faults as an open one.
        let mut rng = self.rng.fork(14);
        let mut times: Vec<Duration> =
            (1..STAGES).map(|_| rng.time(Duration::ZERO..FAULTS_TIME - STAGE_SPREAD)).collect();
        times.sort();
        for (index, time) in times.into_iter().enumerate() {
            for &host_id in hosts {
                let at = from + time + rng.time(Duration::ZERO..STAGE_SPREAD);
                self.add(at, Action::SetKeys(host_id, index + 1));
            }
        }
    }

    /// The number of faults in the plan.
    pub(super) fn faults(&self) -> usize {
        self.faults
    }

    fn add(&mut self, at: Duration, action: Action) {
        self.serial += 1;
        self.actions.insert((at, self.serial), action);
    }

    fn fault(&mut self, hosts: &[HostId]) -> Action {
        let rng = &mut self.rng;
        let host_id = hosts[rng.index(hosts.len())];
        let other = hosts[rng.index(hosts.len())];
        let peer = rng.within(0..1000) as usize;
        match rng.within(0..23) {
            0..3 => Action::Kill(host_id),
            3..5 => Action::PowerOff(host_id),
            5 => Action::Leave(host_id),
            6..8 => Action::Stop(host_id),
            8..11 => Action::CutPeer(host_id, peer),
            11..14 => {
                let path = Path {
                    latency: rng.time(Duration::from_millis(5)..Duration::from_millis(300)),
                    jitter: rng.time(Duration::ZERO..Duration::from_millis(100)),
                    bandwidth: rng.within(30_000..500_000),
                    packet_bytes_max: None,
                };
                Action::SlowPeer(host_id, peer, path)
            }
            14..16 => Action::Partition(rng.number()),
            16..18 => Action::StopReading(host_id),
            18 => Action::Hangup(host_id, peer),
            19 => Action::SetDegree(host_id, rng.within(1..6) as u32),
            20 => Action::SetPeriod(host_id, rng.time(PERIOD_MIN..PERIOD_MAX)),
            21 => Action::Announce(host_id),
            _ => Action::Dial(host_id, other),
        }
    }

    /// A fault of the network or of a clock.
    fn network_fault(hosts: &[HostId], rng: &mut SimRng) -> Action {
        let host_id = hosts[rng.index(hosts.len())];
        let peer = rng.within(0..1000) as usize;
        match rng.within(0..8) {
            0..2 => Action::CutPeerOneWay(host_id, peer),
            2..4 => {
                let most = rng.within(600..1400) as usize;
                let path = Path { packet_bytes_max: Some(most), ..Path::default() };
                Action::SlowPeer(host_id, peer, path)
            }
            4..6 => Action::FlapPeer(host_id, peer, rng.time(FLAP_PERIOD_MIN..FLAP_PERIOD_MAX)),
            _ => Action::JumpClock(host_id, rng.time(Duration::ZERO..CLOCK_JUMP_MAX)),
        }
    }

    fn planned_send(&mut self, sim: &Sim, from: HostId, hosts: &[HostId]) -> PlannedSend {
        let rng = &mut self.rng;
        let to = match rng.within(0..10) {
            0..2 => Recipients::Broadcast,
            kind => {
                let count = if kind < 7 { 1 } else { 1 + rng.within(0..6) };
                let mut names: Vec<NodeName> = (0..count)
                    .map(|_| sim.hosts[rng.index(hosts.len())].spec.name.clone())
                    .collect();
                if rng.permille(30)
                    && let Ok(unknown) = NodeName::new("nobody")
                {
                    names.push(unknown);
                }
                // A set that contains only the sender is an error, which chaos does not test.
                let own = &sim.hosts[from.0].spec.name;
                if names.iter().all(|name| name == own) {
                    names.push(sim.hosts[(from.0 + 1) % hosts.len()].spec.name.clone());
                }
                Recipients::Set(names.into())
            }
        };
        let length = match rng.within(0..20) {
            0 => 0,
            1..15 => rng.within(1..1000),
            15..19 => rng.within(1000..60_000),
            _ => rng.within(60_000..BODY_BYTES_MAX),
        };
        let burst = length < 1000 && rng.permille(60);
        let timeout = if rng.permille(80) {
            Duration::ZERO
        } else {
            rng.time(Duration::from_millis(50)..Duration::from_secs(10))
        };
        PlannedSend {
            to,
            length: length as usize,
            options: SendOptions { timeout, retry: rng.permille(250) },
            copies: if burst { rng.within(10..BURST_MAX) } else { 1 },
            cancel_after: rng
                .permille(50)
                .then(|| rng.time(Duration::ZERO..Duration::from_millis(30))),
        }
    }

    /// Executes the plan, and then ends every fault.
    pub(super) fn execute(&mut self, sim: &mut Sim, liars: &mut Liars) {
        let end = sim.now() + FAULTS_TIME;
        while let Some(next) = self.actions.first_entry().filter(|next| next.key().0 <= end) {
            let ((at, _), action) = next.remove_entry();
            sim.run_to(at);
            liars.lie(sim);
            self.apply(sim, action);
        }
        sim.run_to(end);
        sim.network().heal_all();
        for action in std::mem::take(&mut self.actions).into_values() {
            if let Action::RestoreClock(host_id, ahead) = action {
                sim.restore_clock(host_id, ahead);
            }
        }
        for host_id in sim.hosts() {
            sim.resume(host_id);
            if !sim.is_running(host_id) {
                sim.start(host_id);
            }
            sim.set_reading(host_id, true);
            if self.rotates {
                sim.set_keys(host_id, &keys_of_stage(STAGES - 1));
            }
        }
        sim.release();
    }

    fn apply(&mut self, sim: &mut Sim, action: Action) {
        let end = sim.now() + self.rng.time(Duration::from_millis(20)..FAULT_TIME_MAX);
        match action {
            Action::Kill(host_id) if sim.is_running(host_id) => {
                sim.kill(host_id);
                self.add(end, Action::Start(host_id));
            }
            Action::PowerOff(host_id) if sim.is_running(host_id) => {
                sim.power_off(host_id);
                self.add(end, Action::Start(host_id));
            }
            Action::Leave(host_id) if sim.is_running(host_id) => {
                sim.leave(host_id);
                self.add(end, Action::Start(host_id));
            }
            Action::Stop(host_id) if sim.is_running(host_id) => {
                sim.stop(host_id);
                self.add(end, Action::Resume(host_id));
            }
            Action::Kill(_) | Action::PowerOff(_) | Action::Leave(_) | Action::Stop(_) => {}
            Action::Start(host_id) => {
                if sim.instance(host_id).is_none() {
                    sim.start(host_id);
                }
            }
            Action::Resume(host_id) => {
                if sim.host_state(host_id) == HostState::Stopped {
                    sim.resume(host_id);
                }
            }
            Action::CutPeer(host_id, pick) => {
                if let Some(peer) = peer_host(sim, host_id, pick) {
                    sim.network().cut(host_id, peer);
                    self.add(end, Action::Heal(host_id, peer));
                }
            }
            Action::CutPeerOneWay(host_id, pick) => {
                if let Some(peer) = peer_host(sim, host_id, pick) {
                    sim.network().cut_one_way(host_id, peer);
                    self.add(end, Action::Heal(host_id, peer));
                }
            }
            Action::FlapPeer(host_id, pick, period) => {
                if let Some(peer) = peer_host(sim, host_id, pick) {
                    self.add(sim.now(), Action::Flap(host_id, peer, period, FLAPS_MAX));
                }
            }
            Action::Flap(a, b, period, times) => {
                sim.network().cut(a, b);
                self.add(sim.now() + period / 2, Action::Heal(a, b));
                if times > 1 {
                    self.add(sim.now() + period, Action::Flap(a, b, period, times - 1));
                }
            }
            Action::JumpClock(host_id, ahead) => {
                sim.advance_clock(host_id, ahead);
                self.add(end, Action::RestoreClock(host_id, ahead));
            }
            Action::RestoreClock(host_id, ahead) => sim.restore_clock(host_id, ahead),
            Action::Heal(a, b) => {
                sim.network().heal(a, b);
                sim.release();
            }
            Action::SlowPeer(host_id, pick, path) => {
                if let Some(peer) = peer_host(sim, host_id, pick) {
                    sim.network().set_path(host_id, peer, Some(path));
                    self.add(end, Action::RestorePath(host_id, peer));
                }
            }
            Action::RestorePath(a, b) => {
                sim.network().set_path(a, b, None);
                sim.release();
            }
            Action::Partition(bits) => {
                for host_id in sim.hosts() {
                    let group = (bits >> (host_id.0 % 64)) & 1;
                    sim.network().set_group(host_id, group as u32);
                }
                self.add(end, Action::HealPartition);
            }
            Action::HealPartition => {
                for host_id in sim.hosts() {
                    sim.network().set_group(host_id, 0);
                }
                sim.release();
            }
            Action::StopReading(host_id) => {
                sim.set_reading(host_id, false);
                self.add(end, Action::ResumeReading(host_id));
            }
            Action::ResumeReading(host_id) => sim.set_reading(host_id, true),
            Action::Hangup(host_id, pick) => {
                let peers = sim.peers(host_id);
                if !peers.is_empty() {
                    sim.hangup(host_id, &peers[pick % peers.len()]);
                }
            }
            Action::Dial(from, to) => {
                let (from, to) = (sim.host_name(from), sim.host_name(to));
                sim.dial(&from, &to);
            }
            Action::SetDegree(host_id, degree) => sim.command(host_id, Command::SetDegree(degree)),
            Action::SetPeriod(host_id, period) => {
                sim.command(host_id, Command::SetMsaTimeout(period))
            }
            Action::Announce(host_id) => sim.command(host_id, Command::Announce),
            Action::Send(host_id, planned) => self.send_planned(sim, host_id, &planned),
            Action::Cancel(send_id) => sim.cancel(send_id),
            Action::SetKeys(host_id, stage) => self.set_keys(sim, host_id, stage),
        }
    }

    /// Gives a host the keys of a stage, unless it has later ones. A host that cannot take them gets
    /// them later.
    fn set_keys(&mut self, sim: &mut Sim, host_id: HostId, stage: usize) {
        if self.stages.get(&host_id).is_some_and(|present| *present >= stage) {
            return;
        }
        if sim.is_running(host_id) {
            self.stages.insert(host_id, stage);
            sim.set_keys(host_id, &keys_of_stage(stage));
        } else {
            let later = sim.now() + self.rng.time(STAGE_SPREAD..STAGE_SPREAD * 3);
            self.add(later, Action::SetKeys(host_id, stage));
        }
    }

    fn send_planned(&mut self, sim: &mut Sim, host_id: HostId, planned: &PlannedSend) {
        for _ in 0..planned.copies {
            let sent = sim.send(host_id, planned.to.clone(), planned.length, planned.options);
            // The local queue may be full, and the node may not be running.
            let Ok(send_id) = sent else {
                return;
            };
            if let Some(after) = planned.cancel_after {
                self.add(sim.now() + after, Action::Cancel(send_id));
            }
        }
    }
}

fn peer_host(sim: &Sim, host_id: HostId, pick: usize) -> Option<HostId> {
    let peers = sim.peers(host_id);
    let peer = peers.get(pick.checked_rem(peers.len())?)?;
    sim.hosts().find(|&other| sim.hosts[other.0].spec.name == *peer)
}
