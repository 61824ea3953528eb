//! Adding chunks to bodies.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::partial_bodies::{BodyKey, BufferState, PartialBodies, PartialBody};
use crate::forward::buffer_pool::{BodyBuffer, BufferPool};
use crate::wire::ack::Refusal;
use crate::wire::data::{CHUNK_BYTES, Chunk};

/// How many bytes of unfinished bodies are kept, of all sources together: four of the largest by
/// default, and always one of the largest that the node accepts.
pub const REASSEMBLY_BYTES_MAX: usize = 256 << 20;
/// How long an unfinished body is kept without a new chunk: longer than any link stays silent.
pub const REASSEMBLY_IDLE_MAX: Duration = Duration::from_secs(30);
/// How often the source is sent the progress: less than its smallest window, so that it never
/// stalls. Twice as often caused twice as many wakeups and gained nothing.
pub const PROGRESS_BYTES: usize = 128 << 10;
/// The source of a shorter chunk has found its path to be slow, and its window may be smaller than
/// [`PROGRESS_BYTES`]: it is sent the progress after each chunk.
const SHORT_CHUNK_BYTES: usize = CHUNK_BYTES / 2;
/// How long after the last report the source is sent the progress all the same, with the next
/// chunk: over a slow path [`PROGRESS_BYTES`] take many seconds, and more than the window.
pub(super) const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
/// How long after the last chunk memory is kept for the next bodies: longer than the pauses of a
/// source that has more to send, and short enough that an idle node uses little memory.
pub const POOL_IDLE_MAX: Duration = Duration::from_secs(1);

/// [`REASSEMBLY_IDLE_MAX`].
fn idle_max() -> Duration {
    REASSEMBLY_IDLE_MAX * if planted!(UnfinishedBodyKept) { 1000 } else { 1 }
}

/// The result of adding a chunk to a body.
#[derive(Debug, PartialEq, Eq)]
pub enum ChunkOutcome {
    /// More chunks are expected. The source must be sent the number of bytes received.
    Progress(u64),
    /// More chunks are expected.
    More,
    /// The body is complete.
    Complete(Bytes),
    /// The body is refused, and its source was not notified yet.
    Refused(Refusal),
    /// The chunk belongs to a body that was refused before, or whose first chunk never arrived.
    Ignored,
}

/// The unfinished bodies of large messages.
#[derive(Debug)]
pub struct Reassembly {
    pub(super) bodies: PartialBodies,
    message_bytes_max: usize,
    pool: Arc<BufferPool>,
    /// When the last chunk arrived, while memory is kept.
    last_active: Option<Instant>,
    /// How many buffers were lent, which numbers them.
    pub(super) loans: u64,
}

impl Reassembly {
    /// Room for `bytes_max` bytes, in bodies of up to `message_bytes_max`; one body of that size
    /// always fits. Of the memory of completed bodies, `pool_bytes_max` bytes are kept for a while.
    pub fn new(bytes_max: usize, message_bytes_max: usize, pool_bytes_max: usize) -> Self {
        Self {
            bodies: PartialBodies::new(bytes_max.max(message_bytes_max)),
            message_bytes_max,
            pool: BufferPool::new(pool_bytes_max),
            last_active: None,
            loans: 0,
        }
    }

    /// The sequence number of an unfinished body, and how many bytes of it have arrived.
    pub fn received(&self, key: BodyKey) -> Option<(u64, u64)> {
        self.bodies.get(key).map(|partial| (partial.number, partial.received as u64))
    }

    /// The outcome of a whole chunk of this length: the source of a short one expects the progress
    /// after each.
    pub fn report(&self, key: BodyKey, chunk_bytes: usize, outcome: ChunkOutcome) -> ChunkOutcome {
        match (outcome, self.received(key)) {
            (ChunkOutcome::More, Some((_, received))) if chunk_bytes < SHORT_CHUNK_BYTES => {
                ChunkOutcome::Progress(received)
            }
            (outcome, _) => outcome,
        }
    }

    /// Adds a chunk of the message with sequence number `number`.
    pub fn add(
        &mut self,
        key: BodyKey,
        number: u64,
        chunk: Chunk,
        body: &[u8],
        now: Instant,
    ) -> ChunkOutcome {
        let end = chunk.offset + body.len() as u64;
        let partial = self
            .bodies
            .get_mut(key)
            .filter(|partial| partial.number == number && partial.total == chunk.total);
        match partial {
            Some(partial) if end <= partial.received as u64 => {
                // The chunk arrived before: the message was sent again, or over two paths at once.
                // The source counts what it sent, so it is sent the progress all the same.
                partial.last_chunk_at = now;
                let progressed =
                    chunk.offset / PROGRESS_BYTES as u64 != end / PROGRESS_BYTES as u64;
                let received = partial.received as u64;
                return if progressed {
                    ChunkOutcome::Progress(received)
                } else {
                    ChunkOutcome::More
                };
            }
            Some(_) => {}
            None if chunk.offset == 0 => {
                self.bodies.remove(key);
                if chunk.total > self.message_bytes_max as u64 {
                    return ChunkOutcome::Refused(Refusal::TooLarge);
                }
                if !self.start(key, number, chunk.total as usize, body.len(), now) {
                    return ChunkOutcome::Refused(Refusal::Busy);
                }
            }
            None => return ChunkOutcome::Ignored,
        }
        self.append(key, chunk, body, now)
    }

