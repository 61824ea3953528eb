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
pub struct Stream {
    /// Whose.
    pub source: Instance,
    /// In which order.
    pub channel: Channel,
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

/// An unfinished body, lent to be read into.
#[derive(Debug)]
pub struct Loan {
    stream: Stream,
    ticket: u64,
    buffer: BodyBuffer,
    at: usize,
    end: usize,
}

impl Loan {
    /// Where the next bytes go.
    pub fn space(&mut self) -> &mut [u8] {
        self.buffer.space(self.at, self.end)
    }
}

/// Where an unfinished body is.
#[derive(Debug)]
enum Place {
    Here(BodyBuffer),
    /// Lent, under this number; and what came meanwhile, with where it belongs.
    Lent(u64, Vec<(Chunk, Bytes)>),
}

#[derive(Debug)]
struct Partial {
    number: u64,
    total: u64,
    received: usize,
    /// How many bytes it counts for: its memory, and what was put aside.
    charged: usize,
    place: Place,
    touched: Instant,
}

impl Partial {
    /// What its source is told after it had `before`.
    fn progress(&self, before: usize) -> Added {
        if before / PROGRESS_BYTES == self.received / PROGRESS_BYTES {
            return Added::More;
        }
        Added::Progress(self.received as u64)
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
    pool: Arc<BufferPool>,
    /// When the last chunk came, while memory is kept.
    busy: Option<Instant>,
    tickets: u64,
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
            busy: None,
            tickets: 0,
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
        match begun {
            Some(partial) if end <= partial.received as u64 => {
                // It has come before: the message was sent again, or along two ways at once. The
                // source counts what it sent, so it is told all the same.
                partial.touched = now;
                let told = chunk.offset / PROGRESS_BYTES as u64 != end / PROGRESS_BYTES as u64;
                let received = partial.received as u64;
                return if told { Added::Progress(received) } else { Added::More };
            }
            Some(_) => {}
            None if chunk.offset == 0 => {
                self.drop_partial(stream);
                if chunk.total > self.message_bytes_max as u64 {
                    return Added::Refused(Refusal::TooLarge);
                }
                if !self.begin(stream, number, chunk.total as usize, body.len(), now) {
                    return Added::Refused(Refusal::Busy);
                }
            }
            None => return Added::Ignored,
        }
        self.append(stream, chunk, body, now)
    }

    /// Makes a place for a body of which `len` bytes are there.
    fn begin(
        &mut self,
        stream: Stream,
        number: u64,
        total: usize,
        len: usize,
        now: Instant,
    ) -> bool {
        // Memory that is kept is in use in full, whoever claims it; nobody gives way for it.
        let kept = BodyBuffer::kept(&self.pool, total)
            .filter(|kept| self.bytes + kept.resident() <= self.bytes_max);
        if kept.is_none() && !self.make_room(stream, len) {
            return false;
        }
        let buffer = kept.unwrap_or_else(|| BodyBuffer::new(&self.pool, total));
        let charged = buffer.resident();
        self.bytes += charged;
        let place = Place::Here(buffer);
        let partial =
            Partial { number, total: total as u64, received: 0, charged, place, touched: now };
        self.partials.insert(stream, partial);
        true
    }

    /// Adds what follows on what has come, and perhaps brings some of it again.
    fn append(&mut self, stream: Stream, chunk: Chunk, body: &[u8], now: Instant) -> Added {
        let (start, end) = (chunk.offset as usize, chunk.offset as usize + body.len());
        let Some(partial) = self.partials.get(&stream) else {
            return Added::Ignored;
        };
        let before = partial.received;
        let needed = match &partial.place {
            Place::Lent(..) => partial.charged + body.len(),
            Place::Here(_) if before < start => return Added::Ignored,
            Place::Here(_) => end,
        };
        if !self.charge(stream, needed) {
            self.drop_partial(stream);
            return Added::Refused(Refusal::Busy);
        }
        let Some(partial) = self.partials.get_mut(&stream) else {
            return Added::Ignored;
        };
        match &mut partial.place {
            Place::Lent(_, aside) => {
                aside.push((chunk, Bytes::copy_from_slice(body)));
                return Added::More;
            }
            Place::Here(buffer) => buffer.write(before, &body[before - start..]),
        }
        partial.received = end;
        partial.touched = now;
        self.warm(now);
        self.finish(stream, before)
    }

