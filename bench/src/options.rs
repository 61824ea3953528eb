//! The options of the command line.

use std::time::Duration;

use crate::cases::Case;
use crate::error::Result;

/// Rounds of every system: the smallest number whose range still shows the spread.
const ROUNDS: usize = 5;
/// The length of a round: about ten thousand round trips, so that ten lie above the 99.9th
/// percentile.
const ROUND: Duration = Duration::from_secs(1);
/// The same for `--quick`.
const ROUNDS_QUICK: usize = 3;
const ROUND_QUICK: Duration = Duration::from_millis(200);

/// What to measure, for how long, and what to write.
#[derive(Debug, Clone)]
pub(crate) struct Options {
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
        let (mut json, mut only, mut quick, mut report) = (None, None, false, false);
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().ok_or_else(|| format!("the option {argument} needs a value"));
            match argument.as_str() {
                "--json" => json = Some(value()?),
                "--only" => only = Some(value()?),
                "--quick" => quick = true,
                "--report" => report = true,
                other => {
                    return Err(format!(
                        "unknown option {other:?}; the options are [--json FILE] [--quick] \
                         [--only CASE] [--report]"
                    ));
                }
            }
        }
        let (rounds, round) = if quick { (ROUNDS_QUICK, ROUND_QUICK) } else { (ROUNDS, ROUND) };
        let report = report || (!quick && only.is_none());
        Ok(Self { json, only, report, rounds, round })
    }

    /// Whether a case is selected by `--only`.
    pub(crate) fn selects(&self, case: &Case) -> bool {
        self.only.as_deref().is_none_or(|only| case.name.starts_with(only))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn an_option_without_its_value_is_an_error() {
        assert!(Options::parse(["--json".to_owned()].into_iter()).is_err());
        assert!(Options::parse(["--fast".to_owned()].into_iter()).is_err());
    }
}
