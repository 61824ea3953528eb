//! The figures as tables of text, for a terminal.

use crate::cases::Case;
use crate::figures::{Figures, Ratio};
use crate::format::{number, range};
use crate::systems::System;
use crate::targets::{self, Verdict};

/// The figures of one case, one row for each system.
pub(crate) fn case_table(case: &Case, figures: &Figures) -> String {
    let unit = case.unit.name();
    let mut text = format!("{} ({}), {unit}\n", case.name, case.description);
    let columns = if case.unit.is_time() { "median       99 %     99.9 %" } else { "median" };
    text.push_str(&format!("  {:20}{columns:>12}   medians of the rounds\n", ""));
    for figure in figures.in_case(case.name) {
        let median = number(figure.median);
        let parts = match case.unit.is_time() {
            true => format!(
                "{median:>10} {:>10} {:>10}",
                number(figure.p99),
                figure.p999.map(number).unwrap_or_default()
            ),
            false => format!("{median:>12}"),
        };
        text.push_str(&format!("  {:20}{parts}   {}\n", figure.system, range(figure)));
    }
    text
}

/// The cost of encryption: the ratio to the same system without it, with its quartiles.
pub(crate) fn cost_table(systems: &[&System], figures: &Figures) -> String {
    let mut text = String::from("with encryption / without, median of the rounds' ratios\n");
    for cost in figures.costs(systems) {
        let Ratio { median, middle: (low, high) } = cost.ratio;
        let (case, system) = (&cost.encrypted.case, cost.encrypted.system);
        text.push_str(&format!("  {case:14} {system:18} {median:.2} × ({low:.2} – {high:.2})\n"));
    }
    text
}

/// The targets with their results.
pub(crate) fn target_table(figures: &Figures) -> String {
    let mut text = String::from("targets\n");
    for result in targets::evaluate(figures) {
        let (value, verdict) = (result.value(), result.verdict());
        let verdict = match verdict {
            Verdict::Met => "yes",
            Verdict::Missed => "NO",
            Verdict::NotMeasured => "not measured",
        };
        text.push_str(&format!("  {:64} {value:>9}  {verdict}\n", result.target.to_string()));
    }
    text
}
