//! The state that the application's handles and the node's tasks share.
//!
//! ```text
//!  Node, Pending, Events ──► Shared ◄── driver, readers, writers
//!                              ├─ plane: sends, the inbox (its own lock)
//!                              ├─ router: locked for short times, by the driver and for statistics
//!                              └─ requests ──► driver
//! ```

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tracing::Span;

use super::clock;
use super::completion::Completion;
use super::counters::Counters;
use super::events::Subscriptions;
use super::input::Request;
use super::known_hosts::KnownHosts;
use super::resolver::Resolver;
use super::security::Security;
use super::sink::{NodeSink, NodeView};
use super::sys::fork::ForkGeneration;
use super::tasks;
use crate::config::Config;
use crate::error::{RecvError, SendError};
use crate::forward::delivery::FirstNumbers;
use crate::forward::plane::{Limits, Plane};
use crate::message::{Message, Outcome, Outcomes, Outgoing, Recipients, Report};
use crate::name::{Instance, MessageId, Namespace, NodeName};
use crate::protocol::io::{Command, Reply, RequestId};
use crate::protocol::router::Router;
use crate::stats::Stats;
use crate::wire::hello::{Hello, Purpose};

/// The state of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NodeState {
    /// In use.
    Open,
    /// Accepts no new sends and finishes the outstanding ones.
    Closing,
    /// All tasks have ended.
    Closed,
}

/// The settings that can change while a node runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) degree: u32,
    pub(crate) msa_timeout: Duration,
}

/// A running node.
pub(crate) struct Shared {
    pub(crate) name: NodeName,
    pub(crate) namespace: Namespace,
    pub(crate) instance: Instance,
    /// The TCP port on which it listens.
    pub(crate) port: u16,
    /// The port to dial if an address does not name one.
    pub(crate) port_default: u16,
    pub(crate) plane: Plane<NodeSink<Self>>,
    pub(super) counters: Arc<Counters>,
    /// The keys; `None` for an open node.
    pub(crate) security: Option<Security>,
    pub(crate) resolver: Resolver,
    pub(super) known_hosts: KnownHosts,
    pub(crate) subscriptions: Subscriptions,
    /// The tracing span of every task of the node.
    pub(super) span: Span,
    // A `watch` channel would not do: it cannot be waited on by a thread whose thread-locals are
    // destroyed.
    state: AtomicU8,
    state_changed: Notify,
    /// Whether the control plane has announcements that the routes do not reflect yet.
    pub(super) routes_pending: AtomicBool,
    /// Notified of every new snapshot of the routes.
    pub(crate) installs: Notify,
    /// Notified when an interface or address came up. Only tasks of the runtime wait on it.
    pub(super) network_changes: watch::Sender<()>,
    router: Mutex<Router>,
    settings: Mutex<Settings>,
    /// The timeout of a send that sets none, in nanoseconds; `u64::MAX` is no timeout.
    timeout: AtomicU64,
    requests: mpsc::UnboundedSender<Request>,
    next_request: AtomicU64,
    /// The process that started the node.
    process: ForkGeneration,
}

impl Shared {
    pub(super) fn new(
        config: &Config,
        instance: Instance,
        port: u16,
        router: Router,
        security: Option<Security>,
        requests: mpsc::UnboundedSender<Request>,
    ) -> Arc<Self> {
        let counters = Arc::new(Counters::default());
        let limits =
            Limits { max_message: config.max_message, receive_buffer: config.receive_buffer };
        let mut secret = [0; 32];
        clock::fill_random(&mut secret);
        Arc::new_cyclic(|shared| {
            let sink = NodeSink::new(shared.clone(), counters.clone());
            Self {
                name: config.name.clone(),
                namespace: config.namespace.clone(),
                instance,
                port,
                port_default: if config.port == 0 { port } else { config.port },
                plane: Plane::new(
                    config.name.clone(),
                    instance,
                    limits,
                    FirstNumbers::new(secret),
                    sink,
                ),
                security,
                resolver: Resolver::new(counters.clone()),
                known_hosts: KnownHosts::new(&config.seeds),
                counters,
                subscriptions: Subscriptions::default(),
                span: tracing::info_span!("node", name = %config.name),
                state: AtomicU8::new(NodeState::Open as u8),
                state_changed: Notify::new(),
                routes_pending: AtomicBool::new(false),
                installs: Notify::new(),
                network_changes: watch::Sender::new(()),
                router: Mutex::new(router),
                settings: Mutex::new(Settings {
                    degree: config.degree,
                    msa_timeout: config.msa_timeout,
                }),
                timeout: AtomicU64::new(nanoseconds(config.timeout)),
                requests,
                next_request: AtomicU64::new(1),
                process: ForkGeneration::current(),
            }
        })
    }

