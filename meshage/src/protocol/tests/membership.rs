//! Levels allowed and signed: tickets, revocations, and announcements in the names of others.

use std::sync::Arc;
use std::time::Duration;

use super::harness::{Harness, NodeId, config};
use super::{ms, secs};
use crate::event::{Event, LinkEnd};
use crate::name::{Claim, Instance, Sequence};
use crate::protocol::io::{CloseReason, Command, Input, Role};
use crate::protocol::membership::{Membership, MembershipConfig, Rejected};
use crate::protocol::router::RouterConfig;
use crate::secure::announcement::{self, Scope};
use crate::secure::ticket::{Revocation, Terms, Ticket};
use crate::secure::{Identity, NamePattern, Policy, UnixMillis};
use crate::wire::control::{Announcement, ControlFrame, Credential, SignedAnnouncement};

/// The time of day at which a test starts.
const START: UnixMillis = UnixMillis(1_800_000_000_000);
/// When tickets end that do not end in a test.
const LATE: Duration = secs(1_000_000);

fn root() -> Identity {
    Identity::from_seed(&[255; 32])
}

/// The identity of a node.
fn identity(name: &str) -> Identity {
    let mut seed = [0; 32];
    seed[..name.len()].copy_from_slice(name.as_bytes());
    Identity::from_seed(&seed)
}

fn terms(name: &str, ends: Duration) -> Terms {
    Terms {
        name: NamePattern::new(name).expect("valid"),
        public_key: identity(name).public_key(),
        not_before: UnixMillis(0),
        not_after: START.plus(ends),
        serial: name.bytes().map(u64::from).sum(),
    }
}

fn revocation(name: &str) -> Vec<u8> {
    Revocation::of(&root(), &terms(name, LATE)).encode()
}

fn member(name: &str, signed: bool, ends: Duration) -> RouterConfig {
    let policy = Policy { root: Some(root().public_key()), signed, ..Policy::default() };
    let membership = MembershipConfig {
        policy,
        identity: Arc::new(identity(name)),
        ticket: Some(Ticket::issue(&root(), terms(name, ends)).encode().into()),
        nonce: 7,
        unix: START,
    };
    RouterConfig { membership: Some(membership), ..config(name, 0) }
}

/// A line of nodes whose tickets do not end, except that of the last one.
fn line(names: &[&str], signed: bool, last_ends: Duration) -> Harness {
    let mut harness = Harness::new(7);
    for (at, name) in names.iter().enumerate() {
        let ends = if at + 1 == names.len() { last_ends } else { LATE };
        harness.start(member(name, signed, ends));
    }
    for pair in names.windows(2) {
        harness.dial(pair[0], pair[1]);
    }
    assert!(harness.run_until(secs(1), Harness::is_complete), "the line comes up");
    harness
}

fn control(harness: &mut Harness, at: &str, from: &str, frame: ControlFrame) {
    let (id, link) = (harness.find(at), harness.link(at, from));
    harness.input(id, Input::Control { link, frame });
}

/// How often a node reports that the ticket of a node has ended.
fn reports(harness: &mut Harness, at: NodeId, node: &str) -> usize {
    let events = std::mem::take(&mut harness.nodes[at].events);
    let about =
        |event: &&Event| matches!(event, Event::Revoked { node: it } if it.as_str() == node);
    events.iter().filter(about).count()
}

/// An announcement that `signer` signs with its own credential, at level signed.
fn signed_by(signer: &str, announcement: Announcement) -> SignedAnnouncement {
    signed_in(Scope::Announcement, signer, announcement)
}

fn signed_in(scope: Scope, signer: &str, announcement: Announcement) -> SignedAnnouncement {
    let identity = identity(signer);
    SignedAnnouncement {
        signature: announcement::sign(&identity, &Default::default(), &announcement, scope),
        announcement,
        credential: Some(Credential {
            public_key: identity.public_key().0,
            nonce: 7,
            ticket: Some(Ticket::issue(&root(), terms(signer, LATE)).encode()),
        }),
    }
}

