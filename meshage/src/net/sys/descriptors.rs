//! What a socket's owner keeps so that a forked child does not keep the socket open.

use super::socket_list::Slot;

/// The entry of one socket in the list. It must be dropped before the socket is closed.
pub(in crate::net) struct Descriptor(Option<&'static Slot>);

impl std::fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Descriptor")
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            slot.free();
        }
    }
}

#[cfg(unix)]
impl Descriptor {
    /// Enters a socket into the list. A socket that the system does not describe is left out.
    pub(in crate::net) fn of(socket: &impl std::os::fd::AsFd) -> Self {
        use std::os::fd::AsRawFd as _;

        // Registers the handler that replaces the sockets of the list in a child.
        super::fork::ForkGeneration::current();
        Self(super::socket_list::enter(socket.as_fd().as_raw_fd()))
    }
}

#[cfg(not(unix))]
impl Descriptor {
    /// Does nothing: this system has no `fork`.
    pub(in crate::net) fn of<T>(_: &T) -> Self {
        Self(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::sys::socket_list::{CHUNK_SLOTS, slots};
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd as _;
    use std::sync::atomic::Ordering;

    fn entered(descriptor: i32) -> usize {
        slots().filter(|slot| slot.descriptor.load(Ordering::Relaxed) == descriptor).count()
    }

    #[test]
    fn a_socket_is_in_the_list_until_its_entry_is_dropped() {
        let sockets: Vec<_> = (0..2 * CHUNK_SLOTS)
            .map(|_| UdpSocket::bind("127.0.0.1:0").expect("a socket"))
            .collect();
        let entries: Vec<_> = sockets.iter().map(Descriptor::of).collect();
        assert!(sockets.iter().all(|socket| entered(socket.as_raw_fd()) == 1));
        drop(entries);
        assert!(sockets.iter().all(|socket| entered(socket.as_raw_fd()) == 0));
    }
}
