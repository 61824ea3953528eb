//! Waiting on the caller's own thread, so that Ctrl-C works and other threads run.
//!
//! A future of the core is polled here, without the interpreter, and the thread parks until it is
//! woken or [`SLICE`] has passed; then Python's signal handlers get their turn. If one raises, the
//! future is dropped, which cancels what it stood for and loses nothing.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::held::Held;
use pyo3::prelude::*;

/// How long the main thread waits without a look at the signals: a third of the 100 ms in which
/// Ctrl-C answers, the rest being for a machine that is busy.
const SLICE: Duration = Duration::from_millis(33);

/// How long another thread does, after its first slice: signals are none of its business.
const LONG_SLICE: Duration = Duration::from_secs(10);

/// How long the interpreter's exit waits for threads to leave the module: two slices, and some.
const DRAIN_MAX: Duration = Duration::from_millis(500);

/// Threads inside a wait, at this moment, without the interpreter.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Counts a thread as waiting for as long as it lives.
struct Waiting;

impl Waiting {
    fn begin() -> Self {
        WAITING.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The binding's only clock.
#[allow(clippy::disallowed_methods, reason = "a wait of the application is measured in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Drives a future to its end, at most for `timeout` (`None`: for ever). Gives `None` if it has not
/// ended by then.
///
/// # Errors
/// What a signal handler raised. The future is dropped then.
pub(crate) fn block_on<F>(
    py: Python<'_>,
    node: &Held,
    future: F,
    timeout: Option<Duration>,
) -> PyResult<Option<F::Output>>
where
    F: Future + Send,
    F::Output: Send,
{
    let mut future = pin!(future);
    in_slices(py, timeout, |until| node.wait_until(Some(until), future.as_mut()))
}

/// Calls `attempt` without the interpreter, each time with the end of a slice, until it gives
/// something or the time is up.
///
/// # Errors
/// What a signal handler raised.
pub(crate) fn in_slices<T: Send>(
    py: Python<'_>,
    timeout: Option<Duration>,
    mut attempt: impl FnMut(Instant) -> Option<T> + Send,
) -> PyResult<Option<T>> {
    let begin = now();
    let deadline = timeout.and_then(|timeout| begin.checked_add(timeout));
    let waiting = Waiting::begin();
    let (mut at, mut slice) = (begin, SLICE);
    loop {
        let slice_end = at + slice;
        let until = deadline.map_or(slice_end, |deadline| deadline.min(slice_end));
        if let Some(value) = py.detach(|| attempt(until)) {
            return Ok(Some(value));
        }
        py.check_signals()?;
        // Asked of those alone who wait for longer than a slice.
        if at == begin && !is_main_thread(py) {
            slice = LONG_SLICE;
        }
        at = now();
        if deadline.is_some_and(|deadline| deadline <= at) {
            drop(waiting);
            return Ok(None);
        }
    }
}

/// Whether Python runs its signal handlers on this thread. Once the interpreter is on its way out
/// there is nobody left to ask, and no handler to run.
fn is_main_thread(py: Python<'_>) -> bool {
    let ask = || {
        let threading = py.import("threading")?;
        let main = threading.call_method0("main_thread")?.getattr("ident")?;
        main.eq(threading.call_method0("get_ident")?)
    };
    ask().unwrap_or(false)
}

/// Waits a moment until no other thread is inside a wait.
///
/// Called at the interpreter's exit, after every node was closed: a thread that came back for the
/// interpreter later would be ended by it in the middle of native code.
#[pyfunction]
pub(crate) fn drain_waits(py: Python<'_>) {
    let begin = now();
    while WAITING.load(Ordering::SeqCst) > 0 && begin.elapsed() < DRAIN_MAX {
        py.detach(|| thread::sleep(Duration::from_millis(1)));
    }
}
