//! What waits to be written to one link: bounded in bytes, control first.
//!
//! ```text
//!  push ──► control ─┐
//!           acks ────┤   a frame is encoded where it will be written from: short ones side by side
//!           small ───┼─► in one run of bytes, a long body from where it is
//!           large ───┘        │
//!                             ├─► the link's writer takes a batch and writes it
//!                             └─► or, on an idle link, whoever pushed does (see `Outbound::flush`)
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes};

use crate::wire::frame::{self, FrameKind, WireFrame};

/// How many bytes of control frames may wait: what levelling with a database of 131,072 nodes takes.
pub const CONTROL_BYTES_MAX: usize = 64 << 20;
/// How many bytes of acknowledgements may wait: those of more messages than any inbox holds.
pub const ACK_BYTES_MAX: usize = 4 << 20;
/// How many bytes of messages up to a chunk may wait, and how many of larger ones. A 10 Gb/s link
/// carries 4 MiB in 3 ms, so a larger queue adds delay and no throughput.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// A longer body is written from where it is; a shorter one costs less to copy than to point at.
pub const COPIED_BYTES_MAX: usize = 1 << 10;
/// A run of bytes that has come to this is followed by another: a link's writer takes whole runs.
pub const WRITE_BUFFER_BYTES: usize = 32 << 10;
/// How much is written past the link's writer at most: what one packet of a loopback carries.
pub const DIRECT_BYTES_MAX: usize = 64 << 10;
/// How many emptied runs are kept to be filled again, each of at most [`SPARE_BYTES_MAX`].
const SPARE_BUFFERS_MAX: usize = 4;
/// The most room that is kept: a run that a long frame has stretched is given back.
const SPARE_BYTES_MAX: usize = 2 * WRITE_BUFFER_BYTES;

/// Which queue of a link a frame waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The control plane's, signs of life included: goes before everything.
    Control,
    /// Acknowledgements: go before messages.
    Ack,
    /// Messages up to a chunk.
    Small,
    /// Chunks of large messages: one between each batch of small ones.
    Large,
}

/// The queue has no room for the frame, or the link is closed. Nothing was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Whole frames, one after the other; the body of the last may stand apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteBuffer {
    /// The frames' bytes.
    pub bytes: Vec<u8>,
    /// The end of the last frame, where it is too long to be copied.
    pub body: Bytes,
    /// How many frames.
    pub frames: usize,
}

impl WriteBuffer {
    fn len(&self) -> usize {
        self.bytes.len() + self.body.len()
    }
}

/// What was taken to be written, and the room that earlier batches left.
#[derive(Debug, Default)]
pub struct Batch {
    /// What is to be written, in this order.
    pub buffers: VecDeque<WriteBuffer>,
    spares: Vec<Vec<u8>>,
    /// How many bytes of `runs` are yet to be written.
    pub bytes: usize,
    /// How many frames were taken.
    pub frames: usize,
    /// A queue that had refused a message has room again: tell [`super::plane::Plane::writable`].
    pub writable: bool,
}

impl Batch {
    /// Fills in as many buffers as there are, or as it takes; says how many it filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        let parts = self.buffers.iter().flat_map(|buffer| [&buffer.bytes[..], &buffer.body[..]]);
        for (slice, part) in slices.iter_mut().zip(parts.filter(|part| !part.is_empty())) {
            *slice = IoSlice::new(part);
            count += 1;
        }
        count
    }

    /// So many bytes are written.
    pub fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(buffer) = self.buffers.front_mut() {
            if written < buffer.len() {
                let head = written.min(buffer.bytes.len());
                buffer.bytes.drain(..head);
                buffer.body.advance(written - head);
                return;
            }
            written -= buffer.len();
            if let Some(mut buffer) = self.buffers.pop_front()
                && buffer.bytes.capacity() <= SPARE_BYTES_MAX
                && self.spares.len() < SPARE_BUFFERS_MAX
            {
                buffer.bytes.clear();
                self.spares.push(buffer.bytes);
            }
        }
    }
}

/// Writes to a link's socket past the link's writer.
pub trait DirectWriter: Send + Sync {
    /// Writes what the socket takes at once; says how many bytes it took. A socket that is broken
    /// takes none: the link's writer will find out.
    fn write(&self, batch: &Batch) -> usize;
}

#[derive(Debug, Default)]
struct Queue {
    buffers: VecDeque<WriteBuffer>,
    bytes: usize,
    refused: bool,
}

/// Who empties the queues.
#[derive(Debug, Default)]
enum Writer {
    /// The link's writer, which is about it, or has not come yet.
    #[default]
    Active,
    /// The link's writer is to be woken when there is something.
    Parked(Waker),
    /// Somebody writes in the place of the link's writer.
    Direct(Waker),
}

