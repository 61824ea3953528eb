//! The two halves of sealed streams, over sockets that take and give little at a time.

use std::io::{self, IoSlice};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::opening::{KeyNotice, Opening};
use super::sealing::Sealing;
use crate::name::{Instance, Namespace, NodeName};
use crate::secure::handshake::{Context, StaticKey};
use crate::secure::identity::Identity;
use crate::secure::{Cipher, Handshake, Key, KeyRing, Refusal, Secured, UnixMillis};
use crate::wire::hello::{Hello, Purpose};

fn key(number: u8) -> Key {
    Key::from_bytes(&[number; 32])
}

fn ring() -> KeyRing {
    KeyRing::new([key(1), key(2)]).expect("two keys")
}

/// The sending half of one end and the receiving half of the other.
fn pair() -> (Sealing, Opening) {
    let random = &mut |bytes: &mut [u8]| bytes.fill(7);
    let context = Arc::new(Context {
        ring: ring(),
        policy: Arc::default(),
        cipher: Cipher::AesGcm,
        identity: Arc::new(Identity::from_seed(&[1; 32])),
        ticket: None,
        static_key: Arc::new(StaticKey::new(random)),
    });
    let hello = |name: &str| Hello {
        name: NodeName::new(name).expect("valid"),
        namespace: Namespace::default(),
        instance: Instance(1),
        version: String::new(),
        capabilities: 0,
        purpose: Purpose::Dialled,
    };
    let mut dialler = Handshake::dial(context.clone(), hello("a"), random);
    let mut listener = Handshake::listen(context.clone(), hello("b"));
    let exchange = |from: &mut Handshake, to: &mut Handshake| -> Option<Secured> {
        let output = from.take_output();
        let (mut rest, mut secured) = (&output[..], None);
        while !rest.is_empty() {
            let (bytes, later) = rest.split_at(to.wanted());
            rest = later;
            let random = &mut |bytes: &mut [u8]| bytes.fill(8);
            secured = to.receive(bytes, UnixMillis(0), random).expect("valid");
        }
        secured
    };
    loop {
        let listening = exchange(&mut dialler, &mut listener);
        let dialling = exchange(&mut listener, &mut dialler);
        if let (Some(listening), Some(dialling)) = (listening, dialling) {
            let contexts = Arc::new(ArcSwap::new(context));
            let opening = Opening::new(listening.opener, contexts);
            return (Sealing::new(dialling.sealer), opening);
        }
    }
}

/// Appends bytes to what was received, as the socket gives them.
fn receive(opening: &mut Opening, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let room = opening.room();
        let (now, later) = bytes.split_at(bytes.len().min(room.len()));
        room[..now.len()].copy_from_slice(now);
        opening.received(now.len());
        bytes = later;
    }
}

fn take_all(opening: &mut Opening, room: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while opening.take(room, |contents| all.extend_from_slice(contents)).expect("authentic") > 0 {}
    all
}

/// A socket that takes so many bytes at a time, and every second time none.
struct Socket {
    step: usize,
    full: bool,
    bytes: Vec<u8>,
}

impl Socket {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.full = !self.full;
        if self.full {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let sent = bytes.len().min(self.step);
        self.bytes.extend_from_slice(&bytes[..sent]);
        Ok(sent)
    }
}

fn body(bytes: u32) -> Vec<u8> {
    (0..bytes).map(|at| (at ^ at >> 8) as u8).collect()
}

