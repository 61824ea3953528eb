//! What was sent, how it ended and what arrived, and the checks of the promises about messages.
//!
//! A body carries the number of its message, so that an arrival is matched with its send. The promises
//! are those of RELIABILITY.md: one outcome by the deadline; what is delivered arrives once, as it was
//! sent, at its recipients, in order; what certainly failed does not arrive.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::driver::{CERTAIN_FAILURES, checksum};

/// Bodies that do not fit into one frame are large: they have a channel of their own, with its own
/// order. The soak sends none whose size is near the limit, which is slightly below 64 KiB.
pub(super) const SMALL_MAX: usize = 48 << 10;
pub(super) const LARGE_MIN: usize = 64 << 10;
/// How long an outcome may be overdue, and an acknowledged message may be on its way from the queue of
/// the recipient to its output, on a busy machine.
const SLACK: Duration = Duration::from_secs(15);
/// How long a message is remembered after its end, to notice duplicates.
const LINGER: Duration = Duration::from_secs(30);
/// The violations that are kept as text. All are counted.
const TEXTS_MAX: usize = 50;

/// The outcomes after which it is unknown.
const UNKNOWN: [&str; 2] = ["timeout", "lost"];
/// The errors of a send that the soak can cause: a full queue, and a node that closes meanwhile.
const ERRORS: [&str; 2] = ["again", "closed"];

/// One run of the node of a slot. A restart begins another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Life {
    /// The place among the processes, which determines the name.
    pub(super) slot: usize,
    /// 1 for the first run.
    pub(super) number: u32,
}

/// What a life does at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has ended, or closes its node.
    Gone,
    /// It is stopped by a signal.
    Stopped,
    /// It runs, since its start or since it was continued.
    Running(Instant),
}

/// A message that is sent.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pub(super) from: Life,
    /// Messages of a lane are sent one after the other.
    pub(super) lane: usize,
    /// The recipients; empty for a broadcast.
    pub(super) to: Vec<usize>,
    pub(super) length: usize,
    /// The life that each slot had when the message was sent, if its node was ready.
    pub(super) lives: Vec<Option<u32>>,
    /// When the outcome is due.
    pub(super) deadline: Instant,
}

/// The counts of one slot, over all its lives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) sends: u64,
    pub(super) delivered: u64,
    /// Outcomes of recipients other than delivered, and errors of sends, by word.
    pub(super) others: BTreeMap<String, u64>,
    pub(super) received: u64,
    pub(super) violations: u64,
}

/// All messages that can still change, and the counts of all.
pub(super) struct Ledger {
    names: Vec<String>,
    next: u64,
    messages: BTreeMap<u64, Record>,
    /// The last message of each lane and channel at each recipient.
    last: BTreeMap<(Life, Life, usize, bool, bool), u64>,
    counts: Vec<Counts>,
    texts: Vec<String>,
}

struct Record {
    sent: Outgoing,
    /// Of the body; computed at the first arrival.
    checksum: Option<String>,
    ended: Option<Instant>,
    /// The result, if it comes at all, was written by a sender that has ended meanwhile.
    is_given_up: bool,
    /// Where it is delivered; and those of them where it has not arrived yet.
    was_delivered: BTreeSet<usize>,
    delivered: BTreeSet<usize>,
    failed: BTreeSet<usize>,
    arrived: BTreeSet<Life>,
}

impl Record {
    /// What it was, and how it ended at a recipient.
    fn describe(&self, slot: usize) -> String {
        let kind = if self.sent.to.is_empty() { "broadcast" } else { "set" };
        let outcome = if self.failed.contains(&slot) {
            "certainly failed"
        } else if self.was_delivered.contains(&slot) {
            "delivered"
        } else if self.ended.is_some() {
            "unknown"
        } else {
            "not ended"
        };
        format!("{kind} of {} bytes, {outcome}", self.sent.length)
    }
}

impl Ledger {
    /// A ledger for processes with these names.
    pub(super) fn new(names: Vec<String>) -> Self {
        let counts = vec![Counts::default(); names.len()];
        let (messages, last) = (BTreeMap::new(), BTreeMap::new());
        Self { names, next: 1, messages, last, counts, texts: Vec::new() }
    }

