//! Frames that arrive over a link: forwarded without the plane's lock, delivered with it.
//!
//! ```text
//!  frames of one read ──► decode, plan ──┬─ for others: onto their links' queues
//!                                        └─ for this node ──► lock, once for up to 64 ──► inbox
//!                      then the output, acknowledgements first ──► links, application
//! ```

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use smallvec::SmallVec;

use super::answers::refusal;
use super::{Notifications, Plane, Sink, State, bump};
use crate::forward::ack_batch::AckBatch;
use crate::forward::dedup::Arrival;
use crate::forward::fib::Fib;
use crate::forward::outbound::{Class, Outbound};
use crate::forward::plan::{PlannedCopy, plan};
use crate::forward::reassembly::{BodyKey, ChunkOutcome};
use crate::forward::reverse_path::Plausibility;
use crate::message::{Encoding, Message};
use crate::name::{Instance, LinkId, MessageId, Names, NodeName};
use crate::wire::WireError;
use crate::wire::ack::{AckEntry, AckFrame, Refusal, Verdict};
use crate::wire::data::{
    DataFrame, DataHeader, HOP_LIMIT, HeaderRef, MessageSequence, Target, Targets,
};
use crate::wire::deframe::RawFrame;
use crate::wire::frame::FrameKind;

/// How many frames are decoded before the lock is taken for them: so few that an application thread
/// that takes messages meanwhile waits only some microseconds.
const LOCKED_FRAMES_MAX: usize = 64;

/// What a query or an unexpected acknowledgement that is passed on counts for: the next node counts
/// it too, and must not stop to read the link to this node because of one of this node's peers.
const FUTILE_FORWARDED: u32 = 4;

/// The parts of a batch that are for this node.
enum LocalInput {
    Message(DataFrame, MessageSequence, Option<u64>),
    Ack(AckEntry),
}

/// The result of processing a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Received {
    /// The inbox is more than half full: the reader should let the application run.
    pub crowded: bool,
    /// How much of the work led to nothing: messages to recipients without a route, queries,
    /// refusals while no send is outstanding, and acknowledgements of what was not sent, or was not
    /// forwarded over the link. Honest peers cause little of it.
    pub futile: u32,
}

/// What a batch causes to be sent.
#[derive(Default)]
struct BatchOutput {
    acks: AckBatch,
    /// Whether a message was forwarded.
    forwarded: bool,
    /// Whether a broadcast arrived.
    flooded: bool,
    /// The number of acknowledgements and refusals that are passed on.
    acknowledgements: u32,
    /// See [`Received::futile`].
    futile: u32,
    /// The queues that received copies and must be flushed.
    to_flush: SmallVec<[Arc<Outbound>; 2]>,
    /// The source of the last message, which lies behind the link.
    checked_source: Option<(Instance, NodeName)>,
}

impl BatchOutput {
    /// Whether the source of a message was checked before.
    fn is_checked(&self, header: &DataHeader) -> bool {
        let checked = self.checked_source.as_ref();
        checked.is_some_and(|(instance, source)| {
            *instance == header.instance && *source == header.source
        })
    }
}

impl<S: Sink> Plane<S> {
    /// Whether there is a route to the source of every message of a batch. For a reader that may
    /// wait for newer routes; a frame that breaks the protocol is no reason to wait.
    pub fn knows_sources(&self, frames: &[RawFrame]) -> bool {
        let fib = self.fib.load();
        let is_known = |frame: &RawFrame| {
            let data = DataFrame::decode(frame.payload.clone());
            data.map_or(true, |data| fib.routes.contains(data.header.instance))
        };
        frames.iter().filter(|frame| frame.kind == Some(FrameKind::Data)).all(is_known)
    }

