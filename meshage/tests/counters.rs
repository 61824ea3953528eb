//! PROTOCOL.md explains every counter, and no counter that does not exist.
#![cfg(feature = "net")]

use std::collections::BTreeSet;
use std::path::Path;

use meshage::{Config, Node};

#[tokio::test]
async fn protocol_md_explains_every_counter() {
    let config = Config::builder("a").bind("127.0.0.1").port(0).build().expect("valid");
    let node = Node::start(config).await.expect("started");
    let stats = node.stats();
    let counted: BTreeSet<&str> = stats.iter().map(|(name, _)| name).collect();

    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../PROTOCOL.md");
    let text = std::fs::read_to_string(page).expect("PROTOCOL.md exists");
    let counters = text.split("## Counters").nth(1).and_then(|rest| rest.split("\n## ").next());
    let explained: BTreeSet<&str> = counters
        .expect("it has a section Counters")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();

    assert_eq!(counted, explained);
}
