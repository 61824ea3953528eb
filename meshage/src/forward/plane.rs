//! The one composition of the data plane's parts: a frame or a send comes in; copies, deliveries,
//! acknowledgements and refusals go out. The driver and the simulator use it unchanged.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use bytes::Bytes;

use super::acks::Acks;
use super::chunk::{Added, REASSEMBLY_BYTES_MAX, Reassembly, Stream};
use super::dedup::{Arrival, Dedup};
use super::delivery::Sends;
use super::inbox::Inbox;
use super::outbound::{Class, Outbound};
use super::plan::plan;
use crate::error::SendError;
use crate::message::{Encoding, Message, Outgoing, Report};
use crate::name::{Instance, LinkId, MessageId, NodeName};
use crate::route::RouteTable;
use crate::stats::Stats;
use crate::wire::WireError;
use crate::wire::data::{
    AckEntry, AckFrame, DataFrame, DataHeader, HOP_LIMIT, Lane, Refusal, Slot, Targets, Verdict,
};
use crate::wire::deframe::RawFrame;
use crate::wire::frame::FrameKind;

/// How many bytes of large messages in transit are put together for a snoop, at most.
pub const SNOOP_BYTES_MAX: usize = 128 << 20;

/// How many sources are remembered to be told that there is room again; the others find out.
pub const READY_SOURCES_MAX: usize = 4096;

/// The routes with their live queues: one immutable snapshot.
#[derive(Debug)]
pub struct Fib {
    /// Where everything goes.
    pub routes: Arc<RouteTable>,
    /// What goes there. A route over a link that is not here leads nowhere.
    pub links: BTreeMap<LinkId, Arc<Outbound>>,
}

/// What the data plane calls when something happens; never with a lock held.
pub trait Host: Send + Sync {
    /// What a send is completed through.
    type Completion: Send;
    /// A send has an outcome for each of its recipients, or the node closed first.
    fn complete(&self, completion: Self::Completion, result: Result<Report, SendError>);
    /// The inbox was empty and is no more; or the node closed.
    fn inbox_filled(&self);
    /// The local queue was full and has room again; or the node closed.
    fn send_space(&self);
    /// A whole message passed through that is not for this node.
    fn snooped(&self, message: Message);
    /// [`Plane::poll_timeout`] is earlier than it was.
    fn deadline_moved(&self);
}

/// The bounds of one node's data plane.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest body, in bytes.
    pub max_message: usize,
    /// How many messages wait for the application at most.
    pub receive_buffer: usize,
}

/// What can be counted without the lock, by readers.
#[derive(Debug, Default)]
struct Counters {
    relayed: AtomicU64,
    refused_in_transit: AtomicU64,
    loops: AtomicU64,
    acks_relayed: AtomicU64,
    acks_dropped: AtomicU64,
}

fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

struct State<C> {
    sends: Sends<C>,
    dedup: Dedup,
    reassembly: Reassembly,
    snoop: Reassembly,
    inbox: Inbox,
    /// Who was refused for want of room.
    refused: BTreeSet<Instance>,
    stopped: bool,
    filled: bool,
    snooped: Vec<Message>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    sent: u64,
    received: u64,
    received_bytes: u64,
    busy: u64,
    early: u64,
    duplicates: u64,
    stale: u64,
    too_large: u64,
    reassembly_expired: u64,
    reassembly_ignored: u64,
}

/// The data plane of one node. Every method may be called from any thread.
pub struct Plane<H: Host> {
    host: H,
    name: NodeName,
    instance: Instance,
    fib: ArcSwap<Fib>,
    state: Mutex<State<H::Completion>>,
    snooping: AtomicBool,
    max_message: usize,
    /// Batches that are being taken: their acknowledgements are not queued yet.
    receiving: AtomicUsize,
    counters: Counters,
}

impl<H: Host> Plane<H> {
    /// A data plane that can reach nobody yet.
    pub fn new(name: NodeName, instance: Instance, limits: Limits, host: H) -> Self {
        let routes = Arc::new(RouteTable::alone(&name, instance));
        let fib = Arc::new(Fib { routes, links: BTreeMap::new() });
        let state = State {
            sends: Sends::new(name.clone(), instance, limits.max_message, fib.clone()),
            dedup: Dedup::default(),
            reassembly: Reassembly::new(REASSEMBLY_BYTES_MAX, limits.max_message),
            snoop: Reassembly::new(SNOOP_BYTES_MAX, SNOOP_BYTES_MAX),
            inbox: Inbox::new(limits.receive_buffer),
            refused: BTreeSet::new(),
            stopped: false,
            filled: false,
            snooped: Vec::new(),
            counts: Counts::default(),
        };
        Self {
            host,
            name,
            instance,
            fib: ArcSwap::new(fib),
            state: Mutex::new(state),
            snooping: AtomicBool::new(false),
            max_message: limits.max_message,
            receiving: AtomicUsize::new(0),
            counters: Counters::default(),
        }
    }

