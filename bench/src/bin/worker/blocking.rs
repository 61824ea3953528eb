//! The blocking node, which has a runtime of its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use meshage::blocking::{Node, Pending};
use meshage::{NodeName, SendError, WaitCondition};

use super::count::{Round, Streaming, Times};
use super::mesh::{self, BATCH, LINKED_MAX, SERVER};
use super::protocol::{self, Arguments, Result, Role};

/// Plays a part of a case.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match (arguments.role, arguments.case.as_str()) {
        (Role::Serve, _) => {
            let node = Arc::new(Node::start(mesh::config(SERVER)?)?);
            let address = mesh::address(node.node().port());
            let receiver = node.clone();
            thread::spawn(move || while receiver.recv_many(BATCH, None).is_ok() {});
            protocol::serve(&[address])
        }
        (Role::Drive, case) => {
            let node = Node::start(mesh::config(&mesh::own_name("driver"))?)?;
            node.dial(arguments.target()?, None)?;
            let server = NodeName::new(SERVER)?;
            node.wait_for(WaitCondition::Nodes(vec![server.clone()]), Some(LINKED_MAX))?;
            let window = arguments.number("window", 1)?;
            protocol::drive(|limit| match case {
                "set_rtt" => round_trips(&node, &server, limit),
                "set_64" => callers(&node, &server, window, limit),
                "set_window" => windowed(&node, &server, window, limit),
                other => Err(format!("no case {other}").into()),
            })
        }
        (Role::Relay, _) => arguments.unknown(),
    }
}

fn round_trips(node: &Node, server: &NodeName, limit: Duration) -> Result<Round> {
    let mut times = Times::default();
    let start = Instant::now();
    while start.elapsed() < limit {
        let sent = Instant::now();
        mesh::delivered(&node.send(mesh::small(server))?)?;
        times.push(sent.elapsed());
    }
    Ok(times.micros())
}

fn callers(node: &Node, server: &NodeName, count: usize, limit: Duration) -> Result<Round> {
    let start = Instant::now();
    let call = || -> Result<usize> {
        let mut sent = 0;
        while start.elapsed() < limit {
            mesh::delivered(&node.send(mesh::small(server))?)?;
            sent += 1;
        }
        Ok(sent)
    };
    let sent = thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(call)).collect();
        let ended =
            threads.into_iter().map(|thread| thread.join().map_err(|_| "a caller panicked"));
        ended.map(|sent| sent?).sum::<Result<usize>>()
    })?;
    Ok(Round::messages(sent, start))
}

fn windowed(node: &Node, server: &NodeName, window: usize, limit: Duration) -> Result<Round> {
    let mut under_way: VecDeque<Pending> = VecDeque::with_capacity(window);
    let mut sent = 0;
    let mut round = Streaming::new(limit);
    loop {
        if under_way.len() < window && round.goes_on() {
            match node.start_send(mesh::small(server)) {
                Ok(pending) => {
                    under_way.push_back(pending);
                    sent += 1;
                    continue;
                }
                Err(SendError::Again) if !under_way.is_empty() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let Some(mut pending) = under_way.pop_front() else { break };
        let report = pending.wait(None).ok_or("a wait without a limit ended")??;
        mesh::delivered(&report)?;
    }
    Ok(Round::messages(sent, round.start()))
}
