//! What the kernel knows about the path of a TCP connection.
//!
//! Linux reports it since version 4.10. Elsewhere nothing is reported, and links rely on the limit
//! on unsent bytes in [`super::socket`] alone.

use std::time::Duration;

/// The state of the path to the other end of a connection, and the totals since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::net) struct PathInfo {
    /// The smoothed round-trip time.
    pub(in crate::net) rtt: Duration,
    /// The shortest round-trip time of the last minutes.
    pub(in crate::net) rtt_min: Duration,
    /// The bytes that the kernel was given and that the other end has not acknowledged.
    pub(in crate::net) unacked_bytes: u64,
    /// The bytes that the other end has acknowledged.
    pub(in crate::net) acked_bytes: u64,
    /// The time during which something was unacknowledged.
    pub(in crate::net) busy: Duration,
    /// The segments with data that have arrived, those behind a lost one included.
    pub(in crate::net) segments_received: u32,
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::{AsFd, AsRawFd as _};
    use std::time::Duration;

    use super::PathInfo;

    /// The bytes of `struct tcp_info` that are used; Linux never moves a field.
    const TCP_INFO_BYTES: usize = 176;
    const RTT_AT: usize = 68;
    const BYTES_ACKED_AT: usize = 120;
    const RTT_MIN_AT: usize = 148;
    const DATA_SEGMENTS_IN_AT: usize = 152;
    const BUSY_TIME_AT: usize = 168;

    /// The state of a connection's path, unless the kernel does not report it.
    pub(in crate::net) fn path_info(socket: &impl AsFd) -> Option<PathInfo> {
        let info = tcp_info(socket)?;
        let u32_at = |at: usize| Some(u32::from_ne_bytes(info.get(at..at + 4)?.try_into().ok()?));
        let u64_at = |at: usize| Some(u64::from_ne_bytes(info.get(at..at + 8)?.try_into().ok()?));
        Some(PathInfo {
            rtt: Duration::from_micros(u32_at(RTT_AT)?.into()),
            rtt_min: Duration::from_micros(u32_at(RTT_MIN_AT)?.into()),
            unacked_bytes: unacked_bytes(socket).ok()?,
            acked_bytes: u64_at(BYTES_ACKED_AT)?,
            busy: Duration::from_micros(u64_at(BUSY_TIME_AT)?),
            segments_received: u32_at(DATA_SEGMENTS_IN_AT)?,
        })
    }

    #[expect(unsafe_code, reason = "getsockopt fills a buffer")]
    fn tcp_info(socket: &impl AsFd) -> Option<[u8; TCP_INFO_BYTES]> {
        let mut info = [0_u8; TCP_INFO_BYTES];
        let mut length = TCP_INFO_BYTES as libc::socklen_t;
        // SAFETY: the descriptor is open as long as `socket` is borrowed, and the kernel writes at
        // most `length` bytes, which is the size of the buffer.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        // An older kernel returns fewer bytes.
        (result == 0 && length as usize == TCP_INFO_BYTES).then_some(info)
    }

    #[expect(unsafe_code, reason = "ioctl fills an integer")]
    fn unacked_bytes(socket: &impl AsFd) -> io::Result<u64> {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the descriptor is open as long as `socket` is borrowed, and this request writes
        // one `int`.
        let result =
            unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(u64::try_from(bytes).unwrap_or(0))
    }
}

#[cfg(target_os = "linux")]
pub(in crate::net) use linux::path_info;

/// The state of a connection's path: this system does not report it.
#[cfg(not(target_os = "linux"))]
pub(in crate::net) fn path_info<S>(_socket: &S) -> Option<PathInfo> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_kernel_reports_what_was_acknowledged_and_what_has_arrived() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let mut client =
            TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (mut server, _) = listener.accept().expect("accepted");
        let before = path_info(&client).expect("reported");
        assert_eq!(before.unacked_bytes, 0);
        client.write_all(&[7; 5000]).expect("written");
        server.read_exact(&mut [0; 5000]).expect("read");
        let deadline = crate::net::clock::now() + Duration::from_secs(5);
        loop {
            let info = path_info(&client).expect("reported");
            if info.acked_bytes - before.acked_bytes == 5000 && info.unacked_bytes == 0 {
                assert!(info.rtt > Duration::ZERO && info.rtt < Duration::from_secs(1));
                assert!(info.rtt_min <= info.rtt);
                break;
            }
            assert!(crate::net::clock::now() < deadline, "{info:?}");
            std::thread::yield_now();
        }
        assert!(path_info(&server).expect("reported").segments_received >= 1);
    }
}
