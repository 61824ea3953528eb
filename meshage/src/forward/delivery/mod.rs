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

use self::flow::{CALM_AFTER, Entry, Flow, MESSAGE_OVERHEAD_BYTES, Stage, Way};
use self::send_table::{Content, Groups, OutstandingSend, SendTable};
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
struct Floods {
    next: u64,
    /// How many recipients each is outstanding at.
    open: BTreeMap<u64, usize>,
}

/// The sends under way.
pub struct OutstandingSends<C> {
    me: NodeName,
    instance: Instance,
    max_message: usize,
    fib: Arc<Fib>,
    epoch: u64,
    /// When the routes last changed.
    changed: Option<Instant>,
    ops: SendTable<C>,
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
    floods: [Floods; 2],
    next_id: u64,
    cost: u64,
    starved: bool,
    due: Option<Instant>,
    /// When a small message was last sent.
    small_at: Option<Instant>,
    /// Sends that have ended.
    pub done: Vec<(C, Result<Report, SendError>)>,
    /// How many sends ended at once when some last did.
    burst: usize,
    /// Queries to send.
    pub queries: Vec<AckEntry>,
    /// The links' queues that something was put into, to be flushed.
    pub queued: SmallVec<[Arc<Outbound>; 2]>,
    /// The local queue was full and has room again.
    pub space: bool,
}

impl<C> OutstandingSends<C> {
    /// Nothing under way.
    pub fn new(me: NodeName, instance: Instance, max_message: usize, fib: Arc<Fib>) -> Self {
        let floods = || Floods { next: 1, open: BTreeMap::new() };
        Self {
            me,
            instance,
            max_message,
            fib,
            epoch: 1,
            changed: None,
            ops: SendTable::new(),
            spare_contents: Vec::new(),
            flows: Vec::new(),
            by_name: HashMap::new(),
            active: BTreeSet::new(),
            free: Vec::new(),
            transmissions: BTreeMap::new(),
            next_transmission: 0,
            blocked: BTreeMap::new(),
            floods: [floods(), floods()],
            next_id: 0,
            cost: 0,
            starved: false,
            due: None,
            small_at: None,
            done: Vec::new(),
            burst: 0,
            queries: Vec::new(),
            queued: SmallVec::new(),
            space: false,
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
            self.small_at = Some(now);
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
            self.ops.insert(id, OutstandingSend::single(completion, content, number, cost));
            return Ok(MessageId(id));
        }
        let count = content.recipients.len();
        let op = OutstandingSend {
            completion,
            content: content.clone(),
            outcomes: smallvec![None; count],
            entries: smallvec![None; count],
            left: count,
            cost,
            flooded_at: None,
        };
        if count == 0 {
            self.end(op);
            return Ok(MessageId(id));
        }
        self.ops.insert(id, op);
        let number = broadcast.then(|| self.next_flood(usize::from(large), count));
        for recipient in 0..count {
            self.enter(id, &content, recipient, number, deadline, outgoing.retry, now);
        }
        self.set_out(id, &content, number, now);
        self.due = earliest(self.due, deadline);
        Ok(MessageId(id))
    }

