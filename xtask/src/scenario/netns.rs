//! A private network: one network namespace for each node, and bridges between them. It changes
//! nothing outside the namespaces, and dropping the value removes it.
//!
//! ```text
//!   node-0 ─ eth0 ═ veth ═ v0 ┐
//!   node-1 ─ eth0 ═ veth ═ v1 ┼─ bridge     (the bridges are in a separate namespace, the hub)
//!   node-2 ─ eth0 ═ veth ═ v2 ┘
//! ```

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::wait_until;
use crate::random;
use crate::shell::{self, Result};

/// The number of addresses of a hub.
const NODES_MAX: usize = 200;
/// The time limit for a link-local address: the system needs two seconds to check it.
const ADDRESS_MAX: Duration = Duration::from_secs(20);

/// The reason why this machine cannot create a network, or `None` if it can.
pub(crate) fn unavailable_reason() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("network namespaces exist only on Linux".into());
    }
    if !shell::is_installed("ip") {
        return Some("the program `ip` (iproute2) is not installed".into());
    }
    let probe = format!("mshp{:x}", random::number() & 0xffff_ffff);
    let made = ip(&["netns", "add", &probe]);
    let _ = ip(&["netns", "del", &probe]);
    made.err().map(|_| "this user has no permission to create network namespaces".into())
}

/// The namespaces and bridges of a network.
pub(crate) struct Network {
    tag: String,
    nodes: usize,
}

impl Network {
    /// Creates a network. `bridge_of` returns the bridge that a node is connected to.
    pub(crate) fn new(
        nodes: usize,
        bridges: usize,
        bridge_of: impl Fn(usize) -> usize,
    ) -> Result<Self> {
        let network = Self::bare(nodes)?;
        let hub = network.hub();
        for bridge in 0..bridges {
            let bridge = format!("br{bridge}");
            ip(&["-n", &hub, "link", "add", &bridge, "type", "bridge"])?;
            ip(&["-n", &hub, "link", "set", &bridge, "up"])?;
        }
        for node in 0..nodes {
            let namespace = network.namespace(node);
            let port = format!("v{node}");
            let bridge = format!("br{}", bridge_of(node));
            let address = format!("10.77.0.{}/24", node + 1);
            ip(&[
                "-n", &namespace, "link", "add", "eth0", "type", "veth", "peer", "name", &port,
                "netns", &hub,
            ])?;
            ip(&["-n", &hub, "link", "set", &port, "master", &bridge, "up"])?;
            ip(&[
                "-n",
                &namespace,
                "addr",
                "add",
                &address,
                "broadcast",
                "10.77.0.255",
                "dev",
                "eth0",
            ])?;
            ip(&["-n", &namespace, "link", "set", "eth0", "up"])?;
            ip(&["-n", &namespace, "route", "add", "default", "dev", "eth0"])?;
        }
        Ok(network)
    }

    /// Creates the namespaces of the nodes and of the hub, with the loopback and nothing else.
    pub(crate) fn bare(nodes: usize) -> Result<Self> {
        assert!(nodes <= NODES_MAX, "a hub has {NODES_MAX} addresses");
        let mut network = Self { tag: format!("msh{:x}", random::number() & 0xff_ffff), nodes: 0 };
        ip(&["netns", "add", &network.hub()])?;
        for node in 0..nodes {
            let namespace = network.namespace(node);
            ip(&["netns", "add", &namespace])?;
            network.nodes = node + 1;
            ip(&["-n", &namespace, "link", "set", "lo", "up"])?;
        }
        Ok(network)
    }

    /// Moves an interface of the hub to a node, gives it another name, and turns it on.
    pub(crate) fn move_from_hub(&self, interface: &str, node: usize, name: &str) -> Result<()> {
        let namespace = self.namespace(node);
        self.ip_of_hub(&["link", "set", interface, "netns", &namespace, "name", name])?;
        self.ip(node, &["link", "set", name, "up"])
    }