    /// Locks the control plane. The caller must release the lock soon.
    pub(super) fn router(&self) -> MutexGuard<'_, Router> {
        self.router.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hello of this node.
    pub(super) fn hello(&self, purpose: Purpose) -> Hello {
        self.router().hello(purpose)
    }

    /// The current settings.
    pub(crate) fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of the peers, sorted.
    pub(crate) fn peers(&self) -> Vec<NodeName> {
        if self.has_ended() { Vec::new() } else { self.router().peers() }
    }

    /// The counters of the control plane, the data plane and the driver.
    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.router().count(&mut stats);
        self.plane.count(&mut stats);
        self.counters.count(&mut stats);
        stats
    }

    /// Sends the control plane a command without a reply.
    pub(crate) fn command(&self, command: Command) {
        // Fails only if the node is closed, and then the command has no effect.
        let _ = self.requests.send(Request::Command(command));
    }

    /// Sends the control plane a command with a reply. Returns the request id, and the receiver of
    /// the reply.
    pub(crate) fn request(
        &self,
        command: impl FnOnce(RequestId) -> Command,
    ) -> (RequestId, oneshot::Receiver<Reply>) {
        let request = RequestId(self.next_request.fetch_add(1, Ordering::Relaxed));
        let (reply, receiver) = oneshot::channel();
        let command = command(request);
        // If the node is closed, the sender of the reply is dropped, which the receiver reports.
        let _ = self.requests.send(Request::CommandWithReply { request, command, reply });
        (request, receiver)
    }

    /// Whether the node is closing or closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.has_reached(NodeState::Closing)
    }

    fn has_ended(&self) -> bool {
        self.has_reached(NodeState::Closed)
    }

    /// Waits until the node has reached this state or a later one.
    pub(crate) async fn reached(&self, state: NodeState) {
        loop {
            let changed = self.state_changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.has_reached(state) {
                return;
            }
            changed.await;
        }
    }

    fn has_reached(&self, state: NodeState) -> bool {
        self.state.load(Ordering::SeqCst) >= state as u8
    }

    /// Advances the state. Returns `false` if the node was in this state, or a later one, before.
    fn advance(&self, to: NodeState) -> bool {
        let is_first = self.state.fetch_max(to as u8, Ordering::SeqCst) < to as u8;
        self.state_changed.notify_waiters();
        is_first
    }

    /// Begins to close the node. Never waits.
    pub(crate) fn close(&self) {
        if self.advance(NodeState::Closing) {
            // Waiters return now. Callbacks run after the flush, with the result of their send.
            let mut waiters = Vec::new();
            self.plane.stop(clock::now(), |completion| waiters.extend(completion.release()));
            for waiter in waiters {
                waiter.resolve(Err(SendError::Closed));
            }
            self.wake_all();
            self.subscriptions.close();
            let _ = self.requests.send(Request::Close);
        }
    }

    /// Completes whatever is still pending, and wakes every waiter.
    pub(super) fn finish(&self) {
        self.close();
        self.plane.close();
        self.wake_all();
        self.plane.sink().callback_thread.end();
        self.resolver.close();
        self.advance(NodeState::Closed);
    }

    /// Whether this process is a fork of the one that started the node.
    pub(crate) fn is_forked(&self) -> bool {
        self.process.is_ancestor()
    }

    /// Frees what can be freed in a forked child, where the node does not run: the memory of
    /// messages. It never waits for a lock, because the thread that held it at the fork may exist
    /// only in the parent.
    pub(crate) fn abandon(&self) {
        self.plane.abandon();
    }

    /// Counts and logs the panic of a thread outside of the driver.
    pub(crate) fn note_panic(&self, task: &'static str, panic: &(dyn std::any::Any + Send)) {
        tasks::note_panic(task, &self.counters, panic);
    }

    fn wake_all(&self) {
        let sink = self.plane.sink();
        sink.inbox.notify_waiters();
        sink.space.notify_waiters();
        sink.sync_wakeup_fd(|| self.is_readable());
    }

    /// Whether there is something to receive, the end included.
    pub(crate) fn is_readable(&self) -> bool {
        self.plane.waiting() > 0 || self.is_closed()
    }

    /// Takes up to `max` messages; `None` if there are none yet.
    pub(crate) fn take(&self, max: usize) -> Result<Option<Vec<Message>>, RecvError> {
        let closed = self.is_closed();
        let (messages, left) = self.plane.take(max.max(1));
        self.after_take(left);
        if messages.is_empty() {
            return if closed { Err(RecvError::Closed) } else { Ok(None) };
        }
        Ok(Some(messages))
    }

    /// Takes a message; `None` if there is none yet.
    pub(crate) fn take_one(&self) -> Result<Option<Message>, RecvError> {
        let closed = self.is_closed();
        let (message, left) = self.plane.take_one();
        self.after_take(left);
        if message.is_none() && closed { Err(RecvError::Closed) } else { Ok(message) }
    }

    /// Updates the waiters after messages were taken; `left` is the number that are still there.
    fn after_take(&self, left: usize) {
        let sink = self.plane.sink();
        sink.sync_wakeup_fd(|| self.is_readable());
        // The inbox wakes one receiver when it fills. One that leaves messages wakes the next.
        if left > 0 && sink.receivers.load(Ordering::SeqCst) > 0 {
            sink.inbox.notify_one();
        }
    }

    /// Waits for a message, then takes up to `max` messages.
    pub(crate) async fn recv_many(&self, max: usize) -> Result<Vec<Message>, RecvError> {
        self.wait_to_take(|| self.take(max)).await
    }

    /// Waits for a message.
    pub(crate) async fn recv(&self) -> Result<Message, RecvError> {
        self.wait_to_take(|| self.take_one()).await
    }

    /// Waits until `take` returns something.
    async fn wait_to_take<R>(
        &self,
        take: impl Fn() -> Result<Option<R>, RecvError>,
    ) -> Result<R, RecvError> {
        if let Some(taken) = take()? {
            return Ok(taken);
        }
        let sink = self.plane.sink();
        let _receiving = sink.receiving();
        loop {
            let filled = sink.inbox.notified();
            tokio::pin!(filled);
            filled.as_mut().enable();
            if let Some(taken) = take()? {
                return Ok(taken);
            }
            filled.await;
        }
    }

    /// The timeout of a send that sets none.
    pub(crate) fn timeout(&self) -> Duration {
        match self.timeout.load(Ordering::Relaxed) {
            u64::MAX => Duration::MAX,
            nanoseconds => Duration::from_nanos(nanoseconds),
        }
    }

    /// Sets the timeout of a send that sets none.
    pub(crate) fn set_timeout(&self, timeout: Duration) {
        self.timeout.store(nanoseconds(timeout), Ordering::Relaxed);
    }

    /// The deadline of a send that begins now.
    pub(crate) fn deadline(&self, outgoing: &Outgoing, now: Instant) -> Option<Instant> {
        clock::deadline_from(now, outgoing.timeout.unwrap_or_else(|| self.timeout()))
    }

    /// Begins a send.
    pub(crate) fn begin(
        &self,
        outgoing: Outgoing,
        deadline: Option<Instant>,
        completion: Completion,
        now: Instant,
    ) -> Result<MessageId, (SendError, Outgoing, Completion)> {
        self.plane.send(outgoing, deadline, completion, now)
    }

    /// The report of a message for which the local queue had no room until its deadline.
    pub(crate) fn report_not_sent(&self, outgoing: &Outgoing) -> Report {
        let routes = self.plane.fib().routes.clone();
        let mut outcomes = Outcomes::new();
        match &outgoing.recipients {
            Recipients::Broadcast => {
                outcomes.extend(routes.others().map(|(name, _)| (name.clone(), Outcome::Busy)));
            }
            Recipients::Set(names) => {
                for name in names.iter().filter(|name| **name != self.name) {
                    if outcomes.iter().any(|(known, _)| known == name) {
                        continue;
                    }
                    let outcome = match routes.route(name.as_str()) {
                        Some(_) => Outcome::Busy,
                        None => Outcome::NoRoute,
                    };
                    outcomes.push((name.clone(), outcome));
                }
            }
        }
        Report::new(outcomes)
    }
}

/// A duration in nanoseconds; `u64::MAX`, which is no limit, for more than 584 years.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl NodeView for Shared {
    fn is_readable(&self) -> bool {
        self.is_readable()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.plane.poll_timeout()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // If the runtime was dropped first, nothing else ends the thread.
        self.plane.sink().callback_thread.end();
    }
}
