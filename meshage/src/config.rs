//! The configuration of a node. Each default is a constant, and its comment states where the value
//! comes from. "The original" is minimega's Go package `meshage`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
#[cfg(feature = "net")]
use std::path::PathBuf;
use std::time::Duration;

use crate::address::{self, Endpoint, ZonedIp};
use crate::error::ConfigError;
use crate::name::{Namespace, NodeName};
use crate::secure::settings::{Settings as Security, SettingsBuilder};
use crate::secure::{Key, PublicKey};

/// How long a send waits for acknowledgements: 10 s, as in the original.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a node compares what it knows of the mesh with its peers: 10 s, the period in which the
/// original repeats its announcements.
pub const DEFAULT_MSA_TIMEOUT: Duration = Duration::from_secs(10);
/// The TCP and UDP port: 9000, as in the original.
pub const DEFAULT_PORT: u16 = 9000;
/// The most messages that wait for the application: 1,024, as in the original.
pub const RECEIVE_BUFFER: usize = 1024;
/// In a mesh of up to this many nodes, every eligible node responds to a solicitation. As in the
/// original.
pub const SOLICIT_LIMIT: usize = 16;
/// In a larger mesh, one of this many eligible nodes responds. As in the original.
pub const SOLICIT_RATIO: u32 = 8;
/// The largest body: 64 MiB, four times the largest that a user of the original is known to send.
pub const MAX_MESSAGE: usize = 64 << 20;
/// The number of I/O threads of a node with a runtime of its own. With one thread, no idle thread
/// is woken to look for work: an acknowledged round trip between two nodes on one core took 35 µs
/// with one thread and 46 µs with two.
pub const WORKER_THREADS: usize = 1;
/// The most links of a node, however they were established.
pub const LINKS_MAX: usize = 256;
/// The largest degree: the largest number of links of a node.
pub const DEGREE_MAX: u32 = LINKS_MAX as u32;
/// The valid clock skews. A datagram is on its way for less than the least, and with the greatest a
/// node remembers 200 datagrams a second.
const CLOCK_SKEW_RANGE: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(300);
/// The shortest MSA period. With a shorter one, a mesh is busy with comparisons.
pub const MSA_TIMEOUT_MIN: Duration = Duration::from_millis(100);
/// The longest MSA period.
pub const MSA_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest version string, in bytes.
pub const VERSION_BYTES_MAX: usize = 256;

/// The most interfaces that can be chosen, and the longest name of one, in bytes: more than any
/// system has, or allows.
pub const INTERFACES_MAX: usize = 64;
const INTERFACE_BYTES_MAX: usize = 255;
/// Every node on the network of an interface: what 255.255.255.255 is for IPv4.
const ALL_NODES_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A valid configuration, built with [`Config::builder`].
#[cfg_attr(
    not(feature = "net"),
    expect(dead_code, reason = "only the driver of `net` reads some fields")
)]
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) name: NodeName,
    pub(crate) namespace: Namespace,
    pub(crate) degree: u32,
    pub(crate) broadcast: Vec<Endpoint>,
    pub(crate) interfaces: Vec<String>,
    pub(crate) bind: ZonedIp,
    pub(crate) port: u16,
    pub(crate) listen_port: u16,
    pub(crate) version: String,
    pub(crate) timeout: Duration,
    pub(crate) msa_timeout: Duration,
    pub(crate) receive_buffer: usize,
    pub(crate) max_message: usize,
    pub(crate) worker_threads: usize,
    pub(crate) seeds: Vec<String>,
    /// `None` makes the node open.
    pub(crate) security: Option<Security>,
}

impl Config {
    /// Starts a configuration for a node with this name. Everything else has a default.
    pub fn builder(name: impl Into<String>) -> ConfigBuilder {
        ConfigBuilder {
            name: name.into(),
            namespace: String::new(),
            degree: 0,
            broadcast: Vec::new(),
            interfaces: Vec::new(),
            bind: None,
            port: DEFAULT_PORT,
            listen_port: None,
            version: String::new(),
            timeout: DEFAULT_TIMEOUT,
            msa_timeout: DEFAULT_MSA_TIMEOUT,
            receive_buffer: RECEIVE_BUFFER,
            max_message: MAX_MESSAGE,
            worker_threads: WORKER_THREADS,
            seeds: Vec::new(),
            security: SettingsBuilder::default(),
        }
    }

