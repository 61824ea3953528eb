//! To 16 sessions of one process: how long until the last has it.
//!
//! The time goes with the message, and the process of the subscribers says how long it took by the
//! clock that both share: the way back, which Zenoh needs for nothing here, is not counted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use peer_worker::{Result, SMALL, Trips};
use zenoh::{Session, Wait as _};

use crate::{Peer, publisher, wait_for_subscriber};

const KEY: &str = "bench/fanout";
const REPORT: &str = "bench/all";
/// How long the driver waits for a report before it tries again. Until all 16 are subscribed, none
/// comes.
const TRY_EVERY: Duration = Duration::from_millis(100);
/// How often it tries at most.
const TRIES: u64 = 100;

/// Which message is the newest, and how many have it.
#[derive(Default)]
struct Newest {
    number: u64,
    had_by: usize,
}

pub(crate) fn serve(peer: &Peer, neighbours: usize) -> Result<()> {
    let newest = Arc::new(Mutex::new(Newest::default()));
    let (mut sessions, mut addresses) = (Vec::new(), Vec::new());
    for _ in 0..neighbours {
        let (session, address) = peer.reached()?;
        let report = publisher(&session, REPORT)?;
        let newest = newest.clone();
        let taken = session.declare_subscriber(KEY).callback(move |sample| {
            let body = sample.payload().to_bytes();
            let Some((number, sent)) = numbers(&body) else { return };
            let mut newest = newest.lock().unwrap_or_else(PoisonError::into_inner);
            if newest.number != number {
                *newest = Newest { number, had_by: 0 };
            }
            newest.had_by += 1;
            if newest.had_by == neighbours {
                let took = now().saturating_sub(sent);
                // The other end has gone: nobody waits for it.
                let _ = report.put(pair(number, took).to_vec()).wait();
            }
        });
        taken.background().wait()?;
        sessions.push(session);
        addresses.push(address);
    }
    crate::stay(&addresses)
}

pub(crate) fn drive(session: &Session) -> Result<()> {
    let reports = session.declare_subscriber(REPORT).wait()?;
    let fan = publisher(session, KEY)?;
    wait_for_subscriber(&fan)?;
    let mut number = 0;
    let mut to_all = |wait: Duration| -> Result<Option<Duration>> {
        number += 1;
        let mut body = [b'x'; SMALL];
        body[..16].copy_from_slice(&pair(number, now()));
        fan.put(body.to_vec()).wait()?;
        while let Some(report) = reports.recv_timeout(wait)? {
            match numbers(&report.payload().to_bytes()) {
                Some((of, took)) if of == number => return Ok(Some(Duration::from_nanos(took))),
                Some(_) => {}
                None => return Err("a report that is none".into()),
            }
        }
        Ok(None)
    };
    let mut tries = 0..TRIES;
    while to_all(TRY_EVERY)?.is_none() {
        tries.next().ok_or("not all of them ever subscribed")?;
    }
    peer_worker::rounds(|round| {
        let mut trips = Trips::default();
        let end = SystemTime::now() + round;
        while SystemTime::now() < end {
            trips.add(to_all(Duration::from_secs(10))?.ok_or("somebody did not get it")?);
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

/// The time that both processes read, in nanoseconds.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
