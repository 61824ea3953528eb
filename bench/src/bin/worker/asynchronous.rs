//! The worker of the asynchronous node, which runs on the application's runtime.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use meshage::{Node, NodeName, Outgoing, Pending, SendError, WaitCondition};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::node_setup::{self, BATCH, LINKED_MAX, SERVER};
use super::protocol::{self, Arguments, Result, Role};
use super::raw_tokio::{in_a_task, runtime};
use super::round::{Round, Samples, StreamTimer};
use super::routes;

/// Runs one role of a case.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.case == "spf" {
        return routes::run(arguments);
    }
    let runtime = runtime()?;
    match arguments.role {
        Role::Serve => serve(&runtime, arguments),
        Role::Relay => relay(&runtime, arguments),
        Role::Drive => drive(&runtime, arguments),
    }
}

fn serve(runtime: &Runtime, arguments: &Arguments) -> Result<()> {
    let one_by_one = arguments.case == "recv_for";
    let nodes = match (arguments.number("neighbours", 0)?, arguments.number("mesh", 0)?) {
        (0, 0) => vec![runtime.block_on(start(SERVER, arguments))?],
        (neighbours, 0) => runtime.block_on(start_neighbours(neighbours, arguments))?,
        (_, mesh) => runtime.block_on(start_circulant(mesh, arguments))?,
    };
    // In a mesh, the driver gets the addresses of the nodes that it links to.
    let listed = match arguments.number("mesh", 0)? {
        0 => (0..nodes.len()).collect(),
        mesh => circulant_neighbours(0, mesh).map(|at| at - 1).to_vec(),
    };
    let addresses: Vec<String> =
        listed.into_iter().map(|at: usize| node_setup::address(nodes[at].port())).collect();
    for node in nodes {
        if one_by_one {
            runtime.spawn(async move { while node.recv().await.is_ok() {} });
        } else {
            runtime.spawn(async move { while node.recv_many(BATCH).await.is_ok() {} });
        }
    }
    protocol::serve(&addresses)
}

fn relay(runtime: &Runtime, arguments: &Arguments) -> Result<()> {
    let node = runtime.block_on(start(&node_setup::unique_name("relay"), arguments))?;
    runtime.block_on(node.dial(arguments.target()?))?;
    protocol::serve(&[node_setup::address(node.port())])
}

fn drive(runtime: &Runtime, arguments: &Arguments) -> Result<()> {
    if arguments.case == "memory" {
        return hold_links(runtime, arguments);
    }
    if arguments.case == "handshake" {
        return make_links(runtime, arguments);
    }
    let node = runtime.block_on(linked_node(arguments))?;
    let server = NodeName::new(SERVER)?;
    let window = arguments.number("window", 1)?;
    let body = Bytes::from(vec![7; arguments.number("size", 0)?]);
    let count = arguments.number("neighbours", 0)?.max(arguments.number("mesh", 1)? - 1);
    protocol::drive(|limit| {
        let (node, server, body) = (node.clone(), server.clone(), body.clone());
        match arguments.case.as_str() {
            "set_rtt" | "relay_rtt" => in_a_task(runtime, round_trips(node, server, limit)),
            "set_64" | "relay_64" => in_a_task(runtime, callers(node, server, window, limit)),
            "set_window" | "relay_window" | "recv_many" | "recv_for" => {
                in_a_task(runtime, windowed(node, server, window, limit))
            }
            "large" => in_a_task(runtime, bodies(node, server, body, window, limit)),
            "large_beside" => in_a_task(runtime, beside(node, server, body, window, limit)),
            "fanout" => in_a_task(runtime, fan_out(node, count, limit)),
            other => Err(format!("unknown case {other}").into()),
        }
    })
}

async fn start(name: &str, arguments: &Arguments) -> Result<Node> {
    Ok(Node::start(node_setup::config(name, arguments)?).await?)
}

/// A node that is linked to the given addresses and knows the whole mesh.
async fn linked_node(arguments: &Arguments) -> Result<Node> {
    let node = start(&node_setup::unique_name("driver"), arguments).await?;
    for to in &arguments.to {
        node.dial(to).await?;
    }
    let condition = match (arguments.number("neighbours", 0)?, arguments.number("mesh", 0)?) {
        (0, 0) => WaitCondition::Nodes(vec![NodeName::new(SERVER)?]),
        (neighbours, mesh) => WaitCondition::Count((neighbours + 1).max(mesh)),
    };
    node.wait_for(condition, LINKED_MAX).await?;
    Ok(node)
}

async fn start_neighbours(count: usize, arguments: &Arguments) -> Result<Vec<Node>> {
    let mut nodes = Vec::new();
    for number in 1..=count {
        nodes.push(start(&format!("neighbour-{number}"), arguments).await?);
    }
    Ok(nodes)
}

/// The neighbours of node `at` in a ring of `count` nodes, each with a chord of length 8: degree 4.
fn circulant_neighbours(at: usize, count: usize) -> [usize; 4] {
    [1, 8, count - 8, count - 1].map(|step| (at + step) % count)
}

/// Starts all nodes of a circulant mesh except node 0, which is the driver.
async fn start_circulant(count: usize, arguments: &Arguments) -> Result<Vec<Node>> {
    let nodes = start_neighbours(count - 1, arguments).await?;
    for at in 1..count {
        for to in circulant_neighbours(at, count) {
            if to > at {
                nodes[at - 1].dial(&node_setup::address(nodes[to - 1].port())).await?;
            }
        }
    }
    for node in &nodes {
        node.wait_for(WaitCondition::Count(count - 1), LINKED_MAX).await?;
    }
    Ok(nodes)
}

