//! Runs every attack, decides whether the mesh withstood it, and writes the table.
//!
//! ```text
//!  run ─► victim, honest (first processor) ─► before ─► attacker (second) ─► during ─► Row
//! ```

use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::Error;
use super::attacks::Attack;
use super::mesh::Mode;

/// The slowest honest messages may take twice as long, and this much longer in any case: so much is
/// the difference between two runs without an attack.
const NOISE_MICROS: u64 = 1000;
/// The longest growth of the memory of the attacked node: the queue of control frames of a link.
const MEMORY_MAX: u64 = 64 << 20;
/// How often a run is repeated in which only the latencies were too high: other programs of the
/// machine may have been the cause.
const RUNS_MAX: u32 = 3;
/// The connections of the attacks that keep many open.
const CONNECTIONS: &str = "4000";
/// The time of the flood of handshakes on a closed mesh.
const HANDSHAKE_FLOOD_SECONDS: f64 = 30.0;

/// The time that a process has to end by itself, so that it removes its files.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// What is run.
struct Options {
    seconds: f64,
    only: Option<Attack>,
    mode: Option<Mode>,
    report: Option<String>,
    /// Whether the attacker has a processor of its own.
    pinned: bool,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self, Error> {
        let mut options = Self { seconds: 2.0, only: None, mode: None, report: None, pinned: true };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if *word == "--free" {
                options.pinned = false;
                continue;
            }
            let value = *words.next().ok_or_else(|| format!("{word} needs a value"))?;
            match *word {
                "--seconds" => options.seconds = value.parse()?,
                "--only" => {
                    let attack = Attack::named(value).ok_or("there is no attack of this name")?;
                    options.only = Some(attack);
                }
                "--mesh" => options.mode = Some(super::mode_named(value)?),
                "--report" => options.report = Some(value.to_owned()),
                other => return Err(format!("unknown argument {other:?}").into()),
            }
        }
        Ok(options)
    }

    /// The time of one measurement.
    fn seconds_of(&self, attack: Attack, mode: Mode) -> f64 {
        match (attack, mode) {
            (Attack::HandshakeFlood, Mode::Closed) => self.seconds.max(HANDSHAKE_FLOOD_SECONDS),
            _ => self.seconds,
        }
    }
}

/// Runs the attacks.
///
/// # Errors
/// The mesh did not withstand an attack, or a process failed.
pub(super) fn run(words: &[&str]) -> Result<(), Error> {
    let options = Options::parse(words)?;
    let mut table = String::new();
    let mut failed = Vec::new();
    let mut count = 0;
    let mut add = |line: &str| {
        println!("{line}");
        let _ = writeln!(table, "{line}");
    };
    add(
        "| attack | mesh | honest p50, µs | honest p99, µs | memory, MiB | tries | counted | result |",
    );
    add("|---|---|---|---|---|---|---|---|");
    let all = Attack::all();
    for attack in all.into_iter().filter(|attack| options.only.is_none_or(|only| only == *attack)) {
        for mode in Mode::ALL.into_iter().filter(|mode| options.mode.is_none_or(|it| it == *mode)) {
            let Some(counters) = attack.counted(mode) else { continue };
            let row = Row::measure(attack, mode, counters, &options)?;
            add(&row.line());
            count += 1;
            if let Err(why) = row.result() {
                failed.push(format!("{} ({}): {why}", attack.name(), mode.name()));
            }
        }
    }
    if let Some(path) = &options.report {
        std::fs::write(path, report(&table, options.seconds))?;
    }
    match failed.is_empty() {
        true if count > 0 => Ok(()),
        true => Err("the attack is not tried on this mesh".into()),
        false => Err(format!("{} of {count} failed:\n{}", failed.len(), failed.join("\n")).into()),
    }
}

fn report(table: &str, seconds: f64) -> String {
    format!(
        "# Attacks\n\n\
         Written by `cargo xtask attack --report`. Node a sends to c through b, one small message after\n\
         the other, for {seconds} s without the attack (the better one of two times) and for as long with it. The attacker has a process\n\
         and a processor of its own. [SECURITY.md](../SECURITY.md) says what is promised.\n\n\
         An attack passes if no honest message is lost, no honest link ends, the 99th percentile at most\n\
         doubles (or grows by 1 ms), the memory of b stays under its bound (64 MiB more than before),\n\
         and each counter named here has counted. A *load* consists of frames that a correct member might\n\
         send, too, as fast as a processor can: its sender gets its share, and times are not judged.\n\n\
         {table}"
    )
}

