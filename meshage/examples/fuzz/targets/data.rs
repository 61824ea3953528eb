//! The data plane: frames from neighbours, sends, answers, routes that change, and time, in any
//! order.
//!
//! ```text
//!  neighbours ── frames ──► Plane ──► outbound queues ──► taken, and decoded again
//!  application ── send, cancel, take ──┘     └──► completions: each once, by its deadline (F4),
//!                                                 delivered only if it was acknowledged (F2)
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use meshage::error::SendError;
use meshage::forward::delivery::FirstNumbers;
use meshage::forward::fib::Fib;
use meshage::forward::outbound::{
    ACK_BYTES_MAX, Batch, CONTROL_BYTES_MAX, MESSAGE_BYTES_MAX, Outbound,
};
use meshage::forward::plane::{Limits, Plane, Sink};
use meshage::forward::reassembly::REASSEMBLY_BYTES_MAX;
use meshage::message::{Message, Outcome, Outgoing, Report};
use meshage::name::{Claim, LinkId, MessageId};
use meshage::route::{Record, RouteTable};
use meshage::wire::ack::{AckFrame, Verdict};
use meshage::wire::data::{DataFrame, Targets};
use meshage::wire::deframe::{Deframer, RawFrame};
use meshage::wire::frame::FrameKind;
use meshage::{Instance, NodeName, Stats};

use super::behaviour::Behaviour;
use super::data_frames::{self, OWN_INSTANCE, Sources, instance_of};
use super::input::Input;
use super::members::{NAMES, OWN_NAME, name};
use super::start;

/// The most operations of an input.
const OPERATIONS_MAX: usize = 200;
/// The most deadlines of an input that are met in time. After them, time passes in jumps.
const WAKES_MAX: usize = 400;
/// The most wakeups at one point in time. A plane that needs more works without progress.
const IMMEDIATE_WAKES_MAX: usize = 100;
/// The most frames that wait for an answer.
const UNANSWERED_MAX: usize = 64;
/// The most bytes in the queues of a link.
const QUEUED_BYTES_MAX: usize = CONTROL_BYTES_MAX + ACK_BYTES_MAX + 2 * MESSAGE_BYTES_MAX;

/// The edges that a topology may have, each with its bit. The node under test is in the middle.
const EDGES: [(&str, &str); 8] = [
    (OWN_NAME, "a"),
    (OWN_NAME, "b"),
    (OWN_NAME, "y"),
    ("a", "k"),
    ("b", "k"),
    ("k", "z"),
    ("y", "z"),
    ("z", NAMES[5]),
];

/// Runs the operations of an input.
pub(crate) fn run(bytes: &[u8], behaviour: &mut Behaviour) {
    let mut world = World::new(Input::new(bytes), behaviour);
    for _ in 0..OPERATIONS_MAX {
        if world.input.is_empty() {
            break;
        }
        world.operate();
        world.check();
    }
    world.end();
}

/// Records what the plane reports.
#[derive(Debug, Default)]
struct Recorder {
    completed: Mutex<Vec<(u32, Result<Report, SendError>)>>,
    snooped: Mutex<Vec<Message>>,
}

impl Sink for Recorder {
    type Completion = u32;
    fn complete(&self, completed: &mut Vec<(u32, Result<Report, SendError>)>) {
        self.completed.lock().expect("sane").append(completed);
    }
    fn inbox_filled(&self) {}
    fn send_space(&self) {}
    fn snooped(&self, message: Message) {
        self.snooped.lock().expect("sane").push(message);
    }
    fn deadline_moved(&self) {}
}

/// A send that has not ended.
#[derive(Debug)]
struct Outstanding {
    id: MessageId,
    deadline: Option<Instant>,
    /// The recipients; `None` for a broadcast.
    recipients: Option<BTreeSet<NodeName>>,
}

struct World<'a> {
    input: Input<'a>,
    behaviour: &'a mut Behaviour,
    plane: Plane<Recorder>,
    limits: Limits,
    sources: Sources,
    now: Instant,
    wakes: usize,
    /// The bits of the edges that exist.
    edges: u8,
    /// The link to each neighbour. A new connection has a new number.
    links: BTreeMap<NodeName, LinkId>,
    next_link: u64,
    sends: BTreeMap<u32, Outstanding>,
    next_token: u32,
    /// The frames of this node that were written, each with its link.
    unanswered: Vec<(LinkId, DataFrame)>,
    /// The nodes of which an acknowledgement was received.
    acknowledged: BTreeSet<NodeName>,
}

