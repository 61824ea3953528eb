//! The completion of one send, from the data plane to the caller.
//!
//! ```text
//!  data plane ── Completion ──► CompletionState ◄── polled by a future, a thread or a `Pending`
//!                                  └─ its callback: runs on the callback thread
//! ```
//!
//! A send costs one allocation, its callback included. A send without a callback usually costs
//! none: a state that is no longer used is kept for the next sends of its thread.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::SendError;
use crate::message::Report;

/// The number of states that a thread keeps for its next sends, and so the number of outstanding
/// sends that it can have without an allocation; 100 KiB.
const SPARES_MAX: usize = 1024;

thread_local! {
    static SPARES: RefCell<Vec<Arc<CompletionState>>> = const { RefCell::new(Vec::new()) };
}

/// The result of a send.
pub(crate) type SendResult = Result<Report, SendError>;

/// The callback of a send; `()` is none.
pub(crate) trait Callback: Send + Sync {
    /// Whether there is a callback.
    fn is_set(&self) -> bool;
    /// Calls it, the first time only.
    fn call(&self, result: SendResult);
}

impl Callback for () {
    fn is_set(&self) -> bool {
        false
    }

    fn call(&self, _: SendResult) {}
}

/// A function that is called once.
struct Once<F>(Mutex<Option<F>>);

impl<F: FnOnce(SendResult) + Send> Callback for Once<F> {
    fn is_set(&self) -> bool {
        true
    }

    fn call(&self, result: SendResult) {
        let function = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(function) = function {
            function(result);
        }
    }
}

enum State {
    /// The send is outstanding. The waker is the waiter's.
    Pending(Option<Waker>),
    /// The send has ended, and its result was not taken yet.
    Ready(SendResult),
}

/// The state shared by a send and its waiter. Once the result is taken, it can serve another send.
pub(crate) struct CompletionState<C: ?Sized = dyn Callback> {
    state: Mutex<State>,
    callback: C,
}

impl CompletionState {
    /// A state without a callback.
    pub(crate) fn for_waiter() -> Arc<Self> {
        // While the thread ends, the list of spares is gone.
        let spare = SPARES.try_with(|spares| spares.borrow_mut().pop()).ok().flatten();
        spare.unwrap_or_else(|| {
            Arc::new(CompletionState { state: Mutex::new(State::Pending(None)), callback: () })
        })
    }

    /// A state with a callback, which may have a waiter too.
    pub(crate) fn with_callback(done: impl FnOnce(SendResult) + Send + 'static) -> Arc<Self> {
        let callback = Once(Mutex::new(Some(done)));
        Arc::new(CompletionState { state: Mutex::new(State::Pending(None)), callback })
    }

