//! What a round measured.

use std::time::{Duration, Instant};

use serde::Serialize;

/// One round, as the harness reads it: of a rate the median alone, of times in the case's unit.
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
    /// So many units in so much time: a rate a second.
    pub(crate) fn rate(units: f64, count: usize, took: Duration) -> Self {
        Self { median: units / took.as_secs_f64(), p99: None, p999: None, count }
    }

    /// The rate of so many messages since `start`.
    pub(crate) fn messages(count: usize, start: Instant) -> Self {
        Self::rate(count as f64, count, start.elapsed())
    }

    /// The rate of so many bodies since `start`, in MB a second.
    pub(crate) fn bodies(count: usize, size: usize, start: Instant) -> Self {
        Self::rate((count * size) as f64 / 1e6, count, start.elapsed())
    }
}

/// Of a stream of messages, the clock is read after so many, as the peers' workers do.
const MESSAGES_A_LOOK: u8 = 16;

/// A round of a stream of messages.
#[derive(Debug)]
pub(crate) struct Streaming {
    start: Instant,
    limit: Duration,
    unseen: u8,
    over: bool,
}

impl Streaming {
    /// Begins now.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { start: Instant::now(), limit, unseen: 0, over: false }
    }

    /// When it began.
    pub(crate) fn start(&self) -> Instant {
        self.start
    }

    /// Whether there is time for another message.
    pub(crate) fn goes_on(&mut self) -> bool {
        self.unseen += 1;
        if self.unseen == MESSAGES_A_LOOK {
            self.unseen = 0;
            self.over |= self.start.elapsed() >= self.limit;
        }
        !self.over
    }
}

/// How long each of many things took.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// Adds one.
    pub(crate) fn push(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// The round in microseconds.
    pub(crate) fn micros(self) -> Round {
        self.round(1e6)
    }

    /// The round in milliseconds.
    pub(crate) fn millis(self) -> Round {
        self.round(1e3)
    }

    fn round(mut self, in_a_second: f64) -> Round {
        self.0.sort_unstable();
        let at = |part: f64| {
            let last = self.0.len().saturating_sub(1);
            let took = self.0.get((last as f64 * part).round() as usize);
            took.map_or(f64::NAN, |took| took.as_secs_f64() * in_a_second)
        };
        Round { median: at(0.5), p99: Some(at(0.99)), p999: Some(at(0.999)), count: self.0.len() }
    }
}
