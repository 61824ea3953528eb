//! The control task: the only place that gives the router its inputs and carries out its outputs.
//!
//! ```text
//!  requests (application) ───────┐
//!  network events (readers, UDP, ├──► Router ──► outputs ──► links, dials, datagrams
//!   dials, handshakes) ──────────┤                      └──► snapshot to the data plane, then
//!  one timer ────────────────────┘                           events and replies
//! ```
//!
//! The task does no I/O and waits for nothing but its inputs. Events and replies are published only
//! after the snapshot that they refer to is installed. An application that is notified that a node
//! joined can therefore send to that node.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep_until, timeout, timeout_at};
use tracing::Instrument as _;

use super::events::Publication;
use super::input::{NETWORK_EVENTS_MAX, NetworkEvent, Request};
use super::links::{Links, Outdated};
use super::network_watch::NetworkWatch;
use super::shared::Shared;
use super::tasks::{self, inject};
use super::transport::Listener;
use super::udp::Udp;
use super::{clock, dial, listen, udp};
use crate::event::{Event, LinkEnd};
use crate::forward::transit::TRANSIT_TIMEOUT;
use crate::name::LinkId;
use crate::protocol::io::{CloseReason, Command, Input, Output, PeerProof, Reply, RequestId};
use crate::protocol::wall_clock::WallClock;
use crate::route::RouteTable;
use crate::wire::control::ControlFrame;
use crate::wire::frame::WireFrame;

/// The limit on the inputs that are taken before their outputs are carried out. Then the other tasks
/// run, so that messages do not wait for a flood of control frames.
const INPUTS_PER_ROUND_MAX: usize = 16;
/// The time limit of closing a node, all steps included.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The part of it reserved for the orderly end of the links. A healthy peer closes its end within a
/// round trip; the node does not wait for a peer that has sent nothing for this long.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(250);
/// The interval at which a closing node checks whether anything is still outstanding.
const FLUSH_INTERVAL: Duration = Duration::from_millis(2);

/// A clock that differs this much from the time that has passed was set.
const CLOCK_STEP_MIN: Duration = Duration::from_millis(500);

/// The state of the control task.
pub(super) struct Driver {
    /// The first field, so that it is dropped first. A driver that never ran has it, too.
    _finish: FinishOnDrop,
    shared: Arc<Shared>,
    links: Links,
    events: mpsc::Receiver<NetworkEvent>,
    event_sender: mpsc::Sender<NetworkEvent>,
    requests: mpsc::UnboundedReceiver<Request>,
    replies: HashMap<RequestId, oneshot::Sender<Reply>>,
    /// Readers that wait until the inputs of this round have taken effect.
    barriers: Vec<oneshot::Sender<()>>,
    /// Returned to the readers at the end of the round.
    permits: Vec<OwnedSemaphorePermit>,
    udp: Udp,
    /// Taken by the task that watches.
    network_watch: Option<NetworkWatch>,
    /// The listener, the receivers of datagrams, the data plane's deadlines, and the dials.
    tasks: JoinSet<()>,
    routes: Arc<RouteTable>,
    /// The time of day that the router reckons with.
    wall_clock: WallClock,
    /// Whether links or routes changed since the last snapshot.
    fib_outdated: bool,
    closing: bool,
}

/// Wakes every waiter of the node when the control task ends, for whatever reason.
struct FinishOnDrop(Arc<Shared>);

