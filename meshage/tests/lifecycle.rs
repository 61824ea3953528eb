//! Closing, waiting, the wakeup descriptor, and the blocking API.
#![cfg(feature = "net")]
#![expect(clippy::disallowed_methods, reason = "these tests run in real time")]

mod common;

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{
    SOON, address, count, know_all, line, link, name, node, quiet, soon, start, until, until_event,
};
use meshage::{
    Departure, DialError, Event, HangupError, Node, Outgoing, RecvError, SendError, WaitCondition,
    WaitError, blocking,
};

#[tokio::test]
async fn closing_wakes_every_waiter_and_all_later_calls_fail_with_closed() {
    let a = node("a").await;
    let mut events = a.events();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let silent = silent.local_addr().map(|at| (silent, at.to_string())).expect("bound");
    let closer = a.clone();
    let (recv, many, waited, dialled, event, ()) = soon(async {
        tokio::join!(
            a.recv(),
            a.recv_many(10),
            a.wait_for(WaitCondition::Count(2), SOON),
            a.dial(&silent.1),
            events.next(),
            async {
                // `join!` polls the others first, so they wait by now.
                tokio::task::yield_now().await;
                closer.close();
            }
        )
    })
    .await;
    assert_eq!((recv, many), (Err(RecvError::Closed), Err(RecvError::Closed)));
    assert_eq!(waited, Err(WaitError::Closed));
    assert!(matches!(dialled, Err(DialError::Closed)), "{dialled:?}");
    assert_eq!(event, None);
    soon(a.closed()).await;
    assert!(a.is_closed());
    assert_eq!(a.set([name("b")], "x").await, Err(SendError::Closed));
    assert!(matches!(a.start_send(Outgoing::broadcast("x")), Err(SendError::Closed)));
    assert_eq!(a.try_recv(), Err(RecvError::Closed));
    assert_eq!(a.hangup("b").await, Err(HangupError::Closed));
    assert!(matches!(a.dial("127.0.0.1:1").await, Err(DialError::Closed)));
    assert_eq!(a.events().try_next(), None);
    a.close();
}

#[tokio::test]
async fn messages_in_the_inbox_can_be_received_after_the_close() {
    let nodes = line(&["a", "b"]).await;
    assert!(nodes[0].broadcast("x").await.expect("sent").all_delivered());
    nodes[1].close();
    assert_eq!(nodes[1].recv().await.expect("still there").body, "x");
    assert_eq!(nodes[1].recv().await, Err(RecvError::Closed));
}

#[tokio::test]
async fn a_node_that_closes_finishes_its_sends_and_leaves_in_order() {
    let nodes = line(&["a", "b"]).await;
    let mut events = nodes[1].events();
    let (sender, mut ended) = tokio::sync::mpsc::unbounded_channel();
    for n in 0..100_u8 {
        let sender = sender.clone();
        let done = move |result| sender.send(result).expect("received");
        drop(nodes[0].send_with(Outgoing::set([name("b")], vec![n]), done).expect("started"));
    }
    nodes[0].close();
    for _ in 0..100 {
        let result = soon(ended.recv()).await.expect("called");
        assert!(result.expect("sent").all_delivered());
    }
    let begin = Instant::now();
    until_event(&mut events, |event| matches!(event, Event::NodeLeft { node, departure: Departure::Left, .. } if *node == name("a"))).await;
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "the node left in order and was not declared dead"
    );
    soon(nodes[0].closed()).await;
    assert_eq!(nodes[1].recv_many(1000).await.expect("taken").len(), 100);
}

/// Two nodes. The inbox of the second is full, so that a send to it waits for room.
async fn full_pair() -> (Node, Node) {
    let (a, b) = (node("a").await, start(quiet("b").receive_buffer(1)).await);
    link(&a, &b).await;
    know_all(&[a.clone(), b.clone()]).await;
    assert!(a.broadcast("the only one").await.expect("sent").all_delivered());
    (a, b)
}

