//! One request at a time: REQ sends, REP sends the message back.

use peer_worker::{Result, Trips};
use zmq::{Message, SocketType};

use crate::socket::{BODY, Peer};

pub(crate) fn serve(peer: &Peer) -> Result<()> {
    let (socket, address) = peer.bound(SocketType::REP)?;
    peer_worker::print_ready(&[address]);
    peer_worker::exit_with_stdin();
    let mut message = Message::new();
    loop {
        socket.recv(&mut message, 0)?;
        socket.send(&message[..], 0)?;
    }
}

pub(crate) fn drive(peer: &Peer, address: &str) -> Result<()> {
    let socket = peer.connected(SocketType::REQ, address)?;
    let mut reply = Message::new();
    peer_worker::run_rounds(|round| {
        Trips::time(round, || {
            socket.send(&BODY[..], 0)?;
            socket.recv(&mut reply, 0)?;
            if reply.len() != BODY.len() {
                Err("the reply has another length".into())
            } else {
                Ok(())
            }
        })
    })
}
