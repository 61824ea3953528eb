//! What arrives over a link: passed on without the plane's lock, delivered with it.
//!
//! ```text
//!  frames of one read ──► decode, plan ──┬─ for others: onto their links' queues
//!                                        └─ for this node ──► the lock, once for up to 64 ──► inbox
//!                      what they give rise to, acknowledgements first ──► links, application
//! ```

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use smallvec::SmallVec;

use super::{Aftermath, Fib, Plane, READY_SOURCES_MAX, Sink, State, bump};
use crate::forward::ack_batch::AckBatch;
use crate::forward::dedup::Arrival;
use crate::forward::outbound::{Class, Outbound};
use crate::forward::plan::plan;
use crate::forward::reassembly::{Added, Stream};
use crate::message::{Encoding, Message};
use crate::name::{Instance, LinkId, MessageId, Names, NodeName};
use crate::wire::WireError;
use crate::wire::ack::{AckEntry, AckFrame, Refusal, Verdict};
use crate::wire::data::{
    Channel, DataFrame, DataHeader, HOP_LIMIT, HeaderRef, MessageSequence, Targets,
};
use crate::wire::deframe::RawFrame;
use crate::wire::frame::FrameKind;

/// How many frames are decoded before the lock is taken for them: few enough that whoever takes
/// messages meanwhile waits some microseconds.
const LOCKED_FRAMES_MAX: usize = 64;

/// What a batch is for this node itself.
enum Own {
    Message(DataFrame, MessageSequence, Option<u64>),
    Ack(AckEntry),
}

/// What a batch gives rise to.
#[derive(Default)]
struct Consequences {
    acks: AckBatch,
    /// The queues that copies were put into, to be flushed.
    passed_on: SmallVec<[Arc<Outbound>; 2]>,
}

impl<H: Sink> Plane<H> {
    /// Takes the data and acknowledgement frames of a batch that one reader read; passes over the
    /// others. Acknowledgements that the batch gives rise to leave together. Says whether the inbox
    /// is more than half full: then the reader does well to let the application run.
    ///
    /// # Errors
    /// A frame in breach of the protocol: the link is to be closed.
    pub fn receive(
        &self,
        link: LinkId,
        frames: &[RawFrame],
        now: Instant,
    ) -> Result<bool, WireError> {
        self.receiving.fetch_add(1, Ordering::AcqRel);
        let fib = self.fib.load();
        let mut consequences = Consequences::default();
        let mut after: Option<Aftermath<H::Completion>> = None;
        let mut verdict = Ok(());
        let mut crowded = false;
        let mut own: SmallVec<[Own; 1]> = SmallVec::new();
        for frames in frames.chunks(LOCKED_FRAMES_MAX) {
            for frame in frames {
                verdict = self.frame(&fib, link, frame, &mut own, &mut consequences, now);
                if verdict.is_err() {
                    break;
                }
            }
            if !own.is_empty() {
                let mut state = self.lock();
                for own in own.drain(..) {
                    match own {
                        Own::Message(frame, sequence, oldest) => {
                            let acks = &mut consequences.acks;
                            self.deliver(&mut state, frame, (sequence, oldest), acks, now);
                        }
                        Own::Ack(entry) => {
                            self.acknowledged(&mut state, &entry, &mut consequences.acks, now);
                        }
                    }
                }
                crowded = !state.inbox.is_half_empty();
                // The application hears of all but the last of a batch as they come; of the last,
                // once the acknowledgements are on their way.
                if let Some(after) = after.replace(self.aftermath(state)) {
                    self.tell(after, true);
                }
            }
            if verdict.is_err() {
                break;
            }
        }
        self.answer(&fib, link, consequences.acks);
        for outbound in consequences.passed_on {
            outbound.flush(true);
        }
        if let Some(after) = after {
            self.tell(after, true);
        }
        self.receiving.fetch_sub(1, Ordering::AcqRel);
        verdict.map(|()| crowded)
    }

    /// One frame, as far as it goes without the lock.
    fn frame(
        &self,
        fib: &Fib,
        link: LinkId,
        frame: &RawFrame,
        own: &mut SmallVec<[Own; 1]>,
        consequences: &mut Consequences,
        now: Instant,
    ) -> Result<(), WireError> {
        match frame.kind {
            Some(FrameKind::Data) => {
                let frame = DataFrame::decode(frame.payload.clone())?;
                self.data(fib, link, frame, own, consequences, now);
            }
            Some(FrameKind::Ack) => {
                for mut entry in AckFrame::decode(&frame.payload)?.entries {
                    if entry.to == self.instance {
                        own.push(Own::Ack(entry));
                    } else if usize::from(entry.hops) < HOP_LIMIT {
                        entry.hops += 1;
                        bump(&self.counters.acks_relayed);
                        consequences.acks.push(entry);
                    } else {
                        bump(&self.counters.loops);
                    }
                }
            }
            Some(FrameKind::Control | FrameKind::KeepAlive) | None => {}
        }
        Ok(())
    }

