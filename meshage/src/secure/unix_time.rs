//! Points in time as people write them.

use std::fmt;
use std::time::Duration;

const MILLIS_PER_DAY: u64 = 24 * 60 * 60 * 1000;

/// A point in time: milliseconds since 1970-01-01 00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The last point in time of this type.
    pub const MAX: Self = Self(u64::MAX);

    /// This point in time and a duration.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// The start of a day, written as `2027-03-31`, in UTC. `None` for other text, days that do not
    /// exist, and years before 1970.
    pub fn parse_date(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '-');
        let mut number = |digits: usize| {
            let part = parts.next()?;
            let is_number = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| part.parse::<u64>().ok()).flatten()
        };
        let date = (number(4)?, number(2)?, number(2)?);
        let (year, month, day) = date;
        if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        let days = days_before(year, month) + day - 1;
        (date_of(days) == date).then_some(Self(days * MILLIS_PER_DAY))
    }
}

impl fmt::Display for UnixMillis {
    /// For example `2027-03-31 08:05 UTC`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, minutes) = (self.0 / MILLIS_PER_DAY, self.0 % MILLIS_PER_DAY / 60_000);
        let (year, month, day) = date_of(days);
        let (hour, minute) = (minutes / 60, minutes % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
    }
}

/// The days from 1970-01-01 to the first of a month.
fn days_before(year: u64, month: u64) -> u64 {
    // Years that begin in March end with the day that only some of them have.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    365 * year + leap_days(year) + (153 * month + 2) / 5 - DAYS_BEFORE_1970
}

/// The days of the calendar, extended backwards, from March of year 0 to 1970-01-01.
const DAYS_BEFORE_1970: u64 = 719_468;

/// The leap days in the years from March of year 0 to the end of February before March of a year.
fn leap_days(year: u64) -> u64 {
    year / 4 - year / 100 + year / 400
}

/// Year, month and day of the day with this number since 1970-01-01.
fn date_of(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_BEFORE_1970;
    // 400 years have 146,097 days. The estimate is exact or one year too high.
    let mut year = days * 400 / 146_097 + 1;
    while 365 * year + leap_days(year) > days {
        year -= 1;
    }
    let day = days - 365 * year - leap_days(year);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_five_centuries_is_written_and_read_back() {
        let mut expected = (1970, 1, 1);
        for days in 0..500 * 366 {
            let (year, month, day) = date_of(days);
            assert_eq!((year, month, day), expected, "day {days}");
            let text = format!("{year:04}-{month:02}-{day:02}");
            let time = UnixMillis(days * MILLIS_PER_DAY);
            assert_eq!(UnixMillis::parse_date(&text), Some(time), "{text}");
            let leap =
                year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
            let length = match month {
                2 => 28 + u64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match (day == length, month) {
                (false, _) => (year, month, day + 1),
                (true, 12) => (year + 1, 1, 1),
                (true, _) => (year, month + 1, 1),
            };
        }
    }

    #[test]
    fn text_that_is_no_day_is_refused() {
        for text in
            ["", "2027", "2027-1-01", "2027-02-29", "2027-13-01", "2027-00-10", "2027-04-31"]
        {
            assert_eq!(UnixMillis::parse_date(text), None, "{text}");
        }
        for text in ["1969-12-31", "2027-01-01-01", "+027-01-01", "2027-01-01T00:00"] {
            assert_eq!(UnixMillis::parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_is_shown_to_the_minute_and_the_last_one_can_be_shown() {
        assert_eq!(UnixMillis(1_000_000_000_000).to_string(), "2001-09-09 01:46 UTC");
        assert!(UnixMillis::MAX.to_string().ends_with("UTC"));
        assert_eq!(UnixMillis::MAX.plus(Duration::from_secs(1)), UnixMillis::MAX);
    }
}
