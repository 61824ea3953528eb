//! Large bodies over links that deliver them in odd pieces, or break in the middle of one.
#![cfg(feature = "net")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use common::{count, know_all, link, name, node, soon, until};
use meshage::{Node, Outcome, Outgoing};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The timeout of the longest of these bodies on the slowest of these paths.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// A body whose neighbouring pages differ from each other. Bodies of different seeds differ too.
fn body(seed: usize, len: usize) -> Bytes {
    (0..len).map(|at| (at * 7 + at / 251 + seed) as u8).collect::<Vec<u8>>().into()
}

/// Starts a proxy to a node and returns its address. The proxy forwards bytes in pieces of these
/// sizes, in turn, and breaks after a number of bytes.
async fn proxy(to: &Node, pieces: &'static [usize], breaks_after: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let target = common::address(to);
    tokio::spawn(async move {
        let (near, _) = listener.accept().await.expect("dialled");
        let far = TcpStream::connect(target).await.expect("listening");
        far.set_nodelay(true).expect("set");
        let (mut from_near, mut to_near) = near.into_split();
        let (mut from_far, mut to_far) = far.into_split();
        let back = tokio::spawn(async move {
            let _ = tokio::io::copy(&mut from_far, &mut to_near).await;
        });
        let (mut left, mut buffer) = (breaks_after, vec![0; 1 << 20]);
        for piece in pieces.iter().cycle() {
            let wanted = (*piece).min(left);
            let Ok(length @ 1..) = from_near.read(&mut buffer[..wanted]).await else {
                break;
            };
            if to_far.write_all(&buffer[..length]).await.is_err() {
                break;
            }
            left -= length;
        }
        back.abort();
    });
    address
}

#[tokio::test]
async fn bodies_arrive_complete_in_pieces_of_any_size() {
    const PIECES: &[&[usize]] = &[&[1, 57_000, 700, 3, 9000], &[100_000, 5], &[1 << 20]];
    for pieces in PIECES {
        let (a, b) = (node("a").await, node("b").await);
        let proxy = proxy(&b, pieces, usize::MAX).await;
        a.dial(&proxy.to_string()).await.expect("linked");
        know_all(&[a.clone(), b.clone()]).await;
        let lengths = [60_000, 300_000, 1 << 20, 5 << 20, 1000];
        let sender = a.clone();
        let sends = tokio::spawn(async move {
            for (seed, len) in lengths.into_iter().enumerate() {
                let outgoing = Outgoing::set([name("b")], body(seed, len)).timeout(BODY_TIMEOUT);
                assert!(sender.send(outgoing).await.expect("sent").all_delivered());
            }
        });
        for (seed, len) in lengths.into_iter().enumerate() {
            let message = soon(b.recv()).await.expect("open");
            assert!(message.body == body(seed, len), "{len} bytes in pieces of {pieces:?}");
        }
        sends.await.expect("sent");
        assert_eq!(count(&b, "reassembly_bytes"), 0);
    }
}

#[tokio::test]
async fn a_link_that_breaks_in_the_middle_of_a_chunk_keeps_no_memory() {
    let (a, b) = (node("a").await, node("b").await);
    let proxy = proxy(&b, &[30_000], 3_333_333).await;
    a.dial(&proxy.to_string()).await.expect("linked");
    know_all(&[a.clone(), b.clone()]).await;
    let report = soon(a.set([name("b")], body(1, 8 << 20))).await.expect("sent");
    assert_eq!(report.outcome("b"), Some(Outcome::Lost));
    until("the link is down", || b.peers().is_empty()).await;

    link(&a, &b).await;
    know_all(&[a.clone(), b.clone()]).await;
    let report = soon(a.set([name("b")], body(2, 8 << 20))).await.expect("sent");
    assert!(report.all_delivered());
    assert!(soon(b.recv()).await.expect("open").body == body(2, 8 << 20));
    assert!(b.try_recv().is_err(), "the first body never arrived completely");
    assert_eq!(count(&b, "reassembly_bytes"), 0);
}

#[tokio::test]
async fn a_body_that_a_broken_link_started_is_completed_over_the_next_link() {
    let (a, b) = (node("a").await, node("b").await);
    let proxy = proxy(&b, &[30_000], 3_333_333).await;
    a.dial(&proxy.to_string()).await.expect("linked");
    know_all(&[a.clone(), b.clone()]).await;
    let outgoing = Outgoing::set([name("b")], body(1, 8 << 20)).retry(true).timeout(BODY_TIMEOUT);
    let sender = a.clone();
    let send = tokio::spawn(async move { sender.send(outgoing).await });
    until("the link is down", || a.peers().is_empty()).await;
    until("the link is down", || b.peers().is_empty()).await;
    link(&a, &b).await;
    assert!(soon(send).await.expect("no panic").expect("sent").all_delivered());
    assert!(soon(b.recv()).await.expect("open").body == body(1, 8 << 20));
    assert!(b.try_recv().is_err(), "the body was delivered once");
}

#[tokio::test]
async fn memory_for_large_bodies_is_kept_while_they_arrive_and_no_longer() {
    let nodes = common::line(&["a", "b"]).await;
    let (a, b) = (&nodes[0], &nodes[1]);
    for seed in 0..3 {
        assert!(a.set([name("b")], body(seed, 1 << 20)).await.expect("sent").all_delivered());
        drop(soon(b.recv()).await.expect("open"));
    }
    assert!(count(b, "reassembly_bytes_kept") <= 1 << 20, "one buffer serves all bodies");
    until("the memory is returned to the system", || count(b, "reassembly_bytes_kept") == 0).await;
}
