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
    let wrong = |why: String| DialError::Address(text.into(), why);
    let (host, port) = split(text, port).map_err(|why| wrong(why.into()))?;
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let found = lookup_host((host, port)).await.map_err(|error| wrong(error.to_string()))?;
    let mut addresses = Vec::new();
    for address in found.take(ADDRESSES_MAX) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err(wrong("it has no address".into())) } else { Ok(addresses) }
}

fn split(text: &str, default: u16) -> Result<(&str, u16), &'static str> {
    let number = |digits: &str| match digits.parse() {
        Ok(0) | Err(_) => Err("a port is a number from 1 to 65535"),
        Ok(port) => Ok(port),
    };
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("a '[' wants its ']'")?;
        match rest.strip_prefix(':') {
            Some(digits) => (host, number(digits)?),
            None if rest.is_empty() => (host, default),
            None => return Err("after ']' comes ':' and a port, or nothing"),
        }
    } else if text.parse::<IpAddr>().is_ok() {
        (text, default)
    } else {
        match text.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => return Err("write [v6]:port"),
            Some((host, digits)) => (host, number(digits)?),
            None => (text, default),
        }
    };
    if host.is_empty() {
        return Err("it names no host");
    }
    if port == 0 {
        return Err("it names no port, and this node's own is 0");
    }
    Ok((host, port))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_leave_the_port_out() {
        assert_eq!(split("host", 9), Ok(("host", 9)));
        assert_eq!(split("host:1", 9), Ok(("host", 1)));
        assert_eq!(split("10.0.0.1:1", 9), Ok(("10.0.0.1", 1)));
        assert_eq!(split("[::1]:1", 9), Ok(("::1", 1)));
        assert_eq!(split("[::1]", 9), Ok(("::1", 9)));
        assert_eq!(split("::1", 9), Ok(("::1", 9)));
    }

    #[test]
    fn what_is_no_address_is_told_so() {
        for text in ["", ":1", "host:", "host:0", "host:x", "host:65536", "[::1", "[::1]x", "a:b:1"]
        {
            assert!(split(text, 9).is_err(), "{text:?}");
        }
        assert!(split("host", 0).is_err());
    }
}
