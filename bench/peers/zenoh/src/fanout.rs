//! A fan-out to 16 sessions in one process, timed until the last has the message.
//!
//! The message carries the time of its sending. The subscribers' process computes the duration with
//! the clock that both processes share. The way back is not counted, because Zenoh does not need it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use peer_worker::{Result, SMALL, Trips};
use zenoh::{Session, Wait as _};

use crate::session::{Peer, publisher, serve_until_stdin_closes, wait_for_subscriber};

const KEY: &str = "bench/fanout";
const REPORT: &str = "bench/all";
/// How long the driver waits for a report before it sends again. No report arrives until all 16 have
/// subscribed.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// The maximum number of attempts.
const ATTEMPTS_MAX: u64 = 100;

/// The number of the newest message, and how many sessions have it.
#[derive(Default)]
struct Newest {
    number: u64,
    received_by: usize,
}

pub(crate) fn serve(peer: &Peer, neighbours: usize) -> Result<()> {
    let newest = Arc::new(Mutex::new(Newest::default()));
    let (mut sessions, mut addresses) = (Vec::new(), Vec::new());
    for _ in 0..neighbours {
        let (session, address) = peer.listening()?;
        let report = publisher(&session, REPORT)?;
        let newest = newest.clone();
        let subscriber = session.declare_subscriber(KEY).callback(move |sample| {
            let body = sample.payload().to_bytes();
            let Some((number, sent)) = numbers(&body) else { return };
            let mut newest = newest.lock().unwrap_or_else(PoisonError::into_inner);
            if newest.number != number {
                *newest = Newest { number, received_by: 0 };
            }
            newest.received_by += 1;
            if newest.received_by == neighbours {
                let took = now().saturating_sub(sent);
                // An error means that the other end has exited and needs no report.
                let _ = report.put(pair(number, took).to_vec()).wait();
            }
        });
        subscriber.background().wait()?;
        sessions.push(session);
        addresses.push(address);
    }
    serve_until_stdin_closes(&addresses)
}

pub(crate) fn drive(session: &Session) -> Result<()> {
    let reports = session.declare_subscriber(REPORT).wait()?;
    let fan = publisher(session, KEY)?;
    wait_for_subscriber(&fan)?;
    let mut number = 0;
    let mut send_to_all = |wait: Duration| -> Result<Option<Duration>> {
        number += 1;
        let mut body = [b'x'; SMALL];
        body[..16].copy_from_slice(&pair(number, now()));
        fan.put(body.to_vec()).wait()?;
        while let Some(report) = reports.recv_timeout(wait)? {
            match numbers(&report.payload().to_bytes()) {
                Some((of, took)) if of == number => return Ok(Some(Duration::from_nanos(took))),
                Some(_) => {}
                None => return Err("a report is malformed".into()),
            }
        }
        Ok(None)
    };
    let mut attempts = 0..ATTEMPTS_MAX;
    while send_to_all(RETRY_INTERVAL)?.is_none() {
        attempts.next().ok_or("not all sessions subscribed in time")?;
    }
    peer_worker::run_rounds(|round| {
        let mut trips = Trips::default();
        let end = SystemTime::now() + round;
        while SystemTime::now() < end {
            trips.add(
                send_to_all(Duration::from_secs(10))?
                    .ok_or("a session did not receive the message")?,
            );
        }
        trips.figures()
    })
}

fn pair(number: u64, time: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes[8..].copy_from_slice(&time.to_le_bytes());
    bytes
}

fn numbers(bytes: &[u8]) -> Option<(u64, u64)> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), u64::from_le_bytes(*rest.first_chunk()?)))
}

/// The time of the clock that both processes share, in nanoseconds.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