#[derive(Default)]
struct Queues {
    queues: [Queue; 4],
    /// What was taken and not written: the middle of a frame, perhaps, so it goes before all else.
    rest: VecDeque<WriteBuffer>,
    writer: Writer,
    spares: Vec<Vec<u8>>,
    direct: Option<Arc<dyn DirectWriter>>,
    /// The room of what is written directly.
    batch: Batch,
    closed: bool,
}

/// The queues of one link: shared by everything that sends over it and the writer that empties it.
#[derive(Default)]
pub struct Outbound {
    inner: Mutex<Queues>,
}

impl Class {
    const ALL: [Self; 4] = [Self::Control, Self::Ack, Self::Small, Self::Large];

    fn bytes_max(self) -> usize {
        match self {
            Self::Control => CONTROL_BYTES_MAX,
            Self::Ack => ACK_BYTES_MAX,
            Self::Small | Self::Large => MESSAGE_BYTES_MAX,
        }
    }
}

impl Queues {
    fn is_empty(&self) -> bool {
        self.rest.is_empty() && self.queues.iter().all(|queue| queue.buffers.is_empty())
    }

    /// Encodes a frame at the end of its queue.
    fn push(
        &mut self,
        class: Class,
        kind: FrameKind,
        body: &Bytes,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Full> {
        let queue = &mut self.queues[class as usize];
        let has_room = |buffer: &WriteBuffer| {
            buffer.body.is_empty() && buffer.bytes.len() < WRITE_BUFFER_BYTES
        };
        if !queue.buffers.back().is_some_and(has_room) {
            let bytes = self.spares.pop().unwrap_or_default();
            queue.buffers.push_back(WriteBuffer { bytes, ..WriteBuffer::default() });
        }
        let Some(buffer) = queue.buffers.back_mut() else {
            return Err(Full);
        };
        let before = buffer.bytes.len();
        frame::append(&mut buffer.bytes, kind, body.len(), write);
        let bytes = buffer.bytes.len() - before + body.len();
        if queue.bytes + bytes > class.bytes_max() {
            buffer.bytes.truncate(before);
            if buffer.frames == 0 {
                queue.buffers.pop_back();
            }
            queue.refused = true;
            return Err(Full);
        }
        if body.len() <= COPIED_BYTES_MAX {
            buffer.bytes.extend_from_slice(body);
        } else {
            buffer.body = body.clone();
        }
        buffer.frames += 1;
        queue.bytes += bytes;
        Ok(())
    }

    fn take(&mut self, bytes_max: usize, batch: &mut Batch) {
        if self.spares.len() < SPARE_BUFFERS_MAX {
            self.spares.append(&mut batch.spares);
        }
        for buffer in self.rest.drain(..) {
            batch.bytes += buffer.len();
            batch.frames += buffer.frames;
            batch.buffers.push_back(buffer);
        }
        for class in Class::ALL {
            let queue = &mut self.queues[class as usize];
            let mut buffers = 0;
            while batch.bytes < bytes_max && !(class == Class::Large && buffers == 1) {
                let Some(buffer) = queue.buffers.pop_front() else {
                    break;
                };
                queue.bytes -= buffer.len();
                batch.bytes += buffer.len();
                batch.frames += buffer.frames;
                batch.buffers.push_back(buffer);
                buffers += 1;
            }
            if queue.refused && queue.bytes <= class.bytes_max() / 2 {
                queue.refused = false;
                batch.writable = true;
            }
        }
    }
}

impl Outbound {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets whoever pushes onto an idle link write to it at once.
    pub fn attach(&self, direct: Arc<dyn DirectWriter>) {
        self.lock().direct = Some(direct);
    }

    /// Leaves all writing to the link's writer again.
    pub fn detach(&self) {
        self.lock().direct = None;
    }

    /// Queues a frame whose payload is `write`n, followed by `body`. Nobody is woken: that is
    /// [`Outbound::flush`]'s, once all that goes together is queued. `false`: somebody is about to
    /// write as it is, and there is nothing to flush.
    ///
    /// # Errors
    /// [`Full`]: the queue of its class has no room. The writer will say when it has.
    pub fn push(
        &self,
        class: Class,
        kind: FrameKind,
        body: &Bytes,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<bool, Full> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(Full);
        }
        inner.push(class, kind, body, write)?;
        Ok(matches!(inner.writer, Writer::Parked(_)))
    }

    /// Queues a frame that is ready made, and wakes the writer.
    ///
    /// # Errors
    /// As [`Outbound::push`].
    pub fn push_frame(&self, class: Class, frame: &WireFrame) -> Result<(), Full> {
        let write = |bytes: &mut Vec<u8>| bytes.extend_from_slice(frame.payload());
        let queued = self.push(class, frame.kind(), &frame.body, write);
        self.flush(false);
        queued.map(|_| ())
    }

