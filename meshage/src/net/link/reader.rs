//! The receiving half of a link ([`super::writer`] is the sending half).
//!
//! ```text
//!  transport ──► reader ──┬─ data, acknowledgements: the data plane, a batch at a time
//!                         └─ control frames, link activity: the driver's bounded queue
//! ```
//!
//! A reader never waits for another link. It waits for the driver in two cases. Before it passes on
//! control frames, it waits for room in the driver's queue: if a peer sends too many of them, they
//! fill the socket's buffer and not the node's memory. Before the first message after control
//! frames, it waits until the driver has applied them, so that a reply to the message has a route.
//! While the inbox is more than half full, the reader yields to the application, but does not wait
//! for it. After each slice of work the other tasks run, and a link that causes too much work that
//! leads to nothing is not read for a while ([`super::share`]).

use std::io::{self, IoSliceMut};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::BufMut as _;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::yield_now;
use tokio::time::{sleep_until, timeout};

use crate::event::LinkEnd;
use crate::forward::read_buffer::{ChunkRead, ReadBuffer};
use crate::name::LinkId;
use crate::net::clock;
use crate::net::input::{CONTROL_FRAMES_MAX, NetworkEvent};
use crate::net::link::share::{self, Share};
use crate::net::link::signs_of_life::Reads;
use crate::net::shared::Shared;
use crate::net::tasks::inject;
use crate::net::transport::{self, ReadHalf};
use crate::protocol::io::Input;
use crate::wire::WireError;
use crate::wire::control::ControlFrame;
use crate::wire::deframe::RawFrame;
use crate::wire::frame::FrameKind;

/// The size of a read at first, and the size that it grows to on a busy link.
const READ_BYTES_MIN: usize = 16 << 10;
const READ_BYTES_MAX: usize = 256 << 10;
/// The size of a read after a chunk that was read in place. The next chunk follows, and the part of
/// it that is read before its header is decoded has to be copied.
const READ_BYTES_AFTER_CHUNK: usize = 4 << 10;
/// A buffer with less room than this is replaced before the next read.
const READ_BYTES_SPARE: usize = 2 << 10;
/// The limit on consecutive yields while the inbox is more than half full.
const YIELDS_MAX: usize = 16;
/// The interval at which the control plane is notified that bytes arrive.
const ACTIVITY_INTERVAL: Duration = Duration::from_millis(250);
/// The same for keep-alives: how late they are decides how long the link may be silent.
const KEEP_ALIVE_REPORT_INTERVAL: Duration = Duration::from_millis(50);
/// The time limit for an orderly close: the rest is written and the other end closes.
const LINGER: Duration = Duration::from_secs(1);

/// The state of a link, as the driver sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) enum Phase {
    /// In use.
    Open,
    /// The queued frames are written; arriving bytes are discarded.
    Draining,
    /// As [`Phase::Draining`], but the other end closes first. If it does not, the link is reset.
    Declined,
    /// Reset at once.
    Reset,
    /// Closed at once.
    Closed,
}

/// The reason why a reader stopped.
enum StopReason {
    /// The driver closes the link.
    Closed(Phase),
    /// The link ended without this node closing it.
    Ended(LinkEnd),
}

/// Reads until the link ends.
pub(in crate::net) async fn run(
    link: LinkId,
    mut transport: ReadHalf,
    mut phase: watch::Receiver<Phase>,
    reads: Reads,
    shared: Arc<Shared>,
    events: mpsc::Sender<NetworkEvent>,
) {
    let mut reader = Reader {
        link,
        reads,
        shared,
        events,
        frames: Vec::new(),
        read_size: READ_BYTES_MIN,
        activity_reported: None,
        control_pending: false,
        control_permits: Arc::new(Semaphore::new(CONTROL_FRAMES_MAX)),
        share: Share::new(clock::now()),
    };
    let stop = tokio::select! {
        biased;
        phase = closed(&mut phase) => StopReason::Closed(phase),
        end = reader.read_all(&mut transport) => StopReason::Ended(end),
    };
    let end = match stop {
        StopReason::Closed(Phase::Draining) => {
            // A socket that is closed with unread bytes makes the kernel discard the bytes that it
            // has not sent yet. So read to the end of the stream, within a time limit.
            let _ = timeout(LINGER, discard(&mut transport)).await;
            None
        }
        StopReason::Closed(Phase::Declined) => {
            if timeout(LINGER, discard(&mut transport)).await.is_err() {
                transport.reset_when_dropped();
            }
            None
        }
        StopReason::Closed(Phase::Reset) => {
            transport.reset_when_dropped();
            None
        }
        StopReason::Closed(Phase::Open | Phase::Closed) => None,
        StopReason::Ended(end) => Some(end),
    };
    if let Some(end) = end {
        reader.notify(Input::LinkDown { link, end }).await;
    }
    // The writer may be waiting for the socket.
    transport.shutdown(Shutdown::Both);
}