    /// Records a send. Returns its number: the label of the body is [`label`] of it.
    pub(super) fn send(&mut self, sent: Outgoing) -> u64 {
        let number = self.next;
        self.next += 1;
        self.counts[sent.from.slot].sends += 1;
        let record = Record {
            sent,
            checksum: None,
            ended: None,
            is_given_up: false,
            was_delivered: BTreeSet::new(),
            delivered: BTreeSet::new(),
            failed: BTreeSet::new(),
            arrived: BTreeSet::new(),
        };
        self.messages.insert(number, record);
        number
    }

    /// Records how a send ended: `sent a=delivered b=lost`, or `error closed`.
    pub(super) fn end(&mut self, number: u64, result: &str, now: Instant) {
        let Some(record) = self.messages.get_mut(&number) else {
            return;
        };
        if record.ended.replace(now).is_some() && !record.is_given_up {
            let slot = record.sent.from.slot;
            return self.violation(slot, &format!("message {number} ended twice: {result}"));
        }
        let (slot, recipients) = (record.sent.from.slot, record.sent.to.clone());
        let mut words = result.split(' ');
        let mut problems = Vec::new();
        match words.next() {
            Some("sent") => {
                let mut named = Vec::new();
                for word in words {
                    let (name, outcome) = word.split_once('=').unwrap_or((word, ""));
                    let Some(recipient) = self.names.iter().position(|known| known == name) else {
                        problems.push(format!("message {number} has an outcome for {name:?}"));
                        continue;
                    };
                    named.push(recipient);
                    if outcome == "delivered" {
                        record.delivered.insert(recipient);
                        record.was_delivered.insert(recipient);
                        self.counts[slot].delivered += 1;
                        continue;
                    }
                    *self.counts[slot].others.entry(outcome.to_owned()).or_default() += 1;
                    if CERTAIN_FAILURES.contains(&outcome) {
                        record.failed.insert(recipient);
                        if record.arrived.iter().any(|life| life.slot == recipient) {
                            problems.push(format!(
                                "message {number} arrived at {name}, and was then reported as {outcome}"
                            ));
                        }
                    } else if !UNKNOWN.contains(&outcome) {
                        problems.push(format!("message {number} ended as {word:?}"));
                    }
                }
                named.sort_unstable();
                if !recipients.is_empty() && named != recipients {
                    problems.push(format!("message {number} has outcomes of others: {result}"));
                }
            }
            Some("error") => {
                let word = words.next().unwrap_or_default();
                *self.counts[slot].others.entry(word.to_owned()).or_default() += 1;
                if !ERRORS.contains(&word) {
                    problems.push(format!("message {number} failed: {result}"));
                }
            }
            Some(_) | None => problems.push(format!("message {number} ended as {result:?}")),
        }
        for problem in problems {
            self.violation(slot, &problem);
        }
    }

    /// Records an arrival: `SOURCE TO ROUTE LENGTH CRC LABEL`.
    pub(super) fn arrive(&mut self, at: Life, message: &str) {
        self.counts[at.slot].received += 1;
        if let Err(problem) = self.check_arrival(at, message) {
            self.violation(at.slot, &problem);
        }
    }

