//! Events: changes of the mesh that a node reports to its application.

use crate::name::NodeName;

/// A change of the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// A link to a peer is up.
    LinkUp(NodeName),
    /// The link to a peer is down.
    LinkDown(NodeName),
    /// A node became reachable.
    NodeJoined(NodeName),
    /// A node left the mesh, or can no longer be reached.
    NodeLeft(NodeName),
    /// The effective network changed.
    Topology,
    /// Two reachable nodes have this name.
    NameConflict(NodeName),
    /// No solicitation can be sent, so that no other node can be found: no interface is up, or the
    /// system refuses every address. Reported once for each reason until one is sent. The node goes
    /// on trying.
    DiscoveryFailed {
        /// What failed, for people.
        reason: String,
    },
    /// The application read its events too slowly, and some were dropped: take a new snapshot.
    Overflow,
}
