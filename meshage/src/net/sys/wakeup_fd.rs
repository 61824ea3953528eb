//! A descriptor that is readable exactly while there is something to receive, for programs that
//! wait with `poll`.
//!
//! It is one end of a socket pair that holds at most one byte. Every change of the inbox is
//! followed by a call of [`WakeupFd::sync`], which reads the current state under a lock. The later
//! of two concurrent calls therefore leaves the descriptor in the right state.

use std::io::{self, Read as _};
use std::sync::{Mutex, PoisonError};

use super::descriptors::Descriptor;
use super::socket;
use super::socket_pair::{self, PairEnd, RawDescriptor};

/// The descriptor and the other end of its socket pair.
#[derive(Debug)]
pub(crate) struct WakeupFd {
    _descriptors: [Descriptor; 2],
    reader: PairEnd,
    writer: PairEnd,
    raised: Mutex<bool>,
}

impl WakeupFd {
    /// Creates a descriptor that is not readable.
    pub(crate) fn new() -> io::Result<Self> {
        let (reader, writer) = socket_pair::pair()?;
        let _descriptors = [Descriptor::of(&reader), Descriptor::of(&writer)];
        Ok(Self { _descriptors, reader, writer, raised: Mutex::new(false) })
    }

    /// The descriptor to wait for.
    pub(crate) fn descriptor(&self) -> RawDescriptor {
        socket_pair::number(&self.reader)
    }

    /// Makes the descriptor readable if `ready` returns true, and not readable otherwise.
    pub(crate) fn sync(&self, ready: impl FnOnce() -> bool) {
        let mut raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = ready();
        if wanted == *raised {
            return;
        }
        // There is always room to write, or a byte to read, unless the application itself has read
        // from the descriptor. In that case the error can be ignored too.
        if wanted {
            let _ = socket::send_vectored(&self.writer, &[io::IoSlice::new(&[1])]);
        } else {
            let _ = (&self.reader).read(&mut [0]);
        }
        *raised = wanted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readable(wakeup_fd: &WakeupFd) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        socket2::SockRef::from(&wakeup_fd.reader).peek(&mut byte).is_ok()
    }

    #[test]
    fn the_descriptor_is_readable_exactly_while_it_should_be() {
        let wakeup_fd = WakeupFd::new().expect("descriptors");
        assert!(!readable(&wakeup_fd));
        for _ in 0..100_000 {
            wakeup_fd.sync(|| true);
        }
        assert!(readable(&wakeup_fd));
        wakeup_fd.sync(|| false);
        assert!(!readable(&wakeup_fd));
        wakeup_fd.sync(|| true);
        assert!(readable(&wakeup_fd));
    }
}
