//! The traffic of a mesh at rest, from the counters of the interfaces.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::case::{IDLE, IDLE_WHAT};
use super::report::Row;
use crate::agreement::{agreed, names};
use crate::process::{Process, wait_until};
use crate::random;
use crate::scenario::netns::Network;
use crate::shell::{self, Result};
use crate::temp_folder::TempFolder;

const NODES: usize = 32;
const DEGREE: &str = "degree=3";
const PORT: &str = "9000";
/// The time limit for the mesh to form.
const FORM_MAX: Duration = Duration::from_secs(30);
/// After this time the mesh is at rest: solicitations have ended, and beacons are rare.
const REST: Duration = Duration::from_secs(30);
/// How long to measure: several periods of comparison (10 s).
const MEASURED: Duration = Duration::from_secs(40);
/// The most bytes in a second that all nodes together may send.
const BYTES_MAX: f64 = 32e3;

/// Measures what all nodes send.
pub(super) fn run(program: &Path, seconds: Option<u64>) -> Result<Row> {
    let network = Network::new(NODES, 1, |_| 0)?;
    let folder = TempFolder::new("idle")?;
    let namespace = random::namespace("idle");
    let mut nodes = Vec::new();
    for node in 0..NODES {
        let name = format!("n{node:02}");
        let mut command = shell::command(Path::new("/"), program);
        command.args([&name, &namespace, PORT]).arg(folder.path()).arg(DEGREE);
        nodes.push(Process::spawn(&name, network.inside(node, &command))?);
    }
    nodes.iter_mut().try_for_each(Process::wait_until_ready)?;
    let all = names(&nodes);
    let mut links = 0;
    wait_until("one mesh", Instant::now(), FORM_MAX, || {
        let mesh = agreed(&mut nodes, &all)?;
        links =
            mesh.iter().flat_map(|mesh| mesh.values()).map(|peers| peers.len()).sum::<usize>() / 2;
        Ok(mesh.is_some())
    })?;
    std::thread::sleep(REST);
    let before = counters(&network)?;
    let since = Instant::now();
    std::thread::sleep(seconds.map_or(MEASURED, Duration::from_secs));
    let took = since.elapsed().as_secs_f64();
    let after = counters(&network)?;
    nodes.into_iter().try_for_each(Process::stop)?;
    let each_second = |at: usize| (after[at] - before[at]) as f64 / took;
    let (bytes, packets) = (each_second(0), each_second(1));
    let mut row = Row::new(IDLE, IDLE_WHAT);
    row.note = format!(
        "{bytes:.0} bytes/s and {packets:.0} packets/s of {NODES} nodes and {links} links (limit {BYTES_MAX:.0} bytes/s)"
    );
    if bytes > BYTES_MAX {
        row.fail(format!("{bytes:.0} bytes/s at rest; the limit is {BYTES_MAX:.0}"));
    }
    Ok(row)
}

/// The bytes and packets that all nodes have sent: what arrived at the ports of the bridge.
fn counters(network: &Network) -> Result<[u64; 2]> {
    let sum = |counter: &str| {
        let mut command = Command::new("sh");
        let files = format!("cat /sys/class/net/v*/statistics/{counter}");
        command.args(["-c", &files]);
        let text = shell::run_quietly(&mut network.inside_hub(&command))?;
        let counts = text.lines().map(|line| line.trim().parse::<u64>());
        let counts: std::result::Result<Vec<u64>, _> = counts.collect();
        let counts = counts.map_err(|_| format!("not counters: {text:?}"))?;
        match counts.len() {
            NODES => Ok(counts.iter().sum()),
            other => Err(format!("{other} counters instead of {NODES}")),
        }
    };
    Ok([sum("rx_bytes")?, sum("rx_packets")?])
}
