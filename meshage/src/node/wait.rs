//! Waiting until nodes are reachable.

use std::pin::pin;
use std::time::Duration;

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
        self.wait_before(condition, clock::passed(clock::deadline(limit))).await
    }

    /// As [`Node::wait_for`]; `passed` is ready once the deadline has passed.
    pub(crate) async fn wait_before(
        &self,
        condition: WaitCondition,
        passed: impl Future<Output = ()>,
    ) -> Result<Mesh, WaitError> {
        let mut timed_out = pin!(passed);
        let mut closed = pin!(self.shared.reached(NodeState::Closing));
        loop {
            let mut installed = pin!(self.shared.installs.notified());
            installed.as_mut().enable();
            if self.is_closed() {
                return Err(WaitError::Closed);
            }
            let missing = match self.missing(&condition) {
                Ok(mesh) => return Ok(mesh),
                Err(missing) => missing,
            };
            tokio::select! {
                biased;
                () = installed => {}
                () = closed.as_mut() => return Err(WaitError::Closed),
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
