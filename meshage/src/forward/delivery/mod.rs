//! The sends of this node that are under way, until each has an outcome for each recipient.
//!
//! A send becomes one **entry** per recipient, in that recipient's flow. What goes over one link
//! goes as one **transmission**: frame after frame, for all the recipients behind that link at once. A transmission
//! that cannot go on (the link's queue is full, a window is) waits without holding anything else.
//!
//! Nothing here waits, and nothing here calls out: what has ended is collected in `done`.

mod acknowledgement;
pub mod congestion;
mod fast_path;
pub mod flow;
mod send_table;
mod transmission;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use foldhash::{HashMap, HashMapExt as _};
use smallvec::{SmallVec, smallvec};

use self::flow::{CachedRoute, Entry, Flow, MESSAGE_OVERHEAD_BYTES, ROUTES_STABLE_AFTER, Stage};
use self::send_table::{Content, OutstandingSend, RecipientGroups, SendTable};
use self::transmission::Transmission;
use super::outbound::Outbound;
use super::plane::Fib;
use crate::error::SendError;
use crate::message::{Outcome, Outgoing, Recipients, Report};
use crate::name::{Instance, LinkId, MessageId, Names, NodeName};
use crate::wire::ack::AckEntry;
use crate::wire::data::{CHUNK_BYTES, Channel, RECIPIENTS_BYTES_MAX, Target};

/// How many bytes of sends may be under way: two of the largest messages. One send always finds room.
pub const SEND_BYTES_MAX: u64 = 128 << 20;

/// How much memory of contents that are done with is kept for the next: of so many messages.
const SPARE_CONTENTS_MAX: usize = 1024;

/// The numbers of broadcasts, of one channel.
#[derive(Debug)]
struct BroadcastNumbers {
    next: u64,
    /// How many recipients each is outstanding at.
    outstanding: BTreeMap<u64, usize>,
}

/// The sends under way.
pub struct OutstandingSends<C> {
    name: NodeName,
    instance: Instance,
    max_message: usize,
    fib: Arc<Fib>,
    epoch: u64,
    /// When the routes last changed.
    routes_changed_at: Option<Instant>,
    sends: SendTable<C>,
    spare_contents: Vec<Arc<Content>>,
    flows: Vec<Flow>,
    by_name: HashMap<NodeName, usize>,
    /// Flows with something outstanding.
    active: BTreeSet<usize>,
    free: Vec<usize>,
    transmissions: BTreeMap<u64, Transmission>,
    next_transmission: u64,
    /// Transmissions that wait for room in a link's queue, small and large ones apart.
    blocked: BTreeMap<(LinkId, bool), VecDeque<u64>>,
    broadcasts: [BroadcastNumbers; 2],
    next_id: u64,
    cost: u64,
    space_wanted: bool,
    deadline: Option<Instant>,
    /// When a small message was last sent.
    last_small_at: Option<Instant>,
    /// Sends that have ended.
    pub completed: Vec<(C, Result<Report, SendError>)>,
    /// How many sends ended at once when some last did.
    last_completed: usize,
    /// Queries to send.
    pub queries: Vec<AckEntry>,
    /// The links' queues that something was put into, to be flushed.
    pub to_flush: SmallVec<[Arc<Outbound>; 2]>,
    /// The local queue was full and has room again.
    pub space_available: bool,
}

impl<C> OutstandingSends<C> {
    /// Nothing under way.
    pub fn new(name: NodeName, instance: Instance, max_message: usize, fib: Arc<Fib>) -> Self {
        let broadcasts = || BroadcastNumbers { next: 1, outstanding: BTreeMap::new() };
        Self {
            name,
            instance,
            max_message,
            fib,
            epoch: 1,
            routes_changed_at: None,
            sends: SendTable::new(),
            spare_contents: Vec::new(),
            flows: Vec::new(),
            by_name: HashMap::new(),
            active: BTreeSet::new(),
            free: Vec::new(),
            transmissions: BTreeMap::new(),
            next_transmission: 0,
            blocked: BTreeMap::new(),
            broadcasts: [broadcasts(), broadcasts()],
            next_id: 0,
            cost: 0,
            space_wanted: false,
            deadline: None,
            last_small_at: None,
            completed: Vec::new(),
            last_completed: 0,
            queries: Vec::new(),
            to_flush: SmallVec::new(),
            space_available: false,
        }
    }

