//! The performance targets: each limits a ratio of two figures of one run, or an absolute figure.
//!
//! No other file contains targets. Ratios use the `@same` variant where it exists, because it
//! excludes the wake-up time of an idle core and varies less.

use std::fmt;

use crate::cases::Case;
use crate::figures::{Figure, Figures};
use crate::format;

/// The part of a figure that a target limits.
#[derive(Debug, Clone, Copy)]
enum Part {
    Median,
    P99,
}

/// What a figure is compared with.
#[derive(Debug, Clone, Copy)]
enum Baseline {
    /// The best of these systems in this case.
    Best(&'static str, &'static [&'static str]),
    /// The same system without encryption in the same case, round by round.
    Open(&'static str),
    /// Nothing: the limit applies to the figure itself, in its unit.
    Absolute,
}

#[derive(Debug, Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// One target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    case: &'static str,
    system: &'static str,
    part: Part,
    bound: Bound,
    baseline: Baseline,
}

/// Whether a target was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    Missed,
    /// One of the two figures is missing.
    NotMeasured,
}

/// A target with its result.
#[derive(Debug)]
pub(crate) struct TargetResult {
    pub(crate) target: &'static Target,
    /// The ratio, or the figure itself.
    value: Option<f64>,
    /// The quartiles of the ratio, if it was computed round by round.
    middle: Option<(f64, f64)>,
    /// The system that it was compared with.
    pub(crate) baseline: Option<&'static str>,
}

const RAW: &[&str] = &["raw-std", "raw-tokio"];
const PEERS: &[&str] = &["zeromq", "zenoh", "grpc"];

const fn at_most(
    case: &'static str,
    system: &'static str,
    bound: f64,
    other: &'static str,
    systems: &'static [&'static str],
) -> Target {
    let baseline = Baseline::Best(other, systems);
    Target { case, system, part: Part::Median, bound: Bound::AtMost(bound), baseline }
}

const fn at_least(
    case: &'static str,
    system: &'static str,
    bound: f64,
    other: &'static str,
    systems: &'static [&'static str],
) -> Target {
    let baseline = Baseline::Best(other, systems);
    Target { case, system, part: Part::Median, bound: Bound::AtLeast(bound), baseline }
}

const fn absolute(case: &'static str, system: &'static str, bound: f64) -> Target {
    let (part, bound) = (Part::Median, Bound::AtMost(bound));
    Target { case, system, part, bound, baseline: Baseline::Absolute }
}

/// The same target for the 99th percentile.
const fn by_p99(target: Target) -> Target {
    Target { part: Part::P99, ..target }
}

/// Limits the cost of encryption: the ratio of a system in a closed mesh to the same in an open one.
const fn closed(
    case: &'static str,
    system: &'static str,
    bound: Bound,
    open: &'static str,
) -> Target {
    Target { case, system, part: Part::Median, bound, baseline: Baseline::Open(open) }
}

/// The targets of one system in a closed mesh.
const fn closed_targets(system: &'static str, open: &'static str) -> [Target; 4] {
    [
        closed("set_rtt@same", system, Bound::AtMost(1.2), open),
        closed("set_64", system, Bound::AtLeast(0.85), open),
        closed("set_window", system, Bound::AtLeast(0.85), open),
        closed("large", system, Bound::AtLeast(0.6), open),
    ]
}

const RUST_CLOSED: [Target; 4] = closed_targets("meshage-rust-key", "meshage-rust");
const C_CLOSED: [Target; 4] = closed_targets("meshage-c-key", "meshage-c");
const PEERS_ENCRYPTED: &[&str] = &["zeromq-curve", "zenoh-tls", "grpc-tls"];

const RUST: &[&str] = &["meshage-rust"];
const C: &[&str] = &["meshage-c"];

