//! Attacks a node over real sockets, and measures what honest members notice.
//!
//! ```text
//!  a ──── b ──── c      a sends to c through b, the attacked node, each in its own process
//!         │
//!      attacker         a peer of b that floods it, pinned to another processor
//! ```
//!
//! `cargo run --release --example attack -- run [FLOOD|all [SECONDS]]` measures without the flood,
//! with it, and without it again, and prints the latencies of the honest messages, the memory and
//! the processor time of the attacked node. `--free` leaves the processes unpinned. `attack floods`
//! lists the floods. The other commands are its parts: `victim`, `measure ADDRESS SECONDS`,
//! `flood NAME ADDRESS SECONDS [FRAMES_PER_SECOND]`, `silent ADDRESS CONNECTIONS ADDRESSES SECONDS`
//! and `join ADDRESS TIMES`.

#![expect(clippy::disallowed_methods, reason = "it measures real time")]

mod floods;
mod peer;

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use meshage::blocking::Node;
use meshage::{Config, Instance, NodeName, Outgoing};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpSocket;

use floods::Flood;
use peer::RawPeer;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The time limit of one honest message.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(20);
/// The pause between two honest messages: few enough to leave the processors free.
const PAUSE: Duration = Duration::from_micros(500);
/// The attacker's instance.
const ATTACKER: Instance = Instance(77);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["victim"] => victim(),
        ["measure", address, seconds] => measure(address, seconds),
        ["flood", name, address, seconds] => flood(name, address, seconds, "0"),
        ["flood", name, address, seconds, rate] => flood(name, address, seconds, rate),
        ["silent", address, connections, addresses, seconds] => {
            silent(address, connections, addresses, seconds)
        }
        ["join", address, times] => join(address, times),
        ["floods"] => {
            Flood::ALL.into_iter().for_each(|flood| println!("{}", flood.name()));
            Ok(())
        }
        ["run"] => run("all", "5", true),
        ["run", name] => run(name, "5", true),
        ["run", name, seconds] => run(name, seconds, true),
        ["run", name, seconds, "--free"] => run(name, seconds, false),
        _ => Err("see the head of meshage/examples/attack/main.rs for the commands".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("attack: {error}");
            ExitCode::FAILURE
        }
    }
}

fn quiet(name: &str) -> Result<Node, Error> {
    Ok(Node::start(Config::builder(name).bind("127.0.0.1").port(0).build()?)?)
}

/// The attacked node. Writes its port, then for each line that it reads its memory in KiB, its
/// processor time in ms, and its counters.
fn victim() -> Result<(), Error> {
    let node = quiet("b")?;
    println!("port {}", node.node().port());
    for line in io::stdin().lines() {
        line?;
        let mut out = format!("rss_kib={} cpu_ms={}", memory_kib(), processor_ms());
        for (name, value) in node.node().stats().iter() {
            out += &format!(" {name}={value}");
        }
        println!("{out}");
    }
    Ok(())
}

/// The memory of this process, where the system reports it (Linux).
fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

/// The processor time of this process, where the system reports it (Linux, in ticks of 10 ms).
fn processor_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10
}

