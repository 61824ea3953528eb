//! Events: changes of the mesh that a node reports to its application.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::name::{Instance, NodeName};
use crate::secure::{AuthError, KeyId};

/// A change of the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// A link to a peer is up.
    LinkUp {
        /// The peer's name.
        peer: NodeName,
        /// The peer's instance.
        instance: Instance,
    },
    /// The last link to a peer is down.
    LinkDown {
        /// The peer's name.
        peer: NodeName,
        /// The peer's instance.
        instance: Instance,
        /// Why the link ended.
        reason: LinkEnd,
    },
    /// A node became reachable.
    NodeJoined {
        /// The node's name.
        node: NodeName,
        /// The node's instance. A node that was restarted joins with another one.
        instance: Instance,
    },
    /// A node left the mesh, or can no longer be reached.
    NodeLeft {
        /// The node's name.
        node: NodeName,
        /// The node's instance.
        instance: Instance,
        /// Whether it left in order.
        departure: Departure,
    },
    /// The effective network changed.
    Topology,
    /// A name is in use by another reachable node: this node's own name, or that of a node that
    /// this node refused.
    NameConflict {
        /// The name.
        name: NodeName,
        /// What happened, in words.
        reason: String,
    },
    /// No solicitation can be sent: this node finds no others until the cause is removed. Reported
    /// once for each cause until a solicitation is sent. The node goes on trying.
    DiscoveryFailed {
        /// The cause, and what to do, in words.
        reason: String,
    },
    /// A node at this address has none of this node's keys, or does not encrypt, so there is no link
    /// to it. Reported at most once a minute for each address. If the keys were changed while this
    /// node was stopped, give it one of the ids that it heard.
    KeyMismatch {
        /// The address of the other node.
        address: SocketAddr,
        /// The ids of the keys that it named; none if it does not encrypt.
        heard: Vec<KeyId>,
    },
    /// The ticket of this node was revoked, or has ended: it can no longer join.
    Revoked {
        /// The node's name.
        node: NodeName,
    },
    /// The application read its events too slowly, and some were dropped: take a new snapshot.
    Overflow,
}

impl Event {
    /// The name of the node that the event is about, if it is about one.
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Self::LinkUp { peer: name, .. }
            | Self::LinkDown { peer: name, .. }
            | Self::NodeJoined { node: name, .. }
            | Self::NodeLeft { node: name, .. }
            | Self::NameConflict { name, .. }
            | Self::Revoked { node: name } => Some(name),
            Self::Topology
            | Self::DiscoveryFailed { .. }
            | Self::KeyMismatch { .. }
            | Self::Overflow => None,
        }
    }

    /// The instance of the node that the event is about, if it is about one life of a node.
    pub fn instance(&self) -> Option<Instance> {
        match self {
            Self::LinkUp { instance, .. }
            | Self::LinkDown { instance, .. }
            | Self::NodeJoined { instance, .. }
            | Self::NodeLeft { instance, .. } => Some(*instance),
            Self::Topology
            | Self::NameConflict { .. }
            | Self::DiscoveryFailed { .. }
            | Self::KeyMismatch { .. }
            | Self::Revoked { .. }
            | Self::Overflow => None,
        }
    }

    /// Why it happened, in words, if the event has a reason.
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::LinkDown { reason, .. } => Some(reason.to_string()),
            Self::NodeLeft { departure, .. } => Some(departure.to_string()),
            Self::NameConflict { reason, .. } | Self::DiscoveryFailed { reason } => {
                Some(reason.clone())
            }
            Self::KeyMismatch { address, heard } if heard.is_empty() => {
                Some(format!("the node at {address} does not encrypt"))
            }
            Self::KeyMismatch { address, heard } => {
                let heard: Vec<String> = heard.iter().map(KeyId::to_string).collect();
                Some(format!("the node at {address} has the keys {}", heard.join(", ")))
            }
            Self::Revoked { .. } => Some("its ticket was revoked or has ended".into()),
            Self::LinkUp { .. } | Self::NodeJoined { .. } | Self::Topology | Self::Overflow => None,
        }
    }

    /// The address of the other node, for [`Event::KeyMismatch`].
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::KeyMismatch { address, .. } => Some(*address),
            Self::LinkUp { .. }
            | Self::LinkDown { .. }
            | Self::NodeJoined { .. }
            | Self::NodeLeft { .. }
            | Self::Topology
            | Self::NameConflict { .. }
            | Self::DiscoveryFailed { .. }
            | Self::Revoked { .. }
            | Self::Overflow => None,
        }
    }

    /// The ids of the keys that the other node named, for [`Event::KeyMismatch`]; empty if it does
    /// not encrypt, and for the other events.
    pub fn key_ids(&self) -> &[KeyId] {
        match self {
            Self::KeyMismatch { heard, .. } => heard,
            Self::LinkUp { .. }
            | Self::LinkDown { .. }
            | Self::NodeJoined { .. }
            | Self::NodeLeft { .. }
            | Self::Topology
            | Self::NameConflict { .. }
            | Self::DiscoveryFailed { .. }
            | Self::Revoked { .. }
            | Self::Overflow => &[],
        }
    }

    /// How a node departed, for [`Event::NodeLeft`].
    pub fn departure(&self) -> Option<Departure> {
        match self {
            Self::NodeLeft { departure, .. } => Some(*departure),
            Self::LinkUp { .. }
            | Self::LinkDown { .. }
            | Self::NodeJoined { .. }
            | Self::Topology
            | Self::NameConflict { .. }
            | Self::DiscoveryFailed { .. }
            | Self::KeyMismatch { .. }
            | Self::Revoked { .. }
            | Self::Overflow => None,
        }
    }
}