impl<'a> World<'a> {
    fn new(mut input: Input<'a>, behaviour: &'a mut Behaviour) -> Self {
        let limits = Limits {
            max_message: input.pick(&[1 << 20, 200_000, 100]),
            receive_buffer: input.pick(&[1024, 8, 1]),
        };
        let plane = Plane::new(
            name(OWN_NAME),
            OWN_INSTANCE,
            limits,
            FirstNumbers::new([input.byte(); 32]),
            Recorder::default(),
        );
        let edges = input.byte() | 1;
        let mut world = Self {
            input,
            behaviour,
            plane,
            limits,
            sources: Sources::default(),
            now: start(),
            wakes: 0,
            edges,
            links: BTreeMap::new(),
            next_link: 1,
            sends: BTreeMap::new(),
            next_token: 0,
            unanswered: Vec::new(),
            acknowledged: BTreeSet::new(),
        };
        world.install(false);
        world
    }

    fn operate(&mut self) {
        let operation = self.input.below(32);
        self.behaviour.during(match operation {
            0..8 | 27 | 28 => "receive",
            8..13 => "send",
            13..17 => "time",
            23..27 => "answer",
            _ => "other",
        });
        match operation {
            0..8 => self.receive(),
            8..12 => self.send(),
            12 => {
                let at = self.input.below(self.sends.len().clamp(1, 256));
                let id = match self.sends.values().nth(at) {
                    Some(send) => send.id,
                    None => MessageId(self.input.number()),
                };
                self.plane.cancel(id, self.now);
            }
            13..15 => {
                let time = self.input.time();
                self.pass(time);
            }
            15 | 16 => {
                if let Some(at) = self.plane.poll_timeout() {
                    self.pass(at.saturating_duration_since(self.now));
                }
            }
            17 => {
                let incomplete = self.input.below(4) == 0;
                self.edges ^= 1 << self.input.below(8);
                self.install(incomplete);
            }
            18 | 19 => {
                let max = self.input.pick(&[usize::MAX, 1, 3]);
                self.take(max);
            }
            20..23 => self.write(),
            23..27 => self.answer(),
            27 | 28 => self.receive_in_place(),
            29 => {
                let snoop = self.input.flag();
                self.plane.set_snoop(snoop);
            }
            30 => {
                let bytes = self.input.number() as usize;
                self.plane.fib().links.values().for_each(|link| link.set_chunk_bytes(bytes));
            }
            _ => match self.input.below(16) {
                0 => self.plane.stop(self.now, |_| ()),
                1 => self.plane.stop_forwarding(),
                2 => self.plane.close(),
                _ => {
                    let _ = self.plane.expects_acknowledgements(self.now);
                }
            },
        }
    }

    /// Installs the routes over the edges that exist. A link that exists already keeps its queue.
    fn install(&mut self, incomplete: bool) {
        let bits = self.edges;
        let edges = || {
            let all = EDGES.iter().enumerate();
            all.filter(move |(bit, _)| bits >> bit & 1 == 1).map(|(_, edge)| *edge)
        };
        let mut peers: BTreeMap<NodeName, Vec<Instance>> = BTreeMap::new();
        for (a, b) in edges() {
            peers.entry(name(a)).or_default().push(instance_of(&name(b)));
            peers.entry(name(b)).or_default().push(instance_of(&name(a)));
        }
        peers.values_mut().for_each(|peers| peers.sort_unstable());
        let neighbors: Vec<NodeName> =
            edges().filter(|(a, _)| *a == OWN_NAME).map(|(_, b)| name(b)).collect();
        self.links.retain(|neighbor, _| neighbors.contains(neighbor));
        let former = self.plane.fib();
        let mut queues = BTreeMap::new();
        for neighbor in neighbors {
            let next = &mut self.next_link;
            let link = *self.links.entry(neighbor).or_insert_with(|| {
                *next += 1;
                LinkId(*next)
            });
            queues.insert(link, former.links.get(&link).cloned().unwrap_or_default());
        }
        let records = peers.iter().map(|(name, peers)| Record {
            name,
            instance: instance_of(name),
            claim: Claim::FIRST,
            peers,
        });
        let links = self.links.iter().map(|(name, link)| (instance_of(name), *link)).collect();
        let own = name(OWN_NAME);
        let routes = RouteTable::compute(&own, OWN_INSTANCE, records, &links);
        let routes = Arc::new(routes.incomplete(incomplete));
        self.plane.install(Fib::new(routes, queues), self.now);
    }

