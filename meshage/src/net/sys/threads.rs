//! Starts threads, with an error that says what to do if the system refuses one.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

/// Starts a thread.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.into()).spawn(work).map_err(refused)
}

/// The error of a thread that the system refused.
pub(crate) fn refused(error: io::Error) -> io::Error {
    let text = format!(
        "no thread could be started ({error}): raise the limit on processes (ulimit -u, \
         RLIMIT_NPROC), the container's pids limit, or the memory limit"
    );
    io::Error::new(error.kind(), text)
}

/// Checks that this many threads can be started, by starting them all at once and ending them. The
/// runtime panics if it cannot start its threads, so this is checked before it starts them.
pub(crate) fn check_available(count: usize) -> io::Result<()> {
    let mut started = Vec::with_capacity(count);
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
    let mut result = Ok(());
    for _ in 0..count {
        let gate = gate.clone();
        match spawn("meshage-check", move || drop(gate.lock())) {
            Ok(thread) => started.push(thread),
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    drop(closed);
    for thread in started {
        // The thread does nothing that panics.
        let _ = thread.join();
    }
    result
}
