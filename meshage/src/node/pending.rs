//! A handle on an outstanding send that the caller does not wait for, or waits for later.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::error::SendError;
use crate::message::Report;
use crate::name::MessageId;
use crate::net::clock;
use crate::net::completion::{CompletionState, SendResult};
use crate::net::shared::Shared;

/// An outstanding send, from [`super::Node::start_send`]. Dropping the handle does not cancel the
/// send.
#[must_use = "an outstanding send is waited for, canceled, or explicitly dropped"]
pub struct Pending {
    shared: Arc<Shared>,
    id: MessageId,
    /// `Some` until the handle is dropped.
    state: Option<Arc<CompletionState>>,
    result: Option<SendResult>,
}

impl Pending {
    pub(super) fn new(shared: Arc<Shared>, id: MessageId, state: Arc<CompletionState>) -> Self {
        Self { shared, id, state: Some(state), result: None }
    }

    /// Waits until the send has ended. Later calls return the same result.
    ///
    /// # Errors
    /// [`SendError::Closed`] as soon as the node is closed. A message in flight is still flushed.
    pub async fn wait(&mut self) -> Result<Report, SendError> {
        poll_fn(|cx| self.poll_wait(cx)).await
    }

    /// Returns the result of the send if it has ended.
    pub fn try_wait(&mut self) -> Option<Result<Report, SendError>> {
        if self.result.is_none() {
            self.result = self.state.as_ref().and_then(|state| state.take());
        }
        self.result.clone()
    }

    /// As [`Pending::wait`], for futures that are written by hand. Only the waker of the last call
    /// is woken.
    pub fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<Result<Report, SendError>> {
        if let (None, Some(state)) = (&self.result, &self.state) {
            self.result = Some(ready!(state.poll(cx)));
        }
        self.result.clone().map_or(Poll::Pending, Poll::Ready)
    }

    /// Ends the send at once. The outcome for a recipient is [`crate::message::Outcome::Canceled`]
    /// if the message has not left this node, and [`crate::message::Outcome::Timeout`] if it has.
    pub fn cancel(&self) {
        self.shared.plane.cancel(self.id, clock::now());
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(state) = self.state.take() {
            CompletionState::recycle(state);
        }
    }
}
