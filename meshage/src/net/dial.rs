//! Connects to a host that may have several addresses, and exchanges hellos.
//!
//! ```text
//!  resolve ──► first address ──250 ms, or a failure──► second ──► …   the first hello wins
//! ```

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::counters::Counters;
use super::handshake::{self, End, Met, Offer, Progress};
use super::input::NetworkEvent;
use super::interfaces;
use super::resolver::Resolver;
use super::shared::Shared;
use super::tasks::{self, inject};
use super::transport::Transport;
use crate::address::{self, ZONE_MISSING, ZonedIp};
use crate::error::{DialError, RefuseReason};
use crate::protocol::io::{Address, DialId, Input, Role};
use crate::wire::hello::Purpose;

/// The time limit of a whole dial.
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// The delay before the next address of a host is tried, unless the attempt before fails sooner.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);
/// The most restarts of one dial: on a machine where interfaces come and go all the time, a dial to a
/// slow host must not start again for ever.
const RESTARTS_MAX: usize = 4;
/// The limit on the addresses tried for one host: those that the time allows, 250 ms apart.
const ADDRESSES_MAX: usize = 32;

/// Dials once and sends the result to the driver.
pub(super) async fn run(
    dial: DialId,
    address: Address,
    purpose: Purpose,
    shared: Arc<Shared>,
    events: mpsc::Sender<NetworkEvent>,
) {
    let dialling = async {
        inject::point("dial", shared.name.as_str());
        let connecting = connect_anew_after_changes(&address, &shared, purpose, &events);
        timeout(DIAL_TIMEOUT, connecting).await.unwrap_or(Err(DialError::Timeout(DIAL_TIMEOUT)))
    };
    let connected = match tasks::observe("dial", &shared.counters, dialling).await {
        Ok(connected) => connected,
        Err(panicked) => Err(DialError::Broken(panicked.to_string())),
    };
    let event = match connected {
        Ok((transport, met)) => {
            NetworkEvent::Connected { transport, role: Role::Dialler(dial), met }
        }
        Err(error) => {
            tracing::debug!(?address, %error, "dial failed");
            NetworkEvent::Input(Input::DialFailed { dial, error })
        }
    };
    // The send fails only while the node closes.
    let _ = events.send(event).await;
}

/// Connects. When the network changes, starts again: the system would repeat a packet that was lost
/// before the change only after up to 8 s.
async fn connect_anew_after_changes(
    address: &Address,
    shared: &Shared,
    purpose: Purpose,
    events: &mpsc::Sender<NetworkEvent>,
) -> Result<(Transport, Met), DialError> {
    let mut changes = shared.network_changes.subscribe();
    for _ in 0..RESTARTS_MAX {
        tokio::select! {
            connected = connect(address, shared, purpose, events) => return connected,
            Ok(()) = changes.changed() => {}
        }
    }
    connect(address, shared, purpose, events).await
}

async fn connect(
    address: &Address,
    shared: &Shared,
    purpose: Purpose,
    events: &mpsc::Sender<NetworkEvent>,
) -> Result<(Transport, Met), DialError> {
    let addresses = match address {
        Address::Sockets(addresses) => addresses.clone(),
        Address::Named(text) => resolve(text, shared.port_default, &shared.resolver).await?,
    };
    let offer = Offer::new(shared.hello(purpose), shared.security.as_ref());
    first_node(addresses, &offer, &shared.counters, events).await
}