    /// Starts a body of which `len` bytes have arrived. Returns whether there was room.
    fn start(&mut self, key: BodyKey, number: u64, total: usize, len: usize, now: Instant) -> bool {
        // Memory from the pool counts in full. No other body is evicted for it.
        let pooled = BodyBuffer::from_pool(&self.pool, total)
            .filter(|pooled| self.bodies.fits(pooled.resident()));
        if pooled.is_none() && !self.bodies.make_room(key, len) {
            return false;
        }
        let buffer = pooled.unwrap_or_else(|| BodyBuffer::new(&self.pool, total));
        let charged = buffer.resident();
        let state = BufferState::Available(buffer);
        let partial = PartialBody {
            number,
            total: total as u64,
            received: 0,
            charged,
            state,
            last_chunk_at: now,
            reported_at: now,
        };
        self.bodies.insert(key, partial);
        true
    }

    /// Adds a chunk that continues the body; it may repeat some bytes that arrived before.
    fn append(&mut self, key: BodyKey, chunk: Chunk, body: &[u8], now: Instant) -> ChunkOutcome {
        let (start, end) = (chunk.offset as usize, chunk.offset as usize + body.len());
        let Some(partial) = self.bodies.get(key) else {
            return ChunkOutcome::Ignored;
        };
        let before = partial.received;
        let needed = match &partial.state {
            BufferState::Lent(..) => partial.charged + body.len(),
            BufferState::Available(_) if before < start => return ChunkOutcome::Ignored,
            BufferState::Available(_) => end,
        };
        if !self.bodies.charge(key, needed) {
            self.bodies.remove(key);
            return ChunkOutcome::Refused(Refusal::Busy);
        }
        let Some(partial) = self.bodies.get_mut(key) else {
            return ChunkOutcome::Ignored;
        };
        match &mut partial.state {
            BufferState::Lent(_, set_aside) => {
                set_aside.push((chunk, Bytes::copy_from_slice(body)));
                return ChunkOutcome::More;
            }
            BufferState::Available(buffer) => {
                let repeated = if planted!(ChunkAtWrongOffset) { 0 } else { before - start };
                buffer.write(before, &body[repeated..][..end - before]);
            }
        }
        partial.received = end;
        partial.last_chunk_at = now;
        self.note_activity(now);
        self.finish(key, before, now)
    }

    /// Completes a body if all of it has arrived, after `before` bytes had been received.
    pub(super) fn finish(&mut self, key: BodyKey, before: usize, now: Instant) -> ChunkOutcome {
        let Some(partial) = self.bodies.get_mut(key) else {
            return ChunkOutcome::Ignored;
        };
        if partial.received as u64 != partial.total {
            return progress(partial, before, now);
        }
        match self.bodies.remove(key).map(|partial| partial.state) {
            Some(BufferState::Available(buffer)) => ChunkOutcome::Complete(buffer.into_bytes()),
            Some(BufferState::Lent(..)) | None => ChunkOutcome::Ignored,
        }
    }

    /// The bodies that were evicted since the last call, with the numbers of their messages.
    pub fn take_evicted(&mut self) -> Vec<(BodyKey, u64)> {
        self.bodies.take_evicted()
    }

    /// Drops the bodies that were idle for too long, and returns how many.
    pub fn expire(&mut self, now: Instant) -> usize {
        if self
            .last_active
            .is_some_and(|last_active| now.saturating_duration_since(last_active) >= POOL_IDLE_MAX)
        {
            self.last_active = None;
            self.pool.release();
        }
        let idle: Vec<BodyKey> = self
            .bodies
            .iter()
            .filter(|(_, partial)| {
                now.saturating_duration_since(partial.last_chunk_at) >= idle_max()
            })
            .map(|(key, _)| *key)
            .collect();
        for key in &idle {
            self.bodies.remove(*key);
        }
        idle.len()
    }