    /// The node's name.
    pub fn name(&self) -> &NodeName {
        &self.name
    }

    /// The namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }
}

/// Collects a configuration; [`ConfigBuilder::build`] checks it.
#[derive(Debug, Clone)]
#[must_use = "a configuration is made by `build`"]
pub struct ConfigBuilder {
    name: String,
    namespace: String,
    degree: u32,
    broadcast: Vec<String>,
    interfaces: Vec<String>,
    bind: Option<String>,
    port: u16,
    listen_port: Option<u16>,
    version: String,
    timeout: Duration,
    msa_timeout: Duration,
    receive_buffer: usize,
    max_message: usize,
    worker_threads: usize,
    seeds: Vec<String>,
    security: SettingsBuilder,
}

impl ConfigBuilder {
    /// Only nodes of the same namespace find each other. Default: the empty namespace.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// The number of links that the node looks for. With fewer links it sends solicitations.
    /// Default: 0, which sends none.
    pub fn degree(mut self, degree: u32) -> Self {
        self.degree = degree;
        self
    }

    /// Adds an address that solicitations are sent to. Default, if none is added: 255.255.255.255.
    ///
    /// 255.255.255.255 and IPv6 multicast addresses without a zone (`ff02::1`) stand for every
    /// network that this machine is connected to at that time: the node sends once on each of them,
    /// from its own address there. [`ConfigBuilder::interfaces`] restricts them. Any other address
    /// is used as it is, by the routing table of the system. 127.255.255.255 reaches every node of
    /// this machine and no others. An address may have a zone and a port: `ff02::1%eth0`,
    /// `[ff02::1%eth0]:9000`.
    pub fn broadcast(mut self, ip: impl Into<String>) -> Self {
        self.broadcast.push(ip.into());
        self
    }

    /// Adds interfaces, by name, to send solicitations on. Default, if none is added: all that are
    /// up. An interface that does not exist when the node starts is used as soon as it does.
    pub fn interfaces<I>(mut self, names: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.interfaces.extend(names.into_iter().map(Into::into));
        self
    }

    /// The address to listen on. Default: 0.0.0.0, or `::` if a broadcast address is an IPv6
    /// address. `::` accepts both IPv4 and IPv6. A link-local address needs its zone:
    /// `fe80::1%eth0`. A port (`[fe80::1%eth0]:9000`) is taken as the listen port.
    ///
    /// A node that is bound to one address also solicits from it, so that other nodes dial it.
    pub fn bind(mut self, ip: impl Into<String>) -> Self {
        self.bind = Some(ip.into());
        self
    }

    /// The port of the mesh, for TCP and UDP. Default: 9000. With 0, the node listens on any free
    /// TCP port and receives no solicitations.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The TCP port alone, so that several nodes can share a machine; 0 selects any free port.
    /// Default: `port`.
    pub fn listen_port(mut self, port: u16) -> Self {
        self.listen_port = Some(port);
        self
    }

    /// The application's version. A peer with another version only causes a warning. Default:
    /// empty.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// How long a send waits for acknowledgements. Default: 10 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The MSA period: how often the node compares what it knows of the mesh with its peers, so that
    /// every difference is found and repaired. Changes are announced at once. Default: 10 s.
    pub fn msa_timeout(mut self, period: Duration) -> Self {
        self.msa_timeout = period;
        self
    }

    /// The most messages that wait for the application. Default: 1,024.
    pub fn receive_buffer(mut self, messages: usize) -> Self {
        self.receive_buffer = messages;
        self
    }

