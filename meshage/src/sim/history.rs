//! The book of what was sent, what became of it, and what arrived.
//!
//! It owns the truth about messages that no node has: the checkers compare with it. What can be
//! told wrong at once (a message received twice, or out of order) is told at once.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;

use crate::error::SendError;
use crate::message::{Message, Report};
use crate::name::{Instance, MessageId, NodeName};
use crate::wire::data::CHUNK_BYTES;

use super::network::Machine;

/// One send of a world: its place in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub usize);

/// A message that came into somebody's inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Whose.
    pub name: NodeName,
    /// In which life.
    pub instance: Instance,
    /// When the application had it.
    pub at: Duration,
    /// How many links it had crossed.
    pub hops: usize,
}

/// One message that was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// By whom.
    pub machine: Machine,
    /// In which life.
    pub source: Instance,
    /// Its number there.
    pub id: Option<MessageId>,
    /// Whom a report has to name, sorted.
    pub expected: Vec<NodeName>,
    /// Whether it went to everybody.
    pub broadcast: bool,
    /// How many bytes.
    pub length: usize,
    /// Whether it was to be sent again until the deadline.
    pub retry: bool,
    /// How often nodes had changed their routes, and relays had refused something, by then.
    pub upheavals: u64,
    /// When it was sent.
    pub started: Duration,
    /// When it has to be over.
    pub deadline: Duration,
    /// What the sender was told, and when.
    pub result: Option<(Duration, Result<Report, SendError>)>,
    /// Where it arrived.
    pub receipts: Vec<Receipt>,
    /// The sender's life ended first: nobody was there to be told.
    pub orphaned: bool,
}

/// Source, receiver, and whether the messages are large.
type SizeKey = (Instance, Instance, bool);

/// Everything sent in a world.
#[derive(Debug, Default)]
pub struct History {
    sent: Vec<Sent>,
    by_message: HashMap<(Instance, MessageId), Ticket>,
    /// The last message that a receiver had of a channel, broadcasts apart from sets.
    last: HashMap<(SizeKey, bool), MessageId>,
    /// The newest message that it had of both.
    newest: HashMap<SizeKey, MessageId>,
    received: u64,
}

/// The body of a send: a pattern of its own, so that a byte of another message shows.
pub fn body(ticket: Ticket, length: usize) -> Bytes {
    (0..length).map(|at| pattern(ticket, at)).collect::<Vec<u8>>().into()
}

fn pattern(ticket: Ticket, at: usize) -> u8 {
    (ticket.0.wrapping_mul(131) ^ at ^ (at >> 8).wrapping_mul(29)) as u8
}

impl History {
    /// The number that the next send will have.
    pub(super) fn next_ticket(&self) -> Ticket {
        Ticket(self.sent.len())
    }

    /// Enters a send.
    pub(super) fn enter(&mut self, sent: Sent) {
        self.sent.push(sent);
    }

    /// Takes the last entry back: nothing was sent after all.
    pub(super) fn withdraw(&mut self, ticket: Ticket) {
        assert_eq!(ticket.0 + 1, self.sent.len(), "only the last entry is ever taken back");
        self.sent.pop();
    }

    /// Enters the number that the source gave a send.
    pub(super) fn number(&mut self, ticket: Ticket, id: MessageId) {
        let sent = &mut self.sent[ticket.0];
        sent.id = Some(id);
        let doubled = self.by_message.insert((sent.source, id), ticket);
        assert_eq!(doubled, None, "invariant S3: a source uses no message number twice");
    }

    /// Enters what a sender was told. `late_from` is when it could first be told.
    pub(super) fn complete(
        &mut self,
        ticket: Ticket,
        result: Result<Report, SendError>,
        now: Duration,
        late_from: Duration,
    ) {
        let sent = &mut self.sent[ticket.0];
        assert!(sent.result.is_none(), "invariant S6: {ticket:?} was completed twice");
        assert!(
            now <= sent.deadline.max(late_from) + DEADLINE_SLACK,
            "invariant S6: {ticket:?} ended at {now:?}, after its deadline {:?}: {sent:?}",
            sent.deadline
        );
        sent.result = Some((now, result));
    }

