//! One node of the tests over impaired networks (`cargo xtask networks`). It sends numbered messages,
//! and writes everything that it does and sees to a file of its own, its history. All histories
//! together are judged afterwards.
//!
//! ```text
//! history_node NAME NAMESPACE PORT FOLDER [OPTION=VALUE ...]
//!
//!  options: degree, broadcast, bind, listen, seed: of the node
//!           sizes=16,1000   the lengths of bodies, used in turn
//!           interval=100    milliseconds between two sends
//!           timeout=5000    milliseconds until a send must have ended
//!  in:   go    pause    peers    mesh    fill    free    quit
//!  out:  ready PORT    peers a b    mesh a:b,c b:a    ok
//! ```
//!
//! `fill` opens files until the process may open no more, and `free` closes them. Each line of the
//! history is written by one system call before the program goes on, so a killed process has written
//! all that it knew. The fields are separated by tabs; the second one is the time in microseconds.
//!
//! ```text
//!  start  T NAME INSTANCE
//!  send   T OPERATION set|broadcast BYTES TIMEOUT_MS once|retry RECIPIENTS
//!  end    T OPERATION b=delivered,c=lost      (or ! and the error, if nothing was sent)
//!  got    T SOURCE INSTANCE OPERATION BYTES set|broadcast ok|altered
//!  link   T up|down PEER REASON
//!  mesh   T NODES
//!  refused T COUNT      the messages that this node refused, at its end
//!  stop   T             the inbox was read to its end
//! ```

#![expect(clippy::disallowed_methods, reason = "it records real time")]

use std::error::Error;
use std::fs::File;
use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use meshage::blocking::Node;
use meshage::config::{Config, ConfigBuilder};
use meshage::error::SendError;
use meshage::event::Event;
use meshage::message::{Message, Outgoing, Report};
use meshage::name::NodeName;

type Failure = Box<dyn Error + Send + Sync>;

/// The bytes in front of a body: the instance of the source, and the number of the operation.
const HEADER_BYTES: usize = 16;
/// The counters of messages that a node refused, at their end and on their way.
const REFUSALS: [&str; 4] = [
    "messages_refused_busy",
    "messages_refused_early",
    "messages_refused_stale",
    "frames_refused_in_transit",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("history_node: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Failure> {
    let [name, namespace, port, folder, options @ ..] = arguments else {
        return Err("usage: history_node NAME NAMESPACE PORT FOLDER [OPTION=VALUE ...]".into());
    };
    let mut config = Config::builder(name).namespace(namespace).port(port.parse()?);
    let mut work = Work::default();
    for option in options {
        let (key, value) = option.split_once('=').ok_or("an option is KEY=VALUE")?;
        config = match work.set(key, value)? {
            true => config,
            false => configured(config, key, value)?,
        };
    }
    let node = Node::start(config.build()?)?;
    let history = History::create(folder, &node)?;
    let shared = Arc::new((node, history));
    print_line(&format!("ready {}", shared.0.node().port()))?;
    let threads = [
        std::thread::spawn({
            let shared = shared.clone();
            move || receive(&shared.0, &shared.1)
        }),
        std::thread::spawn({
            let shared = shared.clone();
            move || watch(&shared.0, &shared.1)
        }),
    ];
    let (commands, orders) = mpsc::channel();
    let worker = std::thread::spawn({
        let shared = shared.clone();
        move || work.run(&shared.0, &shared.1, &orders)
    });
    obey(&shared.0, &commands)?;
    drop(commands);
    let _ = worker.join();
    shared.0.node().close();
    for thread in threads {
        let _ = thread.join();
    }
    let stats = shared.0.node().stats();
    let refused: u64 = REFUSALS.iter().filter_map(|name| stats.value(name)).sum();
    shared.1.write("refused", &refused.to_string());
    shared.1.write("stop", "");
    Ok(())
}

/// Applies an option of the node.
fn configured(config: ConfigBuilder, key: &str, value: &str) -> Result<ConfigBuilder, Failure> {
    Ok(match key {
        "degree" => config.degree(value.parse()?),
        "broadcast" => config.broadcast(value),
        "bind" => config.bind(value),
        "listen" => config.listen_port(value.parse()?),
        "seed" => config.seed(value),
        other => return Err(format!("unknown option {other:?}").into()),
    })
}

/// Runs the commands of standard input until `quit` or its end.
fn obey(node: &Node, orders: &mpsc::Sender<bool>) -> Result<(), Failure> {
    let mut files = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let reply = match line?.as_str() {
            "go" => orders.send(true).map(|()| "ok".to_owned())?,
            "pause" => orders.send(false).map(|()| "ok".to_owned())?,
            "fill" => {
                while let Ok(file) = File::open("/dev/null") {
                    files.push(file);
                }
                "ok".to_owned()
            }
            "free" => {
                files.clear();
                "ok".to_owned()
            }
            "peers" => format!("peers {}", joined(&node.node().peers(), " ")),
            "mesh" => mesh_line(node),
            "quit" => break,
            other => return Err(format!("unknown command {other:?}").into()),
        };
        print_line(&reply)?;
    }
    Ok(())
}

