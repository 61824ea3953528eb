//! The sends of this node that are under way, until each has an outcome for each recipient.
//!
//! A send becomes one **entry** per recipient, in that recipient's flow. What goes over one link
//! goes as one **leg**: frame after frame, for all the recipients behind that link at once. A leg
//! that cannot go on (the link's queue is full, a window is) waits without holding anything else.
//!
//! Nothing here waits, and nothing here calls out: what has ended is collected in `done`.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::flow::{Entry, UNANSWERED_MAX, WINDOW_BYTES};
use super::flow::{Flow, LaneFlow, LaneState, MESSAGE_OVERHEAD_BYTES, QUERY_AFTER, Stage};
use super::outbound::Class;
use super::plane::Fib;
use crate::error::SendError;
use crate::message::{Encoding, Outcome, Outgoing, Recipients, Report};
use crate::name::{Instance, LinkId, MessageId, NodeName};
use crate::wire::data::{
    AckEntry, CHUNK_BYTES, Chunk, DataFrame, DataHeader, Lane, RECIPIENTS_BYTES_MAX, Refusal, Slot,
    Target, Targets, Verdict,
};

/// How many bytes of sends may be under way: two of the largest messages. One send always finds room.
pub const SEND_BYTES_MAX: u64 = 128 << 20;

/// What all frames of one message share.
#[derive(Debug)]
struct Content {
    id: u64,
    lane: Lane,
    encoding: Encoding,
    body: Bytes,
    recipients: Vec<NodeName>,
    /// Runs of recipients short enough for one header.
    groups: Vec<Range<usize>>,
}

#[derive(Debug)]
struct Op<C> {
    completion: C,
    content: Arc<Content>,
    outcomes: Vec<Option<Outcome>>,
    /// Where each recipient's entry is.
    entries: Vec<Option<(usize, u64)>>,
    left: usize,
    cost: u64,
}

/// A message on its way over one link.
#[derive(Debug)]
struct Leg {
    op: u64,
    link: LinkId,
    flood: Option<u64>,
    group: Range<usize>,
    /// Recipients by place in the send, with their flows and numbers.
    targets: Vec<(usize, usize, u64)>,
    offset: usize,
    blocked: bool,
}

/// The numbers of broadcasts, of one lane.
#[derive(Debug)]
struct Floods {
    next: u64,
    /// How many recipients each is outstanding at.
    open: BTreeMap<u64, usize>,
}

/// The sends under way.
pub struct Sends<C> {
    me: NodeName,
    instance: Instance,
    max_message: usize,
    fib: Arc<Fib>,
    epoch: u64,
    ops: HashMap<u64, Op<C>>,
    flows: Vec<Flow>,
    by_name: HashMap<NodeName, usize>,
    /// Flows with something outstanding.
    active: BTreeSet<usize>,
    free: Vec<usize>,
    legs: BTreeMap<u64, Leg>,
    next_leg: u64,
    blocked: BTreeMap<LinkId, VecDeque<u64>>,
    floods: [Floods; 2],
    next_id: u64,
    cost: u64,
    starved: bool,
    due: Option<Instant>,
    /// Sends that have ended.
    pub done: Vec<(C, Result<Report, SendError>)>,
    /// Queries to send.
    pub queries: Vec<AckEntry>,
    /// The local queue was full and has room again.
    pub space: bool,
}