/// Every target.
const ALL: &[Target] = &[
    at_most("set_rtt@same", "meshage-rust", 1.3, "set_rtt@same", &["raw-tokio"]),
    at_most("set_rtt@same", "meshage-rust", 0.5, "set_rtt@same", PEERS),
    at_most("set_rtt@same", "meshage-c", 1.7, "set_rtt@same", &["raw-std"]),
    at_most("set_rtt@same", "meshage-blocking", 1.7, "set_rtt@same", &["raw-std"]),
    at_most("set_rtt@same", "meshage-go", 1.3, "set_rtt@same", C),
    at_most("set_rtt@same", "meshage-python", 2.5, "set_rtt@same", &["raw-std"]),
    at_most("set_rtt@same", "meshage-asyncio", 4.0, "set_rtt@same", &["raw-std"]),
    at_least("set_64", "meshage-rust", 1.2, "set_64", &["zeromq"]),
    at_least("set_64", "meshage-c", 3.0, "set_64", &["grpc"]),
    at_least("set_64", "meshage-go", 0.7, "set_64", C),
    at_least("set_window", "meshage-rust", 1.4, "set_window", &["zeromq"]),
    at_least("set_window", "meshage-rust", 0.9, "stream_unacked", &["zenoh"]),
    at_least("set_window", "meshage-c", 0.8, "set_window", RUST),
    at_least("set_window", "meshage-python", 2.4, "set_window", &["pyzmq"]),
    at_least("recv_many", "meshage-python", 1.0, "recv_many", &["pyzmq"]),
    at_least("recv_for", "meshage-asyncio", 0.35, "recv_many", &["pyzmq"]),
    at_least("large", "meshage-rust", 0.8, "large", RAW),
    by_p99(at_most("large_beside@1MiB", "meshage-rust", 2.0, "large_beside@alone", RUST)),
    by_p99(at_most("large_beside@64MiB", "meshage-rust", 2.0, "large_beside@alone", RUST)),
    at_least("relay_64@1", "meshage-rust", 0.5, "set_64", RUST),
    at_least("relay_window@1", "meshage-rust", 0.5, "set_window", RUST),
    at_most("relay_rtt@1@same", "meshage-rust", 1.5, "relay_rtt@1@same", RAW),
    at_most("fanout@16", "meshage-rust", 1.6, "fanout@16", &["raw-std"]),
    absolute("spf@10000", "meshage-rust", 5.0),
    absolute("spf@10000-half", "meshage-rust", 5.0),
    absolute("memory@idle", "meshage-rust", 6.0),
    RUST_CLOSED[0],
    RUST_CLOSED[1],
    RUST_CLOSED[2],
    RUST_CLOSED[3],
    C_CLOSED[0],
    C_CLOSED[1],
    C_CLOSED[2],
    C_CLOSED[3],
    at_most("set_rtt@same", "meshage-rust-key", 1.0, "set_rtt@same", PEERS_ENCRYPTED),
    at_least("set_64", "meshage-rust-key", 1.0, "set_64", PEERS_ENCRYPTED),
    at_least("set_window", "meshage-rust-key", 1.0, "set_window", PEERS_ENCRYPTED),
    at_least("large", "meshage-rust-key", 1.0, "large", PEERS_ENCRYPTED),
];

/// Evaluates every target whose own figure was measured.
pub(crate) fn evaluate(figures: &Figures) -> Vec<TargetResult> {
    let measured = |target: &&Target| figures.get(target.case, target.system).is_some();
    ALL.iter().filter(measured).map(|target| target.evaluate(figures)).collect()
}

impl Target {
    fn evaluate(&'static self, figures: &Figures) -> TargetResult {
        let part = |figure: &Figure| match self.part {
            Part::Median => figure.median,
            Part::P99 => figure.p99,
        };
        let ours = figures.get(self.case, self.system);
        let (case, systems) = match self.baseline {
            Baseline::Best(case, systems) => (case, systems),
            Baseline::Open(open) => {
                let open = figures.get(self.case, open);
                let ratio = ours.zip(open).and_then(|(ours, open)| ours.ratio_to(open));
                return TargetResult {
                    target: self,
                    value: ratio.map(|ratio| ratio.median),
                    middle: ratio.map(|ratio| ratio.middle),
                    baseline: open.map(|open| open.system),
                };
            }
            Baseline::Absolute => {
                let value = ours.map(part);
                return TargetResult { target: self, value, middle: None, baseline: None };
            }
        };
        let ours = ours.map(part);
        let candidates = systems.iter().filter_map(|system| figures.get(case, system));
        let best = candidates.reduce(|a, b| {
            let a_is_better =
                if a.unit.lower_is_better() { part(a) <= part(b) } else { part(a) >= part(b) };
            if a_is_better { a } else { b }
        });
        let value = ours.zip(best).map(|(ours, best)| ours / part(best));
        TargetResult { target: self, value, middle: None, baseline: best.map(|best| best.system) }
    }

    fn unit(&self) -> &'static str {
        Case::named(self.case).map_or("", |case| case.unit.name())
    }
}

impl fmt::Display for Target {
    /// `set_rtt@same of meshage-rust ≤ 1.3 × raw-tokio`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.part {
            Part::Median => "",
            Part::P99 => ", 99th percentile",
        };
        let (sign, bound) = match self.bound {
            Bound::AtMost(bound) => ('≤', bound),
            Bound::AtLeast(bound) => ('≥', bound),
        };
        let mut text = format!("{} of {}{part} {sign} {bound}", self.case, self.system);
        match self.baseline {
            Baseline::Absolute => text.push_str(&format!(" {}", self.unit())),
            Baseline::Open(open) => text.push_str(&format!(" × {open}")),
            Baseline::Best(case, systems) => {
                let best = if systems.len() > 1 { "the best of " } else { "" };
                text.push_str(&format!(" × {best}{}", systems.join(", ")));
                if case != self.case {
                    text.push_str(&format!(" in {case}"));
                }
            }
        }
        f.pad(&text)
    }
}

