//! Sends a greeting to every node that joins, and prints the messages it receives. Start two or
//! more on one machine: `cargo run --example first -- alice`

use meshage::{Config, Event, Node};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or(format!("rust-{}", std::process::id()));
    let config = Config::builder(name)
        .namespace("first")
        .degree(3) // the number of links to look for
        .broadcast("127.255.255.255") // this machine only; omit it to search the network
        .listen_port(0) // any free port, so that several nodes can share the machine
        .build()?;
    let node = Node::start(config).await?;
    let mut events = node.events();
    println!("{} looks for others; end it with Ctrl-C", node.name());
    loop {
        tokio::select! {
            message = node.recv() => {
                let message = message?;
                println!("{} says {:?}", message.source, message.text()?);
            }
            Some(event) = events.next() => {
                if let Event::NodeJoined { node: other, .. } = event {
                    let report = node.set([other], format!("hello, this is {}", node.name())).await?;
                    for (recipient, outcome) in report.outcomes() {
                        println!("hello to {recipient}: {outcome}");
                    }
                }
            }
        }
    }
}
