//! Requests and replies with serde values. The two nodes could be in two programs.

use meshage::{Config, Message, Node, NodeName, Outgoing};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Request {
    number: u64,
    question: String,
}

#[derive(Serialize, Deserialize)]
struct Reply {
    number: u64,
    answer: usize,
}

/// Replies to every request with the length of its question.
async fn serve(node: Node) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    while let Ok(message) = node.recv().await {
        let request: Request = message.value()?;
        let reply = Reply { number: request.number, answer: request.question.len() };
        let report = node.send(Outgoing::set([message.source], "").value(&reply)?).await?;
        for (recipient, outcome) in report.failed() {
            eprintln!("no reply to {recipient}: {outcome}");
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Node::start(Config::builder("server").bind("127.0.0.1").port(0).build()?).await?;
    let client = Node::start(Config::builder("client").bind("127.0.0.1").port(0).build()?).await?;
    client.dial(&format!("127.0.0.1:{}", server.port())).await?;
    tokio::spawn(serve(server));

    for (number, question) in (1..).zip(["How long is this?", "And this one?"]) {
        let request = Request { number, question: question.into() };
        let outgoing = Outgoing::set([NodeName::new("server")?], "").value(&request)?;
        let report = client.send(outgoing).await?;
        assert!(report.all_delivered(), "{report:?}");
        let message: Message = client.recv().await?;
        let reply: Reply = message.value()?;
        println!("{question} {} bytes (reply {})", reply.answer, reply.number);
    }
    Ok(())
}
