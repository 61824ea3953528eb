//! Plants mistakes in the core, and shows how many seeds it takes to find each.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use meshage::sim::{Finding, Mistake, find};

/// The page that `--report` writes, from the root of the tree.
const REPORT: &str = "docs/planted.md";

const INTRODUCTION: &str = "\
# Planted mistakes

Written by `cargo xtask sim --planted --report`. Does the simulator find mistakes? For each row, one
mistake is switched on in the core (`meshage/src/planted/mistakes.rs`), and seeds run one after the
other, with meshes of 3 to 12 nodes and with faults (with keys or liars where the mistake needs them),
until an invariant is violated that holds for the same seed without the mistake. *Seeds* is how many
that took. [RELIABILITY.md](../RELIABILITY.md) says what is promised, and
`meshage/src/sim/checker/mod.rs` lists the invariants. `cargo xtask sim --planted NAME --seed N`
repeats one run.

| mistake | what the core does wrong | seeds | invariant |
|---|---|---|---|
";

/// Looks for one mistake, or for all, and prints a line for each.
pub(crate) fn run(only: Option<Mistake>, seeds: u64, threads: usize, report: bool) -> ExitCode {
    // A violation is a panic that the simulator catches, and expected here.
    std::panic::set_hook(Box::new(|_| ()));
    let start = Instant::now();
    println!("{:<34} {:>5}  {:<9} {:>7}", "mistake", "seeds", "invariant", "seconds");
    let mut findings = Vec::new();
    for mistake in Mistake::ALL.iter().copied().filter(|it| only.is_none_or(|only| only == *it)) {
        let began = Instant::now();
        let finding = find(mistake, seeds, threads);
        let seconds = began.elapsed().as_secs_f64();
        match finding.seeds() {
            Some(seed) => {
                println!("{mistake:<34} {seed:>5}  {:<9} {seconds:>7.1}", finding.invariant());
            }
            None => println!("{mistake:<34} {:>5}  not found {seconds:>7.1}", "–"),
        }
        findings.push(finding);
    }
    let found = findings.iter().filter(|finding| finding.violation.is_some()).count();
    println!(
        "planted: {found} of {} mistakes found within {seeds} seeds, {:.1} s",
        findings.len(),
        start.elapsed().as_secs_f64()
    );
    if report && let Err(error) = std::fs::write(REPORT, page(&findings)) {
        println!("planted: cannot write {REPORT}: {error}");
        return ExitCode::FAILURE;
    }
    if found == findings.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn page(findings: &[Finding]) -> String {
    let mut page = String::from(INTRODUCTION);
    for finding in findings {
        let (mistake, text) = (finding.mistake, finding.mistake.text());
        let seeds = finding.seeds().map_or("not found".into(), |seeds| seeds.to_string());
        let invariant = finding.violation.as_ref().map_or("–", |_| finding.invariant());
        // Writing to a string does not fail.
        let _ = writeln!(page, "| {mistake} | {text} | {seeds} | {invariant} |");
    }
    page
}
