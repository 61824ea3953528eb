//! `cargo xtask networks`: real nodes over impaired networks. Each node has a network namespace of its
//! own, and sends numbered messages while something goes wrong. What all nodes wrote down is judged
//! together afterwards.
//!
//! ```text
//!  case ─► lab (namespaces, bridge, nodes) ─► faults ─► records ─► history (judges) ─► table
//! ```

mod bridge;
mod case;
mod faults;
mod history;
mod idle;
mod lab;
mod record;
mod report;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::bridge::tap;
use self::case::{ALL, Case, Fault, IDLE, IDLE_WHAT, SilentLinks};
use self::lab::Lab;
use self::report::Row;
use crate::scenario::netns;
use crate::shell::{self, Result};
use crate::tally::Tally;
use crate::usage;

/// The time limit for the nodes to form one mesh before anything goes wrong.
const FORM_MAX: Duration = Duration::from_secs(30);
/// After the nodes see each other, messages are judged as in the calm from this time on.
const SETTLE: Duration = Duration::from_secs(1);
/// How long the calm is measured.
const CALM: Duration = Duration::from_secs(3);
/// The folder under `target/` that keeps the histories of failed cases.
const KEPT: &str = "networks";
/// The part of a network impairment that may linger: what was queued before it ended.
const DRAIN: Duration = Duration::from_secs(1);

/// Runs the cases that the flags name.
pub(crate) fn run(root: &Path, flags: &[String]) -> Result<()> {
    if let [flag, devices] = flags
        && flag == bridge::SUBCOMMAND
    {
        return bridge::run(devices);
    }
    let options = Options::parse(flags)?;
    shell::build_releases_quickly();
    let mut tally = Tally::default();
    let rows = match unavailable_reason() {
        Some(because) => {
            options.names().iter().for_each(|name| tally.skip(name, &because));
            Vec::new()
        }
        None => {
            let program = build(root)?;
            let kept = shell::target(root).join(KEPT);
            let mut run = |name| options.run(name, &program, &kept, &mut tally);
            options.names().into_iter().map(&mut run).collect()
        }
    };
    println!("{}", report::table(&rows));
    if options.report && !rows.is_empty() {
        report::write(root, &rows)?;
    }
    tally.finish()
}

/// Runs the short form of some cases, as a part of `cargo xtask test scenarios`.
pub(crate) fn test(root: &Path, tally: &mut Tally) {
    let short = ALL.iter().filter_map(|case| case.short.map(|seconds| (case, seconds)));
    if let Some(because) = unavailable_reason() {
        short.for_each(|(case, _)| tally.skip(case.what, &because));
        return;
    }
    let mut program = None;
    tally.check("the program of the impaired networks builds", || {
        program = Some(build(root)?);
        Ok(())
    });
    let Some(program) = program else { return };
    let kept = shell::target(root).join(KEPT);
    for (case, seconds) in short {
        tally.check(&format!("impaired networks: {}", case.what), || {
            // A loaded machine can be slow, so a case has a second attempt.
            run_case(case, seconds, &program, &kept).and_then(Row::verdict).or_else(|why| {
                println!("   attempt 1 of 2 failed: {why}");
                run_case(case, seconds, &program, &kept).and_then(Row::verdict)
            })
        });
    }
}

/// Why this machine cannot run the cases, or `None` if it can.
fn unavailable_reason() -> Option<String> {
    netns::unavailable_reason().or_else(|| {
        let missing = std::fs::File::options().read(true).write(true).open(tap::CLONE_DEVICE).err();
        missing.map(|error| format!("{} cannot be opened: {error}", tap::CLONE_DEVICE))
    })
}

/// Builds the program of the nodes.
fn build(root: &Path) -> Result<PathBuf> {
    let build = ["build", "--quiet", "--release", "-p", "meshage-ffi", "-p", "meshage"];
    shell::run(shell::cargo(root, &build).args(["--example", "history_node"]))?;
    Ok(shell::target(root).join("release/examples/history_node"))
}

#[derive(Debug, Default)]
struct Options {
    only: Option<String>,
    seconds: Option<u64>,
    report: bool,
}

impl Options {
    fn parse(flags: &[String]) -> Result<Self> {
        let error = |why: &str| usage::error("networks", why);
        let mut options = Self::default();
        let mut flags = flags.iter();
        while let Some(flag) = flags.next() {
            let mut value = || flags.next().ok_or_else(|| error(&format!("{flag} needs a value")));
            match flag.as_str() {
                "--report" => options.report = true,
                "--only" => options.only = Some(value()?.clone()),
                "--seconds" => {
                    let seconds = value()?.parse().ok().filter(|seconds| *seconds > 0);
                    options.seconds =
                        Some(seconds.ok_or_else(|| error("--seconds needs a number"))?);
                }
                other => return Err(error(&format!("unknown argument {other:?}"))),
            }
        }
        if options.names().is_empty() {
            let all: Vec<&str> = ALL.iter().map(|case| case.name).chain([IDLE]).collect();
            return Err(error(&format!("there is no such case; there are {}", all.join(", "))));
        }
        Ok(options)
    }

