//! The configuration of a node. Each default is a constant, and its comment states where the value
//! comes from. "The original" is minimega's Go package `meshage`.

#[cfg(feature = "net")]
use std::net::SocketAddr;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::address;
use crate::error::ConfigError;
use crate::name::{Namespace, NodeName};

/// How long a send waits for acknowledgements: 10 s, as in the original.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a node announces its links when nothing has changed: 10 s, as in the original.
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
/// The shortest MSA period. With a shorter one, a mesh is busy with its own announcements.
pub const MSA_TIMEOUT_MIN: Duration = Duration::from_millis(100);
/// The longest MSA period.
pub const MSA_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest version string, in bytes.
pub const VERSION_BYTES_MAX: usize = 256;

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
    pub(crate) broadcast: Vec<IpAddr>,
    pub(crate) bind: IpAddr,
    pub(crate) port: u16,
    pub(crate) listen_port: u16,
    pub(crate) version: String,
    pub(crate) timeout: Duration,
    pub(crate) msa_timeout: Duration,
    pub(crate) receive_buffer: usize,
    pub(crate) max_message: usize,
    pub(crate) worker_threads: usize,
    pub(crate) seeds: Vec<String>,
}

impl Config {
    /// Starts a configuration for a node with this name. Everything else has a default.
    pub fn builder(name: impl Into<String>) -> ConfigBuilder {
        ConfigBuilder {
            name: name.into(),
            namespace: String::new(),
            degree: 0,
            broadcast: Vec::new(),
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

    /// The address where the node listens for links.
    #[cfg(feature = "net")]
    pub(crate) fn listen_addr(&self) -> SocketAddr {
        SocketAddr::new(self.bind, self.listen_port)
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
    /// 127.255.255.255 reaches every node of this machine and no others.
    pub fn broadcast(mut self, ip: impl Into<String>) -> Self {
        self.broadcast.push(ip.into());
        self
    }

    /// The address to listen on. Default: 0.0.0.0. With an IPv6 address the node listens on IPv6
    /// (`::` accepts both).
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

    /// The MSA period: how often the node announces its links when nothing has changed. Default: 10
    /// s.
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

    /// Adds a seed: an address (`host`, `host:port`, `[v6]:port`) that the node dials until it has
    /// a link there, and again after that link breaks. The number of attempts is not limited.
    pub fn seed(mut self, address: impl Into<String>) -> Self {
        self.seeds.push(address.into());
        self
    }

    /// Checks and returns the configuration.
    ///
    /// # Errors
    /// [`ConfigError`], with the option and its valid values.
    pub fn build(self) -> Result<Config, ConfigError> {
        let ip = |text: &String| text.parse().map_err(|_| ConfigError::Address(text.clone()));
        let mut broadcast = self.broadcast.iter().map(ip).collect::<Result<Vec<_>, _>>()?;
        if broadcast.is_empty() {
            broadcast.push(Ipv4Addr::BROADCAST.into());
        }
        let bind = self.bind.as_ref().map_or(Ok(Ipv4Addr::UNSPECIFIED.into()), ip)?;
        for seed in &self.seeds {
            address::split(seed, DEFAULT_PORT).map_err(|_| ConfigError::Address(seed.clone()))?;
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
        Ok(Config {
            name: NodeName::new(&self.name)?,
            namespace: Namespace::new(&self.namespace)?,
            degree: self.degree,
            broadcast,
            bind,
            port: self.port,
            listen_port: self.listen_port.unwrap_or(self.port),
            version: self.version,
            timeout: self.timeout,
            msa_timeout: self.msa_timeout,
            receive_buffer: self.receive_buffer,
            max_message: self.max_message,
            worker_threads: self.worker_threads,
            seeds: self.seeds,
        })
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
        assert_eq!(config.broadcast, [IpAddr::V4(Ipv4Addr::BROADCAST)]);
        assert_eq!(config.timeout, Duration::from_secs(10));
    }

    #[test]
    fn every_form_of_address_is_a_valid_seed() {
        let seeds = ["host", "host:1", "10.0.0.1", "[::1]:1", "[::1]", "::1"];
        let builder = seeds.into_iter().fold(Config::builder("a"), ConfigBuilder::seed);
        assert_eq!(builder.build().expect("valid").seeds, seeds);
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
