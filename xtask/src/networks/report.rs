//! The results of the cases: a table, and `docs/networks.md`.

use std::path::Path;
use std::time::Duration;

use super::history::Judgement;
use crate::shell::Result;

/// The report that `--report` writes.
const REPORT: &str = "docs/networks.md";
/// The text before the table.
const INTRODUCTION: &str = "\
# Impaired networks

Written by `cargo xtask networks --report`. Real nodes, each in a network namespace of its own, send
numbered messages of several sizes to one, two and all others while something goes wrong. A bridge in
user space loses, delays, repeats, reorders and slows down their frames. Every send, outcome and delivery
is written down at once, and all histories are judged together by the invariants of the simulator
([RELIABILITY.md](../RELIABILITY.md)): S2 nothing arrives twice, S3 what arrives was sent to that node,
S4 outcomes are true, S5 order, S6 each send ends in time with one outcome for each recipient. After the
fault, all nodes must see each other within a limit, and from then on every message must arrive (L1).

*Recipients*: outcomes by recipient; `other` are failures that are certain (no route, busy), and
`unreported` those of killed senders. *Latency*: from the call to the receipt by the other application.
*Whole*: from the end of the fault until all nodes see the whole mesh. *Noticed*: from the fault until no
other node sees the one that is gone. *Silent*: ends of links that were closed because nothing arrived.

";

/// The result of one case.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    name: String,
    what: String,
    operations: usize,
    delivered: usize,
    lost: usize,
    timeout: usize,
    unreported: usize,
    other: usize,
    silent: usize,
    /// The median and the 99th percentile of the latency, in microseconds.
    latency: [u64; 2],
    /// How long it took until all nodes saw each other after the fault.
    pub(super) back: Option<Duration>,
    /// How long it took until the others saw that a node was gone.
    pub(super) noticed: Option<Duration>,
    /// What else was measured.
    pub(super) note: String,
    failures: Vec<String>,
}

impl Row {
    /// A case that was not judged yet.
    pub(super) fn new(name: &str, what: &str) -> Self {
        Self { name: name.into(), what: what.into(), ..Self::default() }
    }

    /// A case that could not be run to its end.
    pub(super) fn failed(name: &str, what: &str, why: String) -> Self {
        Self { failures: vec![why], ..Self::new(name, what) }
    }

    /// Notes a failure.
    pub(super) fn fail(&mut self, why: String) {
        self.failures.push(why);
    }

    /// Notes a measured time, and a failure if it is over its limit.
    pub(super) fn limit(
        &mut self,
        what: &str,
        note: &mut dyn FnMut(&mut Self),
        took: Option<Duration>,
        limit: Duration,
    ) {
        note(self);
        match took {
            Some(took) if took <= limit => {}
            Some(took) => {
                let took = took.as_secs_f64();
                self.fail(format!("{what} after {took:.2} s; the limit is {limit:?}"));
            }
            None => self.fail(format!("{what}: not within 20 s more than the limit of {limit:?}")),
        }
    }

    /// Takes the figures and the violations of the histories.
    pub(super) fn judge(&mut self, judgement: Judgement) {
        self.operations = judgement.operations;
        self.delivered = judgement.count("delivered");
        self.lost = judgement.count("lost");
        self.timeout = judgement.count("timeout");
        self.unreported = judgement.count("unreported");
        let all: usize = judgement.outcomes.values().sum();
        self.other = all - self.delivered - self.lost - self.timeout - self.unreported;
        self.silent = judgement.silent();
        let ends = judgement.link_ends.iter().map(|(reason, count)| format!("{count} {reason}"));
        let ends = ends.collect::<Vec<_>>().join(", ");
        if !ends.is_empty() {
            self.note.push_str(&format!("; ends of links: {ends}"));
        }
        self.latency = [judgement.latency(0.5), judgement.latency(0.99)];
        let more = judgement.violated - judgement.violations.len();
        self.failures.extend(judgement.violations);
        if more > 0 {
            self.fail(format!("and {more} more violations"));
        }
        if self.delivered == 0 {
            self.fail("no message was delivered".into());
        }
    }

    /// Whether the case passed, and why not.
    pub(super) fn verdict(self) -> Result<()> {
        if self.failures.is_empty() { Ok(()) } else { Err(self.failures.join("\n      ")) }
    }

    /// The result as one line for a terminal.
    pub(super) fn summary(&self) -> String {
        if self.operations == 0 {
            return self.note.clone();
        }
        let [half, most] = self.latency;
        format!(
            "{} operations; {} delivered, {} lost, {} timeout, {} unreported, {} other; p50 {}, p99 {}; whole again {}; noticed {}; {} silent. {}",
            self.operations,
            self.delivered,
            self.lost,
            self.timeout,
            self.unreported,
            self.other,
            milliseconds(half),
            milliseconds(most),
            seconds(self.back),
            seconds(self.noticed),
            self.silent,
            self.note,
        )
    }

    fn cells(&self) -> [String; 12] {
        let verdict = if self.failures.is_empty() { "PASS" } else { "FAIL" };
        let count =
            |count: usize| if self.operations == 0 { "–".into() } else { count.to_string() };
        let [half, most] = self.latency.map(|latency| match self.operations {
            0 => "–".into(),
            _ => milliseconds(latency),
        });
        [
            self.name.clone(),
            count(self.operations),
            count(self.delivered),
            count(self.lost),
            count(self.timeout),
            count(self.unreported),
            count(self.other),
            format!("{half} / {most}"),
            seconds(self.back),
            seconds(self.noticed),
            count(self.silent),
            verdict.into(),
        ]
    }
}

/// The results as a table of Markdown.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = "\
| case | operations | delivered | lost | timeout | unreported | other | latency p50 / p99 | whole | noticed | silent | verdict |
|---|---|---|---|---|---|---|---|---|---|---|---|
"
    .to_owned();
    for row in rows {
        text.push_str(&format!("| {} |\n", row.cells().join(" | ")));
    }
    text
}

/// Writes the report.
pub(super) fn write(root: &Path, rows: &[Row]) -> Result<()> {
    let mut text = format!("{INTRODUCTION}{}\n", table(rows));
    for row in rows {
        text.push_str(&format!("- `{}`: {}.", row.name, row.what));
        if !row.note.is_empty() {
            text.push_str(&format!(" {}.", row.note));
        }
        text.push('\n');
        for failure in &row.failures {
            text.push_str(&format!("  - FAIL: {failure}\n"));
        }
    }
    std::fs::write(root.join(REPORT), text)
        .map_err(|error| format!("cannot write {REPORT}: {error}"))
}

fn milliseconds(micros: u64) -> String {
    match micros {
        0..10_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{} ms", micros / 1000),
    }
}

fn seconds(took: Option<Duration>) -> String {
    took.map_or_else(|| "–".into(), |took| format!("{:.2} s", took.as_secs_f64()))
}