/// Links two nodes to the attacked one and sends from one to the other. Writes `ready`, then the
/// latencies.
fn measure(address: &str, seconds: &str) -> Result<(), Error> {
    let duration = Duration::from_secs_f64(seconds.parse()?);
    let (a, c) = (quiet("a")?, quiet("c")?);
    a.dial(address, Some(MESSAGE_TIMEOUT))?;
    c.dial(address, Some(MESSAGE_TIMEOUT))?;
    std::thread::spawn(move || while c.recv(None).is_ok() {});
    let to = NodeName::new("c")?;
    let send = || -> Result<Option<Duration>, Error> {
        let begin = Instant::now();
        let outgoing = Outgoing::set([to.clone()], "x").timeout(MESSAGE_TIMEOUT);
        let report = a.send(outgoing)?;
        Ok(report.all_delivered().then(|| begin.elapsed()))
    };
    let begin = Instant::now();
    while send()?.is_none() {
        if begin.elapsed() > MESSAGE_TIMEOUT {
            return Err("c is not reachable".into());
        }
    }
    println!("ready");
    let mut latencies = Vec::new();
    let mut failed = 0;
    for line in io::stdin().lines() {
        line?;
        latencies.clear();
        let begin = Instant::now();
        while begin.elapsed() < duration {
            match send()? {
                Some(latency) => latencies.push(latency),
                None => failed += 1,
            }
            std::thread::sleep(PAUSE);
        }
        latencies.sort_unstable();
        let at = |share: f64| {
            let at = (latencies.len() as f64 * share) as usize;
            latencies.get(at.min(latencies.len().saturating_sub(1))).copied().unwrap_or_default()
        };
        println!(
            "count={} p50_us={} p90_us={} p99_us={} max_us={} failed={failed}",
            latencies.len(),
            at(0.5).as_micros(),
            at(0.9).as_micros(),
            at(0.99).as_micros(),
            at(1.0).as_micros(),
        );
    }
    Ok(())
}

/// Joins as a peer and floods the node for a time.
fn flood(name: &str, address: &str, seconds: &str, rate: &str) -> Result<(), Error> {
    let flood = Flood::named(name).ok_or("there is no flood of this name")?;
    let (duration, rate) = (Duration::from_secs_f64(seconds.parse()?), rate.parse::<f64>()?);
    let mut peer = RawPeer::connect(address, NodeName::new("Attacker")?, ATTACKER)?;
    let known = peer.join()?;
    let other = known.iter().find(|node| node.name.as_str() == "c").ok_or("there is no node c")?;
    peer.discard_arrivals()?;
    let mut sent = 0;
    let begin = Instant::now();
    let mut kept_alive = begin;
    while begin.elapsed() < duration {
        let (bytes, frames) = flood.write(&peer, other, sent)?;
        if let Err(error) = peer.send_bytes(&bytes) {
            println!(
                "frames={sent} closed=1 after_ms={} error={error}",
                begin.elapsed().as_millis()
            );
            return Ok(());
        }
        sent += frames;
        if rate > 0.0 {
            let ahead = sent as f64 / rate - begin.elapsed().as_secs_f64();
            if ahead > 0.0 {
                std::thread::sleep(Duration::from_secs_f64(ahead));
            }
        }
        if kept_alive.elapsed() > Duration::from_secs(1) {
            kept_alive = Instant::now();
            peer.send(&meshage::wire::frame::WireFrame::keep_alive())?;
        }
    }
    println!("frames={sent} closed=0");
    Ok(())
}

