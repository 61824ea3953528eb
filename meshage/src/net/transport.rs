//! The byte stream under a link.
//!
//! ```text
//!  dial, listen ──► Transport ──► handshake ──┬─► ReadHalf  ──► reader
//!                                             └─► WriteHalf ──► writer, direct writes
//! ```
//!
//! A link of a closed node is sealed ([`sealing`], [`opening`]): its halves take and return the same
//! bytes as those of an open one.
//!
//! Only this module requires that the stream is a TCP connection. Each socket is in the list of
//! sockets that a forked child releases ([`Descriptor`]), until it is closed. The handshake, the
//! reader and the writer of a link work with any stream that has these operations.

mod opening;
mod sealing;
#[cfg(test)]
mod tests;

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::BufMut;
use tokio::io::{AsyncReadExt as _, Interest};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use self::opening::Opening;
use self::sealing::Sealing;
pub(super) use self::{opening::KeyNotice, sealing::Written};
use super::security::Contexts;
use super::sys::descriptors::Descriptor;
use super::sys::path::{self, PathInfo};
use super::sys::socket;
use crate::secure::{AuthError, Key, KeyRing, Opener, Refusal, Sealer};

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
    seals: Option<Box<(Sealing, Opening)>>,
}

/// The receiving half of a [`Transport`]. Dropping it closes the stream in both directions: nothing
/// is sent to a peer whose acknowledgements are not read.
#[derive(Debug)]
pub(super) struct ReadHalf {
    _descriptor: Arc<Descriptor>,
    stream: OwnedReadHalf,
    opening: Option<Box<Opening>>,
}

/// The sending half of a [`Transport`]. Dropping it closes the stream in this direction.
#[derive(Debug)]
pub(super) struct WriteHalf {
    _descriptor: Arc<Descriptor>,
    stream: OwnedWriteHalf,
    /// Locked for one write at a time: by the writer, by a thread that writes in its place, or by
    /// the driver that changes keys.
    sealing: Option<Mutex<Sealing>>,
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
        Self { descriptor: Arc::new(descriptor), stream, seals: None }
    }

    /// Seals everything from now on.
    pub(super) fn seal(&mut self, sealer: Sealer, opener: Opener, contexts: Arc<Contexts>) {
        self.seals = Some(Box::new((Sealing::new(sealer), Opening::new(opener, contexts))));
    }

    /// Whether both ends of the stream are this socket: a TCP connection to a free port of this
    /// machine can connect to itself.
    pub(super) fn is_connected_to_itself(&self) -> io::Result<bool> {
        let stream = &self.stream;
        Ok(stream.local_addr()? == stream.peer_addr()?)
    }

    /// The address of this host that the stream uses.
    pub(super) fn local_host(&self) -> io::Result<IpAddr> {
        Ok(self.stream.local_addr()?.ip())
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

    /// Writes all bytes, in clear.
    pub(super) async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let buffers = [IoSlice::new(bytes)];
            let send = || socket::send_vectored(&self.stream, &buffers);
            let (written, _) = when_writable(&self.stream, send).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Reads and discards bytes until the other end closes.
    pub(super) async fn discard(&mut self) {
        let mut buffer = [0; 512];
        while let Ok(1..) = self.stream.read(&mut buffer).await {}
    }

    /// Sends no more, so that the other end reads the end of the stream.
    pub(super) fn end(&self) {
        socket::shutdown(&self.stream, Shutdown::Write);
    }

    /// Fills a buffer.
    pub(super) async fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.stream.read_exact(buffer).await.map(|_| ())
    }

    /// Splits the stream into halves that two tasks can own.
    pub(super) fn into_split(self) -> (ReadHalf, WriteHalf) {
        let (read, write) = self.stream.into_split();
        let (sealing, opening) = self.seals.map(|seals| *seals).unzip();
        let read = ReadHalf {
            _descriptor: self.descriptor.clone(),
            stream: read,
            opening: opening.map(Box::new),
        };
        let sealing = sealing.map(Mutex::new);
        (read, WriteHalf { _descriptor: self.descriptor, stream: write, sealing })
    }
}

