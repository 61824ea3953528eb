//! Connects to a host that may have several addresses, and exchanges hellos.
//!
//! ```text
//!  resolve ──► first address ──250 ms, or a failure──► second ──► …   the first connection wins
//! ```

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::counters::Counters;
use super::handshake;
use super::input::NetworkEvent;
use super::interfaces;
use super::resolver::Resolver;
use super::shared::Shared;
use super::tasks::{self, inject};
use super::transport::Transport;
use crate::address::{self, ZONE_MISSING, ZonedIp};
use crate::error::DialError;
use crate::protocol::io::{Address, DialId, Input, Role};
use crate::wire::hello::{Hello, Purpose};

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
        let own_hello = shared.hello(purpose);
        let connecting = connect_anew_after_changes(&address, &shared, &own_hello);
        timeout(DIAL_TIMEOUT, connecting).await.unwrap_or(Err(DialError::Timeout(DIAL_TIMEOUT)))
    };
    let connected = match tasks::observe("dial", &shared.counters, dialling).await {
        Ok(connected) => connected,
        Err(panicked) => Err(DialError::Broken(panicked.to_string())),
    };
    let event = match connected {
        Ok((transport, hello)) => {
            NetworkEvent::Connected { transport, role: Role::Dialler(dial), hello }
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
    own_hello: &Hello,
) -> Result<(Transport, Hello), DialError> {
    let mut changes = shared.network_changes.subscribe();
    for _ in 0..RESTARTS_MAX {
        tokio::select! {
            connected = connect(address, shared, own_hello) => return connected,
            Ok(()) = changes.changed() => {}
        }
    }
    connect(address, shared, own_hello).await
}

async fn connect(
    address: &Address,
    shared: &Shared,
    own_hello: &Hello,
) -> Result<(Transport, Hello), DialError> {
    let addresses = match address {
        Address::Sockets(addresses) => addresses.clone(),
        Address::Named(text) => resolve(text, shared.port_default, &shared.resolver).await?,
    };
    let connecting = first_connection(addresses, &shared.counters);
    let mut transport = connecting.await.map_err(DialError::Connect)?;
    let hello = handshake::exchange(&mut transport, own_hello).await?;
    Ok((transport, hello))
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

/// Tries the addresses in order, each a short time after the one before, until one connects.
async fn first_connection(
    addresses: Vec<SocketAddr>,
    counters: &Arc<Counters>,
) -> io::Result<Transport> {
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let mut attempts = JoinSet::new();
    let mut remaining = addresses.into_iter().peekable();
    loop {
        if let Some(address) = remaining.next() {
            let counters = counters.clone();
            attempts.spawn(async move {
                let attempt = tasks::observe("dial attempt", &counters, attempt(address)).await;
                attempt.unwrap_or_else(|panicked| Err(io::Error::other(panicked.to_string())))
            });
        }
        let finished = tokio::select! {
            finished = attempts.join_next() => finished,
            () = sleep(NEXT_ADDRESS_AFTER), if remaining.peek().is_some() => continue,
        };
        match finished {
            Some(Ok(Ok(transport))) => return Ok(transport),
            Some(Ok(Err(error))) => failure = error,
            Some(Err(stopped)) => failure = io::Error::other(stopped),
            None => return Err(failure),
        }
    }
}

async fn attempt(address: SocketAddr) -> io::Result<Transport> {
    let transport = Transport::connect(address).await?;
    if transport.is_connected_to_itself()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(transport)
}