fn announcement_of(name: &str, sequence: u32, peers: Vec<Instance>) -> Announcement {
    Announcement {
        name: super::name(name),
        instance: announcement::instance_of(&identity(name).public_key(), 7),
        sequence: Sequence(sequence),
        claim: Claim::FIRST,
        leaving: false,
        peers,
    }
}

fn frame(signed: SignedAnnouncement) -> ControlFrame {
    ControlFrame::SignedAnnounce(Box::new(signed))
}

#[test]
fn the_links_of_a_node_whose_ticket_ends_are_closed_at_that_time() {
    for signed in [false, true] {
        let mut harness = line(&["a", "b", "c"], signed, secs(20));
        harness.run(ms(19_900) - harness.elapsed());
        assert!(harness.is_complete());
        harness.run(ms(200));
        assert_eq!(harness.known_nodes("a"), ["b"], "signed: {signed}");
        assert_eq!(harness.known_nodes("b"), ["a"]);
        assert!(harness.known_nodes("c").is_empty());
        assert_eq!(harness.counter(1, "tickets_ended"), 1);
        let ended =
            |event: &Event| matches!(event, Event::LinkDown { reason: LinkEnd::TicketEnded, .. });
        assert!(harness.nodes[1].events.iter().any(ended));
        // Every node reports it once: the credential has reached all of them.
        assert_eq!(reports(&mut harness, 1, "c"), 1);
        assert_eq!(reports(&mut harness, 2, "c"), 1);
        assert_eq!(reports(&mut harness, 0, "c"), 1);
        // It keeps running, and cannot come back.
        harness.dial("c", "b");
        harness.run(secs(30));
        assert!(harness.known_nodes("c").is_empty());
        assert_eq!(reports(&mut harness, 2, "c"), 0);
    }
}

#[test]
fn a_clock_that_is_set_ends_tickets_at_once() {
    let mut harness = line(&["a", "b"], true, secs(3600));
    harness.input(0, Input::WallClock(START.plus(secs(3601))));
    harness.run(ms(20));
    assert!(harness.known_nodes("a").is_empty());
    assert!(harness.known_nodes("b").is_empty());
}

#[test]
fn a_revocation_closes_the_links_of_its_node_everywhere() {
    for signed in [false, true] {
        let mut harness = line(&["a", "b", "c", "x"], signed, LATE);
        harness.command(0, Command::Revoke(revocation("x").into()));
        harness.run(ms(100));
        for at in ["a", "b", "c"] {
            assert!(!harness.known_nodes(at).contains(&"x".into()), "{at}");
        }
        assert!(harness.known_nodes("x").is_empty());
        assert_eq!(harness.counter(2, "tickets_revoked"), 1);
        assert_eq!(reports(&mut harness, 3, "x"), 1, "the node learns of it");
        assert_eq!(reports(&mut harness, 2, "x"), 1);
        // Given again, or received again, it is neither flooded nor reported.
        let sent = harness.nodes[0].sends;
        harness.command(0, Command::Revoke(revocation("x").into()));
        assert_eq!(harness.nodes[0].sends, sent);
        assert_eq!(harness.counter(0, "revocations_stale"), 1);
        // Neither a new link helps the node, nor one to a newcomer: it gets the revocation when it
        // joins.
        harness.dial("x", "a");
        let newcomer = harness.start(member("y", signed, LATE));
        harness.dial("y", "a");
        harness.run(secs(1));
        assert_eq!(harness.counter(newcomer, "revocations_installed"), 1);
        harness.dial("x", "y");
        harness.run(secs(1));
        assert_eq!(harness.known_nodes("y"), ["a", "b", "c"]);
        assert!(harness.known_nodes("x").is_empty());
        // Its name is free for a node with a new ticket.
        let revoked = harness.find("x");
        harness.kill(revoked);
        let renewed = Terms { serial: 1, ..terms("x", LATE) };
        let mut config = member("x", signed, LATE);
        let membership = config.membership.as_mut().expect("a member");
        membership.ticket = Some(Ticket::issue(&root(), renewed).encode().into());
        membership.nonce = 8;
        harness.start(config);
        harness.dial("x", "a");
        assert!(harness.run_until(secs(1), Harness::is_complete));
    }
}

