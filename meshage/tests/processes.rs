//! Nodes in separate processes that are killed or stopped without warning.
//!
//! The test binary starts itself again as the other process, which runs [`child_node`].
#![cfg(all(feature = "net", unix))]
#![expect(clippy::disallowed_methods, reason = "these tests run in real time")]

mod common;

use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use common::{SOON, link, name, node, quiet, start, until, within};
use meshage::{Node, Outcome, Outgoing, WaitCondition, blocking};

const ADDRESS: &str = "MESHAGE_TEST_ADDRESS";

/// The program of the other process: a node that dials and then receives until its input ends.
#[test]
#[ignore = "the program of another process"]
fn child_node() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let config = quiet("child").seed(address).build().expect("valid");
    let node = blocking::Node::start(config).expect("started");
    println!("port {}", node.node().port());
    std::io::stdout().flush().expect("flushed");
    let _ = std::io::stdin().read(&mut [0]);
}

struct Process {
    child: Child,
    /// Not read any further, but kept open: a test whose output is closed fails.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    async fn start(dials: &Node) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("a test binary"))
            .args(["--exact", "child_node", "--ignored", "--nocapture", "--test-threads=1"])
            .env(ADDRESS, common::address(dials))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut lines = output.lines();
        assert!(
            lines.by_ref().any(|line| line.expect("text").contains("port ")),
            "the child started"
        );
        dials.wait_for(WaitCondition::Nodes(vec![name("child")]), SOON).await.expect("linked");
        Self { child, _output: lines }
    }

    fn signal(&self, signal: &str) {
        let kill = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(kill.expect("kill runs").success());
    }

    /// Whether all of its threads are stopped; true if the system has no `/proc`.
    fn is_stopped(&self) -> bool {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", self.child.id())) else {
            return true;
        };
        threads.map_while(Result::ok).all(|thread| {
            let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
            status.contains("State:\tT")
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_killed_process_is_removed_from_every_table_within_a_second() {
    let (a, b) = (node("a").await, node("b").await);
    link(&b, &a).await;
    let child = Process::start(&a).await;
    b.wait_for(WaitCondition::Nodes(vec![name("child")]), SOON).await.expect("known");
    child.signal("-KILL");
    let took = within(Duration::from_secs(1), "the child is removed", || {
        !a.mesh().contains("child") && !b.mesh().contains("child")
    });
    eprintln!("removed from every table after {:?}", took.await);
}

#[tokio::test]
async fn a_stopped_process_is_removed_within_four_seconds_and_is_back_after_four_more() {
    let (a, b) = (node("a").await, node("b").await);
    link(&b, &a).await;
    let child = Process::start(&a).await;
    b.wait_for(WaitCondition::Nodes(vec![name("child")]), SOON).await.expect("known");
    child.signal("-STOP");
    until("the child is stopped", || child.is_stopped()).await;
    let begin = Instant::now();
    // A send to it does not wait longer than it takes to detect the failure.
    let outgoing = Outgoing::set([name("child")], "x").timeout(SOON);
    let outcome = b.send(outgoing).await.expect("sent").outcome("child");
    assert_eq!(outcome, Some(Outcome::Lost));
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    until("the child is removed", || !a.mesh().contains("child") && !b.mesh().contains("child"))
        .await;
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    child.signal("-CONT");
    let took = within(Duration::from_secs(4), "the child is back", || {
        a.mesh().contains("child") && b.mesh().contains("child")
    });
    eprintln!("back after {:?}", took.await);
    let outgoing = Outgoing::set([name("child")], "y");
    assert!(b.send(outgoing).await.expect("sent").all_delivered());
}

#[tokio::test]
async fn a_process_that_exits_in_order_leaves_the_mesh() {
    let a = start(quiet("a")).await;
    let mut child = Process::start(&a).await;
    drop(child.child.stdin.take());
    assert!(child.child.wait().expect("ended").success());
    until("the child is removed", || a.mesh().len() == 1).await;
}
