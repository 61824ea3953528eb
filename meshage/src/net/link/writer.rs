//! The sending half of a link: writes the queued frames with few system calls.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use tokio::task::yield_now;

use crate::forward::outbound::{Batch, DirectWrite, Outbound};
use crate::name::LinkId;
use crate::net::clock;
use crate::net::counters::Counters;
use crate::net::link::reader::Phase;
use crate::net::shared::Shared;
use crate::net::transport::WriteHalf;

/// The limit on the bytes taken from the queue at a time: what a loopback carries in 50 µs.
const WRITE_BYTES_MAX: usize = 256 << 10;
/// The limit on the buffers of one system call. Linux accepts 1,024; 64 large bodies are enough.
const BUFFERS_MAX: usize = 64;

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
    transport: WriteHalf,
    outbound: Arc<Outbound>,
    end: End,
    shared: Arc<Shared>,
) {
    let transport = Arc::new(transport);
    let direct = DirectWriter { transport: transport.clone(), counters: shared.counters.clone() };
    let _attached = Attached::new(&outbound, direct);
    let mut batch = Batch::default();
    let how = loop {
        poll_fn(|cx| outbound.poll_take(cx, WRITE_BYTES_MAX, &mut batch)).await;
        if batch.bytes == 0 {
            break Shutdown::Write;
        }
        if batch.bytes < WRITE_BYTES_MAX {
            // Other tasks that have something to send queue it first.
            yield_now().await;
            outbound.try_take(WRITE_BYTES_MAX, &mut batch);
        }
        if std::mem::take(&mut batch.writable) {
            shared.plane.writable(link, clock::now());
        }
        shared.counters.net_out_frames.add(std::mem::take(&mut batch.frames));
        if let Err(error) = write_all(&transport, &mut batch, &shared.counters).await {
            tracing::debug!(%error, "write failed");
            break Shutdown::Both;
        }
    };
    if *end.phase.borrow() == Phase::Declined {
        // The other end closes first. Fails when the reader has ended, which has a time limit.
        let _ = end.reader_ended.await;
    }
    transport.shutdown(how);
}

/// Allows direct writes to the idle link while it lives. A writer task that is aborted thereby
/// releases the transport too.
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

async fn write_all(
    transport: &WriteHalf,
    batch: &mut Batch,
    counters: &Counters,
) -> io::Result<()> {
    while batch.bytes > 0 {
        let mut slices = [IoSlice::new(&[]); BUFFERS_MAX];
        let count = batch.slices(&mut slices);
        counters.net_out_writes.one();
        let written = transport.write_vectored(&slices[..count]).await?;
        counters.net_out_bytes.add(written);
        batch.advance(written);
    }
    Ok(())
}

/// Writes to an idle link from the task that sends.
struct DirectWriter {
    transport: Arc<WriteHalf>,
    counters: Arc<Counters>,
}

impl DirectWrite for DirectWriter {
    fn write(&self, batch: &Batch) -> usize {
        let mut slices = [IoSlice::new(&[]); BUFFERS_MAX];
        let count = batch.slices(&mut slices);
        self.counters.net_out_writes.one();
        self.counters.net_out_frames.add(batch.frames);
        // The link's writer handles what the transport does not accept, for whatever reason.
        let written = self.transport.try_write_vectored(&slices[..count]).unwrap_or(0);
        self.counters.net_out_bytes.add(written);
        written
    }
}
