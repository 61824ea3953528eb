//! The bench's worker for ZeroMQ: libzmq over loopback TCP, blocking sockets, one I/O thread a
//! process, as in its guide.
//!
//! ```text
//!  set_rtt                      REQ ────────► REP
//!  set_64, set_window, large    DEALER ─────► ROUTER        a window of outstanding requests
//!  stream_unacked, recv_many    PUSH ───────► PULL          and a report back to the pusher
//!  fanout                       XPUB ───────► 16 × SUB      in one process
//! ```
//!
//! With `curve=1`, the connections of the first two rows are encrypted with CURVE. `ready` then prints
//! the server's public key after its address.
//!
//! `zeromq version` prints the version of libzmq.

mod fanout;
mod request;
mod socket;
mod stream;
mod window;

use peer_worker::{Job, LARGE, LARGE_WINDOW, Result, Role};
use socket::Peer;

fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some("version") {
        let (major, minor, patch) = zmq::version();
        println!("libzmq {major}.{minor}.{patch}");
        return Ok(());
    }
    let job = Job::from_arguments()?;
    let curve = job.number("curve", 0)? == 1;
    let peer = Peer::new(curve)?;
    match (job.case.as_str(), job.role) {
        ("set_rtt", Role::Serve) => request::serve(&peer),
        ("set_rtt", Role::Drive) => request::drive(&peer, job.address(0)?),
        ("set_64" | "set_window" | "large" | "memory", Role::Serve) => window::serve(&peer),
        ("set_64", Role::Drive) => window::small(&peer, job.address(0)?, job.number("window", 64)?),
        ("set_window", Role::Drive) => {
            window::small(&peer, job.address(0)?, job.number("window", 1000)?)
        }
        ("large", Role::Drive) => {
            let size = job.number("size", LARGE)?;
            window::large(&peer, job.address(0)?, job.number("window", LARGE_WINDOW)?, size)
        }
        ("memory", Role::Drive) => window::hold(&peer, job.address(0)?, job.number("links", 16)?),
        _ if curve => job.unsupported(),
        ("stream_unacked" | "recv_many", Role::Serve) => stream::serve(&peer),
        ("stream_unacked" | "recv_many", Role::Drive) => {
            stream::drive(&peer, job.address(0)?, job.address(1)?)
        }
        ("fanout", Role::Serve) => fanout::serve(&peer),
        ("fanout", Role::Drive) => fanout::drive(&peer, &job),
        (_, Role::Serve | Role::Relay | Role::Drive) => job.unsupported(),
    }
}
