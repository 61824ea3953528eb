//! Commands that an application or a test gives to a simulation, and accessors for the results.

use std::time::Duration;

use crate::error::SendError;
use crate::message::{Message, Outgoing, Recipients, Report};
use crate::name::{MessageId, NodeName};
use crate::protocol::io::{Command, Input, Reply, RequestId};

use super::history::{History, SendId, SendRecord, body};
use super::network::{HostId, Network};
use super::report::SimCounters;
use super::simulation::Sim;
use super::trace_hash::TraceHash;

/// Options of a simulated send.
#[derive(Debug, Clone, Copy)]
pub struct SendOptions {
    /// How long to wait for the acknowledgements.
    pub timeout: Duration,
    /// Whether to retry until the timeout.
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

    /// Passes an application's command to a router.
    pub fn command(&mut self, host_id: HostId, command: Command) {
        if !self.is_running(host_id) {
            return;
        }
        self.trace_hash.line(self.now, || format!("command {} {command:?}", host_id.0));
        self.feed(host_id, Input::Command(command));
        self.settle(host_id);
    }

    /// Has one node dial another.
    pub fn dial(&mut self, from: &str, to: &str) -> RequestId {
        let request = self.request();
        self.command(self.host(from), Command::Dial { request, address: to.into() });
        request
    }

    /// Makes a node hang up on a peer.
    pub fn hangup(&mut self, from: HostId, peer: &NodeName) -> RequestId {
        let request = self.request();
        self.command(from, Command::Hangup { request, peer: peer.clone() });
        request
    }

    /// The reply to a command, or `None` while it is pending.
    pub fn reply(&self, request: RequestId) -> Option<&Reply> {
        self.replies.get(&request)
    }

    /// Sends to a set of nodes with the default timeout.
    pub fn send_to<const N: usize>(&mut self, from: &str, to: [&str; N], length: usize) -> SendId {
        #[expect(clippy::expect_used, reason = "an invalid name is an error of the test")]
        let to = to.map(|name| NodeName::new(name).expect("a valid node name"));
        let host_id = self.host(from);
        self.send(
            host_id,
            Recipients::Set(to.into_iter().collect()),
            length,
            SendOptions::default(),
        )
        .unwrap_or_else(|error| panic!("{from} could not send: {error}"))
    }

    /// Broadcasts with the default timeout.
    pub fn broadcast(&mut self, from: &str, length: usize) -> SendId {
        let host_id = self.host(from);
        self.send(host_id, Recipients::Broadcast, length, SendOptions::default())
            .unwrap_or_else(|error| panic!("{from} could not broadcast: {error}"))
    }

    /// Sends a generated body of `length` bytes. The simulator checks the body on delivery.
    ///
    /// # Errors
    /// The error of the data plane, or `Closed` if no node runs on the host.
    pub fn send(
        &mut self,
        from: HostId,
        to: Recipients,
        length: usize,
        options: SendOptions,
    ) -> Result<SendId, SendError> {
        let result = self.start_send(from, to, length, options);
        self.settle(from);
        result
    }

    /// As [`Sim::send`], from within the settling of a node.
    pub(super) fn start_send(
        &mut self,
        from: HostId,
        to: Recipients,
        length: usize,
        options: SendOptions,
    ) -> Result<SendId, SendError> {
        if !self.is_running(from) {
            return Err(SendError::Closed);
        }
        let now = self.instant();
        let Some(incarnation) = &self.hosts[from.0].incarnation else {
            return Err(SendError::Closed);
        };
        let own = &self.hosts[from.0].spec.name;
        let mut expected: Vec<NodeName> = match &to {
            Recipients::Broadcast => {
                incarnation.plane.fib().routes.others().map(|(name, _)| name.clone()).collect()
            }
            Recipients::Set(names) => names.to_vec(),
        };
        expected.retain(|name| name != own);
        expected.sort();
        expected.dedup();
        let send_id = self.history.next_send_id();
        let outgoing = match &to {
            Recipients::Broadcast => Outgoing::broadcast(body(send_id, length)),
            Recipients::Set(names) => Outgoing::set(names.iter().cloned(), body(send_id, length)),
        };
        self.trace_hash
            .line(self.now, || format!("send {send_id:?} {own} {to:?} {length} bytes {options:?}"));
        self.history.record_send(SendRecord {
            host_id: from,
            source: incarnation.instance,
            id: None,
            expected,
            broadcast: to == Recipients::Broadcast,
            length,
            retry: options.retry,
            order_disruptions: self.counters.order_disruptions,
            started: self.now,
            deadline: self.now + options.timeout,
            result: None,
            deliveries: Vec::new(),
            sender_ended: false,
        });
        let outgoing = outgoing.retry(options.retry).timeout(options.timeout);
        let sent = incarnation.plane.send(outgoing, Some(now + options.timeout), send_id, now);

        match sent {
            Ok(id) => {
                self.history.set_message_id(send_id, id);
                Ok(send_id)
            }
            Err((error, _, _)) => {
                self.history.remove_last(send_id);
                Err(error)
            }
        }
    }