    /// What it reports to.
    pub fn host(&self) -> &H {
        &self.host
    }

    /// The snapshot in force.
    pub fn fib(&self) -> Arc<Fib> {
        self.fib.load_full()
    }

    /// Puts a new snapshot in force: whatever was in flight over what no longer stands is lost.
    pub fn install(&self, fib: Fib, now: Instant) {
        let fib = Arc::new(fib);
        self.run(|state| {
            self.fib.store(fib.clone());
            state.sends.install(fib, now);
        });
    }

    /// Begins a send. Never waits. `deadline` `None` waits for ever.
    ///
    /// # Errors
    /// [`SendError`], with the message and the completion given back: it will not be called. After
    /// [`SendError::Again`], [`Host::send_space`] says when to try again.
    pub fn send(
        &self,
        outgoing: Outgoing,
        deadline: Option<Instant>,
        completion: H::Completion,
        now: Instant,
    ) -> Result<MessageId, (SendError, Outgoing, H::Completion)> {
        self.run(|state| {
            if state.stopped {
                return Err((SendError::Closed, outgoing, completion));
            }
            let sent = state.sends.send(outgoing, deadline, completion, now);
            match &sent {
                Ok(_) => state.counts.sent += 1,
                Err((SendError::Again, ..)) => state.sends.starve(),
                Err(_) => {}
            }
            sent
        })
    }

    /// Ends a send at once, with what is known of it.
    pub fn cancel(&self, id: MessageId, now: Instant) {
        self.run(|state| state.sends.cancel(id, now));
    }

    /// Takes the data and acknowledgement frames of a batch that one reader read; passes over the
    /// others. Acknowledgements that the batch gives rise to leave together.
    ///
    /// # Errors
    /// A frame in breach of the protocol: the link is to be closed.
    pub fn receive(
        &self,
        link: LinkId,
        frames: &[RawFrame],
        now: Instant,
    ) -> Result<(), WireError> {
        self.receiving.fetch_add(1, Ordering::AcqRel);
        let fib = self.fib.load_full();
        let mut acks = Acks::default();
        let mut verdict = Ok(());
        for frame in frames {
            let taken = match frame.kind {
                Some(FrameKind::Data) => DataFrame::decode(frame.payload.clone())
                    .map(|frame| self.data(&fib, link, frame, &mut acks, now)),
                Some(FrameKind::Ack) => {
                    AckFrame::decode(&frame.payload).map(|frame| self.acks(frame, &mut acks, now))
                }
                Some(FrameKind::Control | FrameKind::KeepAlive) | None => Ok(()),
            };
            if let Err(error) = taken {
                verdict = Err(error);
                break;
            }
        }
        self.flush(&fib, Some(link), acks);
        self.receiving.fetch_sub(1, Ordering::AcqRel);
        verdict
    }

    /// One data frame: passed on without the lock, delivered with it.
    fn data(&self, fib: &Fib, link: LinkId, frame: DataFrame, acks: &mut Acks, now: Instant) {
        if frame.header.instance == self.instance {
            bump(&self.counters.loops);
            return;
        }
        let plan = plan(&fib.routes, &self.name, link, &frame.header);
        let header = &frame.header;
        for (name, slot) in &plan.unreachable {
            bump(&self.counters.refused_in_transit);
            acks.push(refusal(header, name.clone(), None, slot.number, Refusal::NoRoute));
        }
        let onward = !plan.copies.is_empty();
        for (next, targets) in plan.copies {
            self.pass_on(fib, next, targets, &frame, acks);
        }
        if let Some((slot, oldest)) = plan.deliver {
            self.run(|state| {
                self.deliver(state, frame, (slot, oldest), acks, now);
            });
        } else if onward && self.snooping.load(Ordering::Relaxed) {
            self.run(|state| snoop(state, frame.header, frame.body, now));
        }
    }

