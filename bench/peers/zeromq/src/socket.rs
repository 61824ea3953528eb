//! The sockets of a worker, and the body of its messages.

use peer_worker::{Result, SMALL};
use zmq::{Context, CurveKeyPair, Socket, SocketType};

/// The body of every small message.
pub(crate) const BODY: [u8; SMALL] = [b'x'; SMALL];

/// Separates an address from the public key of the server. No key as text has this character.
const KEY_SEPARATOR: char = '|';

/// The context of a process, which creates its sockets.
pub(crate) struct Peer {
    context: Context,
    /// The key pair of this process, if its connections are encrypted.
    keys: Option<CurveKeyPair>,
}

impl Peer {
    /// A new context, whose connections are encrypted with CURVE or not.
    pub(crate) fn new(curve: bool) -> Result<Self> {
        let keys = curve.then(CurveKeyPair::new).transpose()?;
        Ok(Self { context: Context::new(), keys })
    }

    /// A socket with the default high-water marks.
    pub(crate) fn default_socket(&self, kind: SocketType) -> Result<Socket> {
        Ok(self.context.socket(kind)?)
    }

    /// A socket without high-water marks. ROUTER and PUB drop messages silently at theirs, so the
    /// worker limits the outstanding messages instead.
    pub(crate) fn socket(&self, kind: SocketType) -> Result<Socket> {
        let socket = self.context.socket(kind)?;
        socket.set_sndhwm(0)?;
        socket.set_rcvhwm(0)?;
        socket.set_linger(0)?;
        Ok(socket)
    }

    /// A socket without high-water marks on a free port, and its address.
    pub(crate) fn bound(&self, kind: SocketType) -> Result<(Socket, String)> {
        let socket = self.socket(kind)?;
        if let Some(keys) = &self.keys {
            socket.set_curve_server(true)?;
            socket.set_curve_secretkey(&keys.secret_key)?;
        }
        socket.bind("tcp://127.0.0.1:*")?;
        let mut address = socket.get_last_endpoint()?.map_err(|_| "the address is not text")?;
        if let Some(keys) = &self.keys {
            address.push(KEY_SEPARATOR);
            address.push_str(&zmq::z85_encode(&keys.public_key)?);
        }
        Ok((socket, address))
    }

    /// A socket without high-water marks, connected to an address.
    pub(crate) fn connected(&self, kind: SocketType, address: &str) -> Result<Socket> {
        let socket = self.socket(kind)?;
        let (address, server_key) = match address.split_once(KEY_SEPARATOR) {
            Some((address, key)) => (address, Some(zmq::z85_decode(key)?)),
            None => (address, None),
        };
        match (&self.keys, server_key) {
            (Some(keys), Some(server_key)) => {
                socket.set_curve_serverkey(&server_key)?;
                socket.set_curve_publickey(&keys.public_key)?;
                socket.set_curve_secretkey(&keys.secret_key)?;
            }
            (None, None) => {}
            (Some(_), None) | (None, Some(_)) => return Err("only one end uses CURVE".into()),
        }
        socket.connect(address)?;
        Ok(socket)
    }
}
