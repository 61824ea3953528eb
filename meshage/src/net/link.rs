//! The reading half of a link ([`super::write`] is the other).
//!
//! ```text
//!  socket ──► read ──┬─ data, acknowledgements: the data plane, a batch at a time
//!                    └─ control frames, signs of life: the driver's bounded queue
//! ```
//!
//! It never waits for another link. It waits for the driver only with control frames, so that a
//! peer that floods us with them fills its own socket and not our memory; and, once, with the first
//! message after them, so that whoever answers it finds the route that they announced. It lets the
//! application run, without waiting for it, while the inbox is more than half full.

use std::io::{self, IoSliceMut};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut as _, BytesMut};
use tokio::io::AsyncReadExt as _;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::driver::Incoming;
use super::shared::Shared;
use super::{clock, socket};
use crate::forward::read_buffer::{ChunkRead, ReadBuffer};
use crate::name::LinkId;
use crate::protocol::io::Input;
use crate::wire::WireError;
use crate::wire::control::ControlFrame;
use crate::wire::deframe::RawFrame;
use crate::wire::frame::FrameKind;

/// What a reader asks for at first, and what a busy one comes to ask for.
const READ_BYTES_MIN: usize = 16 << 10;
const READ_BYTES_MAX: usize = 256 << 10;
/// What it asks for after a chunk that was read into its place: the next follows, and what is read
/// of it before its head is understood is copied.
const READ_BYTES_AFTER_CHUNK: usize = 4 << 10;
/// With less room than this a reader takes a new buffer.
const READ_BYTES_SPARE: usize = 2 << 10;
/// How many frames go to the data plane between two looks at its inbox: a quarter of what an inbox
/// holds by default.
const FRAMES_IN_A_ROW: usize = 256;
/// How often a reader lets others run while the inbox is more than half full.
const YIELDS_MAX: usize = 16;
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
    let mut reader = Reader {
        link,
        shared,
        incoming,
        frames: Vec::new(),
        wanted: READ_BYTES_MIN,
        heard: None,
        unsettled: false,
    };
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
    /// How much the next read asks for.
    wanted: usize,
    heard: Option<Instant>,
    /// Whether the driver was handed control frames that it may not have dealt with.
    unsettled: bool,
}

impl Reader {
    /// Reads until the link breaks; says why it did.
    async fn run(&mut self, reads: &mut OwnedReadHalf) -> Stop {
        let mut read_buffer = ReadBuffer::default();
        loop {
            let length = match self.read_some(reads, &mut read_buffer).await {
                Ok(0) => return Stop::Broken("closed by the other end".into()),
                Ok(length) => length,
                Err(error) => return Stop::Broken(error.to_string()),
            };
            self.shared.counters.net_in_bytes.add(length);
            if let Err(breach) = self.take(&mut read_buffer).await {
                self.shared.counters.net_breaches.one();
                tracing::warn!(%breach, "protocol broken");
                return Stop::Breach(breach.0);
            }
            if !self.unsettled {
                read_buffer.start_in_place(&self.shared.plane, self.link, clock::now());
            }
        }
    }

    /// Waits for something to read, and reads it; says how much.
    async fn read_some(
        &mut self,
        reads: &mut OwnedReadHalf,
        read_buffer: &mut ReadBuffer,
    ) -> io::Result<usize> {
        while read_buffer.missing().is_some() {
            let stream = reads.as_ref();
            stream.readable().await?;
            let recv = |buffers: &mut [IoSliceMut<'_>]| socket::recv_now(stream, buffers);
            match read_buffer.read_chunk(&self.shared.plane, self.link, clock::now, recv) {
                Ok(ChunkRead::Part(length)) => return Ok(length),
                Ok(ChunkRead::Complete(length)) => {
                    self.shared.counters.net_in_frames.one();
                    self.wanted = READ_BYTES_AFTER_CHUNK;
                    return Ok(length);
                }
                Ok(ChunkRead::Ordinary) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let buffer = read_buffer.deframer().buffer();
        if buffer.capacity() - buffer.len() < READ_BYTES_SPARE {
            buffer.reserve(self.wanted);
        }
        let room = self.wanted.min(buffer.capacity() - buffer.len());
        let length = reads.read_buf(&mut buffer.limit(room)).await?;
        self.wanted =
            if length == room { (2 * self.wanted).min(READ_BYTES_MAX) } else { READ_BYTES_MIN };
        Ok(length)
    }

    /// Handles all frames that are whole.
    async fn take(&mut self, read_buffer: &mut ReadBuffer) -> Result<(), WireError> {
        while let Some(frame) = read_buffer.deframer().next_frame()? {
            self.frames.push(frame);
            read_buffer.next_frame_began();
        }
        let now = clock::now();
        self.shared.counters.net_in_frames.add(self.frames.len());
        let mut frames = std::mem::take(&mut self.frames);
        for run in frames.chunk_by(|a, b| is_for_the_data_plane(a) == is_for_the_data_plane(b)) {
            if is_for_the_data_plane(&run[0]) {
                self.settled().await;
                for some in run.chunks(FRAMES_IN_A_ROW) {
                    if self.shared.plane.receive(self.link, some, now)? {
                        self.give_way().await;
                    }
                }
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

    /// Lets the application take messages before there are so many that some are refused. Does not
    /// wait for it: an application that takes none costs its node a few looks a batch.
    async fn give_way(&self) {
        for _ in 0..YIELDS_MAX {
            yield_now().await;
            if !self.shared.plane.is_crowded() {
                return;
            }
        }
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