    /// Queues a copy for the next hop, or refuses it.
    fn pass_on(
        &self,
        fib: &Fib,
        next: LinkId,
        targets: Targets,
        frame: &DataFrame,
        acks: &mut Acks,
    ) {
        let mut header = frame.header.clone();
        header.targets = targets;
        header.route.push(self.name.clone());
        let class = if header.lane.large { Class::Large } else { Class::Small };
        let copy = DataFrame { header, body: frame.body.clone() };
        let queued =
            fib.links.get(&next).is_some_and(|queue| queue.push(class, copy.encode()).is_ok());
        if queued {
            bump(&self.counters.relayed);
            return;
        }
        bump(&self.counters.refused_in_transit);
        let header = &copy.header;
        match &header.targets {
            Targets::Flood(slot) => {
                for name in fib.routes.behind(header.instance, next) {
                    acks.push(refusal(header, name, None, slot.number, Refusal::Busy));
                }
            }
            Targets::List(list) => {
                for target in list {
                    if let Some(slot) = target.slot {
                        let name = target.name.clone();
                        acks.push(refusal(header, name, None, slot.number, Refusal::Busy));
                    }
                }
            }
        }
    }

    /// Delivers a message here, or a chunk of one; answers its source.
    fn deliver(
        &self,
        state: &mut State<H::Completion>,
        frame: DataFrame,
        (slot, oldest): (Slot, Option<u64>),
        acks: &mut Acks,
        now: Instant,
    ) {
        let DataFrame { header, body } = frame;
        let (source, lane, id) = (header.instance, header.lane, header.id);
        let first = header.chunk.is_none_or(|chunk| chunk.offset == 0);
        let refuse = |refusal_: Refusal| {
            refusal(&header, self.name.clone(), Some(self.instance), slot.number, refusal_)
        };
        match state.dedup.arrival(source, lane, slot, id, oldest) {
            Arrival::Next => {}
            // Of a large body the first chunk alone is answered: one answer a message.
            Arrival::Early | Arrival::Had | Arrival::Stale if !first => return,
            Arrival::Early => {
                state.counts.early += 1;
                acks.push(refuse(Refusal::Early));
                return;
            }
            Arrival::Had => {
                state.counts.duplicates += 1;
                let next = state.dedup.next(source, lane);
                acks.push(self.ack(source, lane, Verdict::Delivered { next }));
                return;
            }
            Arrival::Stale => {
                state.counts.stale += 1;
                acks.push(refuse(Refusal::Stale));
                return;
            }
        }
        let body = match header.chunk {
            None => body,
            Some(chunk) => {
                let full = first && !state.inbox.has_room(chunk.total as usize);
                let stream = Stream { source, lane, id: 0 };
                let added = if full {
                    Added::Refused(Refusal::Busy)
                } else {
                    state.reassembly.add(stream, slot.number, chunk, &body, now)
                };
                for (victim, number) in state.reassembly.take_evicted() {
                    let verdict = Verdict::Refused { number, refusal: Refusal::Busy };
                    state.note_refused(victim.source);
                    acks.push(self.ack(victim.source, victim.lane, verdict));
                }
                match added {
                    Added::Whole(body) => body,
                    Added::More => return,
                    Added::Ignored => {
                        state.counts.reassembly_ignored += 1;
                        return;
                    }
                    Added::Progress(received) => {
                        let verdict = Verdict::Progress { number: slot.number, received };
                        acks.push(self.ack(source, lane, verdict));
                        return;
                    }
                    Added::Refused(refusal_) => {
                        if refusal_ == Refusal::Busy {
                            state.note_refused(source);
                            state.dedup.refused(source, lane, id);
                        } else {
                            state.counts.too_large += 1;
                        }
                        acks.push(refuse(refusal_));
                        return;
                    }
                }
            }
        };
        if body.len() > self.max_message {
            state.counts.too_large += 1;
            acks.push(refuse(Refusal::TooLarge));
            return;
        }
        let len = body.len() as u64;
        let was_empty = state.inbox.is_empty();
        let refused = refuse(Refusal::Busy);
        if state.inbox.push(message(header, body)).is_err() {
            state.note_refused(source);
            state.dedup.refused(source, lane, id);
            acks.push(refused);
            return;
        }
        state.filled |= was_empty;
        state.counts.received += 1;
        state.counts.received_bytes += len;
        state.dedup.delivered(source, lane, id);
        let next = state.dedup.next(source, lane);
        acks.push(self.ack(source, lane, Verdict::Delivered { next }));
    }