    fn check_arrival(&mut self, at: Life, message: &str) -> Result<(), String> {
        let words: Vec<&str> = message.split(' ').collect();
        let [source, to, _route, length, crc, label] = words[..] else {
            return Err(format!("the message {message:?} cannot be read"));
        };
        // An empty body has no number.
        if length == "0" {
            return if crc == "00000000" { Ok(()) } else { Err(format!("altered: {message}")) };
        }
        let number = label.strip_prefix('m').and_then(|number| number.parse().ok());
        let known = number.and_then(|number: u64| Some((number, self.messages.get_mut(&number)?)));
        let Some((number, record)) = known else {
            return Err(format!("arrived late or again, or was never sent: {message}"));
        };
        let sent = &record.sent;
        let expected = record.checksum.get_or_insert_with(|| checksum(label, sent.length));
        if length.parse() != Ok(sent.length) || crc != expected {
            return Err(format!("altered: {message} instead of {} {expected}", sent.length));
        }
        let is_broadcast = sent.to.is_empty();
        let is_recipient =
            if is_broadcast { at.slot != sent.from.slot } else { sent.to.contains(&at.slot) };
        if source != self.names[sent.from.slot] || !is_recipient || (to == "-") != is_broadcast {
            return Err(format!("arrived at {}: {message}", self.names[at.slot]));
        }
        if !record.arrived.insert(at) {
            return Err(format!("arrived twice: {message}"));
        }
        if record.failed.contains(&at.slot) {
            return Err(format!("arrived although it had certainly failed: {message}"));
        }
        let channel = (at, sent.from, sent.lane, is_broadcast, sent.length > SMALL_MAX);
        match self.last.insert(channel, number) {
            Some(last) if last > number => {
                let last_outcome = self.messages.get(&last).map(|last| last.describe(at.slot));
                let this = self.messages.get(&number).map(|this| this.describe(at.slot));
                Err(format!(
                    "m{number} ({}) arrived after m{last} ({}), both from {source}",
                    this.unwrap_or_default(),
                    last_outcome.unwrap_or_default()
                ))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Looks for outcomes that are overdue and delivered messages that did not arrive. Forgets messages
    /// that cannot change any more.
    pub(super) fn check(&mut self, now: Instant, standing: impl Fn(Life) -> Standing) {
        let is_late = |since: Instant| now.saturating_duration_since(since) > SLACK;
        let mut problems = Vec::new();
        let mut done = Vec::new();
        for (&number, record) in &mut self.messages {
            let from = record.sent.from;
            let Some(ended) = record.ended else {
                match standing(from) {
                    Standing::Gone => {
                        record.ended = Some(now);
                        record.is_given_up = true;
                    }
                    Standing::Running(since) if is_late(record.sent.deadline.max(since)) => {
                        record.ended = Some(now);
                        problems.push((from.slot, format!("message {number} has no outcome")));
                    }
                    Standing::Running(_) | Standing::Stopped => {}
                }
                continue;
            };
            // An empty body has no number, so its arrival is not matched.
            if record.sent.length == 0 {
                record.delivered.clear();
            }
            let mut waits = false;
            record.delivered.retain(|&slot| {
                // A node that was started meanwhile may have acknowledged it, or the one before.
                let Some(of_life) = record.sent.lives[slot] else { return false };
                let life = Life { slot, number: of_life };
                if record.arrived.contains(&life) {
                    return false;
                }
                let is_missing = match standing(life) {
                    Standing::Gone => return false,
                    Standing::Stopped => false,
                    Standing::Running(since) => is_late(ended.max(since)),
                };
                if is_missing {
                    let sender = &self.names[from.slot];
                    let text = format!("message {number} of {sender} is delivered and missing");
                    problems.push((slot, text));
                }
                waits |= !is_missing;
                !is_missing
            });
            if !waits && now.saturating_duration_since(ended) > LINGER {
                done.push(number);
            }
        }
        for number in done {
            self.messages.remove(&number);
        }
        for (slot, problem) in problems {
            self.violation(slot, &problem);
        }
        self.last.retain(|(at, from, ..), _| {
            standing(*at) != Standing::Gone && standing(*from) != Standing::Gone
        });
    }

    /// Counts a violation at a slot, and prints it.
    pub(super) fn violation(&mut self, slot: usize, what: &str) {
        self.counts[slot].violations += 1;
        let text = format!("{}: {what}", self.names[slot]);
        if self.texts.len() < TEXTS_MAX {
            println!("   VIOLATION at {text}");
            self.texts.push(text);
        }
    }

    /// The messages that have not ended.
    pub(super) fn outstanding(&self) -> usize {
        self.messages.values().filter(|record| record.ended.is_none()).count()
    }

    /// Whether a message is delivered at all these slots, and arrived there.
    pub(super) fn is_complete(&self, number: u64, recipients: usize) -> bool {
        self.messages.get(&number).is_some_and(|record| {
            let arrived: BTreeSet<usize> = record.arrived.iter().map(|life| life.slot).collect();
            record.ended.is_some() && record.failed.is_empty() && arrived.len() == recipients
        })
    }

    /// The counts of each slot.
    pub(super) fn counts(&self) -> &[Counts] {
        &self.counts
    }

    /// The first violations.
    pub(super) fn texts(&self) -> &[String] {
        &self.texts
    }
}

/// The label of a message's body.
pub(super) fn label(number: u64) -> String {
    format!("m{number:09}")
}

/// The smallest body that has a label.
pub(super) const LABELLED_MIN: u64 = 11;

#[cfg(test)]
mod tests {
    use super::*;

    const A: Life = Life { slot: 0, number: 1 };
    const B: Life = Life { slot: 1, number: 1 };

    /// A ledger of three processes, and a message from a to b of 20 bytes.
    fn one_sent() -> (Ledger, u64) {
        let mut ledger = Ledger::new(["a", "b", "c"].map(str::to_owned).to_vec());
        let number = send(&mut ledger);
        (ledger, number)
    }

    fn send(ledger: &mut Ledger) -> u64 {
        let (to, lives) = (vec![1], vec![Some(1); 3]);
        ledger.send(Outgoing { from: A, lane: 0, to, length: 20, lives, deadline: Instant::now() })
    }

    fn arrival(number: u64) -> String {
        let label = label(number);
        format!("a b a 20 {} {label}", checksum(&label, 20))
    }

    fn violations(ledger: &Ledger) -> Vec<&str> {
        ledger.texts().iter().map(String::as_str).collect()
    }

    fn in_a_minute() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn a_message_that_arrives_once_and_is_delivered_violates_nothing() {
        let (mut ledger, number) = one_sent();
        ledger.arrive(B, &arrival(number));
        ledger.end(number, "sent b=delivered", Instant::now());
        ledger.check(in_a_minute(), |_| Standing::Running(Instant::now()));
        assert_eq!(violations(&ledger), [""; 0]);
        assert_eq!((ledger.counts()[0].delivered, ledger.counts()[1].received), (1, 1));
        assert_eq!(ledger.messages.len(), 0);
    }

    #[test]
    fn a_second_arrival_is_a_violation_also_after_the_message_was_forgotten() {
        let (mut ledger, number) = one_sent();
        ledger.arrive(B, &arrival(number));
        ledger.arrive(B, &arrival(number));
        assert!(violations(&ledger)[0].contains("twice"));
        ledger.end(number, "sent b=delivered", Instant::now());
        ledger.check(in_a_minute(), |_| Standing::Running(Instant::now()));
        ledger.arrive(B, &arrival(number));
        assert!(violations(&ledger)[1].contains("again"));
    }

    #[test]
    fn a_delivered_message_that_did_not_arrive_is_a_violation_unless_the_recipient_is_gone() {
        for (standing, expected) in [(Standing::Running(Instant::now()), 1), (Standing::Gone, 0)] {
            let (mut ledger, number) = one_sent();
            ledger.end(number, "sent b=delivered", Instant::now());
            ledger
                .check(in_a_minute(), |life| if life == B { standing } else { Standing::Stopped });
            assert_eq!(violations(&ledger).len(), expected, "{standing:?}");
        }
    }

    #[test]
    fn a_message_that_certainly_failed_must_not_arrive_before_or_after() {
        for arrives_first in [true, false] {
            let (mut ledger, number) = one_sent();
            if arrives_first {
                ledger.arrive(B, &arrival(number));
            }
            ledger.end(number, "sent b=no-route", Instant::now());
            if !arrives_first {
                ledger.arrive(B, &arrival(number));
            }
            assert_eq!(violations(&ledger).len(), 1);
        }
    }

    #[test]
    fn an_unknown_outcome_allows_both_and_a_missing_one_is_a_violation() {
        let (mut ledger, number) = one_sent();
        ledger.end(number, "sent b=lost", Instant::now());
        ledger.arrive(B, &arrival(number));
        let second = send(&mut ledger);
        assert_eq!(violations(&ledger), [""; 0]);
        ledger.check(in_a_minute(), |_| Standing::Running(Instant::now()));
        assert_eq!(violations(&ledger), [format!("a: message {second} has no outcome")]);
    }

    #[test]
    fn the_result_of_a_sender_that_was_killed_may_still_be_read() {
        let (mut ledger, number) = one_sent();
        ledger.check(Instant::now(), |_| Standing::Gone);
        ledger.end(number, "sent b=no-route", Instant::now());
        assert_eq!(violations(&ledger), [""; 0]);
        ledger.arrive(B, &arrival(number));
        assert_eq!(violations(&ledger).len(), 1);
    }

    #[test]
    fn altered_misplaced_and_disordered_messages_are_violations() {
        let (mut ledger, first) = one_sent();
        let second = send(&mut ledger);
        ledger.arrive(B, &arrival(first).replace(" 20 ", " 21 "));
        ledger.arrive(Life { slot: 2, number: 1 }, &arrival(first));
        ledger.arrive(B, &arrival(second));
        ledger.arrive(B, &arrival(first));
        let found = violations(&ledger);
        assert!(found[0].contains("altered") && found[1].contains("arrived at c"), "{found:?}");
        assert!(found[2].contains("arrived after"), "{found:?}");
        assert_eq!(found.len(), 3);
    }
}
