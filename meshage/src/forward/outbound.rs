//! The frames that wait to be written to one link: bounded in bytes, control frames first.
//!
//! ```text
//!  push ──► control ─┐
//!           acks ────┤   a frame is encoded into the buffer that it is written from: short ones
//!           small ───┼─► one after the other, a long body by reference
//!           large ───┘        │
//!                             ├─► the link's writer takes a batch and writes it
//!                             └─► or, if the link is idle, the caller does (`Outbound::flush`)
//! ```

mod batch;
mod queues;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

pub use self::batch::{Batch, WRITE_BUFFER_BYTES, WriteBuffer};
use self::queues::Queues;
pub use self::queues::{
    ACK_BYTES_MAX, CONTROL_BYTES_MAX, COPIED_BYTES_MAX, Class, Full, MESSAGE_BYTES_MAX,
};
use crate::wire::data::CHUNK_BYTES;
use crate::wire::frame::{FrameKind, WireFrame};

/// The most acknowledgements that are expected over a link: those of all messages that its queues
/// and the kernel hold.
const ACKNOWLEDGEMENT_CREDIT_MAX: u32 = 1 << 20;

/// How many bytes a caller writes itself at most: as many as one packet of a loopback carries.
pub const DIRECT_BYTES_MAX: usize = 64 << 10;
/// The smallest chunk: half a second at 64 kbit/s, and 50 times its header.
pub const CHUNK_BYTES_MIN: usize = 4 << 10;

/// Writes to a link's socket in place of the link's writer.
pub trait DirectWrite: Send + Sync {
    /// How many bytes may be written now. The rest is left to the link's writer.
    fn allowance(&self) -> usize;

    /// Writes as much as the socket takes without waiting. For a broken socket that is nothing: the
    /// link's writer will detect the error.
    fn write(&self, batch: &Batch) -> DirectlyWritten;
}

/// What a direct write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DirectlyWritten {
    /// How many bytes count as written.
    pub bytes: usize,
    /// Whether the link still holds some of them: its writer has to send them.
    pub pending: bool,
}

/// What empties the queues.
#[derive(Debug, Default)]
enum Writer {
    /// The link's writer, which is running or has not started yet.
    #[default]
    Active,
    /// The link's writer, which must be woken when something is queued.
    Parked(Waker),
    /// A caller writes in place of the link's writer.
    Direct(Waker),
}

#[derive(Default)]
struct State {
    queues: Queues,
    writer: Writer,
    direct: Option<Arc<dyn DirectWrite>>,
    /// The buffers of direct writes.
    batch: Batch,
    /// The link holds bytes that its writer has to send, besides the queues.
    pending: bool,
    closed: bool,
}

/// The queues of one link: shared by every sender over it and by the writer that empties them.
pub struct Outbound {
    state: Mutex<State>,
    /// The largest chunk that the link carries in a short time.
    chunk_bytes: AtomicUsize,
    /// What the link's writer has taken and not written yet, because the path is slow.
    held_bytes: AtomicUsize,
    /// How many acknowledgements are missing of the last message that was forwarded over the link.
    unacknowledged: AtomicU32,
    /// How many acknowledgements may still arrive over the link for what was forwarded over it.
    acknowledgement_credit: AtomicU32,
}

impl Default for Outbound {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            chunk_bytes: AtomicUsize::new(CHUNK_BYTES),
            held_bytes: AtomicUsize::new(0),
            unacknowledged: AtomicU32::new(0),
            acknowledgement_credit: AtomicU32::new(0),
        }
    }
}

impl Outbound {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Allows callers of [`Outbound::flush`] to write to the link while it is idle.
    pub fn attach(&self, direct: Arc<dyn DirectWrite>) {
        self.lock().direct = Some(direct);
    }

    /// Leaves all writing to the link's writer again.
    pub fn detach(&self) {
        self.lock().direct = None;
    }

    /// The largest chunk of a large message to send over this link. A link over a slow path carries
    /// short chunks, so that control frames and small messages do not wait long behind one.
    pub fn chunk_bytes(&self) -> usize {
        self.chunk_bytes.load(Ordering::Relaxed)
    }

    /// Sets the largest chunk, within its limits.
    pub fn set_chunk_bytes(&self, bytes: usize) {
        self.chunk_bytes.store(bytes.clamp(CHUNK_BYTES_MIN, CHUNK_BYTES), Ordering::Relaxed);
    }

