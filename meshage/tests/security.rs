//! Closed meshes over real sockets.

mod common;

use common::{know_all, link, quiet, soon, start};
use meshage::{Key, Node, Outgoing};

fn key(number: u8) -> Key {
    Key::from_bytes(&[number; 32])
}

/// Starts a quiet node with these keys.
async fn closed(name: &str, keys: &[u8]) -> Node {
    let builder = keys.iter().fold(quiet(name), |builder, number| builder.key(key(*number)));
    start(builder).await
}

#[tokio::test]
async fn two_holders_of_a_key_exchange_messages() {
    let (a, b) = (closed("a", &[1]).await, closed("b", &[1]).await);
    link(&a, &b).await;
    let nodes = [a, b];
    know_all(&nodes).await;
    let [a, b] = nodes;
    for number in 0..1000_usize {
        let body = vec![number as u8; number * 100];
        let report = soon(a.send(Outgoing::broadcast(body.clone()))).await.expect("sent");
        assert!(report.all_delivered(), "{report:?}");
        assert_eq!(soon(b.recv()).await.expect("received").body, body);
    }
}
