//! The setup of sessions and publishers.

use std::net::{Ipv4Addr, TcpListener};

use peer_worker::{Result, Tls};
use zenoh::matching::MatchingStatus;
use zenoh::pubsub::Publisher;
use zenoh::qos::CongestionControl;
use zenoh::{Config, Session, Wait as _};

/// Prints that this process is ready, and its addresses. Then waits until standard input closes.
pub(crate) fn serve_until_stdin_closes(addresses: &[String]) -> Result<()> {
    peer_worker::print_ready(addresses);
    peer_worker::wait_for_stdin();
    Ok(())
}

/// The settings of sessions.
pub(crate) struct Peer {
    /// Whether to use the low-latency transport.
    pub(crate) low_latency: bool,
    /// The certificate, if the links use TLS.
    pub(crate) tls: Option<Tls>,
    /// The mode of a driver's session.
    pub(crate) driver_mode: &'static str,
}

impl Peer {
    /// A session that listens, and its address.
    pub(crate) fn listening(&self) -> Result<(Session, String)> {
        let address = self.free_address()?;
        let session = self.open("peer", &[], Some(&address))?;
        Ok((session, address))
    }

    /// A router that is connected to one session and listens, and its address.
    pub(crate) fn router(&self, to: &str) -> Result<(Session, String)> {
        let address = self.free_address()?;
        let session = self.open("router", &[to.to_owned()], Some(&address))?;
        Ok((session, address))
    }

    /// A session that is connected to these addresses.
    pub(crate) fn connected(&self, to: &[String]) -> Result<Session> {
        self.open(self.driver_mode, to, None)
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
            // These two settings exclude each other.
            ("transport/unicast/lowlatency", self.low_latency.to_string()),
            ("transport/unicast/qos/enabled", (!self.low_latency).to_string()),
        ] {
            config.insert_json5(key, &value)?;
        }
        if let Some(tls) = &self.tls {
            for (key, file) in [
                ("root_ca_certificate", tls.certificate()),
                ("listen_certificate", tls.certificate()),
                ("listen_private_key", tls.private_key()),
            ] {
                let key = format!("transport/link/tls/{key}");
                config.insert_json5(&key, &format!("{:?}", file.display().to_string()))?;
            }
        }
        zenoh::open(config).wait()
    }

    /// A free address to listen on. A session does not report a port that it chose itself.
    fn free_address(&self) -> Result<String> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let transport = if self.tls.is_some() { "tls" } else { "tcp" };
        Ok(format!("{transport}/127.0.0.1:{port}"))
    }
}

/// A publisher that drops nothing.
pub(crate) fn publisher(session: &Session, key: &'static str) -> Result<Publisher<'static>> {
    session.declare_publisher(key).congestion_control(CongestionControl::Block).wait()
}

/// Waits until the publisher has a subscriber.
pub(crate) fn wait_for_subscriber(publisher: &Publisher<'_>) -> Result<()> {
    let changes = publisher.matching_listener().wait()?;
    let mut matching = publisher.matching_status().wait()?.matching();
    while !matching {
        matching = changes.recv().map(|status: MatchingStatus| status.matching())?;
    }
    Ok(())
}
