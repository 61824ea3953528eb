//! Figures as text, for the terminal, the charts and the report.

use crate::figures::Figure;

/// The range of the rounds' medians, from the least to the greatest.
pub(crate) fn range(figure: &Figure) -> String {
    let (least, greatest) = figure.range;
    format!("{} – {}", number(least), number(greatest))
}

/// A number with its significant digits and with thousands separators.
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

/// Rounds to four significant digits: the digits after them are noise.
fn four_digits(value: f64) -> f64 {
    let scale = 10_f64.powf((value.abs().log10().floor() - 3.0).max(0.0));
    (value / scale).round() * scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_show_their_significant_digits() {
        let shown = [0.1234, 1.2345, 15.678, 999.4, 1234.5, 5_432_109.0, 0.0].map(number);
        assert_eq!(shown, ["0.123", "1.23", "15.7", "999", "1,235", "5,432,000", "0.000"]);
    }
}
