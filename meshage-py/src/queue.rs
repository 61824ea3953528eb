//! A bounded queue from the core's threads to one Python thread. The core never waits for it: an
//! item that does not fit is dropped and counted.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use pyo3::prelude::*;

use crate::block::{in_slices, now};

/// The receiving end.
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

/// The sending end. Dropping it ends the queue.
pub(crate) struct Sender<T>(Arc<Shared<T>>);

struct Shared<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
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
    ended: bool,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.lock().ended = true;
        self.filled.notify_all();
    }
}

/// Creates a queue of at most `items_max` items and `bytes_max` bytes. `size` gives an item's
/// bytes.
pub(crate) fn bounded<T>(
    items_max: usize,
    bytes_max: usize,
    size: fn(&T) -> usize,
) -> (Sender<T>, Receiver<T>) {
    let state = State { items: VecDeque::new(), bytes: 0, dropped: 0, ended: false };
    let state = Mutex::new(state);
    let shared = Arc::new(Shared { state, filled: Condvar::new(), items_max, bytes_max, size });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl<T> Sender<T> {
    /// Adds an item. Returns `false` if the queue has no room for it.
    pub(crate) fn push(&self, item: T) -> bool {
        let mut state = self.0.lock();
        if state.ended {
            return true;
        }
        let bytes = state.bytes.saturating_add((self.0.size)(&item));
        if state.items.len() >= self.0.items_max || bytes > self.0.bytes_max {
            state.dropped += 1;
            return false;
        }
        state.bytes = bytes;
        state.items.push_back(item);
        if state.items.len() == 1 {
            self.0.filled.notify_one();
        }
        true
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl<T: Send> Receiver<T> {
    /// Waits for items and takes all of them. Returns none once the queue has ended.
    ///
    /// # Errors
    /// The exception that a signal handler raised.
    pub(crate) fn take(&self, py: Python<'_>) -> PyResult<Vec<T>> {
        let taken = in_slices(py, None, |until| self.take_until(until))?;
        Ok(taken.unwrap_or_default())
    }

    fn take_until(&self, until: Instant) -> Option<Vec<T>> {
        let mut state = self.0.lock();
        // The receiver takes the next batch only after it has processed the previous one.
        state.bytes = state.items.iter().map(self.0.size).sum();
        loop {
            if !state.items.is_empty() || state.ended {
                return Some(state.items.drain(..).collect());
            }
            let left = until.saturating_duration_since(now());
            if left.is_zero() {
                return None;
            }
            let waited = self.0.filled.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The number of items that were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.lock().dropped
    }

    /// Ends the queue. A waiting receiver gets the remaining items, then none.
    pub(crate) fn end(&self) {
        self.0.end();
    }
}
