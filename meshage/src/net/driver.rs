//! The control task: the one place where the router is fed and what it wants is done.
//!
//! ```text
//!  orders (application) ─────┐
//!  incoming (readers, UDP,   ├──► Router ──► outputs ──► links, dials, datagrams
//!   dials, handshakes) ──────┤                      └──► snapshot to the data plane, then events
//!  one timer ────────────────┘                           and replies
//! ```
//!
//! It does no I/O and waits for nothing but its inputs. Events and replies are given out only when
//! the snapshot that they speak of is in force: who hears that a node joined can send to it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep_until, timeout};
use tracing::Instrument as _;

use super::fib::Links;
use super::shared::Shared;
use super::udp::Udp;
use super::{clock, dial, listen, udp};
use crate::event::Event;
use crate::name::LinkId;
use crate::protocol::io::{Command, Input, Output, Reply, RequestId, Role};
use crate::route::RouteTable;
use crate::wire::frame::WireFrame;
use crate::wire::hello::Hello;

/// How many inputs wait for the control task: readers wait with what comes on top, so that a peer
/// that floods us with control frames (of 64 KiB at most) takes 16 MiB and no more.
pub(super) const INCOMING_MAX: usize = 256;
/// How many inputs are taken before their outputs are: bounds what one turn gathers.
const TURN_INPUTS_MAX: usize = 64;
/// How long closing a node takes at most, all told.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How much of that is kept for the links' orderly end: a peer that is well answers a farewell
/// within a round trip, and one that has said nothing for so long is not waited for.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(250);
/// How often a node that closes looks whether it is done with what is under way.
const FLUSH_EVERY: Duration = Duration::from_millis(2);

/// What the network brings.
pub(super) enum Incoming {
    /// Something that the router understands as it is.
    Input(Input),
    /// A connection over which hellos were exchanged.
    Connected {
        /// The connection.
        stream: TcpStream,
        /// How it came about.
        role: Role,
        /// What the other end said.
        hello: Hello,
    },
    /// Wants to know when all that came before is done, the new routes included.
    Settle(oneshot::Sender<()>),
}

/// What the application wants.
pub(super) enum Order {
    /// A command without a reply.
    Command(Command),
    /// A command with one.
    Ask { request: RequestId, command: Command, reply: oneshot::Sender<Reply> },
    /// The end.
    Close,
}

/// The control task's own.
pub(super) struct Driver {
    /// First, so that it is dropped first; a driver that never ran has it, too.
    _finish: Finish,
    shared: Arc<Shared>,
    links: Links,
    incoming: mpsc::Receiver<Incoming>,
    incoming_sender: mpsc::Sender<Incoming>,
    orders: mpsc::UnboundedReceiver<Order>,
    replies: HashMap<RequestId, oneshot::Sender<Reply>>,
    /// Readers that wait until this turn is done.
    settling: Vec<oneshot::Sender<()>>,
    udp: Udp,
    /// Listener, ears, the data plane's deadlines, dials.
    tasks: JoinSet<()>,
    routes: Arc<RouteTable>,
    /// Links or routes changed since the last snapshot.
    stale: bool,
    closing: bool,
}

/// However the control task ends, nobody waits for the node any more.
struct Finish(Arc<Shared>);

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.finish();
    }
}

