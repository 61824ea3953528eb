//! The acknowledgements that a batch of frames causes, collected for each next hop.

use smallvec::SmallVec;

use crate::name::{Instance, LinkId};
use crate::route::RouteTable;
use crate::wire::ack::{ACK_ENTRIES_MAX, AckEntry, AckFrame, Refusal, Verdict};

/// How many earlier acknowledgements a new one is compared with, to replace one that it includes.
/// The messages of a batch come from a handful of sources.
const MERGE_REACH: usize = 8;

/// Acknowledgements, in the order in which they were added.
#[derive(Debug, Default)]
pub struct AckBatch {
    entries: SmallVec<[AckEntry; 1]>,
}

impl AckBatch {
    /// Adds an acknowledgement. Deliveries are acknowledged cumulatively: a later one replaces an
    /// earlier one.
    pub fn push(&mut self, entry: AckEntry) {
        if matches!(entry.verdict, Verdict::Delivered { .. }) {
            let tail = self.entries.len().saturating_sub(MERGE_REACH);
            let same = |other: &&mut AckEntry| {
                other.to == entry.to
                    && other.channel == entry.channel
                    && other.by == entry.by
                    && other.from == entry.from
            };
            if let Some(last) = self.entries[tail..].iter_mut().rev().find(same)
                && matches!(last.verdict, Verdict::Delivered { .. })
            {
                last.verdict = entry.verdict;
                return;
            }
        }
        self.entries.push(entry);
    }

    /// The sources to which this node refuses a message because its inbox or its memory is full.
    pub fn refused_by(&self, me: Instance) -> SmallVec<[Instance; 1]> {
        let refuses = |entry: &&AckEntry| {
            let busy = matches!(entry.verdict, Verdict::Refused { refusal: Refusal::Busy, .. });
            busy && entry.by == Some(me)
        };
        self.entries.iter().filter(refuses).map(|entry| entry.to).collect()
    }

    /// Whether there are no acknowledgements.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Packs them into one or more frames for each next hop. Those without a route go over
    /// `otherwise`.
    pub fn into_frames(
        self,
        routes: &RouteTable,
        otherwise: Option<LinkId>,
    ) -> SmallVec<[(Option<LinkId>, AckFrame); 1]> {
        let mut frames: SmallVec<[(Option<LinkId>, AckFrame); 1]> = SmallVec::new();
        for entry in self.entries {
            let link = routes.route_to(entry.to).map(|route| route.link).or(otherwise);
            // Only the last frame of a link can have room.
            match frames.iter_mut().rev().find(|(other, _)| *other == link) {
                Some((_, frame)) if frame.entries.len() < ACK_ENTRIES_MAX => {
                    frame.entries.push(entry);
                }
                Some(_) | None => {
                    frames.push((link, AckFrame { entries: SmallVec::from_iter([entry]) }));
                }
            }
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::tests::{instance, node, table};
    use crate::wire::data::Channel;

    fn ack(to: Instance, verdict: Verdict) -> AckEntry {
        AckEntry {
            to,
            from: node("b"),
            by: Some(instance("b")),
            channel: Channel::ALL[0],
            verdict,
            hops: 0,
        }
    }

    #[test]
    fn a_later_delivery_replaces_an_earlier_one_unless_a_refusal_is_between_them() {
        let mut acks = AckBatch::default();
        let a = instance("a");
        acks.push(ack(a, Verdict::Delivered { next: 2 }));
        acks.push(ack(instance("c"), Verdict::Delivered { next: 9 }));
        acks.push(ack(a, Verdict::Delivered { next: 3 }));
        acks.push(ack(a, Verdict::Refused { number: 3, refusal: Refusal::Busy }));
        acks.push(ack(a, Verdict::Delivered { next: 4 }));
        let verdicts: Vec<Verdict> = acks.entries.iter().map(|entry| entry.verdict).collect();
        assert_eq!(
            verdicts,
            [
                Verdict::Delivered { next: 3 },
                Verdict::Delivered { next: 9 },
                Verdict::Refused { number: 3, refusal: Refusal::Busy },
                Verdict::Delivered { next: 4 },
            ]
        );
    }

    #[test]
    fn each_next_hop_gets_its_own_frames_and_no_frame_is_too_long() {
        let routes = table("b", &[("a", "b"), ("b", "c")]);
        let mut acks = AckBatch::default();
        for number in 0..=ACK_ENTRIES_MAX as u64 {
            acks.push(ack(instance("a"), Verdict::Refused { number, refusal: Refusal::Busy }));
        }
        acks.push(ack(instance("c"), Verdict::Ready));
        acks.push(ack(instance("x"), Verdict::Ready));
        let frames: Vec<(Option<LinkId>, usize)> = acks
            .into_frames(&routes, None)
            .into_iter()
            .map(|(link, frame)| (link, frame.entries.len()))
            .collect();
        assert_eq!(
            frames,
            [
                (Some(LinkId(1)), ACK_ENTRIES_MAX),
                (Some(LinkId(1)), 1),
                (Some(LinkId(3)), 1),
                (None, 1),
            ]
        );
    }
}
