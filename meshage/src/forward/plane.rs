//! Composes the parts of the data plane. Frames and sends go in; copies, deliveries,
//! acknowledgements and refusals come out. The driver and the simulator use it unchanged.

mod answers;
mod arrivals;
pub mod in_place;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use smallvec::SmallVec;

use super::ack_batch::AckBatch;
use super::buffer_pool::POOL_BYTES_MAX;
use super::dedup::Dedup;
use super::delivery::{FirstNumbers, OutstandingSends};
use super::fib::Fib;
use super::inbox::Inbox;
use super::outbound::Outbound;
use super::reassembly::{REASSEMBLY_BYTES_MAX, Reassembly};
use super::transit::Transit;
use crate::error::SendError;
use crate::message::{Message, Outgoing, Report};
use crate::name::{Instance, LinkId, MessageId, NodeName};
use crate::route::RouteTable;
use crate::stats::Stats;
use crate::wire::ack::{AckEntry, Verdict};
use crate::wire::data::Channel;

/// How many bytes of large messages in transit are reassembled for a snoop at most.
pub const SNOOP_BYTES_MAX: usize = 128 << 20;

/// How many refused sources are remembered, to notify them when there is room. Further ones find
/// out when they resend after their back-off.
pub const READY_SOURCES_MAX: usize = 4096;

/// The callbacks of the data plane. None is called with a lock held.
pub trait Sink: Send + Sync {
    /// The value that the caller of a send passes in, and that its completion returns.
    type Completion: Send;
    /// Sends have completed: each has an outcome for every recipient, or the node was closed. Takes
    /// all of them out of the list.
    fn complete(&self, completed: &mut Vec<(Self::Completion, Result<Report, SendError>)>);
    /// The inbox was empty and is not any more, or the node was closed.
    fn inbox_filled(&self);
    /// The local queue was full and has room again, or the node was closed.
    fn send_space(&self);
    /// A complete message passed through that is not for this node.
    fn snooped(&self, message: Message);
    /// [`Plane::poll_timeout`] is earlier than before.
    fn deadline_moved(&self);
}

/// The limits of one node's data plane.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest body, in bytes.
    pub max_message: usize,
    /// How many messages may wait for the application.
    pub receive_buffer: usize,
}

/// The counters that readers increment without the lock.
#[derive(Debug, Default)]
struct AtomicCounters {
    relayed: AtomicU64,
    refused_in_transit: AtomicU64,
    loops: AtomicU64,
    data_wrong_path: AtomicU64,
    doubtful: AtomicU64,
    acks_wrong_path: AtomicU64,
    acks_relayed: AtomicU64,
    acks_dropped: AtomicU64,
}

fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

struct State<C> {
    sends: OutstandingSends<C>,
    dedup: Dedup,
    reassembly: Reassembly,
    snoop: Reassembly,
    inbox: Inbox,
    /// The sources of messages that were refused because the inbox or the memory was full.
    refused_sources: BTreeSet<Instance>,
    stopped: bool,
    inbox_filled: bool,
    snooped: Vec<Message>,
    /// The deadline that the sink was last notified of.
    notified_deadline: Option<Instant>,
    counters: LockedCounters,
}

#[derive(Debug, Default)]
struct LockedCounters {
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
    restarted: u64,
    conflicts: u64,
}

/// The data plane of one node. Every method may be called from any thread.
pub struct Plane<S: Sink> {
    sink: S,
    name: NodeName,
    instance: Instance,
    fib: ArcSwap<Fib>,
    state: Mutex<State<S::Completion>>,
    snooping: AtomicBool,
    max_message: usize,
    /// Batches that are being processed: their acknowledgements are not queued yet.
    batches_in_progress: AtomicUsize,
    transit: Transit,
    counters: AtomicCounters,
}