    /// Whether the byte `at` is the next that is missing of message `number`, and its place is here.
    pub fn expects(&self, stream: Stream, number: u64, total: u64, at: usize) -> bool {
        self.partials.get(&stream).is_some_and(|partial| {
            partial.number == number
                && partial.total == total
                && partial.received == at
                && matches!(partial.place, Place::Here(_))
        })
    }

    /// Lends the place of the next `len` bytes of message `number`, which begin `at`; `None` where
    /// they are not what is missing, or there is no room.
    pub fn lend(
        &mut self,
        stream: Stream,
        number: u64,
        total: u64,
        at: usize,
        len: usize,
    ) -> Option<Loan> {
        if !self.expects(stream, number, total, at) || !self.charge(stream, at + len) {
            return None;
        }
        self.tickets += 1;
        let ticket = self.tickets;
        let partial = self.partials.get_mut(&stream)?;
        match std::mem::replace(&mut partial.place, Place::Lent(ticket, Vec::new())) {
            Place::Here(buffer) => Some(Loan { stream, ticket, buffer, at, end: at + len }),
            Place::Lent(..) => None,
        }
    }

    /// Takes back what was lent, of which so many bytes have been read into. If the body gave way
    /// to others meanwhile, they are ignored.
    pub fn settle(&mut self, loan: Loan, read: usize, now: Instant) -> Added {
        let stream = loan.stream;
        let lent = |partial: &&mut Partial| match &partial.place {
            Place::Lent(ticket, _) => *ticket == loan.ticket,
            Place::Here(_) => false,
        };
        let Some(partial) = self.partials.get_mut(&stream).filter(lent) else {
            return Added::Ignored;
        };
        let before = partial.received;
        partial.received += read;
        if read > 0 {
            partial.touched = now;
        }
        let place = std::mem::replace(&mut partial.place, Place::Here(loan.buffer));
        let mut added = self.finish(stream, before);
        if read > 0 {
            self.warm(now);
        }
        if let Place::Lent(_, aside) = place {
            for (chunk, body) in aside {
                let Some(partial) = self.partials.get_mut(&stream) else {
                    break;
                };
                partial.charged -= body.len();
                self.bytes -= body.len();
                let number = partial.number;
                match self.add(stream, number, chunk, &body, now) {
                    Added::More | Added::Ignored => {}
                    said @ (Added::Progress(_) | Added::Whole(_) | Added::Refused(_)) => {
                        added = said;
                    }
                }
            }
        }
        added
    }

    /// What came of a chunk, after which the body may be whole.
    fn finish(&mut self, stream: Stream, before: usize) -> Added {
        let Some(partial) = self.partials.get(&stream) else {
            return Added::Ignored;
        };
        if partial.received as u64 != partial.total {
            return partial.progress(before);
        }
        self.bytes -= partial.charged;
        match self.partials.remove(&stream).map(|partial| partial.place) {
            Some(Place::Here(buffer)) => Added::Whole(buffer.into_bytes()),
            Some(Place::Lent(..)) | None => Added::Ignored,
        }
    }

    /// Bodies that gave way since the last call, with the number of their message.
    pub fn take_evicted(&mut self) -> Vec<(Stream, u64)> {
        std::mem::take(&mut self.evicted)
    }