    /// Whether there is a route to the source and to every recipient of every message of a batch. A
    /// broadcast needs the whole tree, so it counts as having none.
    pub fn knows_routes(&self, frames: &[RawFrame]) -> bool {
        let fib = self.fib.load();
        let has_route =
            |name: &NodeName| *name == self.name || fib.routes.route(name.as_str()).is_some();
        let is_known = |frame: &RawFrame| {
            let Ok(DataFrame { header, .. }) = DataFrame::decode(frame.payload.clone()) else {
                return true;
            };
            let targets = match &header.targets {
                Targets::Flood(_) => false,
                Targets::List(list) => list
                    .iter()
                    .filter(|target| target.sequence.is_some())
                    .all(|target| has_route(&target.name)),
            };
            targets && fib.routes.contains(header.instance)
        };
        frames.iter().filter(|frame| frame.kind == Some(FrameKind::Data)).all(is_known)
    }

    /// Processes the data and acknowledgement frames of a batch that a reader has read, and ignores
    /// other frames. All acknowledgements that the batch causes are sent together.
    ///
    /// # Errors
    /// A frame breaks the protocol: the link must be closed.
    pub fn receive(
        &self,
        link: LinkId,
        frames: &[RawFrame],
        now: Instant,
    ) -> Result<Received, WireError> {
        self.batches_in_progress.fetch_add(1, Ordering::AcqRel);
        let fib = self.fib.load();
        let mut output = BatchOutput::default();
        let mut notifications: Option<Notifications<S::Completion>> = None;
        let mut verdict = Ok(());
        let mut crowded = false;
        let mut local: SmallVec<[LocalInput; 1]> = SmallVec::new();
        for frames in frames.chunks(LOCKED_FRAMES_MAX) {
            for frame in frames {
                verdict = self.process_frame(&fib, link, frame, &mut local, &mut output, now);
                if verdict.is_err() {
                    break;
                }
            }
            if !local.is_empty() {
                let mut state = self.lock();
                for local in local.drain(..) {
                    match local {
                        LocalInput::Message(frame, sequence, oldest) => {
                            let acks = &mut output.acks;
                            self.deliver_frame(&mut state, frame, (sequence, oldest), acks, now);
                        }
                        LocalInput::Ack(entry) => {
                            let unasked = matches!(entry.verdict, Verdict::Refused { .. })
                                && state.sends.is_idle();
                            output.futile += u32::from(unasked);
                            let untrue = state.sends.counters.untrue();
                            self.handle_ack(&mut state, &entry, &mut output.acks, now);
                            let untrue = (state.sends.counters.untrue() - untrue) as u32;
                            output.futile += untrue * FUTILE_FORWARDED;
                        }
                    }
                }
                crowded = !state.inbox.is_half_empty();
                // The application is notified of all parts of a batch but the last as they are
                // processed; of the last, after the acknowledgements are sent.
                if let Some(notifications) = notifications.replace(self.take_notifications(state)) {
                    self.notify(notifications, true);
                }
            }
            if verdict.is_err() {
                break;
            }
        }
        if output.flooded && fib.links.len() > 1 {
            self.transit.record_flood(now);
        }
        if output.forwarded || output.acknowledgements > 0 {
            self.transit.record(now);
        }
        if output.acknowledgements > 0
            && let Some(outbound) = fib.links.get(&link)
        {
            let unexpected = outbound.received_acknowledgements(output.acknowledgements);
            output.futile += unexpected * FUTILE_FORWARDED;
        }
        self.send_acks(&fib, link, output.acks);
        for outbound in output.to_flush {
            outbound.flush(true);
        }
        if let Some(notifications) = notifications {
            self.notify(notifications, true);
        }
        self.batches_in_progress.fetch_sub(1, Ordering::AcqRel);
        verdict.map(|()| Received { crowded, futile: output.futile })
    }

