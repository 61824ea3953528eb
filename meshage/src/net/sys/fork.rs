//! Detects that the current process is a forked child of the process that created an object, and
//! makes the child let go of the library's sockets.
//!
//! Each child increments a counter when it starts. Asking the system for the process id in every
//! call would be slower: it took 115 ns of a call that takes 400 (a loop of a million, 2 cores).

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// The number of forks between the first process and this one.
static FORKS: AtomicU32 = AtomicU32::new(0);
static REGISTERED: Once = Once::new();

/// Identifies a process among its ancestors: the number of forks that led to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ForkGeneration(u32);

impl ForkGeneration {
    /// The generation of the current process.
    pub(crate) fn current() -> Self {
        REGISTERED.call_once(register);
        Self(FORKS.load(Ordering::Relaxed))
    }

    /// Whether this is the generation of an ancestor of the current process.
    pub(crate) fn is_ancestor(self) -> bool {
        FORKS.load(Ordering::Relaxed) != self.0
    }
}

/// Registers a handler that increments the counter in every child, and replaces the sockets.
#[cfg(unix)]
#[expect(unsafe_code, reason = "pthread_atfork registers a C function")]
fn register() {
    extern "C" fn in_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
        super::socket_list::replace_all();
    }
    // SAFETY: the handler takes no lock and allocates nothing, as a child of a process with threads
    // requires, and it lives as long as the library. The registration fails only if there is no
    // memory. A child is then not detected, but without memory no child can be started either.
    unsafe {
        libc::pthread_atfork(None, None, Some(in_child));
    }
}

#[cfg(not(unix))]
fn register() {}
