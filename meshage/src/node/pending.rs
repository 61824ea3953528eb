//! A send that its caller does not wait for, or not yet.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::error::SendError;
use crate::message::Report;
use crate::name::MessageId;
use crate::net::clock;
use crate::net::host::SendResult;
use crate::net::shared::Shared;

/// A send under way, from [`super::Node::start_send`]. Dropping it lets go; it does not cancel.
#[must_use = "a send under way is waited for, canceled or let go"]
pub struct Pending {
    shared: Arc<Shared>,
    id: MessageId,
    result: oneshot::Receiver<SendResult>,
    ended: Option<SendResult>,
}

impl Pending {
    pub(super) fn new(
        shared: Arc<Shared>,
        id: MessageId,
        result: oneshot::Receiver<SendResult>,
    ) -> Self {
        Self { shared, id, result, ended: None }
    }

    /// Waits for the end of the send. May be asked again.
    ///
    /// # Errors
    /// [`SendError::Closed`] as soon as the node is closed; what is under way is still flushed.
    pub async fn wait(&mut self) -> Result<Report, SendError> {
        if let Some(ended) = &self.ended {
            return ended.clone();
        }
        let ended = (&mut self.result).await.unwrap_or(Err(SendError::Closed));
        self.ended = Some(ended.clone());
        ended
    }

    /// Ends the send at once: what has not left is [`crate::message::Outcome::Canceled`], what has is
    /// [`crate::message::Outcome::Timeout`].
    pub fn cancel(&self) {
        self.shared.plane.cancel(self.id, clock::now());
    }
}