#[test]
fn a_link_whose_ticket_was_revoked_during_its_handshake_is_refused() {
    let mut harness = line(&["a", "b", "x"], true, LATE);
    let proof = harness.prove(2, 0).expect("allowed");
    harness.command(0, Command::Revoke(revocation("x").into()));
    harness.run(ms(100));
    let hello = harness.nodes[2].router.hello(crate::wire::hello::Purpose::Dialled);
    let link = crate::name::LinkId(1000);
    harness.input(0, Input::LinkUp { link, role: Role::Listener, hello, proof });
    let refused = CloseReason::Refused(crate::error::RefuseReason::Revoked);
    assert_eq!(harness.nodes[0].closes.last(), Some(&refused));
}

#[test]
fn no_member_passes_for_another_one_that_is_linked() {
    for signed in [false, true] {
        let mut harness = line(&["a", "b", "c"], signed, LATE);
        let proof = harness.prove(2, 1).expect("allowed");
        let own = harness.nodes[2].router.hello(crate::wire::hello::Purpose::Dialled);
        let hello = crate::wire::hello::Hello { instance: harness.instance(0), ..own };
        let link = crate::name::LinkId(1000);
        harness.input(1, Input::LinkUp { link, role: Role::Listener, hello, proof });
        assert_eq!(harness.counter(1, "instances_forged"), 1, "signed: {signed}");
        harness.run(secs(10));
        assert!(harness.is_complete());
    }
}

#[test]
fn a_peer_that_sends_wrong_revocations_is_cut_off_after_a_few() {
    let mut harness = line(&["a", "b"], false, LATE);
    let forged = |serial| {
        let terms = Terms { serial, ..terms("a", LATE) };
        Revocation::of(&identity("b"), &terms).encode()
    };
    for frame in 0..100 {
        let entries = (0..64).map(|at| forged(frame * 64 + at)).collect();
        if harness.peers("a").is_empty() {
            break;
        }
        control(&mut harness, "a", "b", ControlFrame::Revocations { entries });
    }
    assert_eq!(harness.nodes[0].closes, [CloseReason::Breach]);
    assert_eq!(harness.counter(0, "announcements_forged"), 17);
    // A new link gives it no new budget.
    harness.dial("a", "b");
    harness.run(secs(1));
    assert_eq!(harness.peers("a"), ["b"]);
    control(&mut harness, "a", "b", ControlFrame::Revocations { entries: vec![forged(0)] });
    assert_eq!(harness.nodes[0].closes, [CloseReason::Breach; 2]);
}

#[test]
fn revocations_and_signed_announcements_are_breaches_in_a_mesh_without_tickets() {
    let frames = [
        ControlFrame::Revocations { entries: vec![revocation("a")] },
        frame(signed_by("x", announcement_of("x", 1, Vec::new()))),
    ];
    for frame in frames {
        let mut harness = super::linked(&["a", "b"], &[("a", "b")]);
        control(&mut harness, "a", "b", frame);
        assert_eq!(harness.nodes[0].closes, [CloseReason::Breach]);
    }
}

#[test]
fn an_announcement_without_a_signature_is_a_breach_where_names_are_bound() {
    for signed in [false, true] {
        let mut harness = line(&["a", "b"], signed, LATE);
        let announcement = announcement_of("x", 1, Vec::new());
        control(&mut harness, "a", "b", ControlFrame::Announce(announcement));
        assert_eq!(harness.nodes[0].closes, [CloseReason::Breach]);
    }
}

