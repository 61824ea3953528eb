//! What differs between operating systems in this module.

use std::io;

use meshage::RawDescriptor;

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

/// Opens a connected pair of sockets that do not block.
pub(crate) fn pair() -> io::Result<(PairEnd, PairEnd)> {
    #[cfg(unix)]
    let (one, other) = PairEnd::pair()?;
    #[cfg(not(unix))]
    let (one, other) = loopback_pair()?;
    one.set_nonblocking(true)?;
    other.set_nonblocking(true)?;
    Ok((one, other))
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

/// Makes the other end readable. If this fails, the other end is full, thus readable already, or
/// closed.
pub(crate) fn write_byte(end: &PairEnd) {
    #[cfg(unix)]
    let _ = io::Write::write(&mut &*end, &[0]);
    #[cfg(not(unix))]
    let _ = end.send(&[0]);
}

/// Reads what was written to the other end, up to the length of the buffer.
pub(crate) fn read(end: &PairEnd, buffer: &mut [u8]) -> io::Result<usize> {
    #[cfg(unix)]
    return io::Read::read(&mut &*end, buffer);
    #[cfg(not(unix))]
    return end.recv(buffer);
}
