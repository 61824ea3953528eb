//! What a node gives out one after the other: events and messages.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::Node;
use crate::error::RecvError;
use crate::event::Event;
use crate::message::Message;
use crate::net::events::Subscription;

/// A subscription to a node's events: holds up to [`super::EVENTS_MAX`], then one [`Event::Overflow`].
pub struct Events {
    subscription: Arc<Subscription>,
}

impl Events {
    pub(super) fn new(subscription: Arc<Subscription>) -> Self {
        Self { subscription }
    }

    /// Waits for an event; `None` once the node is closed and all were taken.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| self.subscription.poll_next(cx)).await
    }

    /// Takes an event if there is one.
    pub fn try_next(&mut self) -> Option<Event> {
        self.subscription.try_next()
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.subscription.poll_next(cx)
    }
}

type NextMessage = Pin<Box<dyn Future<Output = Result<Message, RecvError>> + Send>>;

/// A node's messages as a stream, from [`Node::messages`]. Holds the node open; dropping it loses
/// no message.
pub struct Messages {
    node: Node,
    next: Option<NextMessage>,
}

impl Messages {
    pub(super) fn new(node: Node) -> Self {
        Self { node, next: None }
    }
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
