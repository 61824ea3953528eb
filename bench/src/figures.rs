//! The measured figures: the combined rounds of each system in each case.

use serde::Serialize;

use crate::cases::Unit;
use crate::process::Round;
use crate::systems::System;

/// The figures of one system in one case.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figure {
    /// The case, with its variant.
    pub(crate) case: String,
    pub(crate) system: &'static str,
    pub(crate) unit: Unit,
    /// The median of the rounds' medians.
    pub(crate) median: f64,
    /// The median of the rounds' 99th percentiles. For a rate or a size: the worst round.
    pub(crate) p99: f64,
    /// The median of the rounds' 99.9th percentiles, if the case measures times.
    pub(crate) p999: Option<f64>,
    /// The least and the greatest of the rounds' medians.
    pub(crate) range: (f64, f64),
    /// The rounds' medians, in the order of the rounds.
    pub(crate) rounds: Vec<f64>,
}

/// The ratios of two figures, computed for each round: the rounds of the two were adjacent in time,
/// so other load on the machine affected both.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    /// The quartiles: half of the rounds' ratios lie between them.
    pub(crate) middle: (f64, f64),
}

/// The cost of encryption for a system in a case.
#[derive(Debug)]
pub(crate) struct Cost<'a> {
    pub(crate) open: &'a Figure,
    pub(crate) encrypted: &'a Figure,
    /// The ratio with encryption to without.
    pub(crate) ratio: Ratio,
}

/// A system or case that could not be measured, with the reason.
#[derive(Debug, Clone)]
pub(crate) struct Missing {
    pub(crate) what: String,
    pub(crate) why: String,
}

/// All results of a run.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// In the order of the cases.
    pub(crate) all: Vec<Figure>,
    /// The peak size of the largest process of each case, named `memory@` and the case.
    pub(crate) peaks: Vec<Figure>,
    pub(crate) missing: Vec<Missing>,
}

/// A line of the JSON.
#[derive(Serialize)]
struct Line<'a> {
    case: &'a str,
    system: &'a str,
    unit: &'a str,
    median: f64,
    p99: f64,
    rounds: usize,
}

impl Figure {
    /// Combines rounds. Returns `None` if there are none.
    pub(crate) fn from_rounds(
        case: impl Into<String>,
        system: &'static str,
        unit: Unit,
        rounds: &[Round],
    ) -> Option<Self> {
        let medians: Vec<f64> = rounds.iter().map(|round| round.median).collect();
        let least = medians.iter().copied().reduce(f64::min)?;
        let greatest = medians.iter().copied().reduce(f64::max)?;
        let worst = if unit.lower_is_better() { greatest } else { least };
        let part = |of: fn(&Round) -> Option<f64>| {
            median(rounds.iter().map(of).collect::<Option<Vec<_>>>()?)
        };
        Some(Self {
            case: case.into(),
            system,
            unit,
            median: median(medians)?,
            p99: part(|round| round.p99).unwrap_or(worst),
            p999: part(|round| round.p999),
            range: (least, greatest),
            rounds: rounds.iter().map(|round| round.median).collect(),
        })
    }

    /// The ratios of this figure's rounds to those of another. Returns `None` if there are none.
    pub(crate) fn ratio_to(&self, other: &Self) -> Option<Ratio> {
        let pairs = self.rounds.iter().zip(&other.rounds);
        let mut ratios: Vec<f64> = pairs.map(|(ours, theirs)| ours / theirs).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        let last = ratios.len().checked_sub(1)?;
        Some(Ratio { middle: (ratios[last / 4], ratios[last - last / 4]), median: median(ratios)? })
    }
}

impl Figures {
    /// The figure of a system in a case.
    pub(crate) fn get(&self, case: &str, system: &str) -> Option<&Figure> {
        self.all.iter().find(|figure| figure.case == case && figure.system == system)
    }

    /// The figures of a case, in the order of the systems.
    pub(crate) fn in_case<'a>(&'a self, case: &'a str) -> impl Iterator<Item = &'a Figure> {
        self.all.iter().filter(move |figure| figure.case == case)
    }

