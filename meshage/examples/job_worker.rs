//! A worker for the job queue of meshage-py/examples/job_queue.py, which describes the messages:
//! `cargo run --example job_worker -- printshop`

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use meshage::{Config, Node, NodeName, Outgoing, WaitCondition};

/// How long a result is sent again.
const TELL_MAX: Duration = Duration::from_secs(30);
/// A worker without a job asks again after this time.
const ASK_INTERVAL: Duration = Duration::from_secs(2);
/// The work of this example.
const JOB_TIME: Duration = Duration::from_millis(200);
/// Results that the worker keeps, in case a job is sent to it again.
const RESULTS_KEPT: usize = 1000;

async fn tell(node: &Node, queue: &NodeName, text: String) -> Result<(), meshage::SendError> {
    let message = Outgoing::set([queue.clone()], text).retry(true).timeout(TELL_MAX);
    for (_, outcome) in node.send(message).await?.failed() {
        eprintln!("{}: {outcome}", node.name()); // the worker asks again later
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let queue = NodeName::new(&std::env::args().nth(1).ok_or("usage: job_worker QUEUE")?)?;
    let config = Config::builder(format!("rust-worker-{}", std::process::id()))
        .namespace(format!("jobs-{queue}"))
        .degree(3)
        .broadcast("127.255.255.255") // this machine only; omit it to search the network
        .listen_port(0)
        .build()?;
    let node = Node::start(config).await?;
    let mut results = BTreeMap::new();
    loop {
        node.wait_for(WaitCondition::Nodes(vec![queue.clone()]), Duration::MAX).await?;
        tell(&node, &queue, "ready".into()).await?;
        while let Ok(message) = tokio::time::timeout(ASK_INTERVAL, node.recv()).await {
            let message = message?;
            let Some(number) = message.text()?.strip_prefix("job ") else {
                node.close();
                node.closed().await;
                return Ok(());
            };
            let job: u64 = number.parse()?;
            if let Entry::Vacant(entry) = results.entry(job) {
                println!("{} works on job {job}", node.name());
                tokio::time::sleep(JOB_TIME).await;
                entry.insert(format!("{job} squared is {}", job * job));
            }
            tell(&node, &queue, format!("done {job} {}", results[&job])).await?;
            if results.len() > RESULTS_KEPT {
                results.pop_first();
            }
        }
    }
}
