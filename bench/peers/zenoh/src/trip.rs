//! Round trips: one put at a time, and a put back.

use peer_worker::{Result, SMALL, Trips};
use zenoh::bytes::ZBytes;
use zenoh::{Session, Wait as _};

use crate::session::{publisher, wait_for_subscriber};

const PING: &str = "bench/ping";
const PONG: &str = "bench/pong";

/// Puts every body back.
pub(crate) fn echo(session: &Session) -> Result<()> {
    let back = publisher(session, PONG)?;
    let subscriber = session.declare_subscriber(PING).callback(move |sample| {
        // An error means that the other end has exited and needs no reply.
        let _ = back.put(sample.payload().clone()).wait();
    });
    subscriber.background().wait()
}

pub(crate) fn one(session: &Session) -> Result<()> {
    let replies = session.declare_subscriber(PONG).wait()?;
    let requests = publisher(session, PING)?;
    wait_for_subscriber(&requests)?;
    let body = ZBytes::from(vec![b'x'; SMALL]);
    peer_worker::run_rounds(|round| {
        Trips::time(round, || {
            requests.put(body.clone()).wait()?;
            let reply = replies.recv()?;
            if reply.payload().len() == SMALL {
                Ok(())
            } else {
                Err("the reply has another length".into())
            }
        })
    })
}
