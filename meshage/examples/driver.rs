//! A node that executes commands, for `cargo xtask soak` and `cargo xtask test conformance`. It
//! calls the API and reports what the API returned. It checks nothing itself.
//!
//! ```text
//! driver NAME [OPTION=VALUE ...]     an option is namespace, degree, broadcast, bind, port, listen,
//!                                    seed, max_message, receive_buffer, timeout or key_file
//!
//!  in:   TOKEN COMMAND     many commands can run at once; sends start in the order of the lines
//!          set NAMES LABEL LENGTH TIMEOUT      broadcast LABEL LENGTH TIMEOUT      cancel TOKEN
//!          dial ADDRESS TIMEOUT    hangup PEER    wait NAMES TIMEOUT    peers    mesh
//!          recv TIMEOUT    listen (prints every message from now on)    event TIMEOUT    close
//!        quit              closes the node and exits, as the end of the input does
//!  out:  ready PORT        or `failed WORD`, once
//!        TOKEN RESULT      one for each command:
//!          sent NAME=OUTCOME ...    ok    error WORD    peers NAMES    mesh a:b,c b:a
//!          event KIND [NODE [left|failed]]    got MESSAGE
//!        got MESSAGE       after `listen`. A MESSAGE is SOURCE TO ROUTE LENGTH CRC LABEL
//! ```
//!
//! Names are separated by commas; `-` is none. A TIMEOUT is in milliseconds, `default` or `forever`. A
//! body repeats the label and a line feed, and is cut at the length. TO is `-` for a broadcast. The
//! programs in `xtask/drivers/` do the same in other languages.

use std::collections::HashMap;
use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use meshage::error::{ConfigError, DialError, HangupError, RecvError, SendError, WaitError};
use meshage::{
    Config, Departure, Event, Events, Message, Node, NodeName, Outgoing, Pending, Report,
    StartError, WaitCondition,
};
use tokio::sync::{Mutex, Notify, mpsc};

/// The longest label that is printed.
const LABEL_MAX: usize = 64;
/// A time that no test reaches.
const FOREVER: Duration = Duration::from_secs(1_000_000);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(config) = configure(&arguments) else {
        eprintln!("usage: driver NAME [OPTION=VALUE ...]");
        return ExitCode::from(2);
    };
    let node = match config {
        Ok(config) => Node::start(config).await.map_err(|error| start_word(&error)),
        Err(_) => Err("invalid"),
    };
    match node {
        Ok(node) => {
            print_line(&format!("ready {}", node.port()));
            Driver::new(node).run().await;
        }
        Err(word) => print_line(&format!("failed {word}")),
    }
    ExitCode::SUCCESS
}

/// The configuration that the arguments describe. `None` if one is unknown.
fn configure(arguments: &[String]) -> Option<Result<Config, ConfigError>> {
    let (name, options) = arguments.split_first()?;
    let mut config = Config::builder(name);
    for option in options {
        config = match option.split_once('=')? {
            ("namespace", value) => config.namespace(value),
            ("degree", value) => config.degree(value.parse().ok()?),
            ("broadcast", value) => config.broadcast(value),
            ("bind", value) => config.bind(value),
            ("port", value) => config.port(value.parse().ok()?),
            ("listen", value) => config.listen_port(value.parse().ok()?),
            ("seed", value) => config.seed(value),
            ("max_message", value) => config.max_message(value.parse().ok()?),
            ("receive_buffer", value) => config.receive_buffer(value.parse().ok()?),
            ("timeout", value) => config.timeout(Duration::from_millis(value.parse().ok()?)),
            ("key_file", value) => config.key_file(value),
            (_, _) => return None,
        };
    }
    Some(config.build())
}

fn start_word(error: &StartError) -> &'static str {
    match error {
        StartError::AddressInUse(_) => "addr-in-use",
        StartError::Bind(..) | StartError::Runtime(_) | _ => "io",
    }
}

/// The node, and what its commands share.
struct Driver {
    node: Node,
    events: Arc<Mutex<Events>>,
    /// Wakes the task of an outstanding send, which cancels the send.
    cancels: HashMap<String, Arc<Notify>>,
}

impl Driver {
    fn new(node: Node) -> Self {
        let events = Arc::new(Mutex::new(node.events()));
        Self { node, events, cancels: HashMap::new() }
    }

