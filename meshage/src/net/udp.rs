//! Sends solicitations, and receives those of other nodes.
//!
//! ```text
//!  255.255.255.255, ff02::1 ──► once on each network of each interface, from the address there
//!  any other address ─────────► as the system routes it
//! ```
//!
//! Any number of nodes of one machine receive on the same port. A node that responds dials the
//! source address of the datagram, so each datagram is sent from an address on its own network. A
//! node that is bound to one address sends from that address.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::input::NetworkEvent;
use super::interfaces::{self, Interface, Source};
use super::shared::Shared;
use super::sys::descriptors::Descriptor;
use super::sys::socket;
use super::tasks::{self, inject};
use crate::address::ZonedIp;
use crate::config::Config;
use crate::protocol::io::Input;
use crate::secure::AuthError;
use crate::secure::datagram::{self, DatagramError};
use crate::wire::solicitation::{DATAGRAM_BYTES_MAX, Solicitation};

/// The pause after an error of a socket. Such errors come from the network and pass.
const ERROR_PAUSE: Duration = Duration::from_millis(100);
/// The most networks that one solicitation is sent on: more than machines have, and not so many
/// that the control task is busy with it: one takes 16 µs (256 veth interfaces, 2 cores).
const NETWORKS_MAX: usize = 256;
/// The most failures that an error lists.
const FAILURES_SHOWN_MAX: usize = 4;

/// Where solicitations go.
#[derive(Debug)]
enum Destination {
    /// Every network: this address, on each interface.
    Everywhere(IpAddr, u16),
    /// An address that the system routes.
    Address(ZonedIp, u16),
}

/// The sockets of one address family.
#[derive(Debug)]
struct DiscoverySocket {
    /// The first field, so that it is dropped before the socket is closed.
    _descriptor: Descriptor,
    v4: bool,
    receiver: Arc<UdpSocket>,
    /// The one address that the node is bound to.
    bind: Option<SocketAddr>,
    destinations: Vec<Destination>,
    /// The multicast groups that the receiver has joined, with the number of the interface.
    joined: Mutex<BTreeSet<(Ipv6Addr, u32)>>,
}

/// The discovery sockets of a node.
#[derive(Debug)]
pub(super) struct Udp {
    sockets: Vec<DiscoverySocket>,
    /// The names of the interfaces to send on; empty for all.
    chosen: Vec<String>,
}

/// What became of the datagrams of one solicitation.
#[derive(Debug, Default)]
struct Attempts {
    sent: usize,
    /// Where it was not sent, and why.
    failures: Vec<String>,
}

impl Udp {
    /// Opens the configured sockets; none for a mesh without a port. `bind` is the address on which
    /// the node listens.
    pub(super) fn open(config: &Config, bind: SocketAddr) -> Result<Self, (SocketAddr, io::Error)> {
        let mut sockets = Vec::new();
        for v4 in [true, false] {
            let of_family = config.broadcast.iter().filter(|to| to.ip.ip.is_ipv4() == v4);
            let destinations: Vec<_> = of_family
                .map(|to| Destination::new(to.ip.clone(), to.port.unwrap_or(config.port)))
                .collect();
            // A node receives IPv4 solicitations even if it sends none.
            if config.port == 0 || (!v4 && destinations.is_empty()) {
                continue;
            }
            let any: IpAddr =
                if v4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            let address = SocketAddr::new(any, config.port);
            let receiver = socket::bind_shared_udp(address)
                .and_then(UdpSocket::from_std)
                .map_err(|error| (address, error))?;
            sockets.push(DiscoverySocket {
                _descriptor: Descriptor::of(&receiver),
                v4,
                receiver: Arc::new(receiver),
                bind: (!bind.ip().is_unspecified() && bind.is_ipv4() == v4).then_some(bind),
                destinations,
                joined: Mutex::default(),
            });
        }
        let udp = Self { sockets, chosen: config.interfaces.clone() };
        if !udp.sockets.is_empty() {
            let interfaces = interfaces::list().unwrap_or_default();
            for interface in interfaces::missing(&interfaces, &udp.chosen) {
                tracing::warn!(interface, "no interface has this name yet, or it has no address");
            }
            udp.join_groups(&interfaces);
        }
        Ok(udp)
    }

