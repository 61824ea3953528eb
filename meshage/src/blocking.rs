//! The blocking API: the same node for programs without an asynchronous runtime. The C and Python
//! bindings are thin layers over it.
//!
//! Every call that waits takes an `Option<Duration>`: `None` waits without a limit, zero does not
//! wait. The calling thread is parked while it waits. It may be any thread, even a thread of
//! another runtime or the callback thread of this node.

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
use crate::node::{self, WaitCondition};
use crate::topology::Mesh;

/// The most threads that resolve host names: as many as the dials of a burst.
const RESOLVER_THREADS_MAX: usize = 8;
/// How long an idle resolver thread waits for the next name.
const RESOLVER_KEEP_ALIVE: Duration = Duration::from_secs(1);
/// How long dropping a node waits until it is closed, before it stops the node's threads: the limit
/// for closing, times three for an overloaded machine.
const DROP_TIMEOUT: Duration = CLOSE_TIMEOUT.saturating_mul(3);
/// How long the threads of a stopped runtime may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// With at least this many other threads that wait for a send, a thread yields before it parks. The
/// others then submit their messages, and this thread's own send often completes before it parks,
/// which saves a park and a wakeup. 64 threads on 2 cores sent 206,000 messages/s this way and
/// 151,000 without it. With fewer than 24 threads, it costs more than it saves.
const YIELD_SENDERS_MIN: usize = 32;
/// How often such a thread yields. The rate was 20 % lower with one or with three yields.
const YIELDS: usize = 2;

thread_local! {
    /// Whether this thread is an I/O thread of a node.
    static IS_IO_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// A node with a runtime of its own. Every method may be called from any thread at any time, also
/// in a callback. Dropping the node closes it and waits until it is closed. On one of the node's
/// own threads, dropping does not wait; a new thread does.
pub struct Node {
    node: node::Node,
    runtime: Option<Runtime>,
    handle: Handle,
    /// The process that started the node.
    process: ForkGeneration,
    /// The number of threads that wait for a send.
    waiting_senders: AtomicUsize,
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
            .on_thread_start(|| IS_IO_THREAD.set(true))
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
                waiting_senders: AtomicUsize::new(0),
            }),
            Some(Err(error)) => {
                stop(runtime);
                Err(error)
            }
            None => unreachable!("invariant B1: a wait without a deadline ends with its future"),
        }
    }

    /// The asynchronous node, for everything that does not wait: names, degree, mesh, stats,
    /// close, …
    pub fn node(&self) -> &node::Node {
        &self.node
    }

    /// Whether this process is a fork of the one that started the node. The node does not run in
    /// it, and calls would never return.
    pub fn is_forked(&self) -> bool {
        self.process.is_ancestor()
    }

    /// Runs `f` in the context of the node's runtime, which drives the timers of the futures polled
    /// in it. This is for callers that poll futures of [`Node::node`] on their own thread.
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        let _entered = self.handle.enter();
        f()
    }

    /// Polls a future of [`Node::node`] on this thread until it is ready or `deadline` passes. It
    /// is polled at least once. After this call returns, the future may be polled again.
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

    /// As [`node::Node::send`]. It waits up to the message's own timeout.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send(&self, outgoing: Outgoing) -> Result<Report, SendError> {
        with_parker(|parker| match self.node.try_send(outgoing, &parker.completion) {
            // The data plane enforces the deadline.
            Ok(_) => self.wait_for_completion(parker),
            Err((SendError::Again, outgoing)) => {
                self.wait(None, self.node.send(outgoing)).unwrap_or(Err(SendError::Closed))
            }
            Err((error, _)) => Err(error),
        })
    }

    /// Waits for the send whose result goes to this parker.
    fn wait_for_completion(&self, parker: &Parker) -> SendResult {
        let others = self.waiting_senders.fetch_add(1, Ordering::Relaxed);
        let early = if others < YIELD_SENDERS_MIN { None } else { parker.yield_for_completion() };
        let wait =
            || parker.wait(None, |cx| parker.completion.poll(cx)).unwrap_or(Err(SendError::Closed));
        let result = early.unwrap_or_else(wait);
        self.waiting_senders.fetch_sub(1, Ordering::Relaxed);
        result
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
    pub fn wait_for(
        &self,
        condition: WaitCondition,
        timeout: Option<Duration>,
    ) -> Result<Mesh, WaitError> {
        let limit = timeout.unwrap_or(Duration::MAX);
        self.wait(None, self.node.wait_for(condition, limit)).unwrap_or(Err(WaitError::Closed))
    }

    /// As [`node::Node::events`].
    pub fn events(&self) -> Events {
        Events { events: self.node.events(), handle: self.handle.clone() }
    }

    /// Waits until the node is closed. Returns `false` if it is not closed in time.
    pub fn join(&self, timeout: Option<Duration>) -> bool {
        self.wait(timeout, self.node.closed()).is_some()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        if self.is_forked() {
            // The threads exist only in the parent, and they may have held locks at the fork.
            std::mem::forget((runtime, self.node.clone()));
            return;
        }
        self.node.close();
        let node = self.node.clone();
        let finish = move || {
            // The threads of a node that is not closed in time are stopped wherever they are.
            let _ = wait(runtime.handle(), clock::deadline(DROP_TIMEOUT), node.closed());
            stop(runtime);
            node.join_callbacks();
        };
        if IS_IO_THREAD.get() || self.node.is_in_callback() {
            let spawned = thread::Builder::new().name("meshage-close".into()).spawn(finish);
            if let Err(error) = spawned {
                tracing::error!(%error, "cannot start a thread to close the node");
            }
        } else {
            finish();
        }
    }
}

