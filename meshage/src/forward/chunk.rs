//! Large bodies, put together from their chunks.
//!
//! Memory follows what has come, never what a header claims. When all of it is taken, the source
//! that holds most gives way to one that holds less: a fair share each, without counting anybody.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::name::Instance;
use crate::wire::data::{Chunk, Lane, Refusal};

/// How many bytes of unfinished bodies are kept, of all sources together: four of the largest.
pub const REASSEMBLY_BYTES_MAX: usize = 256 << 20;
/// How long an unfinished body is kept without a new chunk: longer than any link stays silent.
pub const REASSEMBLY_IDLE_MAX: Duration = Duration::from_secs(30);
/// How often the source is told how much has come: a third of its smallest window, so that it never
/// runs dry.
pub const PROGRESS_BYTES: usize = 64 << 10;

/// How many times what has come is set aside for what is to come. Untouched memory costs nothing;
/// but to move a body that has outgrown its place stops everything else for as long as it takes, and
/// this way no more than 2 MiB of the largest default body are ever moved.
const GROWTH: usize = 32;

/// Which body a chunk belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stream {
    /// Whose.
    pub source: Instance,
    /// In which order.
    pub lane: Lane,
    /// Told apart further where one source sends several at once.
    pub id: u64,
}

/// What came of a chunk.
#[derive(Debug, PartialEq, Eq)]
pub enum Added {
    /// More is to come; the source is to be told how much has.
    Progress(u64),
    /// More is to come.
    More,
    /// This was the last of it.
    Whole(Bytes),
    /// The body is refused, and this is the first its source hears of it.
    Refused(Refusal),
    /// A chunk of a body that is refused already, or whose beginning never came.
    Ignored,
}

#[derive(Debug)]
struct Partial {
    number: u64,
    total: u64,
    body: Vec<u8>,
    touched: Instant,
}

impl Partial {
    /// Makes room for so many bytes more, and for what is to come: up to [`GROWTH`] times what has.
    fn grow(&mut self, len: usize) {
        let needed = self.body.len() + len;
        if needed > self.body.capacity() {
            let ahead = usize::try_from(self.total).unwrap_or(usize::MAX).min(needed * GROWTH);
            self.body.reserve_exact(ahead.max(needed) - self.body.len());
        }
    }
}

/// The unfinished bodies.
#[derive(Debug)]
pub struct Reassembly {
    partials: BTreeMap<Stream, Partial>,
    bytes: usize,
    bytes_max: usize,
    message_bytes_max: usize,
    /// Bodies that gave way to others: their sources are still to be told.
    evicted: Vec<(Stream, u64)>,
}

impl Reassembly {
    /// Room for `bytes_max` bytes, in bodies of up to `message_bytes_max`.
    pub fn new(bytes_max: usize, message_bytes_max: usize) -> Self {
        Self {
            partials: BTreeMap::new(),
            bytes: 0,
            bytes_max,
            message_bytes_max,
            evicted: Vec::new(),
        }
    }

