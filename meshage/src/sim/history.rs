//! The history of sends and deliveries that the checkers compare with.
//!
//! It has the complete view of all messages, which no node has. An error that is visible at once (a
//! message delivered twice, or out of order) panics at once.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;

use crate::error::SendError;
use crate::message::{Message, Report};
use crate::name::{Instance, MessageId, NodeName};
use crate::wire::data::CHUNK_BYTES;

use super::liar::{FORGED_BODY, FORGERY_LASTS};
use super::network::HostId;

/// One send of a simulation: its index in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SendId(pub usize);

/// A message that arrived in an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The recipient.
    pub name: NodeName,
    /// The recipient's incarnation.
    pub instance: Instance,
    /// When the application received it.
    pub at: Duration,
    /// The number of links that it crossed.
    pub hops: usize,
}

/// The record of one send.
#[derive(Debug, Clone)]
pub struct SendRecord {
    /// The sending host.
    pub host_id: HostId,
    /// The sender's incarnation.
    pub source: Instance,
    /// The message number that the source assigned.
    pub id: Option<MessageId>,
    /// The recipients that the report must name, sorted.
    pub expected: Vec<NodeName>,
    /// Whether it is a broadcast.
    pub broadcast: bool,
    /// The length of the body in bytes.
    pub length: usize,
    /// Whether it was to be retried until the deadline.
    pub retry: bool,
    /// The value of the order-disruption counter at the time of the send.
    pub order_disruptions: u64,
    /// When it was sent.
    pub started: Duration,
    /// The deadline.
    pub deadline: Duration,
    /// The result that the sender received, and when.
    pub result: Option<(Duration, Result<Report, SendError>)>,
    /// The deliveries.
    pub deliveries: Vec<Delivery>,
    /// The sender's incarnation ended before the result was known.
    pub sender_ended: bool,
}

/// The source, the receiver, and whether the messages are large.
type SizeKey = (Instance, Instance, bool);

/// All sends and deliveries of a simulation.
#[derive(Debug, Default)]
pub struct History {
    sent: Vec<SendRecord>,
    by_message: HashMap<(Instance, MessageId), SendId>,
    /// The last message that a receiver got on a channel, with separate entries for broadcasts and
    /// sets.
    last: HashMap<(SizeKey, bool), MessageId>,
    /// The newest message that a receiver got, broadcasts and sets together.
    newest: HashMap<SizeKey, MessageId>,
    received: u64,
    /// When frames in the name of a source were forged, the first and the last; about one recipient
    /// or all.
    forgeries: HashMap<(Instance, Option<NodeName>), (Duration, Duration)>,
    forged_deliveries: u64,
}

/// The body of a send. Each send has its own pattern, so that a byte of another message is
/// detected.
pub fn body(send_id: SendId, length: usize) -> Bytes {
    (0..length).map(|at| pattern(send_id, at)).collect::<Vec<u8>>().into()
}

fn pattern(send_id: SendId, at: usize) -> u8 {
    (send_id.0.wrapping_mul(131) ^ at ^ (at >> 8).wrapping_mul(29)) as u8
}

impl History {
    /// The ID of the next send.
    pub(super) fn next_send_id(&self) -> SendId {
        SendId(self.sent.len())
    }

    /// Records a send.
    pub(super) fn record_send(&mut self, sent: SendRecord) {
        self.sent.push(sent);
    }

    /// Removes the last record, because the send was refused.
    pub(super) fn remove_last(&mut self, send_id: SendId) {
        assert_eq!(send_id.0 + 1, self.sent.len(), "only the last record may be removed");
        self.sent.pop();
    }

    /// Records the message number that the source assigned to a send.
    pub(super) fn set_message_id(&mut self, send_id: SendId, id: MessageId) {
        let sent = &mut self.sent[send_id.0];
        sent.id = Some(id);
        let previous = self.by_message.insert((sent.source, id), send_id);
        assert_eq!(previous, None, "invariant S3: a source used a message number twice");
    }

    /// Records that a frame was forged which is about messages from a source to one recipient, or to
    /// all.
    pub(super) fn record_forgery(
        &mut self,
        source: Instance,
        recipient: Option<&NodeName>,
        now: Duration,
    ) {
        let times = self.forgeries.entry((source, recipient.cloned())).or_insert((now, now));
        times.1 = now;
    }

    /// Whether forged frames may have affected what a source sent to a recipient between two times.
    pub(super) fn is_affected(
        &self,
        source: Instance,
        recipient: &NodeName,
        from: Duration,
        to: Duration,
    ) -> bool {
        [Some(recipient.clone()), None].into_iter().any(|recipient| {
            let times = self.forgeries.get(&(source, recipient));
            times.is_some_and(|(first, last)| *first <= to && from <= *last + FORGERY_LASTS)
        })
    }