impl<S: Sink> Plane<S> {
    /// A data plane without routes.
    pub fn new(
        name: NodeName,
        instance: Instance,
        limits: Limits,
        first_numbers: FirstNumbers,
        sink: S,
    ) -> Self {
        let routes = Arc::new(RouteTable::alone(&name, instance));
        let fib = Arc::new(Fib::new(routes, BTreeMap::new()));
        let state = State {
            sends: OutstandingSends::new(
                name.clone(),
                instance,
                limits.max_message,
                first_numbers,
                fib.clone(),
            ),
            dedup: Dedup::default(),
            reassembly: Reassembly::new(REASSEMBLY_BYTES_MAX, limits.max_message, POOL_BYTES_MAX),
            snoop: Reassembly::new(SNOOP_BYTES_MAX, SNOOP_BYTES_MAX, 0),
            inbox: Inbox::new(limits.receive_buffer),
            refused_sources: BTreeSet::new(),
            stopped: false,
            inbox_filled: false,
            snooped: Vec::new(),
            notified_deadline: None,
            counters: LockedCounters::default(),
        };
        Self {
            sink,
            name,
            instance,
            fib: ArcSwap::new(fib),
            state: Mutex::new(state),
            snooping: AtomicBool::new(false),
            max_message: limits.max_message,
            batches_in_progress: AtomicUsize::new(0),
            transit: Transit::default(),
            counters: AtomicCounters::default(),
        }
    }

    /// The receiver of its callbacks.
    pub fn sink(&self) -> &S {
        &self.sink
    }

    /// The snapshot in force.
    pub fn fib(&self) -> Arc<Fib> {
        self.fib.load_full()
    }

    /// Installs a new snapshot. Messages in flight over routes that no longer exist are lost.
    pub fn install(&self, fib: Fib, now: Instant) {
        let fib = Arc::new(fib.after(&self.fib.load(), now));
        self.run(|state| {
            self.fib.store(fib.clone());
            state.sends.install(fib, now);
        });
    }

    /// Starts a send. Never waits. Without a `deadline` the send may never end.
    ///
    /// # Errors
    /// [`SendError`], together with the message and the completion, which is not completed. After
    /// [`SendError::Again`], [`Sink::send_space`] is called when there is room.
    pub fn send(
        &self,
        outgoing: Outgoing,
        deadline: Option<Instant>,
        completion: S::Completion,
        now: Instant,
    ) -> Result<MessageId, (SendError, Outgoing, S::Completion)> {
        self.run(|state| {
            if state.stopped {
                return Err((SendError::Closed, outgoing, completion));
            }
            let sent = state.sends.send(outgoing, deadline, completion, now);
            match &sent {
                Ok(_) => state.counters.sent += 1,
                Err((SendError::Again, ..)) => state.sends.want_space(),
                Err(_) => {}
            }
            sent
        })
    }

    /// Completes a send now, with the outcomes that are known.
    pub fn cancel(&self, id: MessageId, now: Instant) {
        self.run(|state| state.sends.cancel(id, now));
    }

    /// Continues the sends that waited for a link's queue, which was full and has room again.
    pub fn writable(&self, link: LinkId, now: Instant) {
        self.run(|state| state.sends.writable(link, now));
    }

    /// Takes up to `max` messages out of the inbox, and returns how many are left. The sources that
    /// were refused are notified once there is room.
    pub fn take(&self, max: usize) -> (Vec<Message>, usize) {
        self.take_with(|inbox| inbox.take(max))
    }

    /// As [`Plane::take`], one message or none.
    pub fn take_one(&self) -> (Option<Message>, usize) {
        self.take_with(Inbox::take_one)
    }

    fn take_with<R>(&self, take: impl FnOnce(&mut Inbox) -> R) -> (R, usize) {
        let mut state = self.lock();
        let taken = take(&mut state.inbox);
        let left = state.inbox.len();
        self.send_ready(state);
        (taken, left)
    }

    /// Notifies the sources that were refused, if there is room again.
    fn send_ready(&self, mut state: MutexGuard<'_, State<S::Completion>>) {
        if state.refused_sources.is_empty() || !state.inbox.is_half_empty() {
            return;
        }
        let refused = mem::take(&mut state.refused_sources);
        drop(state);
        let mut acks = AckBatch::default();
        for source in refused {
            acks.push(self.ack(source, Channel::ALL[0], Verdict::Ready));
        }
        self.queue_acks(&self.fib.load(), None, acks);
    }

    /// Whether the inbox is more than half full.
    pub fn is_crowded(&self) -> bool {
        !self.lock().inbox.is_half_empty()
    }

    /// How many messages wait in the inbox.
    pub fn waiting(&self) -> usize {
        self.lock().inbox.len()
    }

    /// Turns on or off that complete messages in transit go to [`Sink::snooped`].
    pub fn set_snoop(&self, on: bool) {
        self.snooping.store(on, Ordering::Relaxed);
    }

