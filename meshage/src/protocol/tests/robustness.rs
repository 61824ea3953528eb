//! Limits, protocol violations, inputs in any order, and faults of every kind.

use super::harness::{Harness, config};
use super::{linked, ms, name, secs};
use crate::event::LinkEnd;
use crate::name::Instance;
use crate::name::LinkId;
use crate::name::Sequence;
use crate::protocol::io::CloseReason;
use crate::protocol::io::Command;
use crate::protocol::io::Input;
use crate::wire::control::ControlFrame;
use crate::wire::control::{Announcement, Listed, Range};

/// A router keeps its invariants and does not panic, whatever peers send and in whatever order.
#[test]
fn no_order_of_inputs_breaks_a_router() {
    use crate::error::{DialError, RefuseReason};
    use crate::protocol::io::{DialId, RequestId, Role};
    use crate::wire::hello::{Hello, Purpose};
    use crate::wire::solicitation::Solicitation;
    use rand::{RngExt as _, SeedableRng as _};

    for seed in 0..60 {
        let mut rng = rand::rngs::ChaCha8Rng::seed_from_u64(seed);
        let mut harness = Harness::new(seed);
        let mut me = config("m", rng.random_range(0..5));
        me.seeds = vec!["x".into()];
        harness.start(me);
        let own = harness.instance(0);
        let mut links = 0;
        for step in 0..600 {
            let instance = match rng.random_range(0..8_u64) {
                0 => own,
                n => Instance(n),
            };
            let peer = name(["a", "b", "m", "y", "z"][rng.random_range(0..5_usize)]);
            let link = LinkId(rng.random_range(0..=links));
            let mut peers: Vec<Instance> =
                (0..rng.random_range(0..5)).map(|_| Instance(rng.random_range(0..8))).collect();
            peers.push(own);
            peers.sort_unstable();
            peers.dedup();
            let sequence = Sequence(rng.random_range(1..40));
            let entry = Listed { instance, sequence, check: 0 };
            let range = Range { first: Instance(0), last: instance, digest: rng.random() };
            let frame = match rng.random_range(0..14) {
                0..3 => ControlFrame::Admit { other_link: rng.random() },
                3 => ControlFrame::Refuse { reason: RefuseReason::Duplicate },
                4 => {
                    ControlFrame::Digest { entries: vec![(instance, sequence)], last: rng.random() }
                }
                5..7 => ControlFrame::Announce(Announcement {
                    name: peer.clone(),
                    instance,
                    sequence,
                    claim: crate::name::Claim(rng.random_range(0..3)),
                    leaving: rng.random_range(0..8) == 0,
                    peers,
                }),
                7 => ControlFrame::Synced,
                8 => ControlFrame::Compare { ranges: vec![range] },
                9 => ControlFrame::DigestRequest { ranges: vec![(range.first, range.last)] },
                10..12 => ControlFrame::Listing {
                    first: range.first,
                    last: range.last,
                    entries: vec![entry],
                },
                12 => ControlFrame::Request { instances: vec![instance; 3] },
                _ => ControlFrame::Leaving,
            };
            let purpose =
                [Purpose::Dialled, Purpose::Solicited, Purpose::Bridge][step as usize % 3];
            let dial = DialId(rng.random_range(0..20));
            let hello = Hello {
                purpose,
                name: peer.clone(),
                instance,
                ..harness.nodes[0].router.hello(purpose)
            };
            let from = "10.1.1.1:9".parse().expect("valid");
            let solicitation = Solicitation {
                namespace: Default::default(),
                name: peer.clone(),
                instance,
                port: 9000,
                wanted: rng.random_range(0..3),
            };
            let request = RequestId(rng.random_range(0..9));
            let input = match rng.random_range(0..42) {
                0..6 => {
                    links += 1;
                    let role = if rng.random() { Role::Listener } else { Role::Dialler(dial) };
                    Input::LinkUp { link: LinkId(links), role, hello, proof: None }
                }
                6..28 => Input::Control { link, frame },
                28 => Input::LinkDown { link, end: LinkEnd::Closed },
                29..33 => Input::BytesReceived { link },
                33 => Input::Solicited { from, solicitation },
                34 => Input::DialFailed { dial, error: DialError::Closed },
                35 => Input::Command(Command::Dial { request, address: "a".into() }),
                36 => Input::Command(Command::CancelDial { request }),
                37 => Input::Command(Command::Hangup { request, peer }),
                38 => Input::Command(Command::SetDegree(rng.random_range(0..5))),
                39 => Input::NetworkChanged,
                40 => Input::SolicitationUnsent { beacon: rng.random(), reason: "x".into() },
                _ if step > 590 => Input::Command(Command::Close),
                _ => Input::Command(Command::Announce),
            };
            harness.input(0, input);
            harness.run(ms(rng.random_range(0..300)));
        }
    }
}