    /// Sends a datagram to every broadcast address.
    ///
    /// # Errors
    /// It could not be sent to any of them, and why. A network that is unreachable now may be
    /// reachable later.
    pub(super) fn solicit(
        &self,
        solicitation: &Solicitation,
        shared: &Shared,
    ) -> Result<(), String> {
        if self.sockets.is_empty() {
            return Ok(());
        }
        let plain = solicitation.encode();
        // Each datagram of a closed mesh is sealed anew, because equal ones are replays.
        let datagram = || match &shared.security {
            Some(security) => Cow::Owned(security.seal_datagram(solicitation)),
            None => Cow::Borrowed(&plain[..]),
        };
        // A sandbox may forbid to list them. The system then chooses where a datagram goes.
        let interfaces = interfaces::list()
            .inspect_err(|error| tracing::debug!(%error, "the interfaces cannot be listed"))
            .ok();
        if let Some(interfaces) = &interfaces {
            self.join_groups(interfaces);
        }
        let mut attempts = Attempts::default();
        for socket in &self.sockets {
            for to in &socket.destinations {
                match (to, &interfaces) {
                    (Destination::Everywhere(ip, port), Some(interfaces)) => {
                        let networks = socket.networks(interfaces, &self.chosen);
                        if networks.is_empty() {
                            attempts.failures.push(socket.describe_lack(interfaces, &self.chosen));
                        }
                        let surplus = networks.len().saturating_sub(NETWORKS_MAX);
                        shared.counters.net_out_datagrams_limited.add(surplus);
                        for source in networks.iter().take(NETWORKS_MAX) {
                            let sent = send_on(source, *ip, *port, &datagram());
                            let place = || format!("{} ({})", source.name, source.ip);
                            attempts.record(sent, place, shared);
                        }
                    }
                    (Destination::Everywhere(ip, port), None) => {
                        let sent = socket.send_to(&ZonedIp::from(*ip), *port, &datagram());
                        attempts.record(sent, || ip.to_string(), shared);
                    }
                    (Destination::Address(ip, port), _) => {
                        let sent = socket.send_to(ip, *port, &datagram());
                        attempts.record(sent, || ip.to_string(), shared);
                    }
                }
            }
        }
        attempts.finish(shared.port_default)
    }

    /// Joins the multicast groups on interfaces that came up since the last call. A failure is no
    /// error: it is tried again after the next change, and at the next solicitation.
    pub(super) fn join_groups(&self, interfaces: &[Interface]) {
        for socket in self.sockets.iter().filter(|socket| !socket.v4) {
            socket.join_groups(interfaces, &self.chosen);
        }
    }

    /// As [`Udp::join_groups`], with a new list of the interfaces.
    pub(super) fn network_changed(&self) {
        if self.sockets.iter().any(|socket| !socket.v4) {
            self.join_groups(&interfaces::list().unwrap_or_default());
        }
    }

    /// The sockets to receive on.
    pub(super) fn receivers(&self) -> Vec<Arc<UdpSocket>> {
        self.sockets.iter().map(|socket| socket.receiver.clone()).collect()
    }
}

impl Destination {
    fn new(ip: ZonedIp, port: u16) -> Self {
        let everywhere = match ip.ip {
            IpAddr::V4(v4) => v4 == Ipv4Addr::BROADCAST,
            IpAddr::V6(v6) => v6.is_multicast() && ip.zone.is_none(),
        };
        if everywhere { Self::Everywhere(ip.ip, port) } else { Self::Address(ip, port) }
    }
}

impl DiscoverySocket {
    /// The networks to send on.
    fn networks(&self, interfaces: &[Interface], chosen: &[String]) -> Vec<Source> {
        interfaces::sources(interfaces, self.v4, self.bind, chosen)
    }

    /// Says in words that there is no network to send on.
    fn describe_lack(&self, interfaces: &[Interface], chosen: &[String]) -> String {
        interfaces::describe_lack(interfaces, self.v4, self.bind, chosen)
    }

    /// Sends to an address that the system routes.
    fn send_to(&self, ip: &ZonedIp, port: u16, datagram: &[u8]) -> io::Result<()> {
        let to = interfaces::resolve(ip, port)?;
        match self.bind {
            Some(mut from) => {
                from.set_port(0);
                let socket = socket::bind_source_udp(from)?;
                socket::set_multicast_interface(&socket, scope_of(to).max(scope_of(from)))?;
                socket.send_to(datagram, to)?;
            }
            None => {
                socket::set_multicast_interface(&*self.receiver, scope_of(to))?;
                self.receiver.try_send_to(datagram, to)?;
            }
        }
        Ok(())
    }

    fn join_groups(&self, interfaces: &[Interface], chosen: &[String]) {
        let mut joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        // A membership ends with its interface.
        joined.retain(|(_, index)| interfaces.iter().any(|interface| interface.index == *index));
        for to in &self.destinations {
            let (ip, indexes): (_, Vec<u32>) = match to {
                Destination::Everywhere(ip, _) => {
                    let networks = self.networks(interfaces, chosen);
                    (*ip, networks.iter().map(|source| source.index).collect())
                }
                Destination::Address(ip, port) => {
                    (ip.ip, interfaces::resolve(ip, *port).map(scope_of).into_iter().collect())
                }
            };
            let IpAddr::V6(group) = ip else { continue };
            for index in indexes {
                if !group.is_multicast() || joined.contains(&(group, index)) {
                    continue;
                }
                match self.receiver.join_multicast_v6(&group, index) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                    Err(error) => {
                        tracing::debug!(%group, index, %error, "a group cannot be joined yet");
                        continue;
                    }
                }
                joined.insert((group, index));
            }
        }
    }
}

