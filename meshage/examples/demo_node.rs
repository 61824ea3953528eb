//! One node of the demo, and of the tests with whole processes: told on standard input what to
//! do, it says on standard output what happened.
//!
//! ```text
//! demo_node NAME NAMESPACE UDP_PORT DEGREE [BROADCAST]
//!
//!  in:   set NAME TEXT    broadcast TEXT    peers    mesh    quit
//!  out:  ready PORT       once, when it listens
//!        got SOURCE TEXT  for each message
//!        sent DELIVERED FAILED     how many recipients have it, and how many have not
//!        peers a b        the nodes it has links to
//!        mesh a:b,c b:a   each node it knows, with its neighbours
//! ```
//!
//! The programs `examples-c/demo_node.c` and `meshage-py/examples/demo_node.py` do the same.

use std::error::Error;
use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use meshage::blocking::Node;
use meshage::config::Config;
use meshage::message::Outgoing;
use meshage::name::NodeName;
use meshage::topology::Mesh;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(node) = start(&arguments) else {
        eprintln!("usage: demo_node NAME NAMESPACE UDP_PORT DEGREE [BROADCAST]");
        return ExitCode::from(2);
    };
    let done = node.and_then(run);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo_node: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The node that the arguments describe; `None` where they are not the right ones.
fn start(arguments: &[String]) -> Option<Result<Node, Box<dyn Error>>> {
    let [name, namespace, port, degree, rest @ ..] = arguments else {
        return None;
    };
    let config = Config::builder(name)
        .namespace(namespace)
        .port(port.parse().ok()?)
        .listen_port(0)
        .degree(degree.parse().ok()?)
        .broadcast(rest.first().map_or("127.255.255.255", String::as_str))
        .build();
    Some(config.map_err(Into::into).and_then(|config| Node::start(config).map_err(Into::into)))
}

/// Does as it is told until `quit`, or until nobody is left to tell it.
fn run(node: Node) -> Result<(), Box<dyn Error>> {
    let node = Arc::new(node);
    say(&format!("ready {}", node.node().port()))?;
    let receiver = std::thread::spawn({
        let node = node.clone();
        move || {
            while let Ok(message) = node.recv(None) {
                let text = String::from_utf8_lossy(&message.body).into_owned();
                if say(&format!("got {} {text}", message.source)).is_err() {
                    return;
                }
            }
        }
    });
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (command, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let answer = match command {
            "set" => {
                let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
                send(&node, Outgoing::set([NodeName::new(name)?], text.to_owned()))
            }
            "broadcast" => send(&node, Outgoing::broadcast(rest.to_owned())),
            "peers" => node.node().peers().iter().fold("peers".to_owned(), |mut line, peer| {
                line.push(' ');
                line.push_str(peer.as_str());
                line
            }),
            "mesh" => shown(&node.node().mesh()),
            "quit" => break,
            other => return Err(format!("no command {other:?}").into()),
        };
        say(&answer)?;
    }
    node.node().close();
    let _ = receiver.join();
    Ok(())
}

/// Sends, and says how many recipients have it and how many have not.
fn send(node: &Node, message: Outgoing) -> String {
    match node.send(message) {
        Ok(report) => format!("sent {} {}", report.delivered().count(), report.failed().count()),
        Err(error) => {
            eprintln!("demo_node: {error}");
            "sent 0 1".to_owned()
        }
    }
}

/// The topology in one line.
fn shown(mesh: &Mesh) -> String {
    let mut line = "mesh".to_owned();
    for (node, neighbors) in mesh.iter() {
        let names: Vec<&str> = neighbors.iter().map(NodeName::as_str).collect();
        line.push_str(&format!(" {node}:{}", names.join(",")));
    }
    line
}

/// Prints a line whole, whichever thread says it.
fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
