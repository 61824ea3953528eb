//! Starting a send: limits, recipients, sequence numbers, and one entry for each recipient.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use smallvec::smallvec;

use super::channel_flow::{Entry, MESSAGE_OVERHEAD_BYTES, ROUTES_STABLE_AFTER, Stage};
use super::flow::Flow;
use super::outstanding::{OutstandingSends, SEND_BYTES_MAX, UNWAITED_TIMEOUT, earliest};
use super::send_table::{Content, OutstandingSend, RecipientGroups};
use crate::error::SendError;
use crate::message::{Outcome, Outgoing, Recipients};
use crate::name::{MessageId, Names, NodeName};
use crate::wire::data::{CHUNK_BYTES, Channel, RECIPIENTS_BYTES_MAX, Target};

impl<C> OutstandingSends<C> {
    /// Starts a send. With a `deadline` that is not after `now` the caller does not wait: the send
    /// completes at once with the outcomes that are known, and the message is still sent.
    ///
    /// # Errors
    /// [`SendError`]: nothing was sent.
    pub fn send(
        &mut self,
        outgoing: Outgoing,
        deadline: Option<Instant>,
        completion: C,
        now: Instant,
    ) -> Result<MessageId, (SendError, Outgoing, C)> {
        if deadline.is_none_or(|deadline| deadline > now) {
            return self.start_send(outgoing, deadline, completion, now);
        }
        let id = self.start_send(outgoing, Some(now + UNWAITED_TIMEOUT), completion, now)?;
        self.complete_unwaited(id.0);
        Ok(id)
    }

    fn start_send(
        &mut self,
        outgoing: Outgoing,
        deadline: Option<Instant>,
        completion: C,
        now: Instant,
    ) -> Result<MessageId, (SendError, Outgoing, C)> {
        let others = match self.check(&outgoing) {
            Ok(others) => others,
            Err(error) => return Err((error, outgoing, completion)),
        };
        self.next_id += 1;
        let id = self.next_id;
        let cost = cost(&outgoing);
        let (broadcast, recipients) = match (outgoing.recipients, others) {
            (Recipients::Broadcast, others) => (true, others.unwrap_or_default()),
            (Recipients::Set(names), others) => (false, others.unwrap_or(names)),
        };
        self.cost += cost;
        let large = outgoing.body.len() > CHUNK_BYTES;
        if !large {
            self.last_small_at = Some(now);
        }
        let content = self.content(Content {
            id,
            channel: Channel { broadcast, large },
            encoding: outgoing.encoding,
            body: outgoing.body,
            groups: groups(&recipients),
            recipients,
        });
        if let Some(entry) = self.send_at_once(&content, deadline, outgoing.retry, now) {
            self.sends.insert(id, OutstandingSend::single(completion, content, entry, cost));
            return Ok(MessageId(id));
        }
        let count = content.recipients.len();
        let send = OutstandingSend {
            completion: Some(completion),
            content: content.clone(),
            outcomes: smallvec![None; count],
            entries: smallvec![None; count],
            pending: count,
            cost,
            flooded_at: None,
        };
        if count == 0 {
            self.complete(send);
            return Ok(MessageId(id));
        }
        self.sends.insert(id, send);
        let number = broadcast.then(|| self.next_broadcast_number(usize::from(large), count));
        for recipient in 0..count {
            self.add_entry(id, &content, recipient, number, deadline, outgoing.retry, now);
        }
        self.start_transmissions(id, &content, number, now);
        self.deadline = earliest(self.deadline, deadline);
        Ok(MessageId(id))
    }

    /// Wraps a content to be shared, in a spare allocation if there is one.
    fn content(&mut self, content: Content) -> Arc<Content> {
        let mut spare = self.spare_contents.pop();
        match spare.as_mut().and_then(Arc::get_mut) {
            Some(place) => *place = content,
            None => return Arc::new(content),
        }
        spare.unwrap_or_else(|| {
            unreachable!("invariant F5: a spare content that was written to exists")
        })
    }

    /// Checks a send against the limits. Returns its recipients where they differ from the names
    /// that the caller gave.
    fn check(&self, outgoing: &Outgoing) -> Result<Option<Names>, SendError> {
        if outgoing.body.len() > self.max_message {
            return Err(SendError::TooLarge(outgoing.body.len(), self.max_message));
        }
        let recipients = match &outgoing.recipients {
            Recipients::Broadcast => {
                let mut names: Vec<NodeName> =
                    self.fib.routes.others().map(|(name, _)| name.clone()).collect();
                names.dedup();
                names.retain(|name| *name != self.name);
                Some(names.into())
            }
            Recipients::Set(names) if names.is_empty() => return Err(SendError::NoRecipients),
            Recipients::Set(names) if names.len() == 1 && names[0] != self.name => None,
            Recipients::Set(names) => {
                let mut seen = BTreeSet::new();
                let others = names.iter().filter(|name| **name != self.name);
                let others: Names =
                    others.filter(|name| seen.insert(name.as_str())).cloned().collect();
                if others.is_empty() {
                    return Err(SendError::SelfOnly);
                }
                Some(others)
            }
        };
        if self.cost > 0 && self.cost + cost(outgoing) > SEND_BYTES_MAX {
            return Err(SendError::Again);
        }
        Ok(recipients)
    }

