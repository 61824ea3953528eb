//! Two nodes find each other on networks as machines have them: without a default route, with several
//! interfaces, with the loopback alone, with link-local addresses alone, and after a cable was out.

use std::time::{Duration, Instant};

use super::netns::Network;
use crate::agreement::{agreed, names};
use crate::build::{Language, Programs};
use crate::process::{Process, wait_until};
use crate::random;
use crate::shell::Result;

const PORT: &str = "9000";
/// The time limit from the last start, or from the return of a cable, until the nodes are linked.
const LINKED_MAX: Duration = Duration::from_secs(2);
/// How long to measure beyond the limit.
const SLACK: Duration = Duration::from_secs(10);
/// How long a cable is out: the window of the solicitations grows to 32 s meanwhile. The unit tests of
/// the protocol have ten minutes in virtual time.
const CABLE_OUT: Duration = Duration::from_secs(40);
/// The time limit for the loss of a link without a cable to be noticed.
const NOTICED_MAX: Duration = Duration::from_secs(10);

type Scenario = fn(&Programs) -> Result<()>;

/// The scenarios and what they check.
pub(super) const ALL: [(&str, Scenario); 5] = [
    ("nodes find each other on a network without a default route", no_default_route),
    ("nodes find each other on the second of two networks", second_network),
    ("nodes find each other on the loopback alone", loopback_alone),
    ("nodes find each other by link-local IPv6 addresses", link_local),
    ("nodes are linked again when a cable is back", cable),
];

fn no_default_route(programs: &Programs) -> Result<()> {
    let network = Network::new(2, 1, |_| 0)?;
    for node in 0..2 {
        network.ip(node, &["route", "del", "default"])?;
    }
    find_each_other(programs, &network, [0, 1], &["255.255.255.255"])
}

/// Each node has a network of its own with the default route, and they share a second one.
fn second_network(programs: &Programs) -> Result<()> {
    let network = Network::new(2, 3, |node| node)?;
    for node in 0..2 {
        network.connect(node, "eth1", 2, &format!("10.78.0.{}/24", node + 1))?;
    }
    find_each_other(programs, &network, [0, 1], &["255.255.255.255"])?;
    find_each_other(programs, &network, [0, 1], &["interface=eth1"])
}

fn loopback_alone(programs: &Programs) -> Result<()> {
    let network = Network::new(1, 1, |_| 0)?;
    network.ip(0, &["link", "set", "eth0", "down"])?;
    find_each_other(programs, &network, [0, 0], &["255.255.255.255"])
}

fn link_local(programs: &Programs) -> Result<()> {
    let network = Network::new(2, 1, |_| 0)?;
    let mut addresses = Vec::new();
    for node in 0..2 {
        network.ip(node, &["-4", "addr", "flush", "dev", "eth0"])?;
        addresses.push(network.link_local(node)?);
    }
    find_each_other(programs, &network, [0, 1], &["ff02::1"])?;
    find_each_other(programs, &network, [0, 1], &["ff02::1%eth0"])?;
    // Bound to the link-local addresses, they solicit from them without being told to.
    let mut nodes = Vec::new();
    let namespace = random::namespace("zones");
    for (node, address) in addresses.iter().enumerate() {
        let bind = format!("bind={address}%eth0");
        nodes.push(start(programs, &network, node, &namespace, "1", &[&bind])?);
    }
    linked("bound to link-local addresses", &mut nodes)?;
    nodes.into_iter().try_for_each(Process::stop)?;
    // A seed with a zone. Nothing solicits.
    let namespace = random::namespace("seed");
    let bind = format!("bind={}%eth0", addresses[0]);
    let seed = format!("seed=[{}%eth0]:7001", addresses[0]);
    let mut nodes = vec![
        start(programs, &network, 0, &namespace, "0", &[&bind, "listen=7001"])?,
        start(programs, &network, 1, &namespace, "0", &["bind=::", &seed])?,
    ];
    linked("by a seed with a zone", &mut nodes)?;
    nodes.into_iter().try_for_each(Process::stop)
}