enum Turn {
    Order(Order),
    Incoming(Incoming),
    Due,
}

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        udp: Udp,
        orders: mpsc::UnboundedReceiver<Order>,
    ) -> Self {
        let (incoming_sender, incoming) = mpsc::channel(INCOMING_MAX);
        let routes = shared.router().routes();
        Self {
            _finish: Finish(shared.clone()),
            shared,
            links: Links::default(),
            incoming,
            incoming_sender,
            orders,
            replies: HashMap::new(),
            settling: Vec::new(),
            udp,
            tasks: JoinSet::new(),
            routes,
            stale: true,
            closing: false,
        }
    }

    /// Runs the node until it is closed.
    pub(super) async fn run(mut self, listener: TcpListener) {
        let (shared, incoming) = (self.shared.clone(), self.incoming_sender.clone());
        self.spawn(listen::run(listener, shared.clone(), incoming.clone()));
        for ear in self.udp.ears() {
            self.spawn(udp::run(ear, shared.clone(), incoming.clone()));
        }
        self.spawn(keep_deadlines(shared));
        self.settle();
        self.turn_until_closing().await;
        self.replies.clear();
        let end = clock::now() + CLOSE_TIMEOUT;
        let begun_idle = self.is_idle();
        // The last outcomes come while the node does everything else as before.
        let flushed = timeout(CLOSE_TIMEOUT - LEAVE_TIMEOUT, self.turn_until_flushed()).await;
        if flushed.is_err() {
            tracing::debug!("closing with something still under way");
        }
        let left = end.saturating_duration_since(clock::now());
        self.leave(if begun_idle { LEAVE_TIMEOUT } else { left.max(LEAVE_TIMEOUT) }).await;
    }

    /// Whether nothing is under way.
    fn is_idle(&self) -> bool {
        self.shared.plane.is_idle() && self.links.is_idle()
    }

    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task.instrument(self.shared.span.clone()));
    }

    async fn turn_until_closing(&mut self) {
        let sleep = sleep_until(clock::now().into());
        tokio::pin!(sleep);
        while !self.closing {
            self.turn(sleep.as_mut()).await;
        }
    }

    async fn turn_until_flushed(&mut self) {
        let sleep = sleep_until(clock::now().into());
        tokio::pin!(sleep);
        while !self.is_idle() {
            let _ = timeout(FLUSH_EVERY, self.turn(sleep.as_mut())).await;
        }
    }

    /// Tells the peers, and gives their links the time to be closed in order.
    async fn leave(&mut self, limit: Duration) {
        self.tasks.shutdown().await;
        // Before the links go: that they do says nothing of what is still under way.
        self.shared.plane.close();
        self.shared.router().handle(Input::Command(Command::Close), clock::now());
        self.settle();
        // Peers that do not close their ends are given up.
        let _ = timeout(limit, self.links.ended()).await;
        self.links.abort().await;
    }

    /// Waits for something to happen, then does all that has happened. Being dropped while it waits
    /// loses nothing.
    async fn turn(&mut self, mut sleep: std::pin::Pin<&mut Sleep>) {
        let due = self.shared.router().poll_timeout().map(|(due, _)| due);
        if let Some(due) = due
            && sleep.deadline() != due.into()
        {
            sleep.as_mut().reset(due.into());
        }
        let mut next = tokio::select! {
            Some(order) = self.orders.recv() => Some(Turn::Order(order)),
            Some(incoming) = self.incoming.recv() => Some(Turn::Incoming(incoming)),
            () = sleep, if due.is_some() => Some(Turn::Due),
        };
        let mut taken = 0;
        while let Some(turn) = next {
            match turn {
                Turn::Order(order) => self.obey(order),
                Turn::Incoming(incoming) => self.take_in(incoming),
                Turn::Due => {}
            }
            taken += 1;
            next = if taken >= TURN_INPUTS_MAX { None } else { self.more() };
        }
        let now = clock::now();
        if self.due().is_some_and(|due| due <= now) {
            self.shared.router().handle_timeout(now);
        }
        self.settle();
        for done in self.settling.drain(..) {
            // A reader that was closed meanwhile asks no more.
            let _ = done.send(());
        }
        while self.tasks.try_join_next().is_some() {}
    }

    fn due(&self) -> Option<Instant> {
        self.shared.router().poll_timeout().map(|(due, _)| due)
    }

    fn more(&mut self) -> Option<Turn> {
        if let Ok(order) = self.orders.try_recv() {
            return Some(Turn::Order(order));
        }
        self.incoming.try_recv().ok().map(Turn::Incoming)
    }

    fn obey(&mut self, order: Order) {
        let command = match order {
            Order::Command(command) => command,
            // Its sender dropped, the caller knows that the node is closed.
            Order::Ask { .. } if self.closing => return,
            Order::Ask { request, command, reply } => {
                self.replies.insert(request, reply);
                command
            }
            Order::Close => {
                self.closing = true;
                return;
            }
        };
        if let Command::CancelDial { request } = &command {
            self.replies.remove(request);
        }
        self.handle(Input::Command(command));
    }

    fn take_in(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Settle(done) => self.settling.push(done),
            Incoming::Input(input) => {
                if self.is_heard(&input) {
                    self.handle(input);
                }
            }
            Incoming::Connected { stream, role, hello } => {
                let link = self.links.open(stream, &self.shared, &self.incoming_sender);
                self.stale = true;
                tracing::debug!(%link, peer = %hello.name, ?role, "connected");
                self.handle(Input::LinkUp { link, role, hello });
            }
        }
    }

    /// Whether an input is the router's business; what a closed link brought is not.
    fn is_heard(&mut self, input: &Input) -> bool {
        match input {
            Input::LinkDown { link, reason, .. } => {
                tracing::debug!(%link, %reason, "link broken");
                let open = self.links.forget(*link);
                self.stale |= open;
                open
            }
            Input::Control { link, .. }
            | Input::BytesReceived { link }
            | Input::LinkUp { link, .. } => self.links.contains(*link),
            Input::Solicited { .. } | Input::DialFailed { .. } | Input::Command(_) => true,
        }
    }

    fn handle(&mut self, input: Input) {
        self.shared.router().handle(input, clock::now());
    }

    /// Does what the router wants done, to the last output.
    fn settle(&mut self) {
        let mut told = Vec::new();
        let mut broken = VecDeque::new();
        loop {
            let output = self.shared.router().poll_output();
            match output {
                Some(output) => self.carry_out(output, &mut told, &mut broken),
                None => match broken.pop_front() {
                    Some(link) => self.overflowed(link),
                    None => break,
                },
            }
        }
        if std::mem::take(&mut self.stale) {
            let fib = self.links.fib(self.routes.clone());
            self.shared.plane.install(fib, clock::now());
            self.shared.installs.send_replace(());
        }
        for told in told {
            self.tell(told);
        }
    }

    fn carry_out(&mut self, output: Output, told: &mut Vec<Told>, broken: &mut VecDeque<LinkId>) {
        match output {
            Output::Send { link, frame } => {
                if self.links.send(link, frame.encode()).is_err() {
                    broken.push_back(link);
                }
            }
            Output::KeepAlive { link } => {
                if self.links.send(link, WireFrame::keep_alive()).is_err() {
                    broken.push_back(link);
                }
            }
            Output::Solicit(solicitation) => self.udp.call(&solicitation, &self.shared),
            Output::Dial { dial, address, purpose } => {
                let (shared, incoming) = (self.shared.clone(), self.incoming_sender.clone());
                self.spawn(dial::run(dial, address, purpose, shared, incoming));
            }
            Output::Close { link, reason } => {
                tracing::debug!(%link, ?reason, "link closed");
                self.stale |= self.links.close(link, reason);
            }
            Output::Install(routes) => {
                self.routes = routes;
                self.stale = true;
            }
            Output::Event(event) => told.push(Told::Event(event)),
            Output::Reply { request, reply } => told.push(Told::Reply(request, reply)),
        }
    }

    /// A peer that takes none of what the control plane has to say is of no use.
    fn overflowed(&mut self, link: LinkId) {
        if self.links.forget(link) {
            self.shared.counters.net_control_overflows.one();
            self.stale = true;
            let reason = "it takes no control frames".into();
            self.handle(Input::LinkDown { link, reason, breach: false });
        }
    }

    fn tell(&mut self, told: Told) {
        match told {
            Told::Event(event) => {
                log(&event);
                let dropped = &self.shared.counters.net_events_dropped;
                self.shared.subscriptions.publish(&event, dropped);
            }
            Told::Reply(request, reply) => {
                if let Some(waiting) = self.replies.remove(&request) {
                    // Whoever let go wants to know no more.
                    let _ = waiting.send(reply);
                }
            }
        }
    }
}

/// What waits for the next snapshot to be in force.
enum Told {
    Event(Event),
    Reply(RequestId, Reply),
}

fn log(event: &Event) {
    match event {
        Event::LinkUp(peer) => tracing::info!(%peer, "link up"),
        Event::LinkDown(peer) => tracing::info!(%peer, "link down"),
        Event::NodeJoined(node) => tracing::info!(%node, "node joined"),
        Event::NodeLeft(node) => tracing::info!(%node, "node left"),
        Event::Topology => tracing::debug!("topology changed"),
        Event::NameConflict(name) => tracing::warn!(%name, "two nodes of one name"),
        Event::Overflow => {}
    }
}

/// Wakes the data plane when something of it is due.
async fn keep_deadlines(shared: Arc<Shared>) {
    let sink = shared.plane.sink();
    loop {
        let due = sink.sleep_until(|| shared.plane.poll_timeout());
        let over = async {
            match due {
                Some(due) => sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = over => shared.plane.handle_timeout(clock::now()),
            () = sink.deadline.notified() => {}
        }
    }
}
