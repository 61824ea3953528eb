//! Alters inputs of one target for some time, and keeps those that lead to new behaviour.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

use super::finding;
use super::targets::corpus;
use super::targets::mutate::mutate;
use super::targets::{Behaviour, Target};

/// How often a line about the progress is printed.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);
/// The most inputs that are kept. Beyond it, a new one takes the place of another.
const INPUTS_MAX: usize = 4000;
/// An input that runs this long is reported without waiting for its end.
const HANG_AFTER: Duration = Duration::from_secs(20);
/// The most inputs of a corpus that is saved.
const DISTILLED_MAX: usize = 60;
/// The length of an input beyond which its length counts.
const DISTILLED_BYTES: usize = 64;
/// The findings after which a target is left.
const FINDINGS_MAX: usize = 5;

/// The input that runs now, for the report of one that does not end.
#[derive(Debug, Default)]
struct Running {
    number: AtomicU64,
    input: Mutex<Vec<u8>>,
}

struct Campaign<'a> {
    target: &'a Target,
    random: ChaCha8Rng,
    inputs: Vec<Vec<u8>>,
    seen: HashSet<u32>,
    behaviour: Behaviour,
    /// What was found, by the first line: where it is.
    found: HashSet<String>,
    running: Arc<Running>,
    executions: u64,
}

/// Fuzzes a target for some time, and then saves a small corpus if that is wanted. Returns how many
/// faults were found.
pub(crate) fn run(target: &Target, time: Duration, seed: u64, saves: bool) -> usize {
    let running = watch(*target);
    let mut campaign = Campaign {
        target,
        random: ChaCha8Rng::seed_from_u64(seed),
        inputs: Vec::new(),
        seen: HashSet::new(),
        behaviour: Behaviour::default(),
        found: HashSet::new(),
        running,
        executions: 0,
    };
    campaign.read_corpus();
    campaign.fuzz(time);
    campaign.running.number.store(u64::MAX, Ordering::Relaxed);
    if saves {
        finding::save(target, &campaign.distil());
    }
    campaign.found.len()
}

impl Campaign<'_> {
    fn read_corpus(&mut self) {
        match corpus::read(self.target.name) {
            Ok(corpus) => corpus.into_iter().for_each(|(_, input)| self.execute(input)),
            Err(error) => println!("{}: {error}; it starts from nothing", self.target.name),
        }
        if self.inputs.is_empty() {
            self.execute(Vec::new());
            self.inputs.push(Vec::new());
        }
    }

    fn fuzz(&mut self, time: Duration) {
        let started = Instant::now();
        let (mut printed_at, mut printed) = (started, self.executions);
        while started.elapsed() < time && self.found.len() < FINDINGS_MAX {
            let base = self.pick();
            let bytes_max = self.target.input_bytes_max;
            let input = mutate(&self.inputs[base], &self.inputs, bytes_max, &mut self.random);
            self.execute(input);
            let now = Instant::now();
            if now - printed_at >= PROGRESS_INTERVAL {
                self.print(now - printed_at, self.executions - printed);
                (printed_at, printed) = (now, self.executions);
            }
        }
        println!("{}: {} inputs in all", self.target.name, self.executions);
        self.print(started.elapsed(), self.executions);
    }

    /// The place of an input to alter: half of the time one that was found lately, and mostly the
    /// shorter one of two, which runs quicker.
    fn pick(&mut self) -> usize {
        let count = self.inputs.len();
        let from = if self.random.random() { count - count.div_ceil(8) } else { 0 };
        let pair = [0; 2].map(|_: usize| self.random.random_range(from..count));
        let is_shorter = self.inputs[pair[0]].len() <= self.inputs[pair[1]].len();
        let wants_shorter = self.random.random_range(0..4) > 0;
        pair[usize::from(is_shorter != wants_shorter)]
    }

    fn print(&self, time: Duration, executions: u64) {
        println!(
            "{:12} {:>9.0} inputs/s, corpus {:>5}, behaviours {:>6}, faults {}",
            self.target.name,
            executions as f64 / time.as_secs_f64().max(0.001),
            self.inputs.len(),
            self.seen.len(),
            self.found.len(),
        );
    }

    /// A few inputs that show as many behaviours as possible, each time the one with most that are
    /// new for its length.
    fn distil(&mut self) -> Vec<Vec<u8>> {
        let mut candidates: Vec<(Vec<u8>, HashSet<u32>)> = Vec::new();
        for input in std::mem::take(&mut self.inputs) {
            let mut behaviour = Behaviour::default();
            if finding::run(self.target, &input, &mut behaviour).is_ok() {
                candidates.push((input, behaviour.observed().iter().copied().collect()));
            }
        }
        let mut chosen = Vec::new();
        while chosen.len() < DISTILLED_MAX {
            let worth = |(input, new): &(Vec<u8>, HashSet<u32>)| {
                (new.len() << 16) / (input.len() + DISTILLED_BYTES)
            };
            let best = candidates.iter().enumerate().max_by_key(|(_, candidate)| worth(candidate));
            let Some(best) = best.map(|(at, _)| at) else { break };
            let (input, new) = candidates.swap_remove(best);
            if new.is_empty() {
                break;
            }
            for (_, others) in &mut candidates {
                others.retain(|observed| !new.contains(observed));
            }
            chosen.push(input);
        }
        chosen
    }

    fn execute(&mut self, input: Vec<u8>) {
        self.executions += 1;
        self.running.input.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&input);
        self.running.number.store(self.executions, Ordering::Relaxed);
        self.behaviour.clear();
        if let Err(why) = finding::run(self.target, &input, &mut self.behaviour) {
            // A slow machine is no fault: it must be slow again.
            let again = finding::run(self.target, &input, &mut Behaviour::default());
            if let Some(why) = again.err()
                && self.found.insert(why.lines().next().unwrap_or_default().to_owned())
            {
                let shortest = finding::shorten(self.target, &input, &why);
                finding::report(self.target, &shortest, &why);
            } else if !self.found.contains(why.lines().next().unwrap_or_default()) {
                println!("{}: once, and not again: {why}", self.target.name);
            }
            return;
        }
        let mut is_new = false;
        for observed in self.behaviour.observed() {
            is_new |= self.seen.insert(*observed);
        }
        if !is_new {
            return;
        }
        if self.inputs.len() < INPUTS_MAX {
            self.inputs.push(input);
        } else {
            let at = self.random.random_range(0..INPUTS_MAX);
            self.inputs[at] = input;
        }
    }
}

/// Ends the program with a report if an input does not end.
fn watch(target: Target) -> Arc<Running> {
    let running = Arc::new(Running::default());
    let watched = running.clone();
    std::thread::spawn(move || {
        let mut last = (0, Instant::now());
        loop {
            std::thread::sleep(TICK);
            let number = watched.number.load(Ordering::Relaxed);
            if number == u64::MAX {
                return;
            }
            if number != last.0 {
                last = (number, Instant::now());
            } else if last.1.elapsed() > HANG_AFTER {
                let input = watched.input.lock().unwrap_or_else(PoisonError::into_inner).clone();
                finding::report(&target, &input, &format!("it did not end in {HANG_AFTER:?}"));
                std::process::exit(1);
            }
        }
    });
    running
}

/// How often the running input is looked at.
const TICK: Duration = Duration::from_millis(500);
