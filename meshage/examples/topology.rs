//! Starts five nodes in a ring and a sixth with one link to it, and prints the topology in DOT:
//! `cargo run --example topology | dot -Tsvg > mesh.svg`

use std::time::Duration;

use meshage::{Config, Node, WaitCondition};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut nodes = Vec::new();
    for name in ["ash", "birch", "cedar", "elm", "fir", "oak"] {
        let config = Config::builder(name).bind("127.0.0.1").port(0).build()?;
        nodes.push(Node::start(config).await?);
    }
    for (from, to) in [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (5, 0)] {
        nodes[from].dial(&format!("127.0.0.1:{}", nodes[to].port())).await?;
    }
    let mesh = nodes[0].wait_for(WaitCondition::Count(6), Duration::from_secs(10)).await?;
    let path = mesh.shortest_path("oak", "cedar").unwrap_or_default();
    eprintln!("from oak to cedar: {path:?}");
    print!("{}", mesh.to_dot());
    Ok(())
}
