//! A put at a time, and a put back.

use peer_worker::{Result, SMALL, Trips};
use zenoh::bytes::ZBytes;
use zenoh::{Session, Wait as _};

use crate::{publisher, wait_for_subscriber};

const PING: &str = "bench/ping";
const PONG: &str = "bench/pong";

/// Puts back what is put.
pub(crate) fn answer(session: &Session) -> Result<()> {
    let back = publisher(session, PONG)?;
    let answered = session.declare_subscriber(PING).callback(move |sample| {
        // The other end has gone: nobody waits for it.
        let _ = back.put(sample.payload().clone()).wait();
    });
    answered.background().wait()
}

pub(crate) fn one(session: &Session) -> Result<()> {
    let answers = session.declare_subscriber(PONG).wait()?;
    let asked = publisher(session, PING)?;
    wait_for_subscriber(&asked)?;
    let body = ZBytes::from(vec![b'x'; SMALL]);
    peer_worker::rounds(|round| {
        Trips::time(round, || {
            asked.put(body.clone()).wait()?;
            let answer = answers.recv()?;
            if answer.payload().len() == SMALL { Ok(()) } else { Err("a short answer".into()) }
        })
    })
}
