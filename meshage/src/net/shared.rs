//! What the application's handles and the node's tasks share.
//!
//! ```text
//!  Node, Pending, Events ──► Shared ◄── driver, readers, writers
//!                              ├─ plane: sends, the inbox (its own lock)
//!                              ├─ router: locked by the driver a moment at a time, and to be counted
//!                              └─ orders ──► driver
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tracing::Span;

use super::clock;
use super::completion::Completion;
use super::counters::Counters;
use super::driver::Order;
use super::events::Subscriptions;
use super::sink::NodeSink;
use crate::config::Config;
use crate::error::{RecvError, SendError};
use crate::forward::plane::{Limits, Plane};
use crate::message::{Message, Outcome, Outcomes, Outgoing, Recipients, Report};
use crate::name::{Instance, MessageId, Namespace, NodeName};
use crate::protocol::io::{Command, Reply, RequestId};
use crate::protocol::router::Router;
use crate::stats::Stats;
use crate::wire::hello::{Hello, Purpose};

/// How far a node is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Life {
    /// In use.
    Open,
    /// Taking no more, finishing what is under way.
    Closing,
    /// Nothing of it runs any more.
    Closed,
}

/// What may be set while a node runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) degree: u32,
    pub(crate) msa_timeout: Duration,
}

/// A running node, seen from all sides.
pub(crate) struct Shared {
    pub(crate) name: NodeName,
    pub(crate) namespace: Namespace,
    pub(crate) instance: Instance,
    /// Where it listens.
    pub(crate) port: u16,
    /// The port of an address that names none.
    pub(super) port_default: u16,
    pub(crate) plane: Plane<NodeSink>,
    pub(super) counters: Arc<Counters>,
    pub(crate) subscriptions: Subscriptions,
    /// What every task of the node logs under.
    pub(super) span: Span,
    pub(crate) life: watch::Sender<Life>,
    /// Changes with every new snapshot of the routes.
    pub(crate) installs: watch::Sender<()>,
    router: Mutex<Router>,
    settings: Mutex<Settings>,
    /// How long a send waits that does not say; read by every send.
    /// In nanoseconds; the greatest number is for ever.
    timeout: AtomicU64,
    orders: mpsc::UnboundedSender<Order>,
    requests: AtomicU64,
}

impl Shared {
    pub(super) fn new(
        config: &Config,
        instance: Instance,
        port: u16,
        router: Router,
        orders: mpsc::UnboundedSender<Order>,
    ) -> Arc<Self> {
        let counters = Arc::new(Counters::default());
        let limits =
            Limits { max_message: config.max_message, receive_buffer: config.receive_buffer };
        Arc::new_cyclic(|shared| {
            let sink = NodeSink::new(shared.clone(), counters.clone());
            Self {
                name: config.name.clone(),
                namespace: config.namespace.clone(),
                instance,
                port,
                port_default: if config.port == 0 { port } else { config.port },
                plane: Plane::new(config.name.clone(), instance, limits, sink),
                counters,
                subscriptions: Subscriptions::default(),
                span: tracing::info_span!("node", name = %config.name),
                life: watch::Sender::new(Life::Open),
                installs: watch::Sender::new(()),
                router: Mutex::new(router),
                settings: Mutex::new(Settings {
                    degree: config.degree,
                    msa_timeout: config.msa_timeout,
                }),
                timeout: AtomicU64::new(nanoseconds(config.timeout)),
                orders,
                requests: AtomicU64::new(1),
            }
        })
    }

    /// The control plane, for a moment.
    pub(super) fn router(&self) -> MutexGuard<'_, Router> {
        self.router.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this node says first on a connection.
    pub(super) fn hello(&self, purpose: Purpose) -> Hello {
        self.router().hello(purpose)
    }

    /// The settings in force.
    pub(crate) fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The peers, sorted.
    pub(crate) fn peers(&self) -> Vec<NodeName> {
        if self.is_over() { Vec::new() } else { self.router().peers() }
    }

