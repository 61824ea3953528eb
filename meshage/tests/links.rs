//! Dialling, hanging up, and connections that are no mesh nodes.
#![cfg(feature = "net")]
#![expect(clippy::disallowed_methods, reason = "these tests run in real time")]

mod common;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use common::{
    SOON, address, count, know_all, link, name, node, quiet, soon, start, until, until_event,
    within,
};
use socket2::{Domain, Socket, Type};

use meshage::wire::hello::{Hello, PREFACE_BYTES, Purpose};
use meshage::{
    Config, ConfigError, Departure, DialError, Event, HangupError, Instance, LinkEnd, Namespace,
    Node, NodeName, RefuseReason, StartError, WaitCondition,
};

#[tokio::test]
async fn a_dial_returns_the_peers_name_and_both_ends_know_each_other() {
    let (a, b) = (node("a").await, node("b").await);
    assert_eq!(a.dial(&address(&b)).await.expect("linked"), *b.name());
    assert_eq!(a.peers(), [name("b")]);
    assert!(a.mesh().contains("b"), "the peer is known when the dial returns");
    b.wait_for(WaitCondition::Nodes(vec![name("a")]), SOON).await.expect("known");
    assert_eq!(b.peers(), [name("a")]);
    assert_eq!(b.dot(), "graph mesh {\n  \"a\";\n  \"b\";\n  \"a\" -- \"b\";\n}\n");
}

#[tokio::test]
async fn a_dial_of_a_free_port_itself_or_a_peer_fails_with_the_reason() {
    let (a, b) = (node("a").await, node("b").await);
    // The port of a socket that does not listen: no other program can take it.
    let silent = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    silent.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bound");
    let unused = silent.local_addr().ok().and_then(|at| at.as_socket()).expect("bound");
    let unused = a.dial(&unused.to_string()).await;
    assert!(matches!(unused, Err(DialError::Connect(_))), "{unused:?}");
    let itself = a.dial(&address(&a)).await;
    assert!(matches!(itself, Err(DialError::Refused(RefuseReason::Myself))), "{itself:?}");
    link(&a, &b).await;
    for (from, to) in [(&a, &b), (&b, &a)] {
        let twice = from.dial(&address(to)).await;
        assert!(matches!(twice, Err(DialError::Refused(RefuseReason::Duplicate))), "{twice:?}");
    }
    assert_eq!(a.peers(), [name("b")], "the link stays up");
    for text in ["", "host:", "127.0.0.1:0", "[::1"] {
        let wrong = a.dial(text).await;
        assert!(matches!(wrong, Err(DialError::Address(..))), "{text:?}: {wrong:?}");
    }
    let unknown = a.dial("name.invalid:1").await;
    assert!(matches!(unknown, Err(DialError::Resolve(..))), "{unknown:?}");
}

#[tokio::test]
async fn a_dial_of_a_silent_host_ends_at_its_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("bound");
    let a = node("a").await;
    let begin = Instant::now();
    let limit = Duration::from_millis(300);
    let result = a.dial_timeout(&silent.local_addr().expect("bound").to_string(), limit).await;
    assert!(matches!(result, Err(DialError::Timeout(after)) if after == limit), "{result:?}");
    assert!(begin.elapsed() >= limit && begin.elapsed() < SOON);
}

#[tokio::test]
async fn a_dial_of_another_protocol_fails_with_a_handshake_error() {
    let other = TcpListener::bind("127.0.0.1:0").expect("bound");
    let at = other.local_addr().expect("bound");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = other.accept().expect("accepted");
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("written");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let a = node("a").await;
    let result = a.dial(&at.to_string()).await;
    assert!(matches!(result, Err(DialError::Handshake(_))), "{result:?}");
    server.join().expect("no panic");
}

