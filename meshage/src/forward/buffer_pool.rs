//! The memory of large bodies: where one grows while it arrives, and what is kept for the next.
//!
//! ```text
//!  BufferPool ──take──► BodyBuffer ──grows with what comes──► Bytes, with the application
//!   ▲                                                     │ let go
//!   └──────────────── while bodies keep coming ───────────┘
//! ```
//!
//! To touch fresh memory costs more than to copy into it: for a body of 64 MiB the system is asked
//! for 16,384 pages, one by one. So while large bodies keep coming, the memory of those that the
//! application let go is kept for the next; soon after the last of them it goes back to the system.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// How many bytes are kept for bodies to come: two of the largest by default, one that arrives
/// while the application has the other.
pub const POOL_BYTES_MAX: usize = 128 << 20;
/// How many bodies they are at most: so many are looked through for each body that begins.
pub const POOL_BUFFERS_MAX: usize = 64;

/// How many times what has come is set aside for what is to come. Untouched memory costs nothing;
/// but a body that outgrows its place is moved. This way one of the largest default size moves once,
/// when 4 MiB of it have come, and one of 1 MiB never.
const GROWTH_FACTOR: usize = 64;

/// PoolState memory is used for a body of at least this part of it: seven eighths.
fn fits(kept: usize, total: usize) -> bool {
    kept >= total && kept - total <= kept / 8
}

/// Memory kept for bodies to come.
#[derive(Debug)]
pub struct BufferPool {
    bytes_max: usize,
    state: Mutex<PoolState>,
}

#[derive(Debug, Default)]
struct PoolState {
    /// The one that was used longest ago first.
    buffers: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Whether bodies keep coming.
    retaining: bool,
}

impl BufferPool {
    /// Nothing kept, and so many bytes at most.
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it ever keeps anything.
    pub fn is_enabled(&self) -> bool {
        self.bytes_max > 0
    }

    /// Bodies come: what they leave is worth keeping.
    pub fn retain(&self) {
        self.lock().retaining = true;
    }

    /// No more bodies come: nothing is kept.
    pub fn release(&self) {
        drop(mem::take(&mut *self.lock()));
    }

    /// How many bytes are kept.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// What is kept for a body of this length.
    fn take(&self, total: usize) -> Option<Vec<u8>> {
        let mut state = self.lock();
        let place = state.buffers.iter().rposition(|body| fits(body.len(), total))?;
        let body = state.buffers.remove(place)?;
        state.bytes -= body.len();
        Some(body)
    }

    /// Keeps what a body leaves, in place of what was used longer ago.
    fn put(&self, body: Vec<u8>) {
        let mut evicted = Vec::new();
        let mut state = self.lock();
        // What was set aside and never used is no memory to count on.
        if !state.retaining || body.len() > self.bytes_max || !fits(body.capacity(), body.len()) {
            drop(state);
            return;
        }
        state.bytes += body.len();
        state.buffers.push_back(body);
        while state.bytes > self.bytes_max || state.buffers.len() > POOL_BUFFERS_MAX {
            let Some(oldest) = state.buffers.pop_front() else {
                break;
            };
            state.bytes -= oldest.len();
            evicted.push(oldest);
        }
        // Memory goes back to the system with the lock let go.
        drop(state);
        drop(evicted);
    }
}

/// The memory of one body.
#[derive(Debug)]
pub struct BodyBuffer {
    /// All that is initialised; capacity beyond it is untouched.
    bytes: Vec<u8>,
    total: usize,
    pool: Arc<BufferPool>,
}

impl BodyBuffer {
    /// Memory for a body of this length, as little as can be.
    pub fn new(pool: &Arc<BufferPool>, total: usize) -> Self {
        Self { bytes: Vec::new(), total, pool: pool.clone() }
    }

    /// Memory that is kept for a body of this length, if there is any.
    pub fn from_pool(pool: &Arc<BufferPool>, total: usize) -> Option<Self> {
        pool.take(total).map(|bytes| Self { bytes, total, pool: pool.clone() })
    }

