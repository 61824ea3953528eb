//! The two tasks of a link: one reads, one writes.
//!
//! ```text
//!  socket ──► read ──┬─ data, acknowledgements: the data plane, a batch at a time
//!                    └─ control frames, signs of life: the driver's bounded queue
//!  Outbound ──► write ──► socket        gathered: one system call for all that waits
//! ```
//!
//! Neither waits for another link. The reader waits for the driver only with control frames, so
//! that a peer that floods us with them fills its own socket and not our memory; and, once, with the
//! first message after them, so that whoever answers it finds the route that they announced.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt as _;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::driver::Incoming;
use super::shared::Shared;
use super::{clock, socket};
use crate::forward::outbound::Outbound;
use crate::name::LinkId;
use crate::protocol::io::Input;
use crate::wire::WireError;
use crate::wire::control::ControlFrame;
use crate::wire::deframe::{Deframer, RawFrame};
use crate::wire::frame::{FrameKind, WireFrame};

/// What a reader asks for at first, and what a busy one comes to ask for.
const READ_BYTES_MIN: usize = 16 << 10;
const READ_BYTES_MAX: usize = 256 << 10;
/// With less room than this a reader takes a new buffer.
const READ_BYTES_SPARE: usize = 2 << 10;
/// How much a writer takes out of the queue at a time: what a loopback carries in 50 µs.
const WRITE_BYTES_MAX: usize = 256 << 10;
/// A longer body is written from where it is; a shorter one costs less to copy than to point at.
const COPIED_BYTES_MAX: usize = 1 << 10;
/// How many buffers go into one system call: Linux takes 1,024, and 64 large bodies are enough.
const BUFFERS_MAX: usize = 64;
/// How often the control plane hears that bytes arrive.
const HEARD_EVERY: Duration = Duration::from_millis(250);
/// How long a link that is closed in order may take to be written out and closed by the other end.
const LINGER: Duration = Duration::from_secs(1);

/// How far a link is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// In use.
    Open,
    /// What is queued is written, what arrives is thrown away.
    Draining,
    /// Over.
    Dead,
}

/// Why a reader stopped.
enum Stop {
    /// The driver closes the link.
    Closed(Phase),
    /// The link broke.
    Broken(String),
    /// The other end broke the protocol.
    Breach(String),
}

/// Reads until the link ends.
pub(super) async fn read(
    link: LinkId,
    mut reads: OwnedReadHalf,
    mut phase: watch::Receiver<Phase>,
    shared: Arc<Shared>,
    incoming: mpsc::Sender<Incoming>,
) {
    let (frames, heard, unsettled) = (Vec::new(), None, false);
    let mut reader = Reader { link, shared, incoming, frames, heard, unsettled };
    let stop = tokio::select! {
        biased;
        phase = ended(&mut phase) => Stop::Closed(phase),
        stop = reader.run(&mut reads) => stop,
    };
    let (reason, breach) = match stop {
        Stop::Closed(Phase::Draining) => {
            // What is still unread when a socket closes makes the kernel throw away what it was to
            // send: so read on to the end, but not for ever.
            let _ = timeout(LINGER, drain(&mut reads)).await;
            (None, false)
        }
        Stop::Closed(Phase::Open | Phase::Dead) => (None, false),
        Stop::Broken(reason) => (Some(reason), false),
        Stop::Breach(reason) => (Some(reason), true),
    };
    if let Some(reason) = reason {
        reader.tell(Input::LinkDown { link, reason, breach }).await;
    }
    // The writer may be waiting for the socket.
    socket::shut(reads.as_ref(), Shutdown::Both);
}

/// Waits until the link is no longer in use.
async fn ended(phase: &mut watch::Receiver<Phase>) -> Phase {
    match phase.wait_for(|phase| *phase != Phase::Open).await {
        Ok(phase) => *phase,
        Err(_) => Phase::Dead,
    }
}

async fn drain(reads: &mut OwnedReadHalf) {
    let mut waste = BytesMut::with_capacity(READ_BYTES_MIN);
    while let Ok(1..) = reads.read_buf(&mut waste).await {
        waste.clear();
    }
}

