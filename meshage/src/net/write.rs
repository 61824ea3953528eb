//! The writing half of a link: what is queued leaves in few system calls.

use std::future::poll_fn;
use std::io::IoSlice;
use std::net::Shutdown;
use std::sync::Arc;

use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::yield_now;

use super::counters::Counters;
use super::shared::Shared;
use super::{clock, socket};
use crate::forward::outbound::{Batch, DirectWriter, Outbound};
use crate::name::LinkId;

/// How much a writer takes out of the queue at a time: what a loopback carries in 50 µs.
const WRITE_BYTES_MAX: usize = 256 << 10;
/// How many buffers go into one system call: Linux takes 1,024, and 64 large bodies are enough.
const BUFFERS_MAX: usize = 64;

/// Writes what is queued until the link is closed and everything is written, or it breaks.
pub(super) async fn write(
    link: LinkId,
    writes: OwnedWriteHalf,
    outbound: Arc<Outbound>,
    shared: Arc<Shared>,
) {
    let writes = Arc::new(writes);
    let direct = Socket { writes: writes.clone(), counters: shared.counters.clone() };
    let _attached = Attached::new(&outbound, direct);
    let mut batch = Batch::default();
    let stream = (*writes).as_ref();
    let how = loop {
        poll_fn(|cx| outbound.poll_take(cx, WRITE_BYTES_MAX, &mut batch)).await;
        if batch.bytes == 0 {
            break Shutdown::Write;
        }
        if batch.bytes < WRITE_BYTES_MAX {
            // Let the others who have something to send queue it first.
            yield_now().await;
            outbound.try_take(WRITE_BYTES_MAX, &mut batch);
        }
        if std::mem::take(&mut batch.writable) {
            shared.plane.writable(link, clock::now());
        }
        shared.counters.net_out_frames.add(std::mem::take(&mut batch.frames));
        if let Err(error) = write_all(stream, &mut batch, &shared.counters).await {
            tracing::debug!(%error, "write failed");
            break Shutdown::Both;
        }
    };
    socket::shut(stream, how);
}

/// While it lives, whoever pushes onto the idle link may write to it. A writer that is stopped in
/// the middle of things lets go of the socket too.
struct Attached<'a>(&'a Outbound);

impl<'a> Attached<'a> {
    fn new(outbound: &'a Outbound, direct: Socket) -> Self {
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
    stream: &tokio::net::TcpStream,
    batch: &mut Batch,
    counters: &Counters,
) -> std::io::Result<()> {
    while batch.bytes > 0 {
        let mut slices = [IoSlice::new(&[]); BUFFERS_MAX];
        let count = batch.slices(&mut slices);
        counters.net_out_writes.one();
        let written = socket::send_some(stream, &slices[..count]).await?;
        counters.net_out_bytes.add(written);
        batch.advance(written);
    }
    Ok(())
}

/// The socket, for whoever pushes onto an idle link.
struct Socket {
    writes: Arc<OwnedWriteHalf>,
    counters: Arc<Counters>,
}

impl DirectWriter for Socket {
    fn write(&self, batch: &Batch) -> usize {
        let mut slices = [IoSlice::new(&[]); BUFFERS_MAX];
        let count = batch.slices(&mut slices);
        self.counters.net_out_writes.one();
        self.counters.net_out_frames.add(batch.frames);
        // What it does not take, for whatever reason, is the link's writer's to deal with.
        let stream: &tokio::net::TcpStream = (*self.writes).as_ref();
        let written = socket::send(stream, &slices[..count]).unwrap_or(0);
        self.counters.net_out_bytes.add(written);
        written
    }
}
