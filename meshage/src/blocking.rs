//! The blocking API: the same node for programs without an asynchronous runtime. The C and Python
//! bindings are thin layers over it.
//!
//! Every call that waits takes an `Option<Duration>`: `None` waits without a limit, zero does not
//! wait. The calling thread is parked while it waits. It may be any thread, even a thread of
//! another runtime, the callback thread of this node, or a thread that is ending, whose
//! thread-locals are already destroyed.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, EnterGuard, Handle, Runtime};

use crate::config::Config;
use crate::error::{DialError, HangupError, RecvError, SendError, StartError, WaitError};
use crate::event::Event;
use crate::message::{Message, Outgoing, Report};
use crate::name::NodeName;
use crate::net::completion::SendResult;
use crate::net::parker::{Parker, poll_until, with_parker};
use crate::net::sys::threads;
use crate::net::{CLOSE_TIMEOUT, clock};
use crate::node::{self, WaitCondition};
use crate::topology::Mesh;

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
/// own threads, dropping does not wait; the node closes in the background.
pub struct Node {
    node: node::Node,
    runtime: Option<OwnRuntime>,
    handle: Handle,
    /// The number of threads that wait for a send.
    waiting_senders: AtomicUsize,
}

impl Node {
    /// Starts a node.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(config: Config) -> Result<Self, StartError> {
        let runtime = OwnRuntime::start(config.worker_threads).map_err(StartError::Runtime)?;
        let handle = runtime.runtime.handle().clone();
        // The sockets are opened by a thread of the runtime, because this thread may be ending and
        // cannot enter the runtime then.
        let mut starting = handle.spawn(node::Node::start(config));
        match poll_until(None, |cx| Pin::new(&mut starting).poll(cx)) {
            Some(Ok(Ok(node))) => Ok(Self {
                node,
                runtime: Some(runtime),
                handle,
                waiting_senders: AtomicUsize::new(0),
            }),
            Some(Ok(Err(error))) => {
                runtime.stop();
                Err(error)
            }
            Some(Err(stopped)) => {
                runtime.stop();
                match stopped.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(stopped) => Err(StartError::Runtime(std::io::Error::other(stopped))),
                }
            }
            None => unreachable!("invariant B1: a wait without a deadline ends with its future"),
        }
    }

    /// The asynchronous node, for everything that does not wait: names, degree, keys, mesh, stats,
    /// close, …
    pub fn node(&self) -> &node::Node {
        &self.node
    }

    /// Whether this process is a fork of the one that started the node. The node does not run in
    /// it, and calls would never return.
    pub fn is_forked(&self) -> bool {
        self.node.is_forked()
    }

    /// Runs `f` in the context of the node's runtime, which drives the timers of the futures polled
    /// in it. This is for callers that poll futures of [`Node::node`] on their own thread. On a
    /// thread whose thread-locals are destroyed, `f` runs outside of the runtime.
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        let _entered = self.try_enter();
        f()
    }

    fn try_enter(&self) -> Option<EnterGuard<'_>> {
        can_enter_runtime().then(|| self.handle.enter())
    }

    /// Polls a future of [`Node::node`] on this thread until it is ready or `deadline` passes. It
    /// is polled at least once. After this call returns, the future may be polled again.
    pub fn wait_until<F: Future + ?Sized>(
        &self,
        deadline: Option<Instant>,
        mut future: Pin<&mut F>,
    ) -> Option<F::Output> {
        poll_until(deadline, |cx| self.enter(|| future.as_mut().poll(cx)))
    }

    /// As [`node::Node::dial_timeout`].
    ///
    /// # Errors
    /// [`DialError`].
    pub fn dial(&self, address: &str, timeout: Option<Duration>) -> Result<NodeName, DialError> {
        let limit = timeout.unwrap_or(Duration::MAX);
        wait_before(clock::deadline(limit), |passed| self.node.dial_before(address, limit, passed))
    }

    /// As [`node::Node::hangup`].
    ///
    /// # Errors
    /// [`HangupError`].
    pub fn hangup(&self, peer: &str) -> Result<(), HangupError> {
        wait(None, self.node.hangup(peer)).unwrap_or(Err(HangupError::Closed))
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
                let deadline = self.node.deadline(&outgoing);
                wait_before(deadline, |passed| self.node.send_before(outgoing, deadline, passed))
            }
            Err((error, _)) => Err(error),
        })
    }

    /// Waits for the send whose result goes to this parker.
    fn wait_for_completion(&self, parker: &Parker) -> SendResult {
        let others = self.waiting_senders.fetch_add(1, Ordering::Relaxed);
        let early =
            if others < YIELD_SENDERS_MIN { None } else { parker.yield_for_completion(YIELDS) };
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
        wait(timeout, self.node.recv()).unwrap_or(Err(RecvError::Timeout))
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
        wait(timeout, self.node.recv_many(max)).unwrap_or(Err(RecvError::Timeout))
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
        wait_before(clock::deadline(limit), |passed| self.node.wait_before(condition, passed))
    }

    /// As [`node::Node::events`].
    pub fn events(&self) -> Events {
        Events { events: self.node.events() }
    }

    /// Waits until the node is closed. Returns `false` if it is not closed in time.
    pub fn join(&self, timeout: Option<Duration>) -> bool {
        wait(timeout, self.node.closed()).is_some()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        if self.is_forked() {
            // The threads exist only in the parent, and they may have held locks at the fork.
            self.node.abandon();
            std::mem::forget((runtime, self.node.clone()));
            return;
        }
        self.node.close();
        if IS_IO_THREAD.get() || self.node.is_in_callback() {
            // A task of the runtime that it stops needs no thread, which the system could refuse.
            let node = self.node.clone();
            self.handle.spawn(async move {
                let _ = tokio::time::timeout(DROP_TIMEOUT, node.closed()).await;
                runtime.runtime.shutdown_background();
            });
            return;
        }
        // The threads of a node that is not closed in time are stopped wherever they are.
        let _ = wait(Some(DROP_TIMEOUT), self.node.closed());
        runtime.stop();
        self.node.join_threads(STOP_TIMEOUT);
    }
}

