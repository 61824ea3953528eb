//! Runs the soak: one loop that handles the lines of all drivers and a list of timed tasks.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::Plan;
use super::faults::Fault;
use super::ledger::{Ledger, Life, Outgoing, label};
use super::node::{Line, Node};
use super::report::Report;
use super::traffic::{self, LANES, LARGEST, LARGEST_TIMEOUT};
use crate::driver::Drivers;
use crate::process::adjacency;
use crate::random::{self, Generator};
use crate::shell::Result;

/// The time limit for a node to exit after it was closed: the library flushes for up to 2 s.
const EXIT_MAX: Duration = Duration::from_secs(20);
/// How often conditions and the ledger are checked.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_millis(200);
const LEDGER_INTERVAL: Duration = Duration::from_secs(1);
/// How often a line about the progress is printed.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(30);
/// A lane that cannot send tries again after this time.
const IDLE: Duration = Duration::from_millis(300);
/// The share of the nodes that may be down at the same time.
const DOWN_SHARE: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    Send(Life, usize),
    SendLargest,
    Fault,
    Continue(Life),
    Restart(usize),
    /// The driver must have exited by now.
    Exited(Life),
    Sample,
    Check,
    Progress,
}

/// A running soak.
pub(super) struct Soak<'a> {
    drivers: &'a Drivers,
    plan: Plan,
    random: Generator,
    namespace: String,
    port: u16,
    pub(super) nodes: Vec<Node>,
    pub(super) ledger: Ledger,
    tasks: BinaryHeap<Reverse<(Instant, Task)>>,
    lines: Receiver<Line>,
    sender: Sender<Line>,
    /// Whether lanes send and faults happen.
    is_busy: bool,
    faults: BTreeMap<&'static str, u32>,
    start: Instant,
}

impl<'a> Soak<'a> {
    /// Starts the processes.
    pub(super) fn new(drivers: &'a Drivers, plan: Plan) -> Result<Self> {
        let languages = drivers.languages();
        // The first node of each language is steady, and of the others every second one. A run that
        // does not judge growth needs none.
        let is_steady = |slot: usize| {
            let of_others = slot.checked_sub(languages.len());
            plan.judges_growth && of_others.is_none_or(|other| other % 2 == 1)
        };
        let nodes: Vec<Node> = (0..plan.processes)
            .map(|slot| Node::new(slot, languages[slot % languages.len()], is_steady(slot)))
            .collect();
        let ledger = Ledger::new(nodes.iter().map(|node| node.name.clone()).collect());
        let (sender, lines) = mpsc::channel();
        let mut soak = Self {
            drivers,
            plan,
            random: Generator::new(plan.seed),
            namespace: random::namespace("soak"),
            port: random::udp_port()?,
            nodes,
            ledger,
            tasks: BinaryHeap::new(),
            lines,
            sender,
            is_busy: false,
            faults: BTreeMap::new(),
            start: Instant::now(),
        };
        (0..plan.processes).try_for_each(|slot| soak.start_node(slot))?;
        Ok(soak)
    }

    /// Runs all phases. An error means that the soak itself could not run.
    pub(super) fn run(mut self) -> Result<Report> {
        println!(
            "{} processes for {:.1} minutes, seed {}",
            self.nodes.len(),
            self.plan.length.as_secs_f64() / 60.0,
            self.plan.seed
        );
        self.form("at the start")?;
        for node in &mut self.nodes {
            node.base_descriptors = node.descriptors();
        }
        println!("   one mesh after {:.1} s", self.start.elapsed().as_secs_f64());
        self.cause_faults();
        println!("   the faults have ended; the mesh heals");
        self.heal()?;
        self.last_round();
        let mut problems = self.descriptor_problems();
        self.is_busy = false;
        self.ledger.check(Instant::now() + Duration::from_secs(60), |life| {
            self.nodes[life.slot].standing(life)
        });
        self.close_all();
        let count: u64 = self.ledger.counts().iter().map(|counts| counts.violations).sum();
        problems.splice(0..0, self.ledger.texts().iter().cloned());
        if count > self.ledger.texts().len() as u64 {
            problems.push(format!("{count} violations in all"));
        }
        let (took, counts) = (self.start.elapsed(), self.ledger.counts());
        Ok(Report::new(self.plan, took, self.faults, &self.nodes, counts, problems))
    }

    fn cause_faults(&mut self) {
        let (now, plan) = (Instant::now(), self.plan);
        self.is_busy = true;
        for (task, after) in [
            (Task::Fault, plan.fault_interval),
            (Task::SendLargest, plan.largest_interval / 2),
            (Task::Sample, plan.sample_interval),
            (Task::Check, LEDGER_INTERVAL),
            (Task::Progress, PROGRESS_INTERVAL),
        ] {
            self.tasks.push(Reverse((now + after, task)));
        }
        self.pump(now + plan.length, |_| false);
        self.is_busy = false;
    }