    /// Begins a send.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    pub fn send(
        &mut self,
        outgoing: Outgoing,
        deadline: Option<Instant>,
        completion: C,
        now: Instant,
    ) -> Result<MessageId, (SendError, Outgoing, C)> {
        let others = match self.admit(&outgoing) {
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
        if let Some(number) = self.send_at_once(&content, deadline, outgoing.retry, now) {
            self.sends.insert(id, OutstandingSend::single(completion, content, number, cost));
            return Ok(MessageId(id));
        }
        let count = content.recipients.len();
        let send = OutstandingSend {
            completion,
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

    /// A content that can be shared, in memory that was used before if there is some.
    fn content(&mut self, content: Content) -> Arc<Content> {
        let mut spare = self.spare_contents.pop();
        match spare.as_mut().and_then(Arc::get_mut) {
            Some(position) => *position = content,
            None => return Arc::new(content),
        }
        spare.unwrap_or_else(|| unreachable!("invariant F5: what was written to is there"))
    }

    /// Whom a message goes to, where that is not just the names it gives.
    fn admit(&self, outgoing: &Outgoing) -> Result<Option<Names>, SendError> {
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

    /// Notes that a send was not admitted for want of room.
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

    /// Makes the entry of one recipient.
    #[expect(clippy::too_many_arguments, reason = "all that an entry is made of, used once")]
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
        channel.next = channel.next.max(number) + 1;
        channel.outstanding += 1;
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

    /// The number of the routes, or 0 where they have just changed.
    fn stable_epoch(&self, now: Instant) -> u64 {
        let stable = self
            .routes_changed_at
            .is_none_or(|at| now.saturating_duration_since(at) > ROUTES_STABLE_AFTER);
        if stable { self.epoch } else { 0 }
    }

    /// The way to a flow's node, found once for each set of routes.
    fn cached_route(&mut self, flow_index: usize) -> &CachedRoute {
        let flow = &mut self.flows[flow_index];
        if flow.route.epoch != self.epoch {
            let route = self.fib.routes.route(flow.name.as_str());
            flow.route = CachedRoute {
                epoch: self.epoch,
                path: route.map_or_else(Vec::new, |route| self.fib.routes.path(route.index)).into(),
                link: route.map(|route| route.link),
            };
        }
        &flow.route
    }

    /// A new flow to a node.
    fn open_flow(&mut self, name: &NodeName, now: Instant) -> usize {
        let mut flow = Flow::new(name.clone(), self.next_id, now);
        flow.instance = self.fib.routes.route(name.as_str()).map(|route| route.instance);
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

    /// Ends an entry.
    fn resolve(&mut self, flow_index: usize, channel: Channel, position: usize, outcome: Outcome) {
        let flow = &mut self.flows[flow_index].channels[channel.index()];
        let entry = &flow.entries[position];
        let (id, recipient, number) = (entry.send, entry.recipient, entry.number);
        let transmission = flow.transmission;
        flow.finish(position);
        self.discard_if_unused(transmission, channel);
        if self.flows[flow_index].is_idle() {
            self.active.remove(&flow_index);
        }
        if channel.broadcast {
            self.release_broadcast_number(channel, number);
        }
        self.set_outcome(id, recipient, outcome);
    }

    fn release_broadcast_number(&mut self, channel: Channel, number: u64) {
        let outstanding = &mut self.broadcasts[usize::from(channel.large)].outstanding;
        if let Some(count) = outstanding.get_mut(&number) {
            *count -= 1;
            if *count == 0 {
                outstanding.remove(&number);
            }
        }
    }

    fn set_outcome(&mut self, id: u64, recipient: usize, outcome: Outcome) {
        let Some(send) = self.sends.get_mut(id) else {
            return;
        };
        if send.outcomes[recipient].replace(outcome).is_none() {
            send.pending -= 1;
        }
        if send.pending == 0
            && let Some(send) = self.sends.remove(id)
        {
            self.complete(send);
        }
    }

    fn complete(&mut self, mut send: OutstandingSend<C>) {
        self.cost -= send.cost;
        if self.space_wanted && self.cost <= SEND_BYTES_MAX / 2 {
            self.space_wanted = false;
            self.space_available = true;
        }
        // Mostly nobody else holds the content any more.
        let recipients = match Arc::get_mut(&mut send.content) {
            Some(content) => {
                content.body = Bytes::new();
                let recipients = std::mem::take(&mut content.recipients);
                if self.spare_contents.len() < SPARE_CONTENTS_MAX {
                    self.spare_contents.push(send.content);
                }
                recipients
            }
            None => send.content.recipients.clone(),
        };
        let outcomes = send.outcomes.into_iter().map(|outcome| outcome.unwrap_or(Outcome::Timeout));
        let outcomes = recipients.into_iter().zip(outcomes).collect();
        self.completed.push((send.completion, Ok(Report::new(outcomes))));
    }

    /// Whether one caller sends one message after the other.
    pub fn is_single_sender(&self) -> bool {
        self.sends.len() <= 1 && self.last_completed <= 1
    }

    /// Notes how many sends have ended at once.
    pub fn note_completed(&mut self) {
        if !self.completed.is_empty() {
            self.last_completed = self.completed.len();
        }
    }

    /// Ends a send with what is known of it.
    pub fn cancel(&mut self, id: MessageId, now: Instant) {
        let Some(send) = self.sends.get(id.0) else {
            return;
        };
        let channel = send.content.channel;
        let flooded_recently = self.flooded_recently(id.0, now);
        let keys: Vec<(usize, u64)> = send.entries.iter().flatten().copied().collect();
        for (flow_index, number) in keys {
            let flow = &mut self.flows[flow_index].channels[channel.index()];
            let Some(position) = flow.find(number) else {
                continue;
            };
            let entry = &flow.entries[position];
            if entry.send != id.0 || entry.stage == Stage::Done {
                continue;
            }
            let copy_pending = flooded_recently && entry.last_refusal.is_none();
            let certain = if copy_pending { Outcome::Timeout } else { Outcome::Canceled };
            let outcome = entry.outcome(certain, self.epoch);
            self.resolve(flow_index, channel, position, outcome);
            self.resume_channel(flow_index, channel, now);
        }
    }

    /// Whether anybody is to be told anything.
    pub fn has_output(&self) -> bool {
        self.space_available
            || !self.to_flush.is_empty()
            || !self.completed.is_empty()
            || !self.queries.is_empty()
    }

    /// Whether copies of a broadcast may come to those that none was sent to, and who have refused
    /// none: it went out along the tree so short a time ago that a relay may have known of newer
    /// routes.
    fn flooded_recently(&self, id: u64, now: Instant) -> bool {
        let flooded_at = self.sends.get(id).and_then(|send| send.flooded_at);
        flooded_at.is_some_and(|at| now.saturating_duration_since(at) < ROUTES_STABLE_AFTER)
    }

    /// When something is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.sends.is_empty()
    }

    /// How many sends are under way.
    pub fn count(&self) -> usize {
        self.sends.len()
    }

    /// Who waits for the sends under way, in no order.
    pub fn completions(&mut self) -> impl Iterator<Item = &mut C> {
        self.sends.iter_mut().map(|send| &mut send.completion)
    }

    /// Ends everything.
    pub fn close(&mut self) {
        for send in self.sends.drain() {
            self.completed.push((send.completion, Err(SendError::Closed)));
        }
        self.flows.clear();
        self.by_name.clear();
        self.free.clear();
        self.active.clear();
        self.transmissions.clear();
        self.blocked.clear();
        self.cost = 0;
        self.deadline = None;
        self.space_available = true;
    }
}

/// Notes a link's queue that is to be flushed.
fn add_to_flush(to_flush: &mut SmallVec<[Arc<Outbound>; 2]>, outbound: &Arc<Outbound>) {
    if !to_flush.iter().rev().any(|known| Arc::ptr_eq(known, outbound)) {
        to_flush.push(outbound.clone());
    }
}

fn cost(outgoing: &Outgoing) -> u64 {
    outgoing.body.len() as u64 + MESSAGE_OVERHEAD_BYTES
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    [a, b].into_iter().flatten().min()
}

/// Runs of recipients, each short enough for one header.
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
