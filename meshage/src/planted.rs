//! Planted mistakes: with the feature `sim`, a test can switch on one of many mistakes in the core,
//! to find out whether the simulator finds it.
//!
//! It owns the list of mistakes, and which of them is active on the current thread. A simulation runs
//! on one thread, so tests in parallel do not affect each other. A place in the core asks with
//! `planted!(NameOfTheMistake)`. Without the feature this is `false`, and nothing of a mistake is
//! compiled.
//!
//! ```text
//!   sim/planted.rs: seeds, one by one ──► with(mistake, run)
//!                                              │ thread-local
//!            protocol/, forward/, route.rs ◄───┴─── planted!(…)
//! ```

#[cfg(feature = "sim")]
mod mistakes;

#[cfg(feature = "sim")]
use std::cell::Cell;

#[cfg(feature = "sim")]
pub use mistakes::Mistake;

/// Whether a mistake is active on this thread.
#[cfg(feature = "sim")]
macro_rules! planted {
    ($mistake:ident) => {
        $crate::planted::is($crate::planted::Mistake::$mistake)
    };
}

/// There are no mistakes without the simulator.
#[cfg(not(feature = "sim"))]
macro_rules! planted {
    ($mistake:ident) => {
        false
    };
}

#[cfg(feature = "sim")]
thread_local! {
    static ACTIVE: Cell<Option<Mistake>> = const { Cell::new(None) };
}

/// Whether a mistake is active on this thread. A thread that ends has none.
#[cfg(feature = "sim")]
pub(crate) fn is(mistake: Mistake) -> bool {
    ACTIVE.try_with(Cell::get).ok().flatten() == Some(mistake)
}

/// Runs `run` with this mistake, or with none.
#[cfg(feature = "sim")]
pub(crate) fn with<R>(mistake: Option<Mistake>, run: impl FnOnce() -> R) -> R {
    /// Restores the mistake from before, also after a panic.
    struct Restore(Option<Mistake>);

    impl Drop for Restore {
        fn drop(&mut self) {
            ACTIVE.set(self.0);
        }
    }

    let _restore = Restore(ACTIVE.replace(mistake));
    run()
}

#[cfg(all(test, feature = "sim"))]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_active_on_one_thread_and_until_its_run_ends() {
        let mistake = Mistake::ALL[0];
        with(Some(mistake), || {
            assert!(is(mistake) && !is(Mistake::ALL[1]));
            std::thread::scope(|scope| {
                scope.spawn(|| assert!(!is(mistake)));
            });
            with(None, || assert!(!is(mistake)));
            let panicked = std::panic::catch_unwind(|| with(None, || panic!("in a run")));
            assert!(panicked.is_err() && is(mistake));
        });
        assert!(!is(mistake));
    }
}
