//! The figures in words and columns, for a terminal.

use crate::cases::Case;
use crate::figures::{Figure, Figures};
use crate::targets::{self, Verdict};

/// The figures of one case, the systems below each other.
pub(crate) fn case(case: &Case, figures: &Figures) -> String {
    let unit = case.unit.name();
    let mut text = format!("{} ({}), {unit}\n", case.name, case.is);
    let columns = if case.unit.is_time() { "median       99 %     99.9 %" } else { "median" };
    text.push_str(&format!("  {:18}{columns:>12}   rounds' medians\n", ""));
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
        text.push_str(&format!("  {:18}{parts}   {}\n", figure.system, range(figure)));
    }
    text
}

/// The targets, with what was reached.
pub(crate) fn targets(figures: &Figures) -> String {
    let mut text = String::from("to reach\n");
    for reached in targets::all(figures) {
        let (ratio, verdict) = (reached.shown(), reached.verdict());
        let verdict = match verdict {
            Verdict::Yes => "yes",
            Verdict::No => "NO",
            Verdict::Unknown => "not measured",
        };
        text.push_str(&format!("  {:64} {ratio:>9}  {verdict}\n", reached.target.to_string()));
    }
    text
}

/// From the least to the greatest of the rounds' medians.
pub(crate) fn range(figure: &Figure) -> String {
    let (least, greatest) = figure.range;
    format!("{} – {}", number(least), number(greatest))
}

/// A number with the digits that count, and thousands apart.
pub(crate) fn number(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 1000.0 {
        let mut digits = format!("{:.0}", four_digits(value));
        let mut at = digits.len();
        while at > 3 + usize::from(value < 0.0) {
            at -= 3;
            digits.insert(at, ',');
        }
        digits
    } else if magnitude >= 100.0 {
        format!("{value:.0}")
    } else if magnitude >= 10.0 {
        format!("{value:.1}")
    } else if magnitude >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

/// Rounded to four digits that count: more is noise.
fn four_digits(value: f64) -> f64 {
    let scale = 10_f64.powf((value.abs().log10().floor() - 3.0).max(0.0));
    (value / scale).round() * scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_show_the_digits_that_count() {
        let shown = [0.1234, 1.2345, 15.678, 999.4, 1234.5, 5_432_109.0, 0.0].map(number);
        assert_eq!(shown, ["0.123", "1.23", "15.7", "999", "1,235", "5,432,000", "0.000"]);
    }
}