impl Attempts {
    fn record(&mut self, sent: io::Result<()>, place: impl Fn() -> String, shared: &Shared) {
        shared.counters.net_out_datagrams.one();
        match sent {
            Ok(()) => self.sent += 1,
            Err(error) => {
                shared.counters.net_out_datagrams_failed.one();
                let place = place();
                tracing::debug!(place, %error, "solicitation not sent");
                self.failures.push(format!("{place}: {error}"));
            }
        }
    }

    fn finish(mut self, port: u16) -> Result<(), String> {
        if self.sent > 0 || self.failures.is_empty() {
            return Ok(());
        }
        let more = self.failures.len().saturating_sub(FAILURES_SHOWN_MAX);
        self.failures.truncate(FAILURES_SHOWN_MAX);
        if more > 0 {
            self.failures.push(format!("and {more} more"));
        }
        let failures = self.failures.join("; ");
        Err(format!(
            "{failures}; check the interfaces, and that no firewall blocks UDP port {port}"
        ))
    }
}

/// Sends on the network of one address. The socket is opened for this datagram alone: sends are
/// rare, and the address may be gone at the next one.
fn send_on(source: &Source, to: IpAddr, port: u16, datagram: &[u8]) -> io::Result<()> {
    let scope = interfaces::scope(source.ip, source.index);
    let socket = socket::bind_source_udp(ZonedIp::from(source.ip).with(0, scope))?;
    let to = match to {
        IpAddr::V4(_) => SocketAddr::new(socket::broadcast_address(source.broadcast).into(), port),
        IpAddr::V6(_) => {
            socket::set_multicast_interface(&socket, source.index)?;
            ZonedIp::from(to).with(port, source.index)
        }
    };
    socket.send_to(datagram, to).map(|_| ())
}

fn scope_of(address: SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) => address.scope_id(),
    }
}

/// Receives datagrams until the task is stopped.
pub(super) async fn run(
    socket: Arc<UdpSocket>,
    shared: Arc<Shared>,
    events: mpsc::Sender<NetworkEvent>,
) {
    let receive = || receive_all(&socket, &shared, &events);
    tasks::keep_running("discovery", &shared.counters, receive).await;
}

async fn receive_all(socket: &UdpSocket, shared: &Shared, events: &mpsc::Sender<NetworkEvent>) {
    // One byte more than the longest datagram, so that a longer one is detected by its length.
    let mut buffer = [0; DATAGRAM_BYTES_MAX + 1];
    loop {
        let (length, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "receiving a datagram failed");
                tokio::time::sleep(ERROR_PAUSE).await;
                continue;
            }
        };
        shared.counters.net_in_datagrams.one();
        inject::point("discovery", shared.name.as_str());
        let input = match open(&buffer[..length], shared) {
            Ok(solicitation) => Input::Solicited { from, solicitation },
            Err(Dropped::Counted) => continue,
            Err(Dropped::Denied(error)) => Input::Denied { from, dialled: false, error },
        };
        // Never waits for the queue, which is shared with the frames of links: a dropped
        // solicitation is repeated, a frame is not.
        if events.try_send(NetworkEvent::Input(input)).is_err() {
            shared.counters.net_in_datagrams_dropped.one();
        }
    }
}

/// A datagram that is no solicitation for this node, and was counted.
enum Dropped {
    /// There is nothing else to do.
    Counted,
    /// It is sealed under a key that this node does not have.
    Denied(AuthError),
}

/// Decodes a datagram, in a closed mesh after it was verified. Counts it if it has to be dropped.
fn open(datagram: &[u8], shared: &Shared) -> Result<Solicitation, Dropped> {
    let counters = &shared.counters;
    let counter = if datagram.len() > DATAGRAM_BYTES_MAX {
        &counters.net_in_datagrams_malformed
    } else if let Some(security) = &shared.security {
        match security.open_datagram(datagram) {
            Ok(solicitation) => return Ok(solicitation),
            Err(DatagramError::UnknownKey(id)) => {
                counters.net_in_datagrams_unknown_key.one();
                return Err(Dropped::Denied(security.no_common_key(id)));
            }
            Err(DatagramError::Plain) => &counters.net_in_datagrams_plain,
            Err(DatagramError::Malformed(_)) => &counters.net_in_datagrams_malformed,
            Err(DatagramError::NotAuthentic) => &counters.net_in_datagrams_forged,
            Err(DatagramError::Skewed) => &counters.net_in_datagrams_skewed,
            Err(DatagramError::Replayed) => &counters.net_in_datagrams_replayed,
            Err(DatagramError::WindowFull) => &counters.net_in_datagrams_limited,
        }
    } else if datagram::is_sealed(datagram) {
        &counters.net_in_datagrams_sealed
    } else {
        match Solicitation::decode(datagram) {
            Ok(solicitation) => return Ok(solicitation),
            Err(_) => &counters.net_in_datagrams_malformed,
        }
    };
    counter.one();
    Err(Dropped::Counted)
}
