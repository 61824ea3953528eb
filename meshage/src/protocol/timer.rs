//! The timer table: at most one deadline for each reason to wake up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::name::{Instance, LinkId};

/// A reason to wake the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// Send a solicitation.
    Solicit,
    /// Send a beacon.
    Beacon,
    /// Dial a seed, given by its index in the configuration.
    Seed(usize),
    /// Start the response dial to this node.
    Response(Instance),
    /// Announce the changes since the last announcement.
    Announce,
    /// Compare the database with those of all peers.
    Compare,
    /// Tell the peers beside the trees which announcements this node has.
    Have,
    /// Compute the routes.
    Routes,
    /// Send a keep-alive over every link.
    KeepAlive,
    /// Close the links that have been silent for the dead interval.
    Silence,
    /// Close this link if its admission or database exchange is not complete.
    LinkSetup(LinkId),
    /// Close the links of nodes whose tickets have ended.
    Tickets,
    /// Look at the announcements that were postponed.
    Postponed,
    /// Remove nodes that have been unreachable for too long.
    Expire,
}

/// The deadlines by timer, and the timers by deadline.
#[derive(Debug, Default)]
pub(super) struct Timers {
    deadlines: BTreeMap<Timer, Instant>,
    order: BTreeSet<(Instant, Timer)>,
}

impl Timers {
    /// Sets a timer, and replaces its former deadline.
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        self.stop(timer);
        self.deadlines.insert(timer, at);
        self.order.insert((at, timer));
    }

    /// Sets a timer, unless it has an earlier deadline.
    pub(super) fn set_earlier(&mut self, timer: Timer, at: Instant) {
        if self.deadlines.get(&timer).is_none_or(|&set| at < set) {
            self.set(timer, at);
        }
    }

    /// Stops a timer, if it is set.
    pub(super) fn stop(&mut self, timer: Timer) {
        if let Some(at) = self.deadlines.remove(&timer) {
            self.order.remove(&(at, timer));
        }
    }

    /// Stops all timers.
    pub(super) fn stop_all(&mut self) {
        self.deadlines.clear();
        self.order.clear();
    }

    /// Whether a timer is set.
    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.deadlines.contains_key(&timer)
    }

    /// The number of timers that are set.
    pub(super) fn len(&self) -> usize {
        self.deadlines.len()
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<(Instant, Timer)> {
        self.order.first().copied()
    }

    /// Takes the earliest timer whose deadline has passed.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Instant, Timer)> {
        let (at, timer) = self.next().filter(|(at, _)| *at <= now)?;
        self.stop(timer);
        Some((at, timer))
    }

    /// Checks that the two tables agree (invariant C1).
    pub(super) fn check(&self) {
        assert_eq!(self.deadlines.len(), self.order.len(), "invariant C1: one deadline a timer");
        for (timer, at) in &self.deadlines {
            assert!(
                self.order.contains(&(*at, *timer)),
                "invariant C1: every deadline is in the ordered set"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn timers_fire_once_and_in_order() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        timers.set(Timer::Routes, at(5));
        timers.set(Timer::Solicit, at(9));
        timers.set(Timer::Solicit, at(3));
        timers.set_earlier(Timer::Routes, at(7));
        timers.check();
        assert_eq!(timers.pop(at(2)), None);
        assert_eq!(timers.pop(at(9)), Some((at(3), Timer::Solicit)));
        assert_eq!(timers.pop(at(9)), Some((at(5), Timer::Routes)));
        assert_eq!(timers.pop(at(9)), None);
    }
}
