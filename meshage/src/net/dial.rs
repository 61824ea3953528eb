//! Makes a connection to an address that may mean several, and exchanges hellos over it.
//!
//! ```text
//!  resolve ──► first address ──250 ms, or its failure──► second ──► …   the first to answer wins
//! ```

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::driver::Incoming;
use super::shared::Shared;
use super::{handshake, socket};
use crate::address;
use crate::error::DialError;
use crate::protocol::io::{Address, DialId, Input, Role};
use crate::wire::hello::{Hello, Purpose};

/// How long a dial may take in all.
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// How much later the next address of a name is tried, unless the one before fails sooner.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);
/// How many addresses of a name are tried: what fits into the time, 250 ms apart.
const ADDRESSES_MAX: usize = 32;

/// Dials once and tells the driver what came of it.
pub(super) async fn run(
    dial: DialId,
    address: Address,
    purpose: Purpose,
    shared: Arc<Shared>,
    incoming: mpsc::Sender<Incoming>,
) {
    let own = shared.hello(purpose);
    let connected = timeout(DIAL_TIMEOUT, connect(&address, shared.port_default, &own)).await;
    let result = match connected.unwrap_or(Err(DialError::Timeout(DIAL_TIMEOUT))) {
        Ok((stream, hello)) => Incoming::Connected { stream, role: Role::Dialler(dial), hello },
        Err(error) => {
            tracing::debug!(?address, %error, "dial failed");
            Incoming::Input(Input::DialFailed { dial, error })
        }
    };
    // A node that closes wants to know no more.
    let _ = incoming.send(result).await;
}

async fn connect(
    address: &Address,
    port: u16,
    own: &Hello,
) -> Result<(TcpStream, Hello), DialError> {
    let addresses = match address {
        Address::Socket(address) => vec![*address],
        Address::Named(text) => resolve(text, port).await?,
    };
    let mut stream = first_to_answer(addresses).await.map_err(DialError::Connect)?;
    socket::tune(&stream);
    let hello = handshake::exchange(&mut stream, own).await?;
    Ok((stream, hello))
}

/// The addresses of `host`, `host:port`, `[v6]:port` or a bare IPv6 address.
async fn resolve(text: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
    let wrong = |why: &str| DialError::Address(text.into(), why.into());
    let (host, port) = address::split(text, port).map_err(wrong)?;
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let unresolved = |why: String| DialError::Resolve(text.into(), why);
    let found = lookup_host((host, port)).await.map_err(|error| unresolved(error.to_string()))?;
    let mut addresses = Vec::new();
    for address in found.take(ADDRESSES_MAX) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(unresolved("it has no address".into()));
    }
    Ok(addresses)
}

/// Tries the addresses one after the other, without waiting long for any.
async fn first_to_answer(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let mut attempts = JoinSet::new();
    let mut left = addresses.into_iter().peekable();
    loop {
        if let Some(address) = left.next() {
            attempts.spawn(attempt(address));
        }
        let answered = tokio::select! {
            answered = attempts.join_next() => answered,
            () = sleep(NEXT_ADDRESS_AFTER), if left.peek().is_some() => continue,
        };
        match answered {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => failure = error,
            Some(Err(stopped)) => failure = io::Error::other(stopped),
            None => return Err(failure),
        }
    }
}

async fn attempt(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // Dialling a free port of this machine, a connection may meet itself half way.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}