    /// Processes one frame as far as possible without the lock.
    fn process_frame(
        &self,
        fib: &Fib,
        link: LinkId,
        frame: &RawFrame,
        local: &mut SmallVec<[LocalInput; 1]>,
        output: &mut BatchOutput,
        now: Instant,
    ) -> Result<(), WireError> {
        match frame.kind {
            Some(FrameKind::Data) => {
                let frame = DataFrame::decode(frame.payload.clone())?;
                self.process_data(fib, link, frame, local, output, now);
            }
            Some(FrameKind::Ack) => {
                for mut entry in AckFrame::decode(&frame.payload)?.entries {
                    let query = u32::from(entry.verdict == Verdict::Query);
                    if entry.by == Some(self.instance) {
                        bump(&self.counters.loops);
                        output.futile += 1;
                    } else if !fib.is_plausible_ack(link, &entry, now) {
                        bump(&self.counters.acks_wrong_path);
                        output.futile += 1;
                    } else if entry.to == self.instance {
                        output.futile += query;
                        local.push(LocalInput::Ack(entry));
                    } else if usize::from(entry.hops) < HOP_LIMIT {
                        entry.hops += 1;
                        output.futile += query * FUTILE_FORWARDED;
                        bump(&self.counters.acks_relayed);
                        output.acknowledgements += u32::from(match entry.verdict {
                            Verdict::Delivered { .. } | Verdict::Refused { .. } => true,
                            Verdict::Progress { .. }
                            | Verdict::Ready
                            | Verdict::Query
                            | Verdict::Restart { .. } => false,
                        });
                        output.acks.push(entry);
                    } else {
                        bump(&self.counters.loops);
                    }
                }
            }
            Some(FrameKind::Control | FrameKind::KeepAlive) | None => {}
        }
        Ok(())
    }

    fn process_data(
        &self,
        fib: &Fib,
        link: LinkId,
        frame: DataFrame,
        local: &mut SmallVec<[LocalInput; 1]>,
        output: &mut BatchOutput,
        now: Instant,
    ) {
        if frame.header.instance == self.instance {
            bump(&self.counters.loops);
            return;
        }
        if !output.is_checked(&frame.header) {
            let (source, instance) = (&frame.header.source, frame.header.instance);
            match (fib.plausibility(link, source, instance, now), &frame.header.targets) {
                (Plausibility::Plausible, _) | (Plausibility::Doubtful, Targets::Flood(_)) => {}
                (Plausibility::Doubtful, Targets::List(list)) => {
                    self.refuse_doubtful(&frame.header, list, output);
                    return;
                }
                (Plausibility::Impossible, _) => {
                    bump(&self.counters.data_wrong_path);
                    return;
                }
            }
            output.checked_source = Some((instance, source.clone()));
        }
        let plan = plan(&fib.routes, &self.name, link, &frame.header);
        let header = &frame.header;
        for (name, sequence) in &plan.unreachable {
            bump(&self.counters.refused_in_transit);
            output.futile += 1;
            let refusal = refusal(header, name.clone(), None, sequence.number, Refusal::NoRoute);
            output.acks.push(refusal);
        }
        let forwarded = !plan.copies.is_empty();
        output.flooded |= matches!(header.targets, Targets::Flood(_));
        for copy in plan.copies {
            self.forward(fib, copy, &frame, output);
        }
        if let Some((sequence, oldest)) = plan.deliver {
            local.push(LocalInput::Message(frame, sequence, oldest));
        } else if forwarded && self.snooping.load(Ordering::Relaxed) {
            self.run(|state| snoop(state, frame.header, frame.body, now));
        }
    }

    /// Refuses a message to named recipients whose source may be another one. If it is not, it sends
    /// the message again.
    fn refuse_doubtful(&self, header: &DataHeader, list: &[Target], output: &mut BatchOutput) {
        for target in list {
            if let Some(sequence) = target.sequence {
                bump(&self.counters.doubtful);
                output.futile += FUTILE_FORWARDED;
                let name = target.name.clone();
                let refusal = refusal(header, name, None, sequence.number, Refusal::Busy);
                output.acks.push(refusal);
            }
        }
    }