/// Stops a runtime's threads. Inside another runtime, tokio does not allow a blocking wait; the
/// threads then end in the background, without delay.
fn stop(runtime: Runtime) {
    if Handle::try_current().is_ok() {
        runtime.shutdown_background();
    } else {
        runtime.shutdown_timeout(STOP_TIMEOUT);
    }
}

/// An outstanding send. Dropping the handle does not cancel the send.
#[must_use = "an outstanding send is waited for, canceled, or explicitly dropped"]
pub struct Pending {
    pending: node::Pending,
}

impl Pending {
    /// Waits until the send has ended. Returns `None` if it has not ended in time; it may be called
    /// again.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Option<Result<Report, SendError>> {
        let deadline = timeout.and_then(clock::deadline);
        let mut wait = pin!(self.pending.wait());
        with_parker(|parker| parker.wait(deadline, |cx| wait.as_mut().poll(cx)))
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
struct ThreadWaker {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.thread.unpark();
        }
    }
}

/// Parks a thread until a future is ready. Each thread has one, created at its first wait, so that
/// later waits allocate nothing. A stale wakeup of an earlier wait only causes one more poll.
struct Parker {
    thread: Arc<ThreadWaker>,
    waker: Waker,
    /// Receives the result of the thread's blocking send; a thread has one at a time.
    completion: Arc<CompletionState>,
}

impl Parker {
    fn new() -> Self {
        let thread =
            Arc::new(ThreadWaker { thread: thread::current(), woken: AtomicBool::new(false) });
        let waker = Waker::from(thread.clone());
        Self { thread, waker, completion: CompletionState::for_waiter() }
    }

    /// Yields to other threads. Returns the result of the send if it completes in that time.
    fn yield_for_completion(&self) -> Option<SendResult> {
        (0..YIELDS).find_map(|_| {
            thread::yield_now();
            self.completion.take()
        })
    }

    /// Parks until `poll` is ready or the deadline passes. It is polled at least once.
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
            while !self.thread.woken.swap(false, Ordering::AcqRel) {
                match deadline {
                    None => thread::park(),
                    Some(deadline) => {
                        let remaining = deadline.saturating_duration_since(clock::now());
                        if remaining.is_zero() {
                            return None;
                        }
                        thread::park_timeout(remaining);
                    }
                }
            }
        }
    }
}

thread_local! {
    static PARKER: Parker = Parker::new();
}

/// Calls `f` with this thread's parker, or with a new one if the thread-local is already destroyed.
fn with_parker<R>(f: impl FnOnce(&Parker) -> R) -> R {
    let mut f = Some(f);
    let mut call_once = |parker: &Parker| f.take().map(|f| f(parker));
    let result = PARKER.try_with(&mut call_once).unwrap_or_else(|_| call_once(&Parker::new()));
    match result {
        Some(result) => result,
        None => unreachable!("invariant B2: the function is called once"),
    }
}

/// Polls a future on this thread until it is ready or the deadline passes. It is polled at least
/// once. The node's runtime drives the future's timers.
fn wait<F: Future>(handle: &Handle, deadline: Option<Instant>, future: F) -> Option<F::Output> {
    wait_pinned(handle, deadline, pin!(future))
}

fn wait_pinned<F: Future + ?Sized>(
    handle: &Handle,
    deadline: Option<Instant>,
    mut future: Pin<&mut F>,
) -> Option<F::Output> {
    with_parker(|parker| {
        parker.wait(deadline, |cx| {
            let _entered = handle.enter();
            future.as_mut().poll(cx)
        })
    })
}