/// Waits until the link is no longer in use.
async fn closed(phase: &mut watch::Receiver<Phase>) -> Phase {
    match phase.wait_for(|phase| *phase != Phase::Open).await {
        Ok(phase) => *phase,
        Err(_) => Phase::Closed,
    }
}

async fn discard(transport: &mut ReadHalf) {
    let mut buffer = vec![0; READ_BYTES_MIN];
    while transport.discard(&mut buffer).await {}
}

struct Reader {
    link: LinkId,
    reads: Reads,
    shared: Arc<Shared>,
    events: mpsc::Sender<NetworkEvent>,
    frames: Vec<RawFrame>,
    /// The size of the next read.
    read_size: usize,
    /// When the control plane was last notified that bytes arrive.
    activity_reported: Option<Instant>,
    /// Whether control frames were given to the driver that may not have taken effect yet.
    control_pending: bool,
    /// One for each control frame that may be given to the driver before others took effect.
    control_permits: Arc<Semaphore>,
    share: Share,
}

impl Reader {
    /// Reads until the link breaks, and returns the reason.
    async fn read_all(&mut self, transport: &mut ReadHalf) -> LinkEnd {
        let mut read_buffer = ReadBuffer::default();
        loop {
            let length = match self.read(transport, &mut read_buffer).await {
                Ok(None) => return LinkEnd::Closed,
                Ok(Some(length)) => length,
                Err(error) => return self.failed(&error),
            };
            self.reads.one();
            self.shared.counters.net_in_bytes.add(transport.take_arrived(length));
            while let Some(notice) = transport.next_notice() {
                let event = NetworkEvent::Keys { link: self.link, notice };
                // Fails only when the driver has ended.
                let _ = self.events.send(event).await;
            }
            if let Err(breach) = self.process(&mut read_buffer).await {
                self.shared.counters.net_breaches.one();
                tracing::warn!(%breach, "the peer broke the protocol");
                return LinkEnd::Breach(breach.0);
            }
            if !self.control_pending {
                read_buffer.start_in_place(&self.shared.plane, self.link, clock::now());
            }
        }
    }

    /// The end of a link that broke, or that the other end broke.
    fn failed(&self, error: &io::Error) -> LinkEnd {
        let Some(error) = transport::auth_error(error) else {
            return LinkEnd::Broken(error.to_string());
        };
        tracing::warn!(%error, "the link is closed");
        LinkEnd::Auth(error.clone())
    }

