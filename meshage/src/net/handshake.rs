//! The first bytes of a connection: both ends say who they are, at once.
//!
//! What the two then make of each other is the router's business; here it is only made sure that the
//! other end speaks the protocol, and soon.

use std::io;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::socket;
use crate::error::DialError;
use crate::wire::hello::{Hello, PREFACE_BYTES};

/// How long the exchange may take in all.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Says `hello` and hears the other end's.
pub(super) async fn exchange(stream: &mut TcpStream, hello: &Hello) -> Result<Hello, DialError> {
    let both = async {
        socket::send_all(stream, &hello.encode()).await.map_err(cut_off)?;
        hear(stream).await
    };
    match timeout(HANDSHAKE_TIMEOUT, both).await {
        Ok(heard) => heard,
        Err(_) => Err(DialError::Handshake("it said nothing in time".into())),
    }
}

async fn hear(stream: &mut TcpStream) -> Result<Hello, DialError> {
    let mut preface = [0; PREFACE_BYTES];
    stream.read_exact(&mut preface).await.map_err(cut_off)?;
    let length = Hello::length(preface).map_err(|error| DialError::Handshake(error.0))?;
    // At most `HELLO_BYTES_MAX`, as `Hello::length` made sure.
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.map_err(cut_off)?;
    Hello::decode(&bytes).map_err(|error| DialError::Handshake(error.0))
}

fn cut_off(error: io::Error) -> DialError {
    DialError::Broken(error.to_string())
}
