//! To 16 subscribers of one process: how long until the last has it.
//!
//! The time goes with the message, and the subscribers' process says how long it took by the clock
//! that both share: the way back, which ZeroMQ needs for nothing here, is not counted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use peer_worker::{FANOUT, Job, Result, SMALL, Trips};
use zmq::{Message, POLLIN, SocketType};

use crate::Peer;

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
    peer_worker::reached_at(&addresses);
    peer_worker::end_with_stdin();
    // A socket subscribes when it is looked at: all of them are, until the first message is there.
    let mut waiting: Vec<_> = subscribers.iter().map(|one| one.as_poll_item(POLLIN)).collect();
    zmq::poll(&mut waiting, -1)?;
    let mut message = Message::new();
    loop {
        // One after the other: whoever has it early waits in its socket, and all have it at the end.
        for subscriber in &subscribers {
            subscriber.recv(&mut message, 0)?;
        }
        let sent = message.first_chunk().ok_or("a message without its time")?;
        let took = now()?.checked_sub(u64::from_le_bytes(*sent)).ok_or("the clock went back")?;
        report.send(&took.to_le_bytes()[..], 0)?;
    }
}

pub(crate) fn drive(peer: &Peer, job: &Job) -> Result<()> {
    // An XPUB is a PUB that sees who subscribes: nothing is sent before all have.
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
    let mut answer = Message::new();
    peer_worker::rounds(|round| {
        let mut trips = Trips::default();
        let end = SystemTime::now() + round;
        while SystemTime::now() < end {
            body[..8].copy_from_slice(&now()?.to_le_bytes());
            publisher.send(&body[..], 0)?;
            report.recv(&mut answer, 0)?;
            let took = answer.first_chunk().ok_or("a report without its time")?;
            trips.add(Duration::from_nanos(u64::from_le_bytes(*took)));
        }
        trips.figures()
    })
}

/// The time that both processes read, in nanoseconds.
fn now() -> Result<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?)
}
