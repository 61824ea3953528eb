//! The state of all outstanding sends, and how a send gets its outcomes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use foldhash::{HashMap, HashMapExt as _};
use smallvec::SmallVec;

use super::channel_flow::{ROUTES_STABLE_AFTER, Stage};
use super::first_numbers::FirstNumbers;
use super::flow::{CachedRoute, Flow};
use super::send_table::{Content, OutstandingSend, SendTable};
use super::transmission::Transmission;
use crate::config::DEFAULT_TIMEOUT;
use crate::error::SendError;
use crate::forward::fib::Fib;
use crate::forward::outbound::Outbound;
use crate::message::{Outcome, Outcomes, Report};
use crate::name::{Instance, LinkId, MessageId, NodeName};
use crate::wire::ack::AckEntry;
use crate::wire::data::Channel;

/// How many bytes of outstanding sends are allowed: two of the largest messages. A send is always
/// accepted when none is outstanding.
pub const SEND_BYTES_MAX: u64 = 128 << 20;

/// How long a message may be on its way whose caller does not wait for it: the default timeout.
pub(super) const UNWAITED_TIMEOUT: Duration = DEFAULT_TIMEOUT;

/// How many allocations of completed sends are kept for reuse.
const SPARE_CONTENTS_MAX: usize = 1024;

/// The sequence numbers of the broadcasts in one channel.
#[derive(Debug)]
pub(super) struct BroadcastNumbers {
    pub(super) next: u64,
    /// For each number in use, how many recipients have no outcome yet.
    pub(super) outstanding: BTreeMap<u64, usize>,
}

/// What the source counts of acknowledgements that cannot be true.
#[derive(Debug, Default)]
pub struct AckCounters {
    /// They were about a message that was never sent, or bytes of it.
    pub beyond_sent: u64,
    /// They were not from a recipient.
    pub not_recipient: u64,
    /// A recipient expected a number that this node had not reached.
    pub restarts_requested: u64,
}

impl AckCounters {
    /// The acknowledgements that no correct node sends, and that were answered with a question or
    /// led to nothing.
    pub(in crate::forward) fn untrue(&self) -> u64 {
        self.beyond_sent + self.restarts_requested
    }
}

/// The outstanding sends of one node.
pub struct OutstandingSends<C> {
    pub(super) name: NodeName,
    pub(super) instance: Instance,
    pub(super) max_message: usize,
    pub(super) fib: Arc<Fib>,
    /// The number of the routes in force; each new set of routes increments it.
    pub(super) epoch: u64,
    /// When the routes last changed.
    pub(super) routes_changed_at: Option<Instant>,
    pub(super) sends: SendTable<C>,
    pub(super) spare_contents: Vec<Arc<Content>>,
    pub(super) flows: Vec<Flow>,
    /// The index of each recipient's flow.
    pub(super) by_name: HashMap<NodeName, usize>,
    /// Flows with outstanding entries.
    pub(super) active: BTreeSet<usize>,
    /// Indices of `flows` that can be reused.
    pub(super) free: Vec<usize>,
    pub(super) transmissions: BTreeMap<u64, Transmission>,
    pub(super) next_transmission: u64,
    /// Transmissions that wait for room in a link's queue; small and large ones are separate.
    pub(super) blocked: BTreeMap<(LinkId, bool), VecDeque<u64>>,
    /// Of small broadcasts, and of large ones.
    pub(super) broadcasts: [BroadcastNumbers; 2],
    pub(super) next_id: u64,
    pub(super) first_numbers: FirstNumbers,
    /// How many bytes all outstanding sends count for.
    pub(super) cost: u64,
    /// A send was rejected because [`SEND_BYTES_MAX`] was reached.
    pub(super) space_wanted: bool,
    /// When `handle_timeout` next has something to do.
    pub(super) deadline: Option<Instant>,
    /// When a small message was last sent.
    pub(super) last_small_at: Option<Instant>,
    /// Sends that have completed.
    pub completed: Vec<(C, Result<Report, SendError>)>,
    /// How many sends completed together, the last time that any did.
    last_completed: usize,
    /// Queries to send, and requests to start a channel anew.
    pub queries: Vec<AckEntry>,
    /// The acknowledgements that were dropped, and the channels that had to start anew.
    pub counters: AckCounters,
    /// The links' queues that received frames and must be flushed.
    pub to_flush: SmallVec<[Arc<Outbound>; 2]>,
    /// There is room again for a send that was rejected earlier.
    pub space_available: bool,
}