/// Whether this thread can enter a runtime: its thread-locals are not destroyed.
fn can_enter_runtime() -> bool {
    match Handle::try_current() {
        Ok(_) => true,
        Err(error) => !error.is_thread_local_destroyed(),
    }
}

/// The runtime of one node.
struct OwnRuntime {
    runtime: Runtime,
    threads: Arc<IoThreads>,
}

impl OwnRuntime {
    fn start(worker_threads: usize) -> std::io::Result<Self> {
        threads::check_available(worker_threads)?;
        let io_threads = Arc::new(IoThreads::default());
        let (started, ended) = (io_threads.clone(), io_threads.clone());
        let mut builder = Builder::new_multi_thread();
        builder
            .worker_threads(worker_threads)
            .thread_name("meshage-io")
            .on_thread_start(move || {
                IS_IO_THREAD.set(true);
                started.change(|running| running + 1);
            })
            .on_thread_stop(move || ended.change(|running| running - 1))
            .enable_all();
        let mut build = move || {
            // The runtime panics if the system refuses its first thread in spite of the check.
            let built = catch_unwind(AssertUnwindSafe(|| builder.build()));
            built.unwrap_or_else(|_| Err(threads::refused(std::io::ErrorKind::WouldBlock.into())))
        };
        let runtime = if can_enter_runtime() {
            build()?
        } else {
            let building = threads::spawn("meshage-start", build)?;
            building.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?
        };
        Ok(Self { runtime, threads: io_threads })
    }

    /// Stops the threads. Inside another runtime, tokio does not allow a blocking wait; then the
    /// threads end in the background, which they do at once.
    fn stop(self) {
        if Handle::try_current().is_ok() {
            self.runtime.shutdown_background();
        } else {
            self.runtime.shutdown_timeout(STOP_TIMEOUT);
            // The runtime does not wait on a thread whose thread-locals are destroyed.
            self.threads.wait_for_none(STOP_TIMEOUT);
        }
    }
}

/// Counts the running threads of a runtime.
#[derive(Default)]
struct IoThreads {
    running: Mutex<usize>,
    changed: Condvar,
}

impl IoThreads {
    fn change(&self, change: impl FnOnce(usize) -> usize) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        *running = change(*running);
        drop(running);
        self.changed.notify_all();
    }

    fn wait_for_none(&self, limit: Duration) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(running, limit, |running| *running > 0);
        drop(waited);
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
        poll_until(deadline, |cx| wait.as_mut().poll(cx))
    }

    /// As [`node::Pending::cancel`].
    pub fn cancel(&self) {
        self.pending.cancel();
    }
}

/// A subscription to a node's events.
pub struct Events {
    events: node::Events,
}

impl Events {
    /// As [`node::Events::mesh`].
    pub fn mesh(&self) -> Mesh {
        self.events.mesh()
    }

    /// Waits for an event.
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Event, RecvError> {
        match wait(timeout, self.events.next()) {
            Some(Some(event)) => Ok(event),
            Some(None) => Err(RecvError::Closed),
            None => Err(RecvError::Timeout),
        }
    }
}

/// Polls a future without timers on this thread until it is ready or the deadline passes. It is
/// polled at least once, and needs no node: it may come from anything that wakes its waker. For
/// futures with timers there is [`Node::wait_until`].
pub fn block_until<F: Future + ?Sized>(
    deadline: Option<Instant>,
    mut future: Pin<&mut F>,
) -> Option<F::Output> {
    poll_until(deadline, |cx| future.as_mut().poll(cx))
}

/// Polls a future without timers on this thread until it is ready or the time has passed. It is
/// polled at least once.
fn wait<F: Future>(timeout: Option<Duration>, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_until(timeout.and_then(clock::deadline), |cx| future.as_mut().poll(cx))
}

/// Waits for a future that ends soon after its deadline has passed. The timer is this thread's, so
/// that the future needs no runtime.
fn wait_before<F: Future>(
    deadline: Option<Instant>,
    future: impl FnOnce(Passed) -> F,
) -> F::Output {
    let passed = Rc::new(Cell::new(false));
    let mut future = pin!(future(Passed(passed.clone())));
    if let Some(output) = poll_until(deadline, |cx| future.as_mut().poll(cx)) {
        return output;
    }
    passed.set(true);
    match poll_until(None, |cx| future.as_mut().poll(cx)) {
        Some(output) => output,
        None => unreachable!("invariant B1: a wait without a deadline ends with its future"),
    }
}

/// Ready once a deadline has passed.
struct Passed(Rc<Cell<bool>>);

impl Future for Passed {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.0.get() { Poll::Ready(()) } else { Poll::Pending }
    }
}
