//! Waiting until nodes are reachable.

use std::pin::pin;
use std::time::Duration;

use tokio::time::sleep_until;

use super::handle::Node;
use crate::error::WaitError;
use crate::name::NodeName;
use crate::net::clock;
use crate::net::shared::NodeState;
use crate::topology::Mesh;

/// The condition that [`Node::wait_for`] waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitCondition {
    /// All of these are reachable.
    Nodes(Vec<NodeName>),
    /// The mesh has at least this many nodes, this one included.
    Count(usize),
}

impl Node {
    /// Waits until the condition holds, and returns the topology.
    ///
    /// # Errors
    /// [`WaitError`].
    pub async fn wait_for(
        &self,
        condition: WaitCondition,
        limit: Duration,
    ) -> Result<Mesh, WaitError> {
        let mut installs = self.shared.installs.subscribe();
        let mut timed_out = pin!(async {
            match clock::deadline(limit) {
                Some(deadline) => sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        });
        let mut closed = pin!(self.shared.reached(NodeState::Closing));
        loop {
            if self.is_closed() {
                return Err(WaitError::Closed);
            }
            let missing = match self.missing(&condition) {
                Ok(mesh) => return Ok(mesh),
                Err(missing) => missing,
            };
            tokio::select! {
                // In this order: once the node has closed, its timers are not used any more.
                biased;
                () = closed.as_mut() => return Err(WaitError::Closed),
                // The sender lives as long as the node.
                _ = installs.changed() => {}
                () = timed_out.as_mut() => return Err(WaitError::Timeout(missing)),
            }
        }
    }

    /// Returns the topology if the condition holds, or else the names of the missing nodes.
    fn missing(&self, condition: &WaitCondition) -> Result<Mesh, Vec<NodeName>> {
        let routes = self.shared.plane.fib().routes.clone();
        match condition {
            WaitCondition::Nodes(names) => {
                let is_missing = |name: &&NodeName| {
                    *name != self.name() && routes.route(name.as_str()).is_none()
                };
                let missing: Vec<NodeName> = names.iter().filter(is_missing).cloned().collect();
                if missing.is_empty() { Ok(routes.mesh()) } else { Err(missing) }
            }
            // Two nodes with the same name are two routes, but one node of the topology.
            WaitCondition::Count(count) if routes.nodes() >= *count => {
                let mesh = routes.mesh();
                if mesh.len() >= *count { Ok(mesh) } else { Err(Vec::new()) }
            }
            WaitCondition::Count(_) => Err(Vec::new()),
        }
    }
}