    /// When [`Reassembly::expire`] next has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let last_chunk_at = self.bodies.iter().map(|(_, partial)| partial.last_chunk_at).min();
        let idle = last_chunk_at.map(|last_chunk_at| last_chunk_at + idle_max());
        let release = self.last_active.map(|last_active| last_active + POOL_IDLE_MAX);
        [idle, release].into_iter().flatten().min()
    }

    /// Whether at most half of the memory is in use.
    pub fn is_half_empty(&self) -> bool {
        self.bodies.is_half_empty()
    }

    /// Frees the memory that is kept for bodies to come, unless that is locked. Returns whether it
    /// was not.
    pub fn try_release_pool(&self) -> bool {
        self.pool.try_release()
    }

    /// How many bytes of memory unfinished bodies use.
    pub fn bytes(&self) -> usize {
        self.bodies.bytes()
    }

    /// How many bytes of memory are kept for the next bodies.
    pub fn pool_bytes(&self) -> usize {
        self.pool.bytes()
    }

    /// Notes that a chunk arrived: memory is kept for the next bodies.
    pub(super) fn note_activity(&mut self, now: Instant) {
        if self.pool.is_enabled() && self.last_active.replace(now).is_none() {
            self.pool.retain();
        }
    }
}

/// The progress to report of a body of which `before` bytes had been received.
fn progress(partial: &mut PartialBody, before: usize, now: Instant) -> ChunkOutcome {
    let is_step = before / PROGRESS_BYTES != partial.received / PROGRESS_BYTES;
    let silent_for = now.saturating_duration_since(partial.reported_at);
    if !is_step && (silent_for < PROGRESS_INTERVAL || before == partial.received) {
        return ChunkOutcome::More;
    }
    partial.reported_at = now;
    ChunkOutcome::Progress(partial.received as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Instance;
    use crate::wire::data::Channel;

    const LARGE_SET: Channel = Channel { broadcast: false, large: true };

    fn key(source: u64) -> BodyKey {
        BodyKey { source: Instance(source), channel: LARGE_SET, id: 0 }
    }

    fn chunk(offset: u64, total: u64) -> Chunk {
        Chunk { offset, total }
    }

    #[test]
    fn a_chunk_that_arrives_twice_changes_nothing() {
        let mut reassembly = Reassembly::new(100, 100, 0);
        let now = Instant::now();
        let mut add = |offset, body: &[u8]| {
            let chunk = chunk(offset, 6);
            reassembly.add(key(1), 1, chunk, body, now)
        };
        assert_eq!(add(0, b"ab"), ChunkOutcome::More);
        assert_eq!(add(2, b"cd"), ChunkOutcome::More);
        assert_eq!(add(0, b"ab"), ChunkOutcome::More);
        assert_eq!(add(2, b"cd"), ChunkOutcome::More);
        assert_eq!(add(4, b"ef"), ChunkOutcome::Complete(Bytes::from_static(b"abcdef")));
    }

    #[test]
    fn chunks_in_order_complete_a_body() {
        let mut reassembly = Reassembly::new(100, 100, 0);
        let now = Instant::now();
        assert_eq!(reassembly.add(key(1), 1, chunk(0, 4), b"ab", now), ChunkOutcome::More);
        assert_eq!(
            reassembly.add(key(1), 1, chunk(2, 4), b"cd", now),
            ChunkOutcome::Complete(Bytes::from_static(b"abcd"))
        );
        assert_eq!(reassembly.bytes(), 0);
    }

    #[test]
    fn a_chunk_that_does_not_follow_is_ignored() {
        let mut reassembly = Reassembly::new(100, 100, 0);
        let now = Instant::now();
        assert_eq!(reassembly.add(key(1), 1, chunk(2, 4), b"cd", now), ChunkOutcome::Ignored);
        assert_eq!(reassembly.add(key(1), 1, chunk(0, 6), b"ab", now), ChunkOutcome::More);
        assert_eq!(reassembly.add(key(1), 1, chunk(4, 6), b"ef", now), ChunkOutcome::Ignored);
        assert_eq!(reassembly.add(key(1), 2, chunk(2, 6), b"cd", now), ChunkOutcome::Ignored);
    }

    #[test]
    fn a_body_beyond_the_limit_is_refused_at_its_first_chunk() {
        let mut reassembly = Reassembly::new(100, 10, 0);
        let refused = reassembly.add(key(1), 1, chunk(0, 11), b"ab", Instant::now());
        assert_eq!(refused, ChunkOutcome::Refused(Refusal::TooLarge));
    }

    #[test]
    fn one_body_of_the_largest_size_always_fits() {
        let mut reassembly = Reassembly::new(4, 10, 0);
        let now = Instant::now();
        assert_eq!(reassembly.add(key(1), 1, chunk(0, 10), b"12345", now), ChunkOutcome::More);
        let whole = reassembly.add(key(1), 1, chunk(5, 10), b"67890", now);
        assert_eq!(whole, ChunkOutcome::Complete(Bytes::from_static(b"1234567890")));
    }

    #[test]
    fn the_source_that_uses_most_memory_loses_a_body_to_one_that_uses_less() {
        let mut reassembly = Reassembly::new(100, 100, 0);
        let now = Instant::now();
        assert_eq!(reassembly.add(key(1), 7, chunk(0, 99), &[0; 90], now), ChunkOutcome::More);
        assert_eq!(reassembly.add(key(2), 1, chunk(0, 99), &[0; 20], now), ChunkOutcome::More);
        assert_eq!(reassembly.take_evicted(), [(key(1), 7)]);
        assert_eq!(reassembly.bytes(), 20);
        assert_eq!(
            reassembly.add(key(2), 1, chunk(20, 99), &[0; 81], now),
            ChunkOutcome::Refused(Refusal::Busy)
        );
        assert_eq!(reassembly.bytes(), 0);
    }

    #[test]
    fn an_idle_body_is_dropped() {
        let mut reassembly = Reassembly::new(100, 100, 0);
        let now = Instant::now();
        assert_eq!(reassembly.add(key(1), 1, chunk(0, 99), &[0; 90], now), ChunkOutcome::More);
        assert_eq!(reassembly.next_deadline(), Some(now + REASSEMBLY_IDLE_MAX));
        assert_eq!(reassembly.expire(now), 0);
        assert_eq!(reassembly.expire(now + REASSEMBLY_IDLE_MAX), 1);
        assert_eq!(reassembly.bytes(), 0);
    }

    #[test]
    fn the_source_of_short_chunks_is_sent_progress_after_each() {
        let mut reassembly = Reassembly::new(1 << 20, 1 << 20, 0);
        let now = Instant::now();
        for at in 0..10_u64 {
            let added = reassembly.add(key(1), 7, chunk(at * 1000, 1 << 20), &[0; 1000], now);
            assert_eq!(added, ChunkOutcome::More);
            let reported = reassembly.report(key(1), 1000, added);
            assert_eq!(reported, ChunkOutcome::Progress((at + 1) * 1000));
        }
    }

    #[test]
    fn the_source_of_a_slow_body_is_sent_progress_in_each_interval() {
        let mut reassembly = Reassembly::new(1 << 20, 1 << 20, 0);
        let start = Instant::now();
        let mut reports = Vec::new();
        for at in 0..10_u64 {
            let now = start + at as u32 * (PROGRESS_INTERVAL / 2);
            if let ChunkOutcome::Progress(received) =
                reassembly.add(key(1), 7, chunk(at * 30_000, 1 << 20), &[0; 30_000], now)
            {
                reports.push(received);
            }
        }
        assert_eq!(reports, [90_000, 150_000, 210_000, 270_000]);
        assert_eq!(reassembly.received(key(1)), Some((7, 300_000)));
        assert_eq!(reassembly.received(key(2)), None);
    }

    #[test]
    fn the_source_is_sent_progress_at_each_step() {
        let mut reassembly = Reassembly::new(4 * PROGRESS_BYTES, 4 * PROGRESS_BYTES, 0);
        let total = 2 * PROGRESS_BYTES as u64 + 1;
        let now = Instant::now();
        let body = vec![0; PROGRESS_BYTES - 1];
        assert_eq!(reassembly.add(key(1), 1, chunk(0, total), &body, now), ChunkOutcome::More);
        assert_eq!(
            reassembly.add(key(1), 1, chunk(PROGRESS_BYTES as u64 - 1, total), &[0], now),
            ChunkOutcome::Progress(PROGRESS_BYTES as u64)
        );
    }

    #[test]
    fn memory_is_kept_while_bodies_arrive_and_counts_in_full_when_it_is_reused() {
        let mut reassembly = Reassembly::new(100, 100, 100);
        let now = Instant::now();
        let whole = reassembly.add(key(1), 1, chunk(0, 80), &[1; 80], now);
        drop(whole);
        assert_eq!((reassembly.bytes(), reassembly.pool_bytes()), (0, 80));
        assert_eq!(reassembly.add(key(1), 2, chunk(0, 80), &[1; 10], now), ChunkOutcome::More);
        assert_eq!((reassembly.bytes(), reassembly.pool_bytes()), (80, 0));
        assert_eq!(reassembly.next_deadline(), Some(now + POOL_IDLE_MAX));
        let later = now + POOL_IDLE_MAX;
        let whole = reassembly.add(key(1), 2, chunk(10, 80), &[1; 70], later);
        reassembly.expire(later);
        drop(whole);
        assert_eq!(reassembly.pool_bytes(), 80, "bodies keep coming");
        reassembly.expire(later + POOL_IDLE_MAX);
        assert_eq!(reassembly.pool_bytes(), 0);
        assert_eq!(reassembly.next_deadline(), None);
    }
}
