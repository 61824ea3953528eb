//! The blocking facade: the same node for programs without a runtime of their own. The C and Python
//! bindings are conversions around it.
//!
//! Every waiting call takes an `Option<Duration>`: `None` waits for ever, zero does not wait. The
//! calling thread is parked meanwhile, whatever thread it is: one of another runtime, too, or the
//! one that runs this node's callbacks.

use std::cell::Cell;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};

use crate::config::Config;
use crate::error::{DialError, HangupError, RecvError, SendError, StartError, WaitError};
use crate::event::Event;
use crate::message::{Message, Outgoing, Report};
use crate::name::NodeName;
use crate::net::completion::{CompletionState, SendResult};
use crate::net::sys::fork::ForkGeneration;
use crate::net::{CLOSE_TIMEOUT, DIAL_TIMEOUT, clock};
use crate::node::{self, Awaited};
use crate::topology::Mesh;

/// How many threads at most resolve sink names: as many dials as a burst.
const RESOLVER_THREADS_MAX: usize = 8;
/// How long a thread that resolved a name waits for another one to resolve.
const RESOLVER_KEEP_ALIVE: Duration = Duration::from_secs(1);
/// How long to wait for a node to be closed before its threads are stopped where they are: what
/// closing takes at most, and twice as much again for a starved machine.
const END_TIMEOUT: Duration = CLOSE_TIMEOUT.saturating_mul(3);
/// How long a stopped runtime's threads may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// Beside so many others a thread that has sent lets them run before it parks: they have something
/// to send too, and the end of its own send comes while it is still awake, which spares both the
/// parking and the waking. 64 threads on 2 cores sent 206,000 messages/s so, 151,000 otherwise; with
/// less than 24 threads there is too little to wait for, and it costs more than it spares.
const SENDERS_MANY: usize = 32;
/// How often it lets them run: with one or with three, it was 20 % less.
const LINGER_YIELDS: usize = 2;

thread_local! {
    /// Whether this thread moves bytes for a node.
    static MOVES_BYTES: Cell<bool> = const { Cell::new(false) };
}

/// A node with a runtime of its own. Every call may be made from any thread, at any time, from
/// inside a callback too. Dropping it closes it and waits until it is closed, except on one of its
/// own threads, where the waiting is left to another.
pub struct Node {
    node: node::Node,
    runtime: Option<Runtime>,
    handle: Handle,
    /// The process that started it.
    process: ForkGeneration,
    /// How many threads wait for the end of a send.
    senders: AtomicUsize,
}