impl<C> OutstandingSends<C> {
    /// No outstanding sends.
    pub fn new(
        name: NodeName,
        instance: Instance,
        max_message: usize,
        first_numbers: FirstNumbers,
        fib: Arc<Fib>,
    ) -> Self {
        let broadcasts = |large| BroadcastNumbers {
            next: first_numbers.broadcast(large),
            outstanding: BTreeMap::new(),
        };
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
            broadcasts: [broadcasts(false), broadcasts(true)],
            next_id: 0,
            first_numbers,
            cost: 0,
            space_wanted: false,
            deadline: None,
            last_small_at: None,
            completed: Vec::new(),
            last_completed: 0,
            queries: Vec::new(),
            counters: AckCounters::default(),
            to_flush: SmallVec::new(),
            space_available: false,
        }
    }

    /// The route to a flow's recipient, looked up once for each set of routes.
    pub(super) fn cached_route(&mut self, flow_index: usize) -> &CachedRoute {
        let flow = &mut self.flows[flow_index];
        let stale = planted!(StaleRouteCached) && flow.route.link.is_some();
        if flow.route.epoch != self.epoch && !stale {
            let route = self.fib.routes.route(flow.name.as_str());
            flow.route = CachedRoute {
                epoch: self.epoch,
                path: route.map_or_else(Vec::new, |route| self.fib.routes.path(route.index)).into(),
                link: route.map(|route| route.link),
            };
        }
        &flow.route
    }

    /// Sets the outcome of an entry, and removes the entry from its channel.
    pub(super) fn resolve(
        &mut self,
        flow_index: usize,
        channel: Channel,
        position: usize,
        outcome: Outcome,
    ) {
        let flow = &mut self.flows[flow_index].channels[channel.index()];
        let entry = &flow.entries[position];
        let (id, recipient, number) = (entry.send, entry.recipient, entry.number);
        let transmission = flow.transmission;
        if !outcome.is_certain_failure() {
            flow.settled_limit = flow.settled_limit.max(number + 1);
        }
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

    pub(super) fn release_broadcast_number(&mut self, channel: Channel, number: u64) {
        let outstanding = &mut self.broadcasts[usize::from(channel.large)].outstanding;
        if let Some(count) = outstanding.get_mut(&number) {
            *count -= 1;
            if *count == 0 {
                outstanding.remove(&number);
            }
        }
    }

    pub(super) fn set_outcome(&mut self, id: u64, recipient: usize, outcome: Outcome) {
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

    pub(super) fn complete(&mut self, mut send: OutstandingSend<C>) {
        self.cost -= send.cost;
        if self.space_wanted && self.cost <= SEND_BYTES_MAX / 2 {
            self.space_wanted = false;
            self.space_available = true;
        }
        // Usually this is the last reference to the content.
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
        if let Some(completion) = send.completion {
            let outcomes =
                send.outcomes.into_iter().map(|outcome| outcome.unwrap_or(Outcome::Timeout));
            let mut outcomes: Outcomes = recipients.into_iter().zip(outcomes).collect();
            if planted!(RecipientLeftOutOfReport) && outcomes.len() > 1 {
                outcomes.pop();
            }
            self.completed.push((completion, Ok(Report::new(outcomes))));
        }
    }

    /// Completes a send now, with the outcomes that are known, for a caller that does not wait. The
    /// send itself continues.
    #[cold]
    pub(super) fn complete_unwaited(&mut self, id: u64) {
        if let Some(send) = self.sends.get_mut(id)
            && let Some(completion) = send.completion.take()
        {
            // A loop of its own: `complete` is inlined only while it alone builds reports this way.
            let mut outcomes = Outcomes::new();
            for (recipient, outcome) in send.content.recipients.iter().zip(&send.outcomes) {
                outcomes.push((recipient.clone(), outcome.unwrap_or(Outcome::Timeout)));
            }
            self.completed.push((completion, Ok(Report::new(outcomes))));
        }
    }

    /// Whether a single caller sends one message after the other.
    pub fn is_single_sender(&self) -> bool {
        self.sends.len() <= 1 && self.last_completed <= 1
    }

    /// Records how many sends completed together.
    pub fn note_completed(&mut self) {
        if !self.completed.is_empty() {
            self.last_completed = self.completed.len();
        }
    }

    /// Completes a send now, with the outcomes that are known.
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
            let outcome = match planted!(CanceledReportedAsCertain) {
                false => entry.outcome(certain, self.epoch),
                true => Outcome::Canceled,
            };
            self.resolve(flow_index, channel, position, outcome);
            self.resume_channel(flow_index, channel, now);
        }
    }

    /// Whether a broadcast was sent along the tree so recently that a relay may have used newer
    /// routes. Then a copy may still reach a recipient to which none was sent, and which has not
    /// refused one.
    pub(super) fn flooded_recently(&self, id: u64, now: Instant) -> bool {
        let flooded_at = self.sends.get(id).and_then(|send| send.flooded_at);
        flooded_at.is_some_and(|at| now.saturating_duration_since(at) < ROUTES_STABLE_AFTER)
    }

    /// Whether there is something to flush, to send or to report.
    pub fn has_output(&self) -> bool {
        self.space_available
            || !self.to_flush.is_empty()
            || !self.completed.is_empty()
            || !self.queries.is_empty()
    }

    /// When `handle_timeout` next has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether no send is outstanding.
    pub fn is_idle(&self) -> bool {
        self.sends.is_empty()
    }

    /// How many sends are outstanding.
    pub fn count(&self) -> usize {
        self.sends.len()
    }

    /// The completions of the outstanding sends, in no particular order.
    pub fn completions(&mut self) -> impl Iterator<Item = &mut C> {
        self.sends.iter_mut().filter_map(|send| send.completion.as_mut())
    }

    /// Completes every send with [`SendError::Closed`].
    pub fn close(&mut self) {
        for send in self.sends.drain() {
            if let Some(completion) = send.completion {
                self.completed.push((completion, Err(SendError::Closed)));
            }
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

/// Adds a link's queue to those that must be flushed.
pub(super) fn add_to_flush(to_flush: &mut SmallVec<[Arc<Outbound>; 2]>, outbound: &Arc<Outbound>) {
    if !to_flush.iter().rev().any(|known| Arc::ptr_eq(known, outbound)) {
        to_flush.push(outbound.clone());
    }
}

/// The earlier of two deadlines.
pub(super) fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    [a, b].into_iter().flatten().min()
}
