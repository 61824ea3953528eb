//! What goes wrong in a case, step by step.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::case::{Case, Fault};
use super::lab::Lab;
use super::record;
use crate::shell::Result;

/// How long to measure beyond a limit, so that a failure shows by how much it was missed.
pub(super) const SLACK: Duration = Duration::from_secs(20);
/// How long a killed node is away.
const KILLED: Duration = Duration::from_millis(500);
/// The time limit for links that ended to be noticed, after which the mesh is looked at.
const SILENT_MAX: Duration = Duration::from_secs(3);
/// How long a node with a full table is cut off: its links end, and it must accept or dial others.
const CUT_WHILE_FULL: Duration = Duration::from_secs(5);

/// What a fault showed.
#[derive(Debug)]
pub(super) struct Outcome {
    /// When the nodes could reach each other again.
    pub(super) over: Instant,
    /// How long it took until the others saw that the last node was gone: `None` if the case does not
    /// measure it, and an inner `None` if they did not.
    pub(super) noticed: Option<Option<Duration>>,
}

/// Runs the fault of a case for this time.
pub(super) fn run(lab: &mut Lab, case: &Case, lasts: Duration) -> Result<Outcome> {
    let began = Instant::now();
    let last = lab.last();
    let rest = |began: Instant| std::thread::sleep(lasts.saturating_sub(began.elapsed()));
    let mut noticed = None;
    match case.fault {
        Fault::Impair(way, settings) => {
            lab.order(&format!("set all {way} {settings}"))?;
            rest(began);
            lab.order(&format!("set all {way} {}", undone(settings)))?;
        }
        Fault::Cut | Fault::OneWay => {
            let way = if case.fault == Fault::Cut { "both" } else { "up" };
            lab.order(&format!("set {last} {way} cut=1"))?;
            noticed = notice(lab, case, began)?;
            rest(began);
            lab.order(&format!("set {last} {way} cut=0"))?;
        }
        Fault::Partition => {
            let middle = case.nodes / 2;
            lab.order(&format!("groups {}/{}", ports(0..middle), ports(middle..case.nodes)))?;
            rest(began);
            lab.order("groups")?;
        }
        Fault::Flap(off, on) => {
            while began.elapsed() < lasts {
                lab.order(&format!("set {last} both cut=1"))?;
                std::thread::sleep(Duration::from_millis(off));
                lab.order(&format!("set {last} both cut=0"))?;
                std::thread::sleep(Duration::from_millis(on));
            }
        }
        Fault::Kill => kill(lab, began, lasts)?,
        Fault::Stop => {
            let from = record::now();
            lab.nodes[last].signal("STOP")?;
            noticed = notice(lab, case, began)?;
            rest(began);
            lab.nodes[last].signal("CONT")?;
            let name = lab.nodes[last].name().to_owned();
            lab.disturbances.pauses.push((name, from, record::now()));
        }
        Fault::LoseNetwork => {
            let (first, second) = (ports(0..case.nodes), ports(case.nodes..2 * case.nodes));
            lab.order(&format!("set {first} both cut=1"))?;
            rest(began);
            // By now every link uses the second network, and must use the first one instead.
            lab.order(&format!("set {first} both cut=0"))?;
            lab.order(&format!("set {second} both cut=1"))?;
            let over = Instant::now();
            wait_until_broken(lab, over)?;
            return Ok(Outcome { over, noticed });
        }
        Fault::ChangeAddress => {
            let old = format!("10.77.0.{}/24", last + 1);
            let new = format!("10.77.0.{}/24", last + 101);
            lab.ip(last, &["addr", "del", &old, "dev", "eth0"])?;
            lab.ip(last, &["addr", "add", &new, "broadcast", "+", "dev", "eth0"])?;
            lab.ip(last, &["route", "replace", "default", "dev", "eth0"])?;
            let over = Instant::now();
            wait_until_broken(lab, over)?;
            return Ok(Outcome { over, noticed });
        }
        Fault::FullTable => {
            lab.tell(last, "fill")?;
            lab.order(&format!("set {last} both cut=1"))?;
            std::thread::sleep(CUT_WHILE_FULL);
            // The links have ended, so their descriptors are free.
            lab.tell(last, "fill")?;
            lab.order(&format!("set {last} both cut=0"))?;
            rest(began);
            lab.tell(last, "free")?;
        }
    }
    Ok(Outcome { over: Instant::now(), noticed })
}

/// Measures how long it takes until the others see that the last node is gone.
fn notice(lab: &mut Lab, case: &Case, began: Instant) -> Result<Option<Option<Duration>>> {
    case.notice.map(|limit| lab.wait_until_noticed(began, limit + SLACK)).transpose()
}

/// Waits until some node sees that links ended. If none sees it in time, there were none to end.
fn wait_until_broken(lab: &mut Lab, since: Instant) -> Result<()> {
    while since.elapsed() < SILENT_MAX && lab.is_whole()? {
        std::thread::sleep(crate::process::POLL_INTERVAL);
    }
    Ok(())
}

/// Kills the last node and starts it, again and again. It works as soon as it runs.
fn kill(lab: &mut Lab, began: Instant, lasts: Duration) -> Result<()> {
    let last = lab.last();
    while began.elapsed() < lasts {
        let name = lab.nodes[last].name().to_owned();
        lab.nodes[last].kill()?;
        lab.disturbances.kills.push((name, record::now()));
        std::thread::sleep(KILLED);
        lab.nodes[last] = lab.spawn(last)?;
        lab.nodes[last].wait_until_ready()?;
        lab.tell(last, "go")?;
        std::thread::sleep(KILLED);
    }
    Ok(())
}

/// Ports as the bridge takes them.
pub(super) fn ports(ports: Range<usize>) -> String {
    ports.map(|port| port.to_string()).collect::<Vec<_>>().join(",")
}

/// The settings that turn others off.
fn undone(settings: &str) -> String {
    let keys = settings.split_whitespace().filter_map(|setting| setting.split_once('='));
    keys.map(|(key, _)| format!("{key}=0")).collect::<Vec<_>>().join(" ")
}
