//! The memory of large bodies: buffers that grow while a body arrives, and a pool that reuses them.
//!
//! ```text
//!  BufferPool ──take──► BodyBuffer ──grows as bytes arrive──► Bytes, held by the application
//!   ▲                                                          │ dropped
//!   └──────────────── while bodies keep arriving ──────────────┘
//! ```
//!
//! Touching fresh memory costs more than copying into it: for a body of 64 MiB the system must
//! provide 16,384 pages, one by one. So while large bodies keep arriving, the memory of bodies that
//! the application has dropped is kept for the next ones. It is freed soon after the last of them.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// How many bytes the pool keeps: two bodies of the largest default size, one that arrives while
/// the application holds the other.
pub const POOL_BYTES_MAX: usize = 128 << 20;
/// How many buffers the pool keeps. All of them are searched for each body that starts.
pub const POOL_BUFFERS_MAX: usize = 64;

/// How many times the received length is reserved for the bytes to come. Untouched memory costs
/// nothing, but a body that outgrows its allocation is moved. With this factor a body of the
/// largest default size moves once, when 4 MiB of it have arrived, and one of 1 MiB never.
const GROWTH_FACTOR: usize = 64;

/// Whether kept memory may be used for a body: the body must fill at least seven eighths of it.
fn fits(kept: usize, total: usize) -> bool {
    kept >= total && kept - total <= kept / 8
}

/// Memory kept for the next bodies.
#[derive(Debug)]
pub struct BufferPool {
    bytes_max: usize,
    state: Mutex<PoolState>,
}

#[derive(Debug, Default)]
struct PoolState {
    /// The least recently used one first.
    buffers: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Whether bodies keep arriving.
    retaining: bool,
}

impl BufferPool {
    /// An empty pool that keeps at most so many bytes.
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the pool may keep anything at all.
    pub fn is_enabled(&self) -> bool {
        self.bytes_max > 0
    }

    /// Starts to keep memory: bodies are arriving.
    pub fn retain(&self) {
        self.lock().retaining = true;
    }

    /// Frees all memory, and stops keeping any: no more bodies arrive.
    pub fn release(&self) {
        drop(mem::take(&mut *self.lock()));
    }

    /// As [`BufferPool::release`], unless the pool is locked. Returns whether it was not.
    pub fn try_release(&self) -> bool {
        let state = self.state.try_lock();
        state.map(|mut state| drop(mem::take(&mut *state))).is_ok()
    }

    /// How many bytes are kept.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Takes a buffer that suits a body of this length.
    fn take(&self, total: usize) -> Option<Vec<u8>> {
        let mut state = self.lock();
        let position = state.buffers.iter().rposition(|body| fits(body.len(), total))?;
        let body = state.buffers.remove(position)?;
        state.bytes -= body.len();
        Some(body)
    }

    /// Keeps the buffer of a body; the least recently used buffers make room for it.
    fn put(&self, body: Vec<u8>) {
        let mut evicted = Vec::new();
        let mut state = self.lock();
        // Capacity that was reserved and never used is not resident memory.
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
        // The memory is freed after the lock is released.
        drop(state);
        drop(evicted);
    }
}

/// The buffer of one body.
#[derive(Debug)]
pub struct BodyBuffer {
    /// The initialised part; the capacity beyond it is untouched memory.
    bytes: Vec<u8>,
    total: usize,
    pool: Arc<BufferPool>,
}

impl BodyBuffer {
    /// An empty buffer for a body of this length.
    pub fn new(pool: &Arc<BufferPool>, total: usize) -> Self {
        Self { bytes: Vec::new(), total, pool: pool.clone() }
    }

    /// A buffer from the pool for a body of this length, if the pool has one.
    pub fn from_pool(pool: &Arc<BufferPool>, total: usize) -> Option<Self> {
        pool.take(total).map(|bytes| Self { bytes, total, pool: pool.clone() })
    }

    /// How many bytes of memory the buffer uses.
    pub fn resident(&self) -> usize {
        self.bytes.len()
    }

    /// Reserves memory up to `end`, and ahead of it up to [`GROWTH_FACTOR`] times as much.
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

    /// A part of the buffer, to be read into.
    pub fn slice_mut(&mut self, at: usize, end: usize) -> &mut [u8] {
        if end > self.bytes.len() {
            self.reserve_to(end);
            self.bytes.resize(end, 0);
        }
        &mut self.bytes[at..end]
    }

    /// The body, all of which was written.
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

    fn full_buffer(pool: &Arc<BufferPool>, total: usize) -> BodyBuffer {
        let mut buffer =
            BodyBuffer::from_pool(pool, total).unwrap_or_else(|| BodyBuffer::new(pool, total));
        buffer.write(0, &vec![1; total]);
        buffer
    }

    #[test]
    fn a_dropped_body_leaves_its_memory_to_the_next_one_of_its_size() {
        let pool = BufferPool::new(1000);
        pool.retain();
        let body = full_buffer(&pool, 100).into_bytes();
        let at = body.as_ptr();
        assert_eq!(pool.bytes(), 0, "the application holds it");
        let part = body.slice(10..20);
        drop(body);
        assert_eq!(pool.bytes(), 0, "a part of it is in use");
        drop(part);
        assert_eq!(pool.bytes(), 100);
        assert!(BodyBuffer::from_pool(&pool, 101).is_none(), "too short");
        assert!(BodyBuffer::from_pool(&pool, 50).is_none(), "too much would be unused");
        let next = full_buffer(&pool, 95).into_bytes();
        assert_eq!((next.as_ptr(), next.len()), (at, 95));
        assert_eq!(pool.bytes(), 0);
    }

    #[test]
    fn the_pool_keeps_to_its_limits_and_frees_the_oldest_buffer_first() {
        let pool = BufferPool::new(250);
        pool.retain();
        drop([full_buffer(&pool, 100), full_buffer(&pool, 120), full_buffer(&pool, 80)]);
        assert_eq!(pool.bytes(), 200, "the first was freed");
        drop(full_buffer(&pool, 251));
        assert_eq!(pool.bytes(), 200, "a buffer beyond the limit is not kept");
        drop((0..2 * POOL_BUFFERS_MAX).map(|_| full_buffer(&pool, 1)).collect::<Vec<_>>());
        assert_eq!(pool.lock().buffers.len(), POOL_BUFFERS_MAX);
    }

    #[test]
    fn nothing_is_kept_once_bodies_stop_arriving() {
        let pool = BufferPool::new(250);
        drop(full_buffer(&pool, 100));
        assert_eq!(pool.bytes(), 0, "bodies have not started to arrive");
        pool.retain();
        let late = full_buffer(&pool, 100);
        drop(full_buffer(&pool, 100));
        pool.release();
        drop(late);
        assert_eq!(pool.bytes(), 0);
    }

    #[test]
    fn memory_grows_with_the_bytes_that_have_arrived() {
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
