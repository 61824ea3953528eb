//! Answers to messages: acknowledgements and refusals that this node sends, and those it receives.

use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;

use super::{Plane, READY_SOURCES_MAX, Sink, State};
use crate::forward::ack_batch::AckBatch;
use crate::forward::fib::Fib;
use crate::forward::outbound::Class;
use crate::forward::reassembly::BodyKey;
use crate::name::{Instance, LinkId, NodeName};
use crate::wire::ack::{AckEntry, Refusal, Verdict};
use crate::wire::data::{Channel, DataHeader};
use crate::wire::frame::FrameKind;

impl<S: Sink> Plane<S> {
    /// An acknowledgement from this node to the source of a message.
    pub(super) fn ack(&self, to: Instance, channel: Channel, verdict: Verdict) -> AckEntry {
        AckEntry { to, from: self.name.clone(), by: Some(self.instance), channel, verdict, hops: 0 }
    }

    /// Handles an acknowledgement or a query for this node, or a request to start a channel anew.
    pub(super) fn handle_ack(
        &self,
        state: &mut State<S::Completion>,
        entry: &AckEntry,
        acks: &mut AckBatch,
        now: Instant,
    ) {
        match (entry.verdict, entry.by) {
            (Verdict::Query, Some(source)) => {
                let next = state.dedup.next(source, entry.channel);
                acks.push(self.ack(source, entry.channel, Verdict::Delivered { next }));
                let key = BodyKey { source, channel: entry.channel, id: 0 };
                if let Some((number, received)) = state.reassembly.received(key) {
                    let verdict = Verdict::Progress { number, received };
                    acks.push(self.ack(source, entry.channel, verdict));
                }
            }
            (Verdict::Restart { claimed, limit }, Some(source)) => {
                let channel = entry.channel;
                let restarted = state.dedup.restart(source, channel, claimed, limit);
                state.counters.restarted += u64::from(restarted);
                let next = state.dedup.next(source, channel);
                acks.push(self.ack(source, channel, Verdict::Delivered { next }));
            }
            (Verdict::Query | Verdict::Restart { .. }, None) => {}
            (
                Verdict::Delivered { .. }
                | Verdict::Refused { .. }
                | Verdict::Progress { .. }
                | Verdict::Ready,
                _,
            ) => state.sends.acknowledged(entry, now),
        }
    }

    /// Sends the acknowledgements of a batch. A source that is refused as busy is remembered only
    /// afterwards, so that no notification of room overtakes the refusal.
    pub(super) fn send_acks(&self, fib: &Fib, arrived_on: LinkId, acks: AckBatch) {
        let refused = acks.refused_by(self.instance);
        self.queue_acks(fib, Some(arrived_on), acks);
        if refused.is_empty() {
            return;
        }
        let mut state = self.lock();
        for source in refused {
            if state.refused_sources.len() < READY_SOURCES_MAX {
                state.refused_sources.insert(source);
            }
        }
        // Memory for large bodies stays short for a while: their sources back off before they
        // resend.
        if state.reassembly.is_half_empty() {
            self.send_ready(state);
        }
    }

    /// Queues acknowledgements, one frame or more for each next hop, and flushes the queues. Those
    /// without a route go back over the link that the batch came from.
    pub(super) fn queue_acks(&self, fib: &Fib, arrived_on: Option<LinkId>, acks: AckBatch) {
        for (link, frame) in acks.into_frames(&fib.routes, arrived_on) {
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

/// The refusal of a copy, to the source of its message.
pub(super) fn refusal(
    header: &DataHeader,
    from: NodeName,
    by: Option<Instance>,
    number: u64,
    refusal: Refusal,
) -> AckEntry {
    let verdict = Verdict::Refused { number, refusal };
    AckEntry { to: header.instance, from, by, channel: header.channel, verdict, hops: 0 }
}
