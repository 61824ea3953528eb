//! The links that the driver holds, and the snapshot of them that the data plane reads.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::clock;
use super::handshake::SealedWith;
use super::input::NetworkEvent;
use super::link::reader::{self, Phase};
use super::link::signs_of_life::{LOOK_INTERVAL, Reads, SignsOfLife};
use super::link::writer;
use super::shared::Shared;
use super::tasks;
use super::transport::{KeyNotice, Transport, WriteHalf};
use crate::event::LinkEnd;
use crate::forward::fib::Fib;
use crate::forward::outbound::{Class, Full, Outbound};
use crate::name::LinkId;
use crate::protocol::io::{CloseReason, Input, Role};
use crate::route::RouteTable;
use crate::secure::rotation::{Rotation, Step};
use crate::secure::{AuthError, KeyRing, Refusal};
use crate::wire::frame::WireFrame;

/// The driver's handle of one link.
#[derive(Debug)]
struct Handle {
    outbound: Arc<Outbound>,
    phase: watch::Sender<Phase>,
    role: Role,
    /// The address of the other end; `None` if the connection had ended before.
    host: Option<IpAddr>,
    /// The address of this host that the link uses, likewise.
    local_host: Option<IpAddr>,
    /// The writer owns the transport.
    transport: Weak<WriteHalf>,
    signs_of_life: SignsOfLife,
    /// The keys of a sealed link.
    rotation: Option<Rotation>,
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
    /// When the keys of a link have to be changed next.
    next_rotation: Option<Instant>,
}

/// A link that this node closed because its key was removed.
pub(super) type Outdated = (LinkId, AuthError);

impl Links {
    /// Adds a connection and starts its reader and writer.
    pub(super) fn open(
        &mut self,
        transport: Transport,
        role: Role,
        sealed: Option<&SealedWith>,
        shared: &Arc<Shared>,
        events: &mpsc::Sender<NetworkEvent>,
    ) -> LinkId {
        self.opened += 1;
        let link = LinkId(self.opened);
        let outbound = Arc::new(Outbound::default());
        let (host, local_host) = (transport.peer_host().ok(), transport.local_host().ok());
        let (phase, watched) = watch::channel(Phase::Open);
        let (read_half, write_half) = transport.into_split();
        let span = tracing::info_span!(parent: &shared.span, "link", number = link.0);
        let write_half = Arc::new(write_half);
        let (reads, now) = (Reads::default(), clock::now());
        let handle = Handle {
            outbound: outbound.clone(),
            phase,
            role,
            host,
            local_host,
            transport: Arc::downgrade(&write_half),
            signs_of_life: SignsOfLife::new(reads.clone(), now),
            rotation: sealed.map(|sealed| {
                let (announced, key) = (sealed.announced.clone(), sealed.key);
                Rotation::new(announced, sealed.peer.ring.clone(), key, key, now)
            }),
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

    /// The address of the other end of a link.
    pub(super) fn host(&self, link: LinkId) -> Option<IpAddr> {
        self.handles.get(&link)?.host
    }

    /// The links that use one of these addresses of this host.
    pub(super) fn at_addresses(&self, addresses: &[IpAddr]) -> Vec<LinkId> {
        let uses = |handle: &Handle| {
            handle.local_host.is_some_and(|host| addresses.contains(&host.to_canonical()))
        };
        let links = self.handles.iter().filter(|(_, handle)| uses(handle));
        links.map(|(&link, _)| link).collect()
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

    /// A link is silent: from now on, it is looked at before the router decides about it.
    pub(super) fn suspect(&mut self, link: LinkId, now: Instant) {
        self.look_at_link(link, now);
        if let Some(handle) = self.handles.get_mut(&link) {
            handle.signs_of_life.suspect();
        }
    }

    /// The links among the suspected ones whose other ends live.
    pub(super) fn look_at_suspects(&mut self, now: Instant) -> Vec<LinkId> {
        let suspects = self.handles.iter().filter(|(_, handle)| handle.signs_of_life.is_suspect());
        let suspects: Vec<LinkId> = suspects.map(|(link, _)| *link).collect();
        suspects.into_iter().filter(|link| self.look_at_link(*link, now)).collect()
    }

    fn look_at_link(&mut self, link: LinkId, now: Instant) -> bool {
        let Some(handle) = self.handles.get_mut(&link) else { return false };
        let Some(transport) = handle.transport.upgrade() else { return false };
        handle.signs_of_life.look(|| transport.path_info(), now)
    }

    /// Records what the other end of a link has said about its keys.
    pub(super) fn note_keys(&mut self, link: LinkId, notice: KeyNotice) {
        let rotation = self.handles.get_mut(&link).and_then(|handle| handle.rotation.as_mut());
        match (rotation, notice) {
            (Some(rotation), KeyNotice::Ring(ids)) => rotation.set_peer_ring(ids),
            (Some(rotation), KeyNotice::Switched(id)) => rotation.set_receiving(id),
            (None, _) => {}
        }
    }

    /// When to call [`Links::rotate_keys`] next.
    pub(super) fn next_rotation(&self) -> Option<Instant> {
        self.next_rotation
    }

    /// Moves all links to the keys of this ring. Closes those that were too long under a key that
    /// it does not have.
    pub(super) fn rotate_keys(&mut self, ring: &KeyRing, now: Instant) -> Vec<Outdated> {
        let links: Vec<LinkId> = self.handles.keys().copied().collect();
        let outdated =
            links.into_iter().filter_map(|link| self.rotate_keys_of(link, ring, now)).collect();
        let rotations = self.handles.values().filter_map(|handle| handle.rotation.as_ref());
        self.next_rotation = rotations.map(Rotation::next_step_at).min();
        outdated
    }

    /// Moves a link to the keys of this ring, as far as the other end has them.
    pub(super) fn rotate_keys_of(
        &mut self,
        link: LinkId,
        ring: &KeyRing,
        now: Instant,
    ) -> Option<Outdated> {
        let handle = self.handles.get_mut(&link)?;
        let rotation = handle.rotation.as_mut()?;
        let steps = rotation.steps(ring, now);
        let next = rotation.next_step_at();
        self.next_rotation = Some(self.next_rotation.map_or(next, |at| at.min(next)));
        if steps.is_empty() {
            return None;
        }
        // Without a writer, the link has just ended.
        let transport = handle.transport.upgrade()?;
        let mut outdated = None;
        for step in steps {
            match step {
                Step::Announce => transport.announce_ring(ring),
                Step::Switch(key) => transport.switch(&key),
                Step::Rekey => transport.rekey(),
                Step::Close(error) => {
                    transport.refuse(Refusal::KeyRemoved);
                    outdated = Some((link, error));
                }
            }
        }
        handle.outbound.send_pending();
        if outdated.is_some() {
            self.end(link, Phase::Draining);
        }
        outdated
    }

    /// The number of sealed links, and of those whose directions both are under the primary key.
    pub(super) fn count_sealed(&self, ring: &KeyRing) -> (usize, usize) {
        let primary = ring.primary().id();
        let rotations = self.handles.values().filter_map(|handle| handle.rotation.as_ref());
        rotations.fold((0, 0), |(sealed, under), rotation| {
            (sealed + 1, under + usize::from(rotation.is_under(primary)))
        })
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
                CloseReason::Silent(_)
                | CloseReason::AdmissionTimeout
                | CloseReason::Breach
                | CloseReason::Replaced,
                Role::Listener,
            ) => Phase::Reset,
            (
                CloseReason::Silent(_)
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
