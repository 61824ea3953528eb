//! A fan-out to 16 subscribers in one process, timed until the last has the message.
//!
//! The message carries the time of its sending. The subscribers' process computes the duration with
//! the clock that both processes share. The way back is not counted, because ZeroMQ does not need it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use peer_worker::{FANOUT, Job, Result, SMALL, Trips};
use zmq::{Message, POLLIN, SocketType};

use crate::socket::Peer;

pub(crate) fn serve(peer: &Peer) -> Result<()> {
    let mut subscribers = Vec::new();
    let mut addresses = Vec::new();
    for _ in 0..FANOUT {
        let (socket, address) = peer.bound(SocketType::SUB)?;
        socket.set_subscribe(b"")?;
        subscribers.push(socket);
        addresses.push(address);
    }
    let (report, report_address) = peer.bound(SocketType::PUSH)?;
    addresses.push(report_address);
    peer_worker::print_ready(&addresses);
    peer_worker::exit_with_stdin();
    // A socket subscribes when it is polled. Poll all of them until the first message arrives.
    let mut waiting: Vec<_> = subscribers.iter().map(|one| one.as_poll_item(POLLIN)).collect();
    zmq::poll(&mut waiting, -1)?;
    let mut message = Message::new();
    loop {
        // Read one after the other: an early message waits in its socket, and at the end all have it.
        for subscriber in &subscribers {
            subscriber.recv(&mut message, 0)?;
        }
        let sent = message.first_chunk().ok_or("a message lacks its time")?;
        let took =
            now()?.checked_sub(u64::from_le_bytes(*sent)).ok_or("the clock went backwards")?;
        report.send(&took.to_le_bytes()[..], 0)?;
    }
}

pub(crate) fn drive(peer: &Peer, job: &Job) -> Result<()> {
    // An XPUB is a PUB that receives subscriptions. Nothing is sent before all have arrived.
    let publisher = peer.socket(SocketType::XPUB)?;
    publisher.set_xpub_verbose(true)?;
    for index in 0..FANOUT {
        publisher.connect(job.address(index)?)?;
    }
    for _ in 0..FANOUT {
        publisher.recv_bytes(0)?;
    }
    let report = peer.connected(SocketType::PULL, job.address(FANOUT)?)?;
    let mut body = [b'x'; SMALL];
    let mut reply = Message::new();
    peer_worker::run_rounds(|round| {
        let mut trips = Trips::default();
        let end = SystemTime::now() + round;
        while SystemTime::now() < end {
            body[..8].copy_from_slice(&now()?.to_le_bytes());
            publisher.send(&body[..], 0)?;
            report.recv(&mut reply, 0)?;
            let took = reply.first_chunk().ok_or("a report lacks its time")?;
            trips.add(Duration::from_nanos(u64::from_le_bytes(*took)));
        }
        trips.figures()
    })
}

/// The time of the clock that both processes share, in nanoseconds.
fn now() -> Result<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?)
}
