//! The counters of a simulation, and the report of a run.

use std::fmt;
use std::time::Duration;

use crate::wire::frame::FrameKind;

/// The traffic that one host sent, as frames and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrafficCounters {
    /// Control frames.
    pub control: (u64, u64),
    /// Data frames.
    pub data: (u64, u64),
    /// Acknowledgement frames.
    pub acks: (u64, u64),
    /// Keep-alive frames.
    pub keep_alives: (u64, u64),
    /// Solicitations and beacons.
    pub datagrams: u64,
    /// Dials.
    pub dials: u64,
}

impl TrafficCounters {
    /// Counts a frame, including its length prefix.
    pub(super) fn wrote(&mut self, frame: &[u8]) {
        let count = match FrameKind::from_number(frame[4]) {
            Some(FrameKind::Control) => &mut self.control,
            Some(FrameKind::Data) => &mut self.data,
            Some(FrameKind::Ack) => &mut self.acks,
            Some(FrameKind::KeepAlive) => &mut self.keep_alives,
            None => return,
        };
        count.0 += 1;
        count.1 += frame.len() as u64;
    }

    fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.control, other.control),
            (&mut self.data, other.data),
            (&mut self.acks, other.acks),
            (&mut self.keep_alives, other.keep_alives),
        ] {
            sum.0 += more.0;
            sum.1 += more.1;
        }
        self.datagrams += other.datagrams;
        self.dials += other.dials;
    }
}

/// The number of occurrences of each small number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: Vec<u64>,
}

impl Histogram {
    /// Counts a number.
    pub fn add(&mut self, number: usize) {
        if self.counts.len() <= number {
            self.counts.resize(number + 1, 0);
        }
        self.counts[number] += 1;
    }

    /// The mean, or 0 without entries.
    pub fn mean(&self) -> f64 {
        let (mut sum, mut count) = (0, 0);
        for (number, times) in self.counts.iter().enumerate() {
            sum += number as u64 * times;
            count += times;
        }
        if count == 0 { 0.0 } else { sum as f64 / count as f64 }
    }

    /// The maximum, or 0 without entries.
    pub fn max(&self) -> usize {
        self.counts.len().saturating_sub(1)
    }

    /// The minimum, or 0 without entries.
    pub fn min(&self) -> usize {
        self.counts.iter().position(|&times| times > 0).unwrap_or(0)
    }
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:.1}/{}", self.min(), self.mean(), self.max())
    }
}

/// All counters of a simulation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SimCounters {
    /// The traffic of each host.
    pub hosts: Vec<TrafficCounters>,
    /// The number of links that each delivered message crossed.
    pub hops: Histogram,
    /// The number of events that applications received.
    pub events: u64,
    /// How many of these events were name conflicts.
    pub conflicts: u64,
    /// The number of route installations.
    pub installs: u64,
    /// The number of events that may change the order of messages on a route: new routes were
    /// installed at a node, or a relay refused a copy.
    pub order_disruptions: u64,
    /// The number of frames that were forged.
    pub forgeries: u64,
    /// The number of handshakes in which one end turned the other one away.
    pub denials: u64,
    /// The number of times that one direction of a link moved to another key.
    pub key_switches: u64,
    /// The number of ends of links that were closed because a key was removed.
    pub links_outdated: u64,
    /// The number of datagrams that were dropped because they had arrived before, or were too old.
    pub datagrams_replayed: u64,
    /// The number of sealed writes and datagrams that were searched for what they must hide.
    pub searched: u64,
}

impl SimCounters {
    /// The sum over all hosts.
    pub fn total(&self) -> TrafficCounters {
        let mut total = TrafficCounters::default();
        self.hosts.iter().for_each(|counts| total.add(counts));
        total
    }
}

/// The result of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The seed that replays it.
    pub seed: u64,
    /// The number of nodes.
    pub nodes: usize,
    /// The configured degree.
    pub degree: u32,
    /// The number of faults.
    pub faults: usize,
    /// The time from the start until every table contained every node.
    pub known: Duration,
    /// The time from the start until every table was complete and correct.
    pub converged: Duration,
    /// The time from the end of the faults until every table was complete and correct again.
    pub healed: Option<Duration>,
    /// The total virtual time.
    pub lasted: Duration,
    /// The counters.
    pub counters: SimCounters,
    /// The number of links of each node at the end.
    pub links: Histogram,
    /// The number of sends.
    pub sends: u64,
    /// The number of recipients for each outcome, sorted by the outcome's name.
    pub outcomes: Vec<(&'static str, u64)>,
    /// The number of deliveries, each recipient counted.
    pub received: u64,
    /// The number of simulator events.
    pub events: u64,
    /// The digest of the trace.
    pub digest: u64,
}

impl fmt::Display for Summary {
    /// Prints the report of one run.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = self.nodes as f64;
        let seconds = self.lasted.as_secs_f64();
        let total = self.counters.total();
        let per_node = |count: u64| count as f64 / nodes;
        writeln!(f, "seed               {}", self.seed)?;
        writeln!(f, "nodes              {} of degree {}", self.nodes, self.degree)?;
        writeln!(f, "virtual time       {seconds:.1} s, {} events", self.events)?;
        writeln!(f, "full tables after  {:.3} s", self.known.as_secs_f64())?;
        writeln!(f, "converged after    {:.3} s", self.converged.as_secs_f64())?;
        if let Some(healed) = self.healed {
            writeln!(
                f,
                "healed after       {:.3} s, from {} faults",
                healed.as_secs_f64(),
                self.faults
            )?;
        }
        writeln!(f, "links per node     {} (min/mean/max)", self.links)?;
        writeln!(f, "hops per message   {} (min/mean/max)", self.counters.hops)?;
        for (name, (frames, bytes)) in [
            ("control", total.control),
            ("messages", total.data),
            ("acknowledgements", total.acks),
            ("keep-alives", total.keep_alives),
        ] {
            writeln!(
                f,
                "{name:<18} {:.0} frames, {:.0} bytes per node; {:.1} frames/s",
                per_node(frames),
                per_node(bytes),
                per_node(frames) / seconds,
            )?;
        }
        writeln!(f, "datagrams          {:.1} per node", per_node(total.datagrams))?;
        writeln!(f, "dials              {:.1} per node", per_node(total.dials))?;
        writeln!(f, "sends              {}, {} received", self.sends, self.received)?;
        write!(f, "outcomes          ")?;
        for (name, count) in &self.outcomes {
            write!(f, " {name} {count}")?;
        }
        writeln!(f)?;
        write!(f, "digest             {:016x}", self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_prints_its_minimum_mean_and_maximum() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.to_string(), "0/0.0/0");
        for number in [2, 2, 5] {
            histogram.add(number);
        }
        assert_eq!(histogram.to_string(), "2/3.0/5");
    }
}
