//! The driver: the only code that uses sockets, tasks and clocks.
//!
//! ```text
//!  listen, dial ── connections ──► driver ──► Router (protocol/)
//!  udp ── solicitations ─────────►   │ ▲
//!                                    │ └── control frames ◄── readers ◄── transports
//!                                    ▼                           │
//!                        snapshot (links) ──► Plane (forward/) ◄─┘ data, acknowledgements
//!                                               │
//!                                               └──► Outbound ──► writers ──► transports
//! ```
//!
//! A message in transit passes a reader, the data plane and a writer, and never the control task.
//! The application's callbacks run on the thread of [`callback_thread`]. Only [`transport`]
//! depends on the kind of stream that a link uses. Calls that differ between operating systems are
//! in [`sys`].

mod callback_thread;
pub(crate) mod clock;
pub(crate) mod completion;
mod counters;
mod dial;
mod driver;
pub(crate) mod events;
mod handshake;
mod input;
mod interfaces;
mod known_hosts;
mod link;
mod links;
mod listen;
mod network_watch;
pub(crate) mod parker;
mod resolver;
pub(crate) mod security;
pub(crate) mod shared;
pub(crate) mod sink;
pub(crate) mod sys;
mod tasks;
#[cfg(test)]
mod tests;
mod transport;
mod udp;

pub(crate) use dial::DIAL_TIMEOUT;
pub(crate) use driver::CLOSE_TIMEOUT;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::Instrument as _;

use crate::config::Config;
use crate::error::StartError;
use crate::protocol::router::{Router, RouterConfig};

use self::driver::Driver;
use self::network_watch::NetworkWatch;
use self::security::Security;
use self::shared::Shared;
use self::transport::Listener;
use self::udp::Udp;

/// Opens the sockets and starts the tasks on the current runtime.
pub(crate) fn start(config: &Config) -> Result<Arc<Shared>, StartError> {
    let unresolved = |error| bind_error(config.bind.with(config.listen_port, 0), error);
    let address = interfaces::resolve(&config.bind, config.listen_port).map_err(unresolved)?;
    let failed = |error| bind_error(address, error);
    let listener = Listener::open(address).map_err(failed)?;
    let port = listener.port().map_err(failed)?;
    let udp = Udp::open(config, address).map_err(|(address, error)| bind_error(address, error))?;

    let security = config.security.as_ref().map(Security::new).transpose()?;
    let random = clock::instance().map_err(StartError::Runtime)?;
    let membership = security.as_ref().and_then(|security| security.membership(random.0));
    let instance = match &membership {
        Some(membership) => membership.instance(),
        None => random,
    };
    let seed = clock::seed().map_err(StartError::Runtime)?;
    let router_config = RouterConfig::new(config, port, membership);
    let router = Router::new(router_config, instance, seed, clock::now());
    let (requests, request_receiver) = mpsc::unbounded_channel();
    let shared = Shared::new(config, instance, port, router, security, requests);
    let network_watch = NetworkWatch::new();
    let driver = Driver::new(shared.clone(), udp, network_watch, request_receiver);
    match &shared.security {
        Some(security) => {
            let context = security.context();
            let (level, key) = (context.policy.level(), context.ring.primary().id());
            tracing::info!(parent: &shared.span, %instance, port, %level, %key, "started");
        }
        None => {
            let level = "open: everyone who reaches this port is a node";
            tracing::info!(parent: &shared.span, %instance, port, level, "started");
        }
    }
    let counters = shared.counters.clone();
    let task = async move {
        // If the control task panics, dropping the driver closes the node.
        let _ = tasks::observe("control", &counters, driver.run(listener)).await;
    };
    tokio::spawn(task.instrument(shared.span.clone()));
    Ok(shared)
}

fn bind_error(address: SocketAddr, error: io::Error) -> StartError {
    if error.kind() == io::ErrorKind::AddrInUse {
        StartError::AddressInUse(address)
    } else {
        StartError::Bind(address, error)
    }
}