/// Keeps a number of connections open that send nothing, from a number of loopback addresses, and
/// opens each anew as soon as it ends.
fn silent(address: &str, connections: &str, addresses: &str, seconds: &str) -> Result<(), Error> {
    let to: SocketAddr = address.parse()?;
    let (connections, addresses) = (connections.parse::<u32>()?, addresses.parse::<u32>()?);
    let duration = Duration::from_secs_f64(seconds.parse()?);
    let opened = Arc::new(AtomicU64::new(0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..connections {
            let ip = u32::from(Ipv4Addr::new(127, 1, 0, 1)) + number % addresses;
            let from = SocketAddr::from((Ipv4Addr::from(ip), 0));
            let opened = opened.clone();
            tasks.spawn(async move {
                loop {
                    if stay_silent(from, to).await.is_err() {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    opened.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        tokio::time::sleep(duration).await;
    });
    println!("opened={}", opened.load(Ordering::Relaxed));
    Ok(())
}

/// Connects, and reads until the other end closes.
async fn stay_silent(from: SocketAddr, to: SocketAddr) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(from)?;
    let mut stream = socket.connect(to).await?;
    while stream.read(&mut [0; 512]).await? > 0 {}
    Ok(())
}

/// Links to the node a number of times, each time as a new peer, and writes how long each took.
fn join(address: &str, times: &str) -> Result<(), Error> {
    let mut took = Vec::new();
    let mut failed = 0;
    for number in 0..times.parse::<u64>()? {
        let begin = Instant::now();
        let name = NodeName::new(&format!("Newcomer{number}"))?;
        let linked = RawPeer::connect(address, name, Instance(1000 + number))
            .and_then(|mut peer| peer.join());
        match linked {
            Ok(_) => took.push(begin.elapsed()),
            Err(_) => failed += 1,
        }
    }
    took.sort_unstable();
    let at = |share: f64| {
        let at = (took.len() as f64 * share) as usize;
        took.get(at.min(took.len().saturating_sub(1))).copied().unwrap_or_default().as_micros()
    };
    println!(
        "joined={} failed={failed} p50_us={} p99_us={} max_us={}",
        took.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(())
}

/// A child process that answers lines.
struct Process {
    child: Child,
    output: io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Process {
    /// Starts this program with other arguments, on one processor if there is one for it.
    fn start(processor: Option<u32>, arguments: &[&str]) -> Result<Self, Error> {
        let program = std::env::current_exe()?;
        let mut command = match processor {
            Some(processor) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &processor.to_string()]).arg(program);
                command
            }
            None => Command::new(program),
        };
        let mut child =
            command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("no output")?;
        Ok(Self { child, output: BufReader::new(output).lines() })
    }

    fn line(&mut self) -> Result<String, Error> {
        Ok(self.output.next().ok_or("the process has ended")??)
    }

    fn request(&mut self) -> Result<(), Error> {
        let input = self.child.stdin.as_mut().ok_or("no input")?;
        writeln!(input)?;
        Ok(input.flush()?)
    }

    fn ask(&mut self) -> Result<String, Error> {
        self.request()?;
        self.line()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The value of a field `name=value` of a line.
fn field(line: &str, name: &str) -> u64 {
    let value = line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// Measures honest messages without a flood, with it, and without it again.
fn run(name: &str, seconds: &str, pinned: bool) -> Result<(), Error> {
    let floods: Vec<Flood> = match name {
        "all" => Flood::ALL.to_vec(),
        name => vec![Flood::named(name).ok_or("there is no flood of this name")?],
    };
    let processor = |number| pinned.then_some(number);
    println!(
        "{:20} {:>8} {:>8} {:>8} {:>8} | {:>8} {:>8} {:>8} {:>6} | {:>9} {:>6} {:>8}",
        "flood",
        "p50 µs",
        "p99 µs",
        "p50 µs",
        "p99 µs",
        "p50 µs",
        "p99 µs",
        "max µs",
        "failed",
        "frames",
        "cpu %",
        "rss KiB"
    );
    for flood in floods {
        let mut victim = Process::start(processor(0), &["victim"])?;
        let port = victim.line()?.replace("port ", "");
        let address = format!("127.0.0.1:{port}");
        let mut honest = Process::start(processor(0), &["measure", &address, seconds])?;
        honest.line()?;
        let before = honest.ask()?;
        let stats_before = victim.ask()?;
        let attack_seconds = (seconds.parse::<f64>()? + 0.5).to_string();
        let mut attacker =
            Process::start(processor(1), &["flood", flood.name(), &address, &attack_seconds])?;
        let during = honest.ask()?;
        let stats = victim.ask()?;
        let attack = attacker.line()?;
        let after = honest.ask()?;
        let cpu = (field(&stats, "cpu_ms") - field(&stats_before, "cpu_ms")) as f64
            / seconds.parse::<f64>()?
            / 10.0;
        println!(
            "{:20} {:>8} {:>8} {:>8} {:>8} | {:>8} {:>8} {:>8} {:>6} | {:>9} {:>6.1} {:>8}{}",
            flood.name(),
            field(&before, "p50_us"),
            field(&before, "p99_us"),
            field(&after, "p50_us"),
            field(&after, "p99_us"),
            field(&during, "p50_us"),
            field(&during, "p99_us"),
            field(&during, "max_us"),
            field(&during, "failed"),
            field(&attack, "frames"),
            cpu,
            field(&stats, "rss_kib"),
            if field(&attack, "closed") == 1 { " closed" } else { "" }
        );
    }
    Ok(())
}
