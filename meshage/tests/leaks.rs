//! What a closed node leaves behind: nothing. Alone in its program, since it counts what the program
//! has open.
#![cfg(all(feature = "net", target_os = "linux"))]
#![expect(clippy::disallowed_methods, reason = "these tests run in real time")]

mod common;

use common::{SOON, address, quiet};
use meshage::{Outgoing, WaitCondition, blocking};

fn open(what: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{what}")).expect("Linux").count()
}

fn live_and_die() {
    let start = |name| blocking::Node::start(quiet(name).build().expect("valid")).expect("started");
    let (a, b) = (start("a"), start("b"));
    a.dial(&address(b.node()), Some(SOON)).expect("linked");
    b.wait_for(WaitCondition::Count(2), Some(SOON)).expect("linked");
    b.node().recv_fd().expect("a descriptor");
    b.node().set_snoop(Some(Box::new(|_| ())));
    let done = |result: Result<meshage::Report, _>| assert!(result.expect("sent").all_delivered());
    let pending = a.node().send_with(Outgoing::broadcast("x"), done).expect("begun");
    drop(a);
    drop(b);
    pending.cancel();
}

#[test]
fn a_closed_node_leaves_no_descriptor_and_no_thread() {
    live_and_die();
    let before = (open("fd"), open("task"));
    for _ in 0..10 {
        live_and_die();
    }
    // A thread that was waited for may be in the system's list for a moment more.
    let deadline = std::time::Instant::now() + SOON;
    while (open("fd"), open("task")) != before {
        assert!(std::time::Instant::now() < deadline, "{before:?} {} {}", open("fd"), open("task"));
        std::thread::yield_now();
    }
}
