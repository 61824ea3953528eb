//! Distributes events from the driver to every subscription.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use super::counters::Counter;
use crate::event::Event;

/// The limit on the events queued for one subscription: a mesh of 1,000 nodes that joins.
pub const EVENTS_MAX: usize = 4096;

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Event>,
    /// Whether [`Event::Overflow`] is the last event of the queue.
    overflowed: bool,
    closed: bool,
    waker: Option<Waker>,
}

/// The events of one subscription.
#[derive(Debug, Default)]
pub(crate) struct Subscription {
    queue: Mutex<Queue>,
}

impl Subscription {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next event; `None` once the node is closed and all events were taken.
    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut queue = self.lock();
        match queue.take() {
            Some(event) => Poll::Ready(Some(event)),
            None if queue.closed => Poll::Ready(None),
            None => {
                queue.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The next event, if there is one.
    pub(crate) fn try_next(&self) -> Option<Event> {
        self.lock().take()
    }

    /// Ends the queue, then wakes its waiter.
    fn close(&self) {
        let waker = {
            let mut queue = self.lock();
            queue.closed = true;
            queue.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Queue {
    fn take(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if self.events.is_empty() {
            self.overflowed = false;
        }
        event
    }

    /// Queues an event. Returns `false` if it is dropped because the queue is full.
    fn push(&mut self, event: &Event) -> bool {
        if self.overflowed {
            return false;
        }
        let room = self.events.len() < EVENTS_MAX;
        self.overflowed = !room;
        self.events.push_back(if room { event.clone() } else { Event::Overflow });
        room
    }
}

/// The subscriptions of a node.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    all: Mutex<Vec<Weak<Subscription>>>,
}

impl Subscriptions {
    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Subscription>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a subscription, and calls `snapshot` at that moment: no [`Publication`] is open then.
    /// If the node is closed, the subscription has already ended.
    pub(crate) fn subscribe<R>(
        &self,
        closed: impl FnOnce() -> bool,
        snapshot: impl FnOnce() -> R,
    ) -> (Arc<Subscription>, R) {
        let subscription = Arc::new(Subscription::default());
        let mut all = self.lock();
        all.retain(|subscription| subscription.strong_count() > 0);
        all.push(Arc::downgrade(&subscription));
        let snapshot = snapshot();
        if closed() {
            subscription.close();
        }
        (subscription, snapshot)
    }

    /// Opens a publication. Every new subscription waits until it is dropped.
    pub(crate) fn publication(&self) -> Publication<'_> {
        Publication { subscriptions: Some(self.lock()), wakers: Vec::new() }
    }

    /// Ends every subscription.
    pub(crate) fn close(&self) {
        let all: Vec<_> = self.lock().iter().filter_map(Weak::upgrade).collect();
        all.iter().for_each(|subscription| subscription.close());
    }
}

/// A change of the mesh and its events, in one step for the subscriptions: a subscription is added
/// before both or after both. Its snapshot therefore agrees with the events that follow.
pub(crate) struct Publication<'a> {
    /// `Some` until the publication is dropped.
    subscriptions: Option<MutexGuard<'a, Vec<Weak<Subscription>>>>,
    /// Woken after the lock is released, because a waker may be code of the application.
    wakers: Vec<Waker>,
}

impl Publication<'_> {
    /// Queues an event for every subscription.
    pub(crate) fn publish(&mut self, event: &Event, dropped: &Counter) {
        let subscriptions = self.subscriptions.iter().flat_map(|all| all.iter());
        for subscription in subscriptions.filter_map(Weak::upgrade) {
            let mut queue = subscription.lock();
            if !queue.push(event) {
                dropped.one();
            }
            self.wakers.extend(queue.waker.take());
        }
    }
}

impl Drop for Publication<'_> {
    fn drop(&mut self) {
        self.subscriptions = None;
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_ends_with_one_overflow() {
        let subscriptions = Subscriptions::default();
        let subscription = subscriptions.subscribe(|| false, || ()).0;
        let dropped = Counter::default();
        for _ in 0..EVENTS_MAX + 10 {
            subscriptions.publication().publish(&Event::Topology, &dropped);
        }
        let mut received = Vec::new();
        while let Some(event) = subscription.try_next() {
            received.push(event);
        }
        assert_eq!(received.len(), EVENTS_MAX + 1);
        assert_eq!(received.last(), Some(&Event::Overflow));
        subscriptions.publication().publish(&Event::Topology, &dropped);
        assert_eq!(subscription.try_next(), Some(Event::Topology));
    }

    #[test]
    fn a_closed_subscription_returns_its_events_and_then_ends() {
        let subscriptions = Subscriptions::default();
        let subscription = subscriptions.subscribe(|| false, || ()).0;
        subscriptions.publication().publish(&Event::Topology, &Counter::default());
        subscriptions.close();
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(subscription.poll_next(&mut cx), Poll::Ready(Some(Event::Topology)));
        assert_eq!(subscription.poll_next(&mut cx), Poll::Ready(None));
        let late = subscriptions.subscribe(|| true, || ()).0;
        assert_eq!(late.poll_next(&mut cx), Poll::Ready(None));
    }
}
