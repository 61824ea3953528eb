//! A seed becomes a plan of faults and traffic, and the plan befalls a world.
//!
//! It owns what is going to happen and when; it changes the world only through what the world
//! offers. Each fault carries its own end: who is killed is started again, what is cut is healed,
//! at the latest when the plan is over.
//!
//! ```text
//!  seed ──► plan: [0.4 s send][1.1 s cut 3–7][1.9 s kill 2]…       faults and traffic together
//!                                    └─► [4.2 s heal 3–7]            each with its end
//!  end of the plan ──► everything heals ──► the run checks what has to hold
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use crate::message::Recipients;
use crate::name::NodeName;
use crate::protocol::io::Command;

use super::application::SendOptions;
use super::history::Ticket;
use super::network::{Machine, Path};
use super::node::Condition;
use super::rng::SimRng;
use super::simulation::Sim;

/// How long faults go on: several dead intervals and announcement periods.
const FAULTS_TIME: Duration = Duration::from_secs(30);
/// A fault ends after this long at the latest: longer than the dead interval, so that some are
/// noticed and some are not.
const FAULT_TIME_MAX: Duration = Duration::from_secs(9);
/// The announcement periods that nodes are set to: a world lasts several of the longest.
const PERIOD_MIN: Duration = Duration::from_secs(1);
const PERIOD_MAX: Duration = Duration::from_secs(10);
/// The largest body of chaotic traffic: several chunks, and little enough for thousands of worlds.
const BODY_BYTES_MAX: u64 = 400_000;
/// How many messages a burst has: more than the small inboxes of chaotic worlds hold.
const BURST_MAX: u64 = 60;

/// One thing that happens.
#[derive(Debug, Clone)]
enum Act {
    Kill(Machine),
    PowerOff(Machine),
    Leave(Machine),
    Start(Machine),
    Stop(Machine),
    GoOn(Machine),
    /// Cuts the path to one of the peers it has then.
    CutPeer(Machine, usize),
    Heal(Machine, Machine),
    SlowPeer(Machine, usize, Path),
    Quick(Machine, Machine),
    /// Each machine goes to the group of its bit.
    Part(u64),
    Rejoin,
    Deafen(Machine),
    Listen(Machine),
    Hangup(Machine, usize),
    Dial(Machine, Machine),
    SetDegree(Machine, u32),
    SetPeriod(Machine, Duration),
    Announce(Machine),
    Send(Machine, Letter),
    Cancel(Ticket),
}

/// A send to come.
#[derive(Debug, Clone)]
struct Letter {
    to: Recipients,
    length: usize,
    options: SendOptions,
    copies: u64,
    cancel_after: Option<Duration>,
}

/// A plan, and the chance that made it.
#[derive(Debug)]
pub(super) struct Chaos {
    acts: BTreeMap<(Duration, u64), Act>,
    serial: u64,
    chance: SimRng,
    faults: usize,
}

impl Chaos {
    /// The plan of a seed for a world of so many machines, from now on.
    pub(super) fn plan(sim: &Sim, chance: SimRng) -> Self {
        let mut plan = Self { acts: BTreeMap::new(), serial: 0, chance, faults: 0 };
        let machines: Vec<Machine> = sim.machines().collect();
        let from = sim.now();
        let faults = 4 + plan.chance.within(0..machines.len() as u64 + 6);
        for _ in 0..faults {
            let at = from + plan.chance.time(Duration::ZERO..FAULTS_TIME);
            let act = plan.fault(&machines);
            plan.add(at, act);
        }
        plan.faults = faults as usize;
        let mean_gap = Duration::from_millis(plan.chance.within(300..3000));
        for &machine in &machines {
            let mut at = from + plan.chance.time(Duration::ZERO..mean_gap);
            while at < from + FAULTS_TIME {
                let letter = plan.letter(sim, machine, &machines);
                plan.add(at, Act::Send(machine, letter));
                at += plan.chance.time(mean_gap / 4..mean_gap * 2);
            }
        }
        plan
    }

