//! A bounded queue from the core's threads to one Python thread. It never makes the core wait: what
//! does not fit is dropped and counted.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use pyo3::prelude::*;

use crate::block::{in_slices, now};

/// The end that takes.
pub(crate) struct Queue<T>(Arc<Shared<T>>);

/// The end that puts in. The queue ends when it is dropped.
pub(crate) struct Feeder<T>(Arc<Shared<T>>);

struct Shared<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    items_max: usize,
    bytes_max: usize,
    size: fn(&T) -> usize,
}

struct State<T> {
    items: VecDeque<T>,
    /// Of the items, and of those that were taken last: the taker is still at them.
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

/// A queue of at most `items_max`, and of `bytes_max` as `size` counts them.
pub(crate) fn queue<T>(
    items_max: usize,
    bytes_max: usize,
    size: fn(&T) -> usize,
) -> (Feeder<T>, Queue<T>) {
    let state = State { items: VecDeque::new(), bytes: 0, dropped: 0, ended: false };
    let state = Mutex::new(state);
    let shared = Arc::new(Shared { state, filled: Condvar::new(), items_max, bytes_max, size });
    (Feeder(Arc::clone(&shared)), Queue(shared))
}

impl<T> Feeder<T> {
    /// Puts an item in; `false` if the queue was too full for it.
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

impl<T> Drop for Feeder<T> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl<T: Send> Queue<T> {
    /// Waits for items and takes all there are; none once the queue has ended.
    ///
    /// # Errors
    /// What a signal handler raised.
    pub(crate) fn take(&self, py: Python<'_>) -> PyResult<Vec<T>> {
        let taken = in_slices(py, None, |until| self.take_until(until))?;
        Ok(taken.unwrap_or_default())
    }

    fn take_until(&self, until: Instant) -> Option<Vec<T>> {
        let mut state = self.0.lock();
        // Whoever takes more is done with what it took before.
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

    /// How many items did not fit.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.lock().dropped
    }

    /// Ends the queue: a waiting taker gets what is there, then nothing.
    pub(crate) fn end(&self) {
        self.0.end();
    }
}