impl Node {
    /// Starts a node.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(config: Config) -> Result<Self, StartError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(config.worker_threads)
            .max_blocking_threads(RESOLVER_THREADS_MAX)
            .thread_keep_alive(RESOLVER_KEEP_ALIVE)
            .thread_name("meshage-io")
            .on_thread_start(|| MOVES_BYTES.set(true))
            .enable_all()
            .build()
            .map_err(StartError::Runtime)?;
        let handle = runtime.handle().clone();
        match wait(&handle, None, node::Node::start(config)) {
            Some(Ok(node)) => Ok(Self {
                node,
                runtime: Some(runtime),
                handle,
                process: ForkGeneration::current(),
                senders: AtomicUsize::new(0),
            }),
            Some(Err(error)) => {
                stop(runtime);
                Err(error)
            }
            None => unreachable!("invariant B1: a wait without a deadline ends with its future"),
        }
    }

    /// The asynchronous node, for all that does not wait: names, degree, mesh, stats, close ….
    pub fn node(&self) -> &node::Node {
        &self.node
    }

    /// Whether this is a child of the process that started the node. Nothing of the node runs
    /// there; its calls would wait for ever.
    pub fn is_forked(&self) -> bool {
        self.process.is_ancestor()
    }

    /// Runs `f` in the context of the node's runtime, which keeps the timers of futures that are
    /// polled in it: for a caller that polls futures of [`Node::node`] on a thread of its own.
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        let _entered = self.handle.enter();
        f()
    }

    /// Runs a future of [`Node::node`] on this thread to its end, or to `deadline`; it is asked at
    /// least once, and may be run on afterwards.
    pub fn wait_until<F: Future + ?Sized>(
        &self,
        deadline: Option<Instant>,
        future: Pin<&mut F>,
    ) -> Option<F::Output> {
        wait_pinned(&self.handle, deadline, future)
    }

    fn wait<F: Future>(&self, timeout: Option<Duration>, future: F) -> Option<F::Output> {
        wait(&self.handle, timeout.and_then(clock::deadline), future)
    }

    /// As [`node::Node::dial_timeout`].
    ///
    /// # Errors
    /// [`DialError`].
    pub fn dial(&self, address: &str, timeout: Option<Duration>) -> Result<NodeName, DialError> {
        let limit = timeout.unwrap_or(Duration::MAX);
        let dialled = self.wait(None, self.node.dial_timeout(address, limit));
        dialled.unwrap_or(Err(DialError::Timeout(DIAL_TIMEOUT)))
    }

    /// As [`node::Node::hangup`].
    ///
    /// # Errors
    /// [`HangupError`].
    pub fn hangup(&self, peer: &str) -> Result<(), HangupError> {
        self.wait(None, self.node.hangup(peer)).unwrap_or(Err(HangupError::Closed))
    }

    /// As [`node::Node::send`]. How long it waits is the message's own timeout.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send(&self, outgoing: Outgoing) -> Result<Report, SendError> {
        seated(|seat| match self.node.try_send(outgoing, &seat.ending) {
            // The data plane keeps the deadline.
            Ok(_) => self.await_end(seat),
            Err((SendError::Again, outgoing)) => {
                self.wait(None, self.node.send(outgoing)).unwrap_or(Err(SendError::Closed))
            }
            Err((error, _)) => Err(error),
        })
    }

    /// Waits for the end of a send that was begun from this seat.
    fn await_end(&self, seat: &Seat) -> SendResult {
        let others = self.senders.fetch_add(1, Ordering::Relaxed);
        let early = if others < SENDERS_MANY { None } else { seat.linger() };
        let wait = || seat.wait(None, |cx| seat.ending.poll(cx)).unwrap_or(Err(SendError::Closed));
        let ended = early.unwrap_or_else(wait);
        self.senders.fetch_sub(1, Ordering::Relaxed);
        ended
    }

    /// As [`node::Node::start_send`].
    ///
    /// # Errors
    /// [`SendError`].
    pub fn start_send(&self, outgoing: Outgoing) -> Result<Pending, SendError> {
        Ok(Pending { pending: self.node.start_send(outgoing)? })
    }

    /// As [`node::Node::recv`].
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn recv(&self, timeout: Option<Duration>) -> Result<Message, RecvError> {
        self.wait(timeout, self.node.recv()).unwrap_or(Err(RecvError::Timeout))
    }

    /// As [`node::Node::recv_many`].
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn recv_many(
        &self,
        max: usize,
        timeout: Option<Duration>,
    ) -> Result<Vec<Message>, RecvError> {
        self.wait(timeout, self.node.recv_many(max)).unwrap_or(Err(RecvError::Timeout))
    }

    /// As [`node::Node::wait_for`].
    ///
    /// # Errors
    /// [`WaitError`].
    pub fn wait_for(&self, awaited: Awaited, timeout: Option<Duration>) -> Result<Mesh, WaitError> {
        let limit = timeout.unwrap_or(Duration::MAX);
        self.wait(None, self.node.wait_for(awaited, limit)).unwrap_or(Err(WaitError::Closed))
    }

    /// As [`node::Node::events`].
    pub fn events(&self) -> Events {
        Events { events: self.node.events(), handle: self.handle.clone() }
    }

    /// Waits until closing is done; `false` if it is not in time.
    pub fn join(&self, timeout: Option<Duration>) -> bool {
        self.wait(timeout, self.node.closed()).is_some()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        if self.is_forked() {
            // The threads are the parent's, and so are the locks they may have held.
            std::mem::forget((runtime, self.node.clone()));
            return;
        }
        self.node.close();
        let node = self.node.clone();
        let end = move || {
            // A node that is not closed in time is stopped in the middle of things.
            let _ = wait(runtime.handle(), clock::deadline(END_TIMEOUT), node.closed());
            stop(runtime);
            node.join_callbacks();
        };
        if MOVES_BYTES.get() || self.node.is_in_callback() {
            let spawned = thread::Builder::new().name("meshage-end".into()).spawn(end);
            if let Err(error) = spawned {
                tracing::error!(%error, "no thread to close a node");
            }
        } else {
            end();
        }
    }
}

