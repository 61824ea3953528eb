//! What is to be reached: each target a ratio of two figures of one run, or a figure itself.
//!
//! This is the only place that knows them. Ratios are taken of `@same` where it exists, since that
//! leaves the waking of an idle core out and is the steadier figure.

use std::fmt;

use crate::cases::Case;
use crate::figures::{Figure, Figures};
use crate::table;

/// Which part of a figure counts.
#[derive(Debug, Clone, Copy)]
enum Part {
    Median,
    P99,
}

/// What it is measured against.
#[derive(Debug, Clone, Copy)]
enum Against {
    /// The best of these systems in a case.
    Best(&'static str, &'static [&'static str]),
    /// Nothing: the figure itself, in its unit.
    Itself,
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
    against: Against,
}

/// Whether a target was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Yes,
    No,
    /// One of the two figures is not there.
    Unknown,
}

/// A target with what was reached.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) target: &'static Target,
    /// The ratio, or the figure itself.
    value: Option<f64>,
    /// The system that it was measured against.
    pub(crate) other: Option<&'static str>,
}

const RAW: &[&str] = &["raw-std", "raw-tokio"];
const PEERS: &[&str] = &["zeromq", "zenoh", "grpc"];

const fn most(
    case: &'static str,
    system: &'static str,
    bound: f64,
    other: &'static str,
    systems: &'static [&'static str],
) -> Target {
    let against = Against::Best(other, systems);
    Target { case, system, part: Part::Median, bound: Bound::AtMost(bound), against }
}

const fn least(
    case: &'static str,
    system: &'static str,
    bound: f64,
    other: &'static str,
    systems: &'static [&'static str],
) -> Target {
    let against = Against::Best(other, systems);
    Target { case, system, part: Part::Median, bound: Bound::AtLeast(bound), against }
}

const fn itself(case: &'static str, system: &'static str, bound: f64) -> Target {
    let (part, bound) = (Part::Median, Bound::AtMost(bound));
    Target { case, system, part, bound, against: Against::Itself }
}

/// Judged by the 99th percentile.
const fn by_p99(target: Target) -> Target {
    Target { part: Part::P99, ..target }
}

const RUST: &[&str] = &["meshage-rust"];
const C: &[&str] = &["meshage-c"];

/// All of them.
const ALL: &[Target] = &[
    most("set_rtt@same", "meshage-rust", 1.3, "set_rtt@same", &["raw-tokio"]),
    most("set_rtt@same", "meshage-rust", 0.5, "set_rtt@same", PEERS),
    most("set_rtt@same", "meshage-c", 1.7, "set_rtt@same", &["raw-std"]),
    most("set_rtt@same", "meshage-blocking", 1.7, "set_rtt@same", &["raw-std"]),
    most("set_rtt@same", "meshage-go", 1.3, "set_rtt@same", C),
    most("set_rtt@same", "meshage-python", 2.5, "set_rtt@same", &["raw-std"]),
    most("set_rtt@same", "meshage-asyncio", 4.0, "set_rtt@same", &["raw-std"]),
    least("set_64", "meshage-rust", 1.2, "set_64", &["zeromq"]),
    least("set_64", "meshage-c", 3.0, "set_64", &["grpc"]),
    least("set_64", "meshage-go", 0.7, "set_64", C),
    least("set_window", "meshage-rust", 1.4, "set_window", &["zeromq"]),
    least("set_window", "meshage-rust", 0.9, "stream_unacked", &["zenoh"]),
    least("set_window", "meshage-c", 0.8, "set_window", RUST),
    least("set_window", "meshage-python", 2.4, "set_window", &["pyzmq"]),
    least("recv_many", "meshage-python", 1.0, "recv_many", &["pyzmq"]),
    least("recv_for", "meshage-asyncio", 0.35, "recv_many", &["pyzmq"]),
    least("large", "meshage-rust", 0.8, "large", RAW),
    by_p99(most("large_beside@1MiB", "meshage-rust", 2.0, "large_beside@alone", RUST)),
    by_p99(most("large_beside@64MiB", "meshage-rust", 2.0, "large_beside@alone", RUST)),
    least("relay_64@1", "meshage-rust", 0.5, "set_64", RUST),
    least("relay_window@1", "meshage-rust", 0.5, "set_window", RUST),
    most("relay_rtt@1@same", "meshage-rust", 1.5, "relay_rtt@1@same", RAW),
    most("fanout@16", "meshage-rust", 1.6, "fanout@16", &["raw-std"]),
    itself("spf@10000", "meshage-rust", 5.0),
    itself("spf@10000-half", "meshage-rust", 5.0),
    itself("memory@idle", "meshage-rust", 6.0),
];

