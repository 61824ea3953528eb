//! Queries: each is answered by one reply, and no two are merged.

use std::time::{Duration, Instant};

use peer_worker::{Figures, Result, SMALL, Trips};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use zenoh::bytes::ZBytes;
use zenoh::query::{ConsolidationMode, Querier};
use zenoh::{Session, Wait as _};

const KEY: &str = "bench/query";

/// Answers every query.
pub(crate) fn answer(session: &Session) -> Result<()> {
    let answered = session.declare_queryable(KEY).callback(|query| {
        // The other end has gone: nobody waits for it.
        let _ = query.reply(KEY, ZBytes::new()).wait();
    });
    answered.background().wait()
}

pub(crate) fn one(session: &Session) -> Result<()> {
    let querier = querier(session)?;
    let body = ZBytes::from(vec![b'x'; SMALL]);
    peer_worker::rounds(|round| {
        Trips::time(round, || {
            let replies = querier.get().payload(body.clone()).wait()?;
            let reply = replies.recv()?;
            reply.result().map(|_| ()).map_err(|_| "an error for a reply".into())
        })
    })
}

pub(crate) fn many(session: &Session, count: usize) -> Result<()> {
    let runtime = Runtime::new()?;
    // The tasks borrow it: it lives as long as the process.
    let querier: &'static Querier<'static> = Box::leak(Box::new(querier(session)?));
    peer_worker::rounds(|round| runtime.block_on(runtime.spawn(callers(querier, count, round)))?)
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
            let mut asked = 0;
            while start.elapsed() < round {
                let replies = querier.get().payload(body.clone()).await?;
                replies.recv_async().await?.result().map_err(|_| "an error for a reply")?;
                asked += 1;
            }
            Ok(asked)
        });
    }
    let asked = tasks.join_all().await.into_iter().sum::<Result<u64>>()?;
    Ok(Figures::messages(asked, start.elapsed()))
}

/// A querier that somebody answers.
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
