//! Sending: with a future, with a callback, or with a handle on the outstanding send.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::drop_guard::DropGuard;
use super::handle::Node;
use super::pending::Pending;
use crate::error::SendError;
use crate::message::{Outgoing, Report};
use crate::name::{MessageId, NodeName};
use crate::net::clock;
use crate::net::completion::{Completion, CompletionState};

/// The result of waiting for room in the local queue.
enum Submission {
    Sent(MessageId),
    /// There was no room until the deadline.
    NeverSent(Report),
}

impl Node {
    /// Sends to the given nodes and waits for their acknowledgements.
    ///
    /// # Errors
    /// [`SendError`] if nothing was sent.
    pub async fn set(
        &self,
        recipients: impl IntoIterator<Item = NodeName>,
        body: impl Into<Bytes>,
    ) -> Result<Report, SendError> {
        self.send(Outgoing::set(recipients, body)).await
    }

    /// Sends to every reachable node and waits for their acknowledgements.
    ///
    /// # Errors
    /// [`SendError`] if nothing was sent.
    pub async fn broadcast(&self, body: impl Into<Bytes>) -> Result<Report, SendError> {
        self.send(Outgoing::broadcast(body)).await
    }

    /// Sends a message with its options and waits for the acknowledgements, up to its timeout (see
    /// [`Outgoing::timeout`]; with zero it does not wait). Dropping the future cancels the send.
    ///
    /// # Errors
    /// [`SendError`] if nothing was sent.
    pub async fn send(&self, outgoing: Outgoing) -> Result<Report, SendError> {
        let deadline = self.deadline(&outgoing);
        self.send_before(outgoing, deadline, clock::passed(deadline)).await
    }

    /// The deadline of a message that is sent now.
    pub(crate) fn deadline(&self, outgoing: &Outgoing) -> Option<Instant> {
        self.shared.deadline(outgoing, clock::now())
    }

    /// As [`Node::send`]; `passed` is ready once the deadline has passed.
    pub(crate) async fn send_before(
        &self,
        outgoing: Outgoing,
        deadline: Option<Instant>,
        passed: impl Future<Output = ()>,
    ) -> Result<Report, SendError> {
        let now = clock::now();
        let state = CompletionState::for_waiter();
        let completion = Completion::new(state.clone());
        let id = match self.shared.begin(outgoing, deadline, completion, now) {
            Ok(id) => id,
            Err((SendError::Again, outgoing, completion)) => {
                match self.begin_when_room(outgoing, deadline, passed, completion).await? {
                    Submission::Sent(id) => id,
                    Submission::NeverSent(report) => return Ok(report),
                }
            }
            Err((error, _, _)) => return Err(error),
        };
        let mut cancel = DropGuard::new(|| self.shared.plane.cancel(id, clock::now()));
        let result = poll_fn(|cx| state.poll(cx)).await;
        cancel.disarm();
        CompletionState::recycle(state);
        result
    }

    /// Waits for room in the local queue, then starts the send.
    async fn begin_when_room(
        &self,
        mut outgoing: Outgoing,
        deadline: Option<Instant>,
        passed: impl Future<Output = ()>,
        mut completion: Completion,
    ) -> Result<Submission, SendError> {
        let mut passed = pin!(passed);
        loop {
            let mut space = pin!(self.shared.plane.sink().space.notified());
            space.as_mut().enable();
            match self.shared.begin(outgoing, deadline, completion, clock::now()) {
                Ok(id) => return Ok(Submission::Sent(id)),
                Err((SendError::Again, unsent, unused)) => {
                    (outgoing, completion) = (unsent, unused)
                }
                Err((error, _, _)) => return Err(error),
            }
            let in_time = tokio::select! {
                biased;
                () = space => true,
                () = passed.as_mut() => false,
            };
            if !in_time {
                return Ok(Submission::NeverSent(self.shared.report_not_sent(&outgoing)));
            }
        }
    }

    /// Starts a send whose result goes to `state`. Returns the message if there is no room.
    pub(crate) fn try_send(
        &self,
        outgoing: Outgoing,
        state: &Arc<CompletionState>,
    ) -> Result<MessageId, (SendError, Outgoing)> {
        let now = clock::now();
        let deadline = self.shared.deadline(&outgoing, now);
        let completion = Completion::new(state.clone());
        let id = self.shared.begin(outgoing, deadline, completion, now);
        id.map_err(|(error, outgoing, _)| (error, outgoing))
    }

    /// Starts a send and returns at once.
    ///
    /// # Errors
    /// [`SendError::Again`] if the local queue is full, or another error. Nothing was sent.
    pub fn start_send(&self, outgoing: Outgoing) -> Result<Pending, SendError> {
        self.begin_send(outgoing, CompletionState::for_waiter())
    }

    /// Starts a send. When it has ended, `done` is called once, from a thread that does no I/O. If
    /// the node closes before that, `done` still receives the report, or [`SendError::Closed`] if
    /// there is none.
    ///
    /// # Errors
    /// As [`Node::start_send`]. After an error `done` is not called.
    pub fn send_with(
        &self,
        outgoing: Outgoing,
        done: impl FnOnce(Result<Report, SendError>) + Send + 'static,
    ) -> Result<Pending, SendError> {
        let started = self.shared.plane.sink().callback_thread.ensure_running();
        started.map_err(|error| SendError::NoThread(error.to_string()))?;
        self.begin_send(outgoing, CompletionState::with_callback(done))
    }

    fn begin_send(
        &self,
        outgoing: Outgoing,
        state: Arc<CompletionState>,
    ) -> Result<Pending, SendError> {
        match self.try_send(outgoing, &state) {
            Ok(id) => Ok(Pending::new(self.shared.clone(), id, state)),
            Err((error, _)) => Err(error),
        }
    }

    /// The recipients of a broadcast at this time, sorted.
    pub fn broadcast_recipients(&self) -> Vec<NodeName> {
        let mut names: Vec<NodeName> =
            self.shared.plane.fib().routes.others().map(|(name, _)| name.clone()).collect();
        names.dedup();
        names
    }
}
