//! Solicitations, out to every broadcast address and in from everybody.
//!
//! Any number of nodes of one machine hear on the same port. A node that is bound to one address
//! calls from that address, since whoever hears it dials where the call came from.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::driver::Incoming;
use super::shared::Shared;
use super::socket;
use crate::config::Config;
use crate::protocol::io::Input;
use crate::wire::solicitation::{DATAGRAM_BYTES_MAX, Solicitation};

/// How long to wait after an error of the socket, which is the network's and passes.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// The sockets for one kind of address.
#[derive(Debug)]
struct DiscoverySocket {
    hears: Arc<UdpSocket>,
    calls: Arc<UdpSocket>,
    to: Vec<SocketAddr>,
}

/// How a node calls and hears.
#[derive(Debug)]
pub(super) struct Udp {
    voices: Vec<DiscoverySocket>,
    failed_before: AtomicBool,
}

impl Udp {
    /// Opens what the configuration wants; nothing for a mesh without a port.
    pub(super) fn open(config: &Config) -> Result<Self, (SocketAddr, io::Error)> {
        let mut voices = Vec::new();
        if config.port != 0 {
            let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) =
                config.broadcast.iter().partition(|address| address.is_ipv4());
            let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            for (like, to) in [(Some(any), v4), (v6.first().copied(), v6)] {
                let Some(like) = like else { continue };
                let address = SocketAddr::new(socket::unspecified(like), config.port);
                let voice = DiscoverySocket::open(address, config, &to)
                    .map_err(|error| (address, error))?;
                voices.push(voice);
            }
        }
        Ok(Self { voices, failed_before: AtomicBool::new(false) })
    }

    /// Sends a datagram to every broadcast address. A network that does not take it may later.
    pub(super) fn call(&self, solicitation: &Solicitation, shared: &Shared) {
        let datagram = solicitation.encode();
        for voice in &self.voices {
            for to in &voice.to {
                shared.counters.net_out_datagrams.one();
                let Err(error) = voice.calls.try_send_to(&datagram, *to) else { continue };
                shared.counters.net_out_datagrams_failed.one();
                if !self.failed_before.swap(true, Ordering::Relaxed) {
                    tracing::debug!(%to, %error, "solicitation not sent");
                }
            }
        }
    }

    /// The sockets to hear on.
    pub(super) fn ears(&self) -> Vec<Arc<UdpSocket>> {
        self.voices.iter().map(|voice| voice.hears.clone()).collect()
    }
}

impl DiscoverySocket {
    fn open(address: SocketAddr, config: &Config, to: &[IpAddr]) -> io::Result<Self> {
        let hears = socket::hear(address)?;
        for group in to {
            if let IpAddr::V6(group) = group
                && group.is_multicast()
            {
                hears.join_multicast_v6(group, 0)?;
            }
        }
        let hears = Arc::new(UdpSocket::from_std(hears)?);
        let one_address =
            !config.bind.is_unspecified() && config.bind.is_ipv4() == address.is_ipv4();
        let calls = if one_address {
            Arc::new(UdpSocket::from_std(socket::call_from(config.bind)?)?)
        } else {
            hears.clone()
        };
        let to = to.iter().map(|&ip| SocketAddr::new(ip, config.port)).collect();
        Ok(Self { hears, calls, to })
    }
}

/// Hears for ever.
pub(super) async fn run(
    ear: Arc<UdpSocket>,
    shared: Arc<Shared>,
    incoming: mpsc::Sender<Incoming>,
) {
    // One byte more than a datagram takes, so that a longer one is known by its length.
    let mut buffer = [0; DATAGRAM_BYTES_MAX + 1];
    loop {
        let (length, from) = match ear.recv_from(&mut buffer).await {
            Ok(heard) => heard,
            Err(error) => {
                tracing::debug!(%error, "no datagram heard");
                tokio::time::sleep(ERROR_PAUSE).await;
                continue;
            }
        };
        shared.counters.net_in_datagrams.one();
        if length > DATAGRAM_BYTES_MAX {
            shared.counters.net_in_datagrams_malformed.one();
            continue;
        }
        let Ok(solicitation) = Solicitation::decode(&buffer[..length]) else {
            shared.counters.net_in_datagrams_malformed.one();
            continue;
        };
        let input = Input::Solicited { from, solicitation };
        // A call is repeated; a link's frames, which use the same way, are not.
        if incoming.try_send(Incoming::Input(input)).is_err() {
            shared.counters.net_in_datagrams_dropped.one();
        }
    }
}