/// One caller that sends one message after the other.
async fn round_trips(node: Node, server: NodeName, limit: Duration) -> Result<Round> {
    let mut times = Samples::default();
    let start = Instant::now();
    while start.elapsed() < limit {
        let sent = Instant::now();
        node_setup::check_delivered(&node.send(node_setup::small(&server)).await?)?;
        times.push(sent.elapsed());
    }
    Ok(times.micros())
}

/// Many callers, each of which sends one message after the other.
async fn callers(node: Node, server: NodeName, count: usize, limit: Duration) -> Result<Round> {
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for _ in 0..count {
        let (node, server) = (node.clone(), server.clone());
        tasks.spawn(async move {
            let mut sent = 0;
            while start.elapsed() < limit {
                node_setup::check_delivered(&node.send(node_setup::small(&server)).await?)?;
                sent += 1;
            }
            Ok(sent)
        });
    }
    let sent = tasks.join_all().await.into_iter().sum::<Result<usize>>()?;
    Ok(Round::messages(sent, start))
}

/// One caller with many outstanding messages.
async fn windowed(node: Node, server: NodeName, window: usize, limit: Duration) -> Result<Round> {
    let mut round = StreamTimer::new(limit);
    let start = round.start();
    let sent = keep_outstanding(&node, window, || node_setup::small(&server), || round.has_time());
    Ok(Round::messages(sent.await?, start))
}

/// Large bodies, a few of them outstanding.
async fn bodies(
    node: Node,
    server: NodeName,
    body: Bytes,
    window: usize,
    limit: Duration,
) -> Result<Round> {
    let start = Instant::now();
    let large = || Outgoing::set([server.clone()], body.clone());
    let sent = keep_outstanding(&node, window, large, || start.elapsed() < limit).await?;
    Ok(Round::bodies(sent, body.len(), start))
}

/// Keeps `window` messages outstanding while there is time, then waits for the last. Returns the
/// number of messages.
async fn keep_outstanding(
    node: &Node,
    window: usize,
    message: impl Fn() -> Outgoing,
    mut has_time: impl FnMut() -> bool,
) -> Result<usize> {
    let mut outstanding: VecDeque<Pending> = VecDeque::with_capacity(window);
    let mut sent = 0;
    loop {
        let full = outstanding.len() == window;
        if !full && has_time() {
            match node.start_send(message()) {
                Ok(pending) => {
                    outstanding.push_back(pending);
                    sent += 1;
                    continue;
                }
                Err(SendError::Again) if !outstanding.is_empty() => {}
                Err(error) => return Err(error.into()),
            }
        }
        match outstanding.pop_front() {
            Some(mut pending) => node_setup::check_delivered(&pending.wait().await?)?,
            None => return Ok(sent),
        }
    }
}

/// Round trips of small messages while large bodies share the link. An empty body means that there
/// are no large bodies.
async fn beside(
    node: Node,
    server: NodeName,
    body: Bytes,
    window: usize,
    limit: Duration,
) -> Result<Round> {
    let over = Arc::new(AtomicBool::new(body.is_empty()));
    let load = tokio::spawn({
        let (node, server, over) = (node.clone(), server.clone(), over.clone());
        async move {
            let large = || Outgoing::set([server.clone()], body.clone());
            keep_outstanding(&node, window, large, || !over.load(Ordering::Relaxed)).await
        }
    });
    let measured = round_trips(node, server, limit).await;
    over.store(true, Ordering::Relaxed);
    load.await??;
    measured
}

/// Broadcasts, one after the other, each timed until its last acknowledgement.
async fn fan_out(node: Node, recipients: usize, limit: Duration) -> Result<Round> {
    let mut times = Samples::default();
    let start = Instant::now();
    while start.elapsed() < limit {
        let sent = Instant::now();
        let report = node.broadcast(Bytes::from_static(protocol::BODY)).await?;
        times.push(sent.elapsed());
        node_setup::check_delivered(&report)?;
        if report.delivered().count() != recipients {
            return Err(
                format!("the broadcast did not reach {recipients} recipients: {report:?}").into()
            );
        }
    }
    Ok(times.micros())
}

/// Makes links to the server and closes them, one after the other.
fn make_links(runtime: &Runtime, arguments: &Arguments) -> Result<()> {
    let name = node_setup::unique_name("driver");
    let node = runtime.block_on(start(&name, arguments))?;
    let to = arguments.target()?.to_owned();
    protocol::drive(|limit| {
        let (node, to) = (node.clone(), to.clone());
        in_a_task(runtime, async move {
            let start = Instant::now();
            let mut made = 0;
            while start.elapsed() < limit {
                let peer = node.dial(&to).await?;
                node.hangup(peer.as_str()).await?;
                made += 1;
            }
            Ok(Round::rate(made as f64, made, start.elapsed()))
        })
    })
}

/// Starts nodes that each link to the server whose memory is measured.
fn hold_links(runtime: &Runtime, arguments: &Arguments) -> Result<()> {
    let nodes = runtime.block_on(start_neighbours(arguments.number("links", 1)?, arguments))?;
    let to = arguments.target()?;
    runtime.block_on(async {
        for node in &nodes {
            node.dial(to).await?;
        }
        Ok::<(), meshage::DialError>(())
    })?;
    protocol::drive(|_| Ok(Round::rate(0.0, nodes.len(), Duration::from_secs(1))))
}
