//! Many requests under way: DEALER sends, ROUTER answers each with an empty message, DEALER counts.

use std::time::{Duration, Instant};

use peer_worker::{Figures, Result};
use zmq::{DONTWAIT, Message, SNDMORE, Socket, SocketType};

use crate::{BODY, Peer};

pub(crate) fn serve(peer: &Peer) -> Result<()> {
    let (socket, address) = peer.bound(SocketType::ROUTER)?;
    peer_worker::reached_at(&[address]);
    peer_worker::end_with_stdin();
    let (mut sender, mut body) = (Message::new(), Message::new());
    loop {
        socket.recv(&mut sender, 0)?;
        socket.recv(&mut body, 0)?;
        socket.send(&sender[..], SNDMORE)?;
        socket.send(&b""[..], 0)?;
    }
}

pub(crate) fn small(peer: &Peer, address: &str, window: usize) -> Result<()> {
    let mut dealer = Dealer::connect(peer, address, window)?;
    peer_worker::rounds(|round| {
        let (count, took) = dealer.round(round, |socket| Ok(socket.send(&BODY[..], 0)?))?;
        Ok(Figures::messages(count, took))
    })
}

pub(crate) fn large(peer: &Peer, address: &str, window: usize, size: usize) -> Result<()> {
    let body: &'static [u8] = vec![b'x'; size].leak();
    let mut dealer = Dealer::connect(peer, address, window)?;
    peer_worker::rounds(|round| {
        let (count, took) = dealer.round(round, |socket| send_uncopied(socket, body))?;
        Ok(Figures::megabytes(count, size, took))
    })
}

/// Keeps so many connections open, each of which was used once.
pub(crate) fn hold(peer: &Peer, address: &str, links: usize) -> Result<()> {
    let mut held = Vec::new();
    for _ in 0..links {
        held.push(Dealer::connect(peer, address, 1)?);
    }
    peer_worker::rounds(|_| {
        let mut count = 0;
        for dealer in &mut held {
            count += dealer.round(Duration::ZERO, |socket| Ok(socket.send(&BODY[..], 0)?))?.0;
        }
        Ok(Figures::messages(count, Duration::from_secs(1)))
    })
}

/// The side that asks.
struct Dealer {
    socket: Socket,
    window: usize,
    answer: Message,
}

impl Dealer {
    fn connect(peer: &Peer, address: &str, window: usize) -> Result<Self> {
        let socket = peer.connected(SocketType::DEALER, address)?;
        Ok(Self { socket, window, answer: Message::new() })
    }

    /// Keeps the window full until the round is over, then waits for the answers that are missing.
    /// How many there were, and how long it took until the last.
    fn round(
        &mut self,
        round: Duration,
        send: impl Fn(&mut Socket) -> Result<()>,
    ) -> Result<(u64, Duration)> {
        let start = Instant::now();
        let (mut answered, mut under_way) = (0, 0);
        loop {
            while under_way < self.window {
                send(&mut self.socket)?;
                under_way += 1;
            }
            self.socket.recv(&mut self.answer, 0)?;
            under_way -= 1;
            answered += 1;
            // And what else is there by now, so that the next sends go out together.
            while under_way > 0 && self.arrived()? {
                under_way -= 1;
                answered += 1;
            }
            if start.elapsed() >= round {
                break;
            }
        }
        for _ in 0..under_way {
            self.socket.recv(&mut self.answer, 0)?;
            answered += 1;
        }
        Ok((answered, start.elapsed()))
    }

    fn arrived(&mut self) -> Result<bool> {
        match self.socket.recv(&mut self.answer, DONTWAIT) {
            Ok(()) => Ok(true),
            Err(zmq::Error::EAGAIN) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Sends a body that stays where it is for ever. The crate's own zero-copy message owns a vector,
/// and making one for each body would cost ZeroMQ what it does not have to pay.
fn send_uncopied(socket: &mut Socket, body: &'static [u8]) -> Result<()> {
    extern "C" fn keep(_: *mut std::ffi::c_void, _: *mut std::ffi::c_void) {}
    let mut message = zmq_sys::zmq_msg_t::default();
    let data = body.as_ptr().cast_mut().cast();
    #[expect(unsafe_code, reason = "libzmq's own way to lend it memory")]
    // SAFETY: `body` is never freed nor written to, by libzmq neither; the message is initialised
    // before it is sent, and is libzmq's from then on.
    let sent = unsafe {
        let null = std::ptr::null_mut();
        if zmq_sys::zmq_msg_init_data(&mut message, data, body.len(), Some(keep), null) != 0 {
            return Err("libzmq takes no message".into());
        }
        zmq_sys::zmq_msg_send(&mut message, socket.as_mut_ptr(), 0)
    };
    if sent < 0 { Err("libzmq did not send".into()) } else { Ok(()) }
}
