//! The parts that differ between operating systems: socket options, the state of a path,
//! descriptors, fork detection.
//!
//! Only the modules below call `libc`, `socket2` or `std::os`. The rest of [`super`] uses their
//! functions and does not depend on the system.

pub(crate) mod fork;
pub(super) mod path;
pub(super) mod socket;
#[cfg(unix)]
pub(crate) mod wakeup_fd;
