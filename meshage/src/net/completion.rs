//! The end of one send, on its way from the data plane to whoever waits for it.
//!
//! ```text
//!  data plane ── Completion ──► CompletionState ◄── polled by a future, a parked thread, a `Pending`
//!                                  └─ its callback: run by the thread of `dispatch`
//! ```
//!
//! One allocation a send, its callback included; none where nobody is called: places that are done
//! with wait for the next sends of their thread.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::SendError;
use crate::message::Report;

/// How many places a thread keeps for its next sends: as many as it may have under way at a time
/// without asking for memory; 100 KiB.
const SPARES_MAX: usize = 1024;

thread_local! {
    static SPARES: RefCell<Vec<Arc<CompletionState>>> = const { RefCell::new(Vec::new()) };
}

/// What a send ends with.
pub(crate) type SendResult = Result<Report, SendError>;

/// What wants to be called with it.
pub(crate) trait Callback: Send + Sync {
    /// Whether anybody wants to be called.
    fn is_wanted(&self) -> bool;
    /// Calls, the first time.
    fn call(&self, result: SendResult);
}

impl Callback for () {
    fn is_wanted(&self) -> bool {
        false
    }

    fn call(&self, _: SendResult) {}
}

/// A function that is called once.
struct Once<F>(Mutex<Option<F>>);

impl<F: FnOnce(SendResult) + Send> Callback for Once<F> {
    fn is_wanted(&self) -> bool {
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
    /// Under way, and who is to be woken.
    Awaited(Option<Waker>),
    /// Over, and not yet asked for.
    Ended(SendResult),
}

/// The place where a send's end is left. Taken once, it is ready for another send.
pub(crate) struct CompletionState<C: ?Sized = dyn Callback> {
    state: Mutex<State>,
    callback: C,
}

impl CompletionState {
    /// For who waits.
    pub(crate) fn waited() -> Arc<Self> {
        // A thread that ends has none any more.
        let spare = SPARES.try_with(|spares| spares.borrow_mut().pop()).ok().flatten();
        spare.unwrap_or_else(|| {
            Arc::new(CompletionState { state: Mutex::new(State::Awaited(None)), callback: () })
        })
    }

    /// Keeps a place whose end was taken, unless somebody else holds it or is called.
    pub(crate) fn put_away(mut ending: Arc<Self>) {
        let Some(place) = Arc::get_mut(&mut ending) else { return };
        let state = place.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if place.callback.is_wanted() || matches!(state, State::Ended(_)) {
            return;
        }
        // Of a send that was let go, somebody may have been to be woken.
        *state = State::Awaited(None);
        // A thread that ends keeps nothing.
        let _ = SPARES.try_with(|spares| {
            let mut spares = spares.borrow_mut();
            if spares.len() < SPARES_MAX {
                spares.push(ending);
            }
        });
    }

