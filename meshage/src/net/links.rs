//! The links that the driver holds, and the snapshot of them that the data plane reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::input::NetworkEvent;
use super::link::reader::{self, Phase};
use super::link::writer;
use super::shared::Shared;
use super::tasks;
use super::transport::Transport;
use crate::event::LinkEnd;
use crate::forward::fib::Fib;
use crate::forward::outbound::{Class, Full, Outbound};
use crate::name::LinkId;
use crate::protocol::io::{CloseReason, Input};
use crate::route::RouteTable;
use crate::wire::frame::WireFrame;

/// The driver's handle of one link.
#[derive(Debug)]
struct Handle {
    outbound: Arc<Outbound>,
    phase: watch::Sender<Phase>,
}

/// All links, with their reader and writer tasks.
#[derive(Debug, Default)]
pub(super) struct Links {
    handles: BTreeMap<LinkId, Handle>,
    tasks: JoinSet<()>,
    /// The number of links opened so far.
    opened: u64,
}

impl Links {
    /// Adds a connection and starts its reader and writer.
    pub(super) fn open(
        &mut self,
        transport: Transport,
        shared: &Arc<Shared>,
        events: &mpsc::Sender<NetworkEvent>,
    ) -> LinkId {
        self.opened += 1;
        let link = LinkId(self.opened);
        let outbound = Arc::new(Outbound::default());
        let (phase, watched) = watch::channel(Phase::Open);
        let (read_half, write_half) = transport.into_split();
        let span = tracing::info_span!(parent: &shared.span, "link", number = link.0);
        let writer = writer::run(link, write_half, outbound.clone(), shared.clone());
        let writer = observe("link writer", link, writer, shared.clone(), events.clone());
        self.tasks.spawn(writer.instrument(span.clone()));
        let reader = reader::run(link, read_half, watched, shared.clone(), events.clone());
        let reader = observe("link reader", link, reader, shared.clone(), events.clone());
        self.tasks.spawn(reader.instrument(span));
        self.handles.insert(link, Handle { outbound, phase });
        while self.tasks.try_join_next().is_some() {}
        link
    }

    /// Whether the link is open. Input from a link that is already closed is ignored.
    pub(super) fn contains(&self, link: LinkId) -> bool {
        self.handles.contains_key(&link)
    }

    /// Queues a control frame. Does nothing for a link that is already closed.
    pub(super) fn send(&self, link: LinkId, frame: WireFrame) -> Result<(), Full> {
        match self.handles.get(&link) {
            Some(handle) => handle.outbound.push_frame(Class::Control, &frame),
            None => Ok(()),
        }
    }

    /// Closes a link, after its queue is written or at once, depending on the reason. Returns
    /// whether the link was open.
    pub(super) fn close(&mut self, link: LinkId, reason: CloseReason) -> bool {
        match reason {
            CloseReason::Refused(_)
            | CloseReason::Hangup
            | CloseReason::Left
            | CloseReason::Leaving => self.end(link, Phase::Draining),
            CloseReason::Silent
            | CloseReason::AdmissionTimeout
            | CloseReason::Breach
            | CloseReason::Replaced => self.end(link, Phase::Closed),
        }
    }

    /// Removes a broken link. Returns whether it was open.
    pub(super) fn remove(&mut self, link: LinkId) -> bool {
        self.end(link, Phase::Closed)
    }

    fn end(&mut self, link: LinkId, phase: Phase) -> bool {
        let Some(handle) = self.handles.remove(&link) else {
            return false;
        };
        handle.outbound.close();
        handle.phase.send_replace(phase);
        true
    }

    /// The snapshot for the data plane.
    pub(super) fn fib(&self, routes: Arc<RouteTable>) -> Fib {
        let links =
            self.handles.iter().map(|(link, handle)| (*link, handle.outbound.clone())).collect();
        Fib { routes, links }
    }

    /// Whether all queues are empty.
    pub(super) fn is_idle(&self) -> bool {
        self.handles.values().all(|handle| handle.outbound.waiting_bytes() == 0)
    }

    /// Waits until the tasks of all links have ended.
    pub(super) async fn ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    /// Aborts the tasks of all links, which closes the sockets.
    pub(super) async fn abort(&mut self) {
        self.handles.clear();
        self.tasks.shutdown().await;
    }
}

/// Runs a task of a link. If it panics, the link is broken: the driver then ends the other task.
async fn observe(
    name: &'static str,
    link: LinkId,
    task: impl Future<Output = ()> + Send,
    shared: Arc<Shared>,
    events: mpsc::Sender<NetworkEvent>,
) {
    if let Err(panicked) = tasks::observe(name, &shared.counters, task).await {
        let down = Input::LinkDown { link, end: LinkEnd::Broken(panicked.to_string()) };
        // The send fails only while the node closes.
        let _ = events.send(NetworkEvent::Input(down)).await;
    }
}
