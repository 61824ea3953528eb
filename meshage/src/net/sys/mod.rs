//! The parts that differ between operating systems: socket options, the state of a path,
//! descriptors, threads, `fork`.
//!
//! Only the modules below call `libc`, `socket2` or `std::os`. The rest of [`super`] uses their
//! functions and does not depend on the system.

pub(super) mod descriptors;
pub(crate) mod fork;
pub(super) mod interface_watch;
pub(super) mod path;
pub(super) mod socket;
pub(crate) mod threads;
#[cfg(unix)]
pub(crate) mod wakeup_fd;