#[test]
fn no_member_takes_the_name_of_another_at_level_allowed() {
    let mut harness = line(&["v", "a", "b"], false, LATE);
    let link = harness.instance(2);
    // An instance of its own with the name of v and a higher claim, reachable over itself.
    let instance = announcement::instance_of(&identity("b").public_key(), 9);
    let taken = Announcement { claim: Claim(9), instance, ..announcement_of("v", 30, vec![link]) };
    let mut taken = signed_in(Scope::Name, "b", taken);
    taken.credential.as_mut().expect("its own").nonce = 9;
    // As far as a can tell, the ticket of b is for another name.
    control(&mut harness, "a", "b", frame(taken.clone()));
    // With the credential of v, the instance is wrong, and with its instance, the signature.
    let by_v = signed_in(Scope::Name, "v", announcement_of("v", 30, Vec::new()));
    let shown = SignedAnnouncement { credential: by_v.credential.clone(), ..taken };
    control(&mut harness, "a", "b", frame(shown));
    let instance = by_v.announcement.instance;
    let announcement = Announcement { instance, ..announcement_of("w", 30, Vec::new()) };
    let renamed = SignedAnnouncement { announcement, ..by_v };
    control(&mut harness, "a", "b", frame(renamed));
    harness.run(secs(5));
    assert_eq!(harness.counter(1, "announcements_forged"), 2);
    assert_eq!(harness.counter(1, "announcements_not_allowed"), 1);
    assert_eq!(harness.counter(1, "name_conflicts"), 0);
    assert_eq!(harness.peers("a"), ["b", "v"]);
    let holder = harness.nodes[1].router.routes().route("v").map(|route| route.instance);
    assert_eq!(holder, Some(harness.instance(0)));
}

#[test]
fn a_member_may_be_wrong_about_links_at_level_allowed_and_is_corrected() {
    let mut harness = line(&["v", "a", "b"], false, LATE);
    // The signature of v is for its name, so b can send another list of its links.
    let false_links = signed_in(Scope::Name, "v", announcement_of("v", 30, vec![Instance(5)]));
    for at in ["a", "v"] {
        let from = if at == "a" { "b" } else { "a" };
        control(&mut harness, at, from, frame(false_links.clone()));
    }
    harness.run(secs(5));
    assert!(harness.is_complete());
    for id in 0..3 {
        assert_eq!(harness.counter(id, "announcements_forged"), 0);
        assert_eq!(harness.counter(id, "breaches"), 0);
    }
}

/// What a member forges at level signed. Node b sends it to a, in the mesh v – a – b.
fn forgeries(harness: &Harness) -> Vec<(&'static str, SignedAnnouncement)> {
    let victim = announcement_of("v", 30, vec![harness.instance(2)]);
    let own = announcement_of("b", 30, Vec::new());
    let by_victim = signed_by("v", victim.clone());
    let by_b = signed_by("b", victim.clone());
    let other_key = Credential { public_key: [3; 32], nonce: 7, ticket: None };
    vec![
        (
            "of another node, with its credential",
            SignedAnnouncement { credential: by_victim.credential.clone(), ..by_b.clone() },
        ),
        ("of another node, with its own credential", by_b.clone()),
        (
            "of another node, without a credential",
            SignedAnnouncement { credential: None, ..by_b.clone() },
        ),
        (
            "altered after it was signed",
            SignedAnnouncement {
                announcement: Announcement { sequence: Sequence(31), ..victim.clone() },
                ..by_victim.clone()
            },
        ),
        (
            "of an instance that belongs to no key",
            SignedAnnouncement { credential: Some(other_key), ..by_b },
        ),
        ("of an own instance with another name", {
            let foreign = Announcement { name: super::name("w"), ..own.clone() };
            let instance = announcement::instance_of(&identity("b").public_key(), 9);
            let mut signed = signed_by("b", Announcement { instance, ..foreign });
            signed.credential.as_mut().expect("its own").nonce = 9;
            signed
        }),
        ("with a ticket that the root has not signed", {
            let identity = identity("z");
            let instance = announcement::instance_of(&identity.public_key(), 7);
            let forged = Announcement { instance, name: super::name("z"), ..own };
            let mut signed = signed_by("z", forged);
            let ticket = Ticket::issue(&identity, terms("z", LATE)).encode();
            signed.credential.as_mut().expect("its own").ticket = Some(ticket);
            signed
        }),
    ]
}

