//! The parts that differ between operating systems: socket options, the state of a path,
//! descriptors, threads, `fork`.
//!
//! Only the modules below use `libc`, `socket2`, `std::os` or a `cfg` on the system. The rest of the
//! crate uses their functions and does not depend on the system; `cargo xtask verify` checks this.
//! Each function has a way for Linux, macOS and Windows.
//!
//! ```text
//!                        Linux                         macOS               Windows
//!   no SIGPIPE           MSG_NOSIGNAL                  SO_NOSIGPIPE        there is no such signal
//!   shared UDP port      SO_REUSEPORT                  SO_REUSEPORT        SO_REUSEADDR
//!   dead connection      TCP_USER_TIMEOUT, and the     the control         the control
//!                        control plane's interval      plane's interval    plane's interval
//!   unsent bytes         TCP_NOTSENT_LOWAT             the system's limit  the system's limit
//!   wakeup descriptor    a socket pair                 a socket pair       a pair of UDP sockets
//!   fork detection       pthread_atfork                pthread_atfork      there is no fork
//!   secrets              MADV_DONTDUMP                 ordinary memory     ordinary memory
//! ```

pub(super) mod descriptors;
pub(crate) mod file_access;
pub(crate) mod fork;
pub(super) mod interface_watch;
pub(super) mod path;
pub(crate) mod secret_memory;
pub(super) mod socket;
#[cfg_attr(not(unix), allow(dead_code, reason = "only a system with `fork` needs the list"))]
mod socket_list;
pub(crate) mod socket_pair;
pub(crate) mod threads;
pub(crate) mod wakeup_fd;