    /// How many faults it has.
    pub(super) fn faults(&self) -> usize {
        self.faults
    }

    fn add(&mut self, at: Duration, act: Act) {
        self.serial += 1;
        self.acts.insert((at, self.serial), act);
    }

    fn fault(&mut self, machines: &[Machine]) -> Act {
        let chance = &mut self.chance;
        let machine = machines[chance.index(machines.len())];
        let other = machines[chance.index(machines.len())];
        let peer = chance.within(0..1000) as usize;
        match chance.within(0..23) {
            0..3 => Act::Kill(machine),
            3..5 => Act::PowerOff(machine),
            5 => Act::Leave(machine),
            6..8 => Act::Stop(machine),
            8..11 => Act::CutPeer(machine, peer),
            11..14 => {
                let path = Path {
                    latency: chance.time(Duration::from_millis(5)..Duration::from_millis(300)),
                    jitter: chance.time(Duration::ZERO..Duration::from_millis(100)),
                    bandwidth: chance.within(30_000..500_000),
                };
                Act::SlowPeer(machine, peer, path)
            }
            14..16 => Act::Part(chance.number()),
            16..18 => Act::Deafen(machine),
            18 => Act::Hangup(machine, peer),
            19 => Act::SetDegree(machine, chance.within(1..6) as u32),
            20 => Act::SetPeriod(machine, chance.time(PERIOD_MIN..PERIOD_MAX)),
            21 => Act::Announce(machine),
            _ => Act::Dial(machine, other),
        }
    }

    fn letter(&mut self, sim: &Sim, from: Machine, machines: &[Machine]) -> Letter {
        let chance = &mut self.chance;
        let to = match chance.within(0..10) {
            0..2 => Recipients::Broadcast,
            kind => {
                let count = if kind < 7 { 1 } else { 1 + chance.within(0..6) };
                let mut names: Vec<NodeName> = (0..count)
                    .map(|_| sim.computers[chance.index(machines.len())].spec.name.clone())
                    .collect();
                if chance.permille(30)
                    && let Ok(nobody) = NodeName::new("nobody")
                {
                    names.push(nobody);
                }
                // A set to oneself alone is an error, which the chaos has no use for.
                let own = &sim.computers[from.0].spec.name;
                if names.iter().all(|name| name == own) {
                    names.push(sim.computers[(from.0 + 1) % machines.len()].spec.name.clone());
                }
                Recipients::Set(names.into())
            }
        };
        let length = match chance.within(0..20) {
            0 => 0,
            1..15 => chance.within(1..1000),
            15..19 => chance.within(1000..60_000),
            _ => chance.within(60_000..BODY_BYTES_MAX),
        };
        let burst = length < 1000 && chance.permille(60);
        Letter {
            to,
            length: length as usize,
            options: SendOptions {
                timeout: chance.time(Duration::from_millis(50)..Duration::from_secs(10)),
                retry: chance.permille(250),
            },
            copies: if burst { chance.within(10..BURST_MAX) } else { 1 },
            cancel_after: chance
                .permille(50)
                .then(|| chance.time(Duration::ZERO..Duration::from_millis(30))),
        }
    }

    /// Lets the plan befall the world, and then ends every fault.
    pub(super) fn befall(&mut self, sim: &mut Sim) {
        let end = sim.now() + FAULTS_TIME;
        while let Some(((at, _), act)) = self.acts.pop_first() {
            if at > end {
                break;
            }
            sim.run_to(at);
            self.apply(sim, act);
        }
        sim.run_to(end);
        sim.network().heal_all();
        for machine in sim.machines() {
            sim.go_on(machine);
            if !sim.is_running(machine) {
                sim.start(machine);
            }
            sim.set_reading(machine, true);
        }
        sim.release();
    }