#[tokio::test]
async fn closing_wakes_the_waiter_of_a_send_and_the_callback_gets_the_result() {
    let (a, b) = full_pair().await;
    let outgoing = || Outgoing::set([name("b")], "x").timeout(Duration::MAX);
    let (sender, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let done = move |result| sender.send(result).expect("received");
    let mut with = a.send_with(outgoing(), done).expect("started");
    let mut pending = a.start_send(outgoing()).expect("started");
    let (sending, early) = (a.clone(), a.start_send(outgoing()).expect("started"));
    let send = tokio::spawn(async move { sending.send(outgoing()).await });
    drop(early);
    until("all four are outstanding", || count(&a, "sends_under_way") == 4).await;
    let begin = Instant::now();
    a.close();
    assert_eq!(soon(send).await.expect("no panic"), Err(SendError::Closed));
    assert_eq!(soon(pending.wait()).await, Err(SendError::Closed));
    assert_eq!(
        soon(pending.wait()).await,
        Err(SendError::Closed),
        "a second wait gives the same result"
    );
    assert_eq!(soon(with.wait()).await, Err(SendError::Closed));
    assert!(begin.elapsed() < Duration::from_secs(1), "waiters do not wait for the flush");
    assert!(ended.try_recv().is_err(), "the send is still outstanding");
    assert_eq!(soon(b.recv()).await.expect("a message").body, "the only one");
    assert_eq!(soon(b.recv()).await.expect("a message").body, "x");
    let report = soon(ended.recv()).await.expect("called").expect("sent");
    assert!(report.all_delivered());
}

#[tokio::test]
async fn a_send_that_the_flush_does_not_finish_ends_with_closed() {
    let (a, _b) = full_pair().await;
    let outgoing = Outgoing::set([name("b")], "x").timeout(Duration::MAX);
    let (sender, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let done = move |result| sender.send(result).expect("received");
    drop(a.send_with(outgoing, done).expect("started"));
    a.close();
    assert_eq!(soon(ended.recv()).await.expect("called"), Err(SendError::Closed));
}

/// A peer that behaves like a stopped process: nothing drives its runtime any more.
fn frozen_peer(of: &blocking::Node) -> (tokio::runtime::Runtime, Node) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let peer = runtime.block_on(async {
        let peer = node("frozen").await;
        peer.dial(&address(of.node())).await.expect("linked");
        peer
    });
    of.wait_for(WaitCondition::Count(2), Some(SOON)).expect("linked");
    (runtime, peer)
}

#[test]
fn closing_takes_at_most_two_seconds_if_a_peer_does_not_respond() {
    let a = blocking::Node::start(quiet("a").build().expect("valid")).expect("started");
    let _frozen = frozen_peer(&a);
    let (sender, ended) = mpsc::channel();
    let done = move |result| sender.send(result).expect("received");
    let outgoing = Outgoing::set([name("frozen")], "x").timeout(SOON);
    drop(a.node().send_with(outgoing, done).expect("started"));
    let begin = Instant::now();
    drop(a);
    assert!(begin.elapsed() < Duration::from_millis(2600), "{:?}", begin.elapsed());
    assert_eq!(ended.recv_timeout(SOON).expect("called"), Err(SendError::Closed));
}

#[test]
fn closing_does_not_wait_long_for_a_peer_if_nothing_is_outstanding() {
    let a = blocking::Node::start(quiet("a").build().expect("valid")).expect("started");
    let _frozen = frozen_peer(&a);
    let begin = Instant::now();
    drop(a);
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn dropping_the_last_clone_closes_the_node() {
    let (a, b) = (node("a").await, node("b").await);
    link(&a, &b).await;
    know_all(&[a.clone(), b.clone()]).await;
    let clone = b.clone();
    drop(b);
    assert!(a.set([name("b")], "x").await.expect("sent").all_delivered());
    drop(clone);
    until("b has left", || a.mesh().len() == 1).await;
}

#[tokio::test]
async fn a_wait_for_nodes_that_times_out_names_the_missing_ones() {
    let nodes = line(&["a", "b"]).await;
    let wanted = WaitCondition::Nodes(["a", "b", "c"].map(name).to_vec());
    let missing = nodes[0].wait_for(wanted, Duration::from_millis(10)).await;
    assert_eq!(missing, Err(WaitError::Timeout(vec![name("c")])));
    let few = nodes[0].wait_for(WaitCondition::Count(3), Duration::ZERO).await;
    assert_eq!(few, Err(WaitError::Timeout(Vec::new())));
    let mesh =
        nodes[0].wait_for(WaitCondition::Count(2), Duration::ZERO).await.expect("both are known");
    assert_eq!(mesh.neighbors("a"), Some(&[name("b")][..]));
}

#[tokio::test]
async fn as_many_receivers_wake_as_there_are_messages() {
    let nodes = line(&["a", "b"]).await;
    let receivers: Vec<_> = (0..8)
        .map(|_| {
            let b = nodes[1].clone();
            tokio::spawn(async move { b.recv().await.expect("a message").body })
        })
        .collect();
    let mut sends: Vec<_> = (0..8_u8)
        .map(|n| nodes[0].start_send(Outgoing::set([name("b")], vec![n])).expect("started"))
        .collect();
    for send in &mut sends {
        assert!(soon(send.wait()).await.expect("sent").all_delivered());
    }
    let mut received = Vec::new();
    for receiver in receivers {
        received.push(soon(receiver).await.expect("no panic")[0]);
    }
    received.sort_unstable();
    assert_eq!(received, [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[cfg(unix)]
#[tokio::test]
async fn the_descriptor_is_readable_while_a_message_waits_and_after_the_close() {
    let nodes = line(&["a", "b"]).await;
    let descriptor = nodes[1].recv_fd().expect("a descriptor");
    assert_eq!(nodes[1].recv_fd().expect("the same descriptor"), descriptor);
    assert!(!readable(descriptor));
    for _ in 0..3 {
        assert!(nodes[0].broadcast("1").await.expect("sent").all_delivered());
        assert!(nodes[0].broadcast("2").await.expect("sent").all_delivered());
        until("the descriptor is readable", || readable(descriptor)).await;
        nodes[1].recv().await.expect("taken");
        assert!(readable(descriptor), "one more message waits");
        nodes[1].recv().await.expect("taken");
        assert!(!readable(descriptor));
    }
    nodes[1].close();
    assert!(readable(descriptor));
}

#[cfg(unix)]
#[expect(unsafe_code, reason = "the descriptor is made for poll(2)")]
fn readable(descriptor: std::os::fd::RawFd) -> bool {
    let mut entry = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, which lives during the call.
    let ready = unsafe { libc::poll(&raw mut entry, 1, 0) };
    ready == 1 && entry.revents & libc::POLLIN != 0
}

fn blocking_pair() -> (blocking::Node, blocking::Node) {
    let start = |name| blocking::Node::start(quiet(name).build().expect("valid")).expect("started");
    let (a, b) = (start("a"), start("b"));
    let linked = a.dial(&address(b.node()), Some(SOON)).expect("linked");
    assert_eq!(linked, *b.node().name());
    b.wait_for(WaitCondition::Count(2), Some(SOON)).expect("linked");
    (a, b)
}

#[test]
fn a_blocking_node_needs_no_runtime() {
    let (a, b) = blocking_pair();
    let begin = Instant::now();
    assert_eq!(b.recv(Some(Duration::from_millis(50))), Err(RecvError::Timeout));
    assert!(begin.elapsed() >= Duration::from_millis(50));
    assert_eq!(b.recv(Some(Duration::ZERO)), Err(RecvError::Timeout));
    assert!(a.send(Outgoing::set([name("b")], "1")).expect("sent").all_delivered());
    let mut pending = a.start_send(Outgoing::broadcast("2")).expect("started");
    let report = pending.wait(Some(SOON)).expect("in time").expect("sent");
    assert!(report.all_delivered());
    assert_eq!(b.recv(Some(SOON)).expect("a message").body, "1");
    assert_eq!(b.recv_many(10, None).expect("a message")[0].body, "2");
    assert_eq!(a.hangup("absent"), Err(HangupError::NotAPeer("absent".into())));
    assert!(!a.is_forked());
    assert!(!a.join(Some(Duration::ZERO)));
    a.node().close();
    assert!(a.join(Some(SOON)));
    assert_eq!(a.recv(None), Err(RecvError::Closed));
}

#[test]
fn many_threads_can_send_and_closing_wakes_all_of_them() {
    const THREADS: u8 = 48;
    const MESSAGES: u8 = 20;
    let (a, b) = blocking_pair();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let a = &a;
            scope.spawn(move || {
                for message in 0..MESSAGES {
                    let body = vec![thread, message];
                    let report = a.send(Outgoing::set([name("b")], body)).expect("sent");
                    assert!(report.all_delivered());
                }
            });
        }
    });
    let mut next = [0; THREADS as usize];
    for _ in 0..usize::from(THREADS) * usize::from(MESSAGES) {
        let message = b.recv(Some(SOON)).expect("received");
        let (thread, number) = (usize::from(message.body[0]), message.body[1]);
        assert_eq!(number, next[thread], "the messages of each thread keep their order");
        next[thread] += 1;
    }

    // There is no such recipient, so that all threads end up waiting.
    let outcomes = std::thread::scope(|scope| {
        let send = || loop {
            let sent = a.send(Outgoing::set([name("absent")], "x").retry(true).timeout(SOON));
            if let Err(error) = sent {
                break error;
            }
        };
        let waiting: Vec<_> = (0..THREADS).map(|_| scope.spawn(send)).collect();
        while a.node().stats().value("sends_under_way") < Some(u64::from(THREADS)) {
            std::thread::yield_now();
        }
        a.node().close();
        waiting.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    assert!(outcomes.iter().all(|outcome| *outcome == SendError::Closed));
}

#[test]
fn dropping_a_blocking_node_frees_its_port_and_threads() {
    let (a, b) = blocking_pair();
    let port = b.node().port();
    drop(b);
    let again = quiet("b").listen_port(port).build().expect("valid");
    drop(blocking::Node::start(again).expect("the port is free"));
    let begin = Instant::now();
    drop(a);
    assert!(begin.elapsed() < Duration::from_secs(2), "there is nothing to flush");
}

#[test]
fn a_callback_can_send_and_can_drop_its_own_node() {
    let (a, b) = blocking_pair();
    let a = Arc::new(a);
    let (sender, done) = mpsc::channel();
    let clone = a.clone();
    let callback = move |_| {
        let report = clone.send(Outgoing::set([name("b")], "from inside")).expect("sent");
        drop(clone);
        sender.send(report.all_delivered()).expect("received");
    };
    a.node().send_with(Outgoing::set([name("b")], "x"), callback).expect("started").cancel();
    drop(a);
    assert!(done.recv_timeout(SOON).expect("called"));
    b.node().close();
}

#[tokio::test]
async fn a_blocking_node_works_and_closes_inside_another_runtime() {
    let (a, b) = blocking_pair();
    assert!(a.send(Outgoing::set([name("b")], "x")).expect("sent").all_delivered());
    assert_eq!(b.recv(Some(SOON)).expect("a message").body, "x");
    drop((a, b));
}

#[test]
fn a_node_whose_runtime_is_dropped_is_closed() {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let node = runtime.block_on(node("a"));
    drop(runtime);
    assert!(node.is_closed());
    assert_eq!(node.try_recv(), Err(RecvError::Closed));
    assert!(matches!(node.start_send(Outgoing::broadcast("x")), Err(SendError::Closed)));
}

#[tokio::test]
async fn messages_and_events_are_streams() {
    use futures_core::Stream;
    let nodes = line(&["a", "b"]).await;
    let mut messages = std::pin::pin!(nodes[1].messages());
    for body in ["1", "2"] {
        assert!(nodes[0].broadcast(body).await.expect("sent").all_delivered());
    }
    for body in ["1", "2"] {
        let next = soon(std::future::poll_fn(|cx| messages.as_mut().poll_next(cx))).await;
        assert_eq!(next.expect("a message").body, body);
    }
    nodes[1].close();
    assert_eq!(soon(std::future::poll_fn(|cx| messages.as_mut().poll_next(cx))).await, None);
    drop(start(quiet("c")).await);
}

/// Receives a message, then closes.
async fn close_on_receipt(node: Node) {
    soon(node.recv()).await.expect("a message");
    node.close();
    soon(node.closed()).await;
}

#[tokio::test]
async fn nodes_that_close_when_a_broadcast_arrives_are_all_reported_as_delivered() {
    for round in 0..60 {
        let nodes = line(&["a", "r", "b"]).await;
        let closing: Vec<_> =
            nodes[1..].iter().map(|node| tokio::spawn(close_on_receipt(node.clone()))).collect();
        let report = nodes[0].broadcast("stop").await.expect("sent");
        assert!(report.all_delivered(), "round {round}: {report:?}");
        for closing in closing {
            closing.await.expect("no panic");
        }
    }
}

#[tokio::test]
async fn a_relay_that_closes_leaves_as_soon_as_its_last_message_is_acknowledged() {
    let nodes = line(&["a", "r", "b"]).await;
    assert!(nodes[0].set([name("b")], "x").await.expect("sent").all_delivered());
    let begin = Instant::now();
    nodes[1].close();
    soon(nodes[1].closed()).await;
    assert!(begin.elapsed() < Duration::from_millis(400), "{:?}", begin.elapsed());
}

/// Two linked blocking nodes that are used, and dropped, when their thread has ended.
struct UsedAtTheEnd {
    a: blocking::Node,
    b: blocking::Node,
    done: mpsc::Sender<&'static str>,
}

fn start_blocking(name: &str) -> blocking::Node {
    blocking::Node::start(quiet(name).build().expect("valid")).expect("started")
}

impl UsedAtTheEnd {
    fn new(done: mpsc::Sender<&'static str>) -> Self {
        let (a, b) = (start_blocking("a"), start_blocking("b"));
        let nodes = Self { a, b, done };
        nodes.a.dial(&address(nodes.b.node()), Some(SOON)).expect("linked");
        nodes.use_them();
        nodes
    }

    fn use_them(&self) {
        let Self { a, b, .. } = self;
        a.wait_for(WaitCondition::Count(2), Some(SOON)).expect("linked");
        let report = a.send(Outgoing::set([name("b")], "x").timeout(SOON)).expect("sent");
        assert!(report.all_delivered());
        assert_eq!(b.recv(Some(SOON)).expect("received").body, "x");
        assert_eq!(b.recv(Some(Duration::from_millis(5))), Err(RecvError::Timeout));
        let mut pending = a.start_send(Outgoing::broadcast("y")).expect("started");
        assert!(pending.wait(Some(SOON)).expect("in time").expect("sent").all_delivered());
        assert_eq!(b.recv(Some(SOON)).expect("received").body, "y");
        let missing = WaitCondition::Nodes(vec![name("nobody")]);
        let missing = a.wait_for(missing, Some(Duration::from_millis(5)));
        assert_eq!(missing, Err(WaitError::Timeout(vec![name("nobody")])));
        let dialled = a.dial("127.0.0.1:1", Some(SOON));
        assert!(matches!(dialled, Err(DialError::Connect(_))), "{dialled:?}");
        let mut events = a.events();
        assert_eq!(events.next(Some(Duration::ZERO)), Err(RecvError::Timeout));
    }
}

impl Drop for UsedAtTheEnd {
    fn drop(&mut self) {
        self.use_them();
        let late = start_blocking("late");
        late.dial(&address(self.a.node()), Some(SOON)).expect("linked");
        assert_eq!(self.a.hangup("nobody"), Err(HangupError::NotAPeer("nobody".into())));
        drop(late);
        let _ = self.done.send("used");
    }
}

#[test]
fn a_blocking_node_works_in_the_destructor_of_a_thread_local() {
    use std::cell::OnceCell;
    thread_local! {
        /// Destroyed after the thread-locals of the library, because it is registered before.
        static REGISTERED_BEFORE: OnceCell<OnceCell<UsedAtTheEnd>> = const { OnceCell::new() };
        static REGISTERED_AFTER: OnceCell<UsedAtTheEnd> = const { OnceCell::new() };
    }
    let (done, used) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        REGISTERED_BEFORE.with(|cell| {
            let cell = cell.get_or_init(OnceCell::new);
            assert!(cell.set(UsedAtTheEnd::new(done.clone())).is_ok());
        });
        REGISTERED_AFTER.with(|cell| assert!(cell.set(UsedAtTheEnd::new(done)).is_ok()));
    });
    thread.join().expect("no panic");
    assert_eq!(used.iter().collect::<Vec<_>>(), ["used", "used"]);
}
