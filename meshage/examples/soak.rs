//! Sends numbered messages in both directions through a relay, from many tasks at once, and checks
//! that none is lost, duplicated or out of order.
//!
//! `cargo run --release --example soak -- [CALLERS [MESSAGES [PAUSE_SECONDS]]]`: the number of
//! tasks and of messages in each direction, and how long the receiver at one end pauses halfway.
//! Default: 32 tasks, 100,000 messages, no pause.

#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use std::time::{Duration, Instant};

use meshage::{Config, Node, NodeName, Outgoing, WaitCondition};
use tokio::task::JoinSet;

type Error = Box<dyn std::error::Error + Send + Sync>;

const TIMEOUT: Duration = Duration::from_secs(120);

async fn node(name: &str) -> Result<Node, Error> {
    Ok(Node::start(Config::builder(name).bind("127.0.0.1").port(0).build()?).await?)
}

/// Sends one task's messages. Each is acknowledged before the next one is sent.
async fn send(from: Node, to: NodeName, caller: u32, count: u32) -> Result<(), Error> {
    for number in 0..count {
        let body = [caller.to_le_bytes(), number.to_le_bytes()].concat();
        let report = from.send(Outgoing::set([to.clone()], body).timeout(TIMEOUT)).await?;
        if !report.all_delivered() {
            return Err(format!("caller {caller}, message {number}: {report:?}").into());
        }
    }
    Ok(())
}

async fn receive(at: Node, callers: u32, count: u32, pause: Duration) -> Result<(), Error> {
    let mut next = vec![0_u32; callers as usize];
    let mut received = 0;
    let mut paused = false;
    while received < callers * count {
        if received >= callers * count / 2 && !paused {
            paused = true;
            tokio::time::sleep(pause).await;
        }
        for message in at.recv_many(1024).await? {
            let word = |at: usize| message.body[at..].first_chunk().map(|b| u32::from_le_bytes(*b));
            let (Some(caller), Some(number)) = (word(0), word(4)) else {
                return Err("a message is too short".into());
            };
            if next[caller as usize] != number {
                let expected = next[caller as usize];
                return Err(
                    format!("caller {caller}: message {number} instead of {expected}").into()
                );
            }
            next[caller as usize] += 1;
            received += 1;
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u32>());
    let callers = arguments.next().transpose()?.unwrap_or(32);
    let count = arguments.next().transpose()?.unwrap_or(100_000).div_ceil(callers);
    let pause = Duration::from_secs(arguments.next().transpose()?.unwrap_or(0).into());

    let (left, relay, right) = (node("left").await?, node("relay").await?, node("right").await?);
    for end in [&left, &right] {
        end.dial(&format!("127.0.0.1:{}", relay.port())).await?;
    }
    for end in [&left, &right] {
        end.wait_for(WaitCondition::Count(3), Duration::from_secs(10)).await?;
    }
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for (from, to) in [(&left, &right), (&right, &left)] {
        for caller in 0..callers {
            tasks.spawn(send(from.clone(), to.name().clone(), caller, count));
        }
    }
    tasks.spawn(receive(left.clone(), callers, count, Duration::ZERO));
    tasks.spawn(receive(right.clone(), callers, count, pause));
    while let Some(result) = tasks.join_next().await {
        result??;
    }
    if left.try_recv().is_ok() || right.try_recv().is_ok() {
        return Err("received more messages than were sent".into());
    }
    let (elapsed, each_way) = (start.elapsed(), callers * count);
    let rate = f64::from(2 * each_way) / elapsed.as_secs_f64();
    println!(
        "{callers} callers, {each_way} messages each way in {elapsed:.2?} ({rate:.0}/s), 0 lost"
    );
    for (name, value) in relay.stats().iter().filter(|(_, value)| *value > 0) {
        eprintln!("relay {name} {value}");
    }
    Ok(())
}
