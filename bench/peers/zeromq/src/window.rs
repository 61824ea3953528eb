//! A window of outstanding requests: DEALER sends, ROUTER replies to each with an empty message, and
//! DEALER counts the replies.

use std::time::{Duration, Instant};

use peer_worker::{Figures, Result};
use zmq::{DONTWAIT, Message, SNDMORE, Socket, SocketType};

use crate::socket::{BODY, Peer};

pub(crate) fn serve(peer: &Peer) -> Result<()> {
    let (socket, address) = peer.bound(SocketType::ROUTER)?;
    peer_worker::print_ready(&[address]);
    peer_worker::exit_with_stdin();
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
    peer_worker::run_rounds(|round| {
        let (count, took) = dealer.round(round, |socket| Ok(socket.send(&BODY[..], 0)?))?;
        Ok(Figures::messages(count, took))
    })
}

pub(crate) fn large(peer: &Peer, address: &str, window: usize, size: usize) -> Result<()> {
    let body: &'static [u8] = vec![b'x'; size].leak();
    let mut dealer = Dealer::connect(peer, address, window)?;
    peer_worker::run_rounds(|round| {
        let (count, took) = dealer.round(round, |socket| send_uncopied(socket, body))?;
        Ok(Figures::megabytes(count, size, took))
    })
}

/// Keeps connections open, each of which was used once.
pub(crate) fn hold(peer: &Peer, address: &str, links: usize) -> Result<()> {
    let mut held = Vec::new();
    for _ in 0..links {
        held.push(Dealer::connect(peer, address, 1)?);
    }
    peer_worker::run_rounds(|_| {
        let mut count = 0;
        for dealer in &mut held {
            count += dealer.round(Duration::ZERO, |socket| Ok(socket.send(&BODY[..], 0)?))?.0;
        }
        Ok(Figures::messages(count, Duration::from_secs(1)))
    })
}

/// The requesting side.
struct Dealer {
    socket: Socket,
    window: usize,
    reply: Message,
}

impl Dealer {
    fn connect(peer: &Peer, address: &str, window: usize) -> Result<Self> {
        let socket = peer.connected(SocketType::DEALER, address)?;
        Ok(Self { socket, window, reply: Message::new() })
    }

    /// Keeps the window full until the end of the round, then waits for the missing replies. Returns
    /// the number of replies, and the time until the last.
    fn round(
        &mut self,
        round: Duration,
        send: impl Fn(&mut Socket) -> Result<()>,
    ) -> Result<(u64, Duration)> {
        let start = Instant::now();
        let (mut replied, mut outstanding) = (0, 0);
        loop {
            while outstanding < self.window {
                send(&mut self.socket)?;
                outstanding += 1;
            }
            self.socket.recv(&mut self.reply, 0)?;
            outstanding -= 1;
            replied += 1;
            // Take all other replies that have arrived, so that the next sends go out together.
            while outstanding > 0 && self.try_reply()? {
                outstanding -= 1;
                replied += 1;
            }
            if start.elapsed() >= round {
                break;
            }
        }
        for _ in 0..outstanding {
            self.socket.recv(&mut self.reply, 0)?;
            replied += 1;
        }
        Ok((replied, start.elapsed()))
    }

    fn try_reply(&mut self) -> Result<bool> {
        match self.socket.recv(&mut self.reply, DONTWAIT) {
            Ok(()) => Ok(true),
            Err(zmq::Error::EAGAIN) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Sends a static body without copying it. The crate's own zero-copy message owns a vector, and a
/// new vector for each body would be a cost that ZeroMQ itself does not have.
fn send_uncopied(socket: &mut Socket, body: &'static [u8]) -> Result<()> {
    extern "C" fn keep(_: *mut std::ffi::c_void, _: *mut std::ffi::c_void) {}
    let mut message = zmq_sys::zmq_msg_t::default();
    let data = body.as_ptr().cast_mut().cast();
    #[expect(unsafe_code, reason = "libzmq's API for borrowed memory")]
    // SAFETY: `body` is never freed or written to, nor does libzmq do so. The message is initialised
    // before it is sent, and libzmq owns it from then on.
    let sent = unsafe {
        let null = std::ptr::null_mut();
        if zmq_sys::zmq_msg_init_data(&mut message, data, body.len(), Some(keep), null) != 0 {
            return Err("zmq_msg_init_data failed".into());
        }
        zmq_sys::zmq_msg_send(&mut message, socket.as_mut_ptr(), 0)
    };
    if sent < 0 { Err("zmq_msg_send failed".into()) } else { Ok(()) }
}
