//! The sending half of a link: writes the queued frames with few system calls.
//!
//! On a slow path the frames wait in the link's queues and not in the kernel ([`super::pacing`]).

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use crate::forward::outbound::{Batch, DirectWrite, DirectlyWritten, Outbound};
use crate::name::LinkId;
use crate::net::clock;
use crate::net::counters::Counters;
use crate::net::link::pacing::{Allowance, Bound};
use crate::net::link::reader::Phase;
use crate::net::shared::Shared;
use crate::net::tasks::inject;
use crate::net::transport::WriteHalf;

/// The limit on the bytes taken from the queue at a time: what a loopback carries in 50 µs.
const WRITE_BYTES_MAX: usize = 256 << 10;
/// The limit on the buffers of one system call. Linux accepts 1,024; 64 large bodies are enough.
const BUFFERS_MAX: usize = 64;
/// The time after which a writer that had to wait for the socket asks the kernel for the state of
/// the path again, whatever is left of the allowance.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// What a writer needs to end in the order that the driver wants.
pub(in crate::net) struct End {
    /// The state of the link.
    pub(in crate::net) phase: watch::Receiver<Phase>,
    /// Completes when the reader of the link has ended.
    pub(in crate::net) reader_ended: oneshot::Receiver<()>,
}

/// Writes what is queued until the link is closed and everything is written, or until it breaks.
pub(in crate::net) async fn run(
    link: LinkId,
    transport: Arc<WriteHalf>,
    outbound: Arc<Outbound>,
    end: End,
    shared: Arc<Shared>,
) {
    let mut writer = Writer {
        bound: Bound::new(transport.is_loopback()),
        outbound: outbound.clone(),
        transport,
        counters: shared.counters.clone(),
        allowance: Arc::default(),
        asked_at: clock::now(),
    };
    outbound.set_chunk_bytes(writer.bound.chunk_bytes());
    let _attached = Attached::new(&outbound, writer.direct());
    let mut batch = Batch::default();
    let how = loop {
        let allowed = writer.allowed();
        if allowed > 0 {
            let bytes_max = WRITE_BYTES_MAX.min(allowed);
            poll_fn(|cx| outbound.poll_take(cx, bytes_max, &mut batch)).await;
            if batch.bytes == 0 && !batch.pending {
                break Shutdown::Write;
            }
            if 0 < batch.bytes && batch.bytes < bytes_max {
                // Other tasks that have something to send queue it first.
                yield_now().await;
                outbound.try_take(bytes_max, &mut batch);
            }
        } else {
            // The kernel holds enough. Messages wait here, and control frames do not.
            let urgent = poll_fn(|cx| outbound.poll_take_urgent(cx, &mut batch));
            if timeout(writer.bound.pause(), urgent).await.is_err() {
                continue;
            }
            if batch.bytes == 0 && !batch.pending {
                break Shutdown::Write;
            }
        }
        inject::point("link writer", shared.name.as_str());
        if std::mem::take(&mut batch.writable) {
            shared.plane.writable(link, clock::now());
        }
        shared.counters.net_out_frames.add(std::mem::take(&mut batch.frames));
        let written = writer.write_all(&mut batch, allowed == 0).await;
        outbound.set_held_bytes(0);
        if let Err(error) = written {
            tracing::debug!(%error, "write failed");
            break Shutdown::Both;
        }
    };
    if *end.phase.borrow() == Phase::Declined {
        // The other end closes first. Fails when the reader has ended, which has a time limit.
        let _ = end.reader_ended.await;
    }
    writer.transport.shutdown(how);
}

struct Writer {
    transport: Arc<WriteHalf>,
    outbound: Arc<Outbound>,
    counters: Arc<Counters>,
    allowance: Arc<Allowance>,
    bound: Bound,
    /// When the kernel was last asked for the state of the path.
    asked_at: Instant,
}

impl Writer {
    fn direct(&self) -> DirectWriter {
        DirectWriter {
            transport: self.transport.clone(),
            counters: self.counters.clone(),
            allowance: self.allowance.clone(),
        }
    }

    /// How many bytes may be written now. Asks the kernel once the last allowance is spent.
    fn allowed(&mut self) -> usize {
        let left = self.allowance.bytes();
        if left > 0 {
            return left;
        }
        match self.transport.path_info() {
            Some(path) => {
                self.asked_at = clock::now();
                self.allowance.grant(self.bound.allow(&path, self.asked_at));
                self.outbound.set_chunk_bytes(self.bound.chunk_bytes());
            }
            None => {
                self.allowance.lift();
                self.outbound.set_chunk_bytes(usize::MAX);
            }
        }
        self.allowance.bytes()
    }

    /// Writes a batch: all of it as soon as the socket accepts it if it is urgent, otherwise as the
    /// allowance permits.
    async fn write_all(&mut self, batch: &mut Batch, urgent: bool) -> io::Result<()> {
        while batch.bytes > 0 {
            let allowed = if urgent { usize::MAX } else { self.allowed() };
            if allowed == 0 {
                self.outbound.set_held_bytes(batch.bytes);
                sleep(self.bound.pause()).await;
                continue;
            }
            let mut slices = [IoSlice::new(&[]); BUFFERS_MAX];
            let count = batch.slices(&mut slices, allowed);
            self.counters.net_out_writes.one();
            let (written, waited) = self.transport.write_vectored(&slices[..count]).await?;
            self.sent(written.sent);
            batch.advance(written.accepted);
            if waited && clock::now().duration_since(self.asked_at) >= ASK_AGAIN_AFTER {
                // The path may have become slow.
                self.allowance.grant(0);
            }
        }
        while self.transport.is_pending() {
            self.counters.net_out_writes.one();
            let sent = self.transport.flush().await?;
            self.sent(sent);
        }
        Ok(())
    }

    fn sent(&self, bytes: usize) {
        self.allowance.spend(bytes);
        self.counters.net_out_bytes.add(bytes);
    }
}

/// Allows direct writes to the idle link until it is dropped. A writer task that is aborted drops
/// it, and so releases the transport.
struct Attached<'a>(&'a Outbound);

impl<'a> Attached<'a> {
    fn new(outbound: &'a Outbound, direct: DirectWriter) -> Self {
        outbound.attach(Arc::new(direct));
        Self(outbound)
    }
}

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        self.0.detach();
    }
}

/// Writes to an idle link from the task that sends.
struct DirectWriter {
    transport: Arc<WriteHalf>,
    counters: Arc<Counters>,
    allowance: Arc<Allowance>,
}

impl DirectWrite for DirectWriter {
    fn allowance(&self) -> usize {
        self.allowance.bytes()
    }

    fn write(&self, batch: &Batch) -> DirectlyWritten {
        let mut slices = [IoSlice::new(&[]); BUFFERS_MAX];
        let count = batch.slices(&mut slices, usize::MAX);
        self.counters.net_out_writes.one();
        self.counters.net_out_frames.add(batch.frames);
        // The link's writer handles what the transport does not accept, for whatever reason.
        let written = self.transport.try_write_vectored(&slices[..count]).unwrap_or_default();
        self.allowance.spend(written.sent);
        self.counters.net_out_bytes.add(written.sent);
        DirectlyWritten { bytes: written.accepted, pending: written.pending }
    }
}