#[tokio::test]
async fn a_connection_closed_before_the_link_is_up_fails_the_dial_as_broken() {
    let other = TcpListener::bind("127.0.0.1:0").expect("bound");
    let at = other.local_addr().expect("bound");
    let server = std::thread::spawn(move || drop(other.accept().expect("accepted")));
    let a = node("a").await;
    let result = a.dial(&at.to_string()).await;
    assert!(matches!(result, Err(DialError::Broken(_))), "{result:?}");
    server.join().expect("no panic");
}

#[tokio::test]
async fn simultaneous_dials_end_with_one_link() {
    for round in 0..20 {
        let (a, b) = (node("a").await, node("b").await);
        let (to_a, to_b) = (address(&a), address(&b));
        let (from_a, from_b) = tokio::join!(a.dial(&to_b), b.dial(&to_a));
        assert!(from_a.is_ok() || from_b.is_ok(), "round {round}: {from_a:?}, {from_b:?}");
        know_all(&[a.clone(), b.clone()]).await;
        let report = soon(a.set([name("b")], "x")).await.expect("sent");
        assert!(report.all_delivered(), "round {round}: {report:?}");
        assert_eq!((a.peers().len(), b.peers().len()), (1, 1), "round {round}");
    }
}

#[tokio::test]
async fn a_hang_up_removes_the_link_at_both_ends() {
    let (a, b) = (node("a").await, node("b").await);
    link(&a, &b).await;
    know_all(&[a.clone(), b.clone()]).await;
    a.hangup("b").await.expect("hung up");
    assert!(a.peers().is_empty());
    until("the link is removed at b", || b.peers().is_empty() && b.mesh().len() == 1).await;
    assert_eq!(a.hangup("b").await, Err(HangupError::NotAPeer("b".into())));
    assert_eq!(a.hangup("no such name").await, Err(HangupError::NotAPeer("no such name".into())));
    link(&b, &a).await;
}

#[tokio::test]
async fn events_report_links_and_nodes() {
    let (a, b) = (node("a").await, node("b").await);
    let mut events = a.events();
    link(&b, &a).await;
    let mut seen = Vec::new();
    let (b_name, instance) = (name("b"), b.instance());
    let joined = Event::NodeJoined { node: b_name.clone(), instance };
    let up = Event::LinkUp { peer: b_name.clone(), instance };
    while !seen.contains(&joined) || !seen.contains(&up) {
        seen.push(soon(events.next()).await.expect("an event"));
    }
    b.close();
    let left = Event::NodeLeft { node: b_name.clone(), instance, departure: Departure::Left };
    let down = Event::LinkDown { peer: b_name, instance, reason: LinkEnd::PeerLeft };
    while !seen.contains(&left) || !seen.contains(&down) {
        seen.push(soon(events.next()).await.expect("an event"));
    }
    a.close();
    while soon(events.next()).await.is_some() {}
}

#[tokio::test]
async fn a_second_node_of_the_same_name_is_refused_and_both_sides_get_an_event() {
    let (holder, newcomer) = (node("same").await, node("same").await);
    let hub = node("hub").await;
    let (mut at_hub, mut at_newcomer) = (hub.events(), newcomer.events());
    link(&holder, &hub).await;
    hub.wait_for(WaitCondition::Nodes(vec![name("same")]), SOON).await.expect("known");
    let refused = newcomer.dial(&address(&hub)).await;
    assert!(matches!(refused, Err(DialError::Refused(RefuseReason::NameInUse))), "{refused:?}");
    for events in [&mut at_hub, &mut at_newcomer] {
        until_event(
            events,
            |event| matches!(event, Event::NameConflict { name: n, .. } if *n == name("same")),
        )
        .await;
    }
    // When the holder has left, the name is free.
    holder.close();
    until("the holder has left", || !hub.mesh().contains("same")).await;
    link(&newcomer, &hub).await;
}

#[tokio::test]
async fn a_port_in_use_is_an_error_and_leaks_nothing() {
    let a = node("a").await;
    let config = quiet("b").listen_port(a.port()).build().expect("valid");
    let result = Node::start(config).await;
    assert!(matches!(result, Err(StartError::AddressInUse(at)) if at.port() == a.port()));
    let far = Config::builder("b").bind("192.0.2.1").port(0).build().expect("valid");
    assert!(matches!(Node::start(far).await, Err(StartError::Bind(..))));
    let port = a.port();
    a.close();
    soon(a.closed()).await;
    drop(start(quiet("c").listen_port(port)).await);
}

