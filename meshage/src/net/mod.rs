//! The driver: the only code that knows sockets, tasks and clocks.
//!
//! ```text
//!  listen, dial ── connections ──► driver ──► Router (protocol/)
//!  udp ── solicitations ─────────►   │ ▲
//!                                    │ └── control frames ◄── link readers ◄── sockets
//!                                    ▼                             │
//!                        snapshot (fib) ──► Plane (forward/) ◄─────┘ data, acknowledgements
//!                                             │
//!                                             └──► Outbound ──► link writers ──► sockets
//! ```
//!
//! A message on its way through this node touches a reader, the data plane and a writer, and never
//! the control task. Whatever runs an application's code runs on the thread of [`dispatch`].

pub(crate) mod clock;
pub(crate) mod completion;
mod counters;
mod dial;
pub(crate) mod dispatch;
mod driver;
pub(crate) mod events;
mod fib;
pub(crate) mod fork;
mod handshake;
mod link;
mod listen;
pub(crate) mod shared;
pub(crate) mod sink;
mod socket;
mod udp;
#[cfg(unix)]
pub(crate) mod wakeup_fd;
mod write;

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
use self::udp::Udp;

/// Opens the sockets and starts the tasks, on the current runtime.
pub(crate) fn start(config: &Config) -> Result<Arc<Shared>, StartError> {
    let address = config.listen_addr();
    let bound = |error| bind_error(address, error);
    let listener = socket::listen(address).map_err(bound)?;
    let listener = TcpListener::from_std(listener).map_err(bound)?;
    let port = listener.local_addr().map_err(bound)?.port();
    let udp = Udp::open(config).map_err(|(address, error)| bind_error(address, error))?;

    let instance = clock::instance().map_err(StartError::Runtime)?;
    let seed = clock::seed().map_err(StartError::Runtime)?;
    let router = Router::new(RouterConfig::new(config, port), instance, seed, clock::now());
    let (orders, ordered) = mpsc::unbounded_channel();
    let shared = Shared::new(config, instance, port, router, orders);
    let driver = Driver::new(shared.clone(), udp, ordered);
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