#[test]
fn bytes_arrive_unchanged_however_little_a_socket_takes_and_gives() {
    for (step, room) in [(1, 1), (19, 7), (1000, 70_000), (65_537, 1 << 20)] {
        let (mut sealing, mut opening) = pair();
        let mut socket = Socket { step, full: false, bytes: Vec::new() };
        let body = body(if step == 1 { 3000 } else { 200_000 });
        let (mut rest, mut sent) = (&body[..], 0);
        while !rest.is_empty() || sealing.is_pending() {
            let part = &rest[..rest.len().min(90_000)];
            match sealing.write(&[IoSlice::new(part)], |bytes| socket.send(bytes)) {
                Ok(written) => {
                    rest = &rest[written.accepted..];
                    sent += written.sent;
                    assert_eq!(written.pending, sealing.is_pending());
                }
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        assert_eq!(sent, socket.bytes.len());
        let mut arrived = Vec::new();
        for part in socket.bytes.chunks(step) {
            receive(&mut opening, part);
            assert!(opening.has_arrived());
            assert_eq!(opening.take_arrived(), part.len());
            arrived.extend(take_all(&mut opening, room));
        }
        assert!(arrived == body, "step {step}");
        assert!(!opening.is_ready());
    }
}

#[test]
fn what_waits_for_a_full_socket_is_sent_before_anything_later_is_sealed() {
    let (mut sealing, mut opening) = pair();
    let mut sent = Vec::new();
    let full = |_: &[u8]| Err(io::ErrorKind::WouldBlock.into());
    let written = sealing.write(&[IoSlice::new(b"first")], full).expect("accepted");
    assert_eq!((written.accepted, written.sent, written.pending), (5, 0, true));
    let refused = sealing.write(&[IoSlice::new(b"second")], full).map_err(|error| error.kind());
    assert_eq!(refused, Err(io::ErrorKind::WouldBlock));
    sealing.announce_ring(&ring());
    let mut send = |bytes: &[u8]| {
        sent.extend_from_slice(bytes);
        Ok(bytes.len())
    };
    let written = sealing.write(&[IoSlice::new(b"second")], &mut send).expect("sent");
    assert_eq!((written.accepted, written.pending), (6, false));
    receive(&mut opening, &sent);
    assert_eq!(take_all(&mut opening, 100), b"firstsecond");
}

#[test]
fn records_about_keys_are_reported_and_frames_follow_them() {
    let (mut sealing, mut opening) = pair();
    let mut sent = Vec::new();
    let mut send = |bytes: &[u8]| {
        sent.extend_from_slice(bytes);
        Ok(bytes.len())
    };
    sealing.announce_ring(&ring());
    sealing.switch(&key(2));
    sealing.rekey();
    sealing.write(&[IoSlice::new(b"frames")], &mut send).expect("sent");
    sealing.refuse(Refusal::KeyRemoved);
    sealing.flush(&mut send).expect("sent");
    receive(&mut opening, &sent);
    let mut all = Vec::new();
    let mut put = |contents: &[u8]| all.extend_from_slice(contents);
    assert_eq!(opening.take(6, &mut put), Ok(6));
    assert_eq!(opening.next_notice(), Some(KeyNotice::Ring(ring().ids())));
    assert_eq!(opening.next_notice(), Some(KeyNotice::Switched(key(2).id())));
    assert_eq!(opening.next_notice(), None);
    let refused = crate::secure::AuthError::RefusedByPeer(Refusal::KeyRemoved);
    assert_eq!(opening.take(6, put), Err(refused));
    assert_eq!(all, b"frames");
}

#[test]
fn buffers_grow_on_a_busy_link_and_shrink_on_a_quiet_one() {
    let (mut sealing, mut opening) = pair();
    let mut seal = |bytes: u32| {
        let mut sent = Vec::new();
        let send = |bytes: &[u8]| {
            sent.extend_from_slice(bytes);
            Ok(bytes.len())
        };
        sealing.write(&[IoSlice::new(&body(bytes))], send).expect("sent");
        sent
    };
    assert_eq!(opening.room().len(), 16 << 10);
    let large = seal(1 << 20);
    for part in large.chunks(300_000) {
        for part in part.chunks(opening.room().len()) {
            receive(&mut opening, part);
            take_all(&mut opening, 1 << 20);
        }
    }
    assert!(opening.room().len() > 128 << 10, "{}", opening.room().len());
    for _ in 0..3000 {
        let small = seal(100);
        receive(&mut opening, &small);
        assert_eq!(take_all(&mut opening, 1 << 20), body(100));
    }
    assert_eq!(opening.room().len(), 16 << 10);
}
