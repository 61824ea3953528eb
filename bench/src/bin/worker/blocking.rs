//! The worker of the blocking node, which has its own runtime.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use meshage::blocking::{Node, Pending};
use meshage::{NodeName, SendError, WaitCondition};

use super::node_setup::{self, BATCH, LINKED_MAX, SERVER};
use super::protocol::{self, Arguments, Result, Role};
use super::round::{Round, Samples, StreamTimer};

/// Runs one role of a case.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match (arguments.role, arguments.case.as_str()) {
        (Role::Serve, _) => {
            let node = Arc::new(Node::start(node_setup::config(SERVER, arguments)?)?);
            let address = node_setup::address(node.node().port());
            let receiver = node.clone();
            thread::spawn(move || while receiver.recv_many(BATCH, None).is_ok() {});
            protocol::serve(&[address])
        }
        (Role::Drive, case) => {
            let name = node_setup::unique_name("driver");
            let node = Node::start(node_setup::config(&name, arguments)?)?;
            node.dial(arguments.target()?, None)?;
            let server = NodeName::new(SERVER)?;
            node.wait_for(WaitCondition::Nodes(vec![server.clone()]), Some(LINKED_MAX))?;
            let window = arguments.number("window", 1)?;
            protocol::drive(|limit| match case {
                "set_rtt" => round_trips(&node, &server, limit),
                "set_64" => callers(&node, &server, window, limit),
                "set_window" => windowed(&node, &server, window, limit),
                other => Err(format!("unknown case {other}").into()),
            })
        }
        (Role::Relay, _) => arguments.unsupported(),
    }
}

fn round_trips(node: &Node, server: &NodeName, limit: Duration) -> Result<Round> {
    let mut times = Samples::default();
    let start = Instant::now();
    while start.elapsed() < limit {
        let sent = Instant::now();
        node_setup::check_delivered(&node.send(node_setup::small(server))?)?;
        times.push(sent.elapsed());
    }
    Ok(times.micros())
}

fn callers(node: &Node, server: &NodeName, count: usize, limit: Duration) -> Result<Round> {
    let start = Instant::now();
    let call = || -> Result<usize> {
        let mut sent = 0;
        while start.elapsed() < limit {
            node_setup::check_delivered(&node.send(node_setup::small(server))?)?;
            sent += 1;
        }
        Ok(sent)
    };
    let sent = thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(call)).collect();
        let results =
            threads.into_iter().map(|thread| thread.join().map_err(|_| "a caller panicked"));
        results.map(|sent| sent?).sum::<Result<usize>>()
    })?;
    Ok(Round::messages(sent, start))
}

fn windowed(node: &Node, server: &NodeName, window: usize, limit: Duration) -> Result<Round> {
    let mut outstanding: VecDeque<Pending> = VecDeque::with_capacity(window);
    let mut sent = 0;
    let mut round = StreamTimer::new(limit);
    loop {
        if outstanding.len() < window && round.has_time() {
            match node.start_send(node_setup::small(server)) {
                Ok(pending) => {
                    outstanding.push_back(pending);
                    sent += 1;
                    continue;
                }
                Err(SendError::Again) if !outstanding.is_empty() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let Some(mut pending) = outstanding.pop_front() else { break };
        let report =
            pending.wait(None).ok_or("a wait without a time limit returned no report")??;
        node_setup::check_delivered(&report)?;
    }
    Ok(Round::messages(sent, round.start()))
}
