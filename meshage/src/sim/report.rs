//! What a world counted: the figures of a report.

use std::fmt;
use std::time::Duration;

use crate::wire::frame::FrameKind;

/// What one host's nodes sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrafficCounters {
    /// Control frames, and their bytes.
    pub control: (u64, u64),
    /// Frames of messages.
    pub data: (u64, u64),
    /// Frames of acknowledgements.
    pub acks: (u64, u64),
    /// Signs of incarnation.
    pub keep_alives: (u64, u64),
    /// Solicitations and beacons.
    pub datagrams: u64,
    /// Connections begun.
    pub dials: u64,
}

impl TrafficCounters {
    /// TrafficCounters a frame, prefix and all.
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

/// How often each small number came up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: Vec<u64>,
}

impl Histogram {
    /// TrafficCounters a number.
    pub fn add(&mut self, number: usize) {
        if self.counts.len() <= number {
            self.counts.resize(number + 1, 0);
        }
        self.counts[number] += 1;
    }

    /// The mean; 0 of nothing.
    pub fn mean(&self) -> f64 {
        let (mut sum, mut count) = (0, 0);
        for (number, times) in self.counts.iter().enumerate() {
            sum += number as u64 * times;
            count += times;
        }
        if count == 0 { 0.0 } else { sum as f64 / count as f64 }
    }

    /// The greatest number; 0 of nothing.
    pub fn max(&self) -> usize {
        self.counts.len().saturating_sub(1)
    }

    /// The least number; 0 of nothing.
    pub fn min(&self) -> usize {
        self.counts.iter().position(|&times| times > 0).unwrap_or(0)
    }
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:.1}/{}", self.min(), self.mean(), self.max())
    }
}

/// Everything that a world counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SimCounters {
    /// By host.
    pub hosts: Vec<TrafficCounters>,
    /// How many links the messages crossed that arrived.
    pub hops: Histogram,
    /// How many events applications were told.
    pub events: u64,
    /// How many of them of two nodes with one name.
    pub conflicts: u64,
    /// How often routes were put in force.
    pub installs: u64,
    /// How often something came between messages on one route: new routes came into force somewhere,
    /// or a relay refused a copy.
    pub order_disruptions: u64,
}

impl SimCounters {
    /// The sum over all hosts.
    pub fn total(&self) -> TrafficCounters {
        let mut total = TrafficCounters::default();
        self.hosts.iter().for_each(|counts| total.add(counts));
        total
    }
}

/// What one run came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The seed that replays it.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// The degree they wanted.
    pub degree: u32,
    /// How many faults befell them.
    pub faults: usize,
    /// From the start until every table held every node.
    pub known: Duration,
    /// From the start until every table was full and true.
    pub converged: Duration,
    /// From the end of the faults until it was so again.
    pub healed: Option<Duration>,
    /// Virtual time in all.
    pub lasted: Duration,
    /// What was counted.
    pub counters: SimCounters,
    /// Links of each node at the end.
    pub links: Histogram,
    /// How many sends, and how many of their recipients had each outcome.
    pub sends: u64,
    /// Outcomes by their names, sorted.
    pub outcomes: Vec<(&'static str, u64)>,
    /// Messages that arrived, each recipient counted.
    pub received: u64,
    /// Events of the simulator.
    pub events: u64,
    /// The digest of all of them.
    pub digest: u64,
}

impl fmt::Display for Summary {
    /// The report of one run.
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
        writeln!(f, "links per node     {} (least/mean/most)", self.links)?;
        writeln!(f, "hops per message   {} (least/mean/most)", self.counters.hops)?;
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
    fn a_histogram_knows_its_least_mean_and_most() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.to_string(), "0/0.0/0");
        for number in [2, 2, 5] {
            histogram.add(number);
        }
        assert_eq!(histogram.to_string(), "2/3.0/5");
    }
}
