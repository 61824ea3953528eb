//! One direction of a cable, with its impairments: which frames it drops, and when the others arrive.
//! It has no clock and no random source.

use std::time::Duration;

/// What a line does to frames. Everything is off at first.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Impairment {
    /// The share of frames that are dropped, in percent.
    pub(super) loss: f64,
    /// The share of frames that arrive twice, in percent.
    pub(super) duplicate: f64,
    /// How long a frame is on its way.
    pub(super) delay: Duration,
    /// A frame takes up to this much longer, so that frames overtake others.
    pub(super) jitter: Duration,
    /// Bits in a second; 0 is without limit.
    pub(super) rate: u64,
    /// The longest time that a frame waits for its turn at this rate. Others are dropped.
    pub(super) queue: Duration,
    /// The longest frame that passes, in bytes; 0 is without limit. No error is sent for others.
    pub(super) mtu: usize,
    /// Whether nothing passes.
    pub(super) cut: bool,
    /// Whether datagrams to all nodes are dropped. Address resolution passes.
    pub(super) no_broadcast: bool,
}

/// The queue of a line of which only the rate was set.
const QUEUE_DEFAULT: Duration = Duration::from_secs(1);

impl Impairment {
    /// Changes one property, from `loss=5` and the like.
    pub(super) fn set(&mut self, setting: &str) -> Result<(), String> {
        let bad = || format!("not a setting: {setting:?}");
        let (key, value) = setting.split_once('=').ok_or_else(bad)?;
        let number: f64 = value.parse().map_err(|_| bad())?;
        if !(0.0..1e9).contains(&number) {
            return Err(bad());
        }
        let milliseconds = Duration::from_micros((number * 1e3) as u64);
        match key {
            "loss" => self.loss = number,
            "duplicate" => self.duplicate = number,
            "delay" => self.delay = milliseconds,
            "jitter" => self.jitter = milliseconds,
            "kbit" => self.rate = number as u64 * 1000,
            "queue" => self.queue = milliseconds,
            "mtu" => self.mtu = number as usize,
            "cut" => self.cut = number != 0.0,
            "no-broadcast" => self.no_broadcast = number != 0.0,
            _ => return Err(bad()),
        }
        if self.rate > 0 && self.queue.is_zero() {
            self.queue = QUEUE_DEFAULT;
        }
        Ok(())
    }
}

/// What a frame is, as far as a line distinguishes frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// Its length.
    pub(super) bytes: usize,
    /// Whether it is an IP datagram to all nodes.
    pub(super) to_all: bool,
}

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    /// It arrives at this time, and perhaps once more.
    At(Duration, Option<Duration>),
    /// It is dropped on purpose.
    Dropped,
    /// It is dropped because the queue is full.
    QueueFull,
}

/// One direction of a cable.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// The impairments at present.
    pub(super) impairment: Impairment,
    /// When the last frame that waits will have been sent.
    free_at: Duration,
}

impl Line {
    /// Decides about a frame that enters at this time. `random` returns numbers from 0 to 1.
    pub(super) fn pass(
        &mut self,
        now: Duration,
        frame: Frame,
        mut random: impl FnMut() -> f64,
    ) -> Passage {
        let with = &self.impairment;
        if with.cut
            || (with.no_broadcast && frame.to_all)
            || (with.mtu > 0 && frame.bytes > with.mtu)
            || (with.loss > 0.0 && random() * 100.0 < with.loss)
        {
            return Passage::Dropped;
        }
        let mut sent = now;
        let bits = frame.bytes as u64 * 8;
        if let Some(nanos) = (bits * 1_000_000_000).checked_div(with.rate) {
            let start = self.free_at.max(now);
            if start - now > with.queue {
                return Passage::QueueFull;
            }
            sent = start + Duration::from_nanos(nanos);
            self.free_at = sent;
        }
        let mut arrival = || match with.jitter.is_zero() {
            true => sent + with.delay,
            false => sent + with.delay + with.jitter.mul_f64(random()),
        };
        let first = arrival();
        let second = arrival();
        let twice = with.duplicate > 0.0 && random() * 100.0 < with.duplicate;
        Passage::At(first, twice.then_some(second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Frame = Frame { bytes: 100, to_all: false };
    const MS: Duration = Duration::from_millis(1);

    fn line(settings: &[&str]) -> Line {
        let mut line = Line::default();
        settings.iter().for_each(|setting| line.impairment.set(setting).expect("valid"));
        line
    }

    #[test]
    fn a_line_without_impairments_passes_each_frame_at_once() {
        assert_eq!(line(&[]).pass(MS, SMALL, || 0.0), Passage::At(MS, None));
    }

    #[test]
    fn a_share_of_the_frames_is_lost_or_arrives_twice() {
        let mut lossy = line(&["loss=20"]);
        assert_eq!(lossy.pass(MS, SMALL, || 0.19), Passage::Dropped);
        assert_eq!(lossy.pass(MS, SMALL, || 0.21), Passage::At(MS, None));
        assert_eq!(line(&["duplicate=20"]).pass(MS, SMALL, || 0.19), Passage::At(MS, Some(MS)));
    }

    #[test]
    fn frames_wait_for_their_turn_at_a_rate_until_the_queue_is_full() {
        // 100 bytes take 8 ms at 100 kbit/s.
        let mut slow = line(&["kbit=100", "queue=10", "delay=5"]);
        assert_eq!(slow.pass(MS, SMALL, || 0.0), Passage::At(MS * 14, None));
        assert_eq!(slow.pass(MS, SMALL, || 0.0), Passage::At(MS * 22, None));
        assert_eq!(slow.pass(MS, SMALL, || 0.0), Passage::QueueFull);
        assert_eq!(slow.pass(MS * 9, SMALL, || 0.0), Passage::At(MS * 30, None));
    }

    #[test]
    fn large_frames_broadcasts_or_all_frames_are_dropped() {
        let all = Frame { to_all: true, ..SMALL };
        assert_eq!(line(&["mtu=99"]).pass(MS, SMALL, || 0.5), Passage::Dropped);
        assert_eq!(line(&["mtu=100"]).pass(MS, SMALL, || 0.5), Passage::At(MS, None));
        assert_eq!(line(&["no-broadcast=1"]).pass(MS, all, || 0.5), Passage::Dropped);
        assert_eq!(line(&["no-broadcast=1"]).pass(MS, SMALL, || 0.5), Passage::At(MS, None));
        assert_eq!(line(&["cut=1"]).pass(MS, SMALL, || 0.5), Passage::Dropped);
    }

    #[test]
    fn a_setting_that_is_not_known_or_not_a_number_is_refused() {
        for setting in ["loss", "loss=x", "loss=-1", "what=1"] {
            assert!(Impairment::default().set(setting).is_err(), "{setting}");
        }
    }
}