    /// A content that can be shared, in memory that was used before if there is some.
    fn content(&mut self, content: Content) -> Arc<Content> {
        let mut spare = self.spare_contents.pop();
        match spare.as_mut().and_then(Arc::get_mut) {
            Some(place) => *place = content,
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
                names.retain(|name| *name != self.me);
                Some(names.into())
            }
            Recipients::Set(names) if names.is_empty() => return Err(SendError::NoRecipients),
            Recipients::Set(names) if names.len() == 1 && names[0] != self.me => None,
            Recipients::Set(names) => {
                let mut seen = BTreeSet::new();
                let others = names.iter().filter(|name| **name != self.me);
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
    pub fn starve(&mut self) {
        self.starved = true;
    }

    fn next_flood(&mut self, large: usize, recipients: usize) -> u64 {
        let floods = &mut self.floods[large];
        let number = floods.next;
        floods.next += 1;
        floods.open.insert(number, recipients);
        number
    }

    /// Makes the entry of one recipient.
    #[expect(clippy::too_many_arguments, reason = "all that an entry is made of, used once")]
    fn enter(
        &mut self,
        id: u64,
        content: &Content,
        recipient: usize,
        flood: Option<u64>,
        deadline: Option<Instant>,
        retry: bool,
        now: Instant,
    ) {
        let name = &content.recipients[recipient];
        let known = self.by_name.get(name).copied();
        let reachable = match known {
            Some(at) => self.way(at).link.is_some(),
            None => self.fib.routes.route(name.as_str()).is_some(),
        };
        if !retry && !reachable {
            if let Some(number) = flood {
                self.close_flood(content.channel, number);
            }
            self.note(id, recipient, Outcome::NoRoute);
            return;
        }
        let at = known.unwrap_or_else(|| self.open_flow(name, now));
        if self.flows[at].is_idle() {
            self.active.insert(at);
        }
        let flood_epoch = flood.map(|_| self.calm_epoch(now));
        let channel = &mut self.flows[at].channels[content.channel.index()];
        let number = flood.unwrap_or(channel.next);
        channel.next = channel.next.max(number) + 1;
        channel.open += 1;
        channel.entries.push_back(Entry {
            number,
            op: id,
            recipient,
            stage: Stage::Waiting,
            doubt: false,
            flooded: false,
            flood_epoch,
            retry,
            deadline,
            refused: None,
            in_flight: 0,
            sent_at: None,
            path: None,
        });
        if let Some(op) = self.ops.get_mut(id) {
            op.entries[recipient] = Some((at, number));
        }
    }

    /// The number of the routes, or 0 where they have just changed.
    fn calm_epoch(&self, now: Instant) -> u64 {
        let calm = self.changed.is_none_or(|at| now.saturating_duration_since(at) > CALM_AFTER);
        if calm { self.epoch } else { 0 }
    }

    /// The way to a flow's node, found once for each set of routes.
    fn way(&mut self, at: usize) -> &Way {
        let flow = &mut self.flows[at];
        if flow.way.epoch != self.epoch {
            let route = self.fib.routes.route(flow.name.as_str());
            flow.way = Way {
                epoch: self.epoch,
                path: route.map_or_else(Vec::new, |route| self.fib.routes.path(route.index)).into(),
                link: route.map(|route| route.link),
            };
        }
        &flow.way
    }

    /// A new flow to a node.
    fn open_flow(&mut self, name: &NodeName, now: Instant) -> usize {
        let mut flow = Flow::new(name.clone(), self.next_id, now);
        flow.instance = self.fib.routes.route(name.as_str()).map(|route| route.instance);
        let at = match self.free.pop() {
            Some(at) => {
                self.flows[at] = flow;
                at
            }
            None => {
                self.flows.push(flow);
                self.flows.len() - 1
            }
        };
        self.by_name.insert(name.clone(), at);
        at
    }

    /// Ends an entry.
    fn resolve(&mut self, at: usize, channel: Channel, place: usize, outcome: Outcome) {
        let flow = &mut self.flows[at].channels[channel.index()];
        let entry = &flow.entries[place];
        let (id, recipient, number) = (entry.op, entry.recipient, entry.number);
        let transmission = flow.transmission;
        flow.finish(place);
        self.let_go(transmission, channel);
        if self.flows[at].is_idle() {
            self.active.remove(&at);
        }
        if channel.broadcast {
            self.close_flood(channel, number);
        }
        self.note(id, recipient, outcome);
    }

    fn close_flood(&mut self, channel: Channel, number: u64) {
        let open = &mut self.floods[usize::from(channel.large)].open;
        if let Some(count) = open.get_mut(&number) {
            *count -= 1;
            if *count == 0 {
                open.remove(&number);
            }
        }
    }

    fn note(&mut self, id: u64, recipient: usize, outcome: Outcome) {
        let Some(op) = self.ops.get_mut(id) else {
            return;
        };
        if op.outcomes[recipient].replace(outcome).is_none() {
            op.left -= 1;
        }
        if op.left == 0
            && let Some(op) = self.ops.remove(id)
        {
            self.end(op);
        }
    }

    fn end(&mut self, mut op: OutstandingSend<C>) {
        self.cost -= op.cost;
        if self.starved && self.cost <= SEND_BYTES_MAX / 2 {
            self.starved = false;
            self.space = true;
        }
        // Mostly nobody else holds the content any more.
        let recipients = match Arc::get_mut(&mut op.content) {
            Some(content) => {
                content.body = Bytes::new();
                let recipients = std::mem::take(&mut content.recipients);
                if self.spare_contents.len() < SPARE_CONTENTS_MAX {
                    self.spare_contents.push(op.content);
                }
                recipients
            }
            None => op.content.recipients.clone(),
        };
        let outcomes = op.outcomes.into_iter().map(|outcome| outcome.unwrap_or(Outcome::Timeout));
        let outcomes = recipients.into_iter().zip(outcomes).collect();
        self.done.push((op.completion, Ok(Report::new(outcomes))));
    }

    /// Whether one caller sends one message after the other.
    pub fn is_alone(&self) -> bool {
        self.ops.len() <= 1 && self.burst <= 1
    }

    /// Notes how many sends have ended at once.
    pub fn note_burst(&mut self) {
        if !self.done.is_empty() {
            self.burst = self.done.len();
        }
    }

    /// Ends a send with what is known of it.
    pub fn cancel(&mut self, id: MessageId, now: Instant) {
        let Some(op) = self.ops.get(id.0) else {
            return;
        };
        let channel = op.content.channel;
        let wanders = self.wanders(id.0, now);
        let places: Vec<(usize, u64)> = op.entries.iter().flatten().copied().collect();
        for (at, number) in places {
            let flow = &mut self.flows[at].channels[channel.index()];
            let Some(place) = flow.find(number) else {
                continue;
            };
            let entry = &flow.entries[place];
            if entry.op != id.0 || entry.stage == Stage::Done {
                continue;
            }
            let unheard = wanders && entry.refused.is_none();
            let certain = if unheard { Outcome::Timeout } else { Outcome::Canceled };
            let outcome = entry.outcome(certain, self.epoch);
            self.resolve(at, channel, place, outcome);
            self.go_on(at, channel, now);
        }
    }

    /// Whether anybody is to be told anything.
    pub fn has_news(&self) -> bool {
        self.space || !self.queued.is_empty() || !self.done.is_empty() || !self.queries.is_empty()
    }

    /// Whether copies of a broadcast may come to those that none was sent to, and who have refused
    /// none: it went out along the tree so short a time ago that a relay may have known of newer
    /// routes.
    fn wanders(&self, id: u64, now: Instant) -> bool {
        let flooded_at = self.ops.get(id).and_then(|op| op.flooded_at);
        flooded_at.is_some_and(|at| now.saturating_duration_since(at) < CALM_AFTER)
    }

    /// When something is due.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.ops.is_empty()
    }

    /// How many sends are under way.
    pub fn under_way(&self) -> usize {
        self.ops.len()
    }

    /// Who waits for the sends under way, in no order.
    pub fn completions(&mut self) -> impl Iterator<Item = &mut C> {
        self.ops.iter_mut().map(|op| &mut op.completion)
    }

    /// Ends everything.
    pub fn close(&mut self) {
        for op in self.ops.drain() {
            self.done.push((op.completion, Err(SendError::Closed)));
        }
        self.flows.clear();
        self.by_name.clear();
        self.free.clear();
        self.active.clear();
        self.transmissions.clear();
        self.blocked.clear();
        self.cost = 0;
        self.due = None;
        self.space = true;
    }
}

/// Notes a link's queue that is to be flushed.
fn note_queued(queued: &mut SmallVec<[Arc<Outbound>; 2]>, outbound: &Arc<Outbound>) {
    if !queued.iter().rev().any(|known| Arc::ptr_eq(known, outbound)) {
        queued.push(outbound.clone());
    }
}

fn cost(outgoing: &Outgoing) -> u64 {
    outgoing.body.len() as u64 + MESSAGE_OVERHEAD_BYTES
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    [a, b].into_iter().flatten().min()
}

/// Runs of recipients, each short enough for one header.
fn groups(recipients: &[NodeName]) -> Groups {
    let mut groups = Groups::new();
    let (mut start, mut bytes) = (0, 0);
    for (place, name) in recipients.iter().enumerate() {
        let len = Target::bytes_max(name);
        if bytes + len > RECIPIENTS_BYTES_MAX {
            groups.push(start..place);
            (start, bytes) = (place, 0);
        }
        bytes += len;
    }
    groups.push(start..recipients.len());
    groups
}
