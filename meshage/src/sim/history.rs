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

use super::network::HostId;

/// One send of a world: its place in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SendId(pub usize);

/// A message that came into somebody's inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Whose.
    pub name: NodeName,
    /// In which incarnation.
    pub instance: Instance,
    /// When the application had it.
    pub at: Duration,
    /// How many links it had crossed.
    pub hops: usize,
}

/// One message that was sent.
#[derive(Debug, Clone)]
pub struct SendRecord {
    /// By whom.
    pub host_id: HostId,
    /// In which incarnation.
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
    pub order_disruptions: u64,
    /// When it was sent.
    pub started: Duration,
    /// When it has to be over.
    pub deadline: Duration,
    /// What the sender was told, and when.
    pub result: Option<(Duration, Result<Report, SendError>)>,
    /// Where it arrived.
    pub deliveries: Vec<Delivery>,
    /// The sender's incarnation ended first: nobody was there to be told.
    pub sender_ended: bool,
}

/// Source, receiver, and whether the messages are large.
type SizeKey = (Instance, Instance, bool);

/// Everything sent in a world.
#[derive(Debug, Default)]
pub struct History {
    sent: Vec<SendRecord>,
    by_message: HashMap<(Instance, MessageId), SendId>,
    /// The last message that a receiver had of a channel, broadcasts apart from sets.
    last: HashMap<(SizeKey, bool), MessageId>,
    /// The newest message that it had of both.
    newest: HashMap<SizeKey, MessageId>,
    received: u64,
}

/// The body of a send: a pattern of its own, so that a byte of another message shows.
pub fn body(send_id: SendId, length: usize) -> Bytes {
    (0..length).map(|at| pattern(send_id, at)).collect::<Vec<u8>>().into()
}

fn pattern(send_id: SendId, at: usize) -> u8 {
    (send_id.0.wrapping_mul(131) ^ at ^ (at >> 8).wrapping_mul(29)) as u8
}

impl History {
    /// The number that the next send will have.
    pub(super) fn next_send_id(&self) -> SendId {
        SendId(self.sent.len())
    }

    /// Enters a send.
    pub(super) fn record_send(&mut self, sent: SendRecord) {
        self.sent.push(sent);
    }

    /// Takes the last entry back: nothing was sent after all.
    pub(super) fn remove_last(&mut self, send_id: SendId) {
        assert_eq!(send_id.0 + 1, self.sent.len(), "only the last entry is ever taken back");
        self.sent.pop();
    }

    /// Enters the number that the source gave a send.
    pub(super) fn set_message_id(&mut self, send_id: SendId, id: MessageId) {
        let sent = &mut self.sent[send_id.0];
        sent.id = Some(id);
        let doubled = self.by_message.insert((sent.source, id), send_id);
        assert_eq!(doubled, None, "invariant S3: a source uses no message number twice");
    }

    /// Enters what a sender was told. `late_from` is when it could first be told.
    pub(super) fn record_completion(
        &mut self,
        send_id: SendId,
        result: Result<Report, SendError>,
        now: Duration,
        late_from: Duration,
    ) {
        let sent = &mut self.sent[send_id.0];
        assert!(sent.result.is_none(), "invariant S6: {send_id:?} was completed twice");
        assert!(
            now <= sent.deadline.max(late_from) + DEADLINE_SLACK,
            "invariant S6: {send_id:?} ended at {now:?}, after its deadline {:?}: {sent:?}",
            sent.deadline
        );
        sent.result = Some((now, result));
    }

    /// Enters a message that an application took out of its inbox, and how often nodes had changed
    /// their routes, and relays had refused something, by then.
    pub(super) fn record_delivery(
        &mut self,
        name: &NodeName,
        instance: Instance,
        message: &Message,
        now: Duration,
        order_disruptions: u64,
    ) {
        let Some(&send_id) = self.by_message.get(&(message.instance, message.id)) else {
            panic!("invariant S3: {name} received a message that nobody sent: {message}");
        };
        let sent = &mut self.sent[send_id.0];
        assert!(
            message.body.len() == sent.length
                && message.body.iter().enumerate().all(|(at, &byte)| byte == pattern(send_id, at)),
            "invariant S3: {name} received {send_id:?} with another body"
        );
        assert_eq!(message.is_broadcast(), sent.broadcast, "invariant S3: {send_id:?} {message}");
        assert!(
            sent.deliveries.iter().all(|delivery| delivery.instance != instance),
            "invariant S2: {name} ({instance}) received {send_id:?} twice: {message}; {sent:?}"
        );
        assert!(
            sent.broadcast || message.recipients.contains(name),
            "invariant S3: {name} received {send_id:?}, which was not sent to it"
        );
        sent.deliveries.push(Delivery {
            name: name.clone(),
            instance,
            at: now,
            hops: message.route.len(),
        });
        self.in_order(name, instance, message, send_id, order_disruptions);
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
        send_id: SendId,
        order_disruptions: u64,
    ) {
        let sent = &self.sent[send_id.0];
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
            *newest <= message.id || sent.order_disruptions != order_disruptions || sent.retry,
            "invariant S5: {name} received {} after {newest:?} of {}: {sent:?}",
            message.id,
            message.source
        );
        *newest = message.id.max(*newest);
    }

    /// The sender's incarnation ended.
    pub(super) fn mark_sender_ended(&mut self, source: Instance) {
        for sent in &mut self.sent {
            if sent.source == source && sent.result.is_none() {
                sent.sender_ended = true;
            }
        }
    }

    /// What was sent, in order.
    pub fn sent(&self) -> &[SendRecord] {
        &self.sent
    }

    /// One send.
    pub fn entry(&self, send_id: SendId) -> &SendRecord {
        &self.sent[send_id.0]
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
            let send_id = history.next_send_id();
            history.record_send(SendRecord {
                host_id: HostId(0),
                source: Instance(1),
                id: None,
                expected: vec![name("b")],
                broadcast: false,
                length: 1,
                retry: false,
                order_disruptions: 0,
                started: Duration::ZERO,
                deadline: SECOND,
                result: None,
                deliveries: Vec::new(),
                sender_ended: false,
            });
            history.set_message_id(send_id, MessageId(number));
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
            body: body(SendId(number as usize - 1), 1),
        };
        history.record_delivery(&name("b"), Instance(2), &message, SECOND, 0);
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
        history(1).record_completion(SendId(0), report, SECOND * 2, Duration::ZERO);
    }
}
