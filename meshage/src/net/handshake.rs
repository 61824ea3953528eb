//! The first bytes of a connection.
//!
//! ```text
//!  open     both ends send a hello at once
//!  closed   secure::Handshake decides what to read and what to send; the hellos are sealed
//! ```
//!
//! The router decides whether the connection becomes a link. This module only checks that the
//! other end uses the protocol, has a key if this node has one, and sends its hello in time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use super::clock;
use super::security::{Contexts, Security};
use super::transport::Transport;
use crate::error::DialError;
use crate::secure::handshake::{Context, HandshakeError, MAGIC_BYTES, Peer, Stage};
use crate::secure::preface::{self, HEADER_BYTES, Header, Preface};
use crate::secure::{AuthError, Handshake, KeyId, Secured};
use crate::wire::WireError;
use crate::wire::hello::{Hello, PREFACE_BYTES};

/// The time limit of the whole exchange.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// The time in which the other end of a failed handshake may read why it failed. It is a part of the
/// handshake: it takes a place, and gives it to others as a handshake does.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);
/// The same for the dialling end, whose caller waits.
const LAST_WORDS_TIMEOUT_DIALLER: Duration = Duration::from_millis(250);

/// Which end this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Dialler,
    Listener,
}

/// What a node says in its handshakes.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    pub(super) hello: Hello,
    /// The keys, unless the node is open.
    keys: Option<Keys>,
}

#[derive(Debug, Clone)]
struct Keys {
    context: Arc<Context>,
    contexts: Arc<Contexts>,
}

impl Offer {
    /// An offer under the current keys.
    pub(super) fn new(hello: Hello, security: Option<&Security>) -> Self {
        let keys = security
            .map(|security| Keys { context: security.context(), contexts: security.contexts() });
        Self { hello, keys }
    }
}

/// The other end of a connection.
#[derive(Debug)]
pub(super) struct Met {
    pub(super) hello: Hello,
    /// What it has proven, if the connection is sealed.
    pub(super) sealed: Option<Box<SealedWith>>,
}

/// The other end of a sealed connection.
#[derive(Debug)]
pub(super) struct SealedWith {
    pub(super) peer: Peer,
    /// The ids of the keys that it was told.
    pub(super) announced: Vec<KeyId>,
    /// The key under which both directions are.
    pub(super) key: KeyId,
}

/// The stage of a handshake, which its task sets and others read.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicU8);

impl Progress {
    pub(super) fn stage(&self) -> Stage {
        match self.0.load(Ordering::Relaxed) {
            0 => Stage::Silent,
            1 => Stage::KeyNamed,
            _ => Stage::KeyProven,
        }
    }

    pub(super) fn set(&self, stage: Stage) {
        self.0.store(stage as u8, Ordering::Relaxed);
    }
}

/// Exchanges hellos. A node with keys seals the connection.
pub(super) async fn exchange(
    transport: &mut Transport,
    offer: &Offer,
    end: End,
    progress: &Progress,
) -> Result<Met, DialError> {
    let both = async {
        match &offer.keys {
            Some(keys) => exchange_sealed(transport, &offer.hello, keys, end, progress).await,
            None => exchange_open(transport, &offer.hello).await,
        }
    };
    match timeout(HANDSHAKE_TIMEOUT, both).await {
        Ok(met) => met,
        Err(_) => Err(DialError::Handshake("no hello arrived in time".into())),
    }
}

async fn exchange_open(transport: &mut Transport, hello: &Hello) -> Result<Met, DialError> {
    transport.write_all(&hello.encode()).await.map_err(broken)?;
    let mut preface = [0; PREFACE_BYTES];
    let (magic, rest) = preface.split_at_mut(MAGIC_BYTES);
    transport.read_exact(magic).await.map_err(broken)?;
    if magic == preface::MAGIC {
        let heard = receive_ids(transport).await?;
        return Err(DialError::Auth(AuthError::PeerIsClosed { heard }));
    }
    transport.read_exact(rest).await.map_err(broken)?;
    let length = Hello::length(preface).map_err(wrong)?;
    // `Hello::length` returns at most `HELLO_BYTES_MAX`.
    let mut bytes = vec![0; length];
    transport.read_exact(&mut bytes).await.map_err(broken)?;
    let hello = Hello::decode(&bytes).map_err(wrong)?;
    Ok(Met { hello, sealed: None })
}

