//! Events of the mesh, and snooping on forwarded messages.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::handle::Node;
use crate::event::Event;
use crate::message::Message;
use crate::net::events::Subscription;
use crate::route::RouteTable;
use crate::topology::Mesh;

impl Node {
    /// Subscribes to the events from now on. [`Events::mesh`] is the topology at this moment.
    pub fn events(&self) -> Events {
        let is_closed = || self.shared.is_closed();
        let routes = || self.shared.plane.fib().routes.clone();
        let (subscription, routes) = self.shared.subscriptions.subscribe(is_closed, routes);
        Events { subscription, routes }
    }

    /// Calls `snoop` for every complete message that this node forwards and does not receive, from
    /// a thread that does no I/O. `None` stops it. If `snoop` is slow, messages are dropped and
    /// counted.
    ///
    /// # Errors
    /// The system's error if no thread could be started. Then nothing is snooped.
    pub fn set_snoop(&self, snoop: Option<Box<dyn FnMut(Message) + Send>>) -> std::io::Result<()> {
        let snoop = snoop.filter(|_| !self.is_closed());
        let on = snoop.is_some();
        let started = self.shared.plane.sink().callback_thread.set_snooper(snoop);
        self.shared.plane.set_snoop(on && started.is_ok());
        started
    }
}

/// A subscription to a node's events. It holds up to [`super::EVENTS_MAX`] events, then one
/// [`Event::Overflow`].
///
/// ```
/// # use meshage::{event::Event, node::Node, topology::Mesh};
/// # fn track(_: &Mesh) {}
/// # async fn example(node: Node) {
/// let mut events = node.events();
/// track(&events.mesh()); // the nodes that are here
/// while let Some(event) = events.next().await {
///     // … and every later change: no node is missed between the two.
/// }
/// # }
/// ```
pub struct Events {
    subscription: Arc<Subscription>,
    routes: Arc<RouteTable>,
}

impl Events {
    /// The topology at the moment of the subscription. The events are the changes since then, each
    /// exactly once.
    pub fn mesh(&self) -> Mesh {
        self.routes.mesh()
    }

    /// Waits for an event. Returns `None` once the node is closed and all events were taken.
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
