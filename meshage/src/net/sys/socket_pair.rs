//! The system's numbers of sockets, and a connected pair of sockets.
//!
//! ```text
//!             RawDescriptor   AsSocket   a pair is
//!   Unix      RawFd           AsFd       a socket pair of the system
//!   Windows   RawSocket       AsSocket   two UDP sockets of the loopback, connected to each other
//! ```

use std::io;

#[cfg(unix)]
pub(in crate::net) use std::os::fd::AsFd as AsSocket;
#[cfg(windows)]
pub(in crate::net) use std::os::windows::io::AsSocket;

/// The system's number of a socket, for functions that wait for one: a file descriptor on Unix, a
/// `SOCKET` on Windows.
#[cfg(unix)]
pub type RawDescriptor = std::os::fd::RawFd;
/// The system's number of a socket, for functions that wait for one: a file descriptor on Unix, a
/// `SOCKET` on Windows.
#[cfg(windows)]
pub type RawDescriptor = std::os::windows::io::RawSocket;

/// One end of a pair.
#[cfg(unix)]
pub(super) type PairEnd = std::os::unix::net::UnixStream;
/// One end of a pair.
#[cfg(not(unix))]
pub(super) type PairEnd = loopback::Loopback;

/// Opens a connected pair of sockets that do not block.
pub(super) fn pair() -> io::Result<(PairEnd, PairEnd)> {
    let (one, other) = PairEnd::pair()?;
    one.set_nonblocking(true)?;
    other.set_nonblocking(true)?;
    Ok((one, other))
}

/// The number of one end.
pub(super) fn number(end: &PairEnd) -> RawDescriptor {
    #[cfg(unix)]
    return std::os::fd::AsRawFd::as_raw_fd(end);
    #[cfg(windows)]
    return std::os::windows::io::AsRawSocket::as_raw_socket(&end.0);
}

/// The pair of a system without socket pairs. The unit test runs on every system.
#[cfg(any(not(unix), test))]
mod loopback {
    use std::io;
    use std::net::{Ipv4Addr, UdpSocket};

    /// A UDP socket that receives from the other end only.
    #[derive(Debug)]
    pub(in super::super) struct Loopback(pub(super) UdpSocket);

    impl Loopback {
        /// Opens both ends.
        pub(super) fn pair() -> io::Result<(Self, Self)> {
            let one = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            one.connect(other.local_addr()?)?;
            other.connect(one.local_addr()?)?;
            let (one, other) = (Self(one), Self(other));
            one.discard_foreign()?;
            other.discard_foreign()?;
            Ok((one, other))
        }

        pub(super) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
            self.0.set_nonblocking(nonblocking)
        }

        /// Discards what other programs sent before the socket was connected.
        fn discard_foreign(&self) -> io::Result<()> {
            self.0.set_nonblocking(true)?;
            // At most what fits into the receive buffer: nothing is added once it is connected.
            while self.0.recv(&mut [0]).is_ok() {}
            Ok(())
        }
    }

    impl io::Read for &Loopback {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.recv(buffer)
        }
    }

    impl io::Write for &Loopback {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[cfg(windows)]
    impl std::os::windows::io::AsSocket for Loopback {
        fn as_socket(&self) -> std::os::windows::io::BorrowedSocket<'_> {
            self.0.as_socket()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::net::UdpSocket;

    use super::loopback::Loopback;

    #[test]
    fn a_pair_of_loopback_sockets_carries_a_byte_from_one_end_to_the_other_only() {
        let (reader, writer) = Loopback::pair().expect("sockets");
        reader.set_nonblocking(true).expect("set");
        let address = reader.0.local_addr().expect("an address");
        let stranger = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
        let _ = stranger.send_to(b"x", address);
        let empty = (&reader).read(&mut [0]).expect_err("nothing was sent by the other end");
        assert_eq!(empty.kind(), ErrorKind::WouldBlock);
        (&writer).write_all(b"a").expect("sent");
        reader.set_nonblocking(false).expect("set");
        let mut byte = [0];
        assert_eq!((&reader).read(&mut byte).expect("received"), 1);
        assert_eq!(byte, *b"a");
    }
}
