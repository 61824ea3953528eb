//! Opens sockets, sets their options, and moves bytes without raising SIGPIPE.

use std::io::{self, IoSlice, IoSliceMut, Read as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::socket_pair::AsSocket;

/// The length of the accept queue. Connections wait there while all handshakes are taken, and a
/// thousand nodes may respond to one solicitation. The kernel cuts it to its own limit.
const BACKLOG: i32 = 4096;
/// The limit on the time that sent bytes stay unacknowledged by the other kernel. The control plane
/// closes a silent link after 3 s. This limit must only never end a link before: on a path with a
/// queue of 5 s, a segment that is lost twice is acknowledged after three times that.
#[cfg(any(target_os = "linux", target_os = "android"))]
const USER_TIMEOUT: Duration = Duration::from_secs(20);
/// The limit on the bytes in the kernel that are not yet sent: enough to keep a loopback busy, and
/// few enough that a small message does not wait behind many bytes of large ones.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NOT_SENT_BYTES_MAX: u32 = 128 << 10;
/// Suppresses SIGPIPE, which would end a program that is not written in Rust. Apple's systems have
/// an option of the socket for this ([`set_tcp_options`]), and Windows has no such signal.
#[cfg(all(unix, not(target_vendor = "apple")))]
const SEND_FLAGS: i32 = libc::MSG_NOSIGNAL;
#[cfg(any(not(unix), target_vendor = "apple"))]
const SEND_FLAGS: i32 = 0;

/// Writes to a socket and returns the number of bytes that it accepted.
pub(in crate::net) fn send_vectored(
    socket: &impl AsSocket,
    buffers: &[IoSlice<'_>],
) -> io::Result<usize> {
    SockRef::from(socket).send_vectored_with_flags(buffers, SEND_FLAGS)
}

/// Reads from a socket and returns the number of bytes, 0 at the end of the stream.
pub(in crate::net) fn recv_vectored(
    socket: &impl AsSocket,
    buffers: &mut [IoSliceMut<'_>],
) -> io::Result<usize> {
    (&*SockRef::from(socket)).read_vectored(buffers)
}

/// Sets the options of a TCP connection. An option that the system does not support is left out.
pub(in crate::net) fn set_tcp_options(stream: &impl AsSocket) {
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_nodelay(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.set_tcp_user_timeout(Some(USER_TIMEOUT));
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.set_tcp_notsent_lowat(NOT_SENT_BYTES_MAX);
    #[cfg(target_vendor = "apple")]
    let _ = socket.set_nosigpipe(true);
}

/// Sets whether closing the socket resets the connection. A connection that is reset does not leave
/// its port in TIME_WAIT, and what is not sent yet is discarded.
pub(in crate::net) fn reset_when_closed(socket: &impl AsSocket, reset: bool) {
    let _ = SockRef::from(socket).set_linger(reset.then_some(Duration::ZERO));
}

/// Closes a connection in one direction or both. A connection that is already closed is no error.
pub(in crate::net) fn shutdown(socket: &impl AsSocket, how: Shutdown) {
    let _ = SockRef::from(socket).shutdown(how);
}

/// Opens a listening TCP socket.
pub(in crate::net) fn listen_tcp(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // A port is free even if its last connections are still in TIME_WAIT. Windows does so without
    // the option, which there lets a second program take a port that is in use.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Opens a UDP socket on a port that any number of nodes of this machine can share.
pub(in crate::net) fn bind_shared_udp(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    // On Windows the option above is enough.
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.set_broadcast(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Opens a UDP socket that sends from one address of this machine.
pub(in crate::net) fn bind_source_udp(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_broadcast(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The address that reaches every node on the network of the socket's own address, given that
/// network's broadcast address.
///
/// On Linux and Windows, 255.255.255.255 leaves by the interface of the address that the socket is
/// bound to, and also reaches nodes that have another network mask. Other systems send it by the
/// default route.
pub(in crate::net) fn broadcast_address(of_network: Option<Ipv4Addr>) -> Ipv4Addr {
    if cfg!(any(target_os = "linux", target_os = "android", windows)) {
        Ipv4Addr::BROADCAST
    } else {
        of_network.unwrap_or(Ipv4Addr::BROADCAST)
    }
}

/// Sets the interface by which a socket sends IPv6 multicast; 0 leaves it to the system.
pub(in crate::net) fn set_multicast_interface(
    socket: &impl AsSocket,
    index: u32,
) -> io::Result<()> {
    if index == 0 {
        return Ok(());
    }
    SockRef::from(socket).set_multicast_if_v6(index)
}
