//! The parts that differ between operating systems: socket options, descriptors, fork detection.
//!
//! Only the modules below use `libc`, `socket2`, `std::os` or a `cfg` on the system. The rest of the
//! crate uses their functions and does not depend on the system; `cargo xtask verify` checks this.
//! Each function has a way for Linux, macOS and Windows.
//!
//! ```text
//!                        Linux                    macOS               Windows
//!   no SIGPIPE           MSG_NOSIGNAL             SO_NOSIGPIPE        no such signal
//!   shared UDP port      SO_REUSEPORT             SO_REUSEPORT        SO_REUSEADDR
//!   dead connection      TCP_USER_TIMEOUT, too    the dead interval   the dead interval
//!   short send queue     TCP_NOTSENT_LOWAT        as the system has   as the system has
//!   wakeup descriptor    socket pair              socket pair         connected loopback sockets
//!   fork detection       pthread_atfork           pthread_atfork      no fork
//! ```

pub(crate) mod descriptor;
pub(crate) mod fork;
pub(super) mod socket;
pub(crate) mod wakeup_fd;