#[test]
fn announcements_in_the_names_of_others_are_refused_at_level_signed() {
    let mut harness = line(&["v", "a", "b"], true, LATE);
    let routes = harness.nodes[1].router.routes();
    for (number, (what, forged)) in forgeries(&harness).into_iter().enumerate() {
        let sent = harness.nodes[1].sends;
        control(&mut harness, "a", "b", frame(forged));
        assert_eq!(harness.counter(1, "announcements_forged"), number as u64 + 1, "{what}");
        assert_eq!(harness.nodes[1].sends, sent, "{what}: not flooded");
    }
    // The victim itself does not answer to a forgery with its own instance.
    let forged = signed_by("a", announcement_of("v", 30, Vec::new()));
    let originated = harness.counter(0, "announcements_originated");
    control(&mut harness, "v", "a", frame(forged));
    harness.run(secs(1));
    assert_eq!(harness.counter(0, "announcements_forged"), 1);
    assert_eq!(harness.counter(0, "announcements_originated"), originated);
    assert!(harness.is_complete());
    assert!(harness.nodes[1].router.routes().is_same_as(&routes));
}

#[test]
fn a_member_that_goes_on_forging_is_cut_off() {
    let mut harness = line(&["v", "a", "b"], true, LATE);
    for sequence in 30.. {
        if harness.nodes[1].closes == [CloseReason::Breach] {
            break;
        }
        let forged = signed_by("b", announcement_of("v", sequence, Vec::new()));
        control(&mut harness, "a", "b", frame(forged));
    }
    assert_eq!(harness.counter(1, "announcements_forged"), 17);
    harness.run(ms(100));
    assert_eq!(harness.known_nodes("v"), ["a"]);
}

#[test]
fn a_relay_that_does_not_know_a_revocation_yet_is_not_punished() {
    let mut harness = line(&["v", "a", "b"], true, LATE);
    harness.command(1, Command::Revoke(revocation("x").into()));
    for sequence in 1..100 {
        let old = signed_by("x", announcement_of("x", sequence, Vec::new()));
        control(&mut harness, "a", "b", frame(old));
    }
    assert_eq!(harness.counter(1, "announcements_not_allowed"), 99);
    assert_eq!(harness.counter(1, "verifications_limited"), 0);
    assert!(harness.nodes[1].closes.is_empty());
}

#[test]
fn an_announcement_that_is_not_newer_is_not_verified() {
    let mut harness = line(&["v", "a", "b"], true, LATE);
    let mut stale = signed_by("v", announcement_of("v", 1, Vec::new()));
    stale.signature = [0; 64];
    for _ in 0..100 {
        control(&mut harness, "a", "b", frame(stale.clone()));
    }
    assert_eq!(harness.counter(1, "announcements_forged"), 0);
    assert!(harness.counter(1, "announcements_stale") >= 100);
}

