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
mod link;
mod links;
mod listen;
pub(crate) mod shared;
pub(crate) mod sink;
pub(crate) mod sys;
mod transport;
mod udp;

pub(crate) use dial::DIAL_TIMEOUT;
pub(crate) use driver::CLOSE_TIMEOUT;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tracing::Instrument as _;

use crate::config::Config;
use crate::error::StartError;
use crate::protocol::router::{Router, RouterConfig};

use self::driver::Driver;
use self::shared::Shared;
use self::sys::socket;
use self::udp::Udp;

/// Opens the sockets and starts the tasks on the current runtime.
pub(crate) fn start(config: &Config) -> Result<Arc<Shared>, StartError> {
    let address = config.listen_addr();
    let failed = |error| bind_error(address, error);
    let listener = socket::listen_tcp(address).map_err(failed)?;
    let listener = TcpListener::from_std(listener).map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    let udp = Udp::open(config).map_err(|(address, error)| bind_error(address, error))?;

    let instance = clock::instance().map_err(StartError::Runtime)?;
    let seed = clock::seed().map_err(StartError::Runtime)?;
    let router = Router::new(RouterConfig::new(config, port), instance, seed, clock::now());
    let (requests, request_receiver) = mpsc::unbounded_channel();
    let shared = Shared::new(config, instance, port, router, requests);
    let driver = Driver::new(shared.clone(), udp, request_receiver);
    tracing::info!(parent: &shared.span, %instance, port, "started");
    tokio::spawn(driver.run(listener).instrument(shared.span.clone()));
    Ok(shared)
}

fn bind_error(address: SocketAddr, error: io::Error) -> StartError {
    if error.kind() == io::ErrorKind::AddrInUse {
        StartError::AddressInUse(address)
    } else {
        StartError::Bind(address, error)
    }
}
