//! Queries: each gets one reply, and replies are not consolidated.

use std::time::{Duration, Instant};

use peer_worker::{Figures, Result, SMALL, Trips};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use zenoh::bytes::ZBytes;
use zenoh::query::{ConsolidationMode, Querier};
use zenoh::{Session, Wait as _};

const KEY: &str = "bench/query";

/// Replies to every query.
pub(crate) fn reply(session: &Session) -> Result<()> {
    let queryable = session.declare_queryable(KEY).callback(|query| {
        // An error means that the other end has exited and needs no reply.
        let _ = query.reply(KEY, ZBytes::new()).wait();
    });
    queryable.background().wait()
}

pub(crate) fn one(session: &Session) -> Result<()> {
    let querier = querier(session)?;
    let body = ZBytes::from(vec![b'x'; SMALL]);
    peer_worker::run_rounds(|round| {
        Trips::time(round, || {
            let replies = querier.get().payload(body.clone()).wait()?;
            let reply = replies.recv()?;
            reply.result().map(|_| ()).map_err(|_| "the reply is an error".into())
        })
    })
}

pub(crate) fn many(session: &Session, count: usize) -> Result<()> {
    let runtime = Runtime::new()?;
    // The tasks borrow the querier, so it lives as long as the process.
    let querier: &'static Querier<'static> = Box::leak(Box::new(querier(session)?));
    peer_worker::run_rounds(|round| {
        runtime.block_on(runtime.spawn(callers(querier, count, round)))?
    })
}

async fn callers(
    querier: &'static Querier<'static>,
    count: usize,
    round: Duration,
) -> Result<Figures> {
    let body = ZBytes::from(vec![b'x'; SMALL]);
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for _ in 0..count {
        let body = body.clone();
        tasks.spawn(async move {
            let mut count = 0;
            while start.elapsed() < round {
                let replies = querier.get().payload(body.clone()).await?;
                replies.recv_async().await?.result().map_err(|_| "the reply is an error")?;
                count += 1;
            }
            Ok(count)
        });
    }
    let replies = tasks.join_all().await.into_iter().sum::<Result<u64>>()?;
    Ok(Figures::messages(replies, start.elapsed()))
}

/// A querier, once a queryable exists.
fn querier(session: &Session) -> Result<Querier<'static>> {
    let querier = session
        .declare_querier(KEY)
        .congestion_control(zenoh::qos::CongestionControl::Block)
        .consolidation(ConsolidationMode::None)
        .wait()?;
    let changes = querier.matching_listener().wait()?;
    let mut matching = querier.matching_status().wait()?.matching();
    while !matching {
        matching = changes.recv()?.matching();
    }
    drop(changes);
    Ok(querier)
}
