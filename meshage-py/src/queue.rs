//! A bounded queue from the core's threads to one Python thread. The core never waits for it: an
//! item that does not fit is dropped and counted.
//!
//! The Python thread waits with `recv` on a socket of Python's own, never in native code. Where a
//! program has replaced threads and sockets by cooperative ones (gevent, eventlet), the thread is a
//! cooperative one too, and so is its wait.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meshage::RawDescriptor;

use crate::system::{self, Notifier, PairEnd};

/// The receiving end.
pub(crate) struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The descriptor to wait for, until Python has taken it.
    readable: Mutex<Option<PairEnd>>,
}

/// The sending end. Dropping it ends the queue.
pub(crate) struct Sender<T>(Arc<Shared<T>>);

struct Shared<T> {
    state: Mutex<State<T>>,
    items_max: usize,
    bytes_max: usize,
    size: fn(&T) -> usize,
}

struct State<T> {
    items: VecDeque<T>,
    /// The size of the queued items and of the batch that was taken last, which may still be in
    /// use.
    bytes: usize,
    dropped: u64,
    /// `None` once the queue has ended. Dropping it ends the stream of the descriptor.
    notifier: Option<Notifier>,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.lock().notifier = None;
    }
}

/// Creates a queue of at most `items_max` items and `bytes_max` bytes. `size` gives an item's
/// bytes.
///
/// # Errors
/// The system has no free descriptors.
pub(crate) fn bounded<T>(
    items_max: usize,
    bytes_max: usize,
    size: fn(&T) -> usize,
) -> io::Result<(Sender<T>, Receiver<T>)> {
    let (notifier, readable) = Notifier::new()?;
    let state = State { items: VecDeque::new(), bytes: 0, dropped: 0, notifier: Some(notifier) };
    let state = Mutex::new(state);
    let shared = Arc::new(Shared { state, items_max, bytes_max, size });
    let receiver = Receiver { shared: Arc::clone(&shared), readable: Mutex::new(Some(readable)) };
    Ok((Sender(shared), receiver))
}

impl<T> Sender<T> {
    /// Adds an item. Returns `false` if the queue has no room for it.
    pub(crate) fn push(&self, item: T) -> bool {
        let mut state = self.0.lock();
        if state.notifier.is_none() {
            return true;
        }
        let bytes = state.bytes.saturating_add((self.0.size)(&item));
        if state.items.len() >= self.0.items_max || bytes > self.0.bytes_max {
            state.dropped += 1;
            return false;
        }
        state.bytes = bytes;
        state.items.push_back(item);
        if let (1, Some(notifier)) = (state.items.len(), &state.notifier) {
            notifier.notify();
        }
        true
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl<T> Receiver<T> {
    /// The descriptor to wait for; the caller closes it. It is readable when the queue is no longer
    /// empty, and at the end of its stream once the queue has ended. A second call returns `None`.
    pub(crate) fn detach(&self) -> Option<RawDescriptor> {
        let mut readable = self.readable.lock().unwrap_or_else(PoisonError::into_inner);
        readable.take().map(system::into_number)
    }

    /// Takes all items.
    pub(crate) fn take(&self) -> Vec<T> {
        let mut state = self.shared.lock();
        // The receiver takes the next batch only after it has processed the previous one.
        state.bytes = state.items.iter().map(self.shared.size).sum();
        state.items.drain(..).collect()
    }

    /// The number of items that were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.shared.lock().dropped
    }

    /// Ends the queue. The receiver still takes the remaining items.
    pub(crate) fn end(&self) {
        self.shared.end();
    }
}
