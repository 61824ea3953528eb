//! A node, asynchronously.
//!
//! Everything here is a handle on what `net/` runs: sends and receives go straight to the data
//! plane, the rest asks the control task.

mod pending;
mod streams;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::{sleep_until, timeout};

use crate::config::{Config, DEGREE_MAX, valid_msa_timeout};
use crate::error::{
    ConfigError, DialError, HangupError, RecvError, SendError, StartError, WaitError,
};
use crate::message::{Message, Outgoing, Report};
use crate::name::{Instance, MessageId, Namespace, NodeName};
use crate::net::completion::{Completion, CompletionState};
use crate::net::shared::{NodeState, Shared};
#[cfg(unix)]
use crate::net::sys::wakeup_fd::WakeupFd;
use crate::net::{self, clock};
use crate::protocol::io::{Command, Reply};
use crate::stats::Stats;
use crate::topology::Mesh;

pub use self::pending::Pending;
pub use self::streams::{Events, Messages};
pub use crate::net::events::EVENTS_MAX;

/// A participant of the mesh. Cheap to clone; the node closes when the last clone is dropped.
///
/// Every method may be called from any thread at any time.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
    _last: Arc<Last>,
}

/// Closes the node when the application holds no more of it.
struct Last(Arc<Shared>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What became of a send that waited for room.
enum PartialFrame {
    Sent(MessageId),
    /// There was none to its deadline.
    NeverLeft(Report),
}

/// What [`Node::wait_for`] waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Awaited {
    /// All of these are reachable.
    Nodes(Vec<NodeName>),
    /// So many nodes are on the mesh, this one included.
    Count(usize),
}

