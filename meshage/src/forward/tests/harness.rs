//! A few data planes in memory. Frames move only when the test moves them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use smallvec::smallvec;

use crate::error::SendError;
use crate::forward::delivery::FirstNumbers;
use crate::forward::fib::Fib;
use crate::forward::outbound::{Batch, Outbound};
use crate::forward::plane::{Limits, Plane, Sink};
use crate::message::{Message, Outcome, Outgoing, Report};
use crate::name::{LinkId, MessageId};
use crate::route::tests::{instance, node, table};
use crate::stats::Stats;
use crate::wire::ack::{AckEntry, AckFrame, Refusal, Verdict};
use crate::wire::data::Channel;
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

/// The frames of a batch, as they arrive at the other end of the link.
pub(super) fn frames(batch: &Batch) -> Vec<RawFrame> {
    let mut deframer = Deframer::default();
    for buffer in &batch.buffers {
        deframer.buffer().extend_from_slice(&buffer.bytes);
        deframer.buffer().extend_from_slice(&buffer.body);
    }
    std::iter::from_fn(|| deframer.next_frame().expect("well-formed")).collect()
}

/// Data planes and the links between them. A link has the number of the neighbour, as in the route
/// table's tests.
pub(super) struct Harness {
    pub(super) planes: BTreeMap<&'static str, Plane<Recorder>>,
    pub(super) now: Cell<Instant>,
    pub(super) next_token: Cell<u32>,
    pub(super) frozen: Option<&'static str>,
}

/// A plane whose sequence numbers start at 1.
pub(super) fn new_plane(name: &str, limits: Limits) -> Plane<Recorder> {
    Plane::new(node(name), instance(name), limits, FirstNumbers::known(), Recorder::default())
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
            let plane = || new_plane(name, limits);
            planes.entry(name).or_insert_with(plane);
        }
        let harness =
            Self { planes, now: Cell::new(Instant::now()), next_token: Cell::new(0), frozen: None };
        harness.with_edges(edges)
    }

    pub(super) fn with_edges(mut self, edges: &[(&'static str, &'static str)]) -> Self {
        self.set_edges(edges);
        self
    }

    /// Installs the routes of a new topology at all nodes at once. Existing links keep their
    /// queues.
    pub(super) fn set_edges(&mut self, edges: &[(&'static str, &'static str)]) {
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
            plane.install(Fib::new(routes, links), self.now.get());
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
        let token = self.next_token.get();
        self.next_token.set(token + 1);
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

    /// Moves frames until none is left. A frozen node neither sends nor receives any.
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
                let back = LinkId(instance(name).0);
                self.plane(peer).receive(back, &raw, self.now.get()).expect("in order");
            }
        }
        moved
    }

    /// Lets time pass, and handles the timeouts on the way.
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

    /// Delivers a refusal of the first message in a channel, as a relay sends it for node `from`.
    pub(super) fn refuse_first(&self, to: &str, link: LinkId, from: &str, broadcast: bool) {
        let entry = AckEntry {
            to: instance(to),
            from: node(from),
            by: None,
            channel: Channel { broadcast, large: false },
            verdict: Verdict::Refused { number: 1, refusal: Refusal::Busy },
            hops: 1,
        };
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