    /// The number of forged messages that applications received.
    pub fn forged_deliveries(&self) -> u64 {
        self.forged_deliveries
    }

    /// Records the result of a send. `late_from` is the earliest time at which it could be
    /// reported.
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
            "invariant S6: {send_id:?} completed at {now:?}, after its deadline {:?}: {sent:?}",
            sent.deadline
        );
        if sent.deadline == sent.started {
            let delivered = result.iter().flat_map(Report::delivered).next();
            assert_eq!((now, delivered), (sent.started, None), "invariant S6: {send_id:?} waited");
        }
        sent.result = Some((now, result));
    }

    /// Records a message that an application took from its inbox. `order_disruptions` is the
    /// current value of the counter of route changes and refusals in transit.
    pub(super) fn record_delivery(
        &mut self,
        name: &NodeName,
        instance: Instance,
        message: &Message,
        now: Duration,
        order_disruptions: u64,
    ) {
        if message.body.starts_with(FORGED_BODY) {
            self.forged_deliveries += 1;
            return;
        }
        let Some(&send_id) = self.by_message.get(&(message.instance, message.id)) else {
            panic!("invariant S3: {name} received a message that was not sent: {message}");
        };
        let started = self.sent[send_id.0].started;
        if self.is_affected(message.instance, name, started, now) {
            let delivery =
                Delivery { name: name.clone(), instance, at: now, hops: message.route.len() };
            self.sent[send_id.0].deliveries.push(delivery);
            self.received += 1;
            return;
        }
        let sent = &mut self.sent[send_id.0];
        assert!(
            message.body.len() == sent.length
                && message.body.iter().enumerate().all(|(at, &byte)| byte == pattern(send_id, at)),
            "invariant S3: {name} received {send_id:?} with a different body"
        );
        assert_eq!(message.is_broadcast(), sent.broadcast, "invariant S3: {send_id:?} {message}");
        assert!(
            sent.deliveries.iter().all(|delivery| delivery.instance != instance),
            "invariant S2: {name} ({instance}) received {send_id:?} twice: {message}; {sent:?}"
        );
        let mut route: Vec<&NodeName> = message.route.iter().collect();
        route.sort();
        assert!(
            route.windows(2).all(|two| two[0] != two[1]) && !message.route.contains(name),
            "invariant S7: a message to {name} passed a node twice: {message}"
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

    /// Checks the order of messages of one size. Messages of one kind always arrive in order. Sets
    /// and broadcasts arrive in order relative to each other while no node changes its routes and
    /// no relay refuses a message. (A message that is retried until it arrives takes a later place
    /// in the order.)
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

    /// Marks the pending sends of an incarnation that ended.
    pub(super) fn mark_sender_ended(&mut self, source: Instance) {
        for sent in &mut self.sent {
            if sent.source == source && sent.result.is_none() {
                sent.sender_ended = true;
            }
        }
    }

    /// All sends, in order.
    pub fn sent(&self) -> &[SendRecord] {
        &self.sent
    }

    /// One send.
    pub fn entry(&self, send_id: SendId) -> &SendRecord {
        &self.sent[send_id.0]
    }

    /// The number of deliveries, each recipient counted.
    pub fn received(&self) -> u64 {
        self.received
    }
}

/// The allowed delay of a completion after its deadline. Timers are exact in virtual time.
const DEADLINE_SLACK: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Encoding;

    const SECOND: Duration = Duration::from_secs(1);

    fn name(text: &str) -> NodeName {
        NodeName::new(text).expect("valid")
    }

    /// A history in which "a" sent `messages` messages of one byte to "b".
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
    fn messages_delivered_once_and_in_order_are_accepted() {
        let mut history = history(3);
        receive(&mut history, 1);
        receive(&mut history, 3);
        assert_eq!(history.received(), 2);
    }

    #[test]
    #[should_panic(expected = "invariant S2")]
    fn a_duplicate_delivery_is_detected() {
        let mut history = history(1);
        receive(&mut history, 1);
        receive(&mut history, 1);
    }

    #[test]
    #[should_panic(expected = "invariant S5")]
    fn a_reordered_message_is_detected() {
        let mut history = history(2);
        receive(&mut history, 2);
        receive(&mut history, 1);
    }

    #[test]
    #[should_panic(expected = "invariant S3")]
    fn a_message_that_was_never_sent_is_detected() {
        receive(&mut history(0), 1);
    }

    #[test]
    #[should_panic(expected = "invariant S6")]
    fn a_report_after_the_deadline_is_detected() {
        let report = Ok(Report::default());
        history(1).record_completion(SendId(0), report, SECOND * 2, Duration::ZERO);
    }
}
