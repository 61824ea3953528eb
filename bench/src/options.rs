//! What the command line asks for.

use std::time::Duration;

use crate::Result;
use crate::cases::Case;

/// Rounds of every system: the fewest from which a median says something of the spread.
const ROUNDS: usize = 5;
/// How long a round is: some ten thousand round trips, so that the 99.9th percentile has ten.
const ROUND: Duration = Duration::from_secs(1);
/// The same when it is to be quick.
const ROUNDS_QUICK: usize = 3;
const ROUND_QUICK: Duration = Duration::from_millis(200);

/// What to measure, how long, and what to write.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Where the figures go as JSON.
    pub(crate) json: Option<String>,
    /// Cases that begin so, alone.
    pub(crate) only: Option<String>,
    /// Whether docs/bench is written anew.
    pub(crate) report: bool,
    /// How many rounds each system has.
    pub(crate) rounds: usize,
    /// How long each is.
    pub(crate) round: Duration,
}

impl Options {
    /// Reads the command line.
    ///
    /// A report is written of full runs alone, unless it is asked for: part of the figures, or quick
    /// ones, would take the place of better ones.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let (mut json, mut only, mut quick, mut report) = (None, None, false, false);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} what?"));
            match argument.as_str() {
                "--json" => json = Some(value()?),
                "--only" => only = Some(value()?),
                "--quick" => quick = true,
                "--report" => report = true,
                other => {
                    return Err(format!(
                        "no option {other:?}: [--json FILE] [--quick] [--only CASE] [--report]"
                    ));
                }
            }
        }
        let (rounds, round) = if quick { (ROUNDS_QUICK, ROUND_QUICK) } else { (ROUNDS, ROUND) };
        let report = report || (!quick && only.is_none());
        Ok(Self { json, only, report, rounds, round })
    }

    /// Whether a case is among those asked for.
    pub(crate) fn wants(&self, case: &Case) -> bool {
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
    fn a_report_is_written_of_full_runs_or_on_demand() {
        assert!(parsed(&[]).report);
        assert!(!parsed(&["--quick"]).report);
        assert!(!parsed(&["--only", "spf"]).report);
        assert!(parsed(&["--quick", "--report"]).report);
    }

    #[test]
    fn an_option_without_its_value_is_refused() {
        assert!(Options::parse(["--json".to_owned()].into_iter()).is_err());
        assert!(Options::parse(["--fast".to_owned()].into_iter()).is_err());
    }
}