    /// Connects a node to one more bridge, by an interface with this name and address.
    pub(crate) fn connect(&self, node: usize, name: &str, bridge: usize, ip: &str) -> Result<()> {
        let (hub, port) = (self.hub(), format!("{name}-{node}"));
        let peer = ["peer", "name", &port, "netns", &hub];
        self.ip(node, &[&["link", "add", name, "type", "veth"][..], &peer].concat())?;
        self.ip_of_hub(&["link", "set", &port, "master", &format!("br{bridge}"), "up"])?;
        self.ip(node, &["addr", "add", ip, "broadcast", "+", "dev", name])?;
        self.ip(node, &["link", "set", name, "up"])
    }

    /// Pulls the cable of a node's first interface, or puts it back.
    pub(crate) fn set_cable(&self, node: usize, connected: bool) -> Result<()> {
        let state = if connected { "up" } else { "down" };
        self.ip_of_hub(&["link", "set", &format!("v{node}"), state])
    }

    /// The link-local address of a node's first interface, once it can be used. The system first
    /// checks for a second or two that no other machine has it.
    pub(crate) fn link_local(&self, node: usize) -> Result<String> {
        let mut found = None;
        let namespace = self.namespace(node);
        let show = ["-n", &namespace, "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link"];
        wait_until("a link-local address", Instant::now(), ADDRESS_MAX, || {
            let listed = ip(&show)?;
            let usable = listed.lines().find(|line| !line.contains("tentative"));
            let words = usable.unwrap_or_default().split_whitespace();
            let mut addresses = words.filter_map(|word| word.split_once('/'));
            found = addresses.next().map(|(ip, _)| ip.to_owned());
            Ok(found.is_some())
        })?;
        found.ok_or_else(|| "there is no link-local address".into())
    }

    /// Runs `ip` in the namespace of a node.
    pub(crate) fn ip(&self, node: usize, arguments: &[&str]) -> Result<()> {
        let namespace = self.namespace(node);
        ip(&[&["-n", &namespace], arguments].concat()).map(|_| ())
    }

    fn ip_of_hub(&self, arguments: &[&str]) -> Result<()> {
        ip(&[&["-n", &self.hub()], arguments].concat()).map(|_| ())
    }

    /// Joins two bridges, as a cable would.
    pub(crate) fn join(&self, a: usize, b: usize) -> Result<()> {
        let hub = self.hub();
        ip(&["-n", &hub, "link", "add", "cable0", "type", "veth", "peer", "name", "cable1"])?;
        for (end, bridge) in [("cable0", a), ("cable1", b)] {
            ip(&["-n", &hub, "link", "set", end, "master", &format!("br{bridge}"), "up"])?;
        }
        Ok(())
    }

    /// The command, run in the namespace of a node.
    pub(crate) fn inside(&self, node: usize, command: &Command) -> Command {
        Self::inside_namespace(&self.namespace(node), command)
    }

    /// The command, run in the namespace of the hub.
    pub(crate) fn inside_hub(&self, command: &Command) -> Command {
        Self::inside_namespace(&self.hub(), command)
    }

    fn inside_namespace(namespace: &str, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", namespace]);
        inside.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                inside.env(name, value);
            }
        }
        inside
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.tag)
    }

    fn namespace(&self, node: usize) -> String {
        format!("{}-{node}", self.tag)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for node in 0..self.nodes {
            let _ = ip(&["netns", "del", &self.namespace(node)]);
        }
        let _ = ip(&["netns", "del", &self.hub()]);
    }
}

fn ip(arguments: &[&str]) -> Result<String> {
    shell::run_quietly(shell::command(Path::new("/"), "ip").args(arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_an_address_for_each_node_and_is_removed_when_dropped() {
        if let Some(because) = unavailable_reason() {
            println!("skipped: a private network because {because}");
            return;
        }
        let network = Network::new(3, 2, |node| node / 2).expect("made");
        network.join(0, 1).expect("joined");
        let mut show = Command::new("ip");
        show.args(["-4", "addr", "show", "eth0"]);
        let text = shell::run_quietly(&mut network.inside(2, &show)).expect("shown");
        assert!(text.contains("10.77.0.3/24"), "{text}");
        let tag = network.tag.clone();
        drop(network);
        let left = shell::run_quietly(Command::new("ip").args(["netns", "list"])).expect("listed");
        assert!(!left.contains(&tag), "{left}");
    }
}
