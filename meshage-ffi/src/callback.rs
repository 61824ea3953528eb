//! A function of the program's with the data it wants to see, and the knowledge whether one runs.
//!
//! ```text
//!   Slot ──► Arc<Callback> ◄── the thread that runs it
//!                │ the last of the two to let go calls `drop`, once
//! ```

use std::cell::Cell;
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Called once with a callback's `user_data`, after its last use: the place to free it.
pub type meshage_drop_cb = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// Locks; a panic elsewhere leaves what our locks guard as it was.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The program's pointer. We hand it back and never look at it.
#[derive(Clone, Copy)]
pub(crate) struct UserData(pub(crate) *mut c_void);

// SAFETY: never dereferenced here. The header tells the program that callbacks come on other
// threads, so that what it points to must bear that.
unsafe impl Send for UserData {}
// SAFETY: as above.
unsafe impl Sync for UserData {}

/// A function with its data. `F` is a C function pointer.
pub(crate) struct Callback<F> {
    pub(crate) function: F,
    user_data: UserData,
    drop: meshage_drop_cb,
}

impl<F> Callback<F> {
    /// From here on `drop` will be called, whatever becomes of the callback.
    pub(crate) fn new(function: F, user_data: *mut c_void, drop: meshage_drop_cb) -> Self {
        Self { function, user_data: UserData(user_data), drop }
    }

    pub(crate) fn user_data(&self) -> *mut c_void {
        self.user_data.0
    }
}

impl<F> Drop for Callback<F> {
    fn drop(&mut self) {
        if let Some(drop) = self.drop {
            let _inside = Inside::enter();
            // SAFETY: the program gave the two together, and this is their last use.
            unsafe { drop(self.user_data.0) };
        }
    }
}

impl<F> Callback<Option<F>> {
    /// The callback, or none where the function is NULL (`drop` is then called at once).
    pub(crate) fn present(mut self) -> Option<Callback<F>> {
        let function = self.function.take()?;
        Some(Callback { function, user_data: self.user_data, drop: self.drop.take() })
    }
}

/// The place of one callback.
pub(crate) struct Slot<F>(Mutex<Option<Arc<Callback<F>>>>);

impl<F> Default for Slot<F> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<F> Slot<F> {
    /// Replaces the callback. The old one is dropped here, outside the lock, or by the thread that
    /// is running it.
    pub(crate) fn set(&self, callback: Option<Callback<F>>) {
        let old = std::mem::replace(&mut *lock(&self.0), callback.map(Arc::new));
        drop(old);
    }

    pub(crate) fn current(&self) -> Option<Arc<Callback<F>>> {
        lock(&self.0).clone()
    }

    pub(crate) fn is_set(&self) -> bool {
        lock(&self.0).is_some()
    }

    /// Does something unless a callback is set. None can be set meanwhile: keep it short, and call
    /// nothing of the program's.
    pub(crate) fn unless_set<R>(&self, work: impl FnOnce() -> R) -> Option<R> {
        let callback = lock(&self.0);
        if callback.is_some() { None } else { Some(work()) }
    }
}

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// While it lives, this thread is inside a callback.
pub(crate) struct Inside(());

impl Inside {
    pub(crate) fn enter() -> Self {
        DEPTH.set(DEPTH.get() + 1);
        Self(())
    }

    /// Whether the calling thread is inside a callback of any node.
    pub(crate) fn is_current() -> bool {
        DEPTH.get() > 0
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// Counts the callbacks of a node that run, or that are promised to run.
#[derive(Default)]
pub(crate) struct Under {
    count: AtomicUsize,
    /// Whether anybody waits for the last to leave.
    awaited: Mutex<bool>,
    none: Condvar,
}

/// One callback that is counted as long as this lives.
pub(crate) struct Counted(Arc<Under>);

impl Under {
    pub(crate) fn count(self: &Arc<Self>) -> Counted {
        self.count.fetch_add(1, Ordering::AcqRel);
        Counted(self.clone())
    }

    /// Waits until none is left.
    pub(crate) fn wait(&self) {
        let mut awaited = lock(&self.awaited);
        *awaited = true;
        while self.count.load(Ordering::Acquire) > 0 {
            awaited = self.none.wait(awaited).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Whoever saw the count before this waits by the time that the lock is free.
            let awaited = *lock(&self.0.awaited);
            if awaited {
                self.0.none.notify_all();
            }
        }
    }
}