    /// The largest body that the node sends or receives, in bytes. Default: 64 MiB.
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// The number of I/O threads of a node with a runtime of its own (blocking, C, Python).
    /// Default: 1.
    pub fn worker_threads(mut self, threads: usize) -> Self {
        self.worker_threads = threads;
        self
    }

    /// Adds a seed: an address (`host`, `host:port`, `[v6]:port`, `fe80::1%eth0`) that the node
    /// dials until it has a link there, and again after that link breaks. The number of attempts is
    /// not limited.
    pub fn seed(mut self, address: impl Into<String>) -> Self {
        self.seeds.push(address.into());
        self
    }

    /// Adds a pre-shared key, and so closes the mesh: only nodes that have a key of this node can
    /// link to it. The first key is the primary one, which opens new links; all are accepted.
    /// Default, if none is added: the node is open.
    pub fn key(mut self, key: Key) -> Self {
        self.security.keys.push(key);
        self
    }

    /// Adds the keys of a file: one a line as 64 hex digits or base64, `#` begins a remark. Only its
    /// owner may have the right to read it. It is read by [`ConfigBuilder::build`], and again by
    /// [`Keys::reload`](crate::Keys::reload).
    #[cfg(feature = "net")]
    pub fn key_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.security.key_file = Some(path.into());
        self
    }

    /// The file of the node's identity, as `cargo xtask key identity` makes it. Only its owner may
    /// have the right to read it. Default: an identity for this run.
    #[cfg(feature = "net")]
    pub fn identity_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.security.identity_file = Some(path.into());
        self
    }

    /// The public key of the mesh's root: nodes with a ticket that it signed may join, with the name
    /// in their ticket.
    pub fn root(mut self, root: PublicKey) -> Self {
        self.security.root = Some(root);
        self
    }

    /// The file of this node's ticket, signed by the root.
    #[cfg(feature = "net")]
    pub fn ticket_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.security.ticket_file = Some(path.into());
        self
    }

    /// Allows the node with this name and public key to join.
    pub fn allow(mut self, name: impl Into<String>, public_key: PublicKey) -> Self {
        self.security.allow.push((name.into(), public_key));
        self
    }

    /// Signs the announcements of this node, and requires that all others are signed. Every node of
    /// the mesh needs the same setting. Default: off.
    pub fn signed(mut self, signed: bool) -> Self {
        self.security.signed = signed;
        self
    }

    /// How far the clocks of two nodes of a closed mesh may differ. A datagram whose time stamp
    /// differs more from the time of this node is dropped, so the nodes do not find each other by
    /// datagrams. 1 s to 5 min. Default: 30 s.
    pub fn clock_skew(mut self, skew: Duration) -> Self {
        self.security.clock_skew = skew;
        self
    }

    /// Checks and returns the configuration.
    ///
    /// # Errors
    /// [`ConfigError`], with the option and its valid values.
    pub fn build(self) -> Result<Config, ConfigError> {
        let mut broadcast =
            self.broadcast.iter().map(|text| endpoint(text)).collect::<Result<Vec<_>, _>>()?;
        if broadcast.is_empty() {
            broadcast.push(Endpoint { ip: IpAddr::V4(Ipv4Addr::BROADCAST).into(), port: None });
        }
        let unspecified = || Endpoint { ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED).into(), port: None };
        let bind = self.bind.as_ref().map_or_else(|| Ok(unspecified()), |text| endpoint(text))?;
        let listen_port = match (self.listen_port, bind.port) {
            (Some(port), Some(other)) if port != other => {
                let hint = "its port must be equal to listen_port, or be left out";
                return Err(ConfigError::Range("bind", hint));
            }
            (port, other) => port.or(other).unwrap_or(self.port),
        };
        let mut bind = bind.ip;
        agree_on_family(&mut bind, &mut broadcast);
        for seed in &self.seeds {
            let (host, _) = address::split(seed, DEFAULT_PORT)
                .map_err(|_| ConfigError::Address(seed.clone()))?;
            if ZonedIp::parse(host).is_some_and(|ip| ip.lacks_zone()) {
                return Err(ConfigError::Zone(seed.clone()));
            }
        }
        let valid = |name: &String| {
            (1..=INTERFACE_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control)
        };
        if self.interfaces.len() > INTERFACES_MAX || !self.interfaces.iter().all(valid) {
            return Err(ConfigError::Range("interfaces", "at most 64 names of 1 to 255 bytes"));
        }
        let in_range = |holds: bool, option, range| {
            if holds { Ok(()) } else { Err(ConfigError::Range(option, range)) }
        };
        in_range(self.degree <= DEGREE_MAX, "degree", "0 to 256")?;
        in_range(self.version.len() <= VERSION_BYTES_MAX, "version", "at most 256 bytes")?;
        in_range(valid_msa_timeout(self.msa_timeout), "msa_timeout", "100 ms to 24 h")?;
        in_range((1..=1 << 20).contains(&self.receive_buffer), "receive_buffer", "1 to 1,048,576")?;
        in_range((1..=1 << 30).contains(&self.max_message), "max_message", "1 byte to 1 GiB")?;
        in_range((1..=64).contains(&self.worker_threads), "worker_threads", "1 to 64")?;
        let skew = self.security.clock_skew;
        in_range(CLOCK_SKEW_RANGE.contains(&skew), "clock_skew", "1 s to 5 min")?;
        let name = NodeName::new(&self.name)?;
        #[cfg(feature = "net")]
        let security = self.security.build(&name, crate::net::clock::unix_millis())?;
        #[cfg(not(feature = "net"))]
        let security = self.security.build(&name)?;
        Ok(Config {
            name,
            namespace: Namespace::new(&self.namespace)?,
            degree: self.degree,
            broadcast,
            interfaces: self.interfaces,
            bind,
            port: self.port,
            listen_port,
            version: self.version,
            timeout: self.timeout,
            msa_timeout: self.msa_timeout,
            receive_buffer: self.receive_buffer,
            max_message: self.max_message,
            worker_threads: self.worker_threads,
            seeds: self.seeds,
            security,
        })
    }
}