impl Node {
    /// Starts a node on the current tokio runtime.
    ///
    /// # Errors
    /// [`StartError`] where the port is taken or the address is not this machine's.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let shared = net::start(&config)?;
        Ok(Self { _last: Arc::new(Last(shared.clone())), shared })
    }

    /// Its name.
    pub fn name(&self) -> &NodeName {
        &self.shared.name
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.shared.namespace
    }

    /// This life of it.
    pub fn instance(&self) -> Instance {
        self.shared.instance
    }

    /// The TCP port it listens on.
    pub fn port(&self) -> u16 {
        self.shared.port
    }

    /// How many links it wants.
    pub fn degree(&self) -> u32 {
        self.shared.settings().degree
    }

    /// Wants so many links from now on.
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

    /// How often it announces its links though nothing changed.
    pub fn msa_timeout(&self) -> Duration {
        self.shared.settings().msa_timeout
    }

    /// Announces so often from now on.
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

    /// How long a send waits where it does not say.
    pub fn timeout(&self) -> Duration {
        self.shared.timeout()
    }

    /// Sends wait so long from now on where they do not say.
    pub fn set_timeout(&self, timeout: Duration) {
        self.shared.set_timeout(timeout);
    }

    /// Announces its links now.
    pub fn msa(&self) {
        self.shared.command(Command::Announce);
    }

    /// Links to the node that listens at `host`, `host:port` or `[v6]:port`; gives its name.
    /// Times out after 10 s.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn dial(&self, address: &str) -> Result<NodeName, DialError> {
        self.dial_timeout(address, net::DIAL_TIMEOUT).await
    }

    /// The same, with a time limit of its own. A dial ends after 10 s at the latest.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn dial_timeout(
        &self,
        address: &str,
        limit: Duration,
    ) -> Result<NodeName, DialError> {
        let address = address.to_owned();
        let (request, reply) = self.shared.request(|request| Command::Dial { request, address });
        let mut abandoned = OnDrop::new(|| self.shared.command(Command::CancelDial { request }));
        let reply = match clock::deadline(limit) {
            Some(_) => timeout(limit, reply).await.map_err(|_| DialError::Timeout(limit))?,
            None => reply.await,
        };
        abandoned.disarm();
        match reply {
            Ok(Reply::Dial(result)) => result,
            Ok(Reply::Hangup(_)) | Err(_) => Err(DialError::Closed),
        }
    }

    /// Closes the link to a peer.
    ///
    /// # Errors
    /// [`HangupError::NotAPeer`] where there is no such link.
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

    /// Sends to the named nodes and waits for their acknowledgements.
    ///
    /// # Errors
    /// [`SendError`] where nothing was sent.
    pub async fn set(
        &self,
        recipients: impl IntoIterator<Item = NodeName>,
        body: impl Into<Bytes>,
    ) -> Result<Report, SendError> {
        self.send(Outgoing::set(recipients, body)).await
    }

    /// Sends to every reachable node and waits for their acknowledgements.
    ///
    /// # Errors
    /// [`SendError`] where nothing was sent.
    pub async fn broadcast(&self, body: impl Into<Bytes>) -> Result<Report, SendError> {
        self.send(Outgoing::broadcast(body)).await
    }

    /// Sends a message made by hand and waits for the acknowledgements. Dropping the future
    /// cancels the send.
    ///
    /// # Errors
    /// [`SendError`] where nothing was sent.
    pub async fn send(&self, outgoing: Outgoing) -> Result<Report, SendError> {
        let now = clock::now();
        let deadline = self.shared.deadline(&outgoing, now);
        let ending = CompletionState::for_waiter();
        let completion = Completion::new(ending.clone());
        let id = match self.shared.begin(outgoing, deadline, completion, now) {
            Ok(id) => id,
            Err((SendError::Again, outgoing, completion)) => {
                match self.begin_in_time(outgoing, deadline, completion).await? {
                    PartialFrame::Sent(id) => id,
                    PartialFrame::NeverLeft(report) => return Ok(report),
                }
            }
            Err((error, _, _)) => return Err(error),
        };
        let mut abandoned = OnDrop::new(|| self.shared.plane.cancel(id, clock::now()));
        let result = poll_fn(|cx| ending.poll(cx)).await;
        abandoned.disarm();
        CompletionState::recycle(ending);
        result
    }

    /// Waits for room in the local queue, and begins the send then.
    async fn begin_in_time(
        &self,
        mut outgoing: Outgoing,
        deadline: Option<Instant>,
        mut completion: Completion,
    ) -> Result<PartialFrame, SendError> {
        loop {
            let mut space = pin!(self.shared.plane.sink().space.notified());
            space.as_mut().enable();
            match self.shared.begin(outgoing, deadline, completion, clock::now()) {
                Ok(id) => return Ok(PartialFrame::Sent(id)),
                Err((SendError::Again, back, again)) => (outgoing, completion) = (back, again),
                Err((error, _, _)) => return Err(error),
            }
            let in_time = match deadline {
                Some(deadline) => tokio::select! {
                    () = space => true,
                    () = sleep_until(deadline.into()) => false,
                },
                None => {
                    space.await;
                    true
                }
            };
            if !in_time {
                return Ok(PartialFrame::NeverLeft(self.shared.report_not_sent(&outgoing)));
            }
        }
    }

    /// Begins a send whose end is left at `ending`; gives the message back where there is no room.
    pub(crate) fn try_send(
        &self,
        outgoing: Outgoing,
        ending: &Arc<CompletionState>,
    ) -> Result<MessageId, (SendError, Outgoing)> {
        let now = clock::now();
        let deadline = self.shared.deadline(&outgoing, now);
        let completion = Completion::new(ending.clone());
        let begun = self.shared.begin(outgoing, deadline, completion, now);
        begun.map_err(|(error, back, _)| (error, back))
    }

    /// Begins a send and gives back at once.
    ///
    /// # Errors
    /// [`SendError::Again`] where the local queue is full, or another error: nothing was sent.
    pub fn start_send(&self, outgoing: Outgoing) -> Result<Pending, SendError> {
        self.begin(outgoing, CompletionState::for_waiter())
    }

    /// Begins a send; `done` is called once, from a thread that does no I/O, when it has ended. Where
    /// the node closes meanwhile, it still hears what became of it, or [`SendError::Closed`] at last.
    ///
    /// # Errors
    /// As [`Node::start_send`]; `done` is not called then.
    pub fn send_with(
        &self,
        outgoing: Outgoing,
        done: impl FnOnce(Result<Report, SendError>) + Send + 'static,
    ) -> Result<Pending, SendError> {
        self.begin(outgoing, CompletionState::with_callback(done))
    }

    fn begin(
        &self,
        outgoing: Outgoing,
        ending: Arc<CompletionState>,
    ) -> Result<Pending, SendError> {
        match self.try_send(outgoing, &ending) {
            Ok(id) => Ok(Pending::new(self.shared.clone(), id, ending)),
            Err((error, _)) => Err(error),
        }
    }

    /// The nodes that a broadcast would go to now, sorted.
    pub fn broadcast_recipients(&self) -> Vec<NodeName> {
        let mut names: Vec<NodeName> =
            self.shared.plane.fib().routes.others().map(|(name, _)| name.clone()).collect();
        names.dedup();
        names
    }

    /// Waits for a message. Dropping the future loses none.
    ///
    /// # Errors
    /// [`RecvError::Closed`] once the node is closed and its queue is empty.
    pub async fn recv(&self) -> Result<Message, RecvError> {
        self.shared.recv().await
    }

    /// Waits for a message, then takes up to `max` that are there.
    ///
    /// # Errors
    /// As [`Node::recv`].
    pub async fn recv_many(&self, max: usize) -> Result<Vec<Message>, RecvError> {
        self.shared.recv_many(max).await
    }

    /// Takes a message if there is one.
    ///
    /// # Errors
    /// [`RecvError::Timeout`] where there is none, [`RecvError::Closed`] once the node is closed.
    pub fn try_recv(&self) -> Result<Message, RecvError> {
        self.shared.take_one()?.ok_or(RecvError::Timeout)
    }

    /// Takes up to `max` messages that are there.
    ///
    /// # Errors
    /// As [`Node::try_recv`].
    pub fn try_recv_many(&self, max: usize) -> Result<Vec<Message>, RecvError> {
        self.shared.take(max)?.ok_or(RecvError::Timeout)
    }

    /// Messages as a stream; it ends when the node is closed and its queue is empty.
    pub fn messages(&self) -> Messages {
        Messages::new(self.clone())
    }

    /// Waits until nodes are reachable; gives the topology then.
    ///
    /// # Errors
    /// [`WaitError`].
    pub async fn wait_for(&self, awaited: Awaited, limit: Duration) -> Result<Mesh, WaitError> {
        let mut installs = self.shared.installs.subscribe();
        let mut over = pin!(async {
            match clock::deadline(limit) {
                Some(deadline) => sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        });
        let mut closed = pin!(self.shared.reached(NodeState::Closing));
        loop {
            if self.is_closed() {
                return Err(WaitError::Closed);
            }
            let missing = match self.missing(&awaited) {
                Ok(mesh) => return Ok(mesh),
                Err(missing) => missing,
            };
            tokio::select! {
                // The sender lives as long as the node.
                _ = installs.changed() => {}
                () = closed.as_mut() => return Err(WaitError::Closed),
                () = over.as_mut() => return Err(WaitError::Timeout(missing)),
            }
        }
    }

    /// The topology if nothing is missing, or what is.
    fn missing(&self, awaited: &Awaited) -> Result<Mesh, Vec<NodeName>> {
        let routes = self.shared.plane.fib().routes.clone();
        match awaited {
            Awaited::Nodes(names) => {
                let is_missing = |name: &&NodeName| {
                    *name != self.name() && routes.route(name.as_str()).is_none()
                };
                let missing: Vec<NodeName> = names.iter().filter(is_missing).cloned().collect();
                if missing.is_empty() { Ok(routes.mesh()) } else { Err(missing) }
            }
            // Two nodes of one name are two entries, but one name of the topology.
            Awaited::Count(count) if routes.nodes() >= *count => {
                let mesh = routes.mesh();
                if mesh.len() >= *count { Ok(mesh) } else { Err(Vec::new()) }
            }
            Awaited::Count(_) => Err(Vec::new()),
        }
    }

    /// The topology as this node knows it, itself included.
    pub fn mesh(&self) -> Mesh {
        self.shared.plane.fib().routes.mesh()
    }

    /// The topology in Graphviz's language.
    pub fn dot(&self) -> String {
        self.mesh().to_dot()
    }

    /// The nodes it has links to, sorted.
    pub fn peers(&self) -> Vec<NodeName> {
        self.shared.peers()
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Subscribes to what happens from now on.
    pub fn events(&self) -> Events {
        Events::new(self.shared.subscriptions.subscribe(|| self.shared.is_closed()))
    }

    /// Calls `snoop` for every whole message that passes through and is not for this node, from a
    /// thread that does no I/O; `None` stops it. Messages are dropped, and counted, where it is slow.
    pub fn set_snoop(&self, snoop: Option<Box<dyn FnMut(Message) + Send>>) {
        let snoop = snoop.filter(|_| !self.is_closed());
        let on = snoop.is_some();
        self.shared.plane.sink().callback_thread.set_snooper(snoop);
        self.shared.plane.set_snoop(on);
    }

    /// A descriptor that is readable while a message waits, and once the node is closed. It belongs
    /// to the node: wait for it, but neither read it nor close it.
    ///
    /// # Errors
    /// The system's, where it has no descriptor left.
    #[cfg(unix)]
    pub fn recv_fd(&self) -> std::io::Result<std::os::fd::RawFd> {
        let sink = self.shared.plane.sink();
        let wakeup_fd = match sink.wakeup_fd.get() {
            Some(wakeup_fd) => wakeup_fd,
            None => {
                let new = WakeupFd::new()?;
                sink.wakeup_fd.get_or_init(|| new)
            }
        };
        wakeup_fd.sync(|| self.shared.is_readable());
        Ok(wakeup_fd.descriptor())
    }

    /// Begins to close and gives back at once: takes no more sends, wakes every waiter, flushes what
    /// is under way, tells the peers. All of it takes 2 s at most.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Whether [`Node::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Waits until closing is done: nothing of the node is left running, its port is free. Inside
    /// one of the node's own callbacks it does not wait for that callback.
    pub async fn closed(&self) {
        self.shared.reached(NodeState::Closed).await;
        self.shared.plane.sink().callback_thread.ended().await;
    }

    /// Waits, without a runtime, until the thread of the callbacks is gone.
    pub(crate) fn join_callbacks(&self) {
        self.shared.plane.sink().callback_thread.join();
    }

    /// Whether this is the thread of the callbacks.
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

/// Does something when dropped, unless told otherwise.
struct OnDrop<F: FnMut()> {
    act: F,
    armed: bool,
}

impl<F: FnMut()> OnDrop<F> {
    fn new(act: F) -> Self {
        Self { act, armed: true }
    }

    fn disarm(&mut self) {
        self.armed = false;
    }
}

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if self.armed {
            (self.act)();
        }
    }
}