    /// Handles all deadlines that have passed.
    pub fn handle_timeout(&self, now: Instant) {
        self.run(|state| {
            state.sends.handle_timeout(now);
            state.counters.reassembly_expired += state.reassembly.expire(now) as u64;
            state.snoop.expire(now);
        });
    }

    /// When [`Plane::handle_timeout`] next has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.lock().next_deadline()
    }

    /// Accepts no more sends. Outstanding sends continue until [`Plane::close`], except those that
    /// wait for a route: they end with [`NoRoute`](crate::message::Outcome::NoRoute). `visit` is
    /// called before with the completion of each, while the lock is held.
    pub fn stop(&self, now: Instant, visit: impl FnMut(&mut S::Completion)) {
        self.run(|state| {
            state.stopped = true;
            state.sends.completions().for_each(visit);
            state.sends.stop_waiting_for_routes(now);
        });
    }

    /// Whether no send is outstanding, and all acknowledgements are queued. The application may
    /// have a message before its acknowledgement is queued, so a node waits for this before it
    /// closes.
    pub fn is_idle(&self) -> bool {
        self.batches_in_progress.load(Ordering::Acquire) == 0 && self.lock().sends.is_idle()
    }

    /// Refuses messages in transit from now on, so that a node that closes has an end of what it
    /// waits for. Their sources send them again over other routes, if there are any.
    pub fn stop_forwarding(&self) {
        self.transit.stop();
    }

    /// Whether acknowledgements of messages that were forwarded are still expected. If the node
    /// closed now, their sources would report these messages as lost.
    pub fn expects_acknowledgements(&self, now: Instant) -> bool {
        let missing = self.fib.load().links.values().any(|link| link.lacks_acknowledgements());
        self.transit.is_expecting(missing, now)
    }

    /// Completes every outstanding send with [`SendError::Closed`], and accepts no more. Messages
    /// in the inbox can still be taken.
    pub fn close(&self) {
        self.run(|state| {
            state.stopped = true;
            state.inbox_filled = true;
            state.sends.close();
        });
    }

    /// Frees the messages that were received, are in transit or wait for a link, and leaves out
    /// what is locked. For a forked child, in which the node does not run and the holder of a lock
    /// may not exist. Outstanding sends keep theirs: their callers may look at them.
    pub fn abandon(&self) {
        let Ok(mut state) = self.state.try_lock() else { return };
        // Bodies give their memory to the pool.
        if !state.reassembly.try_release_pool() || !state.snoop.try_release_pool() {
            return;
        }
        state.inbox = Inbox::new(0);
        state.reassembly = Reassembly::new(0, 0, 0);
        state.snoop = Reassembly::new(0, 0, 0);
        state.dedup = Dedup::default();
        state.refused_sources.clear();
        state.snooped = Vec::new();
        drop(state);
        for link in self.fib.load().links.values() {
            link.abandon();
        }
    }

    /// How many copies of messages in transit this node has refused.
    pub fn refused_in_transit(&self) -> u64 {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        read(&self.counters.refused_in_transit) + read(&self.counters.doubtful)
    }

    /// Adds the data plane's counters to `stats`.
    pub fn count(&self, stats: &mut Stats) {
        let state = self.lock();
        let counters = &state.counters;
        stats.set("messages_sent", counters.sent);
        stats.set("messages_received", counters.received);
        stats.set("messages_received_bytes", counters.received_bytes);
        stats.set("messages_refused_busy", counters.busy);
        stats.set("messages_refused_early", counters.early);
        stats.set("messages_refused_stale", counters.stale);
        stats.set("messages_refused_too_large", counters.too_large);
        stats.set("messages_duplicate", counters.duplicates);
        stats.set("sends_under_way", state.sends.count() as u64);
        stats.set("inbox_messages", state.inbox.len() as u64);
        stats.set("dedup_sources", state.dedup.sources() as u64);
        stats.set("reassembly_bytes", state.reassembly.bytes() as u64);
        stats.set("reassembly_bytes_kept", state.reassembly.pool_bytes() as u64);
        stats.set("reassembly_expired", counters.reassembly_expired);
        stats.set("reassembly_chunks_ignored", counters.reassembly_ignored);
        stats.set("acks_beyond_sent", state.sends.counters.beyond_sent);
        stats.set("acks_not_recipient", state.sends.counters.not_recipient);
        stats.set("channel_restarts_requested", state.sends.counters.restarts_requested);
        stats.set("channel_restarts", counters.restarted);
        stats.set("messages_conflicting", counters.conflicts);
        drop(state);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        stats.set("frames_relayed", read(&self.counters.relayed));
        stats.set("frames_refused_in_transit", read(&self.counters.refused_in_transit));
        stats.set("frames_looped", read(&self.counters.loops));
        stats.set("frames_wrong_path", read(&self.counters.data_wrong_path));
        stats.set("messages_doubtful", read(&self.counters.doubtful));
        stats.set("acks_wrong_path", read(&self.counters.acks_wrong_path));
        stats.set("acks_relayed", read(&self.counters.acks_relayed));
        stats.set("acks_dropped", read(&self.counters.acks_dropped));
    }

    fn lock(&self) -> MutexGuard<'_, State<S::Completion>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on the state. Then, after the lock is released, notifies the links and the sink.
    fn run<R>(&self, work: impl FnOnce(&mut State<S::Completion>) -> R) -> R {
        let mut state = self.lock();
        let result = work(&mut state);
        if !state.has_notifications() {
            return result;
        }
        let notifications = self.take_notifications(state);
        self.notify(notifications, false);
        result
    }

    /// Releases the lock, and returns what must be notified without it.
    fn take_notifications(
        &self,
        mut state: MutexGuard<'_, State<S::Completion>>,
    ) -> Notifications<S::Completion> {
        let (deadline, deadline_earlier) = state.next_deadline_and_change();
        state.notified_deadline = deadline;
        let sends = &mut state.sends;
        sends.note_completed();
        Notifications {
            deadline_earlier,
            single_sender: sends.is_single_sender(),
            completed: mem::take(&mut sends.completed),
            queries: mem::take(&mut sends.queries),
            to_flush: mem::take(&mut sends.to_flush),
            space_available: mem::take(&mut sends.space_available),
            snooped: mem::take(&mut state.snooped),
            inbox_filled: mem::take(&mut state.inbox_filled),
        }
    }

    /// Notifies the links and the sink. `reading`: the caller is a reader that has read all it
    /// could.
    fn notify(&self, mut notifications: Notifications<S::Completion>, reading: bool) {
        if !notifications.queries.is_empty() {
            let mut batch = AckBatch::default();
            notifications.queries.into_iter().for_each(|query| batch.push(query));
            self.queue_acks(&self.fib.load(), None, batch);
        }
        for outbound in notifications.to_flush {
            outbound.flush(reading || notifications.single_sender);
        }
        if !notifications.completed.is_empty() {
            self.sink.complete(&mut notifications.completed);
        }
        for message in notifications.snooped {
            self.sink.snooped(message);
        }
        if notifications.space_available {
            self.sink.send_space();
        }
        if notifications.inbox_filled {
            self.sink.inbox_filled();
        }
        if notifications.deadline_earlier {
            self.sink.deadline_moved();
        }
    }
}