    /// For a callback, and perhaps somebody who waits.
    pub(crate) fn called(done: impl FnOnce(SendResult) + Send + 'static) -> Arc<Self> {
        let callback = Once(Mutex::new(Some(done)));
        Arc::new(CompletionState { state: Mutex::new(State::Awaited(None)), callback })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the end, or is woken by it.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<SendResult> {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Awaited(None)) {
            State::Ended(result) => Poll::Ready(result),
            State::Awaited(Some(waker)) if waker.will_wake(cx.waker()) => {
                *state = State::Awaited(Some(waker));
                Poll::Pending
            }
            State::Awaited(_) => {
                *state = State::Awaited(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }

    /// Takes the end if it is there. Whoever is to be woken stays so.
    pub(crate) fn take(&self) -> Option<SendResult> {
        let mut state = self.state();
        match &*state {
            State::Awaited(_) => None,
            State::Ended(_) => match std::mem::replace(&mut *state, State::Awaited(None)) {
                State::Ended(result) => Some(result),
                State::Awaited(_) => None,
            },
        }
    }

    /// Tells who waits. What was told first stands until it is taken.
    pub(super) fn tell(&self, result: SendResult) {
        let mut state = self.state();
        let State::Awaited(waker) = &mut *state else { return };
        let waker = waker.take();
        *state = State::Ended(result);
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Runs the callback.
    pub(super) fn call(&self, result: SendResult) {
        self.callback.call(result);
    }
}

/// What the data plane completes a send through.
pub(crate) struct Completion(Option<Arc<CompletionState>>);

/// What is to be done about a send that has ended.
pub(super) enum Due {
    /// Nothing: whoever waited has been told.
    Nothing,
    /// Its callback wants to be run.
    Call(Arc<CompletionState>, SendResult),
}

impl Completion {
    /// Through this.
    pub(crate) fn new(ending: Arc<CompletionState>) -> Self {
        Self(Some(ending))
    }

    /// Whoever waits, who then does not hear of the send's own end. A callback always does.
    pub(super) fn release(&mut self) -> Option<Arc<CompletionState>> {
        match &self.0 {
            Some(ending) if ending.callback.is_wanted() => Some(ending.clone()),
            Some(_) | None => self.0.take(),
        }
    }

    /// Tells who waits for the send; gives back what is left to do.
    pub(super) fn complete(self, result: SendResult) -> Due {
        let Some(ending) = self.0 else { return Due::Nothing };
        if !ending.callback.is_wanted() {
            ending.tell(result);
            return Due::Nothing;
        }
        // Where nobody else holds it, nobody can ask.
        if Arc::strong_count(&ending) > 1 {
            ending.tell(result.clone());
        }
        Due::Call(ending, result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn end() -> SendResult {
        Ok(Report::default())
    }

    #[test]
    fn who_waits_is_woken_once_and_the_place_serves_again() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let ending = CompletionState::waited();
        for round in 1..=2 {
            assert!(ending.poll(&mut cx).is_pending());
            assert!(ending.poll(&mut cx).is_pending());
            let due = Completion::new(ending.clone()).complete(end());
            assert!(matches!(due, Due::Nothing));
            assert_eq!(woken.0.load(Ordering::Relaxed), round);
            assert_eq!(ending.poll(&mut cx), Poll::Ready(end()));
        }
    }

    #[test]
    fn a_place_serves_again_only_once_nobody_else_holds_it() {
        let ending = CompletionState::waited();
        let completion = Completion::new(ending.clone());
        let held = Arc::as_ptr(&ending);
        CompletionState::put_away(ending);
        let other = CompletionState::waited();
        assert!(!std::ptr::addr_eq(held, Arc::as_ptr(&other)), "its send is under way");
        drop(completion);
        let place = Arc::as_ptr(&other);
        CompletionState::put_away(other);
        let again = CompletionState::waited();
        assert!(std::ptr::addr_eq(place, Arc::as_ptr(&again)));
        again.tell(end());
        CompletionState::put_away(again);
        assert!(CompletionState::waited().take().is_none(), "nobody hears of another send's end");
    }

    #[test]
    fn a_released_waiter_hears_of_the_release_and_a_callback_of_the_end() {
        let mut cx = Context::from_waker(Waker::noop());
        let (said, heard) = std::sync::mpsc::channel();
        let ending = CompletionState::called(move |result| said.send(result).expect("heard"));
        let mut completion = Completion::new(ending.clone());
        completion.release().expect("somebody waits").tell(Err(SendError::Closed));
        let Due::Call(call, result) = completion.complete(end()) else { panic!("no callback") };
        call.call(result);
        assert_eq!(heard.try_recv(), Ok(end()));
        assert_eq!(ending.poll(&mut cx), Poll::Ready(Err(SendError::Closed)));

        let ending = CompletionState::waited();
        let mut completion = Completion::new(ending.clone());
        completion.release().expect("somebody waits").tell(Err(SendError::Closed));
        assert!(matches!(completion.complete(end()), Due::Nothing));
        assert_eq!(ending.poll(&mut cx), Poll::Ready(Err(SendError::Closed)));
        assert!(ending.poll(&mut cx).is_pending(), "its own end was told to nobody");
    }
}