    /// Executes the lines of the input. Then closes the node.
    async fn run(mut self) {
        let mut lines = input_lines();
        while let Some(line) = lines.recv().await {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            match words.as_slice() {
                [quit] if quit == "quit" => break,
                [token, command @ ..] => self.start(token.clone(), command),
                [] => {}
            }
        }
        self.node.close();
        self.node.closed().await;
    }

    /// Starts a command. It prints its result when it ends.
    fn start(&mut self, token: String, command: &[String]) {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["set", names, label, length, timeout] => {
                let Some(names) = node_names(names) else {
                    return print_result(&token, "error invalid");
                };
                self.send(token, Outgoing::set(names, body(label, length)), timeout);
            }
            ["broadcast", label, length, timeout] => {
                self.send(token, Outgoing::broadcast(body(label, length)), timeout);
            }
            ["cancel", other] => {
                if let Some(cancel) = self.cancels.get(*other) {
                    cancel.notify_one();
                }
                print_result(&token, "ok");
            }
            ["listen"] => {
                print_result(&token, "ok");
                tokio::spawn(listen(self.node.clone()));
            }
            ["close"] => {
                self.node.close();
                print_result(&token, "ok");
            }
            _ => {
                let (node, events) = (self.node.clone(), self.events.clone());
                let command = command.to_vec();
                tokio::spawn(async move {
                    print_result(&token, &call(&node, &events, &command).await);
                });
            }
        }
    }

    fn send(&mut self, token: String, mut outgoing: Outgoing, timeout: &str) {
        if let Some(timeout) = limit(timeout) {
            outgoing = outgoing.timeout(timeout);
        }
        let pending = match self.node.start_send(outgoing) {
            Ok(pending) => pending,
            Err(error) => return print_result(&token, &send_error(&error)),
        };
        let cancel = Arc::new(Notify::new());
        self.cancels.retain(|_, cancel| Arc::strong_count(cancel) > 1);
        self.cancels.insert(token.clone(), cancel.clone());
        tokio::spawn(async move {
            let result = finish(pending, &cancel).await;
            print_result(&token, &result.map_or_else(|error| send_error(&error), |r| sent(&r)));
        });
    }
}

/// Waits until a send has ended, or cancels it.
async fn finish(mut pending: Pending, cancel: &Notify) -> Result<Report, SendError> {
    tokio::select! {
        result = pending.wait() => return result,
        () = cancel.notified() => {}
    }
    pending.cancel();
    pending.wait().await
}

/// Runs a command that waits. Returns its result.
async fn call(node: &Node, events: &Mutex<Events>, command: &[String]) -> String {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["dial", address, timeout] => {
            let limit = limit(timeout).unwrap_or(FOREVER);
            word_of(node.dial_timeout(address, limit).await, dial_word)
        }
        ["hangup", peer] => word_of(node.hangup(peer).await, |error| match error {
            HangupError::NotAPeer(_) => "not-found",
            HangupError::Closed | _ => "closed",
        }),
        ["wait", names, timeout] => {
            let Some(names) = node_names(names) else {
                return "error invalid".into();
            };
            let limit = limit(timeout).unwrap_or(FOREVER);
            word_of(node.wait_for(WaitCondition::Nodes(names), limit).await, |error| match error {
                WaitError::Timeout(_) => "timeout",
                WaitError::Closed | _ => "closed",
            })
        }
        ["recv", timeout] => {
            let received = tokio::time::timeout(limit(timeout).unwrap_or(FOREVER), node.recv());
            match received.await.unwrap_or(Err(RecvError::Timeout)) {
                Ok(message) => got(&message),
                Err(RecvError::Closed) => "error closed".into(),
                Err(_) => "error timeout".into(),
            }
        }
        ["event", timeout] => {
            let mut events = events.lock().await;
            let next = tokio::time::timeout(limit(timeout).unwrap_or(FOREVER), events.next());
            match next.await {
                Ok(Some(event)) => event_words(&event),
                Ok(None) => "error closed".into(),
                Err(_) => "error timeout".into(),
            }
        }
        ["peers"] => format!("peers {}", joined(node.peers().iter())),
        ["mesh"] => {
            let mesh = node.mesh();
            mesh.iter().fold("mesh".to_owned(), |line, (node, neighbors)| {
                let names: Vec<&str> = neighbors.iter().map(NodeName::as_str).collect();
                format!("{line} {node}:{}", names.join(","))
            })
        }
        _ => "error unknown-command".into(),
    }
}

async fn listen(node: Node) {
    while let Ok(message) = node.recv().await {
        print_line(&got(&message));
    }
}