    /// Records that a send was rejected because [`SEND_BYTES_MAX`] was reached.
    pub fn want_space(&mut self) {
        self.space_wanted = true;
    }

    fn next_broadcast_number(&mut self, large: usize, recipients: usize) -> u64 {
        let broadcasts = &mut self.broadcasts[large];
        let number = broadcasts.next;
        broadcasts.next += 1;
        broadcasts.outstanding.insert(number, recipients);
        number
    }

    /// Adds the entry of one recipient.
    #[expect(clippy::too_many_arguments, reason = "the parts of an entry, used once")]
    fn add_entry(
        &mut self,
        id: u64,
        content: &Content,
        recipient: usize,
        broadcast_number: Option<u64>,
        deadline: Option<Instant>,
        retry: bool,
        now: Instant,
    ) {
        let name = &content.recipients[recipient];
        let known = self.by_name.get(name).copied();
        let reachable = match known {
            Some(flow_index) => self.cached_route(flow_index).link.is_some(),
            None => self.fib.routes.route(name.as_str()).is_some(),
        };
        if !retry && !reachable {
            if let Some(number) = broadcast_number {
                self.release_broadcast_number(content.channel, number);
            }
            self.set_outcome(id, recipient, Outcome::NoRoute);
            return;
        }
        let flow_index = known.unwrap_or_else(|| self.open_flow(name, now));
        if self.flows[flow_index].is_idle() {
            self.active.insert(flow_index);
        }
        let flood_epoch = broadcast_number.map(|_| self.stable_epoch(now));
        let channel = &mut self.flows[flow_index].channels[content.channel.index()];
        let number = broadcast_number.unwrap_or(channel.next);
        if known.is_none() {
            channel.settled_limit = number;
        }
        channel.next = channel.next.max(number) + 1;
        channel.outstanding += 1;
        if channel.restart.is_some() {
            let query = channel.last_contact + channel.query_after;
            self.deadline = earliest(self.deadline, Some(query));
        }
        channel.entries.push_back(Entry {
            number,
            send: id,
            recipient,
            stage: Stage::Waiting,
            uncertain: false,
            flooded: false,
            flood_epoch,
            retry,
            deadline,
            last_refusal: None,
            in_flight: 0,
            sent_at: None,
            path: None,
        });
        if let Some(send) = self.sends.get_mut(id) {
            send.entries[recipient] = Some((flow_index, number));
        }
    }

    /// The number of the routes, or 0 if they have just changed.
    fn stable_epoch(&self, now: Instant) -> u64 {
        let stable = self
            .routes_changed_at
            .is_none_or(|at| now.saturating_duration_since(at) > ROUTES_STABLE_AFTER);
        if stable { self.epoch } else { 0 }
    }

    /// The number at which the channels of a flow start that is opened for message `id`. All numbers
    /// of earlier flows to the same recipient are less.
    pub(super) fn first_number(&self, recipient: &NodeName, id: u64) -> u64 {
        self.first_numbers.set(recipient) + id - 1
    }

    /// Opens a flow to a node.
    fn open_flow(&mut self, name: &NodeName, now: Instant) -> usize {
        let mut flow = Flow::new(name.clone(), self.first_number(name, self.next_id), now);
        flow.instance = self.fib.routes.route(name.as_str()).map(|route| route.instance);
        for channel in Channel::ALL.into_iter().filter(|channel| channel.broadcast) {
            flow.channels[channel.index()].settled_limit =
                self.broadcasts[usize::from(channel.large)].next;
        }
        let flow_index = match self.free.pop() {
            Some(flow_index) => {
                self.flows[flow_index] = flow;
                flow_index
            }
            None => {
                self.flows.push(flow);
                self.flows.len() - 1
            }
        };
        self.by_name.insert(name.clone(), flow_index);
        flow_index
    }
}

/// How many bytes a send counts for.
fn cost(outgoing: &Outgoing) -> u64 {
    outgoing.body.len() as u64 + MESSAGE_OVERHEAD_BYTES
}

/// Splits the recipients into groups that each fit into one header.
fn groups(recipients: &[NodeName]) -> RecipientGroups {
    let mut groups = RecipientGroups::new();
    let (mut start, mut bytes) = (0, 0);
    for (position, name) in recipients.iter().enumerate() {
        let len = Target::bytes_max(name);
        if bytes + len > RECIPIENTS_BYTES_MAX {
            groups.push(start..position);
            (start, bytes) = (position, 0);
        }
        bytes += len;
    }
    groups.push(start..recipients.len());
    groups
}
