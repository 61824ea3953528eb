//! The byte stream under a link.
//!
//! ```text
//!  dial, listen ──► Transport ──► handshake ──┬─► ReadHalf  ──► reader
//!                                             └─► WriteHalf ──► writer, direct writes
//! ```
//!
//! Only this module requires that the stream is a TCP connection. Each socket is in the list of
//! sockets that a forked child releases ([`Descriptor`]), until it is closed. The handshake, the
//! reader and the writer of a link work with any stream that has these operations.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::sync::Arc;

use bytes::BufMut;
use tokio::io::{AsyncReadExt as _, Interest};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::sys::descriptors::Descriptor;
use super::sys::path::{self, PathInfo};
use super::sys::socket;

/// A socket that accepts connections. It is shut down before it is closed, so that its port is free
/// even if another process has a copy of the descriptor.
#[derive(Debug)]
pub(super) struct Listener {
    _descriptor: Descriptor,
    listener: TcpListener,
}

impl Listener {
    /// Listens at an address.
    pub(super) fn open(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::from_std(socket::listen_tcp(address)?)?;
        Ok(Self { _descriptor: Descriptor::of(&listener), listener })
    }

    /// The port at which it listens.
    pub(super) fn port(&self) -> io::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// Waits for a connection.
    pub(super) async fn accept(&self) -> io::Result<(Transport, SocketAddr)> {
        let (stream, from) = self.listener.accept().await?;
        Ok((Transport::new(Descriptor::of(&stream), stream), from))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        socket::shutdown(&self.listener, Shutdown::Both);
    }
}

/// A connected stream.
#[derive(Debug)]
pub(super) struct Transport {
    /// The first field, so that it is dropped before the socket is closed. So it is in the halves.
    descriptor: Arc<Descriptor>,
    stream: TcpStream,
}

/// The receiving half of a [`Transport`]. Dropping it closes the stream in both directions: nothing
/// is sent to a peer whose acknowledgements are not read.
#[derive(Debug)]
pub(super) struct ReadHalf {
    _descriptor: Arc<Descriptor>,
    stream: OwnedReadHalf,
}

/// The sending half of a [`Transport`]. Dropping it closes the stream in this direction.
#[derive(Debug)]
pub(super) struct WriteHalf {
    _descriptor: Arc<Descriptor>,
    stream: OwnedWriteHalf,
}

impl Drop for ReadHalf {
    fn drop(&mut self) {
        self.shutdown(Shutdown::Both);
    }
}

impl Transport {
    /// Connects to an address.
    pub(super) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        let descriptor = Descriptor::of(&socket);
        Ok(Self::new(descriptor, socket.connect(address).await?))
    }

    /// Sets the options that links need.
    fn new(descriptor: Descriptor, stream: TcpStream) -> Self {
        socket::set_tcp_options(&stream);
        Self { descriptor: Arc::new(descriptor), stream }
    }

    /// Whether both ends of the stream are this socket: a TCP connection to a free port of this
    /// machine can connect to itself.
    pub(super) fn is_connected_to_itself(&self) -> io::Result<bool> {
        let stream = &self.stream;
        Ok(stream.local_addr()? == stream.peer_addr()?)
    }

    /// The address of the host at the other end.
    pub(super) fn peer_host(&self) -> io::Result<IpAddr> {
        Ok(self.stream.peer_addr()?.ip())
    }

    /// Sets whether the stream is reset when it is dropped, instead of closed in order. A reset
    /// leaves no connection in TIME_WAIT at either end, and discards what was not sent yet.
    pub(super) fn reset_when_dropped(&self, reset: bool) {
        socket::reset_when_closed(&self.stream, reset);
    }

    /// Writes all bytes.
    pub(super) async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (written, _) = write_vectored(&self.stream, &[IoSlice::new(bytes)]).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Fills a buffer.
    pub(super) async fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.stream.read_exact(buffer).await.map(|_| ())
    }

    /// Splits the stream into halves that two tasks can own.
    pub(super) fn into_split(self) -> (ReadHalf, WriteHalf) {
        let (read, write) = self.stream.into_split();
        let read = ReadHalf { _descriptor: self.descriptor.clone(), stream: read };
        (read, WriteHalf { _descriptor: self.descriptor, stream: write })
    }
}

impl ReadHalf {
    /// Waits until there may be something to read.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }

    /// Reads what has arrived and returns the number of bytes, 0 at the end of the stream. Never
    /// waits: fails with [`io::ErrorKind::WouldBlock`] if nothing has arrived.
    pub(super) fn try_read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let stream: &TcpStream = self.stream.as_ref();
        let room: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        let mut length = 0;
        let drained = stream.try_io(Interest::READABLE, || {
            length = socket::recv_vectored(stream, buffers)?;
            // A read that leaves room has emptied the socket. `WouldBlock` makes tokio wait for the
            // next readiness, which saves a system call that would return nothing.
            if 0 < length && length < room { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match drained {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock || length == 0 => Err(error),
            Err(_) | Ok(()) => Ok(length),
        }
    }

    /// Waits for something to read, appends it to a buffer and returns the number of bytes, 0 at
    /// the end of the stream.
    pub(super) async fn read_buf(&mut self, buffer: &mut impl BufMut) -> io::Result<usize> {
        self.stream.read_buf(buffer).await
    }

    /// Resets the stream when both halves are dropped (see [`Transport::reset_when_dropped`]).
    pub(super) fn reset_when_dropped(&self) {
        let stream: &TcpStream = self.stream.as_ref();
        socket::reset_when_closed(stream, true);
    }

    /// Closes the stream in one direction or both.
    pub(super) fn shutdown(&self, how: Shutdown) {
        let stream: &TcpStream = self.stream.as_ref();
        socket::shutdown(stream, how);
    }
}

impl WriteHalf {
    /// Whether the other end is on this machine.
    pub(super) fn is_loopback(&self) -> bool {
        self.stream.peer_addr().is_ok_and(|address| address.ip().to_canonical().is_loopback())
    }

    /// The state of the path to the other end, if the system reports it.
    pub(super) fn path_info(&self) -> Option<PathInfo> {
        let stream: &TcpStream = self.stream.as_ref();
        path::path_info(stream)
    }

    /// Waits until the stream accepts bytes. Returns how many it accepted, and whether it made the
    /// caller wait.
    pub(super) async fn write_vectored(
        &self,
        buffers: &[IoSlice<'_>],
    ) -> io::Result<(usize, bool)> {
        write_vectored(self.stream.as_ref(), buffers).await
    }

    /// Writes what the stream accepts at once, and returns how many bytes that were. Never waits:
    /// fails with [`io::ErrorKind::WouldBlock`] if it accepts none.
    pub(super) fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let stream: &TcpStream = self.stream.as_ref();
        socket::send_vectored(stream, buffers)
    }

    /// Closes the stream in one direction or both.
    pub(super) fn shutdown(&self, how: Shutdown) {
        let stream: &TcpStream = self.stream.as_ref();
        socket::shutdown(stream, how);
    }
}

async fn write_vectored(stream: &TcpStream, buffers: &[IoSlice<'_>]) -> io::Result<(usize, bool)> {
    let mut waited = false;
    loop {
        match stream.try_io(Interest::WRITABLE, || socket::send_vectored(stream, buffers)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                waited = true;
                stream.writable().await?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            written => return written.map(|written| (written, waited)),
        }
    }
}