    fn data(
        &self,
        fib: &Fib,
        link: LinkId,
        frame: DataFrame,
        own: &mut SmallVec<[Own; 1]>,
        consequences: &mut Consequences,
        now: Instant,
    ) {
        if frame.header.instance == self.instance {
            bump(&self.counters.loops);
            return;
        }
        let plan = plan(&fib.routes, &self.name, link, &frame.header);
        let header = &frame.header;
        for (name, sequence) in &plan.unreachable {
            bump(&self.counters.refused_in_transit);
            let refusal = refusal(header, name.clone(), None, sequence.number, Refusal::NoRoute);
            consequences.acks.push(refusal);
        }
        let onward = !plan.copies.is_empty();
        for (next, targets) in plan.copies {
            self.pass_on(fib, next, targets, &frame, consequences);
        }
        if let Some((sequence, oldest)) = plan.deliver {
            own.push(Own::Message(frame, sequence, oldest));
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
        consequences: &mut Consequences,
    ) {
        let header = &frame.header;
        let mut route = header.route.clone();
        route.push(self.name.clone());
        let heading = HeaderRef { route: &route, ..header.with_targets(&targets) };
        let class = if header.channel.large { Class::Large } else { Class::Small };
        let queue = fib.links.get(&next);
        let push = |queue: &Arc<Outbound>| {
            queue.push(class, FrameKind::Data, &frame.body, |head| heading.encode_into(head))
        };
        if let Some(queue) = queue
            && let Ok(idle) = push(queue)
        {
            bump(&self.counters.relayed);
            let known = |other: &Arc<Outbound>| Arc::ptr_eq(other, queue);
            if idle && !consequences.passed_on.iter().rev().any(known) {
                consequences.passed_on.push(queue.clone());
            }
            return;
        }
        bump(&self.counters.refused_in_transit);
        let acks = &mut consequences.acks;
        match &targets {
            Targets::Flood(sequence) => {
                for name in fib.routes.nodes_behind(header.instance, next) {
                    acks.push(refusal(header, name, None, sequence.number, Refusal::Busy));
                }
            }
            Targets::List(list) => {
                for target in list {
                    if let Some(sequence) = target.sequence {
                        let name = target.name.clone();
                        acks.push(refusal(header, name, None, sequence.number, Refusal::Busy));
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
        (sequence, oldest): (MessageSequence, Option<u64>),
        acks: &mut AckBatch,
        now: Instant,
    ) {
        let DataFrame { header, body } = frame;
        let (source, channel, id) = (header.instance, header.channel, header.id);
        let first = header.chunk.is_none_or(|chunk| chunk.offset == 0);
        let refuse = |header: &DataHeader, refusal_: Refusal| {
            refusal(header, self.name.clone(), Some(self.instance), sequence.number, refusal_)
        };
        let known = state.dedup.source(source);
        match known.arrival(channel, sequence, id, oldest) {
            Arrival::Next => {}
            // Of a large body the first chunk alone is answered: one answer a message.
            Arrival::Early | Arrival::Had | Arrival::Stale if !first => return,
            Arrival::Early => {
                state.counts.early += 1;
                acks.push(refuse(&header, Refusal::Early));
                return;
            }
            Arrival::Had => {
                state.counts.duplicates += 1;
                let next = known.next(channel);
                acks.push(self.ack(source, channel, Verdict::Delivered { next }));
                return;
            }
            Arrival::Stale => {
                state.counts.stale += 1;
                acks.push(refuse(&header, Refusal::Stale));
                return;
            }
        }
        let body = match header.chunk {
            None => body,
            Some(chunk) => {
                let full = first && !state.inbox.has_room(chunk.total as usize);
                let stream = Stream { source, channel, id: 0 };
                let added = if full {
                    Added::Refused(Refusal::Busy)
                } else {
                    state.reassembly.add(stream, sequence.number, chunk, &body, now)
                };
                match self.added(state, &header, sequence, added, acks) {
                    Some(body) => body,
                    None => return,
                }
            }
        };
        self.hand_over(state, header, sequence, body, acks);
    }

    /// What comes of a chunk: the body if it is whole now.
    pub(super) fn added(
        &self,
        state: &mut State<H::Completion>,
        header: &DataHeader,
        sequence: MessageSequence,
        added: Added,
        acks: &mut AckBatch,
    ) -> Option<Bytes> {
        let (source, channel, id) = (header.instance, header.channel, header.id);
        for (victim, number) in state.reassembly.take_evicted() {
            let verdict = Verdict::Refused { number, refusal: Refusal::Busy };
            state.counts.busy += 1;
            acks.push(self.ack(victim.source, victim.channel, verdict));
        }
        match added {
            Added::Whole(body) => return Some(body),
            Added::More => {}
            Added::Ignored => state.counts.reassembly_ignored += 1,
            Added::Progress(received) => {
                let verdict = Verdict::Progress { number: sequence.number, received };
                acks.push(self.ack(source, channel, verdict));
            }
            Added::Refused(refused) => {
                if refused == Refusal::Busy {
                    state.counts.busy += 1;
                    state.dedup.source(source).refused(channel, id);
                } else {
                    state.counts.too_large += 1;
                }
                let me = self.name.clone();
                acks.push(refusal(header, me, Some(self.instance), sequence.number, refused));
            }
        }
        None
    }

    /// Puts a whole message into the inbox, if it has room; answers its source.
    pub(super) fn hand_over(
        &self,
        state: &mut State<H::Completion>,
        header: DataHeader,
        sequence: MessageSequence,
        body: Bytes,
        acks: &mut AckBatch,
    ) {
        let (source, channel, id) = (header.instance, header.channel, header.id);
        let refuse = |header: &DataHeader, refusal_: Refusal| {
            refusal(header, self.name.clone(), Some(self.instance), sequence.number, refusal_)
        };
        if body.len() > self.max_message {
            state.counts.too_large += 1;
            acks.push(refuse(&header, Refusal::TooLarge));
            return;
        }
        let len = body.len() as u64;
        if !state.inbox.has_room(body.len()) {
            state.counts.busy += 1;
            state.dedup.source(source).refused(channel, id);
            acks.push(refuse(&header, Refusal::Busy));
            return;
        }
        state.filled |= state.inbox.is_empty();
        state.inbox.push(message(header, body));
        state.counts.received += 1;
        state.counts.received_bytes += len;
        let known = state.dedup.source(source);
        known.delivered(channel, id);
        let next = known.next(channel);
        acks.push(self.ack(source, channel, Verdict::Delivered { next }));
    }

    /// What this node answers the source of a message.
    pub(super) fn ack(&self, to: Instance, channel: Channel, verdict: Verdict) -> AckEntry {
        AckEntry { to, from: self.name.clone(), by: Some(self.instance), channel, verdict, hops: 0 }
    }

    /// An acknowledgement for this node.
    fn acknowledged(
        &self,
        state: &mut State<H::Completion>,
        entry: &AckEntry,
        acks: &mut AckBatch,
        now: Instant,
    ) {
        match (entry.verdict, entry.by) {
            (Verdict::Query, Some(source)) => {
                let next = state.dedup.next(source, entry.channel);
                acks.push(self.ack(source, entry.channel, Verdict::Delivered { next }));
            }
            (Verdict::Query, None) => {}
            (
                Verdict::Delivered { .. }
                | Verdict::Refused { .. }
                | Verdict::Progress { .. }
                | Verdict::Ready,
                _,
            ) => state.sends.acknowledged(entry, now),
        }
    }

    /// Sends off what a batch gave rise to. Whoever is told that there is no room is remembered only
    /// now, so that no word of room overtakes that.
    pub(super) fn answer(&self, fib: &Fib, came_from: LinkId, acks: AckBatch) {
        let refused = acks.refused_by(self.instance);
        self.flush(fib, Some(came_from), acks);
        if refused.is_empty() {
            return;
        }
        let mut state = self.lock();
        for source in refused {
            if state.refused.len() < READY_SOURCES_MAX {
                state.refused.insert(source);
            }
        }
        // Want of room for large bodies lasts: their sources pause before they begin again.
        if state.reassembly.is_half_empty() {
            self.relieve(state);
        }
    }

    /// Sends acknowledgements off, a batch for each next hop. What has no route goes back where the
    /// batch came from.
    pub(super) fn flush(&self, fib: &Fib, came_from: Option<LinkId>, acks: AckBatch) {
        for (link, frame) in acks.into_frames(&fib.routes, came_from) {
            let queue = link.and_then(|link| fib.links.get(&link));
            let queued = queue.is_some_and(|queue| {
                let write = |payload: &mut Vec<u8>| frame.encode_into(payload);
                let queued = queue.push(Class::Ack, FrameKind::Ack, &Bytes::new(), write);
                queue.flush(true);
                queued.is_ok()
            });
            if !queued {
                let lost = frame.entries.len() as u64;
                self.counters.acks_dropped.fetch_add(lost, Ordering::Relaxed);
            }
        }
    }
}

/// Puts a message in transit together for the snoop.
fn snoop<C>(state: &mut State<C>, header: DataHeader, body: Bytes, now: Instant) {
    let body = match header.chunk {
        None => body,
        Some(chunk) => {
            let stream = Stream { source: header.instance, channel: header.channel, id: header.id };
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
    AckEntry { to: header.instance, from, by, channel: header.channel, verdict, hops: 0 }
}

/// The message of a header and a whole body.
fn message(header: DataHeader, body: Bytes) -> Message {
    let recipients = match header.targets {
        Targets::List(list) if !header.channel.broadcast => {
            list.into_iter().map(|target| target.name).collect()
        }
        Targets::List(_) | Targets::Flood(_) => Names::new(),
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