    /// The link to a neighbour, or now and then one that does not exist.
    fn pick_link(&mut self) -> LinkId {
        let at = self.input.below(8);
        self.links.values().copied().cycle().nth(at).filter(|_| at < 7).unwrap_or(LinkId(1))
    }

    /// Some frames arrive together.
    fn receive(&mut self) {
        let link = self.pick_link();
        let mut frames = Vec::new();
        for _ in 0..1 + self.input.below(4) {
            frames.push(match self.input.below(8) {
                0 => data_frames::any_frame(&mut self.input),
                1 | 2 => data_frames::raw(&data_frames::ack_frame(&mut self.input).encode()),
                _ => data_frames::raw(&self.sources.data(&mut self.input).encode()),
            });
        }
        if self.input.below(4) == 0 {
            let _ = self.plane.knows_sources(&frames);
            let _ = self.plane.knows_routes(&frames);
        }
        self.receive_frames(link, &frames);
    }

    fn receive_frames(&mut self, link: LinkId, frames: &[RawFrame]) {
        for frame in frames.iter().filter(|frame| frame.kind == Some(FrameKind::Ack)) {
            let entries = AckFrame::decode(&frame.payload).map(|frame| frame.entries);
            for entry in entries.unwrap_or_default() {
                if matches!(entry.verdict, Verdict::Delivered { .. }) {
                    self.acknowledged.insert(entry.from);
                }
            }
        }
        match self.plane.receive(link, frames, self.now) {
            Ok(received) => self.behaviour.note("received", &received),
            Err(error) => {
                self.behaviour.error("breach", &error);
                // The driver closes the link of a peer that violates the protocol.
                let peer = self.links.iter().find(|(_, id)| **id == link);
                if let Some(peer) = peer.map(|(name, _)| name.clone()) {
                    let edge = |edge: &(&str, &str)| edge.0 == OWN_NAME && edge.1 == peer.as_str();
                    let bit = EDGES.iter().position(edge).expect("an edge of this node");
                    self.edges &= !(1 << bit);
                    self.install(false);
                }
            }
        }
    }

    /// A chunk arrives whose bytes are read into their place, in two parts.
    fn receive_in_place(&mut self) {
        let link = self.pick_link();
        let len = 1 + self.input.below(256) * 8;
        let header = self.sources.header(&mut self.input, len);
        // The driver decodes the header, and so has checked it.
        let frame = DataFrame { header, body: vec![0; len].into() };
        let encoded = data_frames::raw(&frame.encode());
        let Ok(DataFrame { header, body }) = DataFrame::decode(encoded.payload.clone()) else {
            return self.receive_frames(link, &[encoded]);
        };
        let Some(mut chunk) = self.plane.start_in_place(link, header, body.len(), self.now) else {
            return self.receive_frames(link, &[encoded]);
        };
        self.behaviour.note("in place", &"a chunk");
        for part in [self.input.below(256), usize::MAX] {
            if chunk.missing() == 0 {
                return;
            }
            let Some(mut lent) = self.plane.lend_buffer(&chunk) else { break };
            let place = lent.unread();
            assert_eq!(place.len(), chunk.missing(), "the buffer has the place of the chunk");
            let read = part.min(place.len());
            place[..read].fill(7);
            if self.input.below(4) == 0 {
                // Frames of another link, while the buffer is lent.
                self.receive();
            }
            self.plane.return_buffer(link, &mut chunk, lent, read, self.now);
        }
        let missing = chunk.missing();
        if missing > 0 {
            let header = chunk.into_rest();
            let rest = DataFrame { header, body: vec![0; missing].into() };
            self.receive_frames(link, &[data_frames::raw(&rest.encode())]);
        }
    }

