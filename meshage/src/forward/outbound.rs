//! What waits to be written to one link: bounded in bytes, control first.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::wire::frame::WireFrame;

/// How many bytes of control frames may wait: what levelling with a database of 131,072 nodes takes.
pub const CONTROL_BYTES_MAX: usize = 64 << 20;
/// How many bytes of acknowledgements may wait: those of more messages than any inbox holds.
pub const ACK_BYTES_MAX: usize = 4 << 20;
/// How many bytes of messages up to a chunk may wait, and how many of larger ones. A 10 Gb/s link
/// carries 4 MiB in 3 ms, so a larger queue adds delay and no throughput.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

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

/// What [`Outbound::try_take`] took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    /// How many bytes.
    pub bytes: usize,
    /// A queue that had refused a message has room again: tell [`super::plane::Plane::writable`].
    pub relieved: bool,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<WireFrame>,
    bytes: usize,
    refused: bool,
}

#[derive(Debug, Default)]
struct Queues {
    queues: [Queue; 4],
    writer: Option<Waker>,
    closed: bool,
}

/// The queues of one link: shared by everything that sends over it and the writer that empties it.
#[derive(Debug, Default)]
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

impl Outbound {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a frame and wakes the writer.
    ///
    /// # Errors
    /// [`Full`]: the queue of its class has no room. The writer will say when it has.
    pub fn push(&self, class: Class, frame: WireFrame) -> Result<(), Full> {
        let waker = {
            let mut inner = self.lock();
            if inner.closed {
                return Err(Full);
            }
            let queue = &mut inner.queues[class as usize];
            if queue.bytes + frame.len() > class.bytes_max() {
                queue.refused = true;
                return Err(Full);
            }
            queue.bytes += frame.len();
            queue.frames.push_back(frame);
            inner.writer.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Takes what is to be written next, up to about `bytes_max`, onto the end of `into`: all
    /// control frames, then acknowledgements, then small messages, then one chunk.
    pub fn try_take(&self, bytes_max: usize, into: &mut Vec<WireFrame>) -> Taken {
        let mut inner = self.lock();
        let mut taken = Taken::default();
        for class in Class::ALL {
            let queue = &mut inner.queues[class as usize];
            let mut frames = 0;
            while taken.bytes < bytes_max && !(class == Class::Large && frames == 1) {
                let Some(frame) = queue.frames.pop_front() else {
                    break;
                };
                queue.bytes -= frame.len();
                taken.bytes += frame.len();
                frames += 1;
                into.push(frame);
            }
            if queue.refused && queue.bytes <= class.bytes_max() / 2 {
                queue.refused = false;
                taken.relieved = true;
            }
        }
        taken
    }

    /// As [`Outbound::try_take`], but waits for something to take. Ready with nothing taken once
    /// the link is closed and empty.
    pub fn poll_take(
        &self,
        cx: &mut Context<'_>,
        bytes_max: usize,
        into: &mut Vec<WireFrame>,
    ) -> Poll<Taken> {
        let taken = self.try_take(bytes_max, into);
        if taken.bytes > 0 {
            return Poll::Ready(taken);
        }
        let mut inner = self.lock();
        if inner.closed || inner.queues.iter().any(|queue| !queue.frames.is_empty()) {
            if inner.closed && inner.queues.iter().all(|queue| queue.frames.is_empty()) {
                return Poll::Ready(taken);
            }
            cx.waker().wake_by_ref();
        }
        inner.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Takes nothing more in; what waits is still to be taken out.
    pub fn close(&self) {
        let waker = {
            let mut inner = self.lock();
            inner.closed = true;
            inner.writer.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// How many bytes wait, of all classes.
    pub fn waiting_bytes(&self) -> usize {
        self.lock().queues.iter().map(|queue| queue.bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::FrameKind;
    use bytes::Bytes;

    fn frame(len: usize) -> WireFrame {
        WireFrame::new(FrameKind::Data, Bytes::from(vec![0; len]), |_| ())
    }

    #[test]
    fn control_goes_first_and_one_chunk_goes_between_small_messages() {
        let outbound = Outbound::default();
        for (class, len) in [
            (Class::Large, 4),
            (Class::Large, 5),
            (Class::Small, 3),
            (Class::Ack, 2),
            (Class::Control, 1),
        ] {
            outbound.push(class, frame(len)).expect("room");
        }
        let mut taken = Vec::new();
        outbound.try_take(usize::MAX, &mut taken);
        let lengths: Vec<_> = taken.iter().map(|frame| frame.body.len()).collect();
        assert_eq!(lengths, [1, 2, 3, 4]);
        outbound.push(Class::Small, frame(3)).expect("room");
        taken.clear();
        outbound.try_take(usize::MAX, &mut taken);
        let lengths: Vec<_> = taken.iter().map(|frame| frame.body.len()).collect();
        assert_eq!(lengths, [3, 5]);
    }

    #[test]
    fn a_full_queue_refuses_and_says_when_it_has_room_again() {
        let outbound = Outbound::default();
        let mut sent = 0;
        while outbound.push(Class::Small, frame(32 << 10)).is_ok() {
            sent += 1;
        }
        assert_eq!(sent, MESSAGE_BYTES_MAX / frame(32 << 10).len());
        assert_eq!(outbound.push(Class::Control, frame(1)), Ok(()), "others have room");
        let mut taken = Vec::new();
        assert!(!outbound.try_take(1 << 20, &mut taken).relieved);
        assert!(outbound.try_take(2 << 20, &mut taken).relieved);
        assert!(!outbound.try_take(2 << 20, &mut taken).relieved, "said once");
    }

    #[test]
    fn a_closed_queue_is_emptied_and_then_ends() {
        let outbound = Outbound::default();
        outbound.push(Class::Small, frame(1)).expect("room");
        outbound.close();
        assert_eq!(outbound.push(Class::Control, frame(1)), Err(Full));
        let mut cx = Context::from_waker(Waker::noop());
        let mut taken = Vec::new();
        assert!(outbound.poll_take(&mut cx, usize::MAX, &mut taken).is_ready());
        assert_eq!(taken.len(), 1);
        let end = outbound.poll_take(&mut cx, usize::MAX, &mut taken);
        assert_eq!(end, Poll::Ready(Taken::default()));
    }
}