/// Ends a runtime's threads. Within another runtime its own would not let us wait: then they are
/// left to end by themselves, as they do at once.
fn stop(runtime: Runtime) {
    if Handle::try_current().is_ok() {
        runtime.shutdown_background();
    } else {
        runtime.shutdown_timeout(STOP_TIMEOUT);
    }
}

/// A send under way. Dropping it lets go; it does not cancel.
#[must_use = "a send under way is waited for, canceled or let go"]
pub struct Pending {
    pending: node::Pending,
}

impl Pending {
    /// Waits for the end of the send; `None` if it has not ended in time (ask again).
    pub fn wait(&mut self, timeout: Option<Duration>) -> Option<Result<Report, SendError>> {
        let deadline = timeout.and_then(clock::deadline);
        let mut wait = pin!(self.pending.wait());
        seated(|seat| seat.wait(deadline, |cx| wait.as_mut().poll(cx)))
    }

    /// As [`node::Pending::cancel`].
    pub fn cancel(&self) {
        self.pending.cancel();
    }
}

/// A subscription to a node's events.
pub struct Events {
    events: node::Events,
    handle: Handle,
}

impl Events {
    /// Waits for an event.
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Event, RecvError> {
        match wait(&self.handle, timeout.and_then(clock::deadline), self.events.next()) {
            Some(Some(event)) => Ok(event),
            Some(None) => Err(RecvError::Closed),
            None => Err(RecvError::Timeout),
        }
    }
}

/// Wakes a parked thread.
struct Parked {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.thread.unpark();
        }
    }
}

/// Where a thread waits. A thread has one, made when it first waits, so that waiting costs no
/// memory. What woke it for an earlier wait only makes it look once more.
struct Seat {
    parked: Arc<Parked>,
    waker: Waker,
    /// Where the end of its send is left; it sends one message at a time.
    ending: Arc<CompletionState>,
}

impl Seat {
    fn new() -> Self {
        let parked = Arc::new(Parked { thread: thread::current(), woken: AtomicBool::new(false) });
        Self { waker: Waker::from(parked.clone()), parked, ending: CompletionState::for_waiter() }
    }

    /// Lets other threads run; the end of the send if it has come meanwhile.
    fn linger(&self) -> Option<SendResult> {
        (0..LINGER_YIELDS).find_map(|_| {
            thread::yield_now();
            self.ending.take()
        })
    }

    /// Parks until `poll` gives something, or to the deadline; asks at least once.
    fn wait<R>(
        &self,
        deadline: Option<Instant>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<R>,
    ) -> Option<R> {
        let mut cx = Context::from_waker(&self.waker);
        loop {
            if let Poll::Ready(output) = poll(&mut cx) {
                return Some(output);
            }
            while !self.parked.woken.swap(false, Ordering::AcqRel) {
                match deadline {
                    None => thread::park(),
                    Some(deadline) => {
                        let left = deadline.saturating_duration_since(clock::now());
                        if left.is_zero() {
                            return None;
                        }
                        thread::park_timeout(left);
                    }
                }
            }
        }
    }
}

thread_local! {
    static SEAT: Seat = Seat::new();
}

/// Does something from this thread's seat; from a new one where the thread is about to end.
fn seated<R>(act: impl FnOnce(&Seat) -> R) -> R {
    let mut act = Some(act);
    let mut once = |seat: &Seat| act.take().map(|act| act(seat));
    let done = SEAT.try_with(&mut once).unwrap_or_else(|_| once(&Seat::new()));
    match done {
        Some(done) => done,
        None => unreachable!("invariant B2: a seat is taken once"),
    }
}

/// Runs a future on this thread to its end, or to the deadline; it is asked at least once. The
/// node's runtime keeps the future's timers.
fn wait<F: Future>(handle: &Handle, deadline: Option<Instant>, future: F) -> Option<F::Output> {
    wait_pinned(handle, deadline, pin!(future))
}

fn wait_pinned<F: Future + ?Sized>(
    handle: &Handle,
    deadline: Option<Instant>,
    mut future: Pin<&mut F>,
) -> Option<F::Output> {
    seated(|seat| {
        seat.wait(deadline, |cx| {
            let _entered = handle.enter();
            future.as_mut().poll(cx)
        })
    })
}