    fn send(&mut self) {
        let body = match self.input.below(8) {
            0 => vec![0; 150_000].into(),
            _ => data_frames::body(&mut self.input),
        };
        let mut recipients = BTreeSet::new();
        let outgoing = if self.input.below(3) == 0 {
            Outgoing::broadcast(body)
        } else {
            let count = self.input.below(4);
            let names: Vec<NodeName> =
                (0..count).map(|_| super::control_frames::node_name(&mut self.input)).collect();
            recipients.extend(names.iter().filter(|node| node.as_str() != OWN_NAME).cloned());
            Outgoing::set(names, body)
        };
        let broadcast = recipients.is_empty();
        let deadline = (self.input.below(8) > 0).then(|| self.now + self.input.time());
        let outgoing = outgoing.retry(self.input.flag());
        let token = self.next_token;
        self.next_token += 1;
        match self.plane.send(outgoing, deadline, token, self.now) {
            Ok(id) => {
                let recipients = (!broadcast).then_some(recipients);
                self.sends.insert(token, Outstanding { id, deadline, recipients });
            }
            Err((error, ..)) => self.behaviour.error("refused", &error),
        }
    }

    fn take(&mut self, max: usize) {
        let (messages, left) = self.plane.take(max);
        assert!(messages.len() <= max, "no more messages than wanted");
        assert_eq!(left, self.plane.waiting());
        for message in messages {
            assert!(message.body.len() <= self.limits.max_message, "no body beyond the limit");
            assert_ne!(message.instance, OWN_INSTANCE, "no message of this node");
            self.behaviour.note("message", &(message.body.len(), message.route.len()));
        }
    }

    /// The writer of a link takes what waits, and the other end reads it.
    fn write(&mut self) {
        let link = self.pick_link();
        let Some(queue) = self.plane.fib().links.get(&link).cloned() else { return };
        let bytes_max = self.input.pick(&[256 << 10, 1, 4096]);
        self.take_batch(link, &queue, bytes_max);
    }

    fn take_batch(&mut self, link: LinkId, queue: &Outbound, bytes_max: usize) {
        let mut batch = Batch::default();
        queue.try_take(bytes_max, &mut batch);
        if batch.writable {
            self.plane.writable(link, self.now);
        }
        let mut deframer = Deframer::default();
        for buffer in &batch.buffers {
            deframer.buffer().extend_from_slice(&buffer.bytes);
            deframer.buffer().extend_from_slice(&buffer.body);
        }
        while let Some(frame) = deframer.next_frame().expect("what is sent can be read") {
            self.sent(link, frame);
        }
        assert!(deframer.buffer().is_empty(), "a batch has whole frames");
    }

    fn sent(&mut self, link: LinkId, frame: RawFrame) {
        match frame.kind {
            Some(FrameKind::Data) => {
                let frame = DataFrame::decode(frame.payload).expect("a message can be read");
                let last = frame.header.route.last().map(NodeName::as_str);
                assert_eq!(last, Some(OWN_NAME), "this node is on the route");
                self.behaviour.note("sent", &frame.header);
                let is_own = frame.header.instance == OWN_INSTANCE;
                if is_own && self.unanswered.len() < UNANSWERED_MAX {
                    self.unanswered.push((link, frame));
                }
            }
            Some(FrameKind::Ack) => {
                let frame = AckFrame::decode(&frame.payload).expect("answers can be read");
                for entry in frame.entries {
                    self.behaviour.note("answer", &entry);
                    self.sources.expected(&entry);
                }
            }
            other @ (Some(FrameKind::Control | FrameKind::KeepAlive) | None) => {
                panic!("the data plane sends no frames of kind {other:?}")
            }
        }
    }

