//! Operations that an event loop waits for.
//!
//! ```text
//!   core's threads ── wake(token) ──► ready ── one byte ──► descriptor ──► loop.add_reader
//!                                                                              │
//!   waiting coroutines ◄── (token, value, exception) … ◄── collect(): poll, convert, in one batch
//! ```
//!
//! A waker only notes a token and, if it is the first, makes the descriptor readable. The futures
//! are polled by the loop's own thread, however many are ready, in one call.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::held::Held;
use pyo3::prelude::*;

use crate::reply::{Operation, Reply};

/// One loop's operations under way, and the descriptor that wakes it.
#[pyclass(frozen, module = "meshage._meshage")]
pub(crate) struct Completions {
    ready: Arc<Ready>,
    reader: UnixStream,
    operations: Mutex<Operations>,
}

#[derive(Default)]
struct Operations {
    last_token: u64,
    under_way: HashMap<u64, Entry>,
}

struct Entry {
    node: Arc<Held>,
    stage: Stage,
}

enum Stage {
    Waiting(Operation, Waker),
    Ended(Reply),
}

/// The tokens of the operations that want to be polled.
struct Ready {
    tokens: Mutex<Vec<u64>>,
    writer: UnixStream,
}

impl Ready {
    fn push(&self, token: u64) {
        let mut tokens = lock(&self.tokens);
        tokens.push(token);
        if tokens.len() == 1 {
            // A full socket is readable already, and a closed one has nobody to wake.
            let _ = (&self.writer).write(&[0]);
        }
    }
}

struct Token {
    token: u64,
    ready: Arc<Ready>,
}

impl Wake for Token {
    fn wake(self: Arc<Self>) {
        self.ready.push(self.token);
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.push(self.token);
    }
}

impl Completions {
    /// Begins an operation: polls it once, so that a send leaves now, and gives its token.
    pub(crate) fn begin(&self, node: &Arc<Held>, mut operation: Operation) -> u64 {
        let token = {
            let mut operations = lock(&self.operations);
            operations.last_token += 1;
            operations.last_token
        };
        let waker = Waker::from(Arc::new(Token { token, ready: Arc::clone(&self.ready) }));
        let polled = node.enter(|| operation.as_mut().poll(&mut Context::from_waker(&waker)));
        let (stage, ended) = match polled {
            Poll::Ready(reply) => (Stage::Ended(reply), true),
            Poll::Pending => (Stage::Waiting(operation, waker), false),
        };
        let entry = Entry { node: Arc::clone(node), stage };
        lock(&self.operations).under_way.insert(token, entry);
        if ended {
            self.ready.push(token);
        }
        token
    }

    /// Polls one operation that was woken; `None` while it goes on, or if it was forgotten.
    fn poll(&self, token: u64) -> Option<Reply> {
        let Entry { node, stage } = lock(&self.operations).under_way.remove(&token)?;
        let (mut operation, waker) = match stage {
            Stage::Ended(reply) => return Some(reply),
            Stage::Waiting(operation, waker) => (operation, waker),
        };
        match node.enter(|| operation.as_mut().poll(&mut Context::from_waker(&waker))) {
            Poll::Ready(reply) => Some(reply),
            Poll::Pending => {
                let entry = Entry { node, stage: Stage::Waiting(operation, waker) };
                lock(&self.operations).under_way.insert(token, entry);
                None
            }
        }
    }
}

/// An ended operation: its token, and its value or its exception.
type Ended<'py> = (u64, Option<Bound<'py, PyAny>>, Option<PyErr>);

#[pymethods]
impl Completions {
    #[new]
    fn new() -> PyResult<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        let ready = Arc::new(Ready { tokens: Mutex::default(), writer });
        Ok(Self { ready, reader, operations: Mutex::default() })
    }

    /// The descriptor: readable while an operation wants to be collected.
    fn fileno(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// The operations that ended since the last call.
    fn collect<'py>(&self, py: Python<'py>) -> Vec<Ended<'py>> {
        let mut scrap = [0; 64];
        // One byte for each time that the list was begun: the bytes come before the tokens, so that
        // a wake in between leaves the descriptor readable.
        while matches!((&self.reader).read(&mut scrap), Ok(read) if read == scrap.len()) {}
        let tokens = std::mem::take(&mut *lock(&self.ready.tokens));
        let ended = tokens.into_iter().filter_map(|token| Some((token, self.poll(token)?)));
        ended
            .map(|(token, reply)| match reply.into_python(py) {
                Ok(value) => (token, Some(value), None),
                Err(error) => (token, None, Some(error)),
            })
            .collect()
    }

    /// Cancels an operation; nothing happens if it has ended.
    fn forget(&self, token: u64) {
        let entry = lock(&self.operations).under_way.remove(&token);
        entry.into_iter().for_each(let_go);
    }
}

impl Drop for Completions {
    fn drop(&mut self) {
        lock(&self.operations).under_way.drain().for_each(|(_, entry)| let_go(entry));
    }
}

/// Cancels an operation, unless it belongs to a parent process, whose locks nobody opens here.
fn let_go(entry: Entry) {
    if entry.node.is_forked() {
        std::mem::forget(entry);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