    /// Queues a copy for the next hop, or refuses it.
    fn forward(
        &self,
        fib: &Fib,
        PlannedCopy { link: next, targets, recipients }: PlannedCopy,
        frame: &DataFrame,
        output: &mut BatchOutput,
    ) {
        let header = &frame.header;
        let mut route = header.route.clone();
        if !planted!(RelayNotRecorded) {
            route.push(self.name.clone());
        }
        let new_header = HeaderRef { route: &route, ..header.with_targets(&targets) };
        let class = if header.channel.large { Class::Large } else { Class::Small };
        let stopped = self.transit.is_stopped();
        let queue = fib.links.get(&next).filter(|_| !stopped);
        let push = |queue: &Arc<Outbound>| {
            // Recorded first, for the acknowledgement may arrive before this call returns.
            queue.expect_acknowledgements(recipients);
            queue.push(class, FrameKind::Data, &frame.body, |head| new_header.encode_into(head))
        };
        if let Some(queue) = queue
            && let Ok(idle) = push(queue)
        {
            bump(&self.counters.relayed);
            output.forwarded = true;
            let same = |other: &Arc<Outbound>| Arc::ptr_eq(other, queue);
            if idle && !output.to_flush.iter().rev().any(same) {
                output.to_flush.push(queue.clone());
            }
            return;
        }
        bump(&self.counters.refused_in_transit);
        let reason = if stopped { Refusal::NoRoute } else { Refusal::Busy };
        let acks = &mut output.acks;
        match &targets {
            Targets::Flood(sequence) => {
                for name in fib.routes.nodes_behind(header.instance, next) {
                    acks.push(refusal(header, name, None, sequence.number, reason));
                }
            }
            Targets::List(list) => {
                for target in list {
                    if let Some(sequence) = target.sequence {
                        let name = target.name.clone();
                        acks.push(refusal(header, name, None, sequence.number, reason));
                    }
                }
            }
        }
    }

    /// Delivers a message, or a chunk of one, to this node, and acknowledges or refuses it.
    fn deliver_frame(
        &self,
        state: &mut State<S::Completion>,
        frame: DataFrame,
        (sequence, oldest): (MessageSequence, Option<u64>),
        acks: &mut AckBatch,
        now: Instant,
    ) {
        let DataFrame { header, body } = frame;
        let (source, channel, id) = (header.instance, header.channel, header.id);
        let first = header.chunk.is_none_or(|chunk| chunk.offset == 0);
        let refuse = |header: &DataHeader, reason: Refusal| {
            refusal(header, self.name.clone(), Some(self.instance), sequence.number, reason)
        };
        let source_state = state.dedup.source(source);
        match source_state.arrival(channel, sequence, id, oldest) {
            Arrival::Next => {}
            // Of a large body only the first chunk is answered: one answer for each message.
            Arrival::Early | Arrival::Duplicate | Arrival::Stale | Arrival::Conflict if !first => {
                return;
            }
            Arrival::Early => {
                state.counters.early += 1;
                acks.push(refuse(&header, Refusal::Early));
                return;
            }
            Arrival::Duplicate => {
                state.counters.duplicates += 1;
                let next = source_state.next(channel);
                acks.push(self.ack(source, channel, Verdict::Delivered { next }));
                return;
            }
            Arrival::Conflict => {
                state.counters.conflicts += 1;
                acks.push(refuse(&header, Refusal::Stale));
                return;
            }
            Arrival::Stale => {
                state.counters.stale += 1;
                // If it is not stale, the source learns from the number that a message in its name
                // was forged.
                let next = source_state.next(channel);
                acks.push(self.ack(source, channel, Verdict::Delivered { next }));
                acks.push(refuse(&header, Refusal::Stale));
                return;
            }
        }
        let body = match header.chunk {
            None => body,
            Some(chunk) => {
                let full = first && !state.inbox.has_room(chunk.total as usize);
                let key = BodyKey { source, channel, id: 0 };
                let outcome = if full {
                    ChunkOutcome::Refused(Refusal::Busy)
                } else {
                    let outcome = state.reassembly.add(key, sequence.number, chunk, &body, now);
                    state.reassembly.report(key, body.len(), outcome)
                };
                match self.handle_chunk_outcome(state, &header, sequence, outcome, acks) {
                    Some(body) => body,
                    None => return,
                }
            }
        };
        self.hand_to_application(state, header, sequence, body, acks);
    }

