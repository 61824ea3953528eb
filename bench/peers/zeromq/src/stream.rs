//! One way: PUSH sends as fast as PULL takes. Nothing is acknowledged; after a round the puller says
//! how many messages came between its first and its last, and how long that took.
//!
//! The high-water marks stay as they are by default here: PUSH waits at its own, it drops nothing.

use std::time::{Duration, Instant};

use peer_worker::{Figures, Result};
use zmq::{Message, SocketType};

use crate::{BODY, Peer};

/// The body that ends a round.
const END: &[u8] = b"end";
/// The clock is read after so many messages.
const BETWEEN_LOOKS: usize = 64;

pub(crate) fn serve(peer: &Peer) -> Result<()> {
    let pull = peer.0.socket(SocketType::PULL)?;
    pull.bind("tcp://127.0.0.1:*")?;
    let address = pull.get_last_endpoint()?.map_err(|_| "an address that is no text")?;
    let (report, report_address) = peer.bound(SocketType::PUSH)?;
    peer_worker::reached_at(&[address, report_address]);
    peer_worker::end_with_stdin();
    let mut message = Message::new();
    loop {
        pull.recv(&mut message, 0)?;
        let start = Instant::now();
        let mut count: u64 = 0;
        while message.len() != END.len() {
            count += 1;
            pull.recv(&mut message, 0)?;
        }
        let nanoseconds = start.elapsed().as_nanos() as u64;
        report.send(format!("{count} {nanoseconds}").as_bytes(), 0)?;
    }
}

pub(crate) fn drive(peer: &Peer, address: &str, report_address: &str) -> Result<()> {
    let push = peer.0.socket(SocketType::PUSH)?;
    push.connect(address)?;
    let report = peer.connected(SocketType::PULL, report_address)?;
    peer_worker::rounds(|round| {
        let start = Instant::now();
        let mut sent = 0;
        while start.elapsed() < round {
            for _ in 0..BETWEEN_LOOKS {
                push.send(&BODY[..], 0)?;
            }
            sent += BETWEEN_LOOKS as u64;
        }
        push.send(END, 0)?;
        let text = report.recv_string(0)?.map_err(|_| "a report that is no text")?;
        let (count, nanoseconds) = text.split_once(' ').ok_or("a report without its time")?;
        if count.parse() != Ok(sent) {
            return Err(format!("of {sent} messages {count} came").into());
        }
        Ok(Figures::messages(sent, Duration::from_nanos(nanoseconds.parse()?)))
    })
}