/// Parses an address to listen on or to send to.
fn endpoint(text: &str) -> Result<Endpoint, ConfigError> {
    let endpoint = Endpoint::parse(text).ok_or_else(|| ConfigError::Address(text.into()))?;
    if endpoint.ip.lacks_zone() {
        return Err(ConfigError::Zone(text.into()));
    }
    Ok(endpoint)
}

/// Makes the node listen on the family in which it solicits, where the configuration leaves it open:
/// a node that responds dials the source address of the solicitation.
fn agree_on_family(bind: &mut ZonedIp, broadcast: &mut [Endpoint]) {
    if bind.ip == Ipv4Addr::UNSPECIFIED && broadcast.iter().any(|to| to.ip.ip.is_ipv6()) {
        bind.ip = Ipv6Addr::UNSPECIFIED.into();
    }
    // "Everywhere" means everywhere that the node can be dialled.
    if bind.ip.is_ipv6() && !bind.ip.is_unspecified() {
        for to in broadcast.iter_mut().filter(|to| to.ip.ip == Ipv4Addr::BROADCAST) {
            to.ip.ip = ALL_NODES_V6.into();
        }
    }
}

/// Whether an MSA period is valid.
pub(crate) fn valid_msa_timeout(period: Duration) -> bool {
    (MSA_TIMEOUT_MIN..=MSA_TIMEOUT_MAX).contains(&period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_original() {
        let config = Config::builder("a").build().expect("valid");
        assert_eq!(config.port, 9000);
        assert_eq!(config.listen_port, 9000);
        let everywhere = Endpoint { ip: IpAddr::V4(Ipv4Addr::BROADCAST).into(), port: None };
        assert_eq!(config.broadcast, [everywhere]);
        assert_eq!(config.timeout, Duration::from_secs(10));
    }

    #[test]
    fn every_form_of_address_is_a_valid_seed() {
        let zoned = ["fe80::1%eth0", "[fe80::1%eth0]:9000"];
        let seeds = ["host", "host:1", "10.0.0.1", "[::1]:1", "[::1]", "::1", zoned[0], zoned[1]];
        let builder = seeds.into_iter().fold(Config::builder("a"), ConfigBuilder::seed);
        assert_eq!(builder.build().expect("valid").seeds, seeds);
    }

    #[test]
    fn bind_and_broadcast_take_a_zone_and_a_port() {
        let built = |builder: ConfigBuilder| builder.build().expect("valid");
        let config = built(Config::builder("a").bind("fe80::1%eth0"));
        assert_eq!(config.bind.to_string(), "fe80::1%eth0");
        assert_eq!(config.listen_port, 9000);
        let config = built(Config::builder("a").port(1).bind("[fe80::1%eth0]:2"));
        assert_eq!((config.bind.to_string().as_str(), config.listen_port), ("fe80::1%eth0", 2));
        let config = built(Config::builder("a").broadcast("[ff02::1%eth0]:7"));
        assert_eq!(config.broadcast[0].ip.to_string(), "ff02::1%eth0");
        assert_eq!(config.broadcast[0].port, Some(7));
        let two_ports = Config::builder("a").bind("10.0.0.1:2").listen_port(3).build();
        assert!(two_ports.expect_err("which?").to_string().contains("listen_port"));
    }

    #[test]
    fn a_link_local_address_without_a_zone_is_an_error_that_says_so() {
        let with = |set: fn(ConfigBuilder, &'static str) -> ConfigBuilder, text| {
            set(Config::builder("a"), text).build().expect_err("not valid").to_string()
        };
        let setters: [fn(ConfigBuilder, &'static str) -> ConfigBuilder; 3] =
            [ConfigBuilder::bind, ConfigBuilder::broadcast, ConfigBuilder::seed];
        for set in setters {
            for text in ["fe80::1", "[fe80::1]:9000"] {
                let error = with(set, text);
                assert!(error.contains(text) && error.contains("needs a zone"), "{error}");
            }
        }
    }

    #[test]
    fn a_node_listens_on_the_family_in_which_it_solicits() {
        let config = Config::builder("a").broadcast("ff02::1").build().expect("valid");
        assert_eq!(config.bind.to_string(), "::");
        let config = Config::builder("a").bind("fe80::1%eth0").build().expect("valid");
        assert_eq!(config.broadcast[0].ip.to_string(), "ff02::1");
        let config = Config::builder("a").bind("::").build().expect("valid");
        assert_eq!(config.broadcast[0].ip.to_string(), "255.255.255.255");
    }

    #[test]
    fn interfaces_are_chosen_by_name() {
        let config = Config::builder("a").interfaces(["eth0", "eth1"]).interfaces(["lo"]).build();
        assert_eq!(config.expect("valid").interfaces, ["eth0", "eth1", "lo"]);
        assert!(Config::builder("a").interfaces([""]).build().is_err());
        assert!(Config::builder("a").interfaces(["a\nb"]).build().is_err());
        assert!(Config::builder("a").interfaces(vec!["x"; INTERFACES_MAX + 1]).build().is_err());
    }

    #[test]
    fn the_error_names_the_option_that_is_not_valid() {
        let error = |builder: ConfigBuilder| builder.build().expect_err("not valid").to_string();
        assert!(error(Config::builder("a").degree(257)).contains("degree"));
        assert!(error(Config::builder("a").receive_buffer(0)).contains("receive_buffer"));
        assert!(error(Config::builder("a").max_message(0)).contains("max_message"));
        assert!(error(Config::builder("a").worker_threads(0)).contains("worker_threads"));
        assert!(error(Config::builder("a").msa_timeout(Duration::ZERO)).contains("msa_timeout"));
        assert!(error(Config::builder("a").broadcast("nowhere")).contains("nowhere"));
        for seed in ["", "h:99999", "h:0", "[::1", "a:b:1"] {
            assert!(error(Config::builder("a").seed(seed)).contains(&format!("{seed:?}")));
        }
        assert!(error(Config::builder("a b")).contains("' '"));
    }
}