/// How a node departed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Departure {
    /// It was closed, and announced that it leaves.
    Left,
    /// It can no longer be reached, and has not announced that it leaves: it failed, or the network
    /// between the two nodes did.
    Failed,
}

impl fmt::Display for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Left => "left",
            Self::Failed => "failed",
        })
    }
}

/// Why a link ended. Its `Display` is a phrase such as "silent for 3 s".
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkEnd {
    /// Nothing arrived from the peer for this long.
    Silent(Duration),
    /// The peer's end was closed without a reason: its process ended, for example.
    Closed,
    /// The connection broke; carries the error.
    Broken(String),
    /// The peer left the mesh in order.
    PeerLeft,
    /// The application at this node hung up.
    HungUp,
    /// The application at the peer hung up.
    HungUpByPeer,
    /// The peer connected again, and the new link replaces this one.
    Replaced,
    /// One of the two nodes refused the link after it was up: the name of one of them is held by
    /// another reachable node.
    NameInUse,
    /// The peer violated the protocol; carries how.
    Breach(String),
    /// The link's key was removed at one end, the peer lost its right to be linked, or bytes were
    /// altered on the way; carries which.
    Auth(AuthError),
}

impl fmt::Display for LinkEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(time) => write!(f, "silent for {} s", time.as_secs_f64()),
            Self::Closed => f.write_str("closed by the peer"),
            Self::Broken(error) => write!(f, "broken: {error}"),
            Self::PeerLeft => f.write_str("the peer left"),
            Self::HungUp => f.write_str("hung up"),
            Self::HungUpByPeer => f.write_str("hung up by the peer"),
            Self::Replaced => f.write_str("replaced by a new link"),
            Self::NameInUse => f.write_str("the name is in use"),
            Self::Breach(what) => write!(f, "the peer violated the protocol: {what}"),
            Self::Auth(error) => write!(f, "not authorised: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_names_its_node_instance_and_reason() {
        let node = NodeName::new("b").expect("valid");
        let instance = Instance(2);
        let silent = LinkEnd::Silent(Duration::from_millis(3000));
        let down = Event::LinkDown { peer: node.clone(), instance, reason: silent };
        assert_eq!((down.node(), down.instance()), (Some(&node), Some(instance)));
        assert_eq!(down.reason().as_deref(), Some("silent for 3 s"));
        let left = Event::NodeLeft { node, instance, departure: Departure::Left };
        assert_eq!(
            (left.reason().as_deref(), left.departure()),
            (Some("left"), Some(Departure::Left))
        );
        assert_eq!(Event::Topology.reason(), None);
    }

    #[test]
    fn a_key_mismatch_has_the_address_and_the_key_ids_that_were_heard() {
        let address = SocketAddr::from(([10, 0, 0, 1], 9000));
        let heard = vec![KeyId([1; 8]), KeyId([2; 8])];
        let mismatch = Event::KeyMismatch { address, heard: heard.clone() };
        assert_eq!((mismatch.address(), mismatch.key_ids()), (Some(address), &*heard));
        let reason = mismatch.reason().expect("it has one");
        assert!(
            reason.contains("10.0.0.1:9000") && reason.contains("0202020202020202"),
            "{reason}"
        );
        assert_eq!((Event::Overflow.address(), Event::Overflow.key_ids()), (None, &[][..]));
    }
}
