//! What a node tells its application of the mesh.

use crate::name::NodeName;

/// Something that happened on the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// A direct peer connected.
    LinkUp(NodeName),
    /// The link to a direct peer is gone.
    LinkDown(NodeName),
    /// A node became reachable.
    NodeJoined(NodeName),
    /// A node left the mesh, or can no longer be reached.
    NodeLeft(NodeName),
    /// The effective network changed.
    Topology,
    /// Two reachable nodes claim this name.
    NameConflict(NodeName),
    /// Events were dropped because nobody took them: take a fresh snapshot.
    Overflow,
}