    /// Records what the link's writer has taken and not written yet.
    pub fn set_held_bytes(&self, bytes: usize) {
        self.held_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Records that a message is being forwarded that this many nodes acknowledge or refuse.
    pub fn expect_acknowledgements(&self, nodes: u32) {
        self.unacknowledged.store(nodes, Ordering::Relaxed);
        if self.acknowledgement_credit.load(Ordering::Relaxed) < ACKNOWLEDGEMENT_CREDIT_MAX {
            self.acknowledgement_credit.fetch_add(nodes, Ordering::Relaxed);
        }
    }

    /// Records acknowledgements and refusals that were received over the link, to be passed on.
    /// Returns how many of them belong to nothing that was forwarded over the link.
    pub fn received_acknowledgements(&self, count: u32) -> u32 {
        let subtract = |missing: u32| Some(missing.saturating_sub(count));
        let order = Ordering::Relaxed;
        let _ = self.unacknowledged.fetch_update(order, order, subtract);
        let credit = self.acknowledgement_credit.fetch_update(order, order, subtract);
        credit.map_or(0, |credit| count.saturating_sub(credit))
    }

    /// Whether acknowledgements of the last message that was forwarded are missing.
    pub fn lacks_acknowledgements(&self) -> bool {
        self.unacknowledged.load(Ordering::Relaxed) > 0
    }

    /// Queues a frame: the payload that `write` appends, then `body`. This does not wake the
    /// writer: call [`Outbound::flush`] once all frames that belong together are queued. Returns
    /// `false` if a writer is active already, so that a flush is not needed.
    ///
    /// # Errors
    /// [`Full`]: the queue of its class has no room. [`Batch::writable`] reports when it has.
    pub fn push(
        &self,
        class: Class,
        kind: FrameKind,
        body: &Bytes,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<bool, Full> {
        let mut state = self.lock();
        if state.closed {
            return Err(Full);
        }
        state.queues.push(class, kind, body, write)?;
        Ok(matches!(state.writer, Writer::Parked(_)))
    }

    /// Queues an encoded frame, and wakes the writer.
    ///
    /// # Errors
    /// As [`Outbound::push`].
    pub fn push_frame(&self, class: Class, frame: &WireFrame) -> Result<(), Full> {
        let write = |bytes: &mut Vec<u8>| bytes.extend_from_slice(frame.payload());
        let queued = self.push(class, frame.kind(), &frame.body, write);
        self.flush(false);
        queued.map(|_| ())
    }

    /// Has the queued frames written. With `directly`, this call writes them itself if the link is
    /// idle and few bytes wait, which saves waking the link's writer. Otherwise it wakes the
    /// writer.
    pub fn flush(&self, directly: bool) {
        let mut state = self.lock();
        let Writer::Parked(_) = state.writer else {
            return;
        };
        if state.queues.is_empty() && !state.closed {
            return;
        }
        let waiting = state.queues.bytes();
        let is_small = waiting <= DIRECT_BYTES_MAX && state.queues.unwritten.is_empty();
        let Writer::Parked(waker) = std::mem::take(&mut state.writer) else {
            return;
        };
        let may_write =
            |direct: &Arc<dyn DirectWrite>| directly && is_small && waiting <= direct.allowance();
        let Some(direct) = state.direct.clone().filter(may_write) else {
            drop(state);
            waker.wake();
            return;
        };
        state.writer = Writer::Direct(waker);
        let mut batch = std::mem::take(&mut state.batch);
        state.queues.take(DIRECT_BYTES_MAX, &mut batch);
        drop(state);
        let written = direct.write(&batch);
        batch.advance(written.bytes);
        batch.frames = 0;
        let mut state = self.lock();
        state.queues.unwritten.append(&mut batch.buffers);
        batch.bytes = 0;
        // Few bytes were taken, and a queue with so few has refused nothing.
        batch.writable = false;
        state.batch = batch;
        state.pending |= written.pending;
        if let Writer::Direct(waker) = std::mem::take(&mut state.writer) {
            if state.queues.is_empty() && !state.pending && !state.closed {
                state.writer = Writer::Parked(waker);
            } else {
                drop(state);
                waker.wake();
            }
        }
    }

    /// Wakes the writer, because the link holds bytes to send that were not in these queues.
    pub fn send_pending(&self) {
        let mut state = self.lock();
        state.pending = true;
        if let Writer::Parked(waker) = &state.writer {
            waker.wake_by_ref();
        }
    }

    /// Moves the frames to write next to the end of the batch, up to about `bytes_max` bytes: all
    /// control frames, then acknowledgements, then small messages, then one chunk.
    pub fn try_take(&self, bytes_max: usize, batch: &mut Batch) {
        self.lock().queues.take(bytes_max, batch);
    }

    /// As [`Outbound::try_take`], but waits until there are frames. It is ready with an empty batch
    /// once the link is closed and its queues are empty, and when the link holds bytes to send
    /// ([`Batch::pending`]).
    pub fn poll_take(&self, cx: &mut Context<'_>, bytes_max: usize, batch: &mut Batch) -> Poll<()> {
        self.poll(cx, batch, |queues, batch| queues.take(bytes_max, batch))
    }

    fn poll(
        &self,
        cx: &mut Context<'_>,
        batch: &mut Batch,
        take: impl FnOnce(&mut Queues, &mut Batch),
    ) -> Poll<()> {
        let mut state = self.lock();
        if let Writer::Direct(waker) = &mut state.writer {
            waker.clone_from(cx.waker());
            return Poll::Pending;
        }
        take(&mut state.queues, batch);
        batch.pending = std::mem::take(&mut state.pending);
        if batch.bytes > 0 || batch.pending || (state.closed && state.queues.is_empty()) {
            state.writer = Writer::Active;
            return Poll::Ready(());
        }
        state.writer = Writer::Parked(cx.waker().clone());
        Poll::Pending
    }

    /// As [`Outbound::poll_take`], but takes control frames and acknowledgements only.
    pub fn poll_take_urgent(&self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<()> {
        self.poll(cx, batch, Queues::take_urgent)
    }

    /// Refuses further frames. Those that wait can still be taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.flush(false);
    }

    /// Frees what is queued, unless the queue is locked. For a link that is not used any more.
    pub fn abandon(&self) {
        if let Ok(mut state) = self.state.try_lock() {
            state.queues = Queues::default();
        }
    }

    /// How many bytes wait, of all classes. It is not zero while a caller is writing, or while the
    /// writer waits for a slow path.
    pub fn waiting_bytes(&self) -> usize {
        let state = self.lock();
        let unwritten: usize = state.queues.unwritten.iter().map(WriteBuffer::len).sum();
        let busy = usize::from(state.pending || matches!(state.writer, Writer::Direct(_)));
        unwritten + busy + state.queues.bytes() + self.held_bytes.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("waiting_bytes", &self.waiting_bytes()).finish()
    }
}