    /// How many bytes of memory it is.
    pub fn resident(&self) -> usize {
        self.bytes.len()
    }

    /// Sets aside what is needed up to `end`, and for what is to come up to [`GROWTH_FACTOR`] times that.
    fn reserve_to(&mut self, end: usize) {
        if end > self.bytes.capacity() {
            let ahead = self.total.min(end.saturating_mul(GROWTH_FACTOR)).max(end);
            self.bytes.reserve_exact(ahead - self.bytes.len());
        }
    }

    /// Copies bytes in.
    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        if at == self.bytes.len() {
            self.reserve_to(end);
            self.bytes.extend_from_slice(bytes);
        } else {
            self.slice_mut(at, end).copy_from_slice(bytes);
        }
    }

    /// The place of some bytes, to be read into.
    pub fn slice_mut(&mut self, at: usize, end: usize) -> &mut [u8] {
        if end > self.bytes.len() {
            self.reserve_to(end);
            self.bytes.resize(end, 0);
        }
        &mut self.bytes[at..end]
    }

    /// The body, which is whole.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for BodyBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.total]
    }
}

impl Drop for BodyBuffer {
    fn drop(&mut self) {
        self.pool.put(mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(pool: &Arc<BufferPool>, total: usize) -> BodyBuffer {
        let mut buffer =
            BodyBuffer::from_pool(pool, total).unwrap_or_else(|| BodyBuffer::new(pool, total));
        buffer.write(0, &vec![1; total]);
        buffer
    }

    #[test]
    fn what_is_let_go_serves_the_next_body_of_its_size() {
        let pool = BufferPool::new(1000);
        pool.retain();
        let body = whole(&pool, 100).into_bytes();
        let at = body.as_ptr();
        assert_eq!(pool.bytes(), 0, "the application has it");
        let part = body.slice(10..20);
        drop(body);
        assert_eq!(pool.bytes(), 0, "a part of it is in use");
        drop(part);
        assert_eq!(pool.bytes(), 100);
        assert!(BodyBuffer::from_pool(&pool, 101).is_none(), "too short");
        assert!(BodyBuffer::from_pool(&pool, 50).is_none(), "too much would lie idle");
        let next = whole(&pool, 95).into_bytes();
        assert_eq!((next.as_ptr(), next.len()), (at, 95));
        assert_eq!(pool.bytes(), 0);
    }

    #[test]
    fn no_more_is_kept_than_the_limits_and_the_oldest_goes_first() {
        let pool = BufferPool::new(250);
        pool.retain();
        drop([whole(&pool, 100), whole(&pool, 120), whole(&pool, 80)]);
        assert_eq!(pool.bytes(), 200, "the first made room");
        drop(whole(&pool, 251));
        assert_eq!(pool.bytes(), 200, "one beyond the limit is not kept");
        drop((0..2 * POOL_BUFFERS_MAX).map(|_| whole(&pool, 1)).collect::<Vec<_>>());
        assert_eq!(pool.lock().buffers.len(), POOL_BUFFERS_MAX);
    }

    #[test]
    fn nothing_is_kept_once_bodies_stop_coming() {
        let pool = BufferPool::new(250);
        drop(whole(&pool, 100));
        assert_eq!(pool.bytes(), 0, "they have not begun");
        pool.retain();
        let late = whole(&pool, 100);
        drop(whole(&pool, 100));
        pool.release();
        drop(late);
        assert_eq!(pool.bytes(), 0);
    }

    #[test]
    fn memory_follows_what_has_come() {
        let pool = BufferPool::new(0);
        let mut buffer = BodyBuffer::new(&pool, 64 << 20);
        buffer.write(0, &[1; 10]);
        assert_eq!(buffer.resident(), 10);
        assert!(buffer.bytes.capacity() <= 10 * GROWTH_FACTOR);
        buffer.slice_mut(10, 30).fill(2);
        buffer.write(20, &[3; 20]);
        assert_eq!(buffer.resident(), 40);
        assert_eq!(buffer.bytes[..], [[1; 10], [2; 10], [3; 10], [3; 10]].concat());
    }
}