    /// The recipients of a message that was written answer it, over the same link.
    fn answer(&mut self) {
        if self.unanswered.is_empty() {
            return;
        }
        let at = self.input.below(self.unanswered.len());
        let (link, frame) = self.unanswered.swap_remove(at);
        let recipients: Vec<(NodeName, u64)> = match &frame.header.targets {
            Targets::List(list) => list
                .iter()
                .filter_map(|target| Some((target.name.clone(), target.sequence?.number)))
                .collect(),
            Targets::Flood(sequence) => {
                let routes = self.plane.fib().routes.clone();
                let behind = routes.nodes_behind(OWN_INSTANCE, link);
                behind.into_iter().map(|name| (name, sequence.number)).collect()
            }
        };
        let entry = |(recipient, number): &(NodeName, u64)| {
            data_frames::answer(&mut self.input, &frame, recipient, *number)
        };
        let answers = AckFrame { entries: recipients.iter().map(entry).collect() };
        self.receive_frames(link, &[data_frames::raw(&answers.encode())]);
    }

    /// Lets time pass. Deadlines on the way are met.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut immediate = 0;
        while let Some(at) = self.plane.poll_timeout().filter(|at| *at <= end) {
            if self.wakes >= WAKES_MAX {
                break;
            }
            self.wakes += 1;
            immediate = if at > self.now { 0 } else { immediate + 1 };
            let stalls = immediate > IMMEDIATE_WAKES_MAX;
            assert!(!stalls, "invariant S11: a deadline wakes the plane without progress");
            self.now = self.now.max(at);
            self.plane.handle_timeout(self.now);
        }
        self.now = end;
        self.plane.handle_timeout(end);
        self.complete();
        for send in self.sends.values() {
            let overdue = send.deadline.is_some_and(|deadline| deadline <= end);
            assert!(!overdue, "invariant F4: {send:?} ends by its deadline");
        }
    }

    /// Checks the reports of the sends that have ended.
    fn complete(&mut self) {
        let completed = std::mem::take(&mut *self.plane.sink().completed.lock().expect("sane"));
        for (token, result) in completed {
            self.behaviour.note("completed", &result);
            let send = self.sends.remove(&token).expect("a send ends once");
            let Ok(report) = result else { continue };
            let named: Vec<&NodeName> = report.outcomes().iter().map(|(name, _)| name).collect();
            let distinct: BTreeSet<NodeName> = named.iter().map(|name| (*name).clone()).collect();
            assert_eq!(distinct.len(), named.len(), "invariant F4: one outcome a recipient");
            if let Some(recipients) = &send.recipients {
                assert_eq!(distinct, *recipients, "invariant F4: an outcome for each recipient");
            }
            for (recipient, outcome) in report.outcomes() {
                let acknowledged = self.acknowledged.contains(recipient);
                assert!(
                    *outcome != Outcome::Delivered || acknowledged,
                    "invariant F2: {recipient} has acknowledged a message"
                );
            }
        }
    }

    fn check(&mut self) {
        self.complete();
        assert!(self.plane.waiting() <= self.limits.receive_buffer, "the inbox is bounded");
        for queue in self.plane.fib().links.values() {
            assert!(queue.waiting_bytes() <= QUEUED_BYTES_MAX, "the queues are bounded");
        }
        for message in self.plane.sink().snooped.lock().expect("sane").drain(..) {
            self.behaviour.note("snooped", &message.body.len());
        }
    }

    /// Lets all deadlines pass, and closes the plane: all sends have ended.
    fn end(&mut self) {
        let mut stats = Stats::default();
        self.plane.count(&mut stats);
        for (counter, value) in stats.iter() {
            self.behaviour.count(counter, value);
        }
        let bodies = stats.value("reassembly_bytes").unwrap_or_default();
        assert!(bodies <= REASSEMBLY_BYTES_MAX as u64, "bodies are bounded");
        self.wakes = 0;
        self.pass(Duration::from_secs(600));
        self.take(usize::MAX);
        let links: Vec<LinkId> = self.links.values().copied().collect();
        for link in links {
            let queue = self.plane.fib().links.get(&link).cloned();
            while let Some(queue) = queue.as_ref().filter(|queue| queue.waiting_bytes() > 0) {
                self.take_batch(link, queue, 256 << 10);
            }
        }
        self.plane.close();
        self.check();
        assert!(self.sends.is_empty(), "a closed plane has no sends: {:?}", self.sends);
        assert!(self.plane.is_idle(), "a closed plane is idle");
    }
}
