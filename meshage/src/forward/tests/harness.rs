//! A few nodes in memory, whose frames move when the test says so.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::error::SendError;
use smallvec::smallvec;

use crate::forward::fib::Fib;
use crate::forward::outbound::{Batch, Outbound};
use crate::forward::plane::{Limits, Plane, Sink};
use crate::message::{Message, Outcome, Outgoing, Report};
use crate::name::{LinkId, MessageId};
use crate::route::tests::{instance, node, table};
use crate::stats::Stats;
use crate::wire::ack::{AckEntry, AckFrame};
use crate::wire::deframe::{Deframer, RawFrame};

#[derive(Default)]
pub(super) struct Recorder {
    pub(super) done: Mutex<BTreeMap<u32, Result<Report, SendError>>>,
    pub(super) snooped: Mutex<Vec<Message>>,
    pub(super) spaces: Mutex<u32>,
}

impl Sink for Recorder {
    type Completion = u32;
    fn complete(&self, completed: &mut Vec<(u32, Result<Report, SendError>)>) {
        for (completion, result) in completed.drain(..) {
            let before = self.done.lock().expect("sane").insert(completion, result);
            assert!(before.is_none(), "a send completes once");
        }
    }
    fn inbox_filled(&self) {}
    fn send_space(&self) {
        *self.spaces.lock().expect("sane") += 1;
    }
    fn snooped(&self, message: Message) {
        self.snooped.lock().expect("sane").push(message);
    }
    fn deadline_moved(&self) {}
}

/// The frames of a batch, as they come out of the link.
pub(super) fn frames(batch: &Batch) -> Vec<RawFrame> {
    let mut deframer = Deframer::default();
    for run in &batch.buffers {
        deframer.buffer().extend_from_slice(&run.bytes);
        deframer.buffer().extend_from_slice(&run.body);
    }
    std::iter::from_fn(|| deframer.next_frame().expect("well-formed")).collect()
}

type Edges = Vec<(&'static str, &'static str)>;

/// A link to a neighbour bears the neighbour's number, as in the route table's tests.
pub(super) struct Harness {
    pub(super) planes: BTreeMap<&'static str, Plane<Recorder>>,
    pub(super) edges: Edges,
    pub(super) now: Cell<Instant>,
    pub(super) next: Cell<u32>,
    pub(super) frozen: Option<&'static str>,
    pub(super) crossed: Cell<usize>,
}

impl Harness {
    pub(super) fn new(edges: &[(&'static str, &'static str)]) -> Self {
        Self::with_buffer(edges, 1024)
    }

    pub(super) fn with_buffer(
        edges: &[(&'static str, &'static str)],
        receive_buffer: usize,
    ) -> Self {
        let limits = Limits { max_message: 1 << 20, receive_buffer };
        let mut planes = BTreeMap::new();
        for name in edges.iter().flat_map(|(a, b)| [*a, *b]) {
            let plane = || Plane::new(node(name), instance(name), limits, Recorder::default());
            planes.entry(name).or_insert_with(plane);
        }
        let harness = Self {
            planes,
            edges: Vec::new(),
            now: Cell::new(Instant::now()),
            next: Cell::new(0),
            frozen: None,
            crossed: Cell::new(0),
        };
        harness.with_edges(edges)
    }

    pub(super) fn with_edges(mut self, edges: &[(&'static str, &'static str)]) -> Self {
        self.set_edges(edges);
        self
    }

    /// All nodes learn of a new topology at once; links that were there keep what they hold.
    pub(super) fn set_edges(&mut self, edges: &[(&'static str, &'static str)]) {
        self.edges = edges.to_vec();
        for (name, plane) in &self.planes {
            let old = plane.fib();
            let neighbors = edges.iter().filter_map(|(a, b)| match () {
                () if a == name => Some(*b),
                () if b == name => Some(*a),
                () => None,
            });
            let links = neighbors
                .map(|peer| LinkId(instance(peer).0))
                .map(|link| {
                    let fresh = || Arc::new(Outbound::default());
                    (link, old.links.get(&link).cloned().unwrap_or_else(fresh))
                })
                .collect();
            let routes = Arc::new(table(name, edges));
            plane.install(Fib { routes, links }, self.now.get());
        }
    }

