//! One-way streams. Small bodies are put as fast as the transport accepts them. After a round, the
//! subscriber reports how many arrived between its first and its last, and how long that took. Each
//! large body is acknowledged with an empty put.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use peer_worker::{Figures, Result, SMALL};
use zenoh::bytes::ZBytes;
use zenoh::{Session, Wait as _};

use crate::session::{publisher, wait_for_subscriber};

const KEY: &str = "bench/stream";
const LARGE_KEY: &str = "bench/large";
const REPORT: &str = "bench/report";
/// The body that ends a round.
const END: &str = "end";
/// The clock is read once in this many messages.
const CLOCK_INTERVAL: u64 = 64;

/// Receives small and large bodies.
pub(crate) fn receive(session: &Session) -> Result<()> {
    let counted = Mutex::new((0, Instant::now()));
    let report = publisher(session, REPORT)?;
    let small = session.declare_subscriber(KEY).callback(move |sample| {
        let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, start) = &mut *counted;
        if sample.payload().len() == END.len() {
            let text = format!("{count} {}", start.elapsed().as_nanos());
            // An error means that the other end has exited and needs no report.
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
    peer_worker::run_rounds(|round| {
        let start = Instant::now();
        let mut sent: u64 = 0;
        while start.elapsed() < round {
            for _ in 0..CLOCK_INTERVAL {
                stream.put(body.clone()).wait()?;
            }
            sent += CLOCK_INTERVAL;
        }
        stream.put(END).wait()?;
        let report = reports.recv()?;
        let text = report.payload().try_to_string()?;
        let (count, nanoseconds) = text.split_once(' ').ok_or("a report lacks its time")?;
        if count.parse() != Ok(sent) {
            return Err(format!("{count} of {sent} messages arrived").into());
        }
        Ok(Figures::messages(sent, Duration::from_nanos(nanoseconds.parse()?)))
    })
}

pub(crate) fn large(session: &Session, size: usize, window: usize) -> Result<()> {
    let acknowledged = session.declare_subscriber(REPORT).wait()?;
    let stream = publisher(session, LARGE_KEY)?;
    wait_for_subscriber(&stream)?;
    let body = ZBytes::from(vec![b'x'; size]);
    peer_worker::run_rounds(|round| {
        let start = Instant::now();
        let (mut sent, mut replied) = (0, 0);
        loop {
            while sent - replied < window as u64 {
                stream.put(body.clone()).wait()?;
                sent += 1;
            }
            acknowledged.recv()?;
            replied += 1;
            if start.elapsed() >= round {
                break;
            }
        }
        for _ in replied..sent {
            acknowledged.recv()?;
        }
        Ok(Figures::megabytes(sent, size, start.elapsed()))
    })
}
