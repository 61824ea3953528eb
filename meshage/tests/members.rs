//! Levels allowed and signed over real sockets: names that belong to keys, tickets that end, and
//! revocations.
#![cfg(feature = "net")]
#![allow(clippy::disallowed_methods, reason = "these tests run in real time")]

mod common;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{address, count, know_all, link, name, open, start, until_event, within};
use meshage::secure::ticket::{Revocation, Terms, Ticket};
use meshage::secure::{Identity, NamePattern, UnixMillis, files};
use meshage::{AuthError, ConfigBuilder, DialError, Event, Key, LinkEnd, Node, Outgoing, Refusal};

/// The longest time until a ticket that has ended or was revoked has closed all links.
const CLOSED_WITHIN: Duration = Duration::from_secs(2);

/// The identities and tickets of a mesh, in a folder that is removed with them.
struct Members {
    folder: PathBuf,
    root: Identity,
    signed: bool,
}

impl Members {
    fn new(test: &str, signed: bool) -> Self {
        let process = std::process::id();
        let folder =
            std::env::temp_dir().join(format!("meshage-members-{test}-{signed}-{process}"));
        std::fs::create_dir(&folder).expect("a new folder");
        Self { folder, root: Identity::from_seed(&[9; 32]), signed }
    }

    fn terms(&self, name: &str, valid: Duration) -> Terms {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        Terms {
            name: NamePattern::new(name).expect("valid"),
            public_key: identity(name).public_key(),
            not_before: UnixMillis(0),
            not_after: UnixMillis((now + valid).as_millis() as u64),
            serial: u64::from(name.as_bytes()[0]),
        }
    }

    /// The configuration of a node, with its ticket.
    fn config(&self, name: &str, terms: &Terms) -> ConfigBuilder {
        let identity_file = self.folder.join(format!("{name}.identity"));
        let ticket_file = self.folder.join(format!("{name}.ticket"));
        let seed = [name.as_bytes()[0]; 32];
        let text: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
        files::write_private(&identity_file, &text, true).expect("written");
        let ticket = Ticket::issue(&self.root, terms.clone()).encode();
        files::write_private(&ticket_file, &files::public_line(&ticket), true).expect("written");
        open(name)
            .key(Key::from_bytes(&[1; 32]))
            .identity_file(identity_file)
            .ticket_file(ticket_file)
            .root(self.root.public_key())
            .signed(self.signed)
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The identity of a node with a name of one letter.
fn identity(name: &str) -> Identity {
    Identity::from_seed(&[name.as_bytes()[0]; 32])
}

/// Nodes a, b, c and x, each linked to the next. Returns the terms of the ticket of x as well.
async fn mesh(members: &Members, x_valid: Duration) -> (Vec<Node>, Terms) {
    let mut nodes = Vec::new();
    for name in ["a", "b", "c"] {
        let terms = members.terms(name, Duration::from_secs(3600));
        nodes.push(start(members.config(name, &terms)).await);
    }
    let terms = members.terms("x", x_valid);
    nodes.push(start(members.config("x", &terms)).await);
    for pair in nodes.windows(2) {
        link(&pair[0], &pair[1]).await;
    }
    know_all(&nodes).await;
    (nodes, terms)
}

/// Waits until no node has a link to the last one, nor it to any.
async fn excluded(nodes: &[Node]) {
    within(CLOSED_WITHIN, "x is excluded everywhere", || {
        let x = nodes.last().expect("x");
        let others = &nodes[..nodes.len() - 1];
        count(x, "nodes") == 1
            && others.iter().all(|node| count(node, "nodes") == others.len() as u64)
    })
    .await;
}

#[tokio::test]
async fn a_revocation_closes_the_links_of_its_node_on_all_nodes_within_two_seconds() {
    for signed in [false, true] {
        let members = Members::new("revoked", signed);
        let (nodes, terms) = mesh(&members, Duration::from_secs(3600)).await;
        let sent = nodes[0].send(Outgoing::set([name("x")], "before")).await.expect("sent");
        assert!(sent.all_delivered());
        let (mut at_c, mut at_x) = (nodes[2].events(), nodes[3].events());
        let revocation = Revocation::of(&members.root, &terms).encode();
        nodes[0].revoke(&revocation).expect("of the root");
        excluded(&nodes).await;
        let about_x =
            |event: &Event| matches!(event, Event::Revoked { node } if *node == name("x"));
        let down =
            |event: &Event| matches!(event, Event::LinkDown { reason: LinkEnd::Revoked, .. });
        until_event(&mut at_c, down).await;
        until_event(&mut at_c, about_x).await;
        until_event(&mut at_x, about_x).await;
        assert_eq!(count(&nodes[2], "tickets_revoked"), 1);
        // The handshakes of all nodes know of it.
        let refused = nodes[3].dial(&address(&nodes[0])).await;
        let revoked = AuthError::RefusedByPeer(Refusal::Revoked);
        assert!(
            matches!(&refused, Err(DialError::Auth(error)) if *error == revoked),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_ticket_that_ends_closes_the_links_of_its_node_on_all_nodes_within_two_seconds() {
    for signed in [false, true] {
        let members = Members::new("ended", signed);
        let (nodes, terms) = mesh(&members, Duration::from_secs(4)).await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        let left = u128::from(terms.not_after.0).saturating_sub(now);
        tokio::time::sleep(Duration::from_millis(left as u64)).await;
        excluded(&nodes).await;
        assert_eq!(count(&nodes[2], "tickets_ended"), 1);
        let refused = nodes[3].dial(&address(&nodes[0])).await;
        let ended = AuthError::RefusedByPeer(Refusal::TicketTime);
        assert!(matches!(&refused, Err(DialError::Auth(error)) if *error == ended), "{refused:?}");
    }
}

#[tokio::test]
async fn a_node_with_the_name_of_another_one_and_its_own_ticket_is_refused() {
    let members = Members::new("name", true);
    let (nodes, _) = mesh(&members, Duration::from_secs(3600)).await;
    // A second run of x has the same key: the reachable one keeps the name.
    let terms = members.terms("x", Duration::from_secs(3600));
    let second = start(members.config("x", &terms)).await;
    let refused = second.dial(&address(&nodes[0])).await;
    let in_use = meshage::RefuseReason::NameInUse;
    assert!(
        matches!(&refused, Err(DialError::Refused(reason)) if *reason == in_use),
        "{refused:?}"
    );
    assert_eq!(count(&nodes[0], "nodes"), 4);
}