    /// Cancels a send.
    pub fn cancel(&mut self, send_id: SendId) {
        let now = self.instant();
        let sent = self.history.entry(send_id);
        let (host_id, source, id) = (sent.host_id, sent.source, sent.id);
        let (Some(incarnation), Some(id)) = (self.incarnation(host_id), id) else {
            return;
        };
        if incarnation.instance == source && self.is_running(host_id) {
            incarnation.plane.cancel(id, now);
            self.settle(host_id);
        }
    }

    /// The report of a send, or `None` while it is outstanding.
    pub fn report(&self, send_id: SendId) -> Option<&Report> {
        self.history.entry(send_id).result.as_ref().and_then(|(_, result)| result.as_ref().ok())
    }

    /// The message number that the source assigned to a send.
    pub fn message_id(&self, send_id: SendId) -> Option<MessageId> {
        self.history.entry(send_id).id
    }

    /// The messages that the application took from its inbox. [`Sim::line`] and
    /// [`Sim::record_inboxes`] record them.
    pub fn received(&self, host_name: &str) -> &[Message] {
        let host_id = self.host(host_name);
        self.inboxes.as_ref().and_then(|all| all.get(&host_id)).map_or(&[], Vec::as_slice)
    }

    /// The messages that a node snooped in transit.
    pub fn snooped(&self, host_name: &str) -> &[Message] {
        self.snooped.get(&self.host(host_name)).map_or(&[], Vec::as_slice)
    }

    /// Records the messages that applications take from their inboxes from now on, for
    /// [`Sim::received`].
    pub fn record_inboxes(&mut self) {
        self.inboxes.get_or_insert_default();
    }

    /// Turns snooping on or off.
    pub fn set_snoop(&mut self, host_name: &str, on: bool) {
        if let Some(incarnation) = self.incarnation(self.host(host_name)) {
            incarnation.plane.set_snoop(on);
        }
    }

    /// Sets whether the application at a node reads its inbox.
    pub fn set_reading(&mut self, host_id: HostId, reading: bool) {
        self.trace_hash.line(self.now, || format!("reading {} {reading}", host_id.0));
        if let Some(incarnation) = &mut self.hosts[host_id.0].incarnation {
            incarnation.reading = reading;
        }
        if self.is_running(host_id) {
            self.settle(host_id);
        }
    }

    /// The history of sends and deliveries.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The counters of the simulation.
    pub fn counters(&self) -> &SimCounters {
        &self.counters
    }

    /// The digest of the trace.
    pub fn trace_hash(&self) -> &TraceHash {
        &self.trace_hash
    }

    /// The network, for changes. Call [`Sim::release`] after healing a fault.
    pub fn network(&mut self) -> &mut Network {
        &mut self.network
    }

    /// Drops all traffic between two nodes silently, in both directions.
    pub fn cut(&mut self, a: &str, b: &str) {
        let (a, b) = (self.host(a), self.host(b));
        self.network.cut(a, b);
    }

    /// Undoes [`Sim::cut`].
    pub fn heal(&mut self, a: &str, b: &str) {
        let (a, b) = (self.host(a), self.host(b));
        self.network.heal(a, b);
        self.release();
    }
}
