//! Sends solicitations to every broadcast address, and receives those of other nodes.
//!
//! Any number of nodes of one machine receive on the same port. A node that is bound to one address
//! sends from that address, because a node that responds dials the source address of the datagram.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::input::NetworkEvent;
use super::shared::Shared;
use super::sys::descriptors::Descriptor;
use super::sys::socket;
use super::tasks::{self, inject};
use crate::config::Config;
use crate::protocol::io::Input;
use crate::wire::solicitation::{DATAGRAM_BYTES_MAX, Solicitation};

/// The pause after an error of a socket. Such errors come from the network and pass.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// The sockets of one address family.
#[derive(Debug)]
struct DiscoverySocket {
    /// The first field, so that it is dropped before the sockets are closed.
    _descriptors: [Descriptor; 2],
    receiver: Arc<UdpSocket>,
    sender: Arc<UdpSocket>,
    destinations: Vec<SocketAddr>,
}

/// The discovery sockets of a node.
#[derive(Debug)]
pub(super) struct Udp {
    sockets: Vec<DiscoverySocket>,
    failed_before: AtomicBool,
}

impl Udp {
    /// Opens the configured sockets; none for a mesh without a port.
    pub(super) fn open(config: &Config) -> Result<Self, (SocketAddr, io::Error)> {
        let mut sockets = Vec::new();
        if config.port != 0 {
            let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) =
                config.broadcast.iter().partition(|address| address.is_ipv4());
            let any_v4 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            let any_v6 = (!v6.is_empty()).then_some(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
            for (any, destinations) in [(Some(any_v4), v4), (any_v6, v6)] {
                let Some(any) = any else { continue };
                let address = SocketAddr::new(any, config.port);
                let socket = DiscoverySocket::open(address, config, &destinations)
                    .map_err(|error| (address, error))?;
                sockets.push(socket);
            }
        }
        Ok(Self { sockets, failed_before: AtomicBool::new(false) })
    }

    /// Sends a datagram to every broadcast address. A failure is only counted and logged: a network
    /// that is unreachable now may be reachable later.
    pub(super) fn solicit(&self, solicitation: &Solicitation, shared: &Shared) {
        let datagram = solicitation.encode();
        for socket in &self.sockets {
            for to in &socket.destinations {
                shared.counters.net_out_datagrams.one();
                let Err(error) = socket.sender.try_send_to(&datagram, *to) else { continue };
                shared.counters.net_out_datagrams_failed.one();
                if !self.failed_before.swap(true, Ordering::Relaxed) {
                    tracing::debug!(%to, %error, "solicitation not sent");
                }
            }
        }
    }

    /// The sockets to receive on.
    pub(super) fn receivers(&self) -> Vec<Arc<UdpSocket>> {
        self.sockets.iter().map(|socket| socket.receiver.clone()).collect()
    }
}

impl DiscoverySocket {
    fn open(address: SocketAddr, config: &Config, destinations: &[IpAddr]) -> io::Result<Self> {
        let receiver = socket::bind_shared_udp(address)?;
        for group in destinations {
            if let IpAddr::V6(group) = group
                && group.is_multicast()
            {
                receiver.join_multicast_v6(group, 0)?;
            }
        }
        let receiver = Arc::new(UdpSocket::from_std(receiver)?);
        let bound_to_one_address =
            !config.bind.is_unspecified() && config.bind.is_ipv4() == address.is_ipv4();
        let sender = if bound_to_one_address {
            Arc::new(UdpSocket::from_std(socket::bind_source_udp(config.bind)?)?)
        } else {
            receiver.clone()
        };
        let destinations =
            destinations.iter().map(|&ip| SocketAddr::new(ip, config.port)).collect();
        let _descriptors = [Descriptor::of(&receiver), Descriptor::of(&sender)];
        Ok(Self { _descriptors, receiver, sender, destinations })
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
        if length > DATAGRAM_BYTES_MAX {
            shared.counters.net_in_datagrams_malformed.one();
            continue;
        }
        let Ok(solicitation) = Solicitation::decode(&buffer[..length]) else {
            shared.counters.net_in_datagrams_malformed.one();
            continue;
        };
        let input = Input::Solicited { from, solicitation };
        // Never waits for the queue, which is shared with the frames of links: a dropped
        // solicitation is repeated, a frame is not.
        if events.try_send(NetworkEvent::Input(input)).is_err() {
            shared.counters.net_in_datagrams_dropped.one();
        }
    }
}
