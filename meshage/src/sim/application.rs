//! What an application or a test does to a simulated world, and what it sees of it.

use std::time::Duration;

use crate::error::SendError;
use crate::message::{Message, Outgoing, Recipients, Report};
use crate::name::{MessageId, NodeName};
use crate::protocol::io::{Command, Input, Reply, RequestId};

use super::history::{History, Sent, Ticket, body};
use super::network::{Machine, Network};
use super::report::Figures;
use super::simulation::Sim;
use super::trace_hash::TraceHash;

/// How a message is sent.
#[derive(Debug, Clone, Copy)]
pub struct SendOptions {
    /// How long to wait for the acknowledgements.
    pub timeout: Duration,
    /// Whether to send again until then.
    pub retry: bool,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self { timeout: crate::config::DEFAULT_TIMEOUT, retry: false }
    }
}

impl Sim {
    fn request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }

    /// Gives a router a command, as an application does.
    pub fn command(&mut self, machine: Machine, command: Command) {
        if !self.is_running(machine) {
            return;
        }
        self.trace_hash.line(self.now, || format!("command {} {command:?}", machine.0));
        self.feed(machine, Input::Command(command));
        self.settle(machine);
    }

    /// Has one node dial another.
    pub fn dial(&mut self, from: &str, to: &str) -> RequestId {
        let request = self.request();
        self.command(self.machine(from), Command::Dial { request, address: to.into() });
        request
    }

    /// Has a node hang up on a peer.
    pub fn hangup(&mut self, from: Machine, peer: &NodeName) -> RequestId {
        let request = self.request();
        self.command(from, Command::Hangup { request, peer: peer.clone() });
        request
    }

    /// What came of a command, once it is known.
    pub fn reply(&self, request: RequestId) -> Option<&Reply> {
        self.replies.get(&request)
    }

    /// Sends to some nodes with the default timeout.
    pub fn set<const N: usize>(&mut self, from: &str, to: [&str; N], length: usize) -> Ticket {
        #[expect(clippy::expect_used, reason = "a world with a wrong name is a mistake of ours")]
        let to = to.map(|name| NodeName::new(name).expect("a valid node name"));
        let machine = self.machine(from);
        self.send(
            machine,
            Recipients::Set(to.into_iter().collect()),
            length,
            SendOptions::default(),
        )
        .unwrap_or_else(|error| panic!("{from} could not send: {error}"))
    }

    /// Sends to everybody with the default timeout.
    pub fn broadcast(&mut self, from: &str, length: usize) -> Ticket {
        let machine = self.machine(from);
        self.send(machine, Recipients::Broadcast, length, SendOptions::default())
            .unwrap_or_else(|error| panic!("{from} could not broadcast: {error}"))
    }

    /// Sends a body of so many bytes, which the simulator makes up and checks on arrival.
    ///
    /// # Errors
    /// What the data plane answers, or `Closed` where no node runs.
    pub fn send(
        &mut self,
        from: Machine,
        to: Recipients,
        length: usize,
        options: SendOptions,
    ) -> Result<Ticket, SendError> {
        if !self.is_running(from) {
            return Err(SendError::Closed);
        }
        let now = self.instant();
        let Some(life) = &self.computers[from.0].life else {
            return Err(SendError::Closed);
        };
        let own = &self.computers[from.0].spec.name;
        let mut expected: Vec<NodeName> = match &to {
            Recipients::Broadcast => {
                life.plane.fib().routes.others().map(|(name, _)| name.clone()).collect()
            }
            Recipients::Set(names) => names.to_vec(),
        };
        expected.retain(|name| name != own);
        expected.sort();
        expected.dedup();
        let ticket = self.history.next_ticket();
        let outgoing = match &to {
            Recipients::Broadcast => Outgoing::broadcast(body(ticket, length)),
            Recipients::Set(names) => Outgoing::set(names.iter().cloned(), body(ticket, length)),
        };
        self.trace_hash
            .line(self.now, || format!("send {ticket:?} {own} {to:?} {length} bytes {options:?}"));
        self.history.enter(Sent {
            machine: from,
            source: life.instance,
            id: None,
            expected,
            broadcast: to == Recipients::Broadcast,
            length,
            retry: options.retry,
            upheavals: self.figures.upheavals,
            started: self.now,
            deadline: self.now + options.timeout,
            result: None,
            receipts: Vec::new(),
            orphaned: false,
        });
        let outgoing = outgoing.retry(options.retry).timeout(options.timeout);
        let sent = life.plane.send(outgoing, Some(now + options.timeout), ticket, now);
        let answer = match sent {
            Ok(id) => {
                self.history.number(ticket, id);
                Ok(ticket)
            }
            Err((error, _, _)) => {
                self.history.withdraw(ticket);
                Err(error)
            }
        };
        self.settle(from);
        answer
    }

    /// Takes a send back.
    pub fn cancel(&mut self, ticket: Ticket) {
        let now = self.instant();
        let sent = self.history.entry(ticket);
        let (machine, source, id) = (sent.machine, sent.source, sent.id);
        let (Some(life), Some(id)) = (self.life(machine), id) else {
            return;
        };
        if life.instance == source && self.is_running(machine) {
            life.plane.cancel(id, now);
            self.settle(machine);
        }
    }

    /// The report of a send, once there is one.
    pub fn report(&self, ticket: Ticket) -> Option<&Report> {
        self.history.entry(ticket).result.as_ref().and_then(|(_, result)| result.as_ref().ok())
    }

    /// The number that a source gave to a send.
    pub fn message_id(&self, ticket: Ticket) -> Option<MessageId> {
        self.history.entry(ticket).id
    }

    /// What an application took out of its inbox, in a world that keeps it ([`Sim::line`]).
    pub fn received(&self, host: &str) -> &[Message] {
        let machine = self.machine(host);
        self.inboxes.as_ref().and_then(|all| all.get(&machine)).map_or(&[], Vec::as_slice)
    }

    /// What a node saw in transit.
    pub fn snooped(&self, host: &str) -> &[Message] {
        self.snooped.get(&self.machine(host)).map_or(&[], Vec::as_slice)
    }

    /// Turns snooping on or off.
    pub fn set_snoop(&mut self, host: &str, on: bool) {
        if let Some(life) = self.life(self.machine(host)) {
            life.plane.set_snoop(on);
        }
    }

    /// Whether the application at a node reads its inbox.
    pub fn set_reading(&mut self, machine: Machine, reading: bool) {
        self.trace_hash.line(self.now, || format!("reading {} {reading}", machine.0));
        if let Some(life) = &mut self.computers[machine.0].life {
            life.reading = reading;
        }
        if self.is_running(machine) {
            self.settle(machine);
        }
    }

    /// Everything sent so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What was counted so far.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// The digest of everything that happened.
    pub fn trace_hash(&self) -> &TraceHash {
        &self.trace_hash
    }

    /// The network, to be changed. Call [`Sim::release`] after healing something.
    pub fn network(&mut self) -> &mut Network {
        &mut self.network
    }

    /// Cuts what passes between two nodes: silence, both ways.
    pub fn cut(&mut self, a: &str, b: &str) {
        let (a, b) = (self.machine(a), self.machine(b));
        self.network.cut(a, b);
    }

    /// Undoes [`Sim::cut`].
    pub fn heal(&mut self, a: &str, b: &str) {
        let (a, b) = (self.machine(a), self.machine(b));
        self.network.heal(a, b);
        self.release();
    }
}
