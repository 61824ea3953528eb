//! The report in `docs/bench/`: the charts, every figure, the targets, and on what it was made.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::Result;
use crate::cases;
use crate::chart;
use crate::figures::{Figure, Figures, Missing};
use crate::machine;
use crate::options::Options;
use crate::places::Places;
use crate::systems::System;
use crate::table::{self, number};
use crate::targets::{self, Verdict};

/// What stands around the charts in the README.
const BEGIN: &str = "<!-- bench -->";
const END: &str = "<!-- /bench -->";
/// The charts that the README shows; the report has all.
const IN_README: &[&str] = &["set_rtt", "set_64", "set_window", "large"];

/// Writes it, and the charts into the README where that has a place for them.
pub(crate) fn write(
    places: &Places,
    options: &Options,
    systems: &[&System],
    figures: &Figures,
) -> Result<()> {
    let folder = places.report();
    fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let mut charts = Vec::new();
    for chart in chart::ALL {
        let file = folder.join(format!("{}.svg", chart.file));
        match chart.svg(systems, figures) {
            Some(svg) => {
                save(&file, &svg)?;
                charts.push(chart);
            }
            // A chart of an earlier run beside the figures of this one would deceive.
            None if file.exists() => {
                fs::remove_file(&file)
                    .map_err(|e| format!("cannot remove {}: {e}", file.display()))?;
            }
            None => {}
        }
    }
    let mut page = head(places, options, systems);
    page.push_str(&missing(figures));
    page.push_str(&reached(figures));
    for chart in &charts {
        let _ = writeln!(page, "![{}]({}.svg)\n", chart.title, chart.file);
    }
    page.push_str(&all(figures));
    page.push_str(&peaks(figures));
    save(&folder.join("README.md"), &page)?;
    in_readme(places, &charts)
}

fn head(places: &Places, options: &Options, systems: &[&System]) -> String {
    let mut page = format!(
        "# Measured\n\n\
         Written by `cargo xtask bench` on {}; {}.\n\n\
         Two real processes over loopback TCP, more where the case needs them; {} rounds of {} ms for each \
         system, in turn with those of all others. A time is the median of the rounds' medians (and of their \
         99th and 99.9th percentiles), a rate the median of the rounds'. `@same` pins all processes to one \
         core, which takes the waking of an idle core out and is the steadier figure. Absolute figures \
         differ from machine to machine and from run to run; judge ratios within one run. \
         [bench/README.md](../../bench/README.md) says what each case does.\n\n\
         | system | what it is | version |\n|---|---|---|\n",
        machine::date(),
        machine::description(),
        options.rounds,
        options.round.as_millis(),
    );
    for system in systems {
        let _ = writeln!(page, "| {} | {} | {} |", system.name, system.is, system.version(places));
    }
    page.push('\n');
    page
}

fn missing(figures: &Figures) -> String {
    if figures.missing.is_empty() {
        return String::new();
    }
    let mut page = String::from("Not measured:\n");
    for Missing { what, why } in &figures.missing {
        let _ = writeln!(page, "- {what}: {}", why.replace('|', "\\|"));
    }
    page.push('\n');
    page
}

fn reached(figures: &Figures) -> String {
    let mut page =
        String::from("## To reach\n\n| target | against | reached | |\n|---|---|---|---|\n");
    for one in targets::all(figures) {
        let verdict = match one.verdict() {
            Verdict::Yes => "yes",
            Verdict::No => "**no**",
            Verdict::Unknown => "not measured",
        };
        let other = one.other.unwrap_or("");
        let _ = writeln!(page, "| {} | {other} | {} | {verdict} |", one.target, one.shown());
    }
    page.push('\n');
    page
}

/// Every figure of every case.
fn all(figures: &Figures) -> String {
    let mut page = String::from("## All figures\n");
    for case in cases::ALL {
        let mut rows = figures.in_case(case.name).peekable();
        if rows.peek().is_none() {
            continue;
        }
        let _ = writeln!(page, "\n**`{}`**: {}; {}\n", case.name, case.is, case.unit.name());
        let (titles, lines) = match case.unit.is_time() {
            true => ("99 % | 99.9 % | ", "---|---|"),
            false => ("", ""),
        };
        let _ = writeln!(page, "| | median | {titles}rounds |\n|---|---|{lines}---|");
        for figure in rows {
            let parts = match case.unit.is_time() {
                true => format!(
                    "{} | {} | ",
                    number(figure.p99),
                    figure.p999.map(number).unwrap_or_default()
                ),
                false => String::new(),
            };
            let _ = writeln!(
                page,
                "| {} | {} | {parts}{} |",
                figure.system,
                number(figure.median),
                table::range(figure)
            );
        }
    }
    page
}

/// The largest process of each case: a row for each case, a column for each system.
fn peaks(figures: &Figures) -> String {
    let mut systems: Vec<&str> = Vec::new();
    let mut cases: Vec<&str> = Vec::new();
    for Figure { case, system, .. } in &figures.peaks {
        if !systems.contains(system) {
            systems.push(system);
        }
        if !cases.contains(&case.as_str()) {
            cases.push(case);
        }
    }
    if cases.is_empty() {
        return String::new();
    }
    let mut page = format!(
        "\n## Peaks\n\nThe largest process of each case, MB resident at most.\n\n| | {} |\n|---|{}\n",
        systems.join(" | "),
        "---|".repeat(systems.len())
    );
    for case in cases {
        let _ = write!(page, "| {} |", case.trim_start_matches("memory@"));
        for system in &systems {
            let peak =
                figures.peaks.iter().find(|peak| peak.case == case && peak.system == *system);
            let _ = write!(page, " {} |", peak.map(|peak| number(peak.median)).unwrap_or_default());
        }
        page.push('\n');
    }
    page
}

/// Puts the charts between the marks of the README, if it has them.
fn in_readme(places: &Places, charts: &[&chart::Chart]) -> Result<()> {
    let file = places.root.join("README.md");
    let text = fs::read_to_string(&file)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let shown = charts.iter().filter(|chart| IN_README.contains(&chart.file));
    let lines: String = shown
        .map(|chart| format!("![{}](docs/bench/{}.svg)\n\n", chart.title, chart.file))
        .collect();
    let date = machine::date();
    let date = date.split(' ').next().unwrap_or_default();
    let block = format!(
        "\n{lines}Measured on {date} with `cargo xtask bench`; {}. \
         [Every figure](docs/bench/README.md).\n",
        machine::description()
    );
    match between(&text, &block) {
        Some(new) if new != text => save(&file, &new),
        Some(_) | None => Ok(()),
    }
}

/// The text with `block` between its marks; `None` where it has none.
fn between(text: &str, block: &str) -> Option<String> {
    let begin = text.find(BEGIN)? + BEGIN.len();
    let end = begin + text[begin..].find(END)?;
    Some(format!("{}{block}{}", &text[..begin], &text[end..]))
}

fn save(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_the_marks_is_replaced() {
        let text = "a\n<!-- bench -->\nold\n<!-- /bench -->\nb\n";
        let new = between(text, "\nnew\n").expect("marks");
        assert_eq!(new, "a\n<!-- bench -->\nnew\n<!-- /bench -->\nb\n");
        assert_eq!(between(&new, "\nnew\n"), Some(new));
        assert_eq!(between("a <!-- bench --> b", ""), None);
    }
}