struct Reader {
    link: LinkId,
    shared: Arc<Shared>,
    incoming: mpsc::Sender<Incoming>,
    frames: Vec<RawFrame>,
    heard: Option<Instant>,
    /// Whether the driver was handed control frames that it may not have dealt with.
    unsettled: bool,
}

impl Reader {
    /// Reads until the link breaks; says why it did.
    async fn run(&mut self, reads: &mut OwnedReadHalf) -> Stop {
        let mut deframer = Deframer::default();
        let mut wanted = READ_BYTES_MIN;
        loop {
            let buffer = deframer.buffer();
            if buffer.capacity() - buffer.len() < READ_BYTES_SPARE {
                buffer.reserve(wanted);
            }
            let room = buffer.capacity() - buffer.len();
            let length = match reads.read_buf(buffer).await {
                Ok(0) => return Stop::Broken("closed by the other end".into()),
                Ok(length) => length,
                Err(error) => return Stop::Broken(error.to_string()),
            };
            wanted = if length == room { (2 * wanted).min(READ_BYTES_MAX) } else { READ_BYTES_MIN };
            self.shared.counters.net_in_bytes.add(length);
            if let Err(breach) = self.take(&mut deframer).await {
                self.shared.counters.net_breaches.one();
                tracing::warn!(%breach, "protocol broken");
                return Stop::Breach(breach.0);
            }
        }
    }

    /// Handles all frames that are whole.
    async fn take(&mut self, deframer: &mut Deframer) -> Result<(), WireError> {
        while let Some(frame) = deframer.next_frame()? {
            self.frames.push(frame);
        }
        let now = clock::now();
        self.shared.counters.net_in_frames.add(self.frames.len());
        let mut frames = std::mem::take(&mut self.frames);
        for run in frames.chunk_by(|a, b| is_for_the_data_plane(a) == is_for_the_data_plane(b)) {
            if is_for_the_data_plane(&run[0]) {
                self.settled().await;
                self.shared.plane.receive(self.link, run, now)?;
            } else {
                self.hand_on(run).await?;
            }
        }
        frames.clear();
        self.frames = frames;
        if self.heard.is_none_or(|heard| now.duration_since(heard) >= HEARD_EVERY) {
            self.heard = Some(now);
            self.tell(Input::Heard { link: self.link }).await;
        }
        Ok(())
    }

    /// Hands control frames to the driver.
    async fn hand_on(&mut self, frames: &[RawFrame]) -> Result<(), WireError> {
        for frame in frames {
            match frame.kind {
                Some(FrameKind::Control) => {
                    let frame = ControlFrame::decode(&frame.payload)?;
                    self.tell(Input::Control { link: self.link, frame }).await;
                    self.unsettled = true;
                }
                Some(FrameKind::Data | FrameKind::Ack | FrameKind::KeepAlive) => {}
                None => self.shared.counters.net_in_frames_unknown.one(),
            }
        }
        Ok(())
    }

    /// Waits until the driver has done what the control frames before led to: who answers a message
    /// finds the route that was announced before it on the same link.
    async fn settled(&mut self) {
        if std::mem::take(&mut self.unsettled) {
            let (done, settled) = oneshot::channel();
            let _ = self.incoming.send(Incoming::Settle(done)).await;
            // A driver that is gone settles nothing more.
            let _ = settled.await;
        }
    }

    async fn tell(&self, input: Input) {
        // A driver that is gone wants to know no more.
        let _ = self.incoming.send(Incoming::Input(input)).await;
    }
}

fn is_for_the_data_plane(frame: &RawFrame) -> bool {
    match frame.kind {
        Some(FrameKind::Data | FrameKind::Ack) => true,
        Some(FrameKind::Control | FrameKind::KeepAlive) | None => false,
    }
}

