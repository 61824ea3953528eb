//! Judges the histories of all nodes together, by the invariants of the simulator
//! (`meshage/src/sim/checker/mod.rs`):
//!
//! - S2 no incarnation receives a message twice;
//! - S3 a message arrives as it was sent, and at its recipients only;
//! - S4 a message reported as delivered is in the history of its recipient, unless that incarnation was
//!   killed before it could write; one with a certain failure is in no history;
//! - S5 the messages of a pair, a kind and a size class arrive in the order of the sends. Sets and
//!   broadcasts arrive in one order while no link changes and no message is refused or sent again;
//! - S6 each send ends by its deadline, with one outcome for each recipient.
//!
//! And one for the time after a fault: L1 each message of the calm arrives.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::driver::CERTAIN_FAILURES;

use super::record::{Delivery, End, Life, Micros, Send};

/// How long after its deadline a send may end: the processes of a case share two processors.
const DEADLINE_SLACK: Micros = 1_000_000;
/// The longest body that is sent as one frame (`CHUNK_BYTES` in meshage/src/wire/data/header.rs).
const SMALL_BYTES_MAX: usize = 57_328;
/// How long the routes may differ after a link changed.
const ROUTES_SETTLE: Micros = 2_000_000;
/// The most violations that are described.
const DESCRIBED_MAX: usize = 8;

/// What was done to the processes, and when it was calm again.
#[derive(Debug, Default)]
pub(super) struct Disturbances {
    /// Nodes that were stopped: the name, from when, and until when.
    pub(super) pauses: Vec<(String, Micros, Micros)>,
    /// Nodes that were killed.
    pub(super) kills: Vec<(String, Micros)>,
    /// From when until when each message must arrive.
    pub(super) calm: Option<(Micros, Micros)>,
}

/// What the histories say.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    /// The number of sends.
    pub(super) operations: usize,
    /// The number of recipients by outcome; `unreported` for the sends of killed nodes.
    pub(super) outcomes: BTreeMap<String, usize>,
    /// Why links ended, each end counted.
    pub(super) link_ends: BTreeMap<String, usize>,
    /// From the send to the delivery, sorted.
    pub(super) latencies: Vec<Micros>,
    /// The invariants that do not hold, described; at most a few.
    pub(super) violations: Vec<String>,
    /// How many violations there are.
    pub(super) violated: usize,
}

impl Judgement {
    /// The latency that this share of the deliveries does not exceed.
    pub(super) fn latency(&self, share: f64) -> Micros {
        let at = (self.latencies.len() as f64 * share) as usize;
        self.latencies.get(at.min(self.latencies.len().saturating_sub(1))).copied().unwrap_or(0)
    }

    /// The number of recipients with this outcome.
    pub(super) fn count(&self, outcome: &str) -> usize {
        self.outcomes.get(outcome).copied().unwrap_or_default()
    }

    /// The number of links that were closed as silent, each end counted.
    pub(super) fn silent(&self) -> usize {
        self.link_ends.get("silent").copied().unwrap_or_default()
    }

    fn violation(&mut self, what: String) {
        self.violated += 1;
        if self.violations.len() < DESCRIBED_MAX {
            self.violations.push(what);
        }
    }
}

/// An operation: the instance of its source, and its number there.
type Operation<'a> = (&'a str, u64);

struct Checker<'a> {
    lives: &'a [Life],
    disturbances: &'a Disturbances,
    sends: HashMap<Operation<'a>, (&'a Life, &'a Send)>,
    /// The names of the nodes that received an operation.
    arrived: HashMap<Operation<'a>, BTreeSet<&'a str>>,
    /// Every change of a link, sorted.
    changes: Vec<Micros>,
    /// Whether messages were refused, or may have been by a node that was killed.
    refused: bool,
    judgement: Judgement,
}

