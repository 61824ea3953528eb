//! The options of the command line.

use std::time::Duration;

use crate::cases::{self, Case};
use crate::error::Result;
use crate::systems::System;

/// Rounds of every system: the smallest number whose range still shows the spread.
const ROUNDS: usize = 5;
/// The length of a round: about ten thousand round trips, so that ten lie above the 99.9th
/// percentile.
const ROUND: Duration = Duration::from_secs(1);
/// The same for `--closed`: many short rounds, because ratios are computed round by round and load
/// on the machine must not change between two adjacent rounds.
const ROUNDS_CLOSED: usize = 13;
const ROUND_CLOSED: Duration = Duration::from_millis(250);
/// The same for `--quick`.
const ROUNDS_QUICK: usize = 3;
const ROUND_QUICK: Duration = Duration::from_millis(200);

/// What to measure, for how long, and what to write.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Measures the cost of encryption: systems with it beside the same systems without it.
    pub(crate) closed: bool,
    /// The file for the figures as JSON.
    pub(crate) json: Option<String>,
    /// Measures only the cases whose names start with this.
    pub(crate) only: Option<String>,
    /// Whether to rewrite docs/bench.
    pub(crate) report: bool,
    /// The number of rounds of each system.
    pub(crate) rounds: usize,
    /// The length of each round.
    pub(crate) round: Duration,
}

impl Options {
    /// Parses the command line.
    ///
    /// Without `--report`, only a full run writes a report: partial or quick figures would replace
    /// better ones.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let (mut json, mut only) = (None, None);
        let (mut closed, mut quick, mut report) = (false, false, false);
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().ok_or_else(|| format!("the option {argument} needs a value"));
            match argument.as_str() {
                "--closed" => closed = true,
                "--json" => json = Some(value()?),
                "--only" => only = Some(value()?),
                "--quick" => quick = true,
                "--report" => report = true,
                other => {
                    return Err(format!(
                        "unknown option {other:?}; the options are [--closed] [--json FILE] \
                         [--quick] [--only CASE] [--report]"
                    ));
                }
            }
        }
        let (rounds, round) = match (quick, closed) {
            (true, _) => (ROUNDS_QUICK, ROUND_QUICK),
            (false, true) => (ROUNDS_CLOSED, ROUND_CLOSED),
            (false, false) => (ROUNDS, ROUND),
        };
        let report = report || (!quick && only.is_none());
        Ok(Self { closed, json, only, report, rounds, round })
    }

    /// Whether a case is selected by `--only` and `--closed`.
    pub(crate) fn selects(&self, case: &Case) -> bool {
        let is_in_part = !self.closed || cases::CLOSED.contains(&case.name);
        is_in_part && self.only.as_deref().is_none_or(|only| case.name.starts_with(only))
    }

    /// Whether a system is measured in a case. With `--closed`, these are the systems with encryption,
    /// and each of them without it. Otherwise they are all systems without encryption.
    pub(crate) fn measures(&self, system: &System, case: &Case) -> bool {
        let is_in_part = match self.closed {
            true => system.encrypted().is_some_and(|encrypted| encrypted.runs(case)),
            false => system.encryption.is_none(),
        };
        is_in_part && system.runs(case)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systems;

    fn parsed(arguments: &[&str]) -> Options {
        Options::parse(arguments.iter().map(|&argument| argument.into())).expect("valid")
    }

    #[test]
    fn a_full_run_or_the_option_report_writes_a_report() {
        assert!(parsed(&[]).report);
        assert!(!parsed(&["--quick"]).report);
        assert!(!parsed(&["--only", "spf"]).report);
        assert!(parsed(&["--quick", "--report"]).report);
    }

    #[test]
    fn the_part_closed_measures_systems_with_encryption_beside_the_same_without_it() {
        let measured = |options: &[&str], case: &str| {
            let (options, case) = (parsed(options), Case::named(case).expect("the case exists"));
            let measured = systems::ALL.iter().filter(|system| options.measures(system, case));
            measured.map(|system| system.name).collect::<Vec<_>>()
        };
        assert_eq!(measured(&["--closed"], "fanout@16"), ["meshage-rust", "meshage-rust-key"]);
        assert_eq!(measured(&[], "handshake"), ["meshage-rust"]);
        assert!(parsed(&["--closed"]).selects(Case::named("set_64").expect("the case exists")));
        assert!(!parsed(&["--closed"]).selects(Case::named("spf@100").expect("the case exists")));
    }

    #[test]
    fn an_option_without_its_value_is_an_error() {
        assert!(Options::parse(["--json".to_owned()].into_iter()).is_err());
        assert!(Options::parse(["--fast".to_owned()].into_iter()).is_err());
    }
}