impl Drop for FinishOnDrop {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// The reason why the control task wakes up.
enum Wakeup {
    Request(Request),
    Network(NetworkEvent),
    Timer,
}

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        udp: Udp,
        network_watch: NetworkWatch,
        requests: mpsc::UnboundedReceiver<Request>,
    ) -> Self {
        let (event_sender, events) = mpsc::channel(NETWORK_EVENTS_MAX);
        let routes = shared.router().routes();
        Self {
            _finish: FinishOnDrop(shared.clone()),
            shared,
            links: Links::default(),
            events,
            event_sender,
            requests,
            replies: HashMap::new(),
            barriers: Vec::new(),
            permits: Vec::new(),
            udp,
            network_watch: Some(network_watch),
            tasks: JoinSet::new(),
            routes,
            wall_clock: WallClock::new(clock::now(), clock::unix_millis()),
            fib_outdated: true,
            closing: false,
        }
    }

    /// Runs the node until it is closed.
    pub(super) async fn run(mut self, listener: Listener) {
        let (shared, events) = (self.shared.clone(), self.event_sender.clone());
        self.spawn(listen::run(listener, shared.clone(), events.clone()));
        for socket in self.udp.receivers() {
            self.spawn(udp::run(socket, shared.clone(), events.clone()));
        }
        if let Some(network_watch) = self.network_watch.take() {
            self.spawn(network_watch.run(shared.clone(), events));
        }
        self.spawn(handle_deadlines(shared));
        self.carry_out_outputs();
        self.run_until_closing().await;
        self.replies.clear();
        let close_deadline = clock::now() + CLOSE_TIMEOUT;
        let was_idle = self.is_idle();
        // While the last sends end, the node does everything else as before.
        let sends_timeout = CLOSE_TIMEOUT - LEAVE_TIMEOUT - TRANSIT_TIMEOUT;
        let _ =
            timeout(sends_timeout, self.run_until(|driver| driver.shared.plane.is_idle())).await;
        // Then it forwards acknowledgements only, until none is expected any more.
        self.shared.plane.stop_forwarding();
        let is_flushed = |driver: &Self| {
            driver.is_idle() && !driver.shared.plane.expects_acknowledgements(clock::now())
        };
        let transit_deadline = close_deadline - LEAVE_TIMEOUT;
        let flushed = timeout_at(transit_deadline.into(), self.run_until(is_flushed)).await;
        if flushed.is_err() {
            tracing::debug!("closing with sends, frames or acknowledgements outstanding");
        }
        let left = close_deadline.saturating_duration_since(clock::now());
        self.leave(if was_idle { LEAVE_TIMEOUT } else { left.max(LEAVE_TIMEOUT) }).await;
    }

    /// Whether nothing is outstanding.
    fn is_idle(&self) -> bool {
        self.shared.plane.is_idle() && self.links.is_idle()
    }

    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task.instrument(self.shared.span.clone()));
    }

    async fn run_until_closing(&mut self) {
        let sleep = sleep_until(clock::now().into());
        tokio::pin!(sleep);
        while !self.closing {
            self.run_round(sleep.as_mut()).await;
        }
    }

    /// Runs the node until the condition holds, which is checked every [`FLUSH_INTERVAL`].
    async fn run_until(&mut self, holds: impl Fn(&Self) -> bool) {
        let sleep = sleep_until(clock::now().into());
        tokio::pin!(sleep);
        while !holds(self) {
            let _ = timeout(FLUSH_INTERVAL, self.run_round(sleep.as_mut())).await;
        }
    }

    /// Notifies the peers that the node leaves, and waits for the links to close, within a limit.
    async fn leave(&mut self, limit: Duration) {
        self.tasks.shutdown().await;
        // The plane is closed before the links, because the end of a link proves nothing about the
        // sends that are still outstanding.
        self.shared.plane.close();
        self.shared.router().handle(Input::Command(Command::Close), clock::now());
        self.carry_out_outputs();
        // The links of peers that do not close their ends in time are aborted.
        let _ = timeout(limit, self.links.ended()).await;
        self.links.abort().await;
    }

    /// Waits for an input, then handles all inputs that are there, up to a limit. Cancel safe:
    /// dropped while it waits, it loses nothing.
    async fn run_round(&mut self, mut sleep: std::pin::Pin<&mut Sleep>) {
        let deadline = self.deadline();
        if let Some(deadline) = deadline
            && sleep.deadline() != deadline.into()
        {
            sleep.as_mut().reset(deadline.into());
        }
        let mut next = tokio::select! {
            Some(request) = self.requests.recv() => Some(Wakeup::Request(request)),
            Some(event) = self.events.recv() => Some(Wakeup::Network(event)),
            () = sleep, if deadline.is_some() => Some(Wakeup::Timer),
        };
        let mut handled = 0;
        while let Some(wakeup) = next {
            match wakeup {
                Wakeup::Request(request) => self.handle_request(request),
                Wakeup::Network(event) => self.handle_network_event(event),
                Wakeup::Timer => {}
            }
            handled += 1;
            next = if handled >= INPUTS_PER_ROUND_MAX { None } else { self.try_next() };
        }
        let now = clock::now();
        for link in self.links.look(now) {
            self.handle(Input::BytesReceived { link });
        }
        self.watch_wall_clock(now);
        if self.links.next_rotation().is_some_and(|at| at <= now) {
            self.rotate_keys();
        }
        if self.router_deadline().is_some_and(|deadline| deadline <= now) {
            for link in self.links.look_at_suspects(now) {
                self.handle(Input::BytesReceived { link });
            }
            self.shared.router().handle_timeout(now);
        }
        // If the routes are not computed yet, the router wakes this task in a few milliseconds.
        let settled = self.barriers.is_empty() || self.shared.router().settle_routes(now);
        // Before the announcements are forwarded, so that a reader that receives a message which
        // follows one of them on its way knows of it.
        let pending = self.shared.router().has_pending_routes();
        self.shared.routes_pending.store(pending, Ordering::Release);
        self.carry_out_outputs();
        self.permits.clear();
        if settled {
            for barrier in self.barriers.drain(..) {
                // Fails only if the reader was closed meanwhile.
                let _ = barrier.send(());
            }
        }
        while self.tasks.try_join_next().is_some() {}
    }

    /// Informs the router if the clock of the machine was set. A node that has links wakes up each
    /// second, so it notices this in time to close those of tickets that have ended.
    fn watch_wall_clock(&mut self, now: Instant) {
        let unix = clock::unix_millis();
        if self.wall_clock.unix(now).0.abs_diff(unix.0) > CLOCK_STEP_MIN.as_millis() as u64 {
            self.wall_clock = WallClock::new(now, unix);
            self.handle(Input::WallClock(unix));
        }
    }

    /// When the task has to wake up next, even if there is no input.
    fn deadline(&self) -> Option<Instant> {
        let others = self.links.next_look().into_iter().chain(self.links.next_rotation());
        self.router_deadline().into_iter().chain(others).min()
    }

    /// The next deadline of the router.
    fn router_deadline(&self) -> Option<Instant> {
        self.shared.router().poll_timeout().map(|(deadline, _)| deadline)
    }

    /// The next input, if one is there.
    fn try_next(&mut self) -> Option<Wakeup> {
        if let Ok(request) = self.requests.try_recv() {
            return Some(Wakeup::Request(request));
        }
        self.events.try_recv().ok().map(Wakeup::Network)
    }

    fn handle_request(&mut self, request: Request) {
        let command = match request {
            Request::Command(command) => command,
            // Dropping the sender of the reply reports to the caller that the node is closed.
            Request::CommandWithReply { .. } if self.closing => return,
            Request::CommandWithReply { request, command, reply } => {
                self.replies.insert(request, reply);
                command
            }
            Request::Close => {
                inject::point("control", self.shared.name.as_str());
                self.closing = true;
                return;
            }
        };
        if let Command::CancelDial { request } = &command {
            self.replies.remove(request);
        }
        if command == Command::KeysChanged {
            self.rotate_keys();
        }
        self.handle(Input::Command(command));
    }

    fn handle_network_event(&mut self, event: NetworkEvent) {
        match event {
            NetworkEvent::NetworkChanged => {
                tracing::debug!("an interface or address came up");
                self.udp.network_changed();
                self.shared.network_changes.send_replace(());
                self.handle(Input::NetworkChanged);
            }
            NetworkEvent::AddressesLost(addresses) => {
                for link in self.links.at_addresses(&addresses) {
                    let end = LinkEnd::Broken("this machine lost the address of the link".into());
                    let input = Input::LinkDown { link, end };
                    if self.is_current(&input) {
                        self.handle(input);
                    }
                }
            }
            NetworkEvent::Barrier(done) => self.barriers.push(done),
            NetworkEvent::Control(link, frame, permit) => {
                self.permits.push(permit);
                if self.links.contains(link) {
                    self.handle(Input::Control { link, frame });
                }
            }
            NetworkEvent::Input(input) => {
                if let Input::LinkDown { link, end: LinkEnd::Breach(_) } = &input {
                    self.forget_host(*link);
                }
                if self.is_current(&input) {
                    self.handle(input);
                }
            }
            NetworkEvent::Keys { link, notice } => {
                self.links.note_keys(link, notice);
                self.rotate_keys_of(link);
            }
            NetworkEvent::Connected { transport, role, met } => {
                let (hello, sealed) = (met.hello, met.sealed.as_deref());
                let events = &self.event_sender;
                let link = self.links.open(transport, role, sealed, &self.shared, events);
                if let Some(host) = self.links.host(link) {
                    self.shared.known_hosts.record(host);
                }
                self.fib_outdated = true;
                tracing::debug!(%link, peer = %hello.name, ?role, "connected");
                let proof = met.sealed.as_ref().map(|sealed| PeerProof::from(&sealed.peer));
                self.handle(Input::LinkUp { link, role, hello, proof });
                // The keys may have changed since the handshake began.
                self.rotate_keys_of(link);
            }
        }
    }

    /// Moves all links to the current keys.
    fn rotate_keys(&mut self) {
        let Some(security) = &self.shared.security else { return };
        let outdated = self.links.rotate_keys(&security.context().ring, clock::now());
        self.close_outdated(outdated);
    }

    /// Moves a link to the current keys.
    fn rotate_keys_of(&mut self, link: LinkId) {
        let Some(security) = &self.shared.security else { return };
        let outdated = self.links.rotate_keys_of(link, &security.context().ring, clock::now());
        self.close_outdated(outdated);
    }

    fn close_outdated(&mut self, outdated: impl IntoIterator<Item = Outdated>) {
        for (link, error) in outdated {
            tracing::info!(%link, %error, "link closed, because its key was removed");
            self.fib_outdated = true;
            self.handle(Input::LinkDown { link, end: LinkEnd::Auth(error) });
        }
        self.count_sealed();
    }

    fn count_sealed(&self) {
        let Some(security) = &self.shared.security else { return };
        let (sealed, under_primary) = self.links.count_sealed(&security.context().ring);
        self.shared.counters.links_sealed.set(sealed);
        self.shared.counters.links_under_primary_key.set(under_primary);
    }

    /// Whether the router has to handle an input. Input from a closed link is ignored.
    fn is_current(&mut self, input: &Input) -> bool {
        match input {
            Input::LinkDown { link, end } => {
                tracing::debug!(%link, %end, "link broken");
                let was_open = self.links.remove(*link);
                self.fib_outdated |= was_open;
                was_open
            }
            Input::Control { link, .. }
            | Input::BytesReceived { link }
            | Input::LinkUp { link, .. } => self.links.contains(*link),
            Input::Solicited { .. }
            | Input::SolicitationUnsent { .. }
            | Input::NetworkChanged
            | Input::WallClock(_)
            | Input::DialFailed { .. }
            | Input::Denied { .. }
            | Input::Command(_) => true,
        }
    }

    fn handle(&mut self, input: Input) {
        self.shared.router().handle(input, clock::now());
    }

    /// Carries out all outputs of the router.
    fn carry_out_outputs(&mut self) {
        let mut notifications = Vec::new();
        let mut overflowed = VecDeque::new();
        loop {
            let output = self.shared.router().poll_output();
            match output {
                Some(output) => self.carry_out(output, &mut notifications, &mut overflowed),
                None => match overflowed.pop_front() {
                    Some(link) => self.close_overflowed(link),
                    None => break,
                },
            }
        }
        if !self.fib_outdated && notifications.is_empty() {
            return;
        }
        let shared = self.shared.clone();
        let mut publication = shared.subscriptions.publication();
        if std::mem::take(&mut self.fib_outdated) {
            let fib = self.links.fib(self.routes.clone());
            self.shared.plane.install(fib, clock::now());
            self.shared.installs.notify_waiters();
            self.count_sealed();
        }
        for notification in notifications {
            self.notify(notification, &mut publication);
        }
    }

    /// A node that violates the protocol has no place of its own among those that connect.
    fn forget_host(&self, link: LinkId) {
        if let Some(host) = self.links.host(link) {
            self.shared.known_hosts.forget(host);
        }
    }

    fn carry_out(
        &mut self,
        output: Output,
        notifications: &mut Vec<Notification>,
        overflowed: &mut VecDeque<LinkId>,
    ) {
        match output {
            Output::Send { link, frame } => {
                if self.links.send(link, frame.encode()).is_err() {
                    overflowed.push_back(link);
                }
            }
            Output::KeepAlive { link } => {
                if self.links.send(link, WireFrame::keep_alive()).is_err() {
                    overflowed.push_back(link);
                }
            }
            Output::PaddedKeepAlive { link } => {
                if self.links.send(link, WireFrame::padded_keep_alive()).is_err() {
                    overflowed.push_back(link);
                }
            }
            Output::Probe { link } => {
                self.links.suspect(link, clock::now());
                if self.links.send(link, ControlFrame::Probe.encode()).is_err() {
                    overflowed.push_back(link);
                }
            }
            Output::Solicit(solicitation) => {
                if let Err(reason) = self.udp.solicit(&solicitation, &self.shared) {
                    let beacon = solicitation.wanted == 0;
                    self.handle(Input::SolicitationUnsent { beacon, reason });
                }
            }
            Output::Dial { dial, address, purpose } => {
                let (shared, events) = (self.shared.clone(), self.event_sender.clone());
                self.spawn(dial::run(dial, address, purpose, shared, events));
            }
            Output::Close { link, reason } => {
                tracing::debug!(%link, ?reason, "link closed");
                if reason == CloseReason::Breach {
                    self.forget_host(link);
                }
                self.fib_outdated |= self.links.close(link, reason);
            }
            Output::Install(routes) => {
                self.routes = routes;
                self.fib_outdated = true;
            }
            Output::Revocations(revocations) => {
                if let Some(security) = &self.shared.security {
                    security.set_revocations(revocations);
                }
            }
            Output::Event(event) => {
                log(&event);
                notifications.push(Notification::Event(event));
            }
            Output::Reply { request, reply } => {
                notifications.push(Notification::Reply(request, reply));
            }
        }
    }

    /// Closes a link whose queue of control frames is full: the peer reads too slowly to be of use.
    fn close_overflowed(&mut self, link: LinkId) {
        if self.links.remove(link) {
            self.shared.counters.net_control_overflows.one();
            self.fib_outdated = true;
            let end = LinkEnd::Broken("the queue of control frames is full".into());
            self.handle(Input::LinkDown { link, end });
        }
    }

    fn notify(&mut self, notification: Notification, publication: &mut Publication<'_>) {
        match notification {
            Notification::Event(event) => {
                publication.publish(&event, &self.shared.counters.net_events_dropped);
            }
            Notification::Reply(request, reply) => {
                if let Some(sender) = self.replies.remove(&request) {
                    // Fails only if the caller no longer waits.
                    let _ = sender.send(reply);
                }
            }
        }
    }
}