#[test]
fn the_signatures_that_are_verified_for_one_peer_are_limited() {
    let now = std::time::Instant::now();
    let config = member("a", true, LATE).membership.expect("a member");
    let mut membership = Membership::new(config, &super::name("a"), now);
    let SignedAnnouncement { announcement, signature, credential } =
        signed_by("x", announcement_of("x", 1, Vec::new()));
    let mut verify = |from: &str, now| {
        let received = (&announcement, signature, credential.clone());
        let from = identity(from).public_key();
        membership.verify(&Default::default(), received, None, &from, now)
    };
    // The signature of the root, and that of the originator.
    let verified = (0..9000).take_while(|_| verify("b", now).is_ok()).count();
    assert_eq!(verified, 8192);
    assert_eq!(verify("b", now), Err(Rejected::Limited));
    assert!(verify("c", now).is_ok(), "another peer is not delayed");
    let later = now + secs(1);
    let verified = (0..9000).take_while(|_| verify("b", later).is_ok()).count();
    assert_eq!(verified, 1000);
}

#[test]
fn a_node_that_has_forgotten_a_credential_gets_it_with_the_next_refresh() {
    let mut harness = line(&["a", "b"], true, LATE);
    let signed = SignedAnnouncement {
        credential: None,
        ..signed_by("x", announcement_of("x", 1, Vec::new()))
    };
    control(&mut harness, "a", "b", frame(signed));
    assert_eq!(harness.counter(0, "announcements_without_key"), 1);
    control(&mut harness, "a", "b", frame(signed_by("x", announcement_of("x", 1, Vec::new()))));
    assert_eq!(harness.counter(0, "database_nodes"), 2);
}

#[test]
fn a_mesh_of_many_members_forms_and_heals() {
    for seed in 0..4 {
        let mut harness = Harness::new(seed);
        for at in 0..20 {
            let member = member(&format!("n{at}"), seed % 2 == 0, LATE);
            harness.start(RouterConfig { degree: 3, ..member });
        }
        assert!(harness.run_until(secs(20), Harness::is_complete), "seed {seed}");
        for id in [3, 9, 14] {
            harness.unplug(id, true);
        }
        harness.run(secs(40));
        for id in [3, 9, 14] {
            harness.unplug(id, false);
        }
        assert!(harness.run_until(secs(200), Harness::is_complete), "seed {seed}");
        for id in 0..20 {
            assert_eq!(harness.counter(id, "announcements_forged"), 0);
            assert_eq!(harness.counter(id, "breaches"), 0);
        }
    }
}

#[test]
fn a_name_on_the_list_is_bound_to_its_key() {
    let listed = |name: &str, key: &str| {
        let mut config = member(name, true, LATE);
        let membership = config.membership.as_mut().expect("a member");
        let keys = ["a", "b", "x"].map(|name| (super::name(name), identity(name).public_key()));
        membership.policy.allow = keys.into();
        membership.policy.root = None;
        membership.identity = Arc::new(identity(key));
        membership.ticket = None;
        config
    };
    let mut harness = Harness::new(1);
    harness.start(listed("a", "a"));
    harness.start(listed("b", "b"));
    harness.start(listed("x", "y"));
    harness.dial("a", "b");
    harness.dial("x", "a");
    harness.run(secs(1));
    assert_eq!(harness.known_nodes("a"), ["b"]);
    // Nor can a member bring it in.
    let mut foreign = signed_by("y", announcement_of("y", 1, Vec::new()));
    foreign.announcement.name = super::name("x");
    let identity = identity("y");
    let namespace = Default::default();
    let scope = Scope::Announcement;
    foreign.signature = announcement::sign(&identity, &namespace, &foreign.announcement, scope);
    control(&mut harness, "a", "b", frame(foreign));
    assert_eq!(harness.counter(0, "announcements_not_allowed"), 1);
    assert_eq!(harness.counter(0, "database_nodes"), 1);
}

#[test]
fn changed_keys_are_tried_at_once() {
    let mut harness = Harness::new(3);
    harness.start(RouterConfig { seeds: vec!["b".into()], ..config("a", 1) });
    // The back-offs of the seed and of the solicitations have grown.
    harness.run(secs(600));
    harness.start(config("b", 0));
    harness.command(0, Command::KeysChanged);
    assert!(harness.run_until(ms(100), Harness::is_complete));
}