/// Three pairs: one loses its cable, one its interface, and one has a seed instead of solicitations.
fn cable(programs: &Programs) -> Result<()> {
    let network = Network::new(6, 3, |node| node / 2)?;
    let mut pairs = Vec::new();
    for (pair, (what, degree, options)) in [
        ("the cable is back", "1", vec!["255.255.255.255"]),
        ("the interface is up again", "1", vec!["255.255.255.255"]),
        ("the cable to a seed is back", "0", vec!["seed=10.77.0.5:7001", "listen=7001"]),
    ]
    .into_iter()
    .enumerate()
    {
        let namespace = random::namespace("cable");
        let mut nodes = Vec::new();
        for node in 2 * pair..2 * pair + 2 {
            nodes.push(start(programs, &network, node, &namespace, degree, &options)?);
        }
        linked("at the start", &mut nodes)?;
        pairs.push((what, nodes));
    }
    network.set_cable(0, false)?;
    network.ip(2, &["link", "set", "eth0", "down"])?;
    network.set_cable(5, false)?;
    let out = Instant::now();
    for (what, nodes) in &mut pairs {
        wait_until(&format!("the loss before {what}"), out, NOTICED_MAX, || {
            Ok(nodes[0].peers()?.is_empty() && nodes[1].peers()?.is_empty())
        })?;
    }
    std::thread::sleep(CABLE_OUT.saturating_sub(out.elapsed()));
    for (pair, (what, mut nodes)) in pairs.into_iter().enumerate() {
        match pair {
            0 => network.set_cable(0, true)?,
            1 => network.ip(2, &["link", "set", "eth0", "up"])?,
            _ => network.set_cable(5, true)?,
        }
        linked(what, &mut nodes)?;
        nodes.into_iter().try_for_each(Process::stop)?;
    }
    Ok(())
}

/// Starts a node at each place, and measures the time until they are linked.
fn find_each_other(
    programs: &Programs,
    network: &Network,
    places: [usize; 2],
    options: &[&str],
) -> Result<()> {
    let namespace = random::namespace("networks");
    let mut nodes = Vec::new();
    for (number, place) in places.into_iter().enumerate() {
        let name = format!("n{number}");
        nodes.push(start_named(programs, network, place, &name, &namespace, "1", options)?);
    }
    linked(&options.join(" "), &mut nodes)?;
    nodes.into_iter().try_for_each(Process::stop)
}

fn start(
    programs: &Programs,
    network: &Network,
    node: usize,
    namespace: &str,
    degree: &str,
    options: &[&str],
) -> Result<Process> {
    start_named(programs, network, node, &format!("n{node}"), namespace, degree, options)
}

fn start_named(
    programs: &Programs,
    network: &Network,
    place: usize,
    name: &str,
    namespace: &str,
    degree: &str,
    options: &[&str],
) -> Result<Process> {
    let mut command = programs.command(Language::Rust);
    command.args([name, namespace, PORT, degree]).args(options);
    let mut process = Process::spawn(name, network.inside(place, &command))?;
    process.wait_until_ready()?;
    Ok(process)
}

/// Waits until the nodes know each other. Prints the time, and checks its limit.
fn linked(what: &str, nodes: &mut [Process]) -> Result<()> {
    let since = Instant::now();
    let all = names(nodes);
    let took = wait_until(what, since, LINKED_MAX + SLACK, || Ok(agreed(nodes, &all)?.is_some()))?;
    println!(
        "   {what}: linked in {:.0} ms (limit {:.0} ms)",
        took.as_secs_f64() * 1e3,
        LINKED_MAX.as_secs_f64() * 1e3
    );
    if took <= LINKED_MAX {
        Ok(())
    } else {
        Err(format!("{what}: linked in {took:.2?}; the limit is {LINKED_MAX:?}"))
    }
}