#[tokio::test]
async fn a_udp_port_that_another_program_uses_exclusively_is_an_error() {
    let other = std::net::UdpSocket::bind("0.0.0.0:0").expect("bound");
    let port = other.local_addr().expect("bound").port();
    let config = quiet("a").port(port).listen_port(0).build().expect("valid");
    let result = Node::start(config).await;
    assert!(matches!(result, Err(StartError::AddressInUse(at)) if at.port() == port));
}

#[tokio::test]
async fn links_work_over_ipv6() {
    let Ok(a) = Node::start(quiet("a").bind("::1").build().expect("valid")).await else {
        eprintln!("skipped: this machine has no IPv6 loopback");
        return;
    };
    let b = start(quiet("b").bind("::")).await;
    let linked = b.dial(&format!("[::1]:{}", a.port())).await.expect("linked");
    assert_eq!(linked, name("a"));
    assert!(b.set([name("a")], "six").await.expect("sent").all_delivered());
    // An IPv4 address reaches a listener on `::`.
    let c = node("c").await;
    link(&c, &b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_the_port_does_not_disturb_links() {
    let (a, b) = (node("a").await, node("b").await);
    link(&a, &b).await;
    know_all(&[a.clone(), b.clone()]).await;
    let garbage: [&[u8]; 6] = [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        b"MSHG",
        b"MSHG\x02\x00\x00",
        b"MSHG\x01\xff\xff",
        b"MSHG\x01\x05\x00\xff\xff\xff\xff\xff",
    ];
    for bytes in garbage {
        let mut stream = TcpStream::connect(address(&a)).expect("connected");
        stream.write_all(bytes).expect("written");
        // The node may have closed the connection already.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    until("all are counted", || count(&a, "net_handshakes_failed") == garbage.len() as u64).await;
    let report = b.set([name("a")], "x").await.expect("sent");
    assert!(report.all_delivered(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_keep_their_place_until_others_wait_for_it_or_for_five_seconds() {
    let a = node("a").await;
    let connect = |_| TcpStream::connect(address(&a)).expect("connected");
    let mut silent: Vec<TcpStream> = (0..64).map(connect).collect();
    until("all are accepted", || count(&a, "net_accepted") == 64).await;
    silent.extend((0..10).map(connect));
    until("ten give their place", || count(&a, "net_handshakes_evicted") == 10).await;
    assert_eq!(count(&a, "net_handshakes_failed"), 0, "none was refused");
    // The oldest were closed, and the connections that waited have their places.
    for stream in &mut silent[..10] {
        stream.set_read_timeout(Some(SOON)).expect("set");
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let b = node("b").await;
    let begin = Instant::now();
    link(&b, &a).await;
    assert!(begin.elapsed() < Duration::from_secs(2), "a node does not wait for the silent ones");
    let limit = Duration::from_secs(10);
    within(limit, "the rest time out", || count(&a, "net_handshakes_failed") == 63).await;
    assert_eq!(count(&a, "net_handshakes_evicted"), 11);
}

/// Connects, exchanges hellos and returns the time that this took.
async fn shake_hands(at: String, instance: u64) -> std::io::Result<Duration> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let hello = Hello {
        name: name(&format!("n{instance}")),
        namespace: Namespace::default(),
        instance: Instance(instance),
        version: String::new(),
        capabilities: 0,
        purpose: Purpose::Dialled,
    };
    let begin = Instant::now();
    let mut stream = tokio::net::TcpStream::connect(at).await?;
    stream.write_all(&hello.encode()).await?;
    let mut preface = [0; PREFACE_BYTES];
    stream.read_exact(&mut preface).await?;
    Ok(begin.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_dials_at_once_from_one_address_are_all_answered_beside_silent_connections() {
    let a = node("a").await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(address(&a)).expect("connected"));
    }
    let mut dials = tokio::task::JoinSet::new();
    for instance in 1..=200 {
        dials.spawn(shake_hands(address(&a), instance));
    }
    while let Some(dial) = soon(dials.join_next()).await {
        dial.expect("no panic").expect("answered, not reset");
    }
    drop(silent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: a thousand nodes, best with --release"]
async fn a_thousand_dials_at_once_from_one_address_are_all_linked() {
    let mut hubs = Vec::new();
    for hub in 0..4 {
        hubs.push(node(&format!("hub{hub}")).await);
    }
    for silent_per_second in [0, 50] {
        let mut nodes = Vec::new();
        for number in 0..1000 {
            nodes.push(node(&format!("n{number}")).await);
        }
        let at: Vec<String> = hubs.iter().map(address).collect();
        let noise = tokio::spawn(async move {
            let mut silent = Vec::new();
            if silent_per_second == 0 {
                return;
            }
            loop {
                silent.push(tokio::net::TcpStream::connect(&at[0]).await);
                tokio::time::sleep(Duration::from_secs(1) / silent_per_second).await;
            }
        });
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut dials = tokio::task::JoinSet::new();
        for (number, node) in nodes.iter().enumerate() {
            let (node, at) = (node.clone(), address(&hubs[number % hubs.len()]));
            dials.spawn(async move {
                let begin = Instant::now();
                node.dial(&at).await.expect("linked");
                begin.elapsed()
            });
        }
        let mut took = dials.join_all().await;
        took.sort_unstable();
        println!("{silent_per_second} silent a second: 99 % of the links within {:?}", took[989]);
        for node in &nodes {
            node.close();
        }
        for node in &nodes {
            node.closed().await;
        }
        until("the hubs are alone", || hubs.iter().all(|hub| hub.peers().is_empty())).await;
        let mut handshakes = tokio::task::JoinSet::new();
        for number in 0..1000 {
            handshakes.spawn(shake_hands(address(&hubs[0]), 1_000_000 + number));
        }
        let mut took: Vec<Duration> =
            handshakes.join_all().await.into_iter().map(|took| took.expect("answered")).collect();
        took.sort_unstable();
        println!(
            "{silent_per_second} silent a second: 99 % of the handshakes within {:?}",
            took[989]
        );
        noise.abort();
    }
}

/// The connections of this machine with this local port in TIME_WAIT.
fn in_time_wait(port: u16) -> Vec<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(std::fs::read_to_string);
    let local = format!(":{port:04X}");
    let lines: Vec<String> =
        tables.iter().flatten().flat_map(|table| table.lines().map(str::to_owned)).collect();
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let waits = |line: &String| {
        let fields = fields(line);
        fields.len() > 3 && fields[1].ends_with(&local) && fields[3] == "06"
    };
    lines.into_iter().filter(waits).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_connection_does_not_keep_the_listening_port_in_time_wait() {
    if !std::path::Path::new("/proc/net/tcp").exists() {
        eprintln!("skipped: this system does not list its connections in /proc/net/tcp");
        return;
    }
    let (a, same, peer) = (node("a").await, node("a").await, node("peer").await);
    let itself = a.dial(&address(&a)).await;
    assert!(matches!(itself, Err(DialError::Refused(RefuseReason::Myself))), "{itself:?}");
    let refused = same.dial(&address(&a)).await;
    assert!(matches!(refused, Err(DialError::Refused(RefuseReason::NameInUse))), "{refused:?}");
    link(&peer, &a).await;
    let twice = peer.dial(&address(&a)).await;
    assert!(matches!(twice, Err(DialError::Refused(RefuseReason::Duplicate))), "{twice:?}");
    let mut other = TcpStream::connect(address(&a)).expect("connected");
    other.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("written");
    let _ = other.read_to_end(&mut Vec::new());
    drop(other);
    // The dialling ends wait instead, so the kernel has ended all of these connections.
    let established = || std::fs::read_to_string("/proc/net/tcp").expect("listed");
    let local = format!(":{:04X} ", a.port());
    let open = || established().lines().filter(|line| line.contains(&local)).count();
    until("the connections have ended", || {
        let links = 2; // both ends of the link to the peer
        let waiting = established()
            .lines()
            .filter(|line| line.contains(&local) && line.contains(" 06 "))
            .count();
        open() - waiting == links + 1
    })
    .await;
    assert_eq!(in_time_wait(a.port()), Vec::<String>::new());
}

#[tokio::test]
async fn degree_and_periods_can_be_set_and_are_validated() {
    let a = start(quiet("a").degree(3).timeout(Duration::from_secs(1))).await;
    assert_eq!((a.degree(), a.timeout()), (3, Duration::from_secs(1)));
    a.set_degree(7).expect("in range");
    a.set_msa_timeout(Duration::from_secs(3)).expect("in range");
    a.set_timeout(Duration::from_secs(4));
    assert_eq!(a.degree(), 7);
    assert_eq!(a.msa_timeout(), Duration::from_secs(3));
    assert_eq!(a.timeout(), Duration::from_secs(4));
    assert!(matches!(a.set_degree(257), Err(ConfigError::Range("degree", _))));
    assert!(matches!(a.set_msa_timeout(Duration::ZERO), Err(ConfigError::Range(..))));
    a.msa();
}

/// The event as a change of a set of names. Returns `false` if it does not agree with the set.
fn apply(event: &Event, nodes: &mut BTreeSet<NodeName>) -> bool {
    match event {
        Event::NodeJoined { node, .. } => nodes.insert(node.clone()),
        Event::NodeLeft { node, .. } => nodes.remove(node),
        Event::LinkUp { .. } | Event::LinkDown { .. } | Event::Topology => true,
        other @ (Event::NameConflict { .. }
        | Event::DiscoveryFailed { .. }
        | Event::Overflow
        | _) => panic!("unexpected: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_and_the_events_after_it_contain_every_change_exactly_once() {
    let hub = node("hub").await;
    let mut subscriptions = Vec::new();
    let guests = tokio::spawn({
        let hub = address(&hub);
        async move {
            for number in 0..20 {
                let guest = node(&format!("guest-{number}")).await;
                guest.dial(&hub).await.expect("linked");
                if number % 2 == 0 {
                    guest.close();
                    soon(guest.closed()).await;
                } else {
                    std::mem::forget(guest);
                }
            }
        }
    });
    while !guests.is_finished() {
        let events = hub.events();
        let nodes: BTreeSet<NodeName> =
            events.mesh().iter().map(|(node, _)| node.clone()).collect();
        subscriptions.push((events, nodes));
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    guests.await.expect("no failure");
    // Ten guests have left. The subscriptions end after all of their events.
    until("the guests have left", || hub.mesh().len() == 11).await;
    hub.close();
    let moments: BTreeSet<usize> = subscriptions.iter().map(|(_, nodes)| nodes.len()).collect();
    assert!(moments.len() > 5, "subscribed at {moments:?} nodes");
    for (mut events, mut nodes) in subscriptions {
        while let Some(event) = soon(events.next()).await {
            assert!(apply(&event, &mut nodes), "{event:?} does not follow {nodes:?}");
        }
        assert_eq!(nodes.len(), 11, "{nodes:?}");
    }
}

#[tokio::test]
async fn a_dial_without_time_is_not_begun() {
    let a = node("a").await;
    let b = node("b").await;
    for _ in 0..20 {
        let dialled = a.dial_timeout(&address(&b), Duration::ZERO).await;
        assert!(matches!(dialled, Err(DialError::Timeout(Duration::ZERO))), "{dialled:?}");
    }
    let invalid = a.dial_timeout("not an address:x", Duration::ZERO).await;
    assert!(matches!(invalid, Err(DialError::Address(..))), "{invalid:?}");
    assert!(a.peers().is_empty());
}