    /// Enters a message that an application took out of its inbox, and how often nodes had changed
    /// their routes, and relays had refused something, by then.
    pub(super) fn receive(
        &mut self,
        name: &NodeName,
        instance: Instance,
        message: &Message,
        now: Duration,
        upheavals: u64,
    ) {
        let Some(&ticket) = self.by_message.get(&(message.instance, message.id)) else {
            panic!("invariant S3: {name} received a message that nobody sent: {message}");
        };
        let sent = &mut self.sent[ticket.0];
        assert!(
            message.body.len() == sent.length
                && message.body.iter().enumerate().all(|(at, &byte)| byte == pattern(ticket, at)),
            "invariant S3: {name} received {ticket:?} with another body"
        );
        assert_eq!(message.is_broadcast(), sent.broadcast, "invariant S3: {ticket:?} {message}");
        assert!(
            sent.receipts.iter().all(|receipt| receipt.instance != instance),
            "invariant S2: {name} ({instance}) received {ticket:?} twice: {message}; {sent:?}"
        );
        assert!(
            sent.broadcast || message.recipients.contains(name),
            "invariant S3: {name} received {ticket:?}, which was not sent to it"
        );
        sent.receipts.push(Receipt {
            name: name.clone(),
            instance,
            at: now,
            hops: message.route.len(),
        });
        self.in_order(name, instance, message, ticket, upheavals);
        self.received += 1;
    }

    /// Of one size, messages of one kind keep their order whatever happens; sets and broadcasts do
    /// with each other as long as the route stands: as long as no node changed its routes,
    /// and no relay refused one of them (a message that is sent again until it arrives takes another place in the order).
    fn in_order(
        &mut self,
        name: &NodeName,
        instance: Instance,
        message: &Message,
        ticket: Ticket,
        upheavals: u64,
    ) {
        let sent = &self.sent[ticket.0];
        let size = (message.instance, instance, sent.length > CHUNK_BYTES);
        let before = self.last.insert((size, sent.broadcast), message.id);
        assert!(
            before.is_none_or(|before| before < message.id),
            "invariant S5: {name} received {} after {before:?} of {}: {sent:?}",
            message.id,
            message.source
        );
        let newest = self.newest.entry(size).or_insert(message.id);
        assert!(
            *newest <= message.id || sent.upheavals != upheavals || sent.retry,
            "invariant S5: {name} received {} after {newest:?} of {}: {sent:?}",
            message.id,
            message.source
        );
        *newest = message.id.max(*newest);
    }

    /// The sender's life ended.
    pub(super) fn orphan(&mut self, source: Instance) {
        for sent in &mut self.sent {
            if sent.source == source && sent.result.is_none() {
                sent.orphaned = true;
            }
        }
    }

    /// What was sent, in order.
    pub fn sent(&self) -> &[Sent] {
        &self.sent
    }

    /// One send.
    pub fn entry(&self, ticket: Ticket) -> &Sent {
        &self.sent[ticket.0]
    }

    /// How many messages arrived, each recipient counted.
    pub fn received(&self) -> u64 {
        self.received
    }
}

/// How much later than its deadline a send may end: timers are exact in virtual time.
const DEADLINE_SLACK: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Encoding;

    const SECOND: Duration = Duration::from_secs(1);

    fn name(text: &str) -> NodeName {
        NodeName::new(text).expect("valid")
    }

    /// A history in which "a" sent so many messages to "b", one byte each.
    fn history(messages: u64) -> History {
        let mut history = History::default();
        for number in 1..=messages {
            let ticket = history.next_ticket();
            history.enter(Sent {
                machine: Machine(0),
                source: Instance(1),
                id: None,
                expected: vec![name("b")],
                broadcast: false,
                length: 1,
                retry: false,
                upheavals: 0,
                started: Duration::ZERO,
                deadline: SECOND,
                result: None,
                receipts: Vec::new(),
                orphaned: false,
            });
            history.number(ticket, MessageId(number));
        }
        history
    }

    fn receive(history: &mut History, number: u64) {
        let message = Message {
            source: name("a"),
            instance: Instance(1),
            id: MessageId(number),
            recipients: name("b").into(),
            route: name("a").into(),
            encoding: Encoding::BYTES,
            body: body(Ticket(number as usize - 1), 1),
        };
        history.receive(&name("b"), Instance(2), &message, SECOND, 0);
    }

    #[test]
    fn messages_once_each_and_in_order_are_as_they_have_to_be() {
        let mut history = history(3);
        receive(&mut history, 1);
        receive(&mut history, 3);
        assert_eq!(history.received(), 2);
    }

    #[test]
    #[should_panic(expected = "invariant S2")]
    fn a_message_twice_is_found() {
        let mut history = history(1);
        receive(&mut history, 1);
        receive(&mut history, 1);
    }

    #[test]
    #[should_panic(expected = "invariant S5")]
    fn a_message_overtaken_is_found() {
        let mut history = history(2);
        receive(&mut history, 2);
        receive(&mut history, 1);
    }

    #[test]
    #[should_panic(expected = "invariant S3")]
    fn a_message_that_nobody_sent_is_found() {
        receive(&mut history(0), 1);
    }

    #[test]
    #[should_panic(expected = "invariant S6")]
    fn a_report_after_the_deadline_is_found() {
        let report = Ok(Report::default());
        history(1).complete(Ticket(0), report, SECOND * 2, Duration::ZERO);
    }
}
