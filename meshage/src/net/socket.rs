//! Sockets: how they are opened, what is set on them, and how bytes are put into them without
//! raising a signal.

use std::io::{self, IoSlice, IoSliceMut, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// How many connections wait to be accepted: a thousand nodes may dial one that just solicited.
const BACKLOG: i32 = 1024;
/// How long sent bytes may go without the other kernel's acknowledgement: a little longer than the
/// control plane's dead interval (3 s), which is to decide first.
const USER_TIMEOUT: Duration = Duration::from_secs(4);
/// How many bytes the kernel holds that it has not yet sent: enough to keep a loopback busy, few
/// enough that a small message does not wait behind a long tail.
const NOT_SENT_BYTES_MAX: u32 = 128 << 10;
/// No SIGPIPE: a program that is not Rust's would die of it.
#[cfg(not(target_vendor = "apple"))]
const FLAGS: i32 = libc::MSG_NOSIGNAL;
#[cfg(target_vendor = "apple")]
const FLAGS: i32 = 0;

/// Puts bytes into a socket; says how many it took.
pub(super) fn send(socket: &impl AsFd, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
    SockRef::from(socket).send_vectored_with_flags(buffers, FLAGS)
}

/// Puts bytes into a connection, waiting until it takes some; says how many it took.
pub(super) async fn send_some(stream: &TcpStream, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
    loop {
        match stream.try_io(Interest::WRITABLE, || send(stream, buffers)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            sent => return sent,
        }
    }
}

/// Takes bytes out of a connection that tokio takes for readable; says how many there were, 0 at its
/// end. Never waits.
pub(super) fn recv_now(stream: &TcpStream, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let room: usize = buffers.iter().map(|buffer| buffer.len()).sum();
    let mut length = 0;
    let drained = stream.try_io(Interest::READABLE, || {
        length = (&*SockRef::from(stream)).read_vectored(buffers)?;
        // Less than there was room for is all there was: to ask again would cost a call in vain.
        if 0 < length && length < room { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match drained {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock || length == 0 => Err(error),
        Err(_) | Ok(()) => Ok(length),
    }
}

/// Puts all of some bytes into a connection.
pub(super) async fn send_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let sent = send_some(stream, &[IoSlice::new(bytes)]).await?;
        bytes = &bytes[sent..];
    }
    Ok(())
}

/// What every connection is set to. What a system lacks is done without.
pub(super) fn tune(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let _ = stream.set_nodelay(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.set_tcp_user_timeout(Some(USER_TIMEOUT));
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.set_tcp_notsent_lowat(NOT_SENT_BYTES_MAX);
    #[cfg(target_vendor = "apple")]
    let _ = socket.set_nosigpipe(true);
}

/// Ends a connection in one direction or both. That it is over already is no harm.
pub(super) fn shut(stream: &TcpStream, how: std::net::Shutdown) {
    let _ = SockRef::from(stream).shutdown(how);
}

/// Listens for connections.
pub(super) fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // A port whose last connections are still dying is free.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Hears datagrams on a port that any number of nodes of this machine share.
pub(super) fn hear(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_broadcast(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Calls from one address of this machine.
pub(super) fn call_from(address: IpAddr) -> io::Result<std::net::UdpSocket> {
    let socket = std::net::UdpSocket::bind((address, 0))?;
    socket.set_broadcast(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Any address of the same kind.
pub(super) fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}
