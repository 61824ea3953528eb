//! Blocking waits on the caller's thread that let Ctrl-C work and other threads run.
//!
//! A future of the core is polled here with the interpreter released. The thread parks until it is
//! woken or [`SLICE`] has passed; then Python's signal handlers run. If a handler raises, the
//! future is dropped, which cancels its operation and loses no message.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::clock::now;
use crate::errors::guarded;
use crate::handle::NodeHandle;
use crate::system;
use pyo3::prelude::*;

/// How long the main thread waits between two checks for signals: a third of the 100 ms within
/// which Ctrl-C must work. The rest is a margin for a busy machine.
const SLICE: Duration = Duration::from_millis(33);

/// The same for any other thread, after its first slice: only the main thread handles signals.
const LONG_SLICE: Duration = Duration::from_secs(10);

/// How long the interpreter's exit waits for threads to leave the module: two slices and a margin.
const DRAIN_MAX: Duration = Duration::from_millis(500);

/// The number of threads inside a wait, with the interpreter released.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Counts one thread as waiting until it is dropped.
struct WaitGuard;

impl WaitGuard {
    fn begin() -> Self {
        WAITING.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for WaitGuard {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Runs a future to completion, for at most `timeout` (`None`: without a limit). Returns `None` if
/// the future has not completed by then.
///
/// # Errors
/// The exception that a signal handler raised. The future is then dropped.
pub(crate) fn block_on<F>(
    py: Python<'_>,
    node: &NodeHandle,
    future: F,
    timeout: Option<Duration>,
) -> PyResult<Option<F::Output>>
where
    F: Future + Send,
    F::Output: Send,
{
    let mut future = pin!(future);
    in_slices(py, timeout, |until| node.wait_until(until, future.as_mut()))
}

/// Calls `attempt` with the interpreter released, each time with the end of the next slice, until
/// it returns a value or `timeout` has passed.
///
/// # Errors
/// The exception that a signal handler raised, or `InternalError`.
pub(crate) fn in_slices<T: Send>(
    py: Python<'_>,
    timeout: Option<Duration>,
    mut attempt: impl FnMut(Instant) -> Option<T> + Send,
) -> PyResult<Option<T>> {
    let begin = now();
    let deadline = timeout.and_then(|timeout| begin.checked_add(timeout));
    let guard = WaitGuard::begin();
    let (mut at, mut slice) = (begin, SLICE);
    loop {
        let slice_end = at + slice;
        let until = deadline.map_or(slice_end, |deadline| deadline.min(slice_end));
        if let Some(value) = py.detach(|| guarded(|| attempt(until)))? {
            return Ok(Some(value));
        }
        py.check_signals()?;
        // The check costs time, so only a thread that waits for longer than a slice makes it.
        if at == begin && !is_main_thread(py) {
            slice = LONG_SLICE;
        }
        at = now();
        if deadline.is_some_and(|deadline| deadline <= at) {
            drop(guard);
            return Ok(None);
        }
    }
}

/// Whether Python runs its signal handlers on this thread. While the interpreter shuts down this
/// can no longer be determined, and no handler runs.
fn is_main_thread(py: Python<'_>) -> bool {
    // gevent and eventlet replace Python's thread numbers, one for each cooperative thread.
    if system::is_first_thread() {
        return true;
    }
    let check = || {
        let threading = py.import("threading")?;
        let main = threading.call_method0("main_thread")?.getattr("ident")?;
        main.eq(threading.call_method0("get_ident")?)
    };
    check().unwrap_or(false)
}

/// Waits, for at most [`DRAIN_MAX`], until no other thread is inside a wait.
///
/// It is called at the interpreter's exit, after every node was closed. The interpreter would end a
/// thread that tried to reacquire it later, in the middle of native code.
#[pyfunction]
pub(crate) fn drain_waits(py: Python<'_>) {
    let begin = now();
    while WAITING.load(Ordering::SeqCst) > 0 && begin.elapsed() < DRAIN_MAX {
        py.detach(|| thread::sleep(Duration::from_millis(1)));
    }
}
