//! The links that the driver holds, and the snapshot of them that the data plane reads.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::clock;
use super::input::NetworkEvent;
use super::link::reader::{self, Phase};
use super::link::signs_of_life::{LOOK_INTERVAL, Reads, SignsOfLife};
use super::link::writer;
use super::shared::Shared;
use super::tasks;
use super::transport::{Transport, WriteHalf};
use crate::event::LinkEnd;
use crate::forward::fib::Fib;
use crate::forward::outbound::{Class, Full, Outbound};
use crate::name::LinkId;
use crate::protocol::io::{CloseReason, Input, Role};
use crate::route::RouteTable;
use crate::wire::frame::WireFrame;

/// The driver's handle of one link.
#[derive(Debug)]
struct Handle {
    outbound: Arc<Outbound>,
    phase: watch::Sender<Phase>,
    role: Role,
    /// The writer owns the transport.
    transport: Weak<WriteHalf>,
    signs_of_life: SignsOfLife,
}

/// All links, with their reader and writer tasks.
#[derive(Debug, Default)]
pub(super) struct Links {
    handles: BTreeMap<LinkId, Handle>,
    tasks: JoinSet<()>,
    /// The number of links opened so far.
    opened: u64,
    /// When to look next for signs of life of silent links.
    next_look: Option<Instant>,
}

impl Links {
    /// Adds a connection and starts its reader and writer.
    pub(super) fn open(
        &mut self,
        transport: Transport,
        role: Role,
        shared: &Arc<Shared>,
        events: &mpsc::Sender<NetworkEvent>,
    ) -> LinkId {
        self.opened += 1;
        let link = LinkId(self.opened);
        let outbound = Arc::new(Outbound::default());
        let (phase, watched) = watch::channel(Phase::Open);
        let (read_half, write_half) = transport.into_split();
        let span = tracing::info_span!(parent: &shared.span, "link", number = link.0);
        let write_half = Arc::new(write_half);
        let (reads, now) = (Reads::default(), clock::now());
        let handle = Handle {
            outbound: outbound.clone(),
            phase,
            role,
            transport: Arc::downgrade(&write_half),
            signs_of_life: SignsOfLife::new(reads.clone(), now),
        };
        self.next_look.get_or_insert(now + LOOK_INTERVAL);
        let (reader_alive, reader_ended) = oneshot::channel();
        let end = writer::End { phase: watched.clone(), reader_ended };
        let writer = writer::run(link, write_half, outbound, end, shared.clone());
        let writer = observe("link writer", link, writer, shared.clone(), events.clone());
        self.tasks.spawn(writer.instrument(span.clone()));
        let reader = reader::run(link, read_half, watched, reads, shared.clone(), events.clone());
        let reader = observe("link reader", link, reader, shared.clone(), events.clone());
        let reader = async move {
            reader.await;
            drop(reader_alive);
        };
        self.tasks.spawn(reader.instrument(span));
        self.handles.insert(link, handle);
        while self.tasks.try_join_next().is_some() {}
        link
    }

    /// When to call [`Links::look`] next.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.next_look
    }

    /// The links that nothing was read from for a while though the other end lives.
    pub(super) fn look(&mut self, now: Instant) -> Vec<LinkId> {
        if self.next_look.is_none_or(|at| now < at) {
            return Vec::new();
        }
        self.next_look = (!self.handles.is_empty()).then_some(now + LOOK_INTERVAL);
        let live = self.handles.iter_mut().filter_map(|(link, handle)| {
            let transport = handle.transport.upgrade()?;
            handle.signs_of_life.look(|| transport.path_info(), now).then_some(*link)
        });
        live.collect()
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
    ///
    /// The end of a TCP connection that closes first keeps its port in TIME_WAIT for a minute. That
    /// must not be the listening port, as long as the link was not in use.
    pub(super) fn close(&mut self, link: LinkId, reason: CloseReason) -> bool {
        let Some(handle) = self.handles.get(&link) else {
            return false;
        };
        let phase = match (reason, handle.role) {
            (CloseReason::Refused(_), Role::Listener) => Phase::Declined,
            (
                CloseReason::Refused(_)
                | CloseReason::Hangup
                | CloseReason::Left
                | CloseReason::Leaving,
                _,
            ) => Phase::Draining,
            (
                CloseReason::Silent
                | CloseReason::AdmissionTimeout
                | CloseReason::Breach
                | CloseReason::Replaced,
                Role::Listener,
            ) => Phase::Reset,
            (
                CloseReason::Silent
                | CloseReason::AdmissionTimeout
                | CloseReason::Breach
                | CloseReason::Replaced,
                Role::Dialler(_),
            ) => Phase::Closed,
        };
        self.end(link, phase)
    }

    /// Removes a broken link. Returns whether it was open.
    pub(super) fn remove(&mut self, link: LinkId) -> bool {
        self.end(link, Phase::Closed)
    }

    fn end(&mut self, link: LinkId, phase: Phase) -> bool {
        let Some(handle) = self.handles.remove(&link) else {
            return false;
        };
        // The writer reads the phase once its queue is closed and empty.
        handle.phase.send_replace(phase);
        handle.outbound.close();
        true
    }

    /// The snapshot for the data plane.
    pub(super) fn fib(&self, routes: Arc<RouteTable>) -> Fib {
        let links =
            self.handles.iter().map(|(link, handle)| (*link, handle.outbound.clone())).collect();
        Fib::new(routes, links)
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