    /// What this node answers the source of a message.
    fn ack(&self, to: Instance, lane: Lane, verdict: Verdict) -> AckEntry {
        AckEntry { to, from: self.name.clone(), by: Some(self.instance), lane, verdict, hops: 0 }
    }

    /// A batch of acknowledgements: this node's own are taken, the others go on.
    fn acks(&self, frame: AckFrame, acks: &mut Acks, now: Instant) {
        let mut own = Vec::new();
        for mut entry in frame.entries {
            if entry.to == self.instance {
                own.push(entry);
            } else if usize::from(entry.hops) < HOP_LIMIT {
                entry.hops += 1;
                bump(&self.counters.acks_relayed);
                acks.push(entry);
            } else {
                bump(&self.counters.loops);
            }
        }
        if own.is_empty() {
            return;
        }
        self.run(|state| {
            for entry in own {
                match (entry.verdict, entry.by) {
                    (Verdict::Query, Some(source)) => {
                        let next = state.dedup.next(source, entry.lane);
                        acks.push(self.ack(source, entry.lane, Verdict::Delivered { next }));
                    }
                    (Verdict::Query, None) => {}
                    (
                        Verdict::Delivered { .. }
                        | Verdict::Refused { .. }
                        | Verdict::Progress { .. }
                        | Verdict::Ready,
                        _,
                    ) => state.sends.acknowledged(&entry, now),
                }
            }
        });
    }

    /// Sends acknowledgements off, a batch for each next hop. What has no route goes back where the
    /// batch came from.
    fn flush(&self, fib: &Fib, came_from: Option<LinkId>, acks: Acks) {
        for (link, frame) in acks.into_frames(&fib.routes, came_from) {
            let queued = link
                .and_then(|link| fib.links.get(&link))
                .is_some_and(|queue| queue.push(Class::Ack, frame.encode()).is_ok());
            if !queued {
                let lost = frame.entries.len() as u64;
                self.counters.acks_dropped.fetch_add(lost, Ordering::Relaxed);
            }
        }
    }

    /// A link's queue that was full has room again.
    pub fn writable(&self, link: LinkId, now: Instant) {
        self.run(|state| state.sends.writable(link, now));
    }

    /// Takes up to `max` messages out of the inbox; who was refused hears that there is room.
    pub fn take(&self, max: usize) -> Vec<Message> {
        let mut acks = Acks::default();
        let taken = self.run(|state| {
            let taken = state.inbox.take(max);
            if !state.refused.is_empty() && state.inbox.is_half_empty() {
                for source in mem::take(&mut state.refused) {
                    acks.push(self.ack(source, Lane::ALL[0], Verdict::Ready));
                }
            }
            taken
        });
        if !acks.is_empty() {
            self.flush(&self.fib.load(), None, acks);
        }
        taken
    }

    /// How many messages wait in the inbox.
    pub fn waiting(&self) -> usize {
        self.lock().inbox.len()
    }

    /// Whether whole messages in transit go to [`Host::snooped`].
    pub fn set_snoop(&self, on: bool) {
        self.snooping.store(on, Ordering::Relaxed);
    }

    /// Does what is due.
    pub fn handle_timeout(&self, now: Instant) {
        self.run(|state| {
            state.sends.handle_timeout(now);
            state.counts.reassembly_expired += state.reassembly.expire(now) as u64;
            state.snoop.expire(now);
        });
    }