/// Records every message until the node is closed and its inbox is empty.
fn receive(node: &Node, history: &History) {
    while let Ok(message) = node.recv(None) {
        history.write("got", &delivery(&message));
    }
}

/// The fields of a delivery.
fn delivery(message: &Message) -> String {
    let word = |at: usize| message.body.get(at..).and_then(|rest| rest.first_chunk().copied());
    let (instance, operation) = (word(0).map(u64::from_le_bytes), word(8).map(u64::from_le_bytes));
    let operation = operation.unwrap_or(u64::MAX);
    let written = instance.unwrap_or_default();
    let same = written == message.instance.0
        && body(written, operation, message.body.len()) == message.body;
    let kind = if message.is_broadcast() { "broadcast" } else { "set" };
    let verdict = if same { "ok" } else { "altered" };
    format!(
        "{}\t{}\t{operation}\t{}\t{kind}\t{verdict}",
        message.source,
        message.instance,
        message.body.len()
    )
}

/// Records the events of links, and the nodes of the mesh after each change.
fn watch(node: &Node, history: &History) {
    let mut events = node.events();
    let nodes =
        |mesh: &meshage::topology::Mesh| joined(&mesh.nodes().cloned().collect::<Vec<_>>(), ",");
    let mut last = nodes(&events.mesh());
    history.write("mesh", &last);
    while let Ok(event) = events.next(None) {
        if let Event::LinkUp { peer, .. } = &event {
            history.write("link", &format!("up\t{peer}\t"));
        } else if let Event::LinkDown { peer, reason, .. } = &event {
            history.write("link", &format!("down\t{peer}\t{reason}"));
        }
        let now = nodes(&node.node().mesh());
        if now != last {
            history.write("mesh", &now);
            last = now;
        }
    }
}

/// The messages that the program sends.
#[derive(Debug, Clone)]
struct Work {
    sizes: Vec<usize>,
    interval: Duration,
    timeout: Duration,
}

impl Default for Work {
    fn default() -> Self {
        let (interval, timeout) = (Duration::from_millis(100), Duration::from_secs(5));
        Self { sizes: vec![HEADER_BYTES, 1000], interval, timeout }
    }
}

