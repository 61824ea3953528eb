//! Large bodies, put together from their chunks.
//!
//! Memory follows what has come, never what a header claims. When all of it is taken, the source
//! that holds most gives way to one that holds less: a fair share each, without counting anybody.
//!
//! ```text
//!  add: a chunk that was read ──copied──►  body so far ◄──lent── a chunk that is being read: lend
//!                                                      ──────►   into its place, then: settle
//! ```
//!
//! A body is lent for one read of a socket that does not wait. Whatever else comes of it meanwhile,
//! along another way, is put aside until it is back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::buffer_pool::{BodyBuffer, BufferPool};
use crate::name::Instance;
use crate::wire::ack::Refusal;
use crate::wire::data::{Channel, Chunk};

/// How many bytes of unfinished bodies are kept, of all sources together: four of the largest by
/// default, and always one of the largest that the node takes.
pub const REASSEMBLY_BYTES_MAX: usize = 256 << 20;
/// How long an unfinished body is kept without a new chunk: longer than any link stays silent.
pub const REASSEMBLY_IDLE_MAX: Duration = Duration::from_secs(30);
/// How often the source is told how much has come: less than its smallest window, so that it never
/// stands still. Twice as often took as many more wake-ups and gained nothing.
pub const PROGRESS_BYTES: usize = 128 << 10;
/// How long after the last chunk memory is kept for the bodies to come: longer than a source that
/// has more to send pauses, and short enough that a node at rest is small.
pub const POOL_IDLE_MAX: Duration = Duration::from_secs(1);

/// Which body a chunk belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BodyKey {
    /// Whose.
    pub source: Instance,
    /// In which order.
    pub channel: Channel,
    /// Told apart further where one source sends several at once.
    pub id: u64,
}

/// What came of a chunk.
#[derive(Debug, PartialEq, Eq)]
pub enum ChunkOutcome {
    /// More is to come; the source is to be told how much has.
    Progress(u64),
    /// More is to come.
    More,
    /// This was the last of it.
    Complete(Bytes),
    /// The body is refused, and this is the first its source hears of it.
    Refused(Refusal),
    /// A chunk of a body that is refused already, or whose beginning never came.
    Ignored,
}

/// An unfinished body, lent to be read into.
#[derive(Debug)]
pub struct LentBuffer {
    key: BodyKey,
    loan: u64,
    buffer: BodyBuffer,
    at: usize,
    end: usize,
}

impl LentBuffer {
    /// Where the next bytes go.
    pub fn space(&mut self) -> &mut [u8] {
        self.buffer.slice_mut(self.at, self.end)
    }
}

/// Where an unfinished body is.
#[derive(Debug)]
enum BufferState {
    Available(BodyBuffer),
    /// Lent, under this number; and what came meanwhile, with where it belongs.
    Lent(u64, Vec<(Chunk, Bytes)>),
}

#[derive(Debug)]
struct PartialBody {
    number: u64,
    total: u64,
    received: usize,
    /// How many bytes it counts for: its memory, and what was put aside.
    charged: usize,
    state: BufferState,
    last_chunk_at: Instant,
}

impl PartialBody {
    /// What its source is told after it had `before`.
    fn progress(&self, before: usize) -> ChunkOutcome {
        if before / PROGRESS_BYTES == self.received / PROGRESS_BYTES {
            return ChunkOutcome::More;
        }
        ChunkOutcome::Progress(self.received as u64)
    }
}

/// The unfinished bodies.
#[derive(Debug)]
pub struct Reassembly {
    partials: BTreeMap<BodyKey, PartialBody>,
    bytes: usize,
    bytes_max: usize,
    message_bytes_max: usize,
    /// Bodies that gave way to others: their sources are still to be told.
    evicted: Vec<(BodyKey, u64)>,
    pool: Arc<BufferPool>,
    /// When the last chunk came, while memory is kept.
    last_active: Option<Instant>,
    loans: u64,
}