/// Judges all histories of a case.
pub(super) fn judge(lives: &[Life], disturbances: &Disturbances) -> Judgement {
    let mut sends = HashMap::new();
    let mut arrived: HashMap<Operation<'_>, BTreeSet<&str>> = HashMap::new();
    for life in lives {
        for (operation, send) in &life.sends {
            sends.insert((life.instance.as_str(), *operation), (life, send));
        }
        for got in &life.deliveries {
            arrived.entry((&got.instance, got.operation)).or_default().insert(&life.name);
        }
    }
    let mut changes: Vec<Micros> =
        lives.iter().flat_map(|life| life.links.iter().map(|change| change.at)).collect();
    changes.sort_unstable();
    let refused = lives.iter().any(|life| life.refused > 0 || life.stopped.is_none());
    let judgement = Judgement::default();
    let mut checker = Checker { lives, disturbances, sends, arrived, changes, refused, judgement };
    for life in lives {
        checker.check_deliveries(life);
        checker.check_sends(life);
        let over = disturbances.calm.map_or(Micros::MAX, |(_, to)| to);
        // After the calm, the nodes leave in order.
        let ends = life.links.iter().filter(|link| !link.reason.is_empty() && link.at < over);
        for link in ends {
            // The time of a silence differs from link to link.
            let silent = link.reason.starts_with("silent");
            let reason = if silent { "silent" } else { &link.reason };
            *checker.judgement.link_ends.entry(reason.into()).or_default() += 1;
        }
    }
    checker.judgement.latencies.sort_unstable();
    checker.judgement
}

impl<'a> Checker<'a> {
    /// S2, S3 and S5: what an incarnation received.
    fn check_deliveries(&mut self, life: &'a Life) {
        let mut seen = HashSet::new();
        // By source, size class and kind; and by source and size class.
        let mut last: HashMap<(&str, bool, bool), u64> = HashMap::new();
        let mut newest: HashMap<(&str, bool), u64> = HashMap::new();
        for got in &life.deliveries {
            let what = format!(
                "{} ({}) received operation {} of {} ({})",
                life.name, life.instance, got.operation, got.source, got.instance
            );
            if !seen.insert((got.instance.as_str(), got.operation)) {
                self.judgement.violation(format!("S2: {what} twice"));
                continue;
            }
            let Some(&(source, send)) = self.sends.get(&(got.instance.as_str(), got.operation))
            else {
                self.judgement.violation(format!("S3: {what}, which was not sent"));
                continue;
            };
            if let Some(why) = differs(life, got, source, send) {
                self.judgement.violation(format!("S3: {what}, {why}"));
            }
            self.judgement.latencies.push(got.at.saturating_sub(send.at));
            let large = got.bytes > SMALL_BYTES_MAX;
            let before = last.insert((&got.instance, large, got.broadcast), got.operation);
            if before.is_some_and(|before| before > got.operation) {
                self.judgement.violation(format!("S5: {what} after {before:?}"));
            }
            let newest = newest.entry((&got.instance, large)).or_insert(got.operation);
            if *newest > got.operation && !send.retry && self.was_steady(send.at, got.at) {
                let newest = *newest;
                self.judgement.violation(format!("S5: {what} after {newest} of the other kind"));
            }
            *newest = got.operation.max(*newest);
        }
    }

    /// Whether no route changed while a message was on its way, and no message was refused.
    fn was_steady(&self, from: Micros, to: Micros) -> bool {
        let from = from.saturating_sub(ROUTES_SETTLE);
        let after = self.changes.partition_point(|at| *at < from);
        !self.refused && self.changes.get(after).is_none_or(|at| *at > to)
    }

