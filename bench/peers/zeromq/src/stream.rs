//! One-way streams: PUSH sends as fast as PULL receives. Nothing is acknowledged. After a round, the
//! puller reports how many messages arrived between its first and its last, and how long that took.
//!
//! The sockets keep their default high-water marks: PUSH blocks at its own and drops nothing.

use std::time::{Duration, Instant};

use peer_worker::{Figures, Result};
use zmq::{Message, SocketType};

use crate::socket::{BODY, Peer};

/// The body that ends a round.
const END: &[u8] = b"end";
/// The clock is read once in this many messages.
const CLOCK_INTERVAL: usize = 64;

pub(crate) fn serve(peer: &Peer) -> Result<()> {
    let pull = peer.default_socket(SocketType::PULL)?;
    pull.bind("tcp://127.0.0.1:*")?;
    let address = pull.get_last_endpoint()?.map_err(|_| "the address is not text")?;
    let (report, report_address) = peer.bound(SocketType::PUSH)?;
    peer_worker::print_ready(&[address, report_address]);
    peer_worker::exit_with_stdin();
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
    let push = peer.default_socket(SocketType::PUSH)?;
    push.connect(address)?;
    let report = peer.connected(SocketType::PULL, report_address)?;
    peer_worker::run_rounds(|round| {
        let start = Instant::now();
        let mut sent = 0;
        while start.elapsed() < round {
            for _ in 0..CLOCK_INTERVAL {
                push.send(&BODY[..], 0)?;
            }
            sent += CLOCK_INTERVAL as u64;
        }
        push.send(END, 0)?;
        let text = report.recv_string(0)?.map_err(|_| "a report is not text")?;
        let (count, nanoseconds) = text.split_once(' ').ok_or("a report lacks its time")?;
        if count.parse() != Ok(sent) {
            return Err(format!("{count} of {sent} messages arrived").into());
        }
        Ok(Figures::messages(sent, Duration::from_nanos(nanoseconds.parse()?)))
    })
}