/// Receives the ids of the keys of a closed node, after the magic of its preface.
async fn receive_ids(transport: &mut Transport) -> Result<Vec<KeyId>, DialError> {
    let mut header = [0; HEADER_BYTES];
    header[..MAGIC_BYTES].copy_from_slice(&preface::MAGIC);
    transport.read_exact(&mut header[MAGIC_BYTES..]).await.map_err(broken)?;
    let header = Header::decode(&header).map_err(wrong)?;
    // At most 8 ids and proofs.
    let mut rest = vec![0; header.rest_bytes()];
    transport.read_exact(&mut rest).await.map_err(broken)?;
    Ok(Preface::decode(header, &rest).map_err(wrong)?.ids)
}

async fn exchange_sealed(
    transport: &mut Transport,
    hello: &Hello,
    keys: &Keys,
    end: End,
    progress: &Progress,
) -> Result<Met, DialError> {
    let random = &mut |bytes: &mut [u8]| clock::fill_random(bytes);
    let mut handshake = match end {
        End::Dialler => Handshake::dial(keys.context.clone(), hello.clone(), random),
        End::Listener => Handshake::listen(keys.context.clone(), hello.clone()),
    };
    let secured = run(transport, &mut handshake, progress).await;
    let output = handshake.take_output();
    match secured {
        Ok(Secured { sealer, opener, peer }) => {
            transport.write_all(&output).await.map_err(broken)?;
            let (hello, announced) = (peer.hello.clone(), keys.context.ring.ids());
            let sealed = SealedWith { peer, announced, key: sealer.key_id() };
            transport.seal(sealer, opener, keys.contexts.clone());
            Ok(Met { hello, sealed: Some(Box::new(sealed)) })
        }
        Err(error) => {
            say_why(transport, &output, end).await;
            Err(error)
        }
    }
}

async fn run(
    transport: &mut Transport,
    handshake: &mut Handshake,
    progress: &Progress,
) -> Result<Secured, DialError> {
    let mut bytes = Vec::new();
    loop {
        transport.write_all(&handshake.take_output()).await.map_err(broken)?;
        // Every length is bounded: no message of a handshake has more than 4 KiB.
        bytes.resize(handshake.wanted(), 0);
        transport.read_exact(&mut bytes).await.map_err(broken)?;
        let random = &mut |bytes: &mut [u8]| clock::fill_random(bytes);
        let received = handshake.receive(&bytes, clock::unix_millis(), random);
        progress.set(handshake.stage());
        match received {
            Ok(Some(secured)) => return Ok(secured),
            Ok(None) => {}
            Err(HandshakeError::Auth(error)) => return Err(DialError::Auth(error)),
            Err(HandshakeError::Wire(error)) => return Err(wrong(error)),
        }
    }
}

/// Sends the last bytes of a handshake that failed, and lets the other end read them. A connection
/// that is closed with unread bytes is reset, and the other end may not read what was sent before.
/// The dialling end closes first, so that the listening port is not in TIME_WAIT.
async fn say_why(transport: &mut Transport, output: &[u8], end: End) {
    let limit = match end {
        End::Dialler => LAST_WORDS_TIMEOUT_DIALLER,
        End::Listener if output.is_empty() => return,
        End::Listener => LAST_WORDS_TIMEOUT,
    };
    let say = async {
        // If it fails, the other end is gone.
        if transport.write_all(output).await.is_ok() {
            if end == End::Dialler {
                transport.end();
            }
            transport.discard().await;
        }
    };
    let _ = timeout(limit, say).await;
}

fn wrong(error: WireError) -> DialError {
    DialError::Handshake(error.0)
}

fn broken(error: io::Error) -> DialError {
    DialError::Broken(error.to_string())
}