    pub(super) fn plane(&self, name: &str) -> &Plane<Recorder> {
        &self.planes[name]
    }

    pub(super) fn send(&self, from: &str, outgoing: Outgoing) -> Sent {
        self.send_until(from, outgoing, Some(Duration::from_secs(10))).expect("sent")
    }

    pub(super) fn send_until(
        &self,
        from: &str,
        outgoing: Outgoing,
        timeout: Option<Duration>,
    ) -> Result<Sent, SendError> {
        let token = self.next.get();
        self.next.set(token + 1);
        let deadline = timeout.map(|timeout| self.now.get() + timeout);
        self.plane(from)
            .send(outgoing, deadline, token, self.now.get())
            .map(|id| Sent { id, token })
            .map_err(|(error, ..)| error)
    }

    pub(super) fn set(&self, from: &str, to: &[&str], body: &str) -> Sent {
        self.send(from, Outgoing::set(to.iter().map(|name| node(name)), body.to_owned()))
    }

    pub(super) fn report(&self, from: &str, sent: &Sent) -> Option<Report> {
        let done = self.plane(from).sink().done.lock().expect("sane");
        done.get(&sent.token).map(|result| result.clone().expect("not closed"))
    }

    pub(super) fn outcomes(&self, from: &str, sent: &Sent) -> Vec<Outcome> {
        let report = self.report(from, sent).expect("ended");
        report.outcomes().iter().map(|(_, outcome)| *outcome).collect()
    }

    /// Moves all frames, until none is left; a frozen node neither takes nor gives any.
    pub(super) fn run(&self) {
        while self.step() {}
    }

    pub(super) fn step(&self) -> bool {
        let mut moved = false;
        for (name, plane) in &self.planes {
            for (link, outbound) in &plane.fib().links {
                let peer = self.planes.keys().find(|peer| instance(peer).0 == link.0);
                let peer = *peer.expect("a link leads to a node");
                if self.frozen == Some(name) || self.frozen == Some(peer) {
                    continue;
                }
                let mut batch = Batch::default();
                outbound.try_take(256 << 10, &mut batch);
                if batch.writable {
                    plane.writable(*link, self.now.get());
                }
                let raw = frames(&batch);
                moved |= !raw.is_empty();
                self.crossed.set(self.crossed.get() + raw.len());
                let back = LinkId(instance(name).0);
                self.plane(peer).receive(back, &raw, self.now.get()).expect("in order");
            }
        }
        moved
    }

    /// Lets time pass, doing what falls due on the way.
    pub(super) fn pass(&self, time: Duration) {
        let end = self.now.get() + time;
        loop {
            self.run();
            let due = self.planes.values().filter_map(Plane::poll_timeout).min();
            let Some(due) = due.filter(|due| *due <= end) else {
                break;
            };
            self.now.set(due.max(self.now.get()));
            for plane in self.planes.values() {
                plane.handle_timeout(self.now.get());
            }
        }
        self.now.set(end);
    }

    pub(super) fn take(&self, name: &str) -> Vec<Message> {
        self.plane(name).take(usize::MAX).0
    }

    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        let text = |message: &Message| message.text().expect("text").to_owned();
        self.take(name).iter().map(text).collect()
    }

    /// An acknowledgement comes to a node that nobody gave.
    pub(super) fn answer(&self, to: &str, link: LinkId, entry: AckEntry) {
        let frame = AckFrame { entries: smallvec![entry] }.encode();
        let mut deframer = Deframer::default();
        deframer.buffer().extend_from_slice(&frame.head);
        let raw = deframer.next_frame().expect("well-formed").expect("whole");
        self.plane(to).receive(link, std::slice::from_ref(&raw), self.now.get()).expect("sane");
    }

    pub(super) fn counter(&self, name: &str, counter: &str) -> u64 {
        let mut stats = Stats::default();
        self.plane(name).count(&mut stats);
        stats.value(counter).expect("known")
    }
}

pub(super) struct Sent {
    pub(super) id: MessageId,
    pub(super) token: u32,
}