    /// The names of the cases to run: all, or those that begin with the given name.
    fn names(&self) -> Vec<&'static str> {
        let wanted =
            |name: &&str| self.only.as_ref().is_none_or(|only| name.starts_with(only.as_str()));
        ALL.iter().map(|case| case.name).chain([IDLE]).filter(wanted).collect()
    }

    /// Runs one case and returns its row of the table.
    fn run(&self, name: &str, program: &Path, kept: &Path, tally: &mut Tally) -> Row {
        let case = ALL.iter().find(|case| case.name == name);
        let what = case.map_or(IDLE_WHAT, |case| case.what);
        let mut row = Row::new(name, what);
        tally.check(&format!("{name}: {what}"), || {
            row = match case {
                Some(case) => run_case(case, self.seconds.unwrap_or(case.seconds), program, kept),
                None => idle::run(program, self.seconds),
            }
            .unwrap_or_else(|why| Row::failed(name, what, why));
            println!("   {}", row.summary());
            row.clone().verdict()
        });
        row
    }
}

/// Runs one case. If it fails, its histories are kept in a folder of `kept`.
fn run_case(case: &Case, seconds: u64, program: &Path, kept: &Path) -> Result<Row> {
    let mut row = Row::new(case.name, case.what);
    let mut lab = Lab::start(case, program)?;
    let formed = lab.wait_until_whole(Instant::now(), FORM_MAX)?;
    let formed = formed.ok_or_else(|| format!("no mesh was formed in {FORM_MAX:?}"))?;
    println!("   {} nodes formed one mesh in {:.1} s", case.nodes, formed.as_secs_f64());
    lab.tell_all("go")?;
    std::thread::sleep(case.before);

    let fault = faults::run(&mut lab, case, Duration::from_secs(seconds))?;
    let back = lab.wait_until_whole(fault.over, case.back + faults::SLACK)?;
    row.limit("whole again", &mut |row| row.back = back, back, case.back);
    if let (Some(noticed), Some(limit)) = (fault.noticed, case.notice) {
        row.limit("noticed", &mut |row| row.noticed = noticed, noticed, limit);
    }
    let settle = if matches!(case.fault, Fault::Impair(..)) { SETTLE + DRAIN } else { SETTLE };
    std::thread::sleep(settle);
    let from = record::now();
    std::thread::sleep(CALM);
    lab.tell_all("pause")?;
    if back.is_some() {
        lab.disturbances.calm = Some((from, record::now()));
    }
    std::thread::sleep(lab::SEND_TIMEOUT);

    let [arrived, dropped, full] = lab.frames()?;
    row.note =
        format!("{arrived} frames arrived, {dropped} were dropped, {full} found a full queue");
    if case.fault.drops_frames() && dropped == 0 {
        row.fail("the bridge dropped no frame".into());
    }
    let expected = lab.names();
    let (lives, disturbances, folder) = lab.finish()?;
    let found = lives.iter().map(|life| life.name.clone()).collect();
    if expected != found {
        return Err(format!("there are histories of {found:?}, and not of {expected:?}"));
    }
    let judgement = history::judge(&lives, &disturbances);
    if case.silent == SilentLinks::Forbidden && judgement.silent() > 0 {
        row.fail(format!("{} ends of links were closed as silent", judgement.silent()));
    }
    row.judge(judgement);
    if row.clone().verdict().is_err() {
        let kept = kept.join(case.name);
        shell::create_empty_folder(&kept)?;
        for file in shell::list_files(folder.path())? {
            let to = kept.join(file.file_name().unwrap_or_default());
            std::fs::copy(&file, to).map_err(|error| format!("cannot keep a history: {error}"))?;
        }
        println!("   the histories are in {}", kept.display());
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_have_different_names_and_some_have_a_short_form_of_about_two_minutes_together() {
        let names: std::collections::BTreeSet<&str> = ALL.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(!names.contains(IDLE));
        let short: u64 = ALL.iter().filter_map(|case| case.short).map(|seconds| seconds + 20).sum();
        assert!((1..=125).contains(&short), "{short} s");
    }

    #[test]
    fn cases_are_chosen_by_the_beginning_of_their_names() {
        let names = |only: &str| Options::parse(&["--only".into(), only.into()]).map(|o| o.names());
        assert_eq!(names("loss-2").expect("valid"), ["loss-20"]);
        assert_eq!(names("stop").expect("valid"), ["stop-5", "stop-30"]);
        assert!(names("nothing").expect_err("not a case").contains("loss-5, loss-20"));
    }
}
