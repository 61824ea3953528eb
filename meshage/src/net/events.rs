//! Events, from the driver to every subscription.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use super::counters::Counter;
use crate::event::Event;

/// How many events wait for their application: a mesh of 1,000 nodes joining.
pub const EVENTS_MAX: usize = 4096;

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Event>,
    /// [`Event::Overflow`] is the last of the queue.
    overflowed: bool,
    closed: bool,
    waiting: Option<Waker>,
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

    /// The next event; `None` once the node is closed and all were taken.
    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut queue = self.lock();
        match queue.take() {
            Some(event) => Poll::Ready(Some(event)),
            None if queue.closed => Poll::Ready(None),
            None => {
                queue.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// An event, if there is one.
    pub(crate) fn try_next(&self) -> Option<Event> {
        self.lock().take()
    }

    /// Changes the queue, then wakes whoever waits for it.
    fn change(&self, change: impl FnOnce(&mut Queue)) {
        let waiting = {
            let mut queue = self.lock();
            change(&mut queue);
            queue.waiting.take()
        };
        if let Some(waiting) = waiting {
            waiting.wake();
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

    /// Puts an event in; `false` where it is dropped.
    fn put(&mut self, event: &Event) -> bool {
        if self.overflowed {
            return false;
        }
        let room = self.events.len() < EVENTS_MAX;
        self.overflowed = !room;
        self.events.push_back(if room { event.clone() } else { Event::Overflow });
        room
    }
}

/// All subscriptions of a node.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    all: Mutex<Vec<Weak<Subscription>>>,
}

impl Subscriptions {
    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Subscription>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A subscription from now on; of a closed node, one that is over.
    pub(crate) fn subscribe(&self, closed: impl FnOnce() -> bool) -> Arc<Subscription> {
        let subscription = Arc::new(Subscription::default());
        let mut all = self.lock();
        all.retain(|subscription| subscription.strong_count() > 0);
        all.push(Arc::downgrade(&subscription));
        if closed() {
            subscription.change(|queue| queue.closed = true);
        }
        subscription
    }

    /// Gives an event to every subscription.
    pub(crate) fn publish(&self, event: &Event, dropped: &Counter) {
        for subscription in self.lock().iter().filter_map(Weak::upgrade) {
            subscription.change(|queue| {
                if !queue.put(event) {
                    dropped.one();
                }
            });
        }
    }

    /// Ends every subscription.
    pub(crate) fn close(&self) {
        for subscription in self.lock().iter().filter_map(Weak::upgrade) {
            subscription.change(|queue| queue.closed = true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_nobody_takes_end_in_one_overflow() {
        let subscriptions = Subscriptions::default();
        let subscription = subscriptions.subscribe(|| false);
        let dropped = Counter::default();
        for _ in 0..EVENTS_MAX + 10 {
            subscriptions.publish(&Event::Topology, &dropped);
        }
        let mut got = Vec::new();
        while let Some(event) = subscription.try_next() {
            got.push(event);
        }
        assert_eq!(got.len(), EVENTS_MAX + 1);
        assert_eq!(got.last(), Some(&Event::Overflow));
        subscriptions.publish(&Event::Topology, &dropped);
        assert_eq!(subscription.try_next(), Some(Event::Topology));
    }

    #[test]
    fn a_closed_subscription_is_emptied_and_then_ends() {
        let subscriptions = Subscriptions::default();
        let subscription = subscriptions.subscribe(|| false);
        subscriptions.publish(&Event::Topology, &Counter::default());
        subscriptions.close();
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(subscription.poll_next(&mut cx), Poll::Ready(Some(Event::Topology)));
        assert_eq!(subscription.poll_next(&mut cx), Poll::Ready(None));
        let late = subscriptions.subscribe(|| true);
        assert_eq!(late.poll_next(&mut cx), Poll::Ready(None));
    }
}