    /// Acknowledges or refuses a chunk. Returns the body if it is complete.
    pub(super) fn handle_chunk_outcome(
        &self,
        state: &mut State<S::Completion>,
        header: &DataHeader,
        sequence: MessageSequence,
        outcome: ChunkOutcome,
        acks: &mut AckBatch,
    ) -> Option<Bytes> {
        let (source, channel, id) = (header.instance, header.channel, header.id);
        for (victim, number) in state.reassembly.take_evicted() {
            let verdict = Verdict::Refused { number, refusal: Refusal::Busy };
            state.counters.busy += 1;
            acks.push(self.ack(victim.source, victim.channel, verdict));
        }
        match outcome {
            ChunkOutcome::Complete(body) => return Some(body),
            ChunkOutcome::More => {}
            ChunkOutcome::Ignored => state.counters.reassembly_ignored += 1,
            ChunkOutcome::Progress(received) => {
                let verdict = Verdict::Progress { number: sequence.number, received };
                acks.push(self.ack(source, channel, verdict));
            }
            ChunkOutcome::Refused(refused) => {
                if refused == Refusal::Busy {
                    state.counters.busy += 1;
                    state.dedup.source(source).refused(channel, id);
                } else {
                    state.counters.too_large += 1;
                }
                let me = self.name.clone();
                acks.push(refusal(header, me, Some(self.instance), sequence.number, refused));
            }
        }
        None
    }

    /// Hands a complete message to the application: puts it into the inbox if there is room, and
    /// acknowledges or refuses it. This is the only way into the inbox: every complete message for
    /// this node passes through here, in order and once.
    pub(super) fn hand_to_application(
        &self,
        state: &mut State<S::Completion>,
        header: DataHeader,
        sequence: MessageSequence,
        body: Bytes,
        acks: &mut AckBatch,
    ) {
        let (source, channel, id) = (header.instance, header.channel, header.id);
        let refuse = |header: &DataHeader, reason: Refusal| {
            refusal(header, self.name.clone(), Some(self.instance), sequence.number, reason)
        };
        if body.len() > self.max_message {
            state.counters.too_large += 1;
            acks.push(refuse(&header, Refusal::TooLarge));
            return;
        }
        let len = body.len() as u64;
        if !state.inbox.has_room(body.len()) {
            if planted!(AcknowledgedWithoutRoom) {
                state.dedup.source(source).delivered(channel, id);
                let next = sequence.number + 1;
                return acks.push(self.ack(source, channel, Verdict::Delivered { next }));
            }
            state.counters.busy += 1;
            state.dedup.source(source).refused(channel, id);
            acks.push(refuse(&header, Refusal::Busy));
            return;
        }
        state.inbox_filled |= state.inbox.is_empty();
        state.inbox.push(message(header, body));
        state.counters.received += 1;
        state.counters.received_bytes += len;
        let source_state = state.dedup.source(source);
        source_state.delivered(channel, id);
        let next = source_state.next(channel);
        acks.push(self.ack(source, channel, Verdict::Delivered { next }));
    }
}

/// Reassembles a message in transit for the snoop.
fn snoop<C>(state: &mut State<C>, header: DataHeader, body: Bytes, now: Instant) {
    let body = match header.chunk {
        None => body,
        Some(chunk) => {
            let key = BodyKey { source: header.instance, channel: header.channel, id: header.id };
            match state.snoop.add(key, header.id, chunk, &body, now) {
                ChunkOutcome::Complete(body) => body,
                ChunkOutcome::More
                | ChunkOutcome::Progress(_)
                | ChunkOutcome::Refused(_)
                | ChunkOutcome::Ignored => return,
            }
        }
    };
    state.snooped.push(message(header, body));
}

/// The message that a header and a complete body form.
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
