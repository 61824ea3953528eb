//! What differs between operating systems in this module.

use std::io;

use meshage::RawDescriptor;
use socket2::SockRef;

/// Suppresses SIGPIPE. Python ignores the signal, but a program may have changed that.
#[cfg(all(unix, not(target_vendor = "apple")))]
const SEND_FLAGS: i32 = libc::MSG_NOSIGNAL;
#[cfg(any(not(unix), target_vendor = "apple"))]
const SEND_FLAGS: i32 = 0;

/// The number of the error "address in use".
pub(crate) const ADDRESS_IN_USE: i32 = libc::EADDRINUSE;
/// The number of an error of input or output that the system did not describe.
pub(crate) const IO_ERROR: i32 = libc::EIO;

/// One end of a pair of sockets.
#[cfg(unix)]
pub(crate) type PairEnd = std::os::unix::net::UnixStream;
/// One end of a pair of sockets. Windows has no socket pairs: the ends are loopback sockets that are
/// connected to each other.
#[cfg(not(unix))]
pub(crate) type PairEnd = std::net::UdpSocket;

/// The writing end of a pair: makes the other end readable, for a Python thread or an event loop.
/// Dropping it ends the stream of the other end.
pub(crate) struct Notifier(PairEnd);

impl Notifier {
    /// Creates a notifier and the descriptor that it makes readable.
    ///
    /// # Errors
    /// The system has no free descriptors.
    pub(crate) fn new() -> io::Result<(Self, PairEnd)> {
        #[cfg(unix)]
        let (reader, writer) = PairEnd::pair()?;
        #[cfg(not(unix))]
        let (reader, writer) = loopback_pair()?;
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

#[cfg(not(unix))]
fn loopback_pair() -> io::Result<(PairEnd, PairEnd)> {
    let one = PairEnd::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    let other = PairEnd::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    one.connect(other.local_addr()?)?;
    other.connect(one.local_addr()?)?;
    Ok((one, other))
}

/// The number of one end, to wait for.
pub(crate) fn number(end: &PairEnd) -> RawDescriptor {
    #[cfg(unix)]
    return std::os::fd::AsRawFd::as_raw_fd(end);
    #[cfg(windows)]
    return std::os::windows::io::AsRawSocket::as_raw_socket(end);
}

/// The number of one end, which the caller closes.
pub(crate) fn into_number(end: PairEnd) -> RawDescriptor {
    #[cfg(unix)]
    return std::os::fd::IntoRawFd::into_raw_fd(end);
    #[cfg(windows)]
    return std::os::windows::io::IntoRawSocket::into_raw_socket(end);
}

/// Reads what was written to the other end, up to the length of the buffer.
pub(crate) fn read(end: &PairEnd, buffer: &mut [u8]) -> io::Result<usize> {
    #[cfg(unix)]
    return io::Read::read(&mut &*end, buffer);
    #[cfg(not(unix))]
    return end.recv(buffer);
}
