//! A closed node leaks no descriptor and no thread. The only test in its program, because it counts
//! those of the whole process.
#![cfg(all(feature = "net", target_os = "linux"))]
#![expect(clippy::disallowed_methods, reason = "these tests run in real time")]

mod common;

use common::{SOON, address, quiet};
use meshage::{Outgoing, WaitCondition, blocking};

fn count_open(what: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{what}")).expect("Linux").count()
}

fn start_and_close() {
    let start = |name| blocking::Node::start(quiet(name).build().expect("valid")).expect("started");
    let (a, b) = (start("a"), start("b"));
    a.dial(&address(b.node()), Some(SOON)).expect("linked");
    b.wait_for(WaitCondition::Count(2), Some(SOON)).expect("linked");
    b.node().recv_fd().expect("a descriptor");
    b.node().set_snoop(Some(Box::new(|_| ()))).expect("a thread");
    let done = |result: Result<meshage::Report, _>| assert!(result.expect("sent").all_delivered());
    let pending = a.node().send_with(Outgoing::broadcast("x"), done).expect("started");
    drop(a);
    drop(b);
    pending.cancel();
}

#[test]
fn a_closed_node_leaks_no_descriptor_and_no_thread() {
    start_and_close();
    let before = (count_open("fd"), count_open("task"));
    for _ in 0..10 {
        start_and_close();
    }
    // A thread that was joined may stay in the system's list for a moment.
    let deadline = std::time::Instant::now() + SOON;
    while (count_open("fd"), count_open("task")) != before {
        assert!(
            std::time::Instant::now() < deadline,
            "{before:?} {} {}",
            count_open("fd"),
            count_open("task")
        );
        std::thread::yield_now();
    }
}
