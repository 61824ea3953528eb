//! The share of the node's time that one link may claim.
//!
//! ```text
//!  frames of a read ──► slices of about 100 µs of work ──► the other tasks run between them
//!                           └─ work that leads to nothing, beyond a rate: the link is not read
//! ```
//!
//! Everything is counted in frames and bytes, so no clock is read for it.

use std::time::{Duration, Instant};

use crate::wire::deframe::RawFrame;
use crate::wire::frame::FrameKind;

/// The cost of the frames that a reader handles before the other tasks run: about 100 µs of work,
/// which is 128 small messages or 400 acknowledgements.
const SLICE_COST: usize = 512;
/// The bytes of a chunk's body that cost as much as one unit: they are only copied.
pub(super) const BODY_BYTES_PER_COST: usize = 1 << 10;
/// The bytes of a data header, and of acknowledgements, that cost as much as one unit: about
/// 0.2 µs (measured: 80 recipients without a route take 21 µs, 256 acknowledgements 60 µs).
const HEADER_BYTES_PER_COST: usize = 8;
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
    /// When the burst of futile work is available again as a whole.
    full_at: Instant,
}

impl Share {
    pub(super) fn new(now: Instant) -> Self {
        Self { cost: 0, full_at: now }
    }

    /// Adds work. Returns whether the other tasks must run now.
    pub(super) fn spend(&mut self, cost: usize) -> bool {
        self.cost += cost;
        if self.cost < SLICE_COST {
            return false;
        }
        self.cost = 0;
        true
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

/// Splits frames into slices, none of which costs much more than [`SLICE_COST`], and returns each
/// with its cost.
pub(super) fn slices(mut frames: &[RawFrame]) -> impl Iterator<Item = (&[RawFrame], usize)> {
    std::iter::from_fn(move || {
        let (mut cost, mut count) = (0, 0);
        while let Some(frame) = frames.get(count)
            && cost < SLICE_COST
        {
            cost += cost_of(frame);
            count += 1;
        }
        let (slice, rest) = frames.split_at(count);
        frames = rest;
        (!slice.is_empty()).then_some((slice, cost))
    })
}

/// About how much work a frame is.
pub(super) fn cost_of(frame: &RawFrame) -> usize {
    match frame.kind {
        Some(FrameKind::Data) => {
            let header = frame.payload.first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes));
            let body = frame.payload.len() / BODY_BYTES_PER_COST;
            1 + usize::from(header) / HEADER_BYTES_PER_COST + body
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
        let small = vec![frame(FrameKind::Data, &[32, 0, 1, 2]); 1000];
        let lengths: Vec<usize> = slices(&small).map(|(slice, _)| slice.len()).collect();
        assert_eq!(lengths.iter().sum::<usize>(), 1000);
        assert_eq!(lengths[0], 103);
        let long = vec![frame(FrameKind::Data, &[0, 8, 1, 2]); 10];
        assert_eq!(slices(&long).map(|(slice, _)| slice.len()).max(), Some(2));
        let acks = vec![frame(FrameKind::Ack, &[0; 60_000]); 3];
        assert_eq!(slices(&acks).map(|(slice, _)| slice.len()).collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!(slices(&[]).count(), 0);
    }

    #[test]
    fn the_other_tasks_run_after_a_slice_of_work() {
        let mut share = Share::new(crate::net::clock::now());
        assert!(!share.spend(SLICE_COST - 1));
        assert!(share.spend(1));
        assert!(!share.spend(1), "the count starts again");
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
