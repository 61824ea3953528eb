//! Parks a thread until a future is ready, also on a thread that is ending.
//!
//! When a thread ends, its thread-locals are destroyed before its last code runs: an `atexit`
//! handler, a destructor of a C library, the destructor of another thread-local. Then the runtime
//! cannot be entered and [`thread::current`] panics. So nothing here depends on either: such a
//! thread waits on a condition variable instead of being parked, and polls futures outside of the
//! runtime.

use std::cell::Cell;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use super::clock;
use super::completion::{CompletionState, SendResult};

/// Parks a thread until a future is ready. Each thread has one, created at its first wait, so that
/// later waits allocate nothing. A stale wakeup of an earlier wait only causes one more poll.
pub(crate) struct Parker {
    thread: Arc<ThreadWaker>,
    waker: Waker,
    /// Receives the result of the thread's blocking send; a thread has one at a time.
    pub(crate) completion: Arc<CompletionState>,
}

/// Wakes a waiting thread.
struct ThreadWaker {
    woken: AtomicBool,
    sleeper: Sleeper,
}

/// How a thread waits.
enum Sleeper {
    /// It is parked.
    Parked(Thread),
    /// It waits on a condition variable, because its thread-locals are destroyed.
    Waiting(Mutex<()>, Condvar),
}

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.woken.swap(true, Ordering::AcqRel) {
            return;
        }
        match &self.sleeper {
            Sleeper::Parked(thread) => thread.unpark(),
            Sleeper::Waiting(lock, wakeup) => {
                // A thread that has seen the flag unset waits by the time that the lock is free.
                drop(lock.lock().unwrap_or_else(PoisonError::into_inner));
                wakeup.notify_one();
            }
        }
    }
}

impl ThreadWaker {
    /// Waits until the thread is woken. Returns `false` if the deadline passes first.
    fn wait(&self, deadline: Option<Instant>) -> bool {
        let Sleeper::Waiting(lock, wakeup) = &self.sleeper else {
            return self.park(deadline);
        };
        let mut guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.woken.swap(false, Ordering::AcqRel) {
            guard = match deadline {
                None => wakeup.wait(guard).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let remaining = deadline.saturating_duration_since(clock::now());
                    if remaining.is_zero() {
                        return false;
                    }
                    let waited = wakeup.wait_timeout(guard, remaining);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        true
    }

    fn park(&self, deadline: Option<Instant>) -> bool {
        while !self.woken.swap(false, Ordering::AcqRel) {
            match deadline {
                None => thread::park(),
                Some(deadline) => {
                    let remaining = deadline.saturating_duration_since(clock::now());
                    if remaining.is_zero() {
                        return false;
                    }
                    thread::park_timeout(remaining);
                }
            }
        }
        true
    }
}

thread_local! {
    static PARKER: Parker = Parker::new(current_thread());
    /// Identifies the thread. It has no destructor, so it outlives the other thread-locals.
    static MARK: Cell<u8> = const { Cell::new(0) };
}

/// The current thread; `None` once its thread-locals are destroyed. A thread that has used neither
/// this library nor its own handle before is detected only by the panic of the standard library,
/// which reports it on the standard error stream.
fn current_thread() -> Option<Thread> {
    catch_unwind(thread::current).ok()
}

/// A number that identifies the current thread among all threads that live. Unlike
/// [`thread::current`], it is available until the end of the thread.
pub(crate) fn thread_number() -> usize {
    MARK.with(|mark| std::ptr::from_ref(mark).addr())
}

/// Calls `f` with this thread's parker, or with a new one if the thread-local is already destroyed.
pub(crate) fn with_parker<R>(f: impl FnOnce(&Parker) -> R) -> R {
    let mut f = Some(f);
    let mut call_once = |parker: &Parker| f.take().map(|f| f(parker));
    let result = PARKER.try_with(&mut call_once).unwrap_or_else(|_| call_once(&Parker::new(None)));
    match result {
        Some(result) => result,
        None => unreachable!("invariant B2: the function is called once"),
    }
}

/// Calls `poll` on this thread until it is ready or the deadline passes. It is called at least once.
pub(crate) fn poll_until<R>(
    deadline: Option<Instant>,
    poll: impl FnMut(&mut Context<'_>) -> Poll<R>,
) -> Option<R> {
    with_parker(|parker| parker.wait(deadline, poll))
}

impl Parker {
    /// A parker of this thread; `None` is a thread whose thread-locals are destroyed.
    fn new(thread: Option<Thread>) -> Self {
        let sleeper = match thread {
            Some(thread) => Sleeper::Parked(thread),
            None => Sleeper::Waiting(Mutex::new(()), Condvar::new()),
        };
        let thread = Arc::new(ThreadWaker { woken: AtomicBool::new(false), sleeper });
        let waker = Waker::from(thread.clone());
        Self { thread, waker, completion: CompletionState::for_waiter() }
    }

    /// Yields to other threads up to `times`. Returns the result of the send if it completes in
    /// that time.
    pub(crate) fn yield_for_completion(&self, times: usize) -> Option<SendResult> {
        (0..times).find_map(|_| {
            thread::yield_now();
            self.completion.take()
        })
    }

    /// Waits until `poll` is ready or the deadline passes. It is polled at least once.
    pub(crate) fn wait<R>(
        &self,
        deadline: Option<Instant>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<R>,
    ) -> Option<R> {
        let mut cx = Context::from_waker(&self.waker);
        loop {
            if let Poll::Ready(output) = poll(&mut cx) {
                return Some(output);
            }
            if !self.thread.wait(deadline) {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_thread_without_thread_locals_is_woken_and_keeps_its_deadline() {
        let parker = Parker::new(None);
        let soon = clock::now() + Duration::from_millis(10);
        assert_eq!(parker.wait::<()>(Some(soon), |_| Poll::Pending), None);
        assert!(clock::now() >= soon);
        let mut polls = 0;
        let woken = parker.wait(None, |cx| {
            polls += 1;
            let waker = cx.waker().clone();
            if polls > 100 {
                return Poll::Ready(polls);
            }
            thread::spawn(move || waker.wake());
            Poll::Pending
        });
        assert_eq!(woken, Some(101));
    }

    #[test]
    fn threads_that_live_have_different_numbers() {
        let own = thread_number();
        let other = thread::spawn(thread_number).join().expect("no panic");
        assert_ne!(own, other);
        assert_eq!(own, thread_number());
    }
}
