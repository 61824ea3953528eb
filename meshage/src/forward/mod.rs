//! The data plane: what happens to a message at this node.
pub mod outbound;
pub mod plane;