    /// Has written what is queued: by the link's writer; `directly`, where the link is idle and
    /// little waits, by this very call, which spares waking anybody.
    pub fn flush(&self, directly: bool) {
        let mut inner = self.lock();
        let Writer::Parked(_) = inner.writer else {
            return;
        };
        if inner.is_empty() && !inner.closed {
            return;
        }
        let waiting: usize = inner.queues.iter().map(|queue| queue.bytes).sum();
        let is_small = waiting <= DIRECT_BYTES_MAX && inner.rest.is_empty();
        let Writer::Parked(waker) = std::mem::take(&mut inner.writer) else {
            return;
        };
        let Some(direct) = inner.direct.clone().filter(|_| directly && is_small) else {
            drop(inner);
            waker.wake();
            return;
        };
        inner.writer = Writer::Direct(waker);
        let mut batch = std::mem::take(&mut inner.batch);
        inner.take(DIRECT_BYTES_MAX, &mut batch);
        drop(inner);
        let written = direct.write(&batch);
        batch.advance(written);
        batch.frames = 0;
        let mut inner = self.lock();
        inner.rest.append(&mut batch.buffers);
        batch.bytes = 0;
        // What was taken was little, and nothing is refused for little.
        batch.writable = false;
        inner.batch = batch;
        if let Writer::Direct(waker) = std::mem::take(&mut inner.writer) {
            if inner.is_empty() && !inner.closed {
                inner.writer = Writer::Parked(waker);
            } else {
                drop(inner);
                waker.wake();
            }
        }
    }

    /// Takes what is to be written next, up to about `bytes_max`, onto the end of the batch: all
    /// control frames, then acknowledgements, then small messages, then one chunk.
    pub fn try_take(&self, bytes_max: usize, batch: &mut Batch) {
        self.lock().take(bytes_max, batch);
    }

    /// As [`Outbound::try_take`], but waits for something to take. Ready with nothing taken once
    /// the link is closed and empty.
    pub fn poll_take(&self, cx: &mut Context<'_>, bytes_max: usize, batch: &mut Batch) -> Poll<()> {
        let mut inner = self.lock();
        if let Writer::Direct(waker) = &mut inner.writer {
            waker.clone_from(cx.waker());
            return Poll::Pending;
        }
        inner.take(bytes_max, batch);
        if batch.bytes > 0 || inner.closed {
            inner.writer = Writer::Active;
            return Poll::Ready(());
        }
        inner.writer = Writer::Parked(cx.waker().clone());
        Poll::Pending
    }

    /// Takes nothing more in; what waits is still to be taken out.
    pub fn close(&self) {
        self.lock().closed = true;
        self.flush(false);
    }