    /// Handles lines and tasks until a condition holds or the time is up. Returns whether it holds.
    pub(super) fn pump(&mut self, until: Instant, holds: impl Fn(&Self) -> bool) -> bool {
        let mut next_check = Instant::now();
        loop {
            let now = Instant::now();
            if now >= next_check {
                if holds(self) {
                    return true;
                }
                next_check = now + CHECK_INTERVAL;
            }
            if now >= until {
                return holds(self);
            }
            // Lines come first: a check must not take what was not read yet for missing.
            while let Ok((life, line)) = self.lines.try_recv() {
                self.read(life, line);
            }
            while let Some(&Reverse((at, task))) = self.tasks.peek() {
                if at > now {
                    break;
                }
                self.tasks.pop();
                self.execute(task, now);
            }
            let due = self.tasks.peek().map_or(until, |Reverse((at, _))| *at);
            let wait = due.min(until).min(next_check).saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(wait) {
                Ok((life, line)) => self.read(life, line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }

    fn execute(&mut self, task: Task, now: Instant) {
        let again = match task {
            Task::Send(life, lane) => return self.send_next(life, lane, now),
            Task::Continue(life) => return self.resume(life),
            Task::Restart(slot) => {
                if let Err(why) = self.start_node(slot) {
                    self.ledger.violation(slot, &why);
                }
                return;
            }
            Task::Exited(life) => {
                if let Some(current) = self.nodes[life.slot].current(life) {
                    let _ = current.process.kill();
                    self.ledger.violation(life.slot, &format!("it did not exit in {EXIT_MAX:?}"));
                }
                return;
            }
            Task::Fault => {
                self.cause_fault(now);
                self.plan.fault_interval.mul_f64(0.5 + self.random.in_range(0..1000) as f64 / 1e3)
            }
            Task::SendLargest => {
                self.send_largest();
                self.plan.largest_interval
            }
            Task::Sample => {
                self.nodes.iter_mut().for_each(Node::sample);
                self.plan.sample_interval
            }
            Task::Check => {
                self.ledger.check(now, |life| self.nodes[life.slot].standing(life));
                LEDGER_INTERVAL
            }
            Task::Progress => {
                self.print_progress();
                PROGRESS_INTERVAL
            }
        };
        if self.is_busy {
            self.tasks.push(Reverse((now + again, task)));
        }
    }

    fn print_progress(&self) {
        let sum = |of: fn(&super::ledger::Counts) -> u64| -> u64 {
            self.ledger.counts().iter().map(of).sum()
        };
        println!(
            "   {:.1} min: {} sends, {} received, {} faults, {} violations",
            self.start.elapsed().as_secs_f64() / 60.0,
            sum(|counts| counts.sends),
            sum(|counts| counts.received),
            self.faults.values().sum::<u32>(),
            sum(|counts| counts.violations)
        );
    }

    fn start_node(&mut self, slot: usize) -> Result<()> {
        self.nodes[slot].start(self.drivers, &self.namespace, self.port, &self.sender)
    }

    fn cause_fault(&mut self, now: Instant) {
        let down = self.nodes.iter().filter(|node| !is_up(node)).count();
        if down >= self.nodes.len().div_ceil(DOWN_SHARE) {
            return;
        }
        let up: Vec<usize> = self.nodes.iter().filter(|node| is_up(node)).map(|n| n.slot).collect();
        let Some(&slot) = self.random.choose(&up) else { return };
        let node = &mut self.nodes[slot];
        let fault = Fault::choose(&mut self.random, node.is_steady);
        let Some(current) = &mut node.current else { return };
        let life = current.life;
        let (what, task, after, done) = match fault {
            Fault::Kill(after) => {
                let killed = current.process.kill();
                node.end_life();
                ("kills", Task::Restart(slot), after, killed)
            }
            Fault::Close => {
                current.is_closing = true;
                current.process.quit();
                ("closes", Task::Exited(life), EXIT_MAX, Ok(()))
            }
            Fault::Stop(after) => {
                current.runs_since = None;
                node.stops += 1;
                ("stops", Task::Continue(life), after, current.process.stop())
            }
        };
        if let Err(why) = done {
            self.ledger.violation(slot, &why);
        }
        *self.faults.entry(what).or_default() += 1;
        self.tasks.push(Reverse((now + after, task)));
    }

    /// Continues a stopped node.
    pub(super) fn resume(&mut self, life: Life) {
        let Some(current) = self.nodes[life.slot].current(life) else { return };
        if current.runs_since.is_none() {
            current.runs_since = Some(Instant::now());
            if let Err(why) = current.process.resume() {
                self.ledger.violation(life.slot, &why);
            }
        }
    }

    /// The next message of a lane.
    fn send_next(&mut self, life: Life, lane: usize, now: Instant) {
        let others: Vec<usize> = (0..self.nodes.len()).filter(|&slot| slot != life.slot).collect();
        let node = &mut self.nodes[life.slot];
        let may_send = self.is_busy && is_up(node);
        let Some(current) = node.current(life) else { return };
        if !may_send || current.lanes[lane].is_some() {
            self.tasks.push(Reverse((now + IDLE, Task::Send(life, lane))));
            return;
        }
        let to = traffic::recipients(&mut self.random, &others);
        let length = traffic::length(&mut self.random);
        let timeout = traffic::timeout(&mut self.random);
        self.send(life, lane, to, length, timeout);
    }

    /// One node sends a body of the largest size to another one.
    fn send_largest(&mut self) {
        let up: Vec<Life> = self
            .nodes
            .iter()
            .filter(|node| is_up(node))
            .filter_map(|node| Some(node.current.as_ref()?.life))
            .collect();
        if let (Some(&from), Some(&to)) = (self.random.choose(&up), self.random.choose(&up))
            && from != to
        {
            // A lane of its own, so that the order among the others is not affected.
            self.send(from, LANES, vec![to.slot], LARGEST, LARGEST_TIMEOUT);
        }
    }

    /// Sends a message, and records it.
    pub(super) fn send(
        &mut self,
        from: Life,
        lane: usize,
        to: Vec<usize>,
        length: usize,
        timeout: Duration,
    ) -> u64 {
        let life_of =
            |node: &Node| node.current.as_ref().filter(|c| c.is_ready).map(|c| c.life.number);
        let lives = self.nodes.iter().map(life_of).collect();
        let names: Vec<String> = to.iter().map(|&slot| self.nodes[slot].name.clone()).collect();
        let deadline = Instant::now() + timeout;
        let number = self.ledger.send(Outgoing { from, lane, to, length, lives, deadline });
        let target = if names.is_empty() {
            "broadcast".to_owned()
        } else {
            format!("set {}", names.join(","))
        };
        let (label, timeout) = (label(number), timeout.as_millis());
        if let Some(current) = self.nodes[from.slot].current(from) {
            if let Some(waits_for) = current.lanes.get_mut(lane) {
                *waits_for = Some(number);
            }
            current.process.send_line(&format!("{number} {target} {label} {length} {timeout}"));
        }
        number
    }

    /// Handles a line of a driver.
    fn read(&mut self, life: Life, line: Option<String>) {
        let now = Instant::now();
        let Some(line) = line else { return self.read_end(life, now) };
        let (token, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match token {
            "got" => self.ledger.arrive(life, rest),
            "ready" => {
                if let Some(current) = self.nodes[life.slot].current(life) {
                    current.is_ready = true;
                    for lane in 0..LANES {
                        self.tasks.push(Reverse((now, Task::Send(life, lane))));
                    }
                }
            }
            "mesh" => {
                if let Some(current) = self.nodes[life.slot].current(life) {
                    current.mesh = adjacency(rest);
                }
            }
            "listen" if rest == "ok" => {}
            _ => match token.parse() {
                Ok(number) => self.read_result(life, number, rest, now),
                Err(_) => self.ledger.violation(life.slot, &format!("it printed {line:?}")),
            },
        }
    }

    fn read_result(&mut self, life: Life, number: u64, result: &str, now: Instant) {
        self.ledger.end(number, result, now);
        let pause = traffic::pause(&mut self.random);
        let Some(current) = self.nodes[life.slot].current(life) else { return };
        for (lane, waits_for) in current.lanes.iter_mut().enumerate() {
            if *waits_for == Some(number) {
                *waits_for = None;
                self.tasks.push(Reverse((now + pause, Task::Send(life, lane))));
            }
        }
    }

    /// A driver has exited.
    fn read_end(&mut self, life: Life, now: Instant) {
        let Some(current) = self.nodes[life.slot].current(life) else { return };
        let was_closed = current.is_closing;
        let exited = current.process.wait_for_exit();
        self.nodes[life.slot].end_life();
        match exited {
            Err(why) => self.ledger.violation(life.slot, &why),
            Ok(()) if !was_closed => self.ledger.violation(life.slot, "it exited by itself"),
            Ok(()) => {}
        }
        let pause = Duration::from_millis(self.random.in_range(0..4000));
        self.tasks.push(Reverse((now + pause, Task::Restart(life.slot))));
    }
}

/// Whether the node runs and can send.
fn is_up(node: &Node) -> bool {
    node.current.as_ref().is_some_and(|current| {
        current.is_ready && !current.is_closing && current.runs_since.is_some()
    })
}