/// Writes what is queued until the link is closed and everything is written, or it breaks.
pub(super) async fn write(
    link: LinkId,
    writes: OwnedWriteHalf,
    outbound: Arc<Outbound>,
    shared: Arc<Shared>,
) {
    let mut writer = Writer::default();
    let stream = writes.as_ref();
    loop {
        let frames = &mut writer.frames;
        let mut taken = poll_fn(|cx| outbound.poll_take(cx, WRITE_BYTES_MAX, frames)).await;
        if taken.bytes == 0 {
            break;
        }
        if taken.bytes < WRITE_BYTES_MAX {
            // Let the others who have something to send queue it first.
            yield_now().await;
            let more = outbound.try_take(WRITE_BYTES_MAX - taken.bytes, frames);
            taken.bytes += more.bytes;
            taken.relieved |= more.relieved;
        }
        if taken.relieved {
            shared.plane.writable(link, clock::now());
        }
        shared.counters.net_out_frames.add(writer.frames.len());
        shared.counters.net_out_bytes.add(taken.bytes);
        if let Err(error) = writer.flush(stream, &shared).await {
            tracing::debug!(%error, "write failed");
            socket::shut(stream, Shutdown::Both);
            return;
        }
    }
    socket::shut(stream, Shutdown::Write);
}

/// Turns frames into few buffers.
#[derive(Default)]
struct Writer {
    frames: Vec<WireFrame>,
    copied: BytesMut,
    buffers: VecDeque<Bytes>,
}

impl Writer {
    async fn flush(&mut self, stream: &tokio::net::TcpStream, shared: &Shared) -> io::Result<()> {
        self.gather();
        while !self.buffers.is_empty() {
            let sent = {
                let mut slices = [IoSlice::new(&[]); BUFFERS_MAX];
                let count = self.buffers.len().min(BUFFERS_MAX);
                for (slice, buffer) in slices.iter_mut().zip(&self.buffers) {
                    *slice = IoSlice::new(buffer);
                }
                shared.counters.net_out_writes.one();
                socket::send_some(stream, &slices[..count]).await?
            };
            self.advance(sent);
        }
        Ok(())
    }

    /// Heads and short bodies side by side in one buffer, long bodies from where they are.
    fn gather(&mut self) {
        for frame in self.frames.drain(..) {
            self.copied.extend_from_slice(&frame.head);
            if frame.body.len() <= COPIED_BYTES_MAX {
                self.copied.extend_from_slice(&frame.body);
            } else {
                self.buffers.push_back(self.copied.split().freeze());
                self.buffers.push_back(frame.body);
            }
        }
        if !self.copied.is_empty() {
            self.buffers.push_back(self.copied.split().freeze());
        }
    }

    fn advance(&mut self, mut sent: usize) {
        while let Some(first) = self.buffers.front_mut() {
            if first.len() > sent {
                drop(first.split_to(sent));
                return;
            }
            sent -= first.len();
            self.buffers.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: usize) -> WireFrame {
        WireFrame::new(FrameKind::Data, Bytes::from(vec![7; body]), |head| head.push(1))
    }

    #[test]
    fn small_frames_share_a_buffer_and_large_bodies_are_not_copied() {
        let mut writer = Writer::default();
        let large = frame(COPIED_BYTES_MAX + 1);
        let at = large.body.as_ptr();
        writer.frames = vec![frame(1), frame(2), large, frame(3)];
        let whole: Vec<u8> = writer
            .frames
            .iter()
            .flat_map(|frame| [&frame.head[..], &frame.body[..]].concat())
            .collect();
        writer.gather();
        assert_eq!(writer.buffers.len(), 3);
        assert_eq!(writer.buffers[1].as_ptr(), at);
        assert_eq!(writer.buffers.iter().flatten().copied().collect::<Vec<_>>(), whole);
    }

    #[test]
    fn what_a_socket_took_is_not_sent_again_wherever_it_ends() {
        for step in 1..50 {
            let mut writer =
                Writer { frames: vec![frame(1), frame(2000), frame(3)], ..Writer::default() };
            writer.gather();
            let whole: usize = writer.buffers.iter().map(Bytes::len).sum();
            let mut left = whole;
            while !writer.buffers.is_empty() {
                let sent = step.min(left);
                writer.advance(sent);
                left -= sent;
                assert_eq!(writer.buffers.iter().map(Bytes::len).sum::<usize>(), left);
            }
            assert_eq!(left, 0);
        }
    }
}
