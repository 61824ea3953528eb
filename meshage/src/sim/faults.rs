//! What can befall a computer of a simulated world, and how it comes back.

use crate::protocol::io::Command;

use super::connection::{ConnectionId, Segment, Side, State};
use super::network::Machine;
use super::node::Condition;
use super::simulation::Sim;

impl Sim {
    /// Kills the node's process: the kernel closes its connections, so that the peers know.
    pub fn kill(&mut self, machine: Machine) {
        self.trace_hash.line(self.now, || format!("kill {}", machine.0));
        for (id, side) in self.end_life(machine) {
            self.put(id, side, Segment::Fin);
        }
    }

    /// Cuts the computer's power: nobody is told anything.
    pub fn power_off(&mut self, machine: Machine) {
        self.trace_hash.line(self.now, || format!("power off {}", machine.0));
        self.end_life(machine);
        self.computers[machine.0].condition = Condition::Off;
    }

    /// Has the node leave as an application does that closes it, with a word to its peers.
    pub fn leave(&mut self, machine: Machine) {
        if !self.is_running(machine) {
            return;
        }
        if let Some(life) = self.life(machine) {
            life.plane.stop(|_| ());
            life.plane.close();
        }
        self.command(machine, Command::Close);
        self.kill(machine);
    }

    /// Stops the process, as SIGSTOP does.
    pub fn stop(&mut self, machine: Machine) {
        self.trace_hash.line(self.now, || format!("stop {}", machine.0));
        let computer = &mut self.computers[machine.0];
        if computer.condition == Condition::On {
            computer.condition = Condition::Stopped;
        }
    }

    /// Lets a stopped process go on: first with what it finds due, then with what arrived.
    pub fn go_on(&mut self, machine: Machine) {
        let computer = &mut self.computers[machine.0];
        if computer.condition != Condition::Stopped {
            return;
        }
        computer.condition = Condition::On;
        computer.continued_at = self.now;
        let deferred = std::mem::take(&mut computer.deferred);
        if let Some(life) = &mut computer.life {
            life.wake = None;
        }
        self.trace_hash.line(self.now, || format!("go on {}", machine.0));
        self.wake_now(machine);
        for happening in deferred {
            self.schedule(self.now, happening);
        }
        self.release();
        self.settle(machine);
    }

    /// Does what is due at a node whose timers did not run.
    fn wake_now(&mut self, machine: Machine) {
        let now = self.instant();
        if let Some(life) = &mut self.computers[machine.0].life {
            if life.router.poll_timeout().is_some_and(|(at, _)| at <= now) {
                life.router.handle_timeout(now);
            }
            if life.plane.poll_timeout().is_some_and(|at| at <= now) {
                life.plane.handle_timeout(now);
            }
        }
        self.settle(machine);
    }

    /// Ends the life of a node and gives back the ends of connections that it held.
    fn end_life(&mut self, machine: Machine) -> Vec<(ConnectionId, Side)> {
        let computer = &mut self.computers[machine.0];
        if computer.condition == Condition::Stopped {
            computer.condition = Condition::On;
        }
        computer.deferred.clear();
        let Some(life) = computer.life.take() else {
            return Vec::new();
        };
        self.trace_hash.event(self.now, b'k', machine.0 as u64, life.instance.0);
        // What was in the inbox had been delivered, though nobody read it.
        for message in life.plane.take(usize::MAX).0 {
            self.history.receive(
                &computer.spec.name,
                life.instance,
                &message,
                self.now,
                self.figures.upheavals,
            );
        }
        for (ticket, result) in life.plane.sink().completed() {
            self.history.complete(ticket, result, self.now, computer.continued_at);
        }
        self.history.orphan(life.instance);
        for (id, side) in &life.open {
            self.connections[id.0].end_mut(*side).state = State::Gone;
        }
        // The kernel of a stopped process took connections that the process never saw.
        self.release();
        life.open.into_iter().collect()
    }
}