impl<C> Sends<C> {
    /// Nothing under way.
    pub fn new(me: NodeName, instance: Instance, max_message: usize, fib: Arc<Fib>) -> Self {
        let floods = || Floods { next: 1, open: BTreeMap::new() };
        Self {
            me,
            instance,
            max_message,
            fib,
            epoch: 1,
            ops: HashMap::new(),
            flows: Vec::new(),
            by_name: HashMap::new(),
            active: BTreeSet::new(),
            free: Vec::new(),
            legs: BTreeMap::new(),
            next_leg: 0,
            blocked: BTreeMap::new(),
            floods: [floods(), floods()],
            next_id: 0,
            cost: 0,
            starved: false,
            due: None,
            done: Vec::new(),
            queries: Vec::new(),
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
        let recipients = match self.admit(&outgoing) {
            Ok(recipients) => recipients,
            Err(error) => return Err((error, outgoing, completion)),
        };
        self.next_id += 1;
        let id = self.next_id;
        let broadcast = outgoing.recipients == Recipients::Broadcast;
        let cost = cost(&outgoing);
        self.cost += cost;
        let large = outgoing.body.len() > CHUNK_BYTES;
        let content = Arc::new(Content {
            id,
            lane: Lane { broadcast, large },
            encoding: outgoing.encoding,
            body: outgoing.body,
            groups: groups(&recipients),
            recipients,
        });
        let count = content.recipients.len();
        let op = Op {
            completion,
            content: content.clone(),
            outcomes: vec![None; count],
            entries: vec![None; count],
            left: count,
            cost,
        };
        self.ops.insert(id, op);
        if count == 0 {
            self.end(id);
            return Ok(MessageId(id));
        }
        let number = broadcast.then(|| self.next_flood(usize::from(large), count));
        for recipient in 0..count {
            self.enter(id, &content, recipient, number, deadline, outgoing.retry, now);
        }
        self.set_out(id, &content, number, now);
        self.due = earliest(self.due, deadline);
        Ok(MessageId(id))
    }

    fn admit(&self, outgoing: &Outgoing) -> Result<Vec<NodeName>, SendError> {
        if outgoing.body.len() > self.max_message {
            return Err(SendError::TooLarge(outgoing.body.len(), self.max_message));
        }
        let recipients = match &outgoing.recipients {
            Recipients::Broadcast => {
                let mut names: Vec<NodeName> =
                    self.fib.routes.others().map(|(name, _)| name.clone()).collect();
                names.dedup();
                names.retain(|name| *name != self.me);
                names
            }
            Recipients::Set(names) if names.is_empty() => return Err(SendError::NoRecipients),
            Recipients::Set(names) => {
                let mut seen = BTreeSet::new();
                let others = names.iter().filter(|name| **name != self.me);
                others.filter(|name| seen.insert(name.as_str())).cloned().collect()
            }
        };
        if recipients.is_empty() && outgoing.recipients != Recipients::Broadcast {
            return Err(SendError::SelfOnly);
        }
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
        if !retry && self.fib.routes.route(name.as_str()).is_none() {
            if let Some(number) = flood {
                self.close_flood(content.lane, number);
            }
            self.note(id, recipient, Outcome::NoRoute);
            return;
        }
        let at = self.flow(name, now);
        let lane = &mut self.flows[at].lanes[content.lane.index()];
        let number = flood.unwrap_or(lane.next);
        lane.next = lane.next.max(number) + 1;
        lane.open += 1;
        lane.entries.push_back(Entry {
            number,
            op: id,
            recipient,
            stage: Stage::Waiting,
            doubt: false,
            retry,
            deadline,
            refused: None,
            in_flight: 0,
            sent_at: None,
            path: None,
        });
        self.active.insert(at);
        if let Some(op) = self.ops.get_mut(&id) {
            op.entries[recipient] = Some((at, number));
        }
    }

    /// The flow to a node, made where there is none.
    fn flow(&mut self, name: &NodeName, now: Instant) -> usize {
        if let Some(&at) = self.by_name.get(name) {
            return at;
        }
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

    /// Sends a new message to all the recipients whose lanes are free, one leg per link and group;
    /// for the others it waits in its lane.
    fn set_out(&mut self, id: u64, content: &Arc<Content>, flood: Option<u64>, now: Instant) {
        let Some(op) = self.ops.get(&id) else {
            return;
        };
        let mut legs: BTreeMap<(LinkId, usize), Vec<(usize, usize, u64)>> = BTreeMap::new();
        for (recipient, place) in op.entries.iter().enumerate() {
            let Some((at, number)) = *place else {
                continue;
            };
            let name = &content.recipients[recipient];
            let Some(route) = self.fib.routes.route(name.as_str()) else {
                continue;
            };
            let group = match flood {
                Some(_) => 0,
                None => content.groups.partition_point(|group| group.end <= recipient),
            };
            legs.entry((route.link, group)).or_default().push((recipient, at, number));
        }
        for ((link, group), all) in legs {
            let mut targets = all.clone();
            targets.retain(|&(_, at, number)| {
                let lane = &mut self.flows[at].lanes[content.lane.index()];
                lane.ready().is_some_and(|first| lane.entries[first].number == number)
            });
            if targets.is_empty() {
                continue;
            }
            if flood.is_some() {
                // The copy reaches those behind the link whose lanes are not free, too.
                for &(_, at, number) in &all {
                    let lane = &mut self.flows[at].lanes[content.lane.index()];
                    if !targets.iter().any(|target| target.1 == at)
                        && let Some(place) = lane.find(number)
                    {
                        lane.entries[place].doubt = true;
                    }
                }
            }
            let group = content.groups.get(group).cloned().unwrap_or(0..0);
            self.depart(id, content.lane, link, flood, group, targets, now);
        }
    }

    /// Starts a leg, and sends as much of it as goes.
    #[expect(clippy::too_many_arguments, reason = "all that a leg is made of")]
    fn depart(
        &mut self,
        op: u64,
        lane: Lane,
        link: LinkId,
        flood: Option<u64>,
        group: Range<usize>,
        targets: Vec<(usize, usize, u64)>,
        now: Instant,
    ) {
        self.next_leg += 1;
        let leg = self.next_leg;
        for &(_, at, number) in &targets {
            let path = self.path(at);
            let lane = &mut self.flows[at].lanes[lane.index()];
            if let Some(place) = lane.find(number) {
                lane.begin(place, leg, link, path, now);
            }
            self.due = earliest(self.due, Some(lane.heard + QUERY_AFTER));
        }
        self.legs.insert(leg, Leg { op, link, flood, group, targets, offset: 0, blocked: false });
        self.advance(leg, now);
    }

    /// The way to a flow's node, computed once for each set of routes.
    fn path(&mut self, at: usize) -> Arc<[Instance]> {
        let flow = &mut self.flows[at];
        if flow.path.0 != self.epoch {
            let route = self.fib.routes.route(flow.name.as_str());
            let path = route.map_or_else(Vec::new, |route| self.fib.routes.path(route.index));
            flow.path = (self.epoch, path.into());
        }
        flow.path.1.clone()
    }

    /// Sends on with a leg as far as queues and windows let it; gives the flows whose lanes are free
    /// once all of it is sent.
    fn advance(&mut self, id: u64, now: Instant) -> Option<(Lane, Vec<usize>)> {
        let mut leg = self.legs.remove(&id)?;
        let content = self.ops.get(&leg.op).map(|op| op.content.clone())?;
        let lane = content.lane;
        let flows = &self.flows;
        leg.targets.retain(|&(_, at, _)| flows[at].lanes[lane.index()].leg == Some(id));
        if leg.targets.is_empty() {
            return None;
        }
        let mut finished = false;
        while !finished {
            let window = |&(_, at, _): &(usize, usize, u64)| {
                self.flows[at].lanes[lane.index()].in_flight < WINDOW_BYTES
            };
            if !leg.targets.iter().all(window) {
                break;
            }
            let Some(outbound) = self.fib.links.get(&leg.link) else {
                break;
            };
            let end = content.body.len().min(leg.offset + CHUNK_BYTES);
            let frame = self.frame(&leg, &content, leg.offset..end);
            let class = if lane.large { Class::Large } else { Class::Small };
            if outbound.push(class, frame.encode()).is_err() {
                if !leg.blocked {
                    leg.blocked = true;
                    self.blocked.entry(leg.link).or_default().push_back(id);
                }
                break;
            }
            let bytes = (end - leg.offset) as u64 + MESSAGE_OVERHEAD_BYTES;
            leg.offset = end;
            finished = end == content.body.len();
            for &(_, at, number) in &leg.targets {
                let flow = &mut self.flows[at].lanes[lane.index()];
                if let Some(place) = flow.find(number) {
                    flow.sent_bytes(place, bytes);
                    if finished {
                        flow.sent(place, now);
                    }
                }
            }
        }
        if finished {
            return Some((lane, leg.targets.into_iter().map(|(_, at, _)| at).collect()));
        }
        self.legs.insert(id, leg);
        None
    }

    /// As [`Sends::advance`], and then what waits behind it.
    fn advance_and_pump(&mut self, leg: u64, now: Instant) {
        if let Some((lane, free)) = self.advance(leg, now) {
            for at in free {
                self.pump(at, lane, now);
            }
        }
    }

    fn frame(&self, leg: &Leg, content: &Content, part: Range<usize>) -> DataFrame {
        let lane = content.lane;
        let targets = match leg.flood {
            Some(number) => {
                let open = &self.floods[usize::from(lane.large)].open;
                let floor = open.keys().next().map_or(number, |floor| number.min(*floor));
                Targets::Flood(Slot { number, floor })
            }
            None => {
                let mut list: Vec<Target> = content.recipients[leg.group.clone()]
                    .iter()
                    .map(|name| Target { name: name.clone(), slot: None })
                    .collect();
                for &(recipient, at, number) in &leg.targets {
                    let slot = self.flows[at].lanes[lane.index()].slot(number);
                    list[recipient - leg.group.start].slot = Some(slot);
                }
                Targets::List(list)
            }
        };
        let chunk = lane
            .large
            .then_some(Chunk { offset: part.start as u64, total: content.body.len() as u64 });
        let header = DataHeader {
            source: self.me.clone(),
            instance: self.instance,
            id: content.id,
            lane,
            encoding: content.encoding.0,
            targets,
            chunk,
            route: vec![self.me.clone()],
        };
        DataFrame { header, body: content.body.slice(part) }
    }

    /// Starts whatever a lane may send now.
    fn pump(&mut self, at: usize, lane: Lane, now: Instant) {
        loop {
            let Some(route) = self.fib.routes.route(self.flows[at].name.as_str()) else {
                return;
            };
            let flow = &mut self.flows[at].lanes[lane.index()];
            let Some(place) = flow.ready() else {
                return;
            };
            let entry = &flow.entries[place];
            let (op, recipient, number) = (entry.op, entry.recipient, entry.number);
            let Some(content) = self.ops.get(&op).map(|op| op.content.clone()) else {
                return;
            };
            let group = if lane.broadcast {
                recipient..recipient + 1
            } else {
                let group = content.groups.partition_point(|group| group.end <= recipient);
                content.groups.get(group).cloned().unwrap_or(recipient..recipient + 1)
            };
            self.depart(op, lane, route.link, None, group, vec![(recipient, at, number)], now);
        }
    }

    /// A link's queue has room again.
    pub fn writable(&mut self, link: LinkId, now: Instant) {
        let waiting = self.blocked.remove(&link).unwrap_or_default();
        for leg in &waiting {
            if let Some(leg) = self.legs.get_mut(leg) {
                leg.blocked = false;
            }
        }
        for leg in waiting {
            self.advance_and_pump(leg, now);
        }
    }

    /// An acknowledgement for this node has come.
    pub fn acknowledged(&mut self, ack: &AckEntry, now: Instant) {
        let Some(&at) = self.by_name.get(&ack.from) else {
            return;
        };
        let flow = &mut self.flows[at];
        if ack.by.is_some() && ack.by != flow.instance {
            return;
        }
        let lane = &mut flow.lanes[ack.lane.index()];
        match ack.verdict {
            Verdict::Delivered { next } => {
                lane.progressed(now);
                self.delivered(at, ack.lane, next, now);
            }
            Verdict::Refused { number, refusal } => {
                lane.heard = now;
                self.refused(at, ack.lane, number, refusal, now);
            }
            Verdict::Progress { number, received } => {
                lane.progressed(now);
                if let Some(place) = lane.find(number) {
                    let entry = &lane.entries[place];
                    let offset = match entry.stage {
                        Stage::Sent => self.ops.get(&entry.op).map(|op| op.content.body.len()),
                        Stage::Sending => {
                            lane.leg.and_then(|leg| self.legs.get(&leg)).map(|leg| leg.offset)
                        }
                        Stage::Waiting | Stage::Refused(_) | Stage::Done => None,
                    };
                    if let Some(offset) = offset {
                        lane.arrived(place, (offset as u64).saturating_sub(received));
                    }
                }
            }
            Verdict::Ready => {
                for lane in Lane::ALL {
                    let flow = &mut self.flows[at].lanes[lane.index()];
                    if matches!(flow.state, LaneState::Stalled(_)) {
                        flow.resume();
                    }
                }
            }
            Verdict::Query => {}
        }
        for lane in Lane::ALL {
            self.go_on(at, lane, now);
        }
    }

    /// Lets a lane go on after something changed.
    fn go_on(&mut self, at: usize, lane: Lane, now: Instant) {
        let flow = &mut self.flows[at].lanes[lane.index()];
        flow.trim();
        if flow.entries.is_empty() {
            flow.state = LaneState::Open;
            return;
        }
        flow.settle(now);
        if let LaneState::Stalled(until) = flow.state {
            self.due = earliest(self.due, Some(until));
        }
        match self.flows[at].lanes[lane.index()].leg {
            Some(leg) => self.advance_and_pump(leg, now),
            None => self.pump(at, lane, now),
        }
    }

    fn delivered(&mut self, at: usize, lane: Lane, next: u64, now: Instant) {
        loop {
            let flow = &mut self.flows[at].lanes[lane.index()];
            flow.trim();
            match flow.entries.front() {
                Some(entry) if entry.number < next => self.resolve(at, lane, 0, Outcome::Delivered),
                Some(_) => break,
                None => return,
            }
        }
        // What the receiver still waits for, long after it was sent, was lost on the way.
        let flow = &mut self.flows[at].lanes[lane.index()];
        let overdue = |entry: &Entry| {
            entry.stage == Stage::Sent
                && entry
                    .sent_at
                    .is_some_and(|sent| now.saturating_duration_since(sent) > UNANSWERED_MAX)
        };
        let lost: Vec<usize> =
            (0..flow.entries.len()).filter(|&place| overdue(&flow.entries[place])).collect();
        for place in lost {
            self.lose(at, lane, place);
        }
    }

    fn refused(&mut self, at: usize, lane: Lane, number: u64, refusal: Refusal, now: Instant) {
        let flow = &mut self.flows[at].lanes[lane.index()];
        let Some(place) = flow.find(number) else {
            return;
        };
        let stage = flow.entries[place].stage;
        if !matches!(stage, Stage::Sent | Stage::Sending) {
            return;
        }
        match refusal {
            Refusal::TooLarge => self.resolve(at, lane, place, Outcome::TooLarge),
            Refusal::Stale => self.resolve(at, lane, place, Outcome::Lost),
            Refusal::Busy | Refusal::Early | Refusal::NoRoute => {
                flow.refuse(place, refusal);
                if refusal == Refusal::Early {
                    flow.heard = now;
                }
            }
        }
    }

    /// What was in flight over what no longer stands: unknown, or sent again where that was asked.
    fn lose(&mut self, at: usize, lane: Lane, place: usize) {
        let flow = &mut self.flows[at].lanes[lane.index()];
        let entry = &mut flow.entries[place];
        entry.doubt |= entry.stage == Stage::Sent;
        if entry.retry {
            flow.refuse(place, Refusal::Early);
        } else {
            self.resolve(at, lane, place, Outcome::Lost);
        }
    }

    /// Ends an entry.
    fn resolve(&mut self, at: usize, lane: Lane, place: usize, outcome: Outcome) {
        let flow = &mut self.flows[at].lanes[lane.index()];
        let entry = &flow.entries[place];
        let (id, recipient, number) = (entry.op, entry.recipient, entry.number);
        flow.finish(place);
        if self.flows[at].is_idle() {
            self.active.remove(&at);
        }
        if lane.broadcast {
            self.close_flood(lane, number);
        }
        self.note(id, recipient, outcome);
    }

    fn close_flood(&mut self, lane: Lane, number: u64) {
        let open = &mut self.floods[usize::from(lane.large)].open;
        if let Some(count) = open.get_mut(&number) {
            *count -= 1;
            if *count == 0 {
                open.remove(&number);
            }
        }
    }

    fn note(&mut self, id: u64, recipient: usize, outcome: Outcome) {
        let Some(op) = self.ops.get_mut(&id) else {
            return;
        };
        if op.outcomes[recipient].replace(outcome).is_none() {
            op.left -= 1;
        }
        if op.left == 0 {
            self.end(id);
        }
    }

    fn end(&mut self, id: u64) {
        let Some(op) = self.ops.remove(&id) else {
            return;
        };
        self.cost -= op.cost;
        if self.starved && self.cost <= SEND_BYTES_MAX / 2 {
            self.starved = false;
            self.space = true;
        }
        let outcomes = op
            .content
            .recipients
            .iter()
            .cloned()
            .zip(op.outcomes.into_iter().map(|outcome| outcome.unwrap_or(Outcome::Timeout)))
            .collect();
        self.done.push((op.completion, Ok(Report::new(outcomes))));
    }

    /// Ends a send with what is known of it.
    pub fn cancel(&mut self, id: MessageId, now: Instant) {
        let Some(op) = self.ops.get(&id.0) else {
            return;
        };
        let lane = op.content.lane;
        let places: Vec<(usize, u64)> = op.entries.iter().flatten().copied().collect();
        for (at, number) in places {
            let flow = &mut self.flows[at].lanes[lane.index()];
            let Some(place) = flow.find(number) else {
                continue;
            };
            let entry = &flow.entries[place];
            if entry.op != id.0 || entry.stage == Stage::Done {
                continue;
            }
            let outcome = entry.outcome(Outcome::Canceled);
            self.resolve(at, lane, place, outcome);
            self.go_on(at, lane, now);
        }
    }

    /// New routes: what was in flight over what no longer stands is lost, what has no way is told
    /// so, and what waited for a way goes.
    pub fn install(&mut self, fib: Arc<Fib>, now: Instant) {
        self.fib = fib;
        self.epoch += 1;
        for at in self.active.iter().copied().collect::<Vec<_>>() {
            let route = self.fib.routes.route(self.flows[at].name.as_str());
            let same_life = route.map(|route| route.instance) == self.flows[at].instance;
            self.flows[at].instance = route.map(|route| route.instance);
            for lane in Lane::ALL {
                self.reroute(at, lane, route.is_some(), same_life);
            }
        }
        for at in 0..self.flows.len() {
            let flow = &mut self.flows[at];
            let route = self.fib.routes.route(flow.name.as_str());
            flow.instance = route.map(|route| route.instance);
            if route.is_none() && flow.is_idle() && self.by_name.get(&flow.name) == Some(&at) {
                self.by_name.remove(&self.flows[at].name);
                self.free.push(at);
            }
        }
        let gone: Vec<LinkId> = self
            .blocked
            .keys()
            .filter(|link| !self.fib.links.contains_key(link))
            .copied()
            .collect();
        for link in gone {
            self.blocked.remove(&link);
        }
        for at in self.active.iter().copied().collect::<Vec<_>>() {
            for lane in Lane::ALL {
                self.go_on(at, lane, now);
            }
        }
    }

    fn reroute(&mut self, at: usize, lane: Lane, reachable: bool, same_life: bool) {
        let fib = self.fib.clone();
        let mut checked: Option<(*const [Instance], bool)> = None;
        let mut stands = |path: &Arc<[Instance]>| match checked {
            Some((known, verdict)) if std::ptr::eq(known, &raw const **path) => verdict,
            Some(_) | None => {
                let verdict = fib.routes.stands(path);
                checked = Some((&raw const **path, verdict));
                verdict
            }
        };
        for place in 0..self.flows[at].lanes[lane.index()].entries.len() {
            let entry = &self.flows[at].lanes[lane.index()].entries[place];
            match entry.stage {
                Stage::Done => {}
                Stage::Sent | Stage::Sending => {
                    let whole = entry.path.as_ref().is_some_and(|(link, path)| {
                        self.fib.links.contains_key(link) && stands(path)
                    });
                    if !(reachable && same_life && whole) {
                        self.lose(at, lane, place);
                    }
                }
                Stage::Waiting | Stage::Refused(_) => {
                    if !reachable && !entry.retry {
                        let outcome = if entry.doubt { Outcome::Lost } else { Outcome::NoRoute };
                        self.resolve(at, lane, place, outcome);
                    }
                }
            }
        }
    }

    /// When something is due.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Does what is due: deadlines, the end of pauses, queries.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        self.due = None;
        for at in self.active.iter().copied().collect::<Vec<_>>() {
            for lane in Lane::ALL {
                if self.flows[at].lanes[lane.index()].open > 0 {
                    self.expire(at, lane, now);
                    self.query(at, lane, now);
                    self.go_on(at, lane, now);
                    let due = self.flows[at].lanes[lane.index()].due();
                    self.due = earliest(self.due, due);
                }
            }
        }
    }

    fn expire(&mut self, at: usize, lane: Lane, now: Instant) {
        let reachable = self.fib.routes.route(self.flows[at].name.as_str()).is_some();
        for place in 0..self.flows[at].lanes[lane.index()].entries.len() {
            let entry = &self.flows[at].lanes[lane.index()].entries[place];
            if entry.stage == Stage::Done || entry.deadline.is_none_or(|deadline| now < deadline) {
                continue;
            }
            let no_route = !reachable || entry.refused == Some(Refusal::NoRoute);
            let certain = if no_route { Outcome::NoRoute } else { Outcome::Busy };
            let outcome = entry.outcome(certain);
            self.resolve(at, lane, place, outcome);
        }
        let flow = &mut self.flows[at].lanes[lane.index()];
        if matches!(flow.state, LaneState::Stalled(until) if until <= now) {
            flow.resume();
        }
    }

    /// Asks a receiver that has not been heard for long.
    fn query(&mut self, at: usize, lane: Lane, now: Instant) {
        let flow = &mut self.flows[at];
        let lane_flow = &mut flow.lanes[lane.index()];
        if lane_flow.unanswered == 0 || now < lane_flow.heard + QUERY_AFTER {
            return;
        }
        lane_flow.heard = now;
        let Some(to) = flow.instance else {
            return;
        };
        self.queries.push(AckEntry {
            to,
            from: self.me.clone(),
            by: Some(self.instance),
            lane,
            verdict: Verdict::Query,
            hops: 0,
        });
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.ops.is_empty()
    }

    /// How many sends are under way.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Ends everything.
    pub fn close(&mut self) {
        let mut ids: Vec<u64> = self.ops.keys().copied().collect();
        ids.sort_unstable();
        for op in ids.iter().filter_map(|id| self.ops.remove(id)) {
            self.done.push((op.completion, Err(SendError::Closed)));
        }
        for flow in &mut self.flows {
            flow.lanes.iter_mut().for_each(LaneFlow::clear);
        }
        self.active.clear();
        self.legs.clear();
        self.blocked.clear();
        self.cost = 0;
        self.due = None;
        self.space = true;
    }
}

fn cost(outgoing: &Outgoing) -> u64 {
    outgoing.body.len() as u64 + MESSAGE_OVERHEAD_BYTES
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    [a, b].into_iter().flatten().min()
}

/// Runs of recipients, each short enough for one header.
fn groups(recipients: &[NodeName]) -> Vec<Range<usize>> {
    // A name's length byte, and the longest encoding of a slot.
    const ENTRY_BYTES: usize = 20;
    let mut groups = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (place, name) in recipients.iter().enumerate() {
        let len = name.as_str().len() + ENTRY_BYTES;
        if bytes + len > RECIPIENTS_BYTES_MAX {
            groups.push(start..place);
            (start, bytes) = (place, 0);
        }
        bytes += len;
    }
    groups.push(start..recipients.len());
    groups
}