    /// When [`Plane::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.lock().due()
    }

    /// Takes no more sends; what is under way goes on until [`Plane::close`], and `see` is shown who
    /// waits for it. It is called with the lock held.
    pub fn stop(&self, see: impl FnMut(&mut H::Completion)) {
        let mut state = self.lock();
        state.stopped = true;
        state.sends.completions().for_each(see);
    }

    /// Whether no send is under way, and every acknowledgement that is owed is queued. A message may
    /// be with its application before its acknowledgement is: who closes then must wait for it.
    pub fn is_idle(&self) -> bool {
        self.receiving.load(Ordering::Acquire) == 0 && self.lock().sends.is_idle()
    }

    /// Ends every send that is under way with [`SendError::Closed`]; takes no more. What waits in
    /// the inbox can still be taken.
    pub fn close(&self) {
        self.run(|state| {
            state.stopped = true;
            state.filled = true;
            state.sends.close();
        });
    }

    /// How many copies were refused here on their way to others.
    pub fn refused_in_transit(&self) -> u64 {
        self.counters.refused_in_transit.load(Ordering::Relaxed)
    }

    /// The data plane's counters.
    pub fn count(&self, stats: &mut Stats) {
        let state = self.lock();
        let counts = &state.counts;
        stats.set("messages_sent", counts.sent);
        stats.set("messages_received", counts.received);
        stats.set("messages_received_bytes", counts.received_bytes);
        stats.set("messages_refused_busy", counts.busy);
        stats.set("messages_refused_early", counts.early);
        stats.set("messages_refused_stale", counts.stale);
        stats.set("messages_refused_too_large", counts.too_large);
        stats.set("messages_duplicate", counts.duplicates);
        stats.set("sends_under_way", state.sends.under_way() as u64);
        stats.set("inbox_messages", state.inbox.len() as u64);
        stats.set("dedup_sources", state.dedup.sources() as u64);
        stats.set("reassembly_bytes", state.reassembly.bytes() as u64);
        stats.set("reassembly_expired", counts.reassembly_expired);
        stats.set("reassembly_chunks_ignored", counts.reassembly_ignored);
        drop(state);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        stats.set("frames_relayed", read(&self.counters.relayed));
        stats.set("frames_refused_in_transit", read(&self.counters.refused_in_transit));
        stats.set("frames_looped", read(&self.counters.loops));
        stats.set("acks_relayed", read(&self.counters.acks_relayed));
        stats.set("acks_dropped", read(&self.counters.acks_dropped));
    }

    fn lock(&self) -> MutexGuard<'_, State<H::Completion>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs something on the state; then, with the lock let go, tells the host what came of it.
    fn run<R>(&self, work: impl FnOnce(&mut State<H::Completion>) -> R) -> R {
        let mut state = self.lock();
        let before = state.due();
        let result = work(&mut state);
        let after = state.due();
        let done = mem::take(&mut state.sends.done);
        let queries = mem::take(&mut state.sends.queries);
        let snooped = mem::take(&mut state.snooped);
        let space = mem::take(&mut state.sends.space);
        let filled = mem::take(&mut state.filled);
        drop(state);
        if !queries.is_empty() {
            let mut batch = Acks::default();
            queries.into_iter().for_each(|query| batch.push(query));
            self.flush(&self.fib.load(), None, batch);
        }
        for (completion, result) in done {
            self.host.complete(completion, result);
        }
        for message in snooped {
            self.host.snooped(message);
        }
        if space {
            self.host.send_space();
        }
        if filled {
            self.host.inbox_filled();
        }
        if after.is_some_and(|after| before.is_none_or(|before| after < before)) {
            self.host.deadline_moved();
        }
        result
    }
}

impl<C> State<C> {
    fn due(&self) -> Option<Instant> {
        [self.sends.due(), self.reassembly.due(), self.snoop.due()].into_iter().flatten().min()
    }

    fn note_refused(&mut self, source: Instance) {
        self.counts.busy += 1;
        if self.refused.len() < READY_SOURCES_MAX {
            self.refused.insert(source);
        }
    }
}

/// Puts a message in transit together for the snoop.
fn snoop<C>(state: &mut State<C>, header: DataHeader, body: Bytes, now: Instant) {
    let body = match header.chunk {
        None => body,
        Some(chunk) => {
            let stream = Stream { source: header.instance, lane: header.lane, id: header.id };
            match state.snoop.add(stream, header.id, chunk, &body, now) {
                Added::Whole(body) => body,
                Added::More | Added::Progress(_) | Added::Refused(_) | Added::Ignored => return,
            }
        }
    };
    state.snooped.push(message(header, body));
}

/// What the source of a message is told of a copy that goes no further.
fn refusal(
    header: &DataHeader,
    from: NodeName,
    by: Option<Instance>,
    number: u64,
    refusal: Refusal,
) -> AckEntry {
    let verdict = Verdict::Refused { number, refusal };
    AckEntry { to: header.instance, from, by, lane: header.lane, verdict, hops: 0 }
}

/// The message of a header and a whole body.
fn message(header: DataHeader, body: Bytes) -> Message {
    let recipients = match header.targets {
        Targets::List(list) if !header.lane.broadcast => {
            list.into_iter().map(|target| target.name).collect()
        }
        Targets::List(_) | Targets::Flood(_) => Vec::new(),
    };
    Message {
        source: header.source,
        instance: header.instance,
        id: MessageId(header.id),
        recipients,
        route: header.route,
        encoding: Encoding(header.encoding),
        body,
    }
}