impl Work {
    /// Applies an option of the work. Returns whether it is one.
    fn set(&mut self, key: &str, value: &str) -> Result<bool, Failure> {
        match key {
            "sizes" => {
                self.sizes = value.split(',').map(str::parse).collect::<Result<_, _>>()?;
                if self.sizes.is_empty() || self.sizes.iter().any(|size| *size < HEADER_BYTES) {
                    return Err(format!("a body has at least {HEADER_BYTES} bytes").into());
                }
            }
            "interval" => self.interval = Duration::from_millis(value.parse()?),
            "timeout" => self.timeout = Duration::from_millis(value.parse()?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Sends from `true` to `false`, until the orders end.
    fn run(&self, node: &Node, history: &Arc<History>, orders: &mpsc::Receiver<bool>) {
        let mut known: Vec<NodeName> = Vec::new();
        let mut operation = 0_u64;
        let mut due = None;
        loop {
            let wait = due.map_or(Duration::MAX, |due: Instant| due - Instant::now().min(due));
            match orders.recv_timeout(wait) {
                Ok(go) => due = go.then(Instant::now),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    // A node that left stays known: it is sent to, and the outcome recorded.
                    for name in node.node().broadcast_recipients() {
                        if !known.contains(&name) {
                            known.push(name);
                        }
                    }
                    if !known.is_empty() {
                        self.send(node, history, &known, operation);
                        operation += 1;
                    }
                    due = Some(Instant::now() + self.interval);
                }
            }
        }
    }

    /// Sends one message: every tenth to all, every fifth to two nodes, the others to one.
    fn send(&self, node: &Node, history: &Arc<History>, known: &[NodeName], operation: u64) {
        let number = operation as usize;
        let size = self.sizes[number % self.sizes.len()];
        // The number of sizes and that of nodes may have a common divisor: take a turn at another
        // node with each round of sizes.
        let first = (number / self.sizes.len() + number) % known.len();
        let mut recipients = vec![known[first].clone()];
        if operation % 5 == 1 && known.len() > 1 {
            recipients.push(known[(first + 1) % known.len()].clone());
        }
        let body = body(node.node().instance().0, operation, size);
        let (kind, outgoing) = if operation % 10 == 7 {
            recipients.clear();
            ("broadcast", Outgoing::broadcast(body))
        } else {
            ("set", Outgoing::set(recipients.iter().cloned(), body))
        };
        let retry = operation.is_multiple_of(4);
        let outgoing = outgoing.timeout(self.timeout).retry(retry);
        let fields = [
            operation.to_string(),
            kind.into(),
            size.to_string(),
            self.timeout.as_millis().to_string(),
            if retry { "retry" } else { "once" }.into(),
            joined(&recipients, ","),
        ];
        history.write("send", &fields.join("\t"));
        let end = {
            let history = history.clone();
            move |result| history.write("end", &format!("{operation}\t{}", outcomes(&result)))
        };
        if let Err(error) = node.node().send_with(outgoing, end) {
            history.write("end", &format!("{operation}\t{}", outcomes(&Err(error))));
        }
    }
}

/// The body of an operation. Each has its own pattern.
fn body(instance: u64, operation: u64, bytes: usize) -> Vec<u8> {
    let mut body = [instance.to_le_bytes(), operation.to_le_bytes()].concat();
    let seed = (instance ^ operation.wrapping_mul(131)) as usize;
    body.extend((HEADER_BYTES..bytes).map(|at| (seed ^ at ^ (at >> 8).wrapping_mul(29)) as u8));
    body
}

/// The outcome for each recipient, or the error.
fn outcomes(result: &Result<Report, SendError>) -> String {
    match result {
        Ok(report) => {
            let each = report.outcomes().iter();
            let each = each.map(|(name, outcome)| format!("{name}={}", outcome.name()));
            each.collect::<Vec<_>>().join(",")
        }
        Err(error) => format!("!{error}"),
    }
}

/// The file of a history.
struct History(File);

impl History {
    /// Creates the history of this run of a node.
    fn create(folder: &str, node: &Node) -> Result<Arc<Self>, Failure> {
        let node = node.node();
        let path = format!("{folder}/{}-{}.tsv", node.name(), node.instance());
        let history = Self(File::options().create_new(true).append(true).open(path)?);
        history.write("start", &format!("{}\t{}", node.name(), node.instance()));
        Ok(Arc::new(history))
    }

    /// Writes one line by one system call, so that the lines of threads do not mix and a kill loses
    /// none that was written.
    fn write(&self, what: &str, fields: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let line = format!("{what}\t{now}\t{}\n", fields.replace('\n', " "));
        if let Err(error) = (&self.0).write_all(line.as_bytes()) {
            eprintln!("history_node: cannot write the history: {error}");
            std::process::exit(1);
        }
    }
}

fn joined(names: &[NodeName], separator: &str) -> String {
    names.iter().map(NodeName::as_str).collect::<Vec<_>>().join(separator)
}

/// The topology as one line.
fn mesh_line(node: &Node) -> String {
    let mut line = "mesh".to_owned();
    for (node, neighbors) in node.node().mesh().iter() {
        line.push_str(&format!(" {node}:{}", joined(neighbors, ",")));
    }
    line
}

/// Prints a line at once.
fn print_line(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
