//! The datagrams of closed meshes, over real sockets.
#![allow(clippy::disallowed_methods, reason = "these tests run in real time")]
#![cfg(feature = "net")]

mod common;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{count, name, soon, start, udp_port, until};
use meshage::name::{Instance, Namespace};
use meshage::secure::datagram::{HEADER_BYTES, seal};
use meshage::secure::{Key, UnixMillis};
use meshage::wire::solicitation::Solicitation;
use meshage::{Config, ConfigBuilder, Event, Node};
use tokio::net::UdpSocket;

const NAMESPACE: &str = "secret-space";
/// The counters of datagrams that were dropped.
const DROPPED: [&str; 8] = [
    "net_in_datagrams_malformed",
    "net_in_datagrams_sealed",
    "net_in_datagrams_plain",
    "net_in_datagrams_unknown_key",
    "net_in_datagrams_forged",
    "net_in_datagrams_skewed",
    "net_in_datagrams_replayed",
    "net_in_datagrams_limited",
];

fn key(number: u8) -> Key {
    Key::from_bytes(&[number; 32])
}

/// A node of the namespace that receives datagrams on the port.
fn receiving(node: &str, port: u16) -> ConfigBuilder {
    Config::builder(node)
        .namespace(NAMESPACE)
        .bind("127.0.0.1")
        .broadcast("127.0.0.1:9")
        .port(port)
        .listen_port(0)
}

/// A node, and a socket from which it gets datagrams.
struct Receiver {
    node: Node,
    socket: UdpSocket,
    to: SocketAddr,
}