/// The notifications that follow from work on the state, to be sent after the lock is released.
struct Notifications<C> {
    /// The next deadline is earlier than before.
    deadline_earlier: bool,
    /// A single caller sends one message after the other, so no other sends can share a write.
    single_sender: bool,
    completed: Vec<(C, Result<Report, SendError>)>,
    queries: Vec<AckEntry>,
    to_flush: SmallVec<[Arc<Outbound>; 2]>,
    space_available: bool,
    snooped: Vec<Message>,
    inbox_filled: bool,
}

impl<C> State<C> {
    /// Whether there is anything to notify. Records the next deadline if there is not.
    fn has_notifications(&mut self) -> bool {
        let (deadline, deadline_earlier) = self.next_deadline_and_change();
        if deadline_earlier
            || self.inbox_filled
            || !self.snooped.is_empty()
            || self.sends.has_output()
        {
            return true;
        }
        self.notified_deadline = deadline;
        false
    }

    /// The next deadline, and whether it is earlier than the one that the sink was notified of.
    fn next_deadline_and_change(&self) -> (Option<Instant>, bool) {
        let deadline = self.next_deadline();
        let notified = self.notified_deadline;
        let earlier = deadline.is_some_and(|deadline| notified.is_none_or(|last| deadline < last));
        (deadline, earlier)
    }

    fn next_deadline(&self) -> Option<Instant> {
        [self.sends.next_deadline(), self.reassembly.next_deadline(), self.snoop.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }
}
