//! The bench's worker for Zenoh: sessions in peer mode over loopback TCP, without scouting, whose
//! topology is what the addresses say.
//!
//! ```text
//!  set_rtt, relay_rtt     put ─────► subscriber that puts back
//!  set_64, set_window     query ───► queryable that replies      so many tasks, a query each
//!  stream_unacked,        put ─────► subscriber that counts
//!  recv_many
//!  large                  put ─────► subscriber that puts an acknowledgement back
//!  fanout                 put ─────► 16 sessions in one process
//!  relay                  a session in router mode between the two
//! ```
//!
//! Each case has the setting that was fastest when both were tried: the low-latency transport, which
//! neither batches nor takes large bodies, for round trips and the fan-out (a put and a put back
//! in 49 µs on one core, 56 over the default transport), the default one for all else (3.4 M messages
//! a second against 0.43). Of its two ways to ask and be answered, a put and a put back take less than a
//! query and its reply (75 µs). `lowlatency=0|1` and `query=1` show the others.

mod fanout;
mod query;
mod stream;
mod trip;

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use peer_worker::{Figures, Job, LARGE, LARGE_WINDOW, Result, Role};
use zenoh::matching::MatchingStatus;
use zenoh::pubsub::Publisher;
use zenoh::qos::CongestionControl;
use zenoh::{Config, Session, Wait as _};

fn main() -> Result<()> {
    let job = Job::from_arguments()?;
    let small = match job.case.as_str() {
        "set_rtt" | "relay_rtt" | "fanout" => 1,
        _ => 0,
    };
    let peer = Peer {
        low_latency: job.number("lowlatency", small)? == 1,
        // A router passes on what a peer sends to its clients, not to other peers.
        driver: if job.case == "relay_rtt" { "client" } else { "peer" },
    };
    match (job.case.as_str(), job.role) {
        ("set_rtt" | "set_64" | "set_window" | "relay_rtt" | "memory", Role::Serve) => {
            let (session, address) = peer.reached()?;
            trip::answer(&session)?;
            query::answer(&session)?;
            stay(&[address])
        }
        ("relay_rtt", Role::Relay) => {
            let (_router, address) = peer.between(job.address(0)?)?;
            stay(&[address])
        }
        ("set_rtt" | "relay_rtt", Role::Drive) => {
            let session = peer.connected(&job.to)?;
            if job.number("query", 0)? == 1 { query::one(&session) } else { trip::one(&session) }
        }
        ("set_64" | "set_window", Role::Drive) => {
            query::many(&peer.connected(&job.to)?, job.number("window", 1000)?)
        }
        ("stream_unacked" | "recv_many" | "large", Role::Serve) => {
            let (session, address) = peer.reached()?;
            stream::take(&session)?;
            stay(&[address])
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
            peer_worker::rounds(|_| Ok(Figures::messages(0, Duration::from_secs(1))))
        }
        (_, Role::Serve | Role::Relay | Role::Drive) => job.unknown(),
    }
}

/// Says where this process is reached, and waits for its end.
fn stay(addresses: &[String]) -> Result<()> {
    peer_worker::reached_at(addresses);
    peer_worker::wait_for_stdin();
    Ok(())
}

/// How sessions are set up.
struct Peer {
    low_latency: bool,
    /// The mode of a driver.
    driver: &'static str,
}

impl Peer {
    /// A session that others connect to, and where they do.
    fn reached(&self) -> Result<(Session, String)> {
        let address = free_address()?;
        let session = self.open("peer", &[], Some(&address))?;
        Ok((session, address))
    }

    /// A router that is connected to one session and that others connect to.
    fn between(&self, to: &str) -> Result<(Session, String)> {
        let address = free_address()?;
        let session = self.open("router", &[to.to_owned()], Some(&address))?;
        Ok((session, address))
    }

    /// A session that is connected to these.
    fn connected(&self, to: &[String]) -> Result<Session> {
        self.open(self.driver, to, None)
    }

    fn open(&self, mode: &str, to: &[String], at: Option<&str>) -> Result<Session> {
        let mut config = Config::default();
        let listen: Vec<&str> = at.into_iter().collect();
        for (key, value) in [
            ("mode", format!("{mode:?}")),
            ("connect/endpoints", format!("{to:?}")),
            ("listen/endpoints", format!("{listen:?}")),
            ("scouting/multicast/enabled", "false".to_owned()),
            ("scouting/gossip/enabled", "false".to_owned()),
            // The two exclude each other.
            ("transport/unicast/lowlatency", self.low_latency.to_string()),
            ("transport/unicast/qos/enabled", (!self.low_latency).to_string()),
        ] {
            config.insert_json5(key, &value)?;
        }
        zenoh::open(config).wait()
    }
}

/// Where a session can listen: its own choice of a port is not to be asked for.
fn free_address() -> Result<String> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    Ok(format!("tcp/127.0.0.1:{port}"))
}

/// A publisher that drops nothing.
fn publisher(session: &Session, key: &'static str) -> Result<Publisher<'static>> {
    session.declare_publisher(key).congestion_control(CongestionControl::Block).wait()
}

/// Waits until somebody takes what the publisher puts.
fn wait_for_subscriber(publisher: &Publisher<'_>) -> Result<()> {
    let changes = publisher.matching_listener().wait()?;
    let mut matching = publisher.matching_status().wait()?.matching();
    while !matching {
        matching = changes.recv().map(|status: MatchingStatus| status.matching())?;
    }
    Ok(())
}
