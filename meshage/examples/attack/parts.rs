//! The processes of a run: the attacked node, the honest members, and the attacker. Each answers a
//! line of its input with a line of `name=value`.

use std::io;
use std::net::UdpSocket;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use meshage::blocking::Node;
use meshage::{NodeName, Outgoing};

use super::Error;
use super::attacks::{ATTACKER, Attack, REVOKED, Target};
use super::mesh::{Mesh, Mode, REMOVED_KEY, key};

/// The time limit of one honest message.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(20);
/// The pause between two honest messages: few enough to leave the processors free.
const PAUSE: Duration = Duration::from_micros(500);

/// The attacked node. Writes its ports, then for each line that it reads its memory in bytes, now and
/// at its highest, and its counters.
pub(super) fn victim(mode: Mode) -> Result<(), Error> {
    let mesh = Mesh::new(mode)?;
    let datagrams = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
    // Nobody listens at the address of its own solicitations.
    let config = mesh.member("b")?.port(datagrams).listen_port(0).broadcast("127.0.0.1:9");
    let config = if mode.is_closed() { config.key(key(REMOVED_KEY)) } else { config };
    let node = Node::start(config.build()?)?;
    if mode.is_closed() {
        node.node().keys().remove(key(REMOVED_KEY).id())?;
    }
    if mode.binds_names() {
        node.node().revoke(&Mesh::revocation(REVOKED)?)?;
    }
    println!("port={} datagrams={datagrams}", node.node().port());
    for line in io::stdin().lines() {
        line?;
        let (now, highest) = (memory("VmRSS:"), memory("VmHWM:"));
        println!("rss={now} rss_max={highest} {}", counters(&[&node]));
    }
    Ok(())
}

/// The counters of nodes, added up.
fn counters(nodes: &[&Node]) -> String {
    let mut sums = std::collections::BTreeMap::<&str, u64>::new();
    for node in nodes {
        for (name, value) in node.node().stats().iter() {
            *sums.entry(name).or_default() += value;
        }
    }
    let words: Vec<String> = sums.iter().map(|(name, value)| format!("{name}={value}")).collect();
    words.join(" ")
}

/// The memory of this process, where the system reports it (Linux).
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

/// Links two nodes to the attacked one. For each line that it reads, one of them sends to the other
/// one for a time; then it writes the latencies in microseconds and the counters.
pub(super) fn honest(mode: Mode, address: &str, seconds: &str) -> Result<(), Error> {
    let duration = Duration::from_secs_f64(seconds.parse()?);
    let mesh = Mesh::new(mode)?;
    let a = Node::start(mesh.member("a")?.build()?)?;
    let c = Arc::new(Node::start(mesh.member("c")?.build()?)?);
    a.dial(address, Some(MESSAGE_TIMEOUT))?;
    c.dial(address, Some(MESSAGE_TIMEOUT))?;
    let (arrivals, arrived) = mpsc::channel();
    let receiver = std::thread::spawn({
        let c = c.clone();
        move || {
            while let Ok(message) = c.recv(None) {
                // A hostile member may send in its own name.
                if message.source.as_str() != ATTACKER && arrivals.send(message.body).is_err() {
                    return;
                }
            }
        }
    });
    let to = NodeName::new("c")?;
    let send = |number: u64| -> Result<Option<Duration>, Error> {
        let begin = Instant::now();
        let body = number.to_le_bytes().to_vec();
        let outgoing = Outgoing::set([to.clone()], body.clone()).timeout(MESSAGE_TIMEOUT);
        let report = a.send(outgoing)?;
        let latency = begin.elapsed();
        if !report.all_delivered() {
            return Ok(None);
        }
        // Nothing else may have reached the application.
        Ok((arrived.recv_timeout(MESSAGE_TIMEOUT)? == body).then_some(latency))
    };
    let begin = Instant::now();
    while send(0)?.is_none() {
        if begin.elapsed() > MESSAGE_TIMEOUT {
            return Err("c is not reachable".into());
        }
    }
    println!("ready");
    let mut number = 0;
    for line in io::stdin().lines() {
        line?;
        let (mut latencies, mut failed) = (Vec::new(), 0);
        let begin = Instant::now();
        while begin.elapsed() < duration {
            number += 1;
            match send(number)? {
                Some(latency) => latencies.push(latency),
                None => failed += 1,
            }
            std::thread::sleep(PAUSE);
        }
        latencies.sort_unstable();
        let at = |share: f64| {
            let at = (latencies.len() as f64 * share) as usize;
            latencies.get(at.min(latencies.len().saturating_sub(1))).copied().unwrap_or_default()
        };
        println!(
            "delivered={} failed={failed} p50={} p99={} {}",
            latencies.len(),
            at(0.5).as_micros(),
            at(0.99).as_micros(),
            counters(&[&a, &c]),
        );
    }
    c.node().close();
    receiver.join().map_err(|_| "the receiver panicked")?;
    Ok(())
}

/// Attacks for a time.
pub(super) fn attacker(attack: Attack, mode: Mode, arguments: [&str; 4]) -> Result<(), Error> {
    let [address, datagrams, connections, seconds] = arguments;
    let target = Target {
        mesh: Mesh::new(mode)?,
        address: address.parse()?,
        datagrams: datagrams.parse()?,
        connections: connections.parse()?,
    };
    let duration = Duration::from_secs_f64(seconds.parse()?);
    let begin = Instant::now();
    let tally = attack.run(&target, &|| begin.elapsed() < duration)?;
    println!("tries={} closed={}", tally.tries, tally.closed);
    Ok(())
}