/// The addresses of `host`, `host:port`, `[v6]:port` or a bare IPv6 address, which may have a zone.
async fn resolve(text: &str, port: u16, resolver: &Resolver) -> Result<Vec<SocketAddr>, DialError> {
    let invalid = |reason: &str| DialError::Address(text.into(), reason.into());
    let (host, port) = address::split(text, port).map_err(invalid)?;
    let unresolved = |reason: String| DialError::Resolve(text.into(), reason);
    if let Some(ip) = ZonedIp::parse(host) {
        if ip.lacks_zone() {
            return Err(invalid(ZONE_MISSING));
        }
        let address = interfaces::resolve(&ip, port);
        return address.map(|address| vec![address]).map_err(|error| unresolved(error.to_string()));
    }
    let found = resolver.resolve(host, port).await;
    let found = found.map_err(|error| unresolved(error.to_string()))?;
    let mut addresses = Vec::new();
    for address in found.into_iter().take(ADDRESSES_MAX) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(unresolved("the host has no address".into()));
    }
    Ok(addresses)
}

/// Tries the addresses in order, each a short time after the one before, until a node answers.
///
/// An address where something else listens, or this node itself, is passed over: `localhost` may
/// lead to another program on ::1, and the name of a mesh to all of its nodes.
async fn first_node(
    addresses: Vec<SocketAddr>,
    offer: &Offer,
    counters: &Arc<Counters>,
    events: &mpsc::Sender<NetworkEvent>,
) -> Result<(Transport, Met), DialError> {
    let mut failures = Vec::new();
    let mut attempts = JoinSet::new();
    let mut remaining = addresses.into_iter().peekable();
    loop {
        if let Some(address) = remaining.next() {
            let (offer, counters) = (offer.clone(), counters.clone());
            attempts.spawn(async move {
                let attempt = attempt(address, &offer);
                let answer = tasks::observe("dial attempt", &counters, attempt).await;
                let answer =
                    answer.unwrap_or_else(|panicked| Err(DialError::Broken(panicked.to_string())));
                answer.map_err(|error| Failure { address, error })
            });
        }
        let finished = tokio::select! {
            finished = attempts.join_next() => finished,
            () = sleep(NEXT_ADDRESS_AFTER), if remaining.peek().is_some() => continue,
        };
        match finished {
            Some(Ok(Ok(connected))) => return Ok(connected),
            Some(Ok(Err(failure))) => {
                if let DialError::Auth(error) = &failure.error {
                    let (from, error) = (failure.address, error.clone());
                    let denied = Input::Denied { from, dialled: true, error };
                    // The send fails only while the node closes.
                    let _ = events.send(NetworkEvent::Input(denied)).await;
                }
                failures.push(failure);
            }
            Some(Err(panicked)) => return Err(DialError::Broken(panicked.to_string())),
            None => return Err(combine(failures)),
        }
    }
}

async fn attempt(address: SocketAddr, offer: &Offer) -> Result<(Transport, Met), DialError> {
    let mut transport = Transport::connect(address).await.map_err(DialError::Connect)?;
    if transport.is_connected_to_itself().map_err(DialError::Connect)? {
        // The port is free, and stays so: a program may be about to listen there.
        transport.reset_when_dropped(true);
        return Err(DialError::Connect(io::ErrorKind::ConnectionRefused.into()));
    }
    let met =
        handshake::exchange(&mut transport, offer, End::Dialler, &Progress::default()).await?;
    if met.hello.instance == offer.hello.instance {
        // The other end of this connection has this node's listening port, and must not leave it in
        // TIME_WAIT.
        transport.reset_when_dropped(true);
        return Err(DialError::Refused(RefuseReason::Myself));
    }
    Ok((transport, met))
}

/// Why an address was passed over.
#[derive(Debug)]
struct Failure {
    address: SocketAddr,
    error: DialError,
}

impl Failure {
    /// The less is known about what listens there, the lower.
    fn rank(&self) -> u8 {
        match self.error {
            DialError::Refused(_) | DialError::Auth(_) => 3,
            DialError::Handshake(_) => 2,
            DialError::Broken(_) => 1,
            DialError::Connect(_)
            | DialError::Address(..)
            | DialError::Resolve(..)
            | DialError::Timeout(_)
            | DialError::Closed => 0,
        }
    }
}