    /// The counters of all three parts.
    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.router().count(&mut stats);
        self.plane.count(&mut stats);
        self.counters.count(&mut stats);
        stats
    }

    /// Gives the control plane a command that wants no reply.
    pub(crate) fn command(&self, command: Command) {
        // A node that is closed has no use for it.
        let _ = self.orders.send(Order::Command(command));
    }

    /// Gives the control plane a command with the number it is answered under.
    pub(crate) fn ask(
        &self,
        command: impl FnOnce(RequestId) -> Command,
    ) -> (RequestId, oneshot::Receiver<Reply>) {
        let request = RequestId(self.requests.fetch_add(1, Ordering::Relaxed));
        let (reply, replied) = oneshot::channel();
        let order = Order::Ask { request, command: command(request), reply };
        // Where the node is closed the reply's sender is dropped, which is the answer.
        let _ = self.orders.send(order);
        (request, replied)
    }

    /// Whether the node takes no more.
    pub(crate) fn is_closed(&self) -> bool {
        *self.life.borrow() != Life::Open
    }

    fn is_over(&self) -> bool {
        *self.life.borrow() == Life::Closed
    }

    /// Waits until the node has come so far.
    pub(crate) async fn reached(&self, life: Life) {
        // The sender lives as long as this does.
        let _ = self.life.subscribe().wait_for(|now| *now >= life).await;
    }

    /// Begins to close. Never waits.
    pub(crate) fn close(&self) {
        let first = self.life.send_if_modified(|life| {
            let first = *life == Life::Open;
            if first {
                *life = Life::Closing;
            }
            first
        });
        if first {
            // Nobody waits for the flush; the callbacks hear what comes of it.
            let mut waiters = Vec::new();
            self.plane.stop(|completion| waiters.extend(completion.release()));
            for waiter in waiters {
                waiter.tell(Err(SendError::Closed));
            }
            self.wake_all();
            self.subscriptions.close();
            let _ = self.orders.send(Order::Close);
        }
    }

    /// Ends what is left. Every waiter is told.
    pub(super) fn finish(&self) {
        self.close();
        self.plane.close();
        self.wake_all();
        self.plane.sink().dispatch.end();
        self.life.send_replace(Life::Closed);
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

    /// Takes up to `max` messages; `None` where there are none yet.
    pub(crate) fn take(&self, max: usize) -> Result<Option<Vec<Message>>, RecvError> {
        let closed = self.is_closed();
        let (messages, left) = self.plane.take(max.max(1));
        self.took(left);
        if messages.is_empty() {
            return if closed { Err(RecvError::Closed) } else { Ok(None) };
        }
        Ok(Some(messages))
    }

    /// Takes a message; `None` where there is none yet.
    pub(crate) fn take_one(&self) -> Result<Option<Message>, RecvError> {
        let closed = self.is_closed();
        let (message, left) = self.plane.take_one();
        self.took(left);
        if message.is_none() && closed { Err(RecvError::Closed) } else { Ok(message) }
    }

    /// Brings everybody level who waits for messages, after some were taken.
    fn took(&self, left: usize) {
        let sink = self.plane.sink();
        sink.sync_wakeup_fd(|| self.is_readable());
        // The inbox wakes one receiver when it fills; whoever leaves something wakes the next.
        if left > 0 && sink.receivers.load(Ordering::SeqCst) > 0 {
            sink.inbox.notify_one();
        }
    }

    /// Waits for a message, then takes up to `max` that are there.
    pub(crate) async fn recv_many(&self, max: usize) -> Result<Vec<Message>, RecvError> {
        self.received(|| self.take(max)).await
    }

    /// Waits for a message.
    pub(crate) async fn recv(&self) -> Result<Message, RecvError> {
        self.received(|| self.take_one()).await
    }

    /// Waits until there is something to take.
    async fn received<R>(
        &self,
        take: impl Fn() -> Result<Option<R>, RecvError>,
    ) -> Result<R, RecvError> {
        if let Some(messages) = take()? {
            return Ok(messages);
        }
        let sink = self.plane.sink();
        let _receiving = sink.receiving();
        loop {
            let filled = sink.inbox.notified();
            tokio::pin!(filled);
            filled.as_mut().enable();
            if let Some(messages) = take()? {
                return Ok(messages);
            }
            filled.await;
        }
    }

    /// How long a send waits that does not say.
    pub(crate) fn timeout(&self) -> Duration {
        match self.timeout.load(Ordering::Relaxed) {
            u64::MAX => Duration::MAX,
            nanoseconds => Duration::from_nanos(nanoseconds),
        }
    }

    /// Sets it.
    pub(crate) fn set_timeout(&self, timeout: Duration) {
        self.timeout.store(nanoseconds(timeout), Ordering::Relaxed);
    }

    /// When a send that begins now is over.
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

    /// The report of a message that found no room in the local queue until its deadline.
    pub(crate) fn never_left(&self, outgoing: &Outgoing) -> Report {
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

/// A time as one number; what is longer than 584 years is for ever.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Where the runtime went away first, nobody else does.
        self.plane.sink().dispatch.end();
    }
}
