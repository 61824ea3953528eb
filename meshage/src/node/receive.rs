//! Receiving: one message, several, or a stream of them.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::handle::Node;
use crate::error::RecvError;
use crate::message::Message;
use crate::net::sys::socket_pair::RawDescriptor;
use crate::net::sys::wakeup_fd::WakeupFd;

impl Node {
    /// Waits for a message. Dropping the future loses no message.
    ///
    /// # Errors
    /// [`RecvError::Closed`] once the node is closed and its inbox is empty.
    pub async fn recv(&self) -> Result<Message, RecvError> {
        self.shared.recv().await
    }

    /// Waits for a message, then takes up to `max` messages from the inbox.
    ///
    /// # Errors
    /// As [`Node::recv`].
    pub async fn recv_many(&self, max: usize) -> Result<Vec<Message>, RecvError> {
        self.shared.recv_many(max).await
    }

    /// Takes a message from the inbox if there is one.
    ///
    /// # Errors
    /// [`RecvError::Timeout`] if there is none, [`RecvError::Closed`] once the node is closed.
    pub fn try_recv(&self) -> Result<Message, RecvError> {
        self.shared.take_one()?.ok_or(RecvError::Timeout)
    }

    /// Takes up to `max` messages from the inbox.
    ///
    /// # Errors
    /// As [`Node::try_recv`].
    pub fn try_recv_many(&self, max: usize) -> Result<Vec<Message>, RecvError> {
        self.shared.take(max)?.ok_or(RecvError::Timeout)
    }

    /// Returns the messages as a stream. It ends when the node is closed and its inbox is empty.
    pub fn messages(&self) -> Messages {
        Messages { node: self.clone(), next: None }
    }

    /// Returns the wakeup descriptor, which is readable while a message waits and once the node is
    /// closed. The node owns it: callers wait for it, but neither read nor close it.
    ///
    /// # Errors
    /// The system's error if it has no free descriptor.
    pub fn recv_fd(&self) -> std::io::Result<RawDescriptor> {
        let wakeup_fd = self.shared.plane.sink().wakeup_fd.get_or_init(WakeupFd::default);
        let descriptor = wakeup_fd.open()?;
        wakeup_fd.sync(|| self.shared.is_readable());
        Ok(descriptor)
    }

    /// Closes the wakeup descriptor, which otherwise stays open until the last clone of the node is
    /// dropped. Nothing may wait for it any more. [`Node::recv_fd`] opens a new one.
    pub fn release_recv_fd(&self) {
        if let Some(wakeup_fd) = self.shared.plane.sink().wakeup_fd.get() {
            wakeup_fd.release();
        }
    }
}

type NextMessage = Pin<Box<dyn Future<Output = Result<Message, RecvError>> + Send>>;

/// A node's messages as a stream, from [`Node::messages`]. It keeps the node open. Dropping it
/// loses no message.
pub struct Messages {
    node: Node,
    next: Option<NextMessage>,
}

impl Stream for Messages {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        if self.next.is_none()
            && let Ok(message) = self.node.try_recv()
        {
            return Poll::Ready(Some(message));
        }
        let shared = self.node.shared.clone();
        let next = self.next.get_or_insert_with(|| Box::pin(async move { shared.recv().await }));
        match next.as_mut().poll(cx) {
            Poll::Ready(message) => {
                self.next = None;
                Poll::Ready(message.ok())
            }
            Poll::Pending => Poll::Pending,
        }
    }
}
