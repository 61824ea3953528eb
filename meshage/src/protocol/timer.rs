//! The timer table: at most one deadline for each reason there is to wake up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::name::{Instance, LinkId};

/// Why the router wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// To call for links.
    Solicit,
    /// To let islands know of each other.
    Beacon,
    /// To dial a seed again; carries its place in the configuration.
    Seed(usize),
    /// To answer this node's call.
    Answer(Instance),
    /// To announce what changed since the last announcement.
    Announce,
    /// To announce though nothing changed.
    Refresh,
    /// To compute the routes.
    Routes,
    /// To send a sign of life over every link.
    KeepAlive,
    /// To look which links are silent.
    Silence,
    /// To give up a link whose ends do not agree.
    Agree(LinkId),
    /// To forget nodes that cannot be reached.
    Forget,
}

/// Deadlines by reason, and the reasons by deadline.
#[derive(Debug, Default)]
pub(super) struct Timers {
    deadlines: BTreeMap<Timer, Instant>,
    order: BTreeSet<(Instant, Timer)>,
}

impl Timers {
    /// Sets a timer, whatever it was set to before.
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        self.stop(timer);
        self.deadlines.insert(timer, at);
        self.order.insert((at, timer));
    }

    /// Sets a timer unless it is to run out earlier.
    pub(super) fn set_earlier(&mut self, timer: Timer, at: Instant) {
        if self.deadlines.get(&timer).is_none_or(|&set| at < set) {
            self.set(timer, at);
        }
    }

    /// Stops a timer; nothing if it was not set.
    pub(super) fn stop(&mut self, timer: Timer) {
        if let Some(at) = self.deadlines.remove(&timer) {
            self.order.remove(&(at, timer));
        }
    }

    /// Stops them all.
    pub(super) fn stop_all(&mut self) {
        self.deadlines.clear();
        self.order.clear();
    }

    /// Whether a timer is set.
    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.deadlines.contains_key(&timer)
    }

    /// How many are set.
    pub(super) fn len(&self) -> usize {
        self.deadlines.len()
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<(Instant, Timer)> {
        self.order.first().copied()
    }

    /// Takes the earliest timer that has run out.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Instant, Timer)> {
        let (at, timer) = self.next().filter(|(at, _)| *at <= now)?;
        self.stop(timer);
        Some((at, timer))
    }

    /// The two tables agree (invariant C1).
    pub(super) fn check(&self) {
        assert_eq!(self.deadlines.len(), self.order.len(), "invariant C1: one deadline a timer");
        for (timer, at) in &self.deadlines {
            assert!(self.order.contains(&(*at, *timer)), "invariant C1: every timer is in order");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn timers_run_out_in_order_and_once() {
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
