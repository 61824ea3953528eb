//! The first bytes of a connection: both ends send a hello at once.
//!
//! The router decides whether the connection becomes a link. This module only checks that the
//! other end uses the protocol and sends its hello in time.

use std::io;
use std::time::Duration;

use tokio::time::timeout;

use super::transport::Transport;
use crate::error::DialError;
use crate::wire::hello::{Hello, PREFACE_BYTES};

/// The time limit of the whole exchange.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends `hello` and receives the hello of the other end.
pub(super) async fn exchange(transport: &mut Transport, hello: &Hello) -> Result<Hello, DialError> {
    let both = async {
        transport.write_all(&hello.encode()).await.map_err(broken)?;
        receive(transport).await
    };
    match timeout(HANDSHAKE_TIMEOUT, both).await {
        Ok(received) => received,
        Err(_) => Err(DialError::Handshake("no hello arrived in time".into())),
    }
}

async fn receive(transport: &mut Transport) -> Result<Hello, DialError> {
    let mut preface = [0; PREFACE_BYTES];
    transport.read_exact(&mut preface).await.map_err(broken)?;
    let length = Hello::length(preface).map_err(|error| DialError::Handshake(error.0))?;
    // `Hello::length` returns at most `HELLO_BYTES_MAX`.
    let mut bytes = vec![0; length];
    transport.read_exact(&mut bytes).await.map_err(broken)?;
    Hello::decode(&bytes).map_err(|error| DialError::Handshake(error.0))
}

fn broken(error: io::Error) -> DialError {
    DialError::Broken(error.to_string())
}