fn word_of<T, E>(result: Result<T, E>, word: impl Fn(&E) -> &'static str) -> String {
    match result {
        Ok(_) => "ok".into(),
        Err(error) => format!("error {}", word(&error)),
    }
}

/// The word for a failed dial. Those that not every language tells apart are `failed`.
fn dial_word(error: &DialError) -> &'static str {
    match error {
        DialError::Address(..) => "invalid",
        DialError::Timeout(_) => "timeout",
        DialError::Handshake(_) => "protocol",
        DialError::Auth(_) => "auth",
        DialError::Closed => "closed",
        DialError::Resolve(..)
        | DialError::Connect(_)
        | DialError::Broken(_)
        | DialError::Refused(_)
        | _ => "failed",
    }
}

fn send_error(error: &SendError) -> String {
    let word = match error {
        SendError::TooLarge(..) => "too-large",
        SendError::NoRecipients => "invalid",
        SendError::SelfOnly => "self",
        SendError::Again => "again",
        SendError::Closed => "closed",
        SendError::NoThread(_) | _ => "io",
    };
    format!("error {word}")
}

fn sent(report: &Report) -> String {
    report.outcomes().iter().fold("sent".to_owned(), |line, (name, outcome)| {
        format!("{line} {name}={}", outcome.name())
    })
}

fn event_words(event: &Event) -> String {
    let words = match event {
        Event::LinkUp { peer, .. } => format!("link-up {peer}"),
        Event::LinkDown { peer, .. } => format!("link-down {peer}"),
        Event::NodeJoined { node, .. } => format!("node-joined {node}"),
        Event::NodeLeft { node, departure: Departure::Left, .. } => {
            format!("node-left {node} left")
        }
        Event::NodeLeft { node, .. } => format!("node-left {node} failed"),
        Event::Topology => "topology".into(),
        Event::NameConflict { .. } => "name-conflict".into(),
        Event::DiscoveryFailed { .. } => "discovery-failed".into(),
        Event::KeyMismatch { .. } => "key-mismatch".into(),
        Event::Revoked { .. } => "revoked".into(),
        Event::Overflow => "overflow".into(),
        _ => "unknown".into(),
    };
    format!("event {words}")
}

/// A received message: `got SOURCE TO ROUTE LENGTH CRC LABEL`.
fn got(message: &Message) -> String {
    let body = &message.body;
    let recipients = joined(message.recipients.iter());
    let end = body.iter().take(LABEL_MAX).position(|&byte| byte == b'\n');
    let label = &body[..end.unwrap_or(body.len().min(LABEL_MAX))];
    let label = if label.is_empty() { "-".into() } else { String::from_utf8_lossy(label) };
    format!(
        "got {} {recipients} {} {} {:08x} {label}",
        message.source,
        joined(message.route.iter()),
        body.len(),
        crc32(body)
    )
}

/// The body with a label and a length.
fn body(label: &str, length: &str) -> Vec<u8> {
    let length = length.parse().unwrap_or(0);
    let mut body = Vec::with_capacity(length);
    let line = format!("{label}\n");
    while body.len() < length {
        let left = length - body.len();
        body.extend_from_slice(&line.as_bytes()[..left.min(line.len())]);
    }
    body
}

/// The checksum of zlib and Ethernet.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = crc_table();
    let step = |crc: u32, byte: &u8| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8);
    !bytes.iter().fold(!0, step)
}

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut value = at as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
            bit += 1;
        }
        table[at] = value;
        at += 1;
    }
    table
}

/// The time in a word: `None` for the default.
fn limit(word: &str) -> Option<Duration> {
    match word {
        "default" => None,
        "forever" => Some(FOREVER),
        milliseconds => milliseconds.parse().ok().map(Duration::from_millis),
    }
}

/// The names in a word. `None` if one is not valid.
fn node_names(word: &str) -> Option<Vec<NodeName>> {
    if word == "-" {
        return Some(Vec::new());
    }
    word.split(',').map(|name| NodeName::new(name).ok()).collect()
}

/// Names with commas between, or `-` if there are none.
fn joined<'a>(names: impl Iterator<Item = &'a NodeName>) -> String {
    let names: Vec<&str> = names.map(NodeName::as_str).collect();
    if names.is_empty() { "-".into() } else { names.join(",") }
}

/// The lines of the input. A thread reads them, because a read of it cannot be cancelled.
fn input_lines() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn print_result(token: &str, result: &str) {
    print_line(&format!("{token} {result}"));
}

/// Prints a line at once. Without a reader of the output there is nothing left to do.
fn print_line(line: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}
