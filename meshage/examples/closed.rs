//! A closed mesh: two nodes have a key and exchange a message; a third one has another key and is
//! turned away. In real programs every node has the same key file: `Config::builder(…).key_file(…)`.

use meshage::{Config, DialError, Key, Node, NodeName, generate_key};

async fn start(name: &str, key: &Key) -> Result<Node, Box<dyn std::error::Error>> {
    let config = Config::builder(name).bind("127.0.0.1").port(0).key(key.clone()).build()?;
    Ok(Node::start(config).await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (key, other) = (Key::from_bytes(&generate_key()?), Key::from_bytes(&generate_key()?));
    let (alice, bob) = (start("alice", &key).await?, start("bob", &key).await?);
    let mallory = start("mallory", &other).await?;
    let address = format!("127.0.0.1:{}", alice.port());

    bob.dial(&address).await?;
    let report = bob.set([NodeName::new("alice")?], "hello").await?;
    assert!(report.all_delivered(), "{report:?}");
    let message = alice.recv().await?;
    println!("{}: {}", message.source, message.text()?);
    if let Err(DialError::Auth(error)) = mallory.dial(&address).await {
        println!("mallory: {error}");
    }
    Ok(())
}