    /// Adds a chunk of message `number` of a stream.
    pub fn add(
        &mut self,
        stream: Stream,
        number: u64,
        chunk: Chunk,
        body: &[u8],
        now: Instant,
    ) -> Added {
        let end = chunk.offset + body.len() as u64;
        let begun = self
            .partials
            .get_mut(&stream)
            .filter(|partial| partial.number == number && partial.total == chunk.total);
        if let Some(partial) = begun
            && end <= partial.body.len() as u64
        {
            // It has come before: the message was sent again, or along two ways at once. The source
            // counts what it sent, so it is told all the same.
            partial.touched = now;
            let told = chunk.offset / PROGRESS_BYTES as u64 != end / PROGRESS_BYTES as u64;
            return if told { Added::Progress(partial.body.len() as u64) } else { Added::More };
        }
        if chunk.offset == 0 {
            self.drop_partial(stream);
            if chunk.total > self.message_bytes_max as u64 {
                return Added::Refused(Refusal::TooLarge);
            }
            if !self.make_room(stream, body.len()) {
                return Added::Refused(Refusal::Busy);
            }
            let partial = Partial { number, total: chunk.total, body: Vec::new(), touched: now };
            self.partials.insert(stream, partial);
        }
        let fits = |partial: &Partial| {
            partial.number == number
                && partial.total == chunk.total
                && partial.body.len() as u64 == chunk.offset
        };
        if !self.partials.get(&stream).is_some_and(fits) {
            return Added::Ignored;
        }
        if !self.make_room(stream, body.len()) {
            self.drop_partial(stream);
            return Added::Refused(Refusal::Busy);
        }
        let Some(partial) = self.partials.get_mut(&stream) else {
            return Added::Ignored;
        };
        let before = partial.body.len();
        partial.grow(body.len());
        partial.body.extend_from_slice(body);
        partial.touched = now;
        self.bytes += body.len();
        let received = partial.body.len();
        if received as u64 == partial.total {
            self.bytes -= received;
            let whole = self.partials.remove(&stream).map(|partial| partial.body);
            return Added::Whole(whole.unwrap_or_default().into());
        }
        if before / PROGRESS_BYTES != received / PROGRESS_BYTES {
            return Added::Progress(received as u64);
        }
        Added::More
    }

    /// Bodies that gave way since the last call, with the number of their message.
    pub fn take_evicted(&mut self) -> Vec<(Stream, u64)> {
        std::mem::take(&mut self.evicted)
    }

    /// Drops what has been idle for too long; says how many.
    pub fn expire(&mut self, now: Instant) -> usize {
        let idle: Vec<Stream> = self
            .partials
            .iter()
            .filter(|(_, partial)| {
                now.saturating_duration_since(partial.touched) >= REASSEMBLY_IDLE_MAX
            })
            .map(|(stream, _)| *stream)
            .collect();
        for stream in &idle {
            self.drop_partial(*stream);
        }
        idle.len()
    }

    /// When [`Reassembly::expire`] is next due.
    pub fn due(&self) -> Option<Instant> {
        self.partials.values().map(|partial| partial.touched + REASSEMBLY_IDLE_MAX).min()
    }