#[test]
fn every_limit_is_counted() {
    let mut harness = Harness::new(2);
    harness.start(config("a", 3));
    let forged = |i: u32| crate::wire::solicitation::Solicitation {
        namespace: Default::default(),
        name: name(&format!("x{i}")),
        instance: Instance(u64::from(i) + 1),
        port: if i == 0 { 0 } else { 9000 },
        wanted: 4,
    };
    for i in 0..3000 {
        // From many hosts: the dials to one host have a limit of their own.
        let from = std::net::SocketAddr::from(([10, 9, (i / 250) as u8, (i % 250) as u8], 1));
        harness.input(0, Input::Solicited { from, solicitation: forged(i) });
    }
    assert_eq!(harness.counter(0, "solicitations_malformed"), 1);
    assert_eq!(harness.counter(0, "solicitations_received"), 199);
    assert_eq!(harness.counter(0, "solicitations_limited"), 2800);
    assert_eq!(harness.counter(0, "response_dials_limited"), 199 - 64);
    harness.run(secs(1));
    assert!(harness.counter(0, "dials_started") <= 12, "a forged flood starts few dials");
    assert!(harness.counter(0, "dials_limited") > 0);
}

#[test]
fn the_link_of_a_peer_that_violates_the_protocol_is_closed() {
    let breaches = [
        ControlFrame::Admit { other_link: false },
        ControlFrame::Digest { entries: Vec::new(), last: true },
        ControlFrame::Synced,
    ];
    for frame in breaches {
        let mut harness = linked(&["a", "b"], &[("a", "b")]);
        harness.input(0, Input::Control { link: LinkId(1), frame });
        assert_eq!(harness.nodes[0].closes, [CloseReason::Breach]);
        assert_eq!(harness.counter(0, "breaches"), 1);
        assert!(harness.peers("a").is_empty());
    }
}

#[test]
fn after_the_faults_stop_the_mesh_is_complete_again() {
    use rand::{RngExt as _, SeedableRng as _};
    const COUNT: usize = 12;
    for seed in 0..20 {
        let mut rng = rand::rngs::ChaCha8Rng::seed_from_u64(seed);
        let mut harness = Harness::group(seed, COUNT, 3);
        harness.latency = ms(1)..=ms(20);
        // The node that currently has each name.
        let mut holders: Vec<usize> = (0..COUNT).collect();
        for _ in 0..8 {
            harness.run(ms(rng.random_range(0..3000)));
            let victim = rng.random_range(0..COUNT);
            let id = holders[victim];
            match rng.random_range(0..4) {
                0 => {
                    harness.kill(id);
                    harness.run(ms(rng.random_range(0..4000)));
                    holders[victim] = harness.start(config(&format!("n{victim:04}"), 3));
                }
                1 => {
                    harness.unplug(id, true);
                    harness.run(secs(rng.random_range(4..12)));
                    harness.unplug(id, false);
                }
                2 => {
                    harness.freeze(id);
                    harness.run(ms(rng.random_range(100..8000)));
                    harness.unfreeze(id);
                }
                _ => {
                    let cut = rng.random_range(1..COUNT);
                    holders[cut..].iter().for_each(|&id| harness.set_group(id, 1));
                    harness.run(secs(rng.random_range(4..40)));
                    holders.iter().for_each(|&id| harness.set_group(id, 0));
                }
            }
        }
        let before = harness.now;
        assert!(harness.run_until(secs(70), Harness::is_complete), "seed {seed}");
        let healed = harness.now - before;
        harness.run(secs(40));
        assert!(harness.is_complete(), "seed {seed}: complete after {healed:?}, and then not");
        harness.check_symmetry();
    }
}
