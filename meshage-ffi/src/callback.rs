//! An application's callback: a function, its `user_data`, and the `drop` function that frees the
//! `user_data`.
//!
//! ```text
//!   Slot ──► Arc<Callback> ◄── the thread that runs it
//!                │ when both have released it, `drop` is called, once
//! ```

use std::cell::Cell;
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Frees a callback's `user_data`. Called once, after the last use of the `user_data`.
pub type meshage_drop_cb = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// Locks a mutex. A panic while a lock of this crate is held leaves the guarded data consistent, so
/// poisoning is ignored.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The application's pointer. It is passed back and never dereferenced.
#[derive(Clone, Copy)]
pub(crate) struct UserData(pub(crate) *mut c_void);

// SAFETY: never dereferenced here. The header states that callbacks run on other threads, so the
// application's data must be usable there.
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
    /// Takes ownership of `user_data`: from here on, `drop` is called in every case.
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
            let _scope = CallbackScope::enter();
            // SAFETY: the application passed the two together, and this is their last use.
            unsafe { drop(self.user_data.0) };
        }
    }
}

impl<F> Callback<Option<F>> {
    /// The callback; `None` if the function is NULL (`drop` is then called at once).
    pub(crate) fn non_null(mut self) -> Option<Callback<F>> {
        let function = self.function.take()?;
        Some(Callback { function, user_data: self.user_data, drop: self.drop.take() })
    }
}

/// Holds at most one callback.
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

    /// Whether the slot is not locked.
    pub(crate) fn is_unlocked(&self) -> bool {
        self.0.try_lock().is_ok()
    }

    /// Runs `work` unless a callback is set. The slot is locked meanwhile, so `work` must be short
    /// and must not call the application.
    pub(crate) fn unless_set<R>(&self, work: impl FnOnce() -> R) -> Option<R> {
        let callback = lock(&self.0);
        if callback.is_some() { None } else { Some(work()) }
    }
}

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Marks the current thread as running a callback, for as long as the value lives.
pub(crate) struct CallbackScope(());

impl CallbackScope {
    pub(crate) fn enter() -> Self {
        DEPTH.set(DEPTH.get() + 1);
        Self(())
    }

    /// Whether the current thread is running a callback of any node.
    pub(crate) fn is_current() -> bool {
        DEPTH.get() > 0
    }
}

impl Drop for CallbackScope {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// Counts the callbacks of a node that are running or certain to run.
#[derive(Default)]
pub(crate) struct InFlight {
    count: AtomicUsize,
    /// Whether a thread waits for the count to reach 0.
    awaited: Mutex<bool>,
    none: Condvar,
}

/// One callback, counted for as long as the value lives.
pub(crate) struct InFlightGuard(Arc<InFlight>);

impl InFlight {
    pub(crate) fn enter(self: &Arc<Self>) -> InFlightGuard {
        self.count.fetch_add(1, Ordering::AcqRel);
        InFlightGuard(self.clone())
    }

    /// Whether the count is 0 and not locked.
    pub(crate) fn is_unlocked(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0 && self.awaited.try_lock().is_ok()
    }

    /// Waits until the count is 0.
    pub(crate) fn wait(&self) {
        let mut awaited = lock(&self.awaited);
        *awaited = true;
        while self.count.load(Ordering::Acquire) > 0 {
            awaited = self.none.wait(awaited).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            // A thread that read the count before this waits once it has released the lock.
            let awaited = *lock(&self.0.awaited);
            if awaited {
                self.0.none.notify_all();
            }
        }
    }
}
