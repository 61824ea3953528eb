//! The links that the driver holds, and the snapshot of them that the data plane reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::driver::Incoming;
use super::link::{self, Phase};
use super::shared::Shared;
use super::write;
use crate::forward::fib::Fib;
use crate::forward::outbound::{Class, Full, Outbound};
use crate::name::LinkId;
use crate::protocol::io::CloseReason;
use crate::route::RouteTable;
use crate::wire::frame::WireFrame;

/// One link as the driver holds it.
#[derive(Debug)]
struct Handle {
    outbound: Arc<Outbound>,
    phase: watch::Sender<Phase>,
}

/// All links, and the tasks that move their bytes.
#[derive(Debug, Default)]
pub(super) struct Links {
    handles: BTreeMap<LinkId, Handle>,
    tasks: JoinSet<()>,
    count: u64,
}

impl Links {
    /// Takes a connection in and starts to move its bytes.
    pub(super) fn open(
        &mut self,
        stream: TcpStream,
        shared: &Arc<Shared>,
        incoming: &mpsc::Sender<Incoming>,
    ) -> LinkId {
        self.count += 1;
        let link = LinkId(self.count);
        let outbound = Arc::new(Outbound::default());
        let (phase, watched) = watch::channel(Phase::Open);
        let (reads, writes) = stream.into_split();
        let span = tracing::info_span!(parent: &shared.span, "link", number = link.0);
        let writer = write::write(link, writes, outbound.clone(), shared.clone());
        self.tasks.spawn(writer.instrument(span.clone()));
        let reader = link::read(link, reads, watched, shared.clone(), incoming.clone());
        self.tasks.spawn(reader.instrument(span));
        self.handles.insert(link, Handle { outbound, phase });
        while self.tasks.try_join_next().is_some() {}
        link
    }

    /// Whether the link is one of these. What comes from a link that is closed already is not heard.
    pub(super) fn contains(&self, link: LinkId) -> bool {
        self.handles.contains_key(&link)
    }

    /// Queues a control frame; nothing happens for a link that is closed already.
    pub(super) fn send(&self, link: LinkId, frame: WireFrame) -> Result<(), Full> {
        match self.handles.get(&link) {
            Some(handle) => handle.outbound.push_frame(Class::Control, &frame),
            None => Ok(()),
        }
    }

    /// Closes a link as its reason wants it: after what is queued, or at once. Whether there was one.
    pub(super) fn close(&mut self, link: LinkId, reason: CloseReason) -> bool {
        match reason {
            CloseReason::Refused(_)
            | CloseReason::Hangup
            | CloseReason::Left
            | CloseReason::Leaving => self.end(link, Phase::Draining),
            CloseReason::Silent
            | CloseReason::AdmissionTimeout
            | CloseReason::Breach
            | CloseReason::Replaced => self.end(link, Phase::Dead),
        }
    }

    /// Forgets a link that is broken. Whether there was one.
    pub(super) fn forget(&mut self, link: LinkId) -> bool {
        self.end(link, Phase::Dead)
    }

    fn end(&mut self, link: LinkId, phase: Phase) -> bool {
        let Some(handle) = self.handles.remove(&link) else {
            return false;
        };
        handle.outbound.close();
        handle.phase.send_replace(phase);
        true
    }

    /// The snapshot.
    pub(super) fn fib(&self, routes: Arc<RouteTable>) -> Fib {
        let links =
            self.handles.iter().map(|(link, handle)| (*link, handle.outbound.clone())).collect();
        Fib { routes, links }
    }

    /// Whether every queue is written out.
    pub(super) fn is_idle(&self) -> bool {
        self.handles.values().all(|handle| handle.outbound.waiting_bytes() == 0)
    }

    /// Waits until the tasks of all links have ended.
    pub(super) async fn ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    /// Drops the tasks of all links, and with them the sockets.
    pub(super) async fn abort(&mut self) {
        self.handles.clear();
        self.tasks.shutdown().await;
    }
}