impl Receiver {
    async fn start(configure: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> Self {
        let port = udp_port();
        let node = start(configure(receiving("receiver", port))).await;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
        Self { node, socket, to: (Ipv4Addr::LOCALHOST, port).into() }
    }

    /// Sends a datagram, and waits until this counter, and none of the others, has counted it.
    async fn counts(&self, datagram: &[u8], counter: &str) {
        let counters = || DROPPED.into_iter().chain(["solicitations_received"]);
        let values = || counters().map(|name| (name, count(&self.node, name)));
        let mut expected: Vec<_> = values().collect();
        expected.iter_mut().filter(|(name, _)| *name == counter).for_each(|(_, value)| *value += 1);
        self.socket.send_to(datagram, self.to).await.expect("sent");
        let before = expected.clone();
        until(counter, || values().any(|value| before.contains(&value) && value.0 == counter))
            .await;
        assert_eq!(values().collect::<Vec<_>>(), expected);
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64
}

fn solicitation(instance: u64) -> Solicitation {
    Solicitation {
        namespace: Namespace::new(NAMESPACE).expect("valid"),
        name: name("the-sender"),
        instance: Instance(instance),
        // Nobody listens there.
        port: 1,
        wanted: 1,
    }
}

/// A datagram that was sealed at a time. Each has another instance and another nonce.
fn sealed(number: u8, under: &Key, millis: u64) -> Vec<u8> {
    let solicitation = solicitation(number.into());
    seal(&solicitation, under, UnixMillis(millis), &mut |bytes| bytes.fill(number))
}

/// The first datagram that a node sends.
async fn captured(configure: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> Vec<u8> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
    let to = socket.local_addr().expect("bound").to_string();
    let config = Config::builder("the-sender").namespace(NAMESPACE).degree(1);
    let config = config.bind("127.0.0.1").broadcast(to).port(udp_port()).listen_port(0);
    let _node = start(configure(config)).await;
    let mut buffer = [0; 2048];
    let (length, _) = soon(socket.recv_from(&mut buffer)).await.expect("received");
    buffer[..length].to_vec()
}

#[tokio::test]
async fn a_captured_datagram_holds_neither_the_name_nor_the_namespace() {
    let contains = |datagram: &[u8], text: &str| {
        datagram.windows(text.len()).any(|part| part == text.as_bytes())
    };
    let open = captured(|config| config).await;
    assert!(contains(&open, "the-sender") && contains(&open, NAMESPACE), "the search finds them");
    let closed = captured(|config| config.key(key(1))).await;
    assert!(!contains(&closed, "the-sender") && !contains(&closed, NAMESPACE));
    assert!(closed.len() <= 512);
}

#[tokio::test]
async fn a_captured_datagram_is_accepted_once_and_never_altered() {
    let receiver = Receiver::start(|config| config.key(key(2)).key(key(1))).await;
    let datagram = captured(|config| config.key(key(1))).await;
    for position in [HEADER_BYTES - 1, HEADER_BYTES, datagram.len() - 1] {
        let mut altered = datagram.clone();
        altered[position] ^= 1;
        receiver.counts(&altered, "net_in_datagrams_forged").await;
    }
    receiver.counts(&datagram[..datagram.len() - 1], "net_in_datagrams_forged").await;
    receiver.counts(&datagram, "solicitations_received").await;
    receiver.counts(&datagram, "net_in_datagrams_replayed").await;
    receiver.counts(&datagram, "net_in_datagrams_replayed").await;
}

#[tokio::test]
async fn a_datagram_is_dropped_if_the_clocks_differ_too_much() {
    let receiver = Receiver::start(|config| config.key(key(1))).await;
    let (now, second) = (now(), 1000);
    receiver.counts(&sealed(1, &key(1), now - 25 * second), "solicitations_received").await;
    receiver.counts(&sealed(2, &key(1), now - 35 * second), "net_in_datagrams_skewed").await;
    receiver.counts(&sealed(3, &key(1), now + 25 * second), "solicitations_received").await;
    receiver.counts(&sealed(4, &key(1), now + 65 * second), "net_in_datagrams_skewed").await;
    let skew = Duration::from_secs(120);
    let receiver = Receiver::start(|config| config.key(key(1)).clock_skew(skew)).await;
    receiver.counts(&sealed(1, &key(1), now - 35 * second), "solicitations_received").await;
    receiver.counts(&sealed(2, &key(1), now - 180 * second), "net_in_datagrams_skewed").await;
}

#[tokio::test]
async fn a_closed_node_drops_datagrams_in_clear_and_of_strangers() {
    let receiver = Receiver::start(|config| config.key(key(1))).await;
    let mut events = receiver.node.events();
    receiver.counts(&solicitation(1).encode(), "net_in_datagrams_plain").await;
    receiver.counts(b"GET / HTTP/1.1", "net_in_datagrams_malformed").await;
    receiver.counts(&[b'x'; 600], "net_in_datagrams_malformed").await;
    // A stranger knows the id of the key, which is not secret.
    let mut forged = sealed(2, &key(9), now());
    forged[5..13].copy_from_slice(&key(1).id().0);
    receiver.counts(&forged, "net_in_datagrams_forged").await;
    for number in 3..6 {
        receiver.counts(&sealed(number, &key(9), now()), "net_in_datagrams_unknown_key").await;
    }
    until("all are reported", || count(&receiver.node, "denied_no_common_key") == 3).await;
    receiver.node.close();
    let mut mismatches = Vec::new();
    while let Some(event) = soon(events.next()).await {
        mismatches.push(event);
    }
    let address = receiver.socket.local_addr().expect("bound");
    let reported = Event::KeyMismatch { address, heard: vec![key(9).id()] };
    assert_eq!(mismatches, [reported], "once a minute for an address");
    assert_eq!(count(&receiver.node, "dials_started"), 0);
}

#[tokio::test]
async fn an_open_node_drops_sealed_datagrams() {
    let receiver = Receiver::start(|config| config).await;
    receiver.counts(&sealed(1, &key(1), now()), "net_in_datagrams_sealed").await;
    receiver.counts(&solicitation(2).encode(), "solicitations_received").await;
}

#[tokio::test]
async fn a_response_goes_to_the_source_of_a_datagram_and_nowhere_else() {
    // A replay from another address causes no dial, because its copy has arrived before.
    let receiver = Receiver::start(|config| config.key(key(1)).degree(1)).await;
    let datagram = sealed(1, &key(1), now());
    receiver.counts(&datagram, "solicitations_received").await;
    until("the response", || count(&receiver.node, "dials_started") == 1).await;
    let elsewhere = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 9), 0)).await.expect("bound");
    elsewhere.send_to(&datagram, receiver.to).await.expect("sent");
    until("the replay", || count(&receiver.node, "net_in_datagrams_replayed") == 1).await;
    assert_eq!(count(&receiver.node, "solicitations_copied"), 0);
    assert_eq!(count(&receiver.node, "dials_started"), 1);
}

#[tokio::test]
async fn the_clock_skew_is_limited() {
    for seconds in [0, 301] {
        let config = Config::builder("a").clock_skew(Duration::from_secs(seconds));
        let error = config.build().expect_err("not valid").to_string();
        assert!(error.contains("clock_skew"), "{error}");
    }
}