    /// Waits for bytes, reads them and returns their number; `None` at the end. 0 if only a part of
    /// a record has arrived.
    async fn read(
        &mut self,
        transport: &mut ReadHalf,
        read_buffer: &mut ReadBuffer,
    ) -> io::Result<Option<usize>> {
        while read_buffer.missing().is_some() {
            transport.readable().await?;
            let recv = |buffers: &mut [IoSliceMut<'_>]| transport.try_read_vectored(buffers);
            match read_buffer.read_chunk(&self.shared.plane, self.link, clock::now, recv) {
                Ok(ChunkRead::Part(0)) => return Ok(None),
                Ok(ChunkRead::Part(length)) => {
                    self.yield_to_others(length / share::BODY_BYTES_PER_COST).await;
                    return Ok(Some(length));
                }
                Ok(ChunkRead::Complete(length)) => {
                    self.yield_to_others(length / share::BODY_BYTES_PER_COST).await;
                    self.shared.counters.net_in_frames.one();
                    self.read_size = READ_BYTES_AFTER_CHUNK;
                    return Ok(Some(length));
                }
                Ok(ChunkRead::Ordinary) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if transport.has_arrived() {
                        return Ok(Some(0));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let buffer = read_buffer.deframer().buffer();
        if buffer.capacity() - buffer.len() < READ_BYTES_SPARE {
            buffer.reserve(self.read_size);
        }
        let room = self.read_size.min(buffer.capacity() - buffer.len());
        let Some(length) = transport.read_buf(&mut buffer.limit(room)).await? else {
            return Ok(None);
        };
        self.read_size =
            if length == room { (2 * self.read_size).min(READ_BYTES_MAX) } else { READ_BYTES_MIN };
        Ok(Some(length))
    }

    /// Handles all complete frames.
    async fn process(&mut self, read_buffer: &mut ReadBuffer) -> Result<(), WireError> {
        while let Some(frame) = read_buffer.deframer().next_frame()? {
            self.frames.push(frame);
            read_buffer.next_frame_began();
        }
        inject::point("link reader", self.shared.name.as_str());
        let now = clock::now();
        self.shared.counters.net_in_frames.add(self.frames.len());
        let mut frames = std::mem::take(&mut self.frames);
        for run in frames.chunk_by(|a, b| is_data_plane(a) == is_data_plane(b)) {
            if is_data_plane(&run[0]) {
                self.await_routes(run).await;
                let mut rest = run;
                while !rest.is_empty() {
                    let (slice, later, cost) = share::split(rest, self.share.slice_cost());
                    rest = later;
                    let received = self.shared.plane.receive(self.link, slice, now)?;
                    self.share.set_crowded(received.crowded);
                    if received.crowded {
                        self.yield_to_application().await;
                    }
                    self.yield_to_others(cost).await;
                    self.pause_if_wasteful(received.futile, now).await;
                }
            } else {
                self.pass_to_driver(run, now).await?;
            }
        }
        let keep_alive = frames.iter().any(|frame| frame.kind == Some(FrameKind::KeepAlive));
        let interval = if keep_alive { KEEP_ALIVE_REPORT_INTERVAL } else { ACTIVITY_INTERVAL };
        if self.activity_reported.is_none_or(|at| now.duration_since(at) >= interval) {
            self.activity_reported = Some(now);
            self.notify(Input::BytesReceived { link: self.link }).await;
        }
        frames.clear();
        self.frames = frames;
        Ok(())
    }

    /// Passes control frames to the driver, few at a time.
    async fn pass_to_driver(&mut self, frames: &[RawFrame], now: Instant) -> Result<(), WireError> {
        for frame in frames {
            let cost = share::cost_of(frame);
            self.yield_to_others(cost).await;
            match frame.kind {
                Some(FrameKind::Control) => {
                    let frame = ControlFrame::decode(&frame.payload)?;
                    // Fails only if the semaphore is closed, which it never is.
                    let Ok(permit) = self.control_permits.clone().acquire_owned().await else {
                        continue;
                    };
                    let event = NetworkEvent::Control(self.link, frame, permit);
                    // Fails only when the driver has ended.
                    let _ = self.events.send(event).await;
                    self.control_pending = true;
                    self.pause_if_wasteful(cost as u32, now).await;
                }
                Some(FrameKind::Data | FrameKind::Ack | FrameKind::KeepAlive) => {}
                None => self.shared.counters.net_in_frames_unknown.one(),
            }
        }
        Ok(())
    }

    /// Lets the application take messages before the inbox is so full that it refuses some. Does
    /// not wait for the application: one that takes none costs the node a few checks per batch.
    async fn yield_to_application(&self) {
        for _ in 0..YIELDS_MAX {
            yield_now().await;
            if !self.shared.plane.is_crowded() {
                return;
            }
        }
    }

    /// Lets the other tasks run after a slice of work, so that none waits long for this link.
    async fn yield_to_others(&mut self, cost: usize) {
        if self.share.spend(cost) {
            yield_now().await;
        }
    }

    /// Stops reading for a while if the link caused too much work that leads to nothing.
    async fn pause_if_wasteful(&mut self, futile: u32, now: Instant) {
        if let Some(until) = self.share.waste(futile, now) {
            self.shared.counters.net_links_paused.one();
            sleep_until(until.into()).await;
        }
    }

    /// Waits until the control frames received before have taken effect, so that a reply to a
    /// message finds the route that was announced before it on the same link. The announcement may
    /// also have arrived on another link, and the routes may not reflect it yet. Messages whose
    /// source and recipients have routes do not wait: a flood of announcements must not delay them.
    async fn await_routes(&mut self, frames: &[RawFrame]) {
        // The permits come back after the routes are marked as pending.
        let applied = self.control_permits.available_permits() == CONTROL_FRAMES_MAX;
        let pending = self.shared.routes_pending.load(Ordering::Acquire);
        self.control_pending &= !applied || pending;
        let plane = &self.shared.plane;
        if (self.control_pending && !plane.knows_routes(frames))
            || (pending && !plane.knows_sources(frames))
        {
            self.control_pending = false;
            let (done, completed) = oneshot::channel();
            let _ = self.events.send(NetworkEvent::Barrier(done)).await;
            // Fails only when the driver has ended.
            let _ = completed.await;
        }
    }

    async fn notify(&self, input: Input) {
        // Fails only when the driver has ended.
        let _ = self.events.send(NetworkEvent::Input(input)).await;
    }
}

fn is_data_plane(frame: &RawFrame) -> bool {
    match frame.kind {
        Some(FrameKind::Data | FrameKind::Ack) => true,
        Some(FrameKind::Control | FrameKind::KeepAlive) | None => false,
    }
}