    /// How many bytes are held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn drop_partial(&mut self, stream: Stream) {
        if let Some(partial) = self.partials.remove(&stream) {
            self.bytes -= partial.body.len();
        }
    }

    /// Makes room for so many bytes more of a stream, if its source holds less than another.
    fn make_room(&mut self, stream: Stream, len: usize) -> bool {
        while self.bytes + len > self.bytes_max {
            let mut held: BTreeMap<Instance, usize> = BTreeMap::new();
            for (other, partial) in &self.partials {
                *held.entry(other.source).or_default() += partial.body.len();
            }
            let own = held.get(&stream.source).copied().unwrap_or(0) + len;
            let Some((&largest, &most)) = held.iter().max_by_key(|(_, bytes)| **bytes) else {
                return false;
            };
            if most <= own || largest == stream.source {
                return false;
            }
            let victim = self
                .partials
                .iter()
                .filter(|(other, _)| other.source == largest)
                .max_by_key(|(_, partial)| partial.body.len())
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

    const LANE: Lane = Lane { broadcast: false, large: true };

    fn stream(source: u64) -> Stream {
        Stream { source: Instance(source), lane: LANE, id: 0 }
    }

    fn chunk(offset: u64, total: u64) -> Chunk {
        Chunk { offset, total }
    }

    #[test]
    fn what_comes_twice_adds_nothing_and_takes_nothing_away() {
        let mut reassembly = Reassembly::new(100, 100);
        let now = Instant::now();
        let mut add = |offset, body: &[u8]| {
            let chunk = chunk(offset, 6);
            reassembly.add(stream(1), 1, chunk, body, now)
        };
        assert_eq!(add(0, b"ab"), Added::More);
        assert_eq!(add(2, b"cd"), Added::More);
        assert_eq!(add(0, b"ab"), Added::More);
        assert_eq!(add(2, b"cd"), Added::More);
        assert_eq!(add(4, b"ef"), Added::Whole(Bytes::from_static(b"abcdef")));
    }

    #[test]
    fn chunks_in_order_make_a_body() {
        let mut reassembly = Reassembly::new(100, 100);
        let now = Instant::now();
        assert_eq!(reassembly.add(stream(1), 1, chunk(0, 4), b"ab", now), Added::More);
        assert_eq!(
            reassembly.add(stream(1), 1, chunk(2, 4), b"cd", now),
            Added::Whole(Bytes::from_static(b"abcd"))
        );
        assert_eq!(reassembly.bytes(), 0);
    }

    #[test]
    fn a_chunk_that_does_not_follow_is_ignored() {
        let mut reassembly = Reassembly::new(100, 100);
        let now = Instant::now();
        assert_eq!(reassembly.add(stream(1), 1, chunk(2, 4), b"cd", now), Added::Ignored);
        assert_eq!(reassembly.add(stream(1), 1, chunk(0, 6), b"ab", now), Added::More);
        assert_eq!(reassembly.add(stream(1), 1, chunk(4, 6), b"ef", now), Added::Ignored);
        assert_eq!(reassembly.add(stream(1), 2, chunk(2, 6), b"cd", now), Added::Ignored);
    }

    #[test]
    fn a_body_beyond_the_limit_is_refused_at_its_first_chunk() {
        let mut reassembly = Reassembly::new(100, 10);
        let refused = reassembly.add(stream(1), 1, chunk(0, 11), b"ab", Instant::now());
        assert_eq!(refused, Added::Refused(Refusal::TooLarge));
    }

    #[test]
    fn who_holds_most_gives_way_to_who_holds_less() {
        let mut reassembly = Reassembly::new(100, 100);
        let now = Instant::now();
        assert_eq!(reassembly.add(stream(1), 7, chunk(0, 99), &[0; 90], now), Added::More);
        assert_eq!(reassembly.add(stream(2), 1, chunk(0, 99), &[0; 20], now), Added::More);
        assert_eq!(reassembly.take_evicted(), [(stream(1), 7)]);
        assert_eq!(reassembly.bytes(), 20);
        assert_eq!(
            reassembly.add(stream(2), 1, chunk(20, 99), &[0; 81], now),
            Added::Refused(Refusal::Busy)
        );
        assert_eq!(reassembly.bytes(), 0);
    }

    #[test]
    fn an_idle_body_is_dropped() {
        let mut reassembly = Reassembly::new(100, 100);
        let now = Instant::now();
        assert_eq!(reassembly.add(stream(1), 1, chunk(0, 99), &[0; 90], now), Added::More);
        assert_eq!(reassembly.due(), Some(now + REASSEMBLY_IDLE_MAX));
        assert_eq!(reassembly.expire(now), 0);
        assert_eq!(reassembly.expire(now + REASSEMBLY_IDLE_MAX), 1);
        assert_eq!(reassembly.bytes(), 0);
    }

    #[test]
    fn the_source_hears_how_much_has_come() {
        let mut reassembly = Reassembly::new(4 * PROGRESS_BYTES, 4 * PROGRESS_BYTES);
        let total = 2 * PROGRESS_BYTES as u64 + 1;
        let now = Instant::now();
        let body = vec![0; PROGRESS_BYTES - 1];
        assert_eq!(reassembly.add(stream(1), 1, chunk(0, total), &body, now), Added::More);
        assert_eq!(
            reassembly.add(stream(1), 1, chunk(PROGRESS_BYTES as u64 - 1, total), &[0], now),
            Added::Progress(PROGRESS_BYTES as u64)
        );
    }
}
