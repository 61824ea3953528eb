//! Operations that an asyncio event loop waits for.
//!
//! ```text
//!   core's threads ── wake(token) ──► ready ── one byte ──► descriptor ──► loop.add_reader
//!                                                                              │
//!   waiting coroutines ◄── (token, value, exception) … ◄── collect(): poll, convert, in one batch
//! ```
//!
//! A waker only records a token and, if it is the first, makes the descriptor readable. The loop's
//! thread polls all futures that are ready in one call.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use meshage::RawDescriptor;
use pyo3::prelude::*;

use crate::errors::{self, guarded};
use crate::handle::NodeHandle;
use crate::reply::{Operation, Reply};
use crate::system::{self, Notifier, PairEnd};

/// The pending operations of one event loop, and the descriptor that wakes the loop.
#[pyclass(frozen, module = "meshage._meshage")]
pub(crate) struct Completions {
    ready: Arc<Ready>,
    reader: PairEnd,
    operations: Mutex<Operations>,
}

#[derive(Default)]
struct Operations {
    last_token: u64,
    pending: HashMap<u64, Entry>,
}

struct Entry {
    node: Arc<NodeHandle>,
    stage: Stage,
}

enum Stage {
    Waiting(Operation, Waker),
    Completed(Reply),
}

/// The tokens of the operations that must be polled.
struct Ready {
    tokens: Mutex<Vec<u64>>,
    notifier: Notifier,
}

impl Ready {
    fn push(&self, token: u64) {
        let mut tokens = lock(&self.tokens);
        tokens.push(token);
        if tokens.len() == 1 {
            self.notifier.notify();
        }
    }
}

/// Wakes the loop for one operation.
struct TokenWaker {
    token: u64,
    ready: Arc<Ready>,
}

impl Wake for TokenWaker {
    fn wake(self: Arc<Self>) {
        self.ready.push(self.token);
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.push(self.token);
    }
}

impl Completions {
    /// Starts an operation and returns its token. It is polled once, so that a send leaves now.
    ///
    /// # Errors
    /// `InternalError`.
    pub(crate) fn begin(&self, node: &Arc<NodeHandle>, mut operation: Operation) -> PyResult<u64> {
        let token = {
            let mut operations = lock(&self.operations);
            operations.last_token += 1;
            operations.last_token
        };
        let waker = Waker::from(Arc::new(TokenWaker { token, ready: Arc::clone(&self.ready) }));
        let mut cx = Context::from_waker(&waker);
        let polled = guarded(|| node.enter(|| operation.as_mut().poll(&mut cx)))?;
        let (stage, completed) = match polled {
            Poll::Ready(reply) => (Stage::Completed(reply), true),
            Poll::Pending => (Stage::Waiting(operation, waker), false),
        };
        let entry = Entry { node: Arc::clone(node), stage };
        lock(&self.operations).pending.insert(token, entry);
        if completed {
            self.ready.push(token);
        }
        Ok(token)
    }

    /// Polls one operation that was woken. Returns `None` while it is pending, or if it was
    /// canceled.
    fn poll(&self, token: u64) -> Option<PyResult<Reply>> {
        let Entry { node, stage } = lock(&self.operations).pending.remove(&token)?;
        let (mut operation, waker) = match stage {
            Stage::Completed(reply) => return Some(Ok(reply)),
            Stage::Waiting(operation, waker) => (operation, waker),
        };
        let mut cx = Context::from_waker(&waker);
        match guarded(|| node.enter(|| operation.as_mut().poll(&mut cx))) {
            Err(error) => Some(Err(error)),
            Ok(Poll::Ready(reply)) => Some(Ok(reply)),
            Ok(Poll::Pending) => {
                let entry = Entry { node, stage: Stage::Waiting(operation, waker) };
                lock(&self.operations).pending.insert(token, entry);
                None
            }
        }
    }
}

/// A completed operation: its token, and its value or its exception.
type Completion<'py> = (u64, Option<Bound<'py, PyAny>>, Option<PyErr>);

#[pymethods]
impl Completions {
    #[new]
    fn new() -> PyResult<Self> {
        let opened = Notifier::new().and_then(|(notifier, reader)| {
            reader.set_nonblocking(true)?;
            Ok((notifier, reader))
        });
        let (notifier, reader) = opened.map_err(|error| {
            errors::resource("cannot open the descriptor that wakes the event loop", &error)
        })?;
        let ready = Arc::new(Ready { tokens: Mutex::default(), notifier });
        Ok(Self { ready, reader, operations: Mutex::default() })
    }

    /// The descriptor: readable while an operation can be collected.
    fn fileno(&self) -> RawDescriptor {
        system::number(&self.reader)
    }

    /// The operations that completed since the last call.
    fn collect<'py>(&self, py: Python<'py>) -> Vec<Completion<'py>> {
        let mut discarded = [0; 64];
        // One byte was written each time that the list became non-empty. The bytes are read before
        // the tokens are taken, so that a wakeup in between leaves the descriptor readable.
        while matches!(system::read(&self.reader, &mut discarded), Ok(read) if read == discarded.len())
        {
        }
        let tokens = std::mem::take(&mut *lock(&self.ready.tokens));
        let completed = tokens.into_iter().filter_map(|token| Some((token, self.poll(token)?)));
        completed
            .map(|(token, reply)| match reply.and_then(|reply| reply.into_python(py)) {
                Ok(value) => (token, Some(value), None),
                Err(error) => (token, None, Some(error)),
            })
            .collect()
    }

    /// Cancels an operation. A completed one is left as it is.
    fn cancel(&self, token: u64) {
        let entry = lock(&self.operations).pending.remove(&token);
        entry.into_iter().for_each(drop_entry);
    }
}

impl Drop for Completions {
    fn drop(&mut self) {
        lock(&self.operations).pending.drain().for_each(|(_, entry)| drop_entry(entry));
    }
}

/// Cancels an operation. One of a parent process is leaked instead: a lock that another thread held
/// at the fork is never released in this process.
fn drop_entry(entry: Entry) {
    if entry.node.is_forked() {
        std::mem::forget(entry);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
