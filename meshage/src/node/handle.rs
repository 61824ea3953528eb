//! A handle on a running node: its lifecycle, settings, links and topology.

use std::sync::Arc;
use std::time::Duration;

use super::Keys;
use super::drop_guard::DropGuard;
use crate::config::{Config, DEGREE_MAX, valid_msa_timeout};
use crate::error::{ConfigError, DialError, HangupError, StartError};
use crate::name::{Instance, Namespace, NodeName};
use crate::net::shared::{NodeState, Shared};
use crate::net::{self, clock};
use crate::protocol::io::{Command, Reply};
use crate::secure::{KeyError, PublicKey};
use crate::stats::Stats;
use crate::topology::Mesh;

/// A participant in the mesh. Cheap to clone. The node closes when the last clone is dropped.
///
/// Every method may be called from any thread at any time.
#[derive(Clone)]
pub struct Node {
    pub(super) shared: Arc<Shared>,
    _close_on_drop: Arc<CloseOnDrop>,
}

/// Closes the node when the application has dropped its last clone.
struct CloseOnDrop(Arc<Shared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if self.0.is_forked() { self.0.abandon() } else { self.0.close() }
    }
}

impl Node {
    /// Starts a node on the current tokio runtime.
    ///
    /// # Errors
    /// [`StartError`] if the port is in use or the address does not belong to this machine.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let shared = net::start(&config)?;
        Ok(Self { _close_on_drop: Arc::new(CloseOnDrop(shared.clone())), shared })
    }

    /// The node's name.
    pub fn name(&self) -> &NodeName {
        &self.shared.name
    }

    /// The node's namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.shared.namespace
    }

    /// The node's instance.
    pub fn instance(&self) -> Instance {
        self.shared.instance
    }

    /// The TCP port that the node listens on.
    pub fn port(&self) -> u16 {
        self.shared.port
    }

    /// The number of links that the node looks for.
    pub fn degree(&self) -> u32 {
        self.shared.settings().degree
    }

    /// Sets the number of links that the node looks for.
    ///
    /// # Errors
    /// [`ConfigError::Range`] beyond 256.
    pub fn set_degree(&self, degree: u32) -> Result<(), ConfigError> {
        if degree > DEGREE_MAX {
            return Err(ConfigError::Range("degree", "0 to 256"));
        }
        let mut settings = self.shared.settings();
        settings.degree = degree;
        self.shared.command(Command::SetDegree(degree));
        Ok(())
    }

    /// The MSA period: how often the node compares what it knows of the mesh with its peers.
    pub fn msa_timeout(&self) -> Duration {
        self.shared.settings().msa_timeout
    }

    /// Sets the MSA period.
    ///
    /// # Errors
    /// [`ConfigError::Range`] outside 100 ms to 24 h.
    pub fn set_msa_timeout(&self, period: Duration) -> Result<(), ConfigError> {
        if !valid_msa_timeout(period) {
            return Err(ConfigError::Range("msa_timeout", "100 ms to 24 h"));
        }
        let mut settings = self.shared.settings();
        settings.msa_timeout = period;
        self.shared.command(Command::SetMsaTimeout(period));
        Ok(())
    }

    /// The timeout of sends that do not set their own.
    pub fn timeout(&self) -> Duration {
        self.shared.timeout()
    }

    /// Sets the timeout of later sends that do not set their own.
    pub fn set_timeout(&self, timeout: Duration) {
        self.shared.set_timeout(timeout);
    }

    /// The pre-shared keys.
    pub fn keys(&self) -> Keys<'_> {
        Keys(self)
    }

    /// The public key of the node's identity; `None` for an open node.
    pub fn public_key(&self) -> Option<PublicKey> {
        Some(self.shared.security.as_ref()?.public_key())
    }

    /// Takes a revocation of a ticket, and passes it on to every node: the contents of the file that
    /// `cargo xtask key revoke` makes, or the bytes that they stand for. Links of the node that has
    /// the ticket are closed everywhere.
    ///
    /// # Errors
    /// [`KeyError::Revocation`] if it was not signed by the root, [`KeyError::NoRoot`] without a root,
    /// [`KeyError::Open`] on an open node, [`KeyError::Closed`].
    pub fn revoke(&self, revocation: &[u8]) -> Result<(), KeyError> {
        if self.is_closed() {
            return Err(KeyError::Closed);
        }
        let security = self.shared.security.as_ref().ok_or(KeyError::Open)?;
        let revocation = security.read_revocation(revocation)?;
        self.shared.command(Command::Revoke(revocation.encode().into()));
        Ok(())
    }

    /// Announces the node's links now.
    pub fn msa(&self) {
        self.shared.command(Command::Announce);
    }

    /// Establishes a link to the node that listens at `host`, `host:port` or `[v6]:port`, and
    /// returns its name. A link-local address has a zone: `fe80::1%eth0`. Times out after 10 s.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn dial(&self, address: &str) -> Result<NodeName, DialError> {
        self.dial_timeout(address, net::DIAL_TIMEOUT).await
    }

    /// As [`Node::dial`], with a shorter time limit. A dial ends after 10 s at the latest. With a
    /// limit of 0 nothing is dialled, because a dial takes at least a round trip.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn dial_timeout(
        &self,
        address: &str,
        limit: Duration,
    ) -> Result<NodeName, DialError> {
        self.dial_before(address, limit, clock::passed(clock::deadline(limit))).await
    }

    /// As [`Node::dial_timeout`]; `passed` is ready once the limit has passed.
    pub(crate) async fn dial_before(
        &self,
        address: &str,
        limit: Duration,
        passed: impl Future<Output = ()>,
    ) -> Result<NodeName, DialError> {
        // A closed node may have no runtime any more, and the timer of the limit needs one.
        if self.is_closed() {
            return Err(DialError::Closed);
        }
        // A dial takes a round trip at least, so without any time it is not begun.
        if limit.is_zero() {
            let invalid = |why: &str| DialError::Address(address.into(), why.into());
            crate::address::split(address, self.shared.port_default).map_err(invalid)?;
            return Err(DialError::Timeout(limit));
        }
        let address = address.to_owned();
        let (request, reply) = self.shared.request(|request| Command::Dial { request, address });
        let mut cancel = DropGuard::new(|| self.shared.command(Command::CancelDial { request }));
        let reply = tokio::select! {
            biased;
            reply = reply => reply,
            () = passed => return Err(DialError::Timeout(limit)),
        };
        cancel.disarm();
        match reply {
            Ok(Reply::Dial(result)) => result,
            Ok(Reply::Hangup(_)) | Err(_) => Err(DialError::Closed),
        }
    }

    /// Closes the link to a peer.
    ///
    /// # Errors
    /// [`HangupError::NotAPeer`] if there is no such link.
    pub async fn hangup(&self, peer: &str) -> Result<(), HangupError> {
        if self.is_closed() {
            return Err(HangupError::Closed);
        }
        let Ok(name) = NodeName::new(peer) else {
            return Err(HangupError::NotAPeer(peer.into()));
        };
        let (_, reply) = self.shared.request(|request| Command::Hangup { request, peer: name });
        match reply.await {
            Ok(Reply::Hangup(result)) => result,
            Ok(Reply::Dial(_)) | Err(_) => Err(HangupError::Closed),
        }
    }

    /// The topology as this node knows it, itself included.
    pub fn mesh(&self) -> Mesh {
        self.shared.plane.fib().routes.mesh()
    }

    /// The topology in Graphviz's DOT language.
    pub fn dot(&self) -> String {
        self.mesh().to_dot()
    }

    /// The node's peers, sorted.
    pub fn peers(&self) -> Vec<NodeName> {
        self.shared.peers()
    }

    /// The node's counters.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Starts to close and returns at once. The node accepts no more sends, wakes every waiter,
    /// flushes the messages in flight, and notifies its peers. This takes 2 s at most.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Whether [`Node::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Waits until the node is closed: none of its tasks runs, and its port is free. Inside one of
    /// the node's own callbacks, it does not wait for that callback.
    pub async fn closed(&self) {
        self.shared.reached(NodeState::Closed).await;
        self.shared.plane.sink().callback_thread.ended().await;
    }

    /// Waits, without a runtime, until the node's own threads have ended; those that resolve names
    /// up to a limit.
    pub(crate) fn join_threads(&self, limit: Duration) {
        self.shared.resolver.join(limit);
        self.shared.plane.sink().callback_thread.join();
    }

    /// Whether this process is a fork of the one that started the node.
    pub(crate) fn is_forked(&self) -> bool {
        self.shared.is_forked()
    }

    /// Counts and logs the panic of a thread that works for the node outside of this crate. This is
    /// for bindings.
    pub fn note_panic(&self, task: &'static str, panic: &(dyn std::any::Any + Send)) {
        self.shared.note_panic(task, panic);
    }

    /// Frees what can be freed of a node that belongs to the parent of this process.
    pub(crate) fn abandon(&self) {
        self.shared.abandon();
    }

    /// Whether this is the callback thread.
    pub(crate) fn is_in_callback(&self) -> bool {
        self.shared.plane.sink().callback_thread.is_current()
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("name", self.name())
            .field("instance", &self.instance())
            .field("port", &self.port())
            .finish_non_exhaustive()
    }
}
