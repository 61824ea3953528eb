//! Faults of a simulated host, and the recovery from them.

use crate::protocol::io::Command;

use super::connection::{ConnectionId, Segment, Side, State};
use super::network::HostId;
use super::node::HostState;
use super::simulation::Sim;

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

    /// Makes the node leave as an application does that closes it: it notifies its peers.
    pub fn leave(&mut self, host_id: HostId) {
        if !self.is_running(host_id) {
            return;
        }
        if let Some(incarnation) = self.incarnation(host_id) {
            incarnation.plane.stop(|_| ());
            incarnation.plane.close();
        }
        self.command(host_id, Command::Close);
        self.kill(host_id);
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
