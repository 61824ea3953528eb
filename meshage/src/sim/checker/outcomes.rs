//! Checks that senders received correct reports, once nothing is in flight.

use std::collections::BTreeMap;

use crate::message::Outcome;
use crate::name::NodeName;
use crate::sim::history::{SendId, SendRecord};
use crate::sim::simulation::Sim;

impl Sim {
    /// Compares every report with the deliveries.
    pub(in crate::sim) fn check_outcomes(&self) {
        for (number, sent) in self.history.sent().iter().enumerate() {
            check(SendId(number), sent, |name| {
                let end = sent.result.as_ref().map_or(sent.deadline, |(at, _)| *at);
                self.history.is_affected(sent.source, name, sent.started, end)
            });
        }
    }

    /// The number of recipients for each outcome.
    pub(in crate::sim) fn outcomes(&self) -> Vec<(&'static str, u64)> {
        let mut counts = BTreeMap::new();
        for sent in self.history.sent() {
            match &sent.result {
                Some((_, Ok(report))) => {
                    for (_, outcome) in report.outcomes() {
                        *counts.entry(outcome.name()).or_default() += 1;
                    }
                }
                Some((_, Err(_))) | None => *counts.entry("unreported").or_default() += 1,
            }
        }
        counts.into_iter().collect()
    }
}

/// Compares the report of a send with its deliveries, except for recipients of which frames were
/// forged.
fn check(send_id: SendId, sent: &SendRecord, is_affected: impl Fn(&NodeName) -> bool) {
    let Some((_, result)) = &sent.result else {
        assert!(sent.sender_ended, "invariant S6: {send_id:?} never completed: {sent:?}");
        return;
    };
    let Ok(report) = result else {
        return;
    };
    let mut named: Vec<_> = report.outcomes().iter().map(|(name, _)| name.clone()).collect();
    named.sort();
    assert_eq!(
        named, sent.expected,
        "invariant S6: the report of {send_id:?} names other recipients"
    );
    for (name, outcome) in report.outcomes() {
        if is_affected(name) {
            continue;
        }
        let arrived = sent.deliveries.iter().any(|delivery| delivery.name == *name);
        assert!(
            arrived || *outcome != Outcome::Delivered,
            "invariant S4: {send_id:?} was reported delivered to {name}, which did not receive it: {sent:?}"
        );
        assert!(
            !arrived || !outcome.is_certain_failure(),
            "invariant S4: {send_id:?} was reported {outcome:?} for {name}, which received it: {sent:?}"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::message::Report;
    use crate::name::{Instance, NodeName};
    use crate::sim::history::Delivery;
    use crate::sim::network::HostId;

    /// A send to "b" that was reported with `outcome`, and which arrived or did not.
    fn sent(outcome: Outcome, arrived: bool) -> SendRecord {
        let name = NodeName::new("b").expect("valid");
        let delivery =
            Delivery { name: name.clone(), instance: Instance(2), at: Duration::ZERO, hops: 1 };
        SendRecord {
            host_id: HostId(0),
            source: Instance(1),
            id: None,
            expected: vec![name.clone()],
            broadcast: false,
            length: 1,
            retry: false,
            order_disruptions: 0,
            started: Duration::ZERO,
            deadline: Duration::ZERO,
            result: Some((Duration::ZERO, Ok(Report::new(smallvec::smallvec![(name, outcome)])))),
            deliveries: if arrived { vec![delivery] } else { Vec::new() },
            sender_ended: false,
        }
    }

    #[test]
    fn an_unknown_outcome_allows_a_delivery_or_none() {
        for outcome in [Outcome::Timeout, Outcome::Lost] {
            check(SendId(0), &sent(outcome, true), |_| false);
            check(SendId(0), &sent(outcome, false), |_| false);
        }
        check(SendId(0), &sent(Outcome::Delivered, true), |_| false);
        check(SendId(0), &sent(Outcome::Busy, false), |_| false);
    }

    #[test]
    #[should_panic(expected = "invariant S4")]
    fn a_false_delivered_outcome_is_detected() {
        check(SendId(0), &sent(Outcome::Delivered, false), |_| false);
    }

    #[test]
    #[should_panic(expected = "invariant S4")]
    fn a_delivery_after_a_certain_failure_is_detected() {
        check(SendId(0), &sent(Outcome::Busy, true), |_| false);
    }

    #[test]
    #[should_panic(expected = "invariant S6")]
    fn a_report_that_omits_a_recipient_is_detected() {
        let mut sent = sent(Outcome::Delivered, true);
        sent.expected.clear();
        check(SendId(0), &sent, |_| false);
    }
}
