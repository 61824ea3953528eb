//! The bench's worker for Zenoh: sessions in peer mode over loopback TCP, without scouting. The
//! addresses alone determine the topology.
//!
//! ```text
//!  set_rtt, relay_rtt     put ─────► subscriber that puts back
//!  set_64, set_window     query ───► queryable that replies      concurrent tasks, one query each
//!  stream_unacked,        put ─────► subscriber that counts
//!  recv_many
//!  large                  put ─────► subscriber that puts an acknowledgement back
//!  fanout                 put ─────► 16 sessions in one process
//!  relay                  a session in router mode between the two
//! ```
//!
//! Each case uses the setting that was faster when both were measured. Round trips and the fan-out use
//! the low-latency transport, which neither batches nor takes large bodies: a put and a put back take
//! 49 µs on one core, and 56 µs over the default transport. All other cases use the default transport:
//! 3.4 M messages a second instead of 0.43. A put and a put back take less time than a query and its
//! reply (75 µs). The options `lowlatency=0|1` and `query=1` select the other settings. With `tls=FOLDER`,
//! the links use TLS.

mod fanout;
mod query;
mod session;
mod stream;
mod trip;

use std::time::Duration;

use peer_worker::{Figures, Job, LARGE, LARGE_WINDOW, Result, Role};
use session::{Peer, serve_until_stdin_closes};
use zenoh::Session;

fn main() -> Result<()> {
    let job = Job::from_arguments()?;
    let small = match job.case.as_str() {
        "set_rtt" | "relay_rtt" | "fanout" => 1,
        _ => 0,
    };
    let peer = Peer {
        low_latency: job.number("lowlatency", small)? == 1,
        tls: job.tls(),
        // A router forwards messages of a peer to its clients, but not to other peers.
        driver_mode: if job.case == "relay_rtt" { "client" } else { "peer" },
    };
    match (job.case.as_str(), job.role) {
        ("set_rtt" | "set_64" | "set_window" | "relay_rtt" | "memory", Role::Serve) => {
            let (session, address) = peer.listening()?;
            trip::echo(&session)?;
            query::reply(&session)?;
            serve_until_stdin_closes(&[address])
        }
        ("relay_rtt", Role::Relay) => {
            let (_router, address) = peer.router(job.address(0)?)?;
            serve_until_stdin_closes(&[address])
        }
        ("set_rtt" | "relay_rtt", Role::Drive) => {
            let session = peer.connected(&job.to)?;
            if job.number("query", 0)? == 1 { query::one(&session) } else { trip::one(&session) }
        }
        ("set_64" | "set_window", Role::Drive) => {
            query::many(&peer.connected(&job.to)?, job.number("window", 1000)?)
        }
        ("stream_unacked" | "recv_many" | "large", Role::Serve) => {
            let (session, address) = peer.listening()?;
            stream::receive(&session)?;
            serve_until_stdin_closes(&[address])
        }
        ("stream_unacked" | "recv_many", Role::Drive) => stream::small(&peer.connected(&job.to)?),
        ("large", Role::Drive) => {
            let (size, window) = (job.number("size", LARGE)?, job.number("window", LARGE_WINDOW)?);
            stream::large(&peer.connected(&job.to)?, size, window)
        }
        ("fanout", Role::Serve) => fanout::serve(&peer, job.number("neighbours", 16)?),
        ("fanout", Role::Drive) => fanout::drive(&peer.connected(&job.to)?),
        ("memory", Role::Drive) => {
            let links = 0..job.number("links", 0)?;
            let _held: Vec<Session> =
                links.map(|_| peer.connected(&job.to)).collect::<Result<_>>()?;
            peer_worker::run_rounds(|_| Ok(Figures::messages(0, Duration::from_secs(1))))
        }
        (_, Role::Serve | Role::Relay | Role::Drive) => job.unsupported(),
    }
}
