//! The sockets of a worker, and the body of its messages.

use peer_worker::{Result, SMALL};
use zmq::{Context, Socket, SocketType};

/// The body of every small message.
pub(crate) const BODY: [u8; SMALL] = [b'x'; SMALL];

/// The context of a process, which creates its sockets.
pub(crate) struct Peer(Context);

impl Peer {
    /// A new context.
    pub(crate) fn new() -> Self {
        Self(Context::new())
    }

    /// A socket with the default high-water marks.
    pub(crate) fn default_socket(&self, kind: SocketType) -> Result<Socket> {
        Ok(self.0.socket(kind)?)
    }

    /// A socket without high-water marks. ROUTER and PUB drop messages silently at theirs, so the
    /// worker limits the outstanding messages instead.
    pub(crate) fn socket(&self, kind: SocketType) -> Result<Socket> {
        let socket = self.0.socket(kind)?;
        socket.set_sndhwm(0)?;
        socket.set_rcvhwm(0)?;
        socket.set_linger(0)?;
        Ok(socket)
    }

    /// A socket without high-water marks on a free port, and its address.
    pub(crate) fn bound(&self, kind: SocketType) -> Result<(Socket, String)> {
        let socket = self.socket(kind)?;
        socket.bind("tcp://127.0.0.1:*")?;
        let address = socket.get_last_endpoint()?.map_err(|_| "the address is not text")?;
        Ok((socket, address))
    }

    /// A socket without high-water marks, connected to an address.
    pub(crate) fn connected(&self, kind: SocketType, address: &str) -> Result<Socket> {
        let socket = self.socket(kind)?;
        socket.connect(address)?;
        Ok(socket)
    }
}