    /// The cost of encryption for each system in each case.
    pub(crate) fn costs(&self, systems: &[&System]) -> Vec<Cost<'_>> {
        let costs = self.all.iter().filter_map(|encrypted| {
            let system = systems.iter().find(|system| system.name == encrypted.system)?;
            let open = self.get(&encrypted.case, system.encryption?.open)?;
            Some(Cost { open, encrypted, ratio: encrypted.ratio_to(open)? })
        });
        costs.collect()
    }

    /// Records that something was not measured, and why.
    pub(crate) fn add_missing(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.missing.push(Missing { what: what.into(), why: why.into() });
    }

    /// All figures, peaks included, as a JSON list with one line each.
    pub(crate) fn json(&self) -> String {
        let lines = self.all.iter().chain(&self.peaks).map(|figure| {
            let line = Line {
                case: &figure.case,
                system: figure.system,
                unit: figure.unit.name(),
                median: figure.median,
                p99: figure.p99,
                rounds: figure.rounds.len(),
            };
            serde_json::to_string(&line).unwrap_or_default()
        });
        format!("[\n  {}\n]\n", lines.collect::<Vec<_>>().join(",\n  "))
    }
}

/// The median: the middle value, or the mean of the two middle values.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get(values.len().checked_sub(1)? / 2)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(median: f64, p99: Option<f64>) -> Round {
        Round { median, p99, p999: None }
    }

    #[test]
    fn a_figure_is_the_median_of_its_rounds() {
        let rounds = [3.0, 1.0, 9.0].map(|median| round(median, Some(median * 10.0)));
        let figure =
            Figure::from_rounds("set_rtt", "raw-std", Unit::Micros, &rounds).expect("rounds");
        assert_eq!((figure.median, figure.p99, figure.range), (3.0, 30.0, (1.0, 9.0)));
        assert_eq!(Figure::from_rounds("set_rtt", "raw-std", Unit::Micros, &[]), None);
    }

    #[test]
    fn a_ratio_is_computed_for_each_round_and_survives_load_on_both() {
        let figure = |system, medians: [f64; 5]| {
            let rounds = medians.map(|median| round(median, None));
            Figure::from_rounds("set_64", system, Unit::Messages, &rounds).expect("rounds")
        };
        // The machine was slower in the second half.
        let open = figure("meshage-rust", [100.0, 100.0, 50.0, 20.0, 10.0]);
        let closed = figure("meshage-rust-key", [90.0, 80.0, 45.0, 19.0, 9.0]);
        let ratio = closed.ratio_to(&open).expect("rounds");
        assert_eq!((ratio.median, ratio.middle), (0.9, (0.9, 0.9)));
        let none = Figure { rounds: Vec::new(), ..open.clone() };
        assert_eq!(none.ratio_to(&open), None);
    }

    #[test]
    fn the_99th_percentile_of_a_rate_is_its_worst_round() {
        let rounds = [3.0, 1.0, 9.0, 5.0].map(|median| round(median, None));
        let figure =
            Figure::from_rounds("set_64", "raw-std", Unit::Messages, &rounds).expect("rounds");
        assert_eq!((figure.median, figure.p99), (4.0, 1.0));
    }

    #[test]
    fn each_entry_of_the_json_list_has_six_keys() {
        let mut figures = Figures::default();
        assert!(serde_json::from_str::<Vec<u8>>(&figures.json()).is_ok_and(|l| l.is_empty()));
        let figure =
            Figure::from_rounds("large", "raw-std", Unit::MegabytesPerSecond, &[round(2.0, None)]);
        figures.all.extend(figure);
        assert_eq!(
            figures.json(),
            "[\n  {\"case\":\"large\",\"system\":\"raw-std\",\"unit\":\"MB/s\",\"median\":2.0,\
             \"p99\":2.0,\"rounds\":1}\n]\n"
        );
    }
}
