//! Whether this is a child of the process that something belongs to.
//!
//! Counted by the child itself, as it begins, rather than asked of the system at every call: asking
//! for a process's number took 115 ns of a call that takes 400 (a loop of a million, 2 cores).

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many forks lie between the first process and this one.
static FORKS: AtomicU32 = AtomicU32::new(0);
static COUNTED: Once = Once::new();

/// A process of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process(u32);

impl Process {
    /// This one.
    pub(crate) fn current() -> Self {
        COUNTED.call_once(count);
        Self(FORKS.load(Ordering::Relaxed))
    }

    /// Whether it is another than this one, and so an ancestor.
    pub(crate) fn is_left_behind(self) -> bool {
        FORKS.load(Ordering::Relaxed) != self.0
    }
}

/// Has every child counted.
#[cfg(unix)]
#[expect(unsafe_code, reason = "the C library is told what to call in a child")]
fn count() {
    extern "C" fn in_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: the function takes no lock and allocates nothing, as it must in a child of a process
    // with threads, and lives as long as the library. Where there is no memory for it, a child is
    // not told apart: it could not have been started either.
    unsafe {
        libc::pthread_atfork(None, None, Some(in_child));
    }
}

#[cfg(not(unix))]
fn count() {}