/// A notification of the application, sent after the next snapshot is installed.
enum Notification {
    Event(Event),
    Reply(RequestId, Reply),
}

fn log(event: &Event) {
    match event {
        Event::LinkUp { peer, instance } => tracing::info!(%peer, %instance, "link up"),
        Event::LinkDown { peer, instance, reason } => {
            tracing::info!(%peer, %instance, %reason, "link down");
        }
        Event::NodeJoined { node, instance } => tracing::info!(%node, %instance, "node joined"),
        Event::NodeLeft { node, instance, departure } => {
            tracing::info!(%node, %instance, %departure, "node left");
        }
        Event::Topology => tracing::debug!("topology changed"),
        Event::NameConflict { name, reason } => tracing::warn!(%name, reason, "name conflict"),
        Event::KeyMismatch { address, heard } => {
            tracing::warn!(%address, ?heard, "a node there has none of this node's keys");
        }
        Event::Revoked { node } => tracing::warn!(%node, "its ticket was revoked or has ended"),
        Event::DiscoveryFailed { reason } => tracing::warn!(reason, "discovery failed"),
        Event::Overflow => {}
    }
}

/// Calls the data plane at its deadlines.
async fn handle_deadlines(shared: Arc<Shared>) {
    let handle = || handle_deadlines_of(&shared);
    tasks::keep_running("deadlines", &shared.counters, handle).await;
}

async fn handle_deadlines_of(shared: &Shared) {
    let sink = shared.plane.sink();
    loop {
        let deadline = sink.set_timer(|| shared.plane.poll_timeout());
        inject::point("deadlines", shared.name.as_str());
        tokio::select! {
            () = clock::passed(deadline) => shared.plane.handle_timeout(clock::now()),
            () = sink.deadline.notified() => {}
        }
    }
}
