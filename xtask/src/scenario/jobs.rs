//! A job queue in Python with workers in Python and Rust. One worker after the other is killed in the
//! middle of a job. Every job ends, and each result counts once.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::build::Programs;
use crate::process::Process;
use crate::random;
use crate::shell::{self, Result};

const JOBS: usize = 30;
/// The time limit for all jobs. They take 4 s with two workers, and a killed worker is noticed at
/// once; a busy machine is slower.
const DONE_MAX: Duration = Duration::from_secs(60);

pub(super) fn run(root: &Path, programs: &Programs) -> Result<()> {
    // The tests of the core have built it already, with the same options.
    let build = ["build", "--quiet", "--profile", "test", "-p", "meshage", "--features", "sim"];
    shell::run(shell::cargo(root, &build).args(["--example", "job_worker"]))?;
    let queue_name = random::namespace("jobs");
    let python = |role: &str| {
        let mut command = programs.python(root, "job_queue.py");
        command.args([role, &queue_name, &JOBS.to_string()]);
        command
    };
    let rust = || {
        let program = shell::target(root).join("debug/examples/job_worker");
        let mut command = shell::command(root, program);
        command.arg(&queue_name);
        command
    };
    let start = Instant::now();
    let deadline = start + DONE_MAX;
    let mut queue = Process::spawn("the queue", python("queue"))?;
    let mut lines = Vec::new();
    for victim in [rust(), python("work")] {
        let mut victim = Process::spawn("a worker to be killed", victim)?;
        read_until(&mut victim, deadline, |line| line.contains(" works on job "))?;
        victim.kill()?;
        lines.extend(read_until(&mut queue, deadline, is_taken_back)?);
    }
    let _others = [
        Process::spawn("a Rust worker", rust())?,
        Process::spawn("a Python worker", python("work"))?,
    ];
    let end = format!("all {JOBS} jobs are done");
    lines.extend(read_until(&mut queue, deadline, |line| line == end)?);
    let done: Vec<&str> = lines.iter().filter_map(|line| done_job(line)).collect();
    let distinct: BTreeSet<&str> = done.iter().copied().collect();
    let taken_back = lines.iter().filter(|line| is_taken_back(line)).count();
    println!(
        "   {JOBS} jobs, two workers killed, {taken_back} jobs taken back: {:.1} s",
        start.elapsed().as_secs_f64()
    );
    match (done.len(), distinct.len(), taken_back) {
        (JOBS, JOBS, 2..) => Ok(()),
        (all, distinct, taken_back) => {
            Err(format!("{all} results of {distinct} jobs, {taken_back} taken back: {lines:?}"))
        }
    }
}

fn is_taken_back(line: &str) -> bool {
    line.contains(" taken back from ")
}

/// The number in `job 7 done by worker-1: …`.
fn done_job(line: &str) -> Option<&str> {
    let (number, rest) = line.strip_prefix("job ")?.split_once(' ')?;
    rest.starts_with("done by ").then_some(number)
}

/// Reads lines until one matches, and returns them.
fn read_until(
    process: &mut Process,
    deadline: Instant,
    matches: impl Fn(&str) -> bool,
) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let line = process.read_answer(deadline.saturating_duration_since(Instant::now()))?;
        let is_last = matches(&line);
        lines.push(line);
        if is_last {
            return Ok(lines);
        }
    }
}
