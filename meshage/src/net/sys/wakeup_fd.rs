//! A descriptor that is readable exactly while there is something to receive, for programs that
//! wait with `poll`.
//!
//! It is one end of a socket pair that holds at most one byte. Every change of the inbox is
//! followed by a call of [`WakeupFd::sync`], which reads the current state under a lock. The later
//! of two concurrent calls therefore leaves the descriptor in the right state.

use std::io::{self, Read as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::descriptors::Descriptor;
use super::socket;
use super::socket_pair::{self, PairEnd, RawDescriptor};

/// The descriptor and the other end of its socket pair.
#[derive(Debug, Default)]
pub(crate) struct WakeupFd {
    /// `None` before the first use and after a release.
    pair: Mutex<Option<Pair>>,
}

#[derive(Debug)]
struct Pair {
    _descriptors: [Descriptor; 2],
    reader: PairEnd,
    writer: PairEnd,
    raised: bool,
}

impl WakeupFd {
    /// The descriptor to wait for. It is opened if it is not open.
    pub(crate) fn open(&self) -> io::Result<RawDescriptor> {
        let mut pair = self.lock();
        if let Some(pair) = &*pair {
            return Ok(socket_pair::number(&pair.reader));
        }
        let (reader, writer) = socket_pair::pair()?;
        let _descriptors = [Descriptor::of(&reader), Descriptor::of(&writer)];
        let new = Pair { _descriptors, reader, writer, raised: false };
        Ok(socket_pair::number(&pair.insert(new).reader))
    }

    /// Closes the descriptor.
    pub(crate) fn release(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Pair>> {
        self.pair.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the descriptor readable if `ready` returns true, and not readable otherwise.
    pub(crate) fn sync(&self, ready: impl FnOnce() -> bool) {
        let mut pair = self.lock();
        let Some(pair) = &mut *pair else { return };
        let wanted = ready();
        if wanted == pair.raised {
            return;
        }
        // There is always room to write, or a byte to read, unless the application itself has read
        // from the descriptor. In that case the error can be ignored too.
        if wanted {
            let _ = socket::send_vectored(&pair.writer, &[io::IoSlice::new(&[1])]);
        } else {
            let _ = (&pair.reader).read(&mut [0]);
        }
        pair.raised = wanted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readable(wakeup_fd: &WakeupFd) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        let pair = wakeup_fd.lock();
        pair.as_ref()
            .is_some_and(|pair| socket2::SockRef::from(&pair.reader).peek(&mut byte).is_ok())
    }

    #[test]
    fn the_descriptor_is_readable_exactly_while_it_should_be() {
        let wakeup_fd = WakeupFd::default();
        wakeup_fd.open().expect("descriptors");
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

    #[test]
    fn a_released_descriptor_is_opened_anew_and_shows_the_current_state() {
        let wakeup_fd = WakeupFd::default();
        wakeup_fd.open().expect("descriptors");
        wakeup_fd.sync(|| true);
        wakeup_fd.release();
        wakeup_fd.sync(|| true);
        assert!(!readable(&wakeup_fd));
        wakeup_fd.open().expect("descriptors");
        wakeup_fd.sync(|| true);
        assert!(readable(&wakeup_fd));
    }
}