    fn apply(&mut self, sim: &mut Sim, act: Act) {
        let end = sim.now() + self.chance.time(Duration::from_millis(20)..FAULT_TIME_MAX);
        match act {
            Act::Kill(machine) if sim.is_running(machine) => {
                sim.kill(machine);
                self.add(end, Act::Start(machine));
            }
            Act::PowerOff(machine) if sim.is_running(machine) => {
                sim.power_off(machine);
                self.add(end, Act::Start(machine));
            }
            Act::Leave(machine) if sim.is_running(machine) => {
                sim.leave(machine);
                self.add(end, Act::Start(machine));
            }
            Act::Stop(machine) if sim.is_running(machine) => {
                sim.stop(machine);
                self.add(end, Act::GoOn(machine));
            }
            Act::Kill(_) | Act::PowerOff(_) | Act::Leave(_) | Act::Stop(_) => {}
            Act::Start(machine) => {
                if sim.instance(machine).is_none() {
                    sim.start(machine);
                }
            }
            Act::GoOn(machine) => {
                if sim.condition(machine) == Condition::Stopped {
                    sim.go_on(machine);
                }
            }
            Act::CutPeer(machine, pick) => {
                if let Some(peer) = peer_machine(sim, machine, pick) {
                    sim.network().cut(machine, peer);
                    self.add(end, Act::Heal(machine, peer));
                }
            }
            Act::Heal(a, b) => {
                sim.network().heal(a, b);
                sim.release();
            }
            Act::SlowPeer(machine, pick, path) => {
                if let Some(peer) = peer_machine(sim, machine, pick) {
                    sim.network().set_path(machine, peer, Some(path));
                    self.add(end, Act::Quick(machine, peer));
                }
            }
            Act::Quick(a, b) => sim.network().set_path(a, b, None),
            Act::Part(bits) => {
                for machine in sim.machines() {
                    let group = (bits >> (machine.0 % 64)) & 1;
                    sim.network().set_group(machine, group as u32);
                }
                self.add(end, Act::Rejoin);
            }
            Act::Rejoin => {
                for machine in sim.machines() {
                    sim.network().set_group(machine, 0);
                }
                sim.release();
            }
            Act::Deafen(machine) => {
                sim.set_reading(machine, false);
                self.add(end, Act::Listen(machine));
            }
            Act::Listen(machine) => sim.set_reading(machine, true),
            Act::Hangup(machine, pick) => {
                let peers = sim.peers(machine);
                if !peers.is_empty() {
                    sim.hangup(machine, &peers[pick % peers.len()]);
                }
            }
            Act::Dial(from, to) => {
                let (from, to) = (sim.host(from), sim.host(to));
                sim.dial(&from, &to);
            }
            Act::SetDegree(machine, degree) => sim.command(machine, Command::SetDegree(degree)),
            Act::SetPeriod(machine, period) => sim.command(machine, Command::SetMsaTimeout(period)),
            Act::Announce(machine) => sim.command(machine, Command::Announce),
            Act::Send(machine, letter) => self.post(sim, machine, &letter),
            Act::Cancel(ticket) => sim.cancel(ticket),
        }
    }

    fn post(&mut self, sim: &mut Sim, machine: Machine, letter: &Letter) {
        for _ in 0..letter.copies {
            let sent = sim.send(machine, letter.to.clone(), letter.length, letter.options);
            // A full local queue and a node that does not run are both what may happen.
            let Ok(ticket) = sent else {
                return;
            };
            if let Some(after) = letter.cancel_after {
                self.add(sim.now() + after, Act::Cancel(ticket));
            }
        }
    }
}

fn peer_machine(sim: &Sim, machine: Machine, pick: usize) -> Option<Machine> {
    let peers = sim.peers(machine);
    let peer = peers.get(pick.checked_rem(peers.len())?)?;
    sim.machines().find(|&other| sim.computers[other.0].spec.name == *peer)
}
