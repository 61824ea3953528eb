//! The share of the node's time that one link may claim.
//!
//! ```text
//!  frames of a read ──► slices of about 100 µs of work ──► the other tasks run between them
//!                           │    shorter while the inbox fills
//!                           └─ work that leads to nothing, beyond a rate: the link is not read
//! ```
//!
//! Work is counted in frames and bytes, not measured with a clock.

use std::time::{Duration, Instant};

use crate::wire::deframe::RawFrame;
use crate::wire::frame::FrameKind;

/// The cost of the frames that a reader handles before the other tasks run: about 100 µs of work,
/// which is 512 small messages or 400 acknowledgements. Slices of a fifth of that make a stream of small
/// messages 9 % slower, because each slice ends a batch of acknowledgements.
const SLICE_COST: usize = 512;
/// The same while the inbox is more than half full: a longer slice would fill it, and the messages of
/// other links would be refused (measured with slices of 2,048 and a flood of messages: p99 of the others
/// 1.4 s instead of 35 ms).
const SLICE_COST_CROWDED: usize = 128;
/// The bytes of a chunk's body that cost as much as one unit: they are only copied.
pub(super) const BODY_BYTES_PER_COST: usize = 1 << 10;
/// The bytes of a data header, and of acknowledgements, that cost as much as one unit: about
/// 0.2 µs (measured: 80 recipients without a route take 21 µs, 256 acknowledgements 60 µs). The
/// header of a message to one or two recipients with short names has at most [`HEADER_BYTES_FREE`].
const HEADER_BYTES_PER_COST: usize = 8;
const HEADER_BYTES_FREE: usize = 64;
const ACK_BYTES_PER_COST: usize = 16;
/// The bytes of a control frame that cost as much as one unit. Each one costs at least four: the
/// control task decides on it, and its outputs are carried out.
const CONTROL_BYTES_PER_COST: usize = 64;
const CONTROL_COST_MIN: usize = 4;
/// A link may cause 100,000 refusals, answers or ignored acknowledgements a second: 3 % of a
/// processor. The burst is as many messages as one queue of a link holds, because they are all
/// refused when their recipient fails. Control frames count too: a database exchange of a mesh of
/// 13,000 nodes is within the burst.
const FUTILE_INTERVAL: Duration = Duration::from_micros(10);
const FUTILE_BURST: u32 = 65_536;

/// Counts what a link made this node do.
#[derive(Debug)]
pub(super) struct Share {
    /// The cost since the other tasks ran last.
    cost: usize,
    /// Whether the inbox was more than half full after the last slice.
    crowded: bool,
    /// When the burst of futile work is available again as a whole.
    full_at: Instant,
}

impl Share {
    pub(super) fn new(now: Instant) -> Self {
        Self { cost: 0, crowded: false, full_at: now }
    }

    /// Adds work. Returns whether the other tasks must run now.
    pub(super) fn spend(&mut self, cost: usize) -> bool {
        self.cost += cost;
        if self.cost < self.slice_cost() {
            return false;
        }
        self.cost = 0;
        true
    }

    /// The cost of the next slice.
    pub(super) fn slice_cost(&self) -> usize {
        if self.crowded { SLICE_COST_CROWDED } else { SLICE_COST }
    }

    /// Takes note of whether the inbox is more than half full.
    pub(super) fn set_crowded(&mut self, crowded: bool) {
        self.crowded = crowded;
    }

    /// Adds work that led to nothing. Returns until when the link must not be read, if it caused
    /// too much of it.
    pub(super) fn waste(&mut self, futile: u32, now: Instant) -> Option<Instant> {
        if futile == 0 {
            return None;
        }
        self.full_at = self.full_at.max(now) + FUTILE_INTERVAL * futile;
        let until = self.full_at.checked_sub(FUTILE_INTERVAL * FUTILE_BURST)?;
        (until > now).then_some(until)
    }
}

/// Splits frames after the first ones, which together cost about `limit` or are all. Returns
/// both parts, and the cost of the first one.
pub(super) fn split(frames: &[RawFrame], limit: usize) -> (&[RawFrame], &[RawFrame], usize) {
    let (mut cost, mut count) = (0, 0);
    while let Some(frame) = frames.get(count)
        && cost < limit
    {
        cost += cost_of(frame);
        count += 1;
    }
    let (slice, rest) = frames.split_at(count);
    (slice, rest, cost)
}

/// About how much work a frame is.
pub(super) fn cost_of(frame: &RawFrame) -> usize {
    match frame.kind {
        Some(FrameKind::Data) => {
            let header = frame.payload.first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes));
            let body = frame.payload.len() / BODY_BYTES_PER_COST;
            let header = usize::from(header).saturating_sub(HEADER_BYTES_FREE);
            1 + header / HEADER_BYTES_PER_COST + body
        }
        Some(FrameKind::Ack) => 1 + frame.payload.len() / ACK_BYTES_PER_COST,
        Some(FrameKind::Control) => CONTROL_COST_MIN + frame.payload.len() / CONTROL_BYTES_PER_COST,
        Some(FrameKind::KeepAlive) | None => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: FrameKind, payload: &[u8]) -> RawFrame {
        RawFrame { kind: Some(kind), payload: payload.to_vec().into() }
    }

    #[test]
    fn a_slice_has_many_small_messages_or_few_with_many_recipients() {
        let length = |frames: &[RawFrame]| split(frames, 512).0.len();
        let small = vec![frame(FrameKind::Data, &[32, 0, 1, 2]); 1000];
        assert_eq!(length(&small), 512);
        assert_eq!(split(&small[..10], 512), (&small[..10], &small[10..10], 10));
        let long = vec![frame(FrameKind::Data, &[0, 8, 1, 2]); 10];
        assert_eq!(length(&long), 3);
        let acks = vec![frame(FrameKind::Ack, &[0; 60_000]); 3];
        assert_eq!(length(&acks), 1);
        assert_eq!(length(&[]), 0);
    }

    #[test]
    fn the_other_tasks_run_after_a_slice_of_work() {
        let now = crate::net::clock::now();
        let mut share = Share::new(now);
        assert!(!share.spend(SLICE_COST - 1));
        assert!(share.spend(1));
        assert!(!share.spend(1), "the count starts again");
    }

    #[test]
    fn slices_are_short_while_the_inbox_is_crowded() {
        let now = crate::net::clock::now();
        let mut share = Share::new(now);
        share.set_crowded(true);
        assert_eq!(share.slice_cost(), SLICE_COST_CROWDED);
        share.set_crowded(false);
        assert_eq!(share.slice_cost(), SLICE_COST);
    }

    #[test]
    fn a_burst_of_futile_work_passes_and_then_the_rate_applies() {
        let start = crate::net::clock::now();
        let mut share = Share::new(start);
        assert_eq!(share.waste(FUTILE_BURST, start), None);
        assert_eq!(share.waste(0, start), None, "useful work is free");
        assert_eq!(share.waste(100, start), Some(start + FUTILE_INTERVAL * 100));
        let later = start + FUTILE_INTERVAL * 1000;
        assert_eq!(share.waste(900, later), None, "the rate permits it");
        assert_eq!(share.waste(1, later), Some(later + FUTILE_INTERVAL));
    }
}