/// The error of a dial: the most telling of the failures, and what each address answered.
fn combine(mut failures: Vec<Failure>) -> DialError {
    let Some(most_telling) = (0..failures.len()).max_by_key(|at| failures[*at].rank()) else {
        return DialError::Connect(io::ErrorKind::AddrNotAvailable.into());
    };
    if failures.len() == 1 {
        return failures.remove(0).error;
    }
    let answers: Vec<String> = failures
        .iter()
        .map(|Failure { address, error }| match error {
            DialError::Connect(error) => format!("{address}: {error}"),
            DialError::Handshake(reason) | DialError::Broken(reason) => {
                format!("{address}: {reason}")
            }
            DialError::Address(..)
            | DialError::Resolve(..)
            | DialError::Timeout(_)
            | DialError::Refused(_)
            | DialError::Auth(_)
            | DialError::Closed => format!("{address}: {error}"),
        })
        .collect();
    let answers = answers.join("; ");
    match failures.swap_remove(most_telling).error {
        DialError::Connect(error) => DialError::Connect(io::Error::new(error.kind(), answers)),
        DialError::Handshake(_) => DialError::Handshake(answers),
        DialError::Broken(_) => DialError::Broken(answers),
        error @ (DialError::Address(..)
        | DialError::Resolve(..)
        | DialError::Timeout(_)
        | DialError::Refused(_)
        | DialError::Auth(_)
        | DialError::Closed) => error,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;
    use crate::name::{Instance, Namespace, NodeName};
    use crate::wire::hello::Hello;

    fn hello(name: &str, instance: u64) -> Hello {
        Hello {
            name: NodeName::new(name).expect("valid"),
            namespace: Namespace::default(),
            instance: Instance(instance),
            version: String::new(),
            capabilities: 0,
            purpose: Purpose::Dialled,
        }
    }

    /// Listens at a free port, sends these bytes on a connection and keeps it open.
    fn program(bytes: Vec<u8>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accepted");
            stream.write_all(&bytes).expect("written");
            let _ = stream.read_to_end(&mut Vec::new());
        });
        address
    }

    /// Dials as an open node.
    async fn dial(
        addresses: Vec<SocketAddr>,
        own_hello: Hello,
    ) -> Result<(Transport, Met), DialError> {
        let offer = Offer::new(own_hello, None);
        let (events, _) = mpsc::channel(1);
        first_node(addresses, &offer, &Arc::default(), &events).await
    }

    #[tokio::test]
    async fn a_dial_goes_on_to_the_next_address_where_something_else_answers() {
        for something_else in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"", b"MSHG\x02"] {
            let first = program(something_else.to_vec());
            let second = program(hello("b", 2).encode());
            let begin = crate::net::clock::now();
            let connected = dial(vec![first, second], hello("a", 1)).await;
            let (_, answer) = connected.expect("the second address is a node");
            assert_eq!(answer.hello.instance, Instance(2));
            assert!(begin.elapsed() < Duration::from_secs(2), "a silent one costs 250 ms");
        }
    }

    #[tokio::test]
    async fn a_dial_goes_on_to_the_next_address_where_this_node_itself_answers() {
        let own = hello("a", 1);
        let addresses = vec![program(own.encode()), program(hello("b", 2).encode())];
        let (_, answer) = dial(addresses, own).await.expect("the second is another node");
        assert_eq!(answer.hello.instance, Instance(2));
    }

    #[tokio::test]
    async fn the_error_of_a_dial_lists_what_each_address_answered() {
        let free = TcpListener::bind("127.0.0.1:0").expect("bound").local_addr().expect("bound");
        let other = program(b"SSH-2.0-OpenSSH\r\n".to_vec());
        let failed = dial(vec![other, free], hello("a", 1)).await.expect_err("no node");
        let DialError::Handshake(text) = failed else { panic!("{failed:?}") };
        for part in [&format!("{other}: "), &format!("{free}: "), "refused"] {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
    }
}
