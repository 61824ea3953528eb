//! The bench's worker for ZeroMQ: libzmq over loopback TCP, blocking sockets, one I/O thread a
//! process, as its guide shows it.
//!
//! ```text
//!  set_rtt                      REQ ────────► REP
//!  set_64, set_window, large    DEALER ─────► ROUTER        so many requests under way
//!  stream_unacked, recv_many    PUSH ───────► PULL          and what came back to the pusher
//!  fanout                       XPUB ───────► 16 × SUB      in one process
//! ```
//!
//! `zeromq version` says which libzmq it is.

mod fanout;
mod request;
mod stream;
mod window;

use peer_worker::{Job, LARGE, LARGE_WINDOW, Result, Role, SMALL};
use zmq::{Context, Socket, SocketType};

fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some("version") {
        let (major, minor, patch) = zmq::version();
        println!("libzmq {major}.{minor}.{patch}");
        return Ok(());
    }
    let job = Job::from_arguments()?;
    let peer = Peer::new();
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
        ("stream_unacked" | "recv_many", Role::Serve) => stream::serve(&peer),
        ("stream_unacked" | "recv_many", Role::Drive) => {
            stream::drive(&peer, job.address(0)?, job.address(1)?)
        }
        ("fanout", Role::Serve) => fanout::serve(&peer),
        ("fanout", Role::Drive) => fanout::drive(&peer, &job),
        (_, Role::Serve | Role::Relay | Role::Drive) => job.unknown(),
    }
}

/// The body of every small message.
const BODY: [u8; SMALL] = [b'x'; SMALL];

/// A process's context, and how sockets are made of it.
struct Peer(Context);

impl Peer {
    fn new() -> Self {
        Self(Context::new())
    }

    /// A socket without high-water marks: ROUTER and PUB drop silently at theirs, so what is under
    /// way is bounded by the worker, not by them.
    fn socket(&self, kind: SocketType) -> Result<Socket> {
        let socket = self.0.socket(kind)?;
        socket.set_sndhwm(0)?;
        socket.set_rcvhwm(0)?;
        socket.set_linger(0)?;
        Ok(socket)
    }

    /// The same, reached at a free port; and where that is.
    fn bound(&self, kind: SocketType) -> Result<(Socket, String)> {
        let socket = self.socket(kind)?;
        socket.bind("tcp://127.0.0.1:*")?;
        let address = socket.get_last_endpoint()?.map_err(|_| "an address that is no text")?;
        Ok((socket, address))
    }

    /// The same, connected.
    fn connected(&self, kind: SocketType, address: &str) -> Result<Socket> {
        let socket = self.socket(kind)?;
        socket.connect(address)?;
        Ok(socket)
    }
}
