//! Writes the report in `docs/bench/`: the charts, every figure, the targets, and the machine.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::cases;
use crate::chart;
use crate::error::Result;
use crate::figures::{Cost, Figure, Figures, Missing};
use crate::format::{self, number};
use crate::machine;
use crate::options::Options;
use crate::paths::Paths;
use crate::systems::System;
use crate::targets::{self, Verdict};

/// The markers around the charts in the README.
const BEGIN: &str = "<!-- bench -->";
const END: &str = "<!-- /bench -->";
/// The charts in the README. The report has all charts.
const IN_README: &[&str] = &["set_rtt", "set_64", "set_window", "large"];

/// Writes the report of `--closed`: the cost of encryption.
pub(crate) fn write_closed(
    paths: &Paths,
    options: &Options,
    systems: &[&System],
    figures: &Figures,
) -> Result<PathBuf> {
    let folder = paths.report_folder();
    fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    let mut page = format!(
        "# The cost of encryption\n\n\
         Written by `cargo xtask bench --closed` on {}; {}. The load average after the run was {}, of \
         which the run itself causes about 2.\n\n\
         Each system runs with encryption and without, over loopback TCP, in {} rounds of {} ms each. The two \
         rounds of a pair are adjacent, and every second pair runs in reverse order. The ratio \
         is computed for each pair of rounds: the tables show the median and the quartiles of these \
         ratios. [The other report](README.md) has all systems without encryption, and \
         [bench/README.md](../../bench/README.md) describes each case.\n\n",
        machine::date(),
        machine::description(),
        machine::load_average(),
        options.rounds,
        options.round.as_millis(),
    );
    page.push_str(&system_table(paths, systems));
    page.push_str(&missing(figures));
    page.push_str(&target_table(figures));
    page.push_str(&cost_table(systems, figures));
    page.push_str(&all_figures(figures));
    let file = folder.join("closed.md");
    save(&file, &page)?;
    Ok(file)
}

/// The cost of encryption for each system in each case.
fn cost_table(systems: &[&System], figures: &Figures) -> String {
    let mut page = String::from(
        "## With encryption and without\n\n\
         | case | unit | system | without | with | ratio | quartiles |\n|---|---|---|---|---|---|---|\n",
    );
    for Cost { open, encrypted, ratio } in figures.costs(systems) {
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {} | {:.2} | {:.2} – {:.2} |",
            encrypted.case,
            encrypted.unit.name(),
            encrypted.system,
            number(open.median),
            number(encrypted.median),
            ratio.median,
            ratio.middle.0,
            ratio.middle.1,
        );
    }
    page.push('\n');
    page
}

/// Writes the report, and puts charts into the README if it has the markers.
pub(crate) fn write(
    paths: &Paths,
    options: &Options,
    systems: &[&System],
    figures: &Figures,
) -> Result<()> {
    let folder = paths.report_folder();
    fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    let mut charts = Vec::new();
    for chart in chart::ALL {
        let file = folder.join(format!("{}.svg", chart.file));
        match chart.svg(systems, figures) {
            Some(svg) => {
                save(&file, &svg)?;
                charts.push(chart);
            }
            // A chart of an earlier run would not match the figures of this one.
            None if file.exists() => {
                fs::remove_file(&file)
                    .map_err(|e| format!("cannot remove {}: {e}", file.display()))?;
            }
            None => {}
        }
    }
    let mut page = head(paths, options, systems);
    page.push_str(&missing(figures));
    page.push_str(&target_table(figures));
    for chart in &charts {
        let _ = writeln!(page, "![{}]({}.svg)\n", chart.title, chart.file);
    }
    page.push_str(&all_figures(figures));
    page.push_str(&peaks(figures));
    save(&folder.join("README.md"), &page)?;
    update_readme(paths, &charts)
}

fn head(paths: &Paths, options: &Options, systems: &[&System]) -> String {
    let mut page = format!(
        "# Measurements\n\n\
         Written by `cargo xtask bench` on {}; {}.\n\n\
         Each case runs two processes over loopback TCP, or more if it needs them. Each system has {} rounds \
         of {} ms, in turn with the rounds of all other systems. A time is the median of the rounds' medians, \
         and a percentile is the median of the rounds' percentiles. A rate is the median of the rounds' \
         rates. `@same` pins all processes to one core: this excludes the wake-up time of an idle core, and \
         the figure varies less. Absolute figures differ from machine to machine and from run to run, so compare ratios within \
         one run. [bench/README.md](../../bench/README.md) describes each case. \
         `cargo xtask bench --closed` measures the cost of encryption and writes closed.md.\n\n",
        machine::date(),
        machine::description(),
        options.rounds,
        options.round.as_millis(),
    );
    page.push_str(&system_table(paths, systems));
    page
}

fn system_table(paths: &Paths, systems: &[&System]) -> String {
    let mut page = String::from("| system | description | version |\n|---|---|---|\n");
    for system in systems {
        let _ = writeln!(
            page,
            "| {} | {} | {} |",
            system.name,
            system.description,
            system.version(paths)
        );
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

fn target_table(figures: &Figures) -> String {
    let mut page = String::from(
        "## Targets\n\n| target | compared with | result | met |\n|---|---|---|---|\n",
    );
    for one in targets::evaluate(figures) {
        let verdict = match one.verdict() {
            Verdict::Met => "yes",
            Verdict::Missed => "**no**",
            Verdict::NotMeasured => "not measured",
        };
        let baseline = one.baseline.unwrap_or("");
        let _ = writeln!(page, "| {} | {baseline} | {} | {verdict} |", one.target, one.value());
    }
    page.push('\n');
    page
}

/// Every figure of every case.
fn all_figures(figures: &Figures) -> String {
    let mut page = String::from("## All figures\n");
    for case in cases::ALL {
        let mut rows = figures.in_case(case.name).peekable();
        if rows.peek().is_none() {
            continue;
        }
        let _ =
            writeln!(page, "\n**`{}`**: {}; {}\n", case.name, case.description, case.unit.name());
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
                format::range(figure)
            );
        }
    }
    page
}

/// The peak size of the largest process: a row for each case, a column for each system.
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
        "\n## Peak memory\n\nThe peak resident size of the largest process of each case, in MB.\n\n| | {} |\n|---|{}\n",
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

/// Puts the charts between the markers of the README, if it has them.
fn update_readme(paths: &Paths, charts: &[&chart::Chart]) -> Result<()> {
    let file = paths.root.join("README.md");
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
    match replace_block(&text, &block) {
        Some(new) if new != text => save(&file, &new),
        Some(_) | None => Ok(()),
    }
}

/// The text with `block` between the markers. Returns `None` if the text has no markers.
fn replace_block(text: &str, block: &str) -> Option<String> {
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
    fn the_text_between_the_markers_is_replaced() {
        let text = "a\n<!-- bench -->\nold\n<!-- /bench -->\nb\n";
        let new = replace_block(text, "\nnew\n").expect("markers");
        assert_eq!(new, "a\n<!-- bench -->\nnew\n<!-- /bench -->\nb\n");
        assert_eq!(replace_block(&new, "\nnew\n"), Some(new));
        assert_eq!(replace_block("a <!-- bench --> b", ""), None);
    }
}
