//! Makes a descriptor readable for a Python thread or an event loop.

use std::io;
use std::os::unix::net::UnixStream;

use socket2::SockRef;

/// Suppresses SIGPIPE. Python ignores the signal, but a program may have changed that.
#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: i32 = libc::MSG_NOSIGNAL;
#[cfg(target_vendor = "apple")]
const SEND_FLAGS: i32 = 0;

/// The writing end of a socket pair. Dropping it ends the stream of the other end.
pub(crate) struct Notifier(UnixStream);

impl Notifier {
    /// Creates a notifier and the descriptor that it makes readable.
    ///
    /// # Errors
    /// The system has no free descriptors.
    pub(crate) fn new() -> io::Result<(Self, UnixStream)> {
        let (reader, writer) = UnixStream::pair()?;
        writer.set_nonblocking(true)?;
        #[cfg(target_vendor = "apple")]
        SockRef::from(&writer).set_nosigpipe(true)?;
        Ok((Self(writer), reader))
    }

    /// Writes one byte. If that fails, the socket is full, thus readable already, or closed.
    pub(crate) fn notify(&self) {
        let _ = SockRef::from(&self.0).send_with_flags(&[1], SEND_FLAGS);
    }
}