impl ReadHalf {
    /// Waits until there may be something to read.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match &self.opening {
            Some(opening) if opening.is_ready() => Ok(()),
            Some(_) | None => self.stream.readable().await,
        }
    }

    /// Reads what has arrived and returns the number of bytes, 0 at the end of the stream. Never
    /// waits: fails with [`io::ErrorKind::WouldBlock`] if nothing has arrived.
    pub(super) fn try_read_vectored(
        &mut self,
        buffers: &mut [IoSliceMut<'_>],
    ) -> io::Result<usize> {
        let stream: &TcpStream = self.stream.as_ref();
        let Some(opening) = &mut self.opening else { return try_recv(stream, buffers) };
        let room = buffers.iter().map(|buffer| buffer.len()).sum();
        loop {
            let (mut at, mut offset) = (0, 0);
            let taken = opening.take(room, |mut contents| {
                while !contents.is_empty() {
                    let (now, later) =
                        contents.split_at(contents.len().min(buffers[at].len() - offset));
                    buffers[at][offset..offset + now.len()].copy_from_slice(now);
                    (offset, contents) = (offset + now.len(), later);
                    if offset == buffers[at].len() {
                        (at, offset) = (at + 1, 0);
                    }
                }
            });
            match taken.map_err(denied)? {
                0 => {
                    if receive(stream, opening)? == 0 {
                        return Ok(0);
                    }
                }
                taken => return Ok(taken),
            }
        }
    }

    /// Waits for something to read, and appends it to a buffer. Returns the number of bytes, `None`
    /// at the end of the stream. 0 if a part of a record has arrived, or a record about keys.
    pub(super) async fn read_buf(&mut self, buffer: &mut impl BufMut) -> io::Result<Option<usize>> {
        let Some(opening) = &mut self.opening else {
            let length = self.stream.read_buf(buffer).await?;
            return Ok((length > 0).then_some(length));
        };
        loop {
            let room = buffer.remaining_mut();
            let taken = opening.take(room, |contents| buffer.put_slice(contents));
            let taken = taken.map_err(denied)?;
            if taken > 0 || opening.has_arrived() {
                return Ok(Some(taken));
            }
            match receive(self.stream.as_ref(), opening) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stream.readable().await?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads and discards what arrives. Returns `false` at the end of the stream.
    pub(super) async fn discard(&mut self, buffer: &mut [u8]) -> bool {
        matches!(self.stream.read(buffer).await, Ok(1..))
    }

    /// The bytes that arrived from the network since the last call, of which `read` were passed to
    /// the caller.
    pub(super) fn take_arrived(&mut self, read: usize) -> usize {
        self.opening.as_mut().map_or(read, |opening| opening.take_arrived())
    }

    /// Whether bytes arrived that [`ReadHalf::take_arrived`] has not returned, though nothing could
    /// be read.
    pub(super) fn has_arrived(&self) -> bool {
        self.opening.as_ref().is_some_and(|opening| opening.has_arrived())
    }

    /// What the other end has said about its keys.
    pub(super) fn next_notice(&mut self) -> Option<KeyNotice> {
        self.opening.as_mut()?.next_notice()
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
    /// caller wait. A sealed stream may accept none, if it could only send what it had accepted
    /// before. Once all is accepted, [`WriteHalf::flush`] sends it.
    pub(super) async fn write_vectored(
        &self,
        buffers: &[IoSlice<'_>],
    ) -> io::Result<(Written, bool)> {
        let stream: &TcpStream = self.stream.as_ref();
        when_writable(stream, || self.write_now(buffers)).await
    }

    /// Writes what the stream accepts at once, and returns how many bytes that were. Never waits:
    /// fails with [`io::ErrorKind::WouldBlock`] if it accepts none.
    pub(super) fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<Written> {
        self.write_now(buffers)
    }

    fn write_now(&self, buffers: &[IoSlice<'_>]) -> io::Result<Written> {
        let stream: &TcpStream = self.stream.as_ref();
        match &self.sealing {
            Some(sealing) => lock(sealing).write(buffers, |bytes| send(stream, bytes)),
            None => {
                let sent = socket::send_vectored(stream, buffers)?;
                Ok(Written { accepted: sent, sent, pending: false })
            }
        }
    }

    /// Whether sealed bytes wait that the stream has accepted and not sent.
    pub(super) fn is_pending(&self) -> bool {
        self.sealing.as_ref().is_some_and(|sealing| lock(sealing).is_pending())
    }

    /// Sends a part of what the stream has accepted, and waits until it can. Returns how many bytes
    /// it sent.
    pub(super) async fn flush(&self) -> io::Result<usize> {
        let Some(sealing) = &self.sealing else { return Ok(0) };
        let stream: &TcpStream = self.stream.as_ref();
        let flush = || lock(sealing).flush(|bytes| send(stream, bytes));
        when_writable(stream, flush).await.map(|(sent, _)| sent)
    }

    /// Tells the other end the ids of the keys that this node accepts. The writer must be woken.
    pub(super) fn announce_ring(&self, ring: &KeyRing) {
        self.change(|sealing| sealing.announce_ring(ring));
    }

    /// Sends under another pre-shared key from now on. The writer must be woken.
    pub(super) fn switch(&self, key: &Key) {
        self.change(|sealing| sealing.switch(key));
    }

    /// Sends under a new key from now on. The writer must be woken.
    pub(super) fn rekey(&self) {
        self.change(Sealing::rekey);
    }

    /// Tells the other end why this node closes the link. The writer must be woken.
    pub(super) fn refuse(&self, refusal: Refusal) {
        self.change(|sealing| sealing.refuse(refusal));
    }

    fn change(&self, change: impl FnOnce(&mut Sealing)) {
        if let Some(sealing) = &self.sealing {
            change(&mut lock(sealing));
        }
    }

    /// Closes the stream in one direction or both.
    pub(super) fn shutdown(&self, how: Shutdown) {
        let stream: &TcpStream = self.stream.as_ref();
        socket::shutdown(stream, how);
    }
}

fn lock(sealing: &Mutex<Sealing>) -> MutexGuard<'_, Sealing> {
    sealing.lock().unwrap_or_else(PoisonError::into_inner)
}

fn send(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    socket::send_vectored(stream, &[IoSlice::new(bytes)])
}

/// Calls a function that writes, as soon as the stream accepts bytes. Returns its result, and
/// whether the stream made the caller wait.
async fn when_writable<T>(
    stream: &TcpStream,
    mut write: impl FnMut() -> io::Result<T>,
) -> io::Result<(T, bool)> {
    let mut waited = false;
    loop {
        match stream.try_io(Interest::WRITABLE, &mut write) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                waited = true;
                stream.writable().await?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            written => return written.map(|written| (written, waited)),
        }
    }
}

/// Receives the next bytes of a sealed stream. Returns how many, 0 at the end of the stream.
fn receive(stream: &TcpStream, opening: &mut Opening) -> io::Result<usize> {
    let length = try_recv(stream, &mut [IoSliceMut::new(opening.room())])?;
    opening.received(length);
    Ok(length)
}

/// Receives what has arrived. Never waits.
fn try_recv(stream: &TcpStream, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
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

/// The error of a sealed stream that ends because of what the other end sent.
fn denied(error: AuthError) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, error)
}

/// The reason, if a sealed stream ended because of what the other end sent.
pub(super) fn auth_error(error: &io::Error) -> Option<&AuthError> {
    error.get_ref().and_then(|error| error.downcast_ref())
}
