//! Links over slow paths with long queues, in network namespaces.
//!
//! ```text
//!   namespace a ─ eth0 (tc tbf: rate, queue) ═ veth ═ eth0 (the same) ─ namespace b
//! ```
//!
//! The test binary starts itself again as the programs in the namespaces, which run [`sender`] and
//! [`receiver`].
#![cfg(all(feature = "net", target_os = "linux"))]
#![expect(clippy::disallowed_methods, reason = "these tests run in real time")]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{count, name};
use meshage::{Config, Node, Outgoing, WaitCondition};

const PORT: u16 = 9000;
const ADDRESS_A: &str = "10.78.0.1";
const ADDRESS_B: &str = "10.78.0.2";
/// The bytes of the large body, and whether the receiver sends one at the same time.
const BYTES: &str = "MESHAGE_TEST_BYTES";
const BOTH_WAYS: &str = "MESHAGE_TEST_BOTH_WAYS";
/// The time limit of a large send: these paths take minutes for the largest.
const TIMEOUT: Duration = Duration::from_secs(300);
/// The interval of the small messages.
const SMALL_INTERVAL: Duration = Duration::from_millis(500);

/// Two namespaces, joined by a path with this rate, and a queue of 5 s in each direction.
struct Path {
    tag: String,
}

impl Path {
    /// `None` with a printed reason if this user cannot create one.
    fn new(rate: &str) -> Option<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let number = port.local_addr().expect("bound").port();
        let path = Self { tag: format!("mshs{}x{number}", std::process::id()) };
        let [a, b] = ["a", "b"].map(|end| path.space(end));
        for space in [&a, &b] {
            if let Err(reason) = run("ip", &["netns", "add", space]) {
                println!("skipped: no network namespaces here: {reason}");
                return None;
            }
        }
        let link = ["link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", &b];
        let mut commands = vec![[&["-n", &a][..], &link].concat()];
        let queue = ["root", "tbf", "rate", rate, "burst", "4000", "latency", "5s"];
        for (space, address) in [(&a, ADDRESS_A), (&b, ADDRESS_B)] {
            let space = space.as_str();
            let network = if address == ADDRESS_A { "10.78.0.1/24" } else { "10.78.0.2/24" };
            commands.push(vec!["-n", space, "addr", "add", network, "dev", "eth0"]);
            commands.push(vec!["-n", space, "link", "set", "lo", "up"]);
            commands.push(vec!["-n", space, "link", "set", "eth0", "up"]);
        }
        for command in commands {
            run("ip", &command).expect("ip works where namespaces can be made");
        }
        for space in [&a, &b] {
            let add = [&["-n", space, "qdisc", "add", "dev", "eth0"][..], &queue].concat();
            if let Err(reason) = run("tc", &add) {
                println!("skipped: no token bucket here: {reason}");
                return None;
            }
        }
        Some(path)
    }

    fn space(&self, end: &str) -> String {
        format!("{}{end}", self.tag)
    }

    /// Starts a program of this file in a namespace.
    fn start(&self, end: &str, program: &str, environment: &[(&str, String)]) -> Program {
        let executable = std::env::current_exe().expect("a test binary");
        let child = Command::new("ip")
            .args(["netns", "exec", &self.space(end)])
            .arg(executable)
            .args(["--exact", program, "--ignored", "--nocapture", "--test-threads=1"])
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        Program(child)
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        for end in ["a", "b"] {
            let _ = run("ip", &["netns", "del", &self.space(end)]);
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

struct Program(Child);

impl Program {
    /// Waits for the results that the program prints.
    fn results(mut self) -> BTreeMap<String, String> {
        let output = BufReader::new(self.0.stdout.take().expect("piped"));
        let lines = output.lines().map_while(Result::ok);
        let results = lines.filter_map(|line| {
            // The first one follows what the test harness prints.
            let (name, value) = line.split_once("result ")?.1.split_once(' ')?;
            println!("   {name} {value}");
            Some((name.to_owned(), value.to_owned()))
        });
        results.collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn result(name: &str, value: impl std::fmt::Display) {
    println!("result {name} {value}");
    std::io::stdout().flush().expect("flushed");
}

async fn node_at(node: &str, address: &str) -> Node {
    let config = Config::builder(node).bind(address).port(PORT).listen_port(PORT).degree(0);
    Node::start(config.build().expect("valid")).await.expect("started")
}

fn bytes() -> Option<usize> {
    std::env::var(BYTES).ok()?.parse().ok()
}

/// Prints how often a link ended.
fn lost_links(node: &Node) {
    for counter in ["links_silent", "links_lost"] {
        result(counter, count(node, counter));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a program of the tests below"]
async fn sender() {
    let Some(bytes) = bytes() else { return };
    let a = node_at("a", ADDRESS_A).await;
    let deadline = Instant::now() + common::SOON;
    while let Err(error) = a.dial(&format!("{ADDRESS_B}:{PORT}")).await {
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    a.wait_for(WaitCondition::Nodes(vec![name("b")]), common::SOON).await.expect("linked");
    let begin = Instant::now();
    let large = Outgoing::set([name("b")], vec![7; bytes]).timeout(TIMEOUT);
    let mut large = a.start_send(large).expect("started");
    let mut slowest = Duration::ZERO;
    let report = loop {
        let small = async {
            tokio::time::sleep(SMALL_INTERVAL).await;
            let begin = Instant::now();
            let small = Outgoing::set([name("b")], "small").timeout(TIMEOUT);
            let report = a.send(small).await.expect("sent");
            assert!(report.all_delivered(), "{report:?}");
            begin.elapsed()
        };
        tokio::select! {
            report = large.wait() => break report.expect("sent"),
            took = small => slowest = slowest.max(took),
        }
    };
    result("large", format!("{:?}", report.outcome("b").expect("a recipient")));
    result("seconds", begin.elapsed().as_secs_f64());
    result("slowest_small_ms", slowest.as_millis());
    lost_links(&a);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a program of the tests below"]
async fn receiver() {
    let Some(bytes) = bytes() else { return };
    let b = node_at("b", ADDRESS_B).await;
    let receiving = b.clone();
    tokio::spawn(async move { while receiving.recv().await.is_ok() {} });
    if std::env::var(BOTH_WAYS).is_ok() {
        b.wait_for(WaitCondition::Nodes(vec![name("a")]), common::SOON).await.expect("linked");
        let large = Outgoing::set([name("a")], vec![7; bytes]).timeout(TIMEOUT);
        let report = b.send(large).await.expect("sent");
        result("large", format!("{:?}", report.outcome("a").expect("a recipient")));
    }
    lost_links(&b);
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0])).await;
}

/// Sends a body over a path. Returns the sender's results; `None` where it cannot be tried.
fn send(rate: &str, bytes: usize, both_ways: bool) -> Option<BTreeMap<String, String>> {
    let path = Path::new(rate)?;
    let mut environment = vec![(BYTES, bytes.to_string())];
    if both_ways {
        environment.push((BOTH_WAYS, String::new()));
    }
    let _receiver = path.start("b", "receiver", &environment);
    let results = path.start("a", "sender", &environment).results();
    Some(results)
}

/// Checks that a body arrived over a link that stayed up, and small messages beside it in time.
fn assert_delivered(results: &BTreeMap<String, String>, small_max: Duration) {
    assert_eq!(results.get("large").map(String::as_str), Some("Delivered"), "{results:?}");
    assert_eq!(results["links_lost"], "0", "{results:?}");
    let slowest: u64 = results["slowest_small_ms"].parse().expect("a number");
    assert!(Duration::from_millis(slowest) <= small_max, "{results:?}");
}

#[test]
fn a_body_over_512_kbit_s_with_a_queue_of_5_s_is_delivered_and_small_messages_are_not_late() {
    let Some(results) = send("512kbit", 1_500_000, false) else { return };
    assert_delivered(&results, Duration::from_millis(1500));
}

#[test]
fn bodies_over_64_kbit_s_both_ways_lose_no_link() {
    let Some(results) = send("64kbit", 120_000, true) else { return };
    assert_delivered(&results, Duration::from_secs(5));
}

#[test]
fn a_path_of_20_mbit_s_with_a_queue_of_5_s_is_used_in_full() {
    let Some(results) = send("20mbit", 10_000_000, false) else { return };
    assert_delivered(&results, Duration::from_secs(1));
    // 4 s at the rate of the path, without headers.
    let seconds: f64 = results["seconds"].parse().expect("a number");
    assert!(seconds < 6.0, "{results:?}");
}

#[test]
#[ignore = "a measurement that takes a minute"]
fn three_megabytes_over_512_kbit_s_are_delivered() {
    let Some(results) = send("512kbit", 3_000_000, false) else { return };
    assert_delivered(&results, Duration::from_millis(1500));
}