impl Reassembly {
    /// Room for `bytes_max` bytes, in bodies of up to `message_bytes_max`, of which one always finds
    /// room; of what they leave, `pool_bytes_max` bytes are kept for a while.
    pub fn new(bytes_max: usize, message_bytes_max: usize, pool_bytes_max: usize) -> Self {
        Self {
            partials: BTreeMap::new(),
            bytes: 0,
            bytes_max: bytes_max.max(message_bytes_max),
            message_bytes_max,
            evicted: Vec::new(),
            pool: BufferPool::new(pool_bytes_max),
            last_active: None,
            loans: 0,
        }
    }

    /// Adds a chunk of message `number` of a stream.
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
            .partials
            .get_mut(&key)
            .filter(|partial| partial.number == number && partial.total == chunk.total);
        match partial {
            Some(partial) if end <= partial.received as u64 => {
                // It has come before: the message was sent again, or along two ways at once. The
                // source counts what it sent, so it is told all the same.
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
                self.drop_partial(key);
                if chunk.total > self.message_bytes_max as u64 {
                    return ChunkOutcome::Refused(Refusal::TooLarge);
                }
                if !self.begin(key, number, chunk.total as usize, body.len(), now) {
                    return ChunkOutcome::Refused(Refusal::Busy);
                }
            }
            None => return ChunkOutcome::Ignored,
        }
        self.append(key, chunk, body, now)
    }

    /// Makes a place for a body of which `len` bytes are there.
    fn begin(&mut self, key: BodyKey, number: u64, total: usize, len: usize, now: Instant) -> bool {
        // Memory that is kept is in use in full, whoever claims it; nobody gives way for it.
        let kept = BodyBuffer::from_pool(&self.pool, total)
            .filter(|kept| self.bytes + kept.resident() <= self.bytes_max);
        if kept.is_none() && !self.make_room(key, len) {
            return false;
        }
        let buffer = kept.unwrap_or_else(|| BodyBuffer::new(&self.pool, total));
        let charged = buffer.resident();
        self.bytes += charged;
        let state = BufferState::Available(buffer);
        let partial = PartialBody {
            number,
            total: total as u64,
            received: 0,
            charged,
            state,
            last_chunk_at: now,
        };
        self.partials.insert(key, partial);
        true
    }

    /// Adds what follows on what has come, and perhaps brings some of it again.
    fn append(&mut self, key: BodyKey, chunk: Chunk, body: &[u8], now: Instant) -> ChunkOutcome {
        let (start, end) = (chunk.offset as usize, chunk.offset as usize + body.len());
        let Some(partial) = self.partials.get(&key) else {
            return ChunkOutcome::Ignored;
        };
        let before = partial.received;
        let needed = match &partial.state {
            BufferState::Lent(..) => partial.charged + body.len(),
            BufferState::Available(_) if before < start => return ChunkOutcome::Ignored,
            BufferState::Available(_) => end,
        };
        if !self.charge(key, needed) {
            self.drop_partial(key);
            return ChunkOutcome::Refused(Refusal::Busy);
        }
        let Some(partial) = self.partials.get_mut(&key) else {
            return ChunkOutcome::Ignored;
        };
        match &mut partial.state {
            BufferState::Lent(_, set_aside) => {
                set_aside.push((chunk, Bytes::copy_from_slice(body)));
                return ChunkOutcome::More;
            }
            BufferState::Available(buffer) => buffer.write(before, &body[before - start..]),
        }
        partial.received = end;
        partial.last_chunk_at = now;
        self.note_activity(now);
        self.finish(key, before)
    }

    /// Whether the byte `at` is the next that is missing of message `number`, and its place is here.
    pub fn expects(&self, key: BodyKey, number: u64, total: u64, at: usize) -> bool {
        self.partials.get(&key).is_some_and(|partial| {
            partial.number == number
                && partial.total == total
                && partial.received == at
                && matches!(partial.state, BufferState::Available(_))
        })
    }

    /// Lends the place of the next `len` bytes of message `number`, which begin `at`; `None` where
    /// they are not what is missing, or there is no room.
    pub fn lend(
        &mut self,
        key: BodyKey,
        number: u64,
        total: u64,
        at: usize,
        len: usize,
    ) -> Option<LentBuffer> {
        if !self.expects(key, number, total, at) || !self.charge(key, at + len) {
            return None;
        }
        self.loans += 1;
        let loan = self.loans;
        let partial = self.partials.get_mut(&key)?;
        match std::mem::replace(&mut partial.state, BufferState::Lent(loan, Vec::new())) {
            BufferState::Available(buffer) => {
                Some(LentBuffer { key, loan, buffer, at, end: at + len })
            }
            BufferState::Lent(..) => None,
        }
    }

    /// Takes back what was lent, of which so many bytes have been read into. If the body gave way
    /// to others meanwhile, they are ignored.
    pub fn settle(&mut self, lent: LentBuffer, read: usize, now: Instant) -> ChunkOutcome {
        let key = lent.key;
        let is_current = |partial: &&mut PartialBody| match &partial.state {
            BufferState::Lent(id, _) => *id == lent.loan,
            BufferState::Available(_) => false,
        };
        let Some(partial) = self.partials.get_mut(&key).filter(is_current) else {
            return ChunkOutcome::Ignored;
        };
        let before = partial.received;
        partial.received += read;
        if read > 0 {
            partial.last_chunk_at = now;
        }
        let state = std::mem::replace(&mut partial.state, BufferState::Available(lent.buffer));
        let mut added = self.finish(key, before);
        if read > 0 {
            self.note_activity(now);
        }
        if let BufferState::Lent(_, set_aside) = state {
            for (chunk, body) in set_aside {
                let Some(partial) = self.partials.get_mut(&key) else {
                    break;
                };
                partial.charged -= body.len();
                self.bytes -= body.len();
                let number = partial.number;
                match self.add(key, number, chunk, &body, now) {
                    ChunkOutcome::More | ChunkOutcome::Ignored => {}
                    last @ (ChunkOutcome::Progress(_)
                    | ChunkOutcome::Complete(_)
                    | ChunkOutcome::Refused(_)) => {
                        added = last;
                    }
                }
            }
        }
        added
    }

    /// What came of a chunk, after which the body may be whole.
    fn finish(&mut self, key: BodyKey, before: usize) -> ChunkOutcome {
        let Some(partial) = self.partials.get(&key) else {
            return ChunkOutcome::Ignored;
        };
        if partial.received as u64 != partial.total {
            return partial.progress(before);
        }
        self.bytes -= partial.charged;
        match self.partials.remove(&key).map(|partial| partial.state) {
            Some(BufferState::Available(buffer)) => ChunkOutcome::Complete(buffer.into_bytes()),
            Some(BufferState::Lent(..)) | None => ChunkOutcome::Ignored,
        }
    }

    /// Bodies that gave way since the last call, with the number of their message.
    pub fn take_evicted(&mut self) -> Vec<(BodyKey, u64)> {
        std::mem::take(&mut self.evicted)
    }

    /// Drops what has been idle for too long; says how many bodies.
    pub fn expire(&mut self, now: Instant) -> usize {
        if self
            .last_active
            .is_some_and(|last_active| now.saturating_duration_since(last_active) >= POOL_IDLE_MAX)
        {
            self.last_active = None;
            self.pool.release();
        }
        let idle: Vec<BodyKey> = self
            .partials
            .iter()
            .filter(|(_, partial)| {
                now.saturating_duration_since(partial.last_chunk_at) >= REASSEMBLY_IDLE_MAX
            })
            .map(|(key, _)| *key)
            .collect();
        for key in &idle {
            self.drop_partial(*key);
        }
        idle.len()
    }

    /// When [`Reassembly::expire`] is next due.
    pub fn next_deadline(&self) -> Option<Instant> {
        let last_chunk_at = self.partials.values().map(|partial| partial.last_chunk_at).min();
        let idle = last_chunk_at.map(|last_chunk_at| last_chunk_at + REASSEMBLY_IDLE_MAX);
        let cool = self.last_active.map(|last_active| last_active + POOL_IDLE_MAX);
        [idle, cool].into_iter().flatten().min()
    }

    /// Whether at most half of the room is taken.
    pub fn is_half_empty(&self) -> bool {
        self.bytes <= self.bytes_max / 2
    }

    /// How many bytes of memory unfinished bodies take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many bytes of memory are kept for bodies to come.
    pub fn pool_bytes(&self) -> usize {
        self.pool.bytes()
    }

    fn note_activity(&mut self, now: Instant) {
        if self.pool.is_enabled() && self.last_active.replace(now).is_none() {
            self.pool.retain();
        }
    }

    fn drop_partial(&mut self, key: BodyKey) {
        if let Some(partial) = self.partials.remove(&key) {
            self.bytes -= partial.charged;
        }
    }

    /// Lets a body count for so many bytes, at least, if there is room.
    fn charge(&mut self, key: BodyKey, needed: usize) -> bool {
        let charged = self.partials.get(&key).map_or(0, |partial| partial.charged);
        let more = needed.saturating_sub(charged);
        if !self.make_room(key, more) {
            return false;
        }
        if let Some(partial) = self.partials.get_mut(&key) {
            partial.charged += more;
            self.bytes += more;
        }
        true
    }

    /// Makes room for so many bytes more of a stream, if its source holds less than another.
    fn make_room(&mut self, key: BodyKey, len: usize) -> bool {
        while self.bytes + len > self.bytes_max {
            let mut held: BTreeMap<Instance, usize> = BTreeMap::new();
            for (other, partial) in &self.partials {
                *held.entry(other.source).or_default() += partial.charged;
            }
            let own = held.get(&key.source).copied().unwrap_or(0) + len;
            let Some((&largest, &most)) = held.iter().max_by_key(|(_, bytes)| **bytes) else {
                return false;
            };
            if most <= own || largest == key.source {
                return false;
            }
            let victim = self
                .partials
                .iter()
                .filter(|(other, _)| other.source == largest)
                .max_by_key(|(_, partial)| partial.charged)
                .map(|(other, partial)| (*other, partial.number));
            let Some((victim, number)) = victim else {
                return false;
            };
            self.drop_partial(victim);
            self.evicted.push((victim, number));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE_SET: Channel = Channel { broadcast: false, large: true };

    fn key(source: u64) -> BodyKey {
        BodyKey { source: Instance(source), channel: LARGE_SET, id: 0 }
    }

    fn chunk(offset: u64, total: u64) -> Chunk {
        Chunk { offset, total }
    }

    #[test]
    fn what_comes_twice_adds_nothing_and_takes_nothing_away() {
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
    fn chunks_in_order_make_a_body() {
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
    fn the_largest_body_finds_room_whatever_the_limit_of_all() {
        let mut reassembly = Reassembly::new(4, 10, 0);
        let now = Instant::now();
        assert_eq!(reassembly.add(key(1), 1, chunk(0, 10), b"12345", now), ChunkOutcome::More);
        let whole = reassembly.add(key(1), 1, chunk(5, 10), b"67890", now);
        assert_eq!(whole, ChunkOutcome::Complete(Bytes::from_static(b"1234567890")));
    }

    #[test]
    fn who_holds_most_gives_way_to_who_holds_less() {
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
    fn the_source_hears_how_much_has_come() {
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

    /// Fills a lent as a reader would.
    fn read(lent: &mut LentBuffer, bytes: &[u8]) -> usize {
        lent.space()[..bytes.len()].copy_from_slice(bytes);
        bytes.len()
    }

    #[test]
    fn a_chunk_is_read_into_its_place_piece_by_piece() {
        let mut reassembly = Reassembly::new(100, 100, 0);
        let now = Instant::now();
        assert_eq!(reassembly.add(key(1), 1, chunk(0, 6), b"ab", now), ChunkOutcome::More);
        assert!(reassembly.lend(key(1), 1, 6, 3, 3).is_none(), "not the next byte");
        assert!(reassembly.lend(key(1), 2, 6, 2, 4).is_none(), "another message");
        assert!(reassembly.lend(key(2), 1, 6, 2, 4).is_none(), "another source");
        let mut lent = reassembly.lend(key(1), 1, 6, 2, 4).expect("it is awaited");
        assert!(reassembly.lend(key(1), 1, 6, 2, 4).is_none(), "it is lent");
        let got = read(&mut lent, b"cd");
        assert_eq!(reassembly.settle(lent, got, now), ChunkOutcome::More);
        let mut lent = reassembly.lend(key(1), 1, 6, 4, 2).expect("it is awaited");
        let got = read(&mut lent, b"ef");
        let whole = ChunkOutcome::Complete(Bytes::from_static(b"abcdef"));
        assert_eq!(reassembly.settle(lent, got, now), whole);
        assert_eq!(reassembly.bytes(), 0);
    }

    #[test]
    fn what_a_dead_link_brought_of_a_chunk_is_gone_on_with() {
        let mut reassembly = Reassembly::new(100, 100, 0);
        let now = Instant::now();
        let add = |reassembly: &mut Reassembly, offset, body: &[u8]| {
            reassembly.add(key(1), 1, chunk(offset, 6), body, now)
        };
        assert_eq!(add(&mut reassembly, 0, b"ab"), ChunkOutcome::More);
        let mut lent = reassembly.lend(key(1), 1, 6, 2, 4).expect("it is awaited");
        let got = read(&mut lent, b"c");
        assert_eq!(reassembly.settle(lent, got, now), ChunkOutcome::More);
        assert_eq!(add(&mut reassembly, 0, b"ab"), ChunkOutcome::More, "sent again from the start");
        assert_eq!(add(&mut reassembly, 2, b"cdef"), ChunkOutcome::Complete(b"abcdef"[..].into()));
    }

    #[test]
    fn what_comes_while_a_body_is_lent_is_put_aside() {
        for got in 0..=4 {
            let mut reassembly = Reassembly::new(100, 100, 0);
            let now = Instant::now();
            let add = |reassembly: &mut Reassembly, offset, body: &[u8]| {
                reassembly.add(key(1), 1, chunk(offset, 8), body, now)
            };
            assert_eq!(add(&mut reassembly, 0, b"ab"), ChunkOutcome::More);
            let mut lent = reassembly.lend(key(1), 1, 8, 2, 4).expect("it is awaited");
            assert_eq!(add(&mut reassembly, 2, b"cde"), ChunkOutcome::More);
            assert_eq!(add(&mut reassembly, 5, b"fgh"), ChunkOutcome::More);
            read(&mut lent, &b"cdef"[..got]);
            let whole = ChunkOutcome::Complete(Bytes::from_static(b"abcdefgh"));
            assert_eq!(reassembly.settle(lent, got, now), whole);
            assert_eq!(reassembly.bytes(), 0);
        }
    }

    #[test]
    fn a_body_that_gave_way_while_it_was_lent_is_gone() {
        let mut reassembly = Reassembly::new(100, 100, 0);
        let now = Instant::now();
        assert_eq!(reassembly.add(key(1), 7, chunk(0, 99), &[0; 60], now), ChunkOutcome::More);
        let lent = reassembly.lend(key(1), 7, 99, 60, 30).expect("it is awaited");
        assert_eq!(reassembly.bytes(), 90, "its state counts at once");
        assert_eq!(reassembly.add(key(2), 1, chunk(0, 99), &[0; 20], now), ChunkOutcome::More);
        assert_eq!(reassembly.take_evicted(), [(key(1), 7)]);
        assert_eq!(reassembly.add(key(1), 7, chunk(0, 99), &[0; 10], now), ChunkOutcome::More);
        assert_eq!(reassembly.settle(lent, 30, now), ChunkOutcome::Ignored, "a new one has begun");
        assert_eq!(reassembly.bytes(), 30);
        assert!(reassembly.lend(key(1), 7, 99, 10, 80).is_none(), "no room");
    }

    #[test]
    fn memory_is_kept_while_bodies_come_and_counts_in_full_for_who_claims_it() {
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