/// Every target of which at least one figure was measured, with what was reached.
pub(crate) fn all(figures: &Figures) -> Vec<Reached> {
    let measured = |target: &&Target| figures.of(target.case, target.system).is_some();
    ALL.iter().filter(measured).map(|target| target.reached(figures)).collect()
}

impl Target {
    fn reached(&'static self, figures: &Figures) -> Reached {
        let part = |figure: &Figure| match self.part {
            Part::Median => figure.median,
            Part::P99 => figure.p99,
        };
        let ours = figures.of(self.case, self.system).map(part);
        let Against::Best(case, systems) = self.against else {
            return Reached { target: self, value: ours, other: None };
        };
        let others = systems.iter().filter_map(|system| figures.of(case, system));
        let best = others.reduce(|a, b| {
            let a_is_better =
                if a.unit.less_is_better() { part(a) <= part(b) } else { part(a) >= part(b) };
            if a_is_better { a } else { b }
        });
        let value = ours.zip(best).map(|(ours, best)| ours / part(best));
        Reached { target: self, value, other: best.map(|best| best.system) }
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
        match self.against {
            Against::Itself => text.push_str(&format!(" {}", self.unit())),
            Against::Best(case, systems) => {
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

impl Reached {
    /// The ratio, or the figure itself.
    pub(crate) fn shown(&self) -> String {
        let Some(value) = self.value else { return "–".into() };
        match self.target.against {
            Against::Best(..) => format!("{value:.2} ×"),
            Against::Itself => format!("{} {}", table::number(value), self.target.unit()),
        }
    }

    /// Whether it was reached.
    pub(crate) fn verdict(&self) -> Verdict {
        let holds = match (self.value, self.target.bound) {
            (None, Bound::AtMost(_) | Bound::AtLeast(_)) => return Verdict::Unknown,
            (Some(value), Bound::AtMost(bound)) => value <= bound,
            (Some(value), Bound::AtLeast(bound)) => value >= bound,
        };
        if holds { Verdict::Yes } else { Verdict::No }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Round;
    use crate::systems;

    fn figures(all: &[(&'static str, &'static str, f64)]) -> Figures {
        let figure = |&(case, system, median)| {
            let unit = Case::named(case).expect("there is such a case").unit;
            Figure::of(case, system, unit, &[Round { median, p99: Some(median * 3.0), p999: None }])
        };
        Figures { all: all.iter().filter_map(figure).collect(), ..Figures::default() }
    }

    #[test]
    fn every_target_names_cases_that_its_systems_run() {
        for target in ALL {
            let runs = |case: &str, name: &str| {
                let case = Case::named(case).expect("there is such a case");
                systems::ALL.iter().any(|system| system.name == name && system.runs(case))
            };
            assert!(runs(target.case, target.system), "{target}");
            if let Against::Best(case, systems) = target.against {
                assert!(systems.iter().all(|system| runs(case, system)), "{target}");
            }
        }
    }

    #[test]
    fn a_target_is_held_against_the_best_of_the_others() {
        let figures = figures(&[
            ("set_rtt@same", "meshage-rust", 12.0),
            ("set_rtt@same", "raw-tokio", 10.0),
            ("set_rtt@same", "zeromq", 20.0),
            ("set_rtt@same", "grpc", 30.0),
        ]);
        let reached = all(&figures);
        let shown: Vec<_> =
            reached.iter().map(|one| (one.shown(), one.verdict(), one.other)).collect();
        assert_eq!(
            shown,
            [
                ("1.20 ×".into(), Verdict::Yes, Some("raw-tokio")),
                ("0.60 ×".into(), Verdict::No, Some("zeromq")),
            ]
        );
    }

    #[test]
    fn without_the_other_figure_nothing_is_claimed() {
        let reached = all(&figures(&[("set_64", "meshage-rust", 12.0)]));
        assert_eq!(reached[0].verdict(), Verdict::Unknown);
        assert!(all(&Figures::default()).is_empty());
    }

    #[test]
    fn a_target_reads_as_a_sentence() {
        assert_eq!(ALL[0].to_string(), "set_rtt@same of meshage-rust ≤ 1.3 × raw-tokio");
        let spf = all(&figures(&[("spf@10000", "meshage-rust", 4.5)]));
        assert_eq!(spf[0].target.to_string(), "spf@10000 of meshage-rust ≤ 5 ms");
        assert_eq!((spf[0].shown().as_str(), spf[0].verdict()), ("4.50 ms", Verdict::Yes));
    }
}
