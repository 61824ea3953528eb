//! One way. Small bodies are put as fast as the transport takes them; after a round the subscriber
//! says how many came between its first and its last, and how long that took. Large ones are each
//! acknowledged with an empty put.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use peer_worker::{Figures, Result, SMALL};
use zenoh::bytes::ZBytes;
use zenoh::{Session, Wait as _};

use crate::{publisher, wait_for_subscriber};

const KEY: &str = "bench/stream";
const LARGE_KEY: &str = "bench/large";
const REPORT: &str = "bench/report";
/// The body that ends a round.
const END: &str = "end";
/// The clock is read after so many messages.
const BETWEEN_LOOKS: u64 = 64;

/// Takes both kinds.
pub(crate) fn take(session: &Session) -> Result<()> {
    let counted = Mutex::new((0, Instant::now()));
    let report = publisher(session, REPORT)?;
    let small = session.declare_subscriber(KEY).callback(move |sample| {
        let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, start) = &mut *counted;
        if sample.payload().len() == END.len() {
            let text = format!("{count} {}", start.elapsed().as_nanos());
            // The other end has gone: nobody waits for it.
            let _ = report.put(text).wait();
            *count = 0;
            return;
        }
        if *count == 0 {
            *start = Instant::now();
        }
        *count += 1;
    });
    small.background().wait()?;
    let acknowledge = publisher(session, REPORT)?;
    let large = session.declare_subscriber(LARGE_KEY).callback(move |_| {
        let _ = acknowledge.put(ZBytes::new()).wait();
    });
    large.background().wait()
}

pub(crate) fn small(session: &Session) -> Result<()> {
    let reports = session.declare_subscriber(REPORT).wait()?;
    let stream = publisher(session, KEY)?;
    wait_for_subscriber(&stream)?;
    let body = ZBytes::from(vec![b'x'; SMALL]);
    peer_worker::rounds(|round| {
        let start = Instant::now();
        let mut sent: u64 = 0;
        while start.elapsed() < round {
            for _ in 0..BETWEEN_LOOKS {
                stream.put(body.clone()).wait()?;
            }
            sent += BETWEEN_LOOKS;
        }
        stream.put(END).wait()?;
        let report = reports.recv()?;
        let text = report.payload().try_to_string()?;
        let (count, nanoseconds) = text.split_once(' ').ok_or("a report without its time")?;
        if count.parse() != Ok(sent) {
            return Err(format!("of {sent} messages {count} came").into());
        }
        Ok(Figures::messages(sent, Duration::from_nanos(nanoseconds.parse()?)))
    })
}

pub(crate) fn large(session: &Session, size: usize, window: usize) -> Result<()> {
    let acknowledged = session.declare_subscriber(REPORT).wait()?;
    let stream = publisher(session, LARGE_KEY)?;
    wait_for_subscriber(&stream)?;
    let body = ZBytes::from(vec![b'x'; size]);
    peer_worker::rounds(|round| {
        let start = Instant::now();
        let (mut sent, mut answered) = (0, 0);
        loop {
            while sent - answered < window as u64 {
                stream.put(body.clone()).wait()?;
                sent += 1;
            }
            acknowledged.recv()?;
            answered += 1;
            if start.elapsed() >= round {
                break;
            }
        }
        for _ in answered..sent {
            acknowledged.recv()?;
        }
        Ok(Figures::megabytes(sent, size, start.elapsed()))
    })
}