    /// Drops what has been idle for too long; says how many bodies.
    pub fn expire(&mut self, now: Instant) -> usize {
        if self.busy.is_some_and(|busy| now.saturating_duration_since(busy) >= POOL_IDLE_MAX) {
            self.busy = None;
            self.pool.cool();
        }
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
        let touched = self.partials.values().map(|partial| partial.touched).min();
        let idle = touched.map(|touched| touched + REASSEMBLY_IDLE_MAX);
        let cool = self.busy.map(|busy| busy + POOL_IDLE_MAX);
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

    fn warm(&mut self, now: Instant) {
        if self.pool.keeps() && self.busy.replace(now).is_none() {
            self.pool.warm();
        }
    }

    fn drop_partial(&mut self, stream: Stream) {
        if let Some(partial) = self.partials.remove(&stream) {
            self.bytes -= partial.charged;
        }
    }

    /// Lets a body count for so many bytes, at least, if there is room.
    fn charge(&mut self, stream: Stream, needed: usize) -> bool {
        let charged = self.partials.get(&stream).map_or(0, |partial| partial.charged);
        let more = needed.saturating_sub(charged);
        if !self.make_room(stream, more) {
            return false;
        }
        if let Some(partial) = self.partials.get_mut(&stream) {
            partial.charged += more;
            self.bytes += more;
        }
        true
    }

    /// Makes room for so many bytes more of a stream, if its source holds less than another.
    fn make_room(&mut self, stream: Stream, len: usize) -> bool {
        while self.bytes + len > self.bytes_max {
            let mut held: BTreeMap<Instance, usize> = BTreeMap::new();
            for (other, partial) in &self.partials {
                *held.entry(other.source).or_default() += partial.charged;
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

    const LANE: Channel = Channel { broadcast: false, large: true };

    fn stream(source: u64) -> Stream {
        Stream { source: Instance(source), channel: LANE, id: 0 }
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
        let mut reassembly = Reassembly::new(100, 100, 0);
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
        let mut reassembly = Reassembly::new(100, 100, 0);
        let now = Instant::now();
        assert_eq!(reassembly.add(stream(1), 1, chunk(2, 4), b"cd", now), Added::Ignored);
        assert_eq!(reassembly.add(stream(1), 1, chunk(0, 6), b"ab", now), Added::More);
        assert_eq!(reassembly.add(stream(1), 1, chunk(4, 6), b"ef", now), Added::Ignored);
        assert_eq!(reassembly.add(stream(1), 2, chunk(2, 6), b"cd", now), Added::Ignored);
    }

    #[test]
    fn a_body_beyond_the_limit_is_refused_at_its_first_chunk() {
        let mut reassembly = Reassembly::new(100, 10, 0);
        let refused = reassembly.add(stream(1), 1, chunk(0, 11), b"ab", Instant::now());
        assert_eq!(refused, Added::Refused(Refusal::TooLarge));
    }

    #[test]
    fn the_largest_body_finds_room_whatever_the_limit_of_all() {
        let mut reassembly = Reassembly::new(4, 10, 0);
        let now = Instant::now();
        assert_eq!(reassembly.add(stream(1), 1, chunk(0, 10), b"12345", now), Added::More);
        let whole = reassembly.add(stream(1), 1, chunk(5, 10), b"67890", now);
        assert_eq!(whole, Added::Whole(Bytes::from_static(b"1234567890")));
    }

    #[test]
    fn who_holds_most_gives_way_to_who_holds_less() {
        let mut reassembly = Reassembly::new(100, 100, 0);
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
        let mut reassembly = Reassembly::new(100, 100, 0);
        let now = Instant::now();
        assert_eq!(reassembly.add(stream(1), 1, chunk(0, 99), &[0; 90], now), Added::More);
        assert_eq!(reassembly.due(), Some(now + REASSEMBLY_IDLE_MAX));
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
        assert_eq!(reassembly.add(stream(1), 1, chunk(0, total), &body, now), Added::More);
        assert_eq!(
            reassembly.add(stream(1), 1, chunk(PROGRESS_BYTES as u64 - 1, total), &[0], now),
            Added::Progress(PROGRESS_BYTES as u64)
        );
    }

    /// Fills a loan as a reader would.
    fn read(loan: &mut Loan, bytes: &[u8]) -> usize {
        loan.space()[..bytes.len()].copy_from_slice(bytes);
        bytes.len()
    }

    #[test]
    fn a_chunk_is_read_into_its_place_piece_by_piece() {
        let mut reassembly = Reassembly::new(100, 100, 0);
        let now = Instant::now();
        assert_eq!(reassembly.add(stream(1), 1, chunk(0, 6), b"ab", now), Added::More);
        assert!(reassembly.lend(stream(1), 1, 6, 3, 3).is_none(), "not the next byte");
        assert!(reassembly.lend(stream(1), 2, 6, 2, 4).is_none(), "another message");
        assert!(reassembly.lend(stream(2), 1, 6, 2, 4).is_none(), "another source");
        let mut loan = reassembly.lend(stream(1), 1, 6, 2, 4).expect("it is awaited");
        assert!(reassembly.lend(stream(1), 1, 6, 2, 4).is_none(), "it is lent");
        let got = read(&mut loan, b"cd");
        assert_eq!(reassembly.settle(loan, got, now), Added::More);
        let mut loan = reassembly.lend(stream(1), 1, 6, 4, 2).expect("it is awaited");
        let got = read(&mut loan, b"ef");
        let whole = Added::Whole(Bytes::from_static(b"abcdef"));
        assert_eq!(reassembly.settle(loan, got, now), whole);
        assert_eq!(reassembly.bytes(), 0);
    }

    #[test]
    fn what_a_dead_link_brought_of_a_chunk_is_gone_on_with() {
        let mut reassembly = Reassembly::new(100, 100, 0);
        let now = Instant::now();
        let add = |reassembly: &mut Reassembly, offset, body: &[u8]| {
            reassembly.add(stream(1), 1, chunk(offset, 6), body, now)
        };
        assert_eq!(add(&mut reassembly, 0, b"ab"), Added::More);
        let mut loan = reassembly.lend(stream(1), 1, 6, 2, 4).expect("it is awaited");
        let got = read(&mut loan, b"c");
        assert_eq!(reassembly.settle(loan, got, now), Added::More);
        assert_eq!(add(&mut reassembly, 0, b"ab"), Added::More, "sent again from the start");
        assert_eq!(add(&mut reassembly, 2, b"cdef"), Added::Whole(b"abcdef"[..].into()));
    }

    #[test]
    fn what_comes_while_a_body_is_lent_is_put_aside() {
        for got in 0..=4 {
            let mut reassembly = Reassembly::new(100, 100, 0);
            let now = Instant::now();
            let add = |reassembly: &mut Reassembly, offset, body: &[u8]| {
                reassembly.add(stream(1), 1, chunk(offset, 8), body, now)
            };
            assert_eq!(add(&mut reassembly, 0, b"ab"), Added::More);
            let mut loan = reassembly.lend(stream(1), 1, 8, 2, 4).expect("it is awaited");
            assert_eq!(add(&mut reassembly, 2, b"cde"), Added::More);
            assert_eq!(add(&mut reassembly, 5, b"fgh"), Added::More);
            read(&mut loan, &b"cdef"[..got]);
            let whole = Added::Whole(Bytes::from_static(b"abcdefgh"));
            assert_eq!(reassembly.settle(loan, got, now), whole);
            assert_eq!(reassembly.bytes(), 0);
        }
    }

    #[test]
    fn a_body_that_gave_way_while_it_was_lent_is_gone() {
        let mut reassembly = Reassembly::new(100, 100, 0);
        let now = Instant::now();
        assert_eq!(reassembly.add(stream(1), 7, chunk(0, 99), &[0; 60], now), Added::More);
        let loan = reassembly.lend(stream(1), 7, 99, 60, 30).expect("it is awaited");
        assert_eq!(reassembly.bytes(), 90, "its place counts at once");
        assert_eq!(reassembly.add(stream(2), 1, chunk(0, 99), &[0; 20], now), Added::More);
        assert_eq!(reassembly.take_evicted(), [(stream(1), 7)]);
        assert_eq!(reassembly.add(stream(1), 7, chunk(0, 99), &[0; 10], now), Added::More);
        assert_eq!(reassembly.settle(loan, 30, now), Added::Ignored, "a new one has begun");
        assert_eq!(reassembly.bytes(), 30);
        assert!(reassembly.lend(stream(1), 7, 99, 10, 80).is_none(), "no room");
    }

    #[test]
    fn memory_is_kept_while_bodies_come_and_counts_in_full_for_who_claims_it() {
        let mut reassembly = Reassembly::new(100, 100, 100);
        let now = Instant::now();
        let whole = reassembly.add(stream(1), 1, chunk(0, 80), &[1; 80], now);
        drop(whole);
        assert_eq!((reassembly.bytes(), reassembly.pool_bytes()), (0, 80));
        assert_eq!(reassembly.add(stream(1), 2, chunk(0, 80), &[1; 10], now), Added::More);
        assert_eq!((reassembly.bytes(), reassembly.pool_bytes()), (80, 0));
        assert_eq!(reassembly.due(), Some(now + POOL_IDLE_MAX));
        let later = now + POOL_IDLE_MAX;
        let whole = reassembly.add(stream(1), 2, chunk(10, 80), &[1; 70], later);
        reassembly.expire(later);
        drop(whole);
        assert_eq!(reassembly.pool_bytes(), 80, "bodies keep coming");
        reassembly.expire(later + POOL_IDLE_MAX);
        assert_eq!(reassembly.pool_bytes(), 0);
        assert_eq!(reassembly.due(), None);
    }
}
