//! A send that its caller does not wait for, or not yet.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::error::SendError;
use crate::message::Report;
use crate::name::MessageId;
use crate::net::clock;
use crate::net::completion::{CompletionState, SendResult};
use crate::net::shared::Shared;

/// A send under way, from [`super::Node::start_send`]. Dropping it lets go; it does not cancel.
#[must_use = "a send under way is waited for, canceled or let go"]
pub struct Pending {
    shared: Arc<Shared>,
    id: MessageId,
    /// There until it is dropped.
    ending: Option<Arc<CompletionState>>,
    ended: Option<SendResult>,
}

impl Pending {
    pub(super) fn new(shared: Arc<Shared>, id: MessageId, ending: Arc<CompletionState>) -> Self {
        Self { shared, id, ending: Some(ending), ended: None }
    }

    /// Waits for the end of the send. May be asked again.
    ///
    /// # Errors
    /// [`SendError::Closed`] as soon as the node is closed; what is under way is still flushed.
    pub async fn wait(&mut self) -> Result<Report, SendError> {
        poll_fn(|cx| self.poll_wait(cx)).await
    }

    /// How the send ended, if it has.
    pub fn ended(&mut self) -> Option<Result<Report, SendError>> {
        if self.ended.is_none() {
            self.ended = self.ending.as_ref().and_then(|ending| ending.take());
        }
        self.ended.clone()
    }

    /// As [`Pending::wait`], for futures made by hand. The last to ask is the one that is woken.
    pub fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<Result<Report, SendError>> {
        if let (None, Some(ending)) = (&self.ended, &self.ending) {
            self.ended = Some(ready!(ending.poll(cx)));
        }
        self.ended.clone().map_or(Poll::Pending, Poll::Ready)
    }

    /// Ends the send at once: what has not left is [`crate::message::Outcome::Canceled`], what has is
    /// [`crate::message::Outcome::Timeout`].
    pub fn cancel(&self) {
        self.shared.plane.cancel(self.id, clock::now());
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(ending) = self.ending.take() {
            CompletionState::recycle(ending);
        }
    }
}