impl TargetResult {
    /// The ratio, or the figure itself.
    pub(crate) fn value(&self) -> String {
        let Some(value) = self.value else { return "–".into() };
        match self.target.baseline {
            Baseline::Open(_) => match self.middle {
                Some((low, high)) => format!("{value:.2} × ({low:.2} – {high:.2})"),
                None => format!("{value:.2} ×"),
            },
            Baseline::Best(..) => format!("{value:.2} ×"),
            Baseline::Absolute => format!("{} {}", format::number(value), self.target.unit()),
        }
    }

    /// Whether the target was met.
    pub(crate) fn verdict(&self) -> Verdict {
        let holds = match (self.value, self.target.bound) {
            (None, Bound::AtMost(_) | Bound::AtLeast(_)) => return Verdict::NotMeasured,
            (Some(value), Bound::AtMost(bound)) => value <= bound,
            (Some(value), Bound::AtLeast(bound)) => value >= bound,
        };
        if holds { Verdict::Met } else { Verdict::Missed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Round;
    use crate::systems;

    fn figures(all: &[(&'static str, &'static str, f64)]) -> Figures {
        let figure = |&(case, system, median)| {
            let unit = Case::named(case).expect("the case exists").unit;
            Figure::from_rounds(
                case,
                system,
                unit,
                &[Round { median, p99: Some(median * 3.0), p999: None }],
            )
        };
        Figures { all: all.iter().filter_map(figure).collect(), ..Figures::default() }
    }

    #[test]
    fn every_target_names_cases_that_its_systems_run() {
        for target in ALL {
            let runs = |case: &str, name: &str| {
                let case = Case::named(case).expect("the case exists");
                systems::ALL.iter().any(|system| system.name == name && system.runs(case))
            };
            assert!(runs(target.case, target.system), "{target}");
            match target.baseline {
                Baseline::Best(case, systems) => {
                    assert!(systems.iter().all(|system| runs(case, system)), "{target}");
                }
                Baseline::Open(open) => assert!(runs(target.case, open), "{target}"),
                Baseline::Absolute => {}
            }
        }
    }

    #[test]
    fn a_target_is_compared_with_the_best_of_its_baselines() {
        let figures = figures(&[
            ("set_rtt@same", "meshage-rust", 12.0),
            ("set_rtt@same", "raw-tokio", 10.0),
            ("set_rtt@same", "zeromq", 20.0),
            ("set_rtt@same", "grpc", 30.0),
        ]);
        let results = evaluate(&figures);
        let shown: Vec<_> =
            results.iter().map(|one| (one.value(), one.verdict(), one.baseline)).collect();
        assert_eq!(
            shown,
            [
                ("1.20 ×".into(), Verdict::Met, Some("raw-tokio")),
                ("0.60 ×".into(), Verdict::Missed, Some("zeromq")),
            ]
        );
    }

    #[test]
    fn the_cost_of_encryption_is_compared_round_by_round() {
        let results = evaluate(&figures(&[
            ("large", "meshage-c", 1000.0),
            ("large", "meshage-c-key", 500.0),
        ]));
        assert_eq!(results.len(), 1);
        assert_eq!(results[0].target.to_string(), "large of meshage-c-key ≥ 0.6 × meshage-c");
        assert_eq!(results[0].value(), "0.50 × (0.50 – 0.50)");
        assert_eq!(results[0].verdict(), Verdict::Missed);
    }

    #[test]
    fn a_target_without_its_baseline_is_not_measured() {
        let results = evaluate(&figures(&[("set_64", "meshage-rust", 12.0)]));
        assert_eq!(results[0].verdict(), Verdict::NotMeasured);
        assert!(evaluate(&Figures::default()).is_empty());
    }

    #[test]
    fn a_target_is_displayed_in_one_line() {
        assert_eq!(ALL[0].to_string(), "set_rtt@same of meshage-rust ≤ 1.3 × raw-tokio");
        let spf = evaluate(&figures(&[("spf@10000", "meshage-rust", 4.5)]));
        assert_eq!(spf[0].target.to_string(), "spf@10000 of meshage-rust ≤ 5 ms");
        assert_eq!((spf[0].value().as_str(), spf[0].verdict()), ("4.50 ms", Verdict::Met));
    }
}