    /// Keeps a state for the next sends of this thread, unless it is still referenced, has a
    /// callback, or holds a result that was not taken.
    pub(crate) fn recycle(mut completion: Arc<Self>) {
        let Some(unique) = Arc::get_mut(&mut completion) else { return };
        let state = unique.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if unique.callback.is_set() || matches!(state, State::Ready(_)) {
            return;
        }
        // The waiter of an abandoned send may have left its waker.
        *state = State::Pending(None);
        // While the thread ends, the list of spares is gone.
        let _ = SPARES.try_with(|spares| {
            let mut spares = spares.borrow_mut();
            if spares.len() < SPARES_MAX {
                spares.push(completion);
            }
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the result, or registers the waker for it.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<SendResult> {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Pending(None)) {
            State::Ready(result) => Poll::Ready(result),
            State::Pending(Some(waker)) if waker.will_wake(cx.waker()) => {
                *state = State::Pending(Some(waker));
                Poll::Pending
            }
            State::Pending(_) => {
                *state = State::Pending(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }

    /// Takes the result if there is one. A registered waker stays registered.
    pub(crate) fn take(&self) -> Option<SendResult> {
        let mut state = self.state();
        match &*state {
            State::Pending(_) => None,
            State::Ready(_) => match std::mem::replace(&mut *state, State::Pending(None)) {
                State::Ready(result) => Some(result),
                State::Pending(_) => None,
            },
        }
    }

    /// Sets the result and wakes the waiter. Does nothing while an earlier result is not taken.
    pub(super) fn resolve(&self, result: SendResult) {
        let mut state = self.state();
        let State::Pending(waker) = &mut *state else { return };
        let waker = waker.take();
        *state = State::Ready(result);
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A callback that is ready to run with the result of its send.
pub(crate) struct ReadyCallback {
    completion: Arc<CompletionState>,
    result: SendResult,
}

impl ReadyCallback {
    /// Runs the callback.
    pub(super) fn run(self) {
        self.completion.callback.call(self.result);
    }
}

/// The data plane's handle of a completion.
pub(crate) struct Completion(Option<Arc<CompletionState>>);

impl Completion {
    /// A handle of this state.
    pub(crate) fn new(completion: Arc<CompletionState>) -> Self {
        Self(Some(completion))
    }

    /// Takes out the state, whose waiter does not receive the result of the send afterwards. A
    /// callback always does.
    pub(super) fn release(&mut self) -> Option<Arc<CompletionState>> {
        match &self.0 {
            Some(completion) if completion.callback.is_set() => Some(completion.clone()),
            Some(_) | None => self.0.take(),
        }
    }

    /// Completes the send: wakes its waiter, and returns its callback if there is one.
    pub(super) fn complete(self, result: SendResult) -> Option<ReadyCallback> {
        let completion = self.0?;
        if !completion.callback.is_set() {
            completion.resolve(result);
            return None;
        }
        // Without another reference there is no waiter.
        if Arc::strong_count(&completion) > 1 {
            completion.resolve(result.clone());
        }
        Some(ReadyCallback { completion, result })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct CountingWaker(AtomicUsize);

    impl Wake for CountingWaker {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn success() -> SendResult {
        Ok(Report::default())
    }

    #[test]
    fn a_waiter_is_woken_once_and_the_state_can_serve_again() {
        let wakes = Arc::new(CountingWaker::default());
        let waker = Waker::from(wakes.clone());
        let mut cx = Context::from_waker(&waker);
        let completion = CompletionState::for_waiter();
        for round in 1..=2 {
            assert!(completion.poll(&mut cx).is_pending());
            assert!(completion.poll(&mut cx).is_pending());
            assert!(Completion::new(completion.clone()).complete(success()).is_none());
            assert_eq!(wakes.0.load(Ordering::Relaxed), round);
            assert_eq!(completion.poll(&mut cx), Poll::Ready(success()));
        }
    }

    #[test]
    fn a_state_is_reused_only_without_other_references_to_it() {
        let referenced = CompletionState::for_waiter();
        let handle = Completion::new(referenced.clone());
        let referenced_address = Arc::as_ptr(&referenced);
        CompletionState::recycle(referenced);
        let second = CompletionState::for_waiter();
        let reused = std::ptr::addr_eq(referenced_address, Arc::as_ptr(&second));
        assert!(!reused, "its send is outstanding");
        drop(handle);
        let second_address = Arc::as_ptr(&second);
        CompletionState::recycle(second);
        let third = CompletionState::for_waiter();
        assert!(std::ptr::addr_eq(second_address, Arc::as_ptr(&third)));
        third.resolve(success());
        CompletionState::recycle(third);
        let fresh = CompletionState::for_waiter();
        assert!(fresh.take().is_none(), "the result of another send is never seen");
    }

    #[test]
    fn a_released_waiter_gets_the_release_and_a_callback_gets_the_result() {
        let mut cx = Context::from_waker(Waker::noop());
        let (sender, called) = std::sync::mpsc::channel();
        let completion =
            CompletionState::with_callback(move |result| sender.send(result).expect("received"));
        let mut handle = Completion::new(completion.clone());
        handle.release().expect("a waiter").resolve(Err(SendError::Closed));
        handle.complete(success()).expect("a callback").run();
        assert_eq!(called.try_recv(), Ok(success()));
        assert_eq!(completion.poll(&mut cx), Poll::Ready(Err(SendError::Closed)));

        let completion = CompletionState::for_waiter();
        let mut handle = Completion::new(completion.clone());
        handle.release().expect("a waiter").resolve(Err(SendError::Closed));
        assert!(handle.complete(success()).is_none());
        assert_eq!(completion.poll(&mut cx), Poll::Ready(Err(SendError::Closed)));
        assert!(completion.poll(&mut cx).is_pending(), "the result itself is discarded");
    }
}
