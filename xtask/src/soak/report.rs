//! The report of a soak, as Markdown.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Plan;
use super::growth::{RULE, Summary, mebibytes};
use super::ledger::Counts;
use super::node::Node;

/// What a soak has found.
pub(super) struct Report {
    plan: Plan,
    took: Duration,
    faults: BTreeMap<&'static str, u32>,
    rows: Vec<Row>,
    problems: Vec<String>,
}

struct Row {
    name: String,
    language: String,
    restarts: u32,
    stops: u32,
    counts: Counts,
    use_: Option<Summary>,
}

impl Report {
    /// The report about the nodes. `problems` are what was found beside their growth.
    pub(super) fn new(
        plan: Plan,
        took: Duration,
        faults: BTreeMap<&'static str, u32>,
        nodes: &[Node],
        counts: &[Counts],
        mut problems: Vec<String>,
    ) -> Self {
        let samples_max = nodes.iter().map(|node| node.summary().0).max().unwrap_or_default();
        let mut rows = Vec::new();
        for (node, counts) in nodes.iter().zip(counts) {
            let (samples, use_) = node.summary();
            if plan.judges_growth && samples * 2 >= samples_max {
                let growth = use_.iter().flat_map(Summary::growth);
                problems.extend(growth.map(|what| format!("{}: {what}", node.name)));
            }
            rows.push(Row {
                name: node.name.clone(),
                language: node.language.to_string(),
                restarts: node.restarts(),
                stops: node.stops,
                counts: counts.clone(),
                use_,
            });
        }
        Self { plan, took, faults, rows, problems }
    }

    /// What was found; empty if the soak passed.
    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }

    /// The whole text.
    pub(super) fn markdown(&self) -> String {
        let mut text = format!("# Soak of {} processes\n\n", self.rows.len());
        let faults: Vec<String> =
            self.faults.iter().map(|(what, count)| format!("{count} {what}")).collect();
        let sum = |of: fn(&Counts) -> u64| self.rows.iter().map(|row| of(&row.counts)).sum::<u64>();
        text += &format!(
            "{:.1} minutes, seed {}; faults: {}. {} sends, {} messages delivered, {} received, \
             {} violations.\n\n",
            self.took.as_secs_f64() / 60.0,
            self.plan.seed,
            faults.join(", "),
            sum(|counts| counts.sends),
            sum(|counts| counts.delivered),
            sum(|counts| counts.received),
            sum(|counts| counts.violations),
        );
        text += &table(&self.rows);
        text += "\nMemory is resident memory in MiB: the medians of the second and the last fifth of \
            the samples of the node's longest life, and the maximum. Descriptors and threads: the same \
            medians.\n\n";
        if self.plan.judges_growth {
            text += &format!("{RULE}\n\n");
        } else {
            text += "Growth was not judged: the run was too short.\n\n";
        }
        match self.problems.len() {
            0 => text += "Verdict: passed.\n",
            count => {
                let plural = if count == 1 { "" } else { "s" };
                text += &format!("Verdict: FAILED, {count} problem{plural}:\n\n");
                for problem in &self.problems {
                    text += &format!("- {problem}\n");
                }
            }
        }
        text
    }
}

const COLUMNS: [&str; 13] = [
    "node",
    "language",
    "restarts",
    "stops",
    "sends",
    "delivered",
    "other outcomes",
    "received",
    "violations",
    "memory",
    "max",
    "descriptors",
    "threads",
];

/// The rows as a table whose columns are aligned.
fn table(rows: &[Row]) -> String {
    let mut lines = vec![COLUMNS.map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
        .collect();
    lines.insert(1, std::array::from_fn(|column| "-".repeat(widths[column])));
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        text += &format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
    }
    text
}

fn cells(row: &Row) -> [String; COLUMNS.len()] {
    let counts = &row.counts;
    let others: Vec<String> =
        counts.others.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    let both = |of: fn(&Summary) -> (String, String)| {
        row.use_.as_ref().map_or("-".to_owned(), |summary| {
            let (base, last) = of(summary);
            format!("{base} → {last}")
        })
    };
    [
        row.name.clone(),
        row.language.clone(),
        row.restarts.to_string(),
        row.stops.to_string(),
        counts.sends.to_string(),
        counts.delivered.to_string(),
        if others.is_empty() { "-".to_owned() } else { others.join(", ") },
        counts.received.to_string(),
        counts.violations.to_string(),
        both(|of| (mebibytes(of.base.memory), mebibytes(of.last.memory))),
        row.use_.as_ref().map_or("-".to_owned(), |summary| mebibytes(summary.max.memory)),
        both(|of| (of.base.descriptors.to_string(), of.last.descriptors.to_string())),
        both(|of| (of.base.threads.to_string(), of.last.threads.to_string())),
    ]
}
