//! What a node is configured with. Each default is a constant that says where it comes from.

#[cfg(feature = "net")]
use std::net::SocketAddr;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::address;
use crate::error::ConfigError;
use crate::name::{Namespace, NodeName};

/// How long a send waits for acknowledgements: 10 s, the original's.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a node announces its links though nothing changed: 10 s, the original's.
pub const DEFAULT_MSA_TIMEOUT: Duration = Duration::from_secs(10);
/// TCP and UDP port: 9000, the original's.
pub const DEFAULT_PORT: u16 = 9000;
/// How many messages wait for the application at most: 1,024, the original's.
pub const RECEIVE_BUFFER: usize = 1024;
/// Up to this many nodes in the mesh, every eligible one answers a solicitation. The original's.
pub const SOLICIT_LIMIT: usize = 16;
/// In a larger mesh one node in so many answers. The original's.
pub const SOLICIT_RATIO: u32 = 8;
/// The largest body: 64 MiB, four times what any user of the original is known to send.
pub const MAX_MESSAGE: usize = 64 << 20;
/// Threads that move bytes for a node with a runtime of its own. With one, nobody is woken to look
/// for work: an acknowledged round trip between two nodes on one core took 35 µs, with two 46.
pub const WORKER_THREADS: usize = 1;
/// The most links a node keeps, however it came by them.
pub const LINKS_MAX: usize = 256;
/// The largest degree: as many as there may be links.
pub const DEGREE_MAX: u32 = LINKS_MAX as u32;
/// The shortest MSA period: below it a mesh talks of nothing but itself.
pub const MSA_TIMEOUT_MIN: Duration = Duration::from_millis(100);
/// The longest MSA period.
pub const MSA_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest version string, in bytes.
pub const VERSION_BYTES_MAX: usize = 256;

/// A checked configuration. Made by [`Config::builder`].
#[cfg_attr(not(feature = "net"), expect(dead_code, reason = "the driver reads the others"))]
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
    /// Starts a configuration for a node of this name. All else has a default.
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

    /// Where the node listens for links.
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
    /// Only nodes of one namespace join each other by themselves. Default: the empty one.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// How many links the node wants; with fewer it solicits. Default: 0, never.
    pub fn degree(mut self, degree: u32) -> Self {
        self.degree = degree;
        self
    }

    /// Adds an address to solicit at. Default, where none is given: 255.255.255.255.
    ///
    /// On one machine, 127.255.255.255 reaches every node of that machine and nobody else.
    pub fn broadcast(mut self, ip: impl Into<String>) -> Self {
        self.broadcast.push(ip.into());
        self
    }

    /// The address to listen at. Default: 0.0.0.0. An IPv6 address makes an IPv6 listener
    /// (`::` takes both kinds).
    pub fn bind(mut self, ip: impl Into<String>) -> Self {
        self.bind = Some(ip.into());
        self
    }

    /// The port of the mesh, for TCP and UDP. Default: 9000. 0 takes any free TCP port and never
    /// hears a solicitation.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The TCP port alone, so that many nodes share a machine; 0 takes any free one. Default: `port`.
    pub fn listen_port(mut self, port: u16) -> Self {
        self.listen_port = Some(port);
        self
    }

    /// The application's version; a peer's other one is a warning, nothing more. Default: empty.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// How long a send waits for acknowledgements. Default: 10 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The MSA period: how often the node announces its links though nothing changed. Default: 10 s.
    pub fn msa_timeout(mut self, period: Duration) -> Self {
        self.msa_timeout = period;
        self
    }

    /// How many messages wait for the application at most. Default: 1,024.
    pub fn receive_buffer(mut self, messages: usize) -> Self {
        self.receive_buffer = messages;
        self
    }

    /// The largest body sent or received, in bytes. Default: 64 MiB.
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// Threads of a node with a runtime of its own (blocking, C, Python). Default: 1.
    pub fn worker_threads(mut self, threads: usize) -> Self {
        self.worker_threads = threads;
        self
    }

    /// Adds an address (`host`, `host:port`, `[v6]:port`) that is dialled until it is linked, for
    /// ever, also after the link broke.
    pub fn seed(mut self, address: impl Into<String>) -> Self {
        self.seeds.push(address.into());
        self
    }

    /// Checks the configuration.
    ///
    /// # Errors
    /// [`ConfigError`], which names the option and says what it takes.
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

/// Whether an MSA period is one that a node takes.
pub(crate) fn valid_msa_timeout(period: Duration) -> bool {
    (MSA_TIMEOUT_MIN..=MSA_TIMEOUT_MAX).contains(&period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_originals() {
        let config = Config::builder("a").build().expect("valid");
        assert_eq!(config.port, 9000);
        assert_eq!(config.listen_port, 9000);
        assert_eq!(config.broadcast, [IpAddr::V4(Ipv4Addr::BROADCAST)]);
        assert_eq!(config.timeout, Duration::from_secs(10));
    }

    #[test]
    fn a_seed_is_whatever_can_be_dialled() {
        let seeds = ["host", "host:1", "10.0.0.1", "[::1]:1", "[::1]", "::1"];
        let builder = seeds.into_iter().fold(Config::builder("a"), ConfigBuilder::seed);
        assert_eq!(builder.build().expect("valid").seeds, seeds);
    }

    #[test]
    fn every_option_out_of_range_is_named() {
        let refused = |builder: ConfigBuilder| builder.build().expect_err("refused").to_string();
        assert!(refused(Config::builder("a").degree(257)).contains("degree"));
        assert!(refused(Config::builder("a").receive_buffer(0)).contains("receive_buffer"));
        assert!(refused(Config::builder("a").max_message(0)).contains("max_message"));
        assert!(refused(Config::builder("a").worker_threads(0)).contains("worker_threads"));
        assert!(refused(Config::builder("a").msa_timeout(Duration::ZERO)).contains("msa_timeout"));
        assert!(refused(Config::builder("a").broadcast("nowhere")).contains("nowhere"));
        for seed in ["", "h:99999", "h:0", "[::1", "a:b:1"] {
            assert!(refused(Config::builder("a").seed(seed)).contains(&format!("{seed:?}")));
        }
        assert!(refused(Config::builder("a b")).contains("' '"));
    }
}
