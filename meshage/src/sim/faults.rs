//! Faults of a simulated host, and the recovery from them.

use std::time::Duration;

use crate::protocol::io::Command;

use super::connection::{ConnectionId, Segment, Side, State};
use super::event::SimEvent;
use super::network::HostId;
use super::node::HostState;
use super::simulation::Sim;

/// The longest that a closing node takes before it leaves, as over real sockets.
const CLOSE_TIME_MAX: Duration = Duration::from_millis(1750);
/// The interval at which it checks whether it may.
const FLUSH_INTERVAL: Duration = Duration::from_millis(2);

impl Sim {
    /// Kills the node's process. The kernel closes its connections, so the peers notice at once.
    pub fn kill(&mut self, host_id: HostId) {
        self.trace_hash.line(self.now, || format!("kill {}", host_id.0));
        for (id, side) in self.end_incarnation(host_id) {
            self.put(id, side, Segment::Fin);
        }
    }

    /// Cuts the host's power. The peers receive no notification.
    pub fn power_off(&mut self, host_id: HostId) {
        self.trace_hash.line(self.now, || format!("power off {}", host_id.0));
        self.end_incarnation(host_id);
        self.hosts[host_id.0].state = HostState::Off;
    }

    /// Closes the node as an application does: it accepts no more sends, finishes the outstanding
    /// ones, waits for the acknowledgements in transit, and then leaves.
    pub fn close(&mut self, host_id: HostId) {
        if !self.is_running(host_id) {
            return;
        }
        self.trace_hash.line(self.now, || format!("close {}", host_id.0));
        let until = self.now + CLOSE_TIME_MAX;
        let now = self.instant();
        if let Some(incarnation) = self.incarnation(host_id) {
            incarnation.plane.stop(now, |_| ());
            let number = incarnation.number;
            self.check_flush(host_id, number, until);
        }
    }

    /// Lets a closing node leave once it is flushed, at the latest at `until`.
    pub(super) fn check_flush(&mut self, host_id: HostId, number: u64, until: Duration) {
        let now = self.instant();
        let Some(incarnation) = self.incarnation(host_id).filter(|it| it.number == number) else {
            return;
        };
        let idle = incarnation.plane.is_idle();
        if idle {
            incarnation.plane.stop_forwarding();
        }
        let written = incarnation.links.values().all(|link| link.outbound.waiting_bytes() == 0);
        let flushed = idle && written && !incarnation.plane.expects_acknowledgements(now);
        let event = SimEvent::FlushCheck { host_id, incarnation: number, until };
        if self.hosts[host_id.0].state == HostState::Stopped {
            self.defer(host_id, event);
        } else if flushed || self.now >= until {
            self.leave(host_id);
        } else {
            self.schedule(self.now + FLUSH_INTERVAL, event);
        }
    }

    /// Makes the node leave at once as an application does that closes it: it notifies its peers.
    pub fn leave(&mut self, host_id: HostId) {
        if !self.is_running(host_id) {
            return;
        }
        let now = self.instant();
        if let Some(incarnation) = self.incarnation(host_id) {
            incarnation.plane.stop(now, |_| ());
            incarnation.plane.close();
        }
        self.command(host_id, Command::Close);
        self.kill(host_id);
    }

    /// Sets the host's clock forward. Its timers do not depend on it.
    pub fn advance_clock(&mut self, host_id: HostId, by: Duration) {
        self.trace_hash.line(self.now, || format!("clock {} forward {by:?}", host_id.0));
        self.hosts[host_id.0].spec.clock_ahead += by;
    }

    /// Undoes [`Sim::advance_clock`].
    pub fn restore_clock(&mut self, host_id: HostId, by: Duration) {
        self.trace_hash.line(self.now, || format!("clock {} back {by:?}", host_id.0));
        self.hosts[host_id.0].spec.clock_ahead -= by;
    }

    /// Stops the process, as SIGSTOP does.
    pub fn stop(&mut self, host_id: HostId) {
        self.trace_hash.line(self.now, || format!("stop {}", host_id.0));
        let host = &mut self.hosts[host_id.0];
        if host.state == HostState::Running {
            host.state = HostState::Stopped;
        }
    }

    /// Resumes a stopped process: it handles expired timers first, then what arrived meanwhile.
    pub fn resume(&mut self, host_id: HostId) {
        let host = &mut self.hosts[host_id.0];
        if host.state != HostState::Stopped {
            return;
        }
        host.state = HostState::Running;
        host.continued_at = self.now;
        let deferred = std::mem::take(&mut host.deferred);
        if let Some(incarnation) = &mut host.incarnation {
            incarnation.wake = None;
        }
        self.trace_hash.line(self.now, || format!("go on {}", host_id.0));
        self.wake_now(host_id);
        for event in deferred {
            self.schedule(self.now, event);
        }
        self.release();
        self.settle(host_id);
    }

    /// Handles the expired timers of a node that was stopped.
    fn wake_now(&mut self, host_id: HostId) {
        let now = self.instant();
        if let Some(incarnation) = &mut self.hosts[host_id.0].incarnation {
            if incarnation.router.poll_timeout().is_some_and(|(at, _)| at <= now) {
                incarnation.router.handle_timeout(now);
            }
            if incarnation.plane.poll_timeout().is_some_and(|at| at <= now) {
                incarnation.plane.handle_timeout(now);
            }
        }
        self.settle(host_id);
    }

    /// Ends the incarnation of a node and returns the connection ends that it held.
    fn end_incarnation(&mut self, host_id: HostId) -> Vec<(ConnectionId, Side)> {
        self.check_forgeries(host_id);
        let host = &mut self.hosts[host_id.0];
        if host.state == HostState::Stopped {
            host.state = HostState::Running;
        }
        host.deferred.clear();
        let Some(incarnation) = host.incarnation.take() else {
            return Vec::new();
        };
        self.trace_hash.event(self.now, b'k', host_id.0 as u64, incarnation.instance.0);
        // Messages in the inbox count as delivered, although the application did not read them.
        for message in incarnation.plane.take(usize::MAX).0 {
            self.history.record_delivery(
                &host.spec.name,
                incarnation.instance,
                &message,
                self.now,
                self.counters.order_disruptions,
            );
        }
        for (send_id, result) in incarnation.plane.sink().completed() {
            self.history.record_completion(send_id, result, self.now, host.continued_at);
        }
        self.history.mark_sender_ended(incarnation.instance);
        for (id, side) in &incarnation.open {
            self.connections[id.0].end_mut(*side).state = State::Closed;
        }
        // The kernel of a stopped process may have accepted connections that the process never
        // used.
        self.release();
        incarnation.open.into_iter().collect()
    }
}
