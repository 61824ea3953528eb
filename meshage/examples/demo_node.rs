//! One node of the demo and of the tests with separate processes. It reads commands from standard
//! input and writes the results to standard output.
//!
//! ```text
//! demo_node NAME NAMESPACE UDP_PORT DEGREE [BROADCAST] [OPTION=VALUE ...]
//!
//!  in:   set NAME TEXT    broadcast TEXT    peers    mesh    quit
//!  out:  ready PORT       once, when it listens
//!        got SOURCE TEXT  for each message
//!        sent DELIVERED FAILED     how many recipients have the message, and how many do not
//!        peers a b        the node's peers
//!        mesh a:b,c b:a   each node in the mesh, with its neighbours
//! ```
//!
//! The options are `broadcast`, `bind`, `listen` (a TCP port), `interface` and `seed`; each may be given several times.
//! Without any, the node solicits on the loopback. The programs `examples-c/demo_node.c` and
//! `meshage-py/examples/demo_node.py` do the same, without the options. The environment variable
//! `MESHAGE_KEY_FILE` closes the mesh with the keys of a file.

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
        eprintln!("usage: demo_node NAME NAMESPACE UDP_PORT DEGREE [BROADCAST] [OPTION=VALUE ...]");
        return ExitCode::from(2);
    };
    match node.and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo_node: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Starts the node that the arguments describe. Returns `None` if they are not valid.
fn start(arguments: &[String]) -> Option<Result<Node, Box<dyn Error>>> {
    let [name, namespace, port, degree, rest @ ..] = arguments else {
        return None;
    };
    let mut config = Config::builder(name)
        .namespace(namespace)
        .port(port.parse().ok()?)
        .listen_port(0)
        .degree(degree.parse().ok()?);
    if rest.is_empty() {
        config = config.broadcast("127.255.255.255");
    }
    for argument in rest {
        config = match argument.split_once('=') {
            None => config.broadcast(argument),
            Some(("broadcast", ip)) => config.broadcast(ip),
            Some(("bind", ip)) => config.bind(ip),
            Some(("listen", port)) => config.listen_port(port.parse().ok()?),
            Some(("interface", name)) => config.interfaces([name]),
            Some(("seed", address)) => config.seed(address),
            Some((_, _)) => return None,
        };
    }
    if let Some(path) = std::env::var_os("MESHAGE_KEY_FILE") {
        config = config.key_file(path);
    }
    let config = config.build();
    Some(config.map_err(Into::into).and_then(|config| Node::start(config).map_err(Into::into)))
}

/// Runs commands until `quit` or the end of the input.
fn run(node: Node) -> Result<(), Box<dyn Error>> {
    let node = Arc::new(node);
    print_line(&format!("ready {}", node.node().port()))?;
    let receiver = std::thread::spawn({
        let node = node.clone();
        move || {
            while let Ok(message) = node.recv(None) {
                let text = String::from_utf8_lossy(&message.body).into_owned();
                if print_line(&format!("got {} {text}", message.source)).is_err() {
                    return;
                }
            }
        }
    });
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (command, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let reply = match command {
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
            "mesh" => mesh_line(&node.node().mesh()),
            "quit" => break,
            other => return Err(format!("unknown command {other:?}").into()),
        };
        print_line(&reply)?;
    }
    node.node().close();
    let _ = receiver.join();
    Ok(())
}

/// Sends a message. Returns a line with the numbers of recipients that have it and that do not.
fn send(node: &Node, message: Outgoing) -> String {
    match node.send(message) {
        Ok(report) => format!("sent {} {}", report.delivered().count(), report.failed().count()),
        Err(error) => {
            eprintln!("demo_node: {error}");
            "sent 0 1".to_owned()
        }
    }
}

/// The topology as one line.
fn mesh_line(mesh: &Mesh) -> String {
    let mut line = "mesh".to_owned();
    for (node, neighbors) in mesh.iter() {
        let names: Vec<&str> = neighbors.iter().map(NodeName::as_str).collect();
        line.push_str(&format!(" {node}:{}", names.join(",")));
    }
    line
}

/// Prints a line at once, so that lines of different threads do not mix.
fn print_line(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
