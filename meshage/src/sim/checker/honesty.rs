//! Whether senders were told the truth, once nothing is under way any more.

use std::collections::BTreeMap;

use crate::message::Outcome;
use crate::sim::ledger::{Sent, Ticket};
use crate::sim::world::Sim;

impl Sim {
    /// Compares what every sender was told with what arrived.
    pub(in crate::sim) fn check_honesty(&self) {
        for (number, sent) in self.ledger.sent().iter().enumerate() {
            check(Ticket(number), sent);
        }
    }

    /// How many recipients had each outcome.
    pub(in crate::sim) fn outcomes(&self) -> Vec<(&'static str, u64)> {
        let mut counts = BTreeMap::new();
        for sent in self.ledger.sent() {
            match &sent.result {
                Some((_, Ok(report))) => {
                    for (_, outcome) in report.outcomes() {
                        *counts.entry(word(*outcome)).or_default() += 1;
                    }
                }
                Some((_, Err(_))) | None => *counts.entry("untold").or_default() += 1,
            }
        }
        counts.into_iter().collect()
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered => "delivered",
        Outcome::NoRoute => "no-route",
        Outcome::Busy => "busy",
        Outcome::TooLarge => "too-large",
        Outcome::Canceled => "canceled",
        Outcome::Timeout => "timeout",
        Outcome::Lost => "lost",
    }
}

fn check(ticket: Ticket, sent: &Sent) {
    let Some((_, result)) = &sent.result else {
        assert!(sent.orphaned, "invariant S6: {ticket:?} never ended: {sent:?}");
        return;
    };
    let Ok(report) = result else {
        return;
    };
    let mut named: Vec<_> = report.outcomes().iter().map(|(name, _)| name.clone()).collect();
    named.sort();
    assert_eq!(named, sent.expected, "invariant S6: the report of {ticket:?} names others");
    for (name, outcome) in report.outcomes() {
        let arrived = sent.receipts.iter().any(|receipt| receipt.name == *name);
        assert!(
            arrived || *outcome != Outcome::Delivered,
            "invariant S4: {ticket:?} was reported delivered to {name}, which never had it: {sent:?}"
        );
        assert!(
            !arrived || !outcome.is_certain_failure(),
            "invariant S4: {ticket:?} was reported {outcome:?} for {name}, which had it: {sent:?}"
        );
    }
}