/// The result of one attack.
struct Row {
    attack: Attack,
    mode: Mode,
    counters: Vec<(&'static str, u64)>,
    before: String,
    during: String,
    victim_before: String,
    victim: String,
    attacker: Result<String, String>,
    runs: u32,
}

impl Row {
    /// Runs an attack, and once more if only the latencies were too high.
    fn measure(
        attack: Attack,
        mode: Mode,
        counters: &[&'static str],
        options: &Options,
    ) -> Result<Self, Error> {
        let mut runs = 1;
        loop {
            let mut row = Self::measure_once(attack, mode, counters, options)?;
            row.runs = runs;
            if runs == RUNS_MAX || row.is_fast() || row.withstood().is_err() {
                return Ok(row);
            }
            runs += 1;
        }
    }

    fn measure_once(
        attack: Attack,
        mode: Mode,
        counters: &[&'static str],
        options: &Options,
    ) -> Result<Self, Error> {
        let seconds = options.seconds_of(attack, mode);
        let (inner, outer) = (options.pinned.then_some(0), options.pinned.then_some(1));
        let mut victim = Process::start(inner, &["victim", mode.name()])?;
        let ports = victim.line()?;
        let address = format!("127.0.0.1:{}", field(&ports, "port"));
        let datagrams = format!("127.0.0.1:{}", field(&ports, "datagrams"));
        let time = seconds.to_string();
        let mut honest = Process::start(inner, &["honest", mode.name(), &address, &time])?;
        honest.line()?;
        // The better one of two, so that other programs of the machine do not excuse an attack.
        let (first, second) = (honest.ask()?, honest.ask()?);
        let before = if field(&first, "p99") < field(&second, "p99") { first } else { second };
        let victim_before = victim.ask()?;
        let longer = (seconds + 0.5).to_string();
        let (name, mesh) = (attack.name(), mode.name());
        let mut attacker = Process::start(
            outer,
            &["attacker", name, mesh, &address, &datagrams, CONNECTIONS, &longer],
        )?;
        let during = honest.ask()?;
        let attacked = attacker.line().map_err(|error| error.to_string());
        let victim_after = victim.ask()?;
        let count = |counter: &&'static str| {
            let grown = |before: &str, after: &str| {
                field(after, counter).saturating_sub(field(before, counter))
            };
            (*counter, grown(&victim_before, &victim_after) + grown(&before, &during))
        };
        Ok(Self {
            attack,
            mode,
            counters: counters.iter().map(count).collect(),
            before,
            during,
            victim_before,
            victim: victim_after,
            attacker: attacked,
            runs: 1,
        })
    }

    /// Whether the honest messages were fast enough.
    fn is_fast(&self) -> bool {
        let (before, during) = (field(&self.before, "p99"), field(&self.during, "p99"));
        self.attack.is_load() || during <= (2 * before).max(before + NOISE_MICROS)
    }

    /// Whether everything else is as promised.
    fn withstood(&self) -> Result<(), String> {
        if let Err(error) = &self.attacker {
            return Err(format!("the attacker failed: {error}"));
        }
        let (failed, lost) = (field(&self.during, "failed"), field(&self.during, "links_lost"));
        if failed > 0 || field(&self.during, "delivered") == 0 {
            return Err(format!("{failed} honest messages were not delivered"));
        }
        if lost > 0 {
            return Err(format!("{lost} honest links ended"));
        }
        let grown =
            field(&self.victim, "rss_max").saturating_sub(field(&self.victim_before, "rss"));
        if grown > MEMORY_MAX {
            return Err(format!("the memory grew by {} MiB", grown >> 20));
        }
        if field(&self.victim, "tasks_panicked") > 0 {
            return Err("a task panicked".into());
        }
        match self.counters.iter().find(|(_, count)| *count == 0) {
            Some((counter, _)) => Err(format!("{counter} has counted nothing")),
            None => Ok(()),
        }
    }

    fn result(&self) -> Result<(), String> {
        self.withstood()?;
        match self.is_fast() {
            true => Ok(()),
            false => Err("the 99th percentile more than doubled".into()),
        }
    }

    fn line(&self) -> String {
        let pair =
            |name: &str| format!("{} → {}", field(&self.before, name), field(&self.during, name));
        let counted: Vec<String> =
            self.counters.iter().map(|(name, count)| format!("`{name}` {count}")).collect();
        let tries = self.attacker.as_deref().map_or(0, |line| field(line, "tries"));
        let again = if self.runs > 1 { format!(" (run {})", self.runs) } else { String::new() };
        let result = self.result().map_or_else(|why| format!("FAIL: {why}"), |()| "PASS".into());
        let result = if self.attack.is_load() { format!("{result} (load)") } else { result };
        format!(
            "| {} | {} | {} | {} | {} → {} | {tries} | {} | {result}{again} |",
            self.attack.name(),
            self.mode.name(),
            pair("p50"),
            pair("p99"),
            field(&self.victim_before, "rss") >> 20,
            field(&self.victim, "rss_max") >> 20,
            counted.join(", "),
        )
    }
}

/// The value of a field `name=value` in a line.
fn field(line: &str, name: &str) -> u64 {
    let mut words = line.split_whitespace();
    let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// A child process that answers lines. It ends with its input.
struct Process {
    child: Child,
    output: io::Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts this program with other arguments, on one processor if there is one for it.
    fn start(processor: Option<u32>, arguments: &[&str]) -> Result<Self, Error> {
        let program = std::env::current_exe()?;
        let mut command = match processor {
            Some(processor) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &processor.to_string()]).arg(program);
                command
            }
            None => Command::new(program),
        };
        let mut child =
            command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("no output")?;
        Ok(Self { child, output: BufReader::new(output).lines() })
    }

    fn line(&mut self) -> Result<String, Error> {
        Ok(self.output.next().ok_or("the process has ended")??)
    }

    fn ask(&mut self) -> Result<String, Error> {
        let input = self.child.stdin.as_mut().ok_or("no input")?;
        writeln!(input)?;
        input.flush()?;
        self.line()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let begin = Instant::now();
        while begin.elapsed() < END_TIMEOUT {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(5)),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        // What it was to do is done, or has failed and was reported.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
