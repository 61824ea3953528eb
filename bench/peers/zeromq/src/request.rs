//! A request at a time: REQ asks, REP answers with what it was asked.

use peer_worker::{Result, Trips};
use zmq::{Message, SocketType};

use crate::{BODY, Peer};

pub(crate) fn serve(peer: &Peer) -> Result<()> {
    let (socket, address) = peer.bound(SocketType::REP)?;
    peer_worker::reached_at(&[address]);
    peer_worker::end_with_stdin();
    let mut message = Message::new();
    loop {
        socket.recv(&mut message, 0)?;
        socket.send(&message[..], 0)?;
    }
}

pub(crate) fn drive(peer: &Peer, address: &str) -> Result<()> {
    let socket = peer.connected(SocketType::REQ, address)?;
    let mut answer = Message::new();
    peer_worker::rounds(|round| {
        Trips::time(round, || {
            socket.send(&BODY[..], 0)?;
            socket.recv(&mut answer, 0)?;
            if answer.len() != BODY.len() { Err("a short answer".into()) } else { Ok(()) }
        })
    })
}