    /// How many bytes wait, of all classes, or are being written by who pushed them.
    pub fn waiting_bytes(&self) -> usize {
        let inner = self.lock();
        let rest: usize = inner.rest.iter().map(WriteBuffer::len).sum();
        let busy = usize::from(matches!(inner.writer, Writer::Direct(_)));
        rest + busy + inner.queues.iter().map(|queue| queue.bytes).sum::<usize>()
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("waiting_bytes", &self.waiting_bytes()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    fn push(outbound: &Outbound, class: Class, len: usize) -> Result<(), Full> {
        outbound.push(class, FrameKind::Data, &Bytes::from(vec![7; len]), |_| ()).map(|_| ())
    }

    /// The lengths of the frames' bodies that are taken next.
    fn take(outbound: &Outbound, bytes_max: usize) -> Vec<usize> {
        let mut batch = Batch::default();
        outbound.try_take(bytes_max, &mut batch);
        lengths(&batch)
    }

    fn lengths(batch: &Batch) -> Vec<usize> {
        let mut bytes = Vec::new();
        for buffer in &batch.buffers {
            bytes.extend_from_slice(&buffer.bytes);
            bytes.extend_from_slice(&buffer.body);
        }
        let lengths: Vec<usize> =
            frame::frames(&bytes).map(|frame| frame.len() - frame::PREFIX_BYTES).collect();
        assert_eq!(lengths.len(), batch.frames);
        lengths
    }

    #[test]
    fn control_goes_first_and_one_chunk_goes_between_small_messages() {
        let outbound = Outbound::default();
        let long = COPIED_BYTES_MAX + 1;
        for (class, len) in [
            (Class::Large, long),
            (Class::Large, long + 1),
            (Class::Small, 3),
            (Class::Ack, 2),
            (Class::Control, 1),
        ] {
            push(&outbound, class, len).expect("room");
        }
        assert_eq!(take(&outbound, usize::MAX), [1, 2, 3, long]);
        push(&outbound, Class::Small, 3).expect("room");
        assert_eq!(take(&outbound, usize::MAX), [3, long + 1]);
    }

    #[test]
    fn a_full_queue_refuses_and_says_when_it_has_room_again() {
        let outbound = Outbound::default();
        let mut sent = 0;
        while push(&outbound, Class::Small, 32 << 10).is_ok() {
            sent += 1;
        }
        assert_eq!(sent, MESSAGE_BYTES_MAX / ((32 << 10) + frame::PREFIX_BYTES));
        assert_eq!(push(&outbound, Class::Control, 1), Ok(()), "others have room");
        let writable = |bytes_max| {
            let mut batch = Batch::default();
            outbound.try_take(bytes_max, &mut batch);
            batch.writable
        };
        assert!(!writable(1 << 20));
        assert!(writable(2 << 20));
        assert!(!writable(2 << 20), "said once");
    }

    #[test]
    fn a_closed_queue_is_emptied_and_then_ends() {
        let outbound = Outbound::default();
        push(&outbound, Class::Small, 1).expect("room");
        outbound.close();
        assert_eq!(push(&outbound, Class::Control, 1), Err(Full));
        let mut cx = Context::from_waker(Waker::noop());
        let mut batch = Batch::default();
        assert!(outbound.poll_take(&mut cx, usize::MAX, &mut batch).is_ready());
        assert_eq!(lengths(&batch), [1]);
        batch.advance(batch.bytes);
        assert!(outbound.poll_take(&mut cx, usize::MAX, &mut batch).is_ready());
        assert_eq!(batch.bytes, 0);
    }

    #[test]
    fn short_frames_share_a_run_and_long_bodies_are_not_copied() {
        let outbound = Outbound::default();
        let long = Bytes::from(vec![7; COPIED_BYTES_MAX + 1]);
        push(&outbound, Class::Small, 1).expect("room");
        push(&outbound, Class::Small, 2).expect("room");
        outbound.push(Class::Small, FrameKind::Data, &long, |_| ()).expect("room");
        push(&outbound, Class::Small, 3).expect("room");
        let mut batch = Batch::default();
        outbound.try_take(usize::MAX, &mut batch);
        assert_eq!(batch.buffers.len(), 2);
        assert_eq!(batch.buffers[0].body.as_ptr(), long.as_ptr());
        assert_eq!(lengths(&batch), [1, 2, COPIED_BYTES_MAX + 1, 3]);
    }

    #[test]
    fn what_a_socket_took_is_not_sent_again_wherever_it_ends() {
        for step in 1..50 {
            let outbound = Outbound::default();
            for len in [1, 2000, 3] {
                push(&outbound, Class::Small, len).expect("room");
            }
            let mut batch = Batch::default();
            outbound.try_take(usize::MAX, &mut batch);
            while batch.bytes > 0 {
                let left = batch.bytes;
                let sent = step.min(left);
                batch.advance(sent);
                assert_eq!(batch.buffers.iter().map(WriteBuffer::len).sum::<usize>(), left - sent);
            }
            assert!(batch.buffers.is_empty());
        }
    }

    /// A socket that takes so many bytes at a time.
    struct Takes(usize);

    impl DirectWriter for Takes {
        fn write(&self, batch: &Batch) -> usize {
            self.0.min(batch.bytes)
        }
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn an_idle_link_is_written_to_by_who_pushes_and_the_rest_goes_first() {
        let outbound = Outbound::default();
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut cx = Context::from_waker(&waker);
        let mut batch = Batch::default();
        outbound.attach(Arc::new(Takes(usize::MAX)));
        assert!(outbound.poll_take(&mut cx, usize::MAX, &mut batch).is_pending());
        push(&outbound, Class::Small, 3).expect("room");
        outbound.flush(true);
        assert_eq!((outbound.waiting_bytes(), wakes.0.load(Ordering::Relaxed)), (0, 0));

        outbound.attach(Arc::new(Takes(6)));
        push(&outbound, Class::Small, 3).expect("room");
        outbound.flush(true);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1, "the writer is to write the rest");
        push(&outbound, Class::Control, 1).expect("room");
        assert!(outbound.poll_take(&mut cx, usize::MAX, &mut batch).is_ready());
        assert_eq!(batch.buffers[0].bytes, [7, 7], "of the frame that was begun");
        assert_eq!(batch.bytes, 2 + frame::PREFIX_BYTES + 1);
    }

    #[test]
    fn a_link_that_is_not_idle_is_left_to_its_writer() {
        let outbound = Outbound::default();
        outbound.attach(Arc::new(Takes(usize::MAX)));
        push(&outbound, Class::Small, 3).expect("room");
        outbound.flush(true);
        assert!(outbound.waiting_bytes() > 0, "the writer is about it");
    }
}