    /// S4, S6 and L1: what became of the sends of an incarnation.
    fn check_sends(&mut self, life: &'a Life) {
        for (&operation, send) in &life.sends {
            self.judgement.operations += 1;
            let what = format!("operation {operation} of {} ({})", life.name, life.instance);
            let deadline = send.at + send.timeout + DEADLINE_SLACK + self.paused(life, send);
            let Some((at, end)) = &send.end else {
                *self.judgement.outcomes.entry("unreported".into()).or_default() += 1;
                if life.stopped.is_some() || life.last > deadline {
                    self.judgement.violation(format!("S6: {what} did not end"));
                }
                continue;
            };
            if *at > deadline {
                let late = (at - send.at) as f64 / 1e6;
                self.judgement.violation(format!("S6: {what} ended after {late:.1} s"));
            }
            self.check_end(life, operation, send, *at, end, &what);
        }
    }

    fn check_end(
        &mut self,
        life: &'a Life,
        operation: u64,
        send: &Send,
        at: Micros,
        end: &End,
        what: &str,
    ) {
        let key = (life.instance.as_str(), operation);
        let arrived = self.arrived.get(&key).cloned().unwrap_or_default();
        let calm = self.disturbances.calm.is_some_and(|(from, to)| (from..to).contains(&send.at));
        let outcomes = match end {
            End::Report(outcomes) => outcomes,
            End::Error(error) => {
                *self.judgement.outcomes.entry("error".into()).or_default() += 1;
                if !arrived.is_empty() {
                    self.judgement.violation(format!("S4: {what} ({error}) reached {arrived:?}"));
                }
                if calm {
                    self.judgement.violation(format!("L1: {what} in the calm: {error}"));
                }
                return;
            }
        };
        let named: BTreeSet<String> = outcomes.iter().map(|(name, _)| name.clone()).collect();
        let once = named.len() == outcomes.len() && !named.contains(&life.name);
        if !once || (!send.broadcast && named != send.recipients) {
            self.judgement.violation(format!("S6: {what} has outcomes for {named:?}"));
        }
        for (name, outcome) in outcomes {
            *self.judgement.outcomes.entry(outcome.clone()).or_default() += 1;
            let there = arrived.contains(name.as_str());
            if outcome == "delivered" && !there && !self.was_killed(name, send.at, at) {
                self.judgement.violation(format!("S4: {what} is not in the history of {name}"));
            }
            if there && CERTAIN_FAILURES.contains(&outcome.as_str()) {
                self.judgement.violation(format!("S4: {what} ({outcome}) reached {name}"));
            }
            if calm && outcome != "delivered" {
                self.judgement.violation(format!("L1: {what} to {name} in the calm: {outcome}"));
            }
        }
    }

    /// Whether an incarnation of a node was killed that may have received a message between two
    /// times, and was killed before it wrote this down.
    fn was_killed(&self, name: &str, from: Micros, to: Micros) -> bool {
        self.lives.iter().filter(|life| life.name == name && life.stopped.is_none()).any(|life| {
            let kills = self.disturbances.kills.iter().filter(|(killed, _)| killed == name);
            let end = kills.map(|(_, at)| *at).filter(|at| *at >= life.started).min();
            life.started <= to && end.is_some_and(|end| end >= from)
        })
    }

    /// How long a node was stopped while a send was outstanding. It cannot report before it goes on.
    fn paused(&self, life: &Life, send: &Send) -> Micros {
        let pauses = self.disturbances.pauses.iter().filter(|(name, ..)| *name == life.name);
        let end = send.at + send.timeout;
        let during = pauses.filter(|(_, from, to)| *from < end && *to > send.at);
        during.map(|(_, from, to)| to - from).sum()
    }
}

/// How a delivered message differs from what was sent.
fn differs(life: &Life, got: &Delivery, source: &Life, send: &Send) -> Option<&'static str> {
    if source.name != got.source {
        Some("which another node sent")
    } else if !got.intact || got.bytes != send.bytes {
        Some("with another body")
    } else if got.broadcast != send.broadcast {
        Some("as another kind of message")
    } else if !send.broadcast && !send.recipients.contains(&life.name) {
        Some("which was not sent to it")
    } else if got.at < send.at {
        Some("before it was sent")
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
