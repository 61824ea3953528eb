//! The measurements of a round.

use std::time::{Duration, Instant};

use serde::Serialize;

/// The result of one round, as the harness reads it. A rate has only a median. Times are in the
/// unit of the case.
#[derive(Debug, Serialize)]
pub(crate) struct Round {
    median: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p999: Option<f64>,
    count: usize,
}

impl Round {
    /// A rate a second: `units` in the time `took`.
    pub(crate) fn rate(units: f64, count: usize, took: Duration) -> Self {
        Self { median: units / took.as_secs_f64(), p99: None, p999: None, count }
    }

    /// The rate of `count` messages since `start`.
    pub(crate) fn messages(count: usize, start: Instant) -> Self {
        Self::rate(count as f64, count, start.elapsed())
    }

    /// The rate of `count` bodies of `size` bytes since `start`, in MB a second.
    pub(crate) fn bodies(count: usize, size: usize, start: Instant) -> Self {
        Self::rate((count * size) as f64 / 1e6, count, start.elapsed())
    }
}

/// In a stream of messages, the clock is read once in this many messages, as in the peers' workers.
const MESSAGES_A_CLOCK_READ: u8 = 16;

/// The timer of a round that sends a stream of messages.
#[derive(Debug)]
pub(crate) struct StreamTimer {
    start: Instant,
    limit: Duration,
    since_clock_read: u8,
    over: bool,
}

impl StreamTimer {
    /// Starts a round now.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { start: Instant::now(), limit, since_clock_read: 0, over: false }
    }

    /// The start of the round.
    pub(crate) fn start(&self) -> Instant {
        self.start
    }

    /// Whether there is time for another message.
    pub(crate) fn has_time(&mut self) -> bool {
        self.since_clock_read += 1;
        if self.since_clock_read == MESSAGES_A_CLOCK_READ {
            self.since_clock_read = 0;
            self.over |= self.start.elapsed() >= self.limit;
        }
        !self.over
    }
}

/// The durations of many operations.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    /// Adds a duration.
    pub(crate) fn push(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// The result of the round in microseconds.
    pub(crate) fn micros(self) -> Round {
        self.round(1e6)
    }

    /// The result of the round in milliseconds.
    pub(crate) fn millis(self) -> Round {
        self.round(1e3)
    }

    fn round(mut self, units_a_second: f64) -> Round {
        self.0.sort_unstable();
        let at = |part: f64| {
            let last = self.0.len().saturating_sub(1);
            let took = self.0.get((last as f64 * part).round() as usize);
            took.map_or(f64::NAN, |took| took.as_secs_f64() * units_a_second)
        };
        Round { median: at(0.5), p99: Some(at(0.99)), p999: Some(at(0.999)), count: self.0.len() }
    }
}
