//! Bar charts as SVG. Each system has a row, and each case of the chart has a bar in it.
//!
//! ```text
//!  title                                     ■ one core  ■ two cores
//!  raw-tokio      ▇▇▇▇▇▇ 15.6
//!  meshage-rust   ▇▇▇▇▇▇▇ 16.3               ours coloured, others grey, best first
//!  zeromq         ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇ 40.8
//!                 0        20        40  µs  logarithmic where figures are far apart
//! ```

use std::fmt::Write as _;

use crate::cases::Case;
use crate::figures::{Figure, Figures};
use crate::format::number;
use crate::systems::System;

/// The contents of a chart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chart {
    /// The name of its file, without the extension.
    pub(crate) file: &'static str,
    pub(crate) title: &'static str,
    /// Whether it shows 99th percentiles instead of medians.
    p99: bool,
    /// The cases, with their names in the legend.
    cases: &'static [(&'static str, &'static str)],
}

const fn chart(
    file: &'static str,
    title: &'static str,
    cases: &'static [(&'static str, &'static str)],
) -> Chart {
    Chart { file, title, p99: false, cases }
}

/// Every chart, in the order of the report.
pub(crate) const ALL: &[Chart] = &[
    chart(
        "set_rtt",
        "Acknowledged round trip of 64 B, median",
        &[("set_rtt@same", "one core"), ("set_rtt", "two cores")],
    ),
    chart(
        "set_64",
        "64 concurrent callers, 64 B, acknowledged",
        &[("set_64", "direct"), ("relay_64@1", "one relay"), ("relay_64@3", "three relays")],
    ),
    chart(
        "set_window",
        "1,000 messages of 64 B outstanding, acknowledged",
        &[
            ("set_window", "direct"),
            ("relay_window@1", "one relay"),
            ("relay_window@3", "three relays"),
            ("stream_unacked", "direct, never acknowledged"),
        ],
    ),
    chart("large", "Large bodies, acknowledged", &[("large", "1 MiB"), ("large@64MiB", "64 MiB")]),
    Chart {
        file: "large_beside",
        title: "Round trip of 64 B beside large bodies, 99th percentile",
        p99: true,
        cases: &[
            ("large_beside@alone", "alone"),
            ("large_beside@1MiB", "beside 1 MiB"),
            ("large_beside@64MiB", "beside 64 MiB"),
        ],
    },
    chart(
        "relay_rtt",
        "Acknowledged round trip of 64 B through relays, median",
        &[
            ("relay_rtt@1@same", "one relay, one core"),
            ("relay_rtt@1", "one relay, two"),
            ("relay_rtt@3@same", "three relays, one core"),
            ("relay_rtt@3", "three relays, two"),
        ],
    ),
    chart(
        "fanout",
        "64 B to every node until the last has it, median",
        &[("fanout@16", "16 neighbours"), ("fanout@mesh64", "a mesh of 64")],
    ),
    chart(
        "recv",
        "64 B received by a Python or Rust program",
        &[("recv_many", "in batches"), ("recv_for", "one by one")],
    ),
    chart(
        "spf",
        "Route computation for a whole mesh, median",
        &[
            ("spf@100", "100 nodes"),
            ("spf@1000", "1,000"),
            ("spf@10000", "10,000"),
            ("spf@10000-half", "10,000, half cut off"),
        ],
    ),
    chart("memory", "Resident size", &[("memory@idle", "idle"), ("memory@16", "16 links")]),
];

const WIDTH: f64 = 760.0;
/// The margin left of the titles and right of the legend.
const MARGIN: f64 = 8.0;
/// The left end of the bars, right of the systems' names.
const LEFT: f64 = 156.0;
/// The right end of the longest bar, left of its figure.
const RIGHT: f64 = WIDTH - 90.0;
const TOP: f64 = 62.0;
const BAR: f64 = 13.0;
/// The gap between two systems.
const GAP: f64 = 9.0;
/// The scale is logarithmic if the ratio of the largest to the smallest figure is higher than this.
const LINEAR_MAX: f64 = 30.0;

/// Light or dark colours follow the reader's setting.
const STYLE: &str = "
  text { font: 13px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 }
  .small, .small text { font-size: 11px; fill: #59636e }
  .ours { font-weight: 600 }
  line { stroke: #d1d9e0; stroke-width: 1 }
  .o0 { fill: #0969da } .o1 { fill: #54a3f5 } .o2 { fill: #96c6fa } .o3 { fill: #c8e1fc }
  .n0 { fill: #818b98 } .n1 { fill: #a5aeb8 } .n2 { fill: #c4cad1 } .n3 { fill: #dce0e5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .small, .small text { fill: #9198a1 }
    line { stroke: #3d444d }
    .o0 { fill: #4493f8 } .o1 { fill: #316dca } .o2 { fill: #264f91 } .o3 { fill: #1c3560 }
    .n0 { fill: #9198a1 } .n1 { fill: #6e7681 } .n2 { fill: #545b64 } .n3 { fill: #3d444d }
  }
";

impl Chart {
    /// Draws the chart. Returns `None` if none of its cases was measured.
    pub(crate) fn svg(&self, systems: &[&System], figures: &Figures) -> Option<String> {
        let rows = self.rows(systems, figures);
        let values: Vec<f64> =
            rows.iter().flat_map(|row| row.values.iter().flatten().copied()).collect();
        let unit = self.cases.iter().find_map(|(case, _)| Case::named(case))?.unit;
        let scale = Scale::of(&values)?;
        let bars: usize = rows.iter().map(|row| row.values.iter().flatten().count()).sum();
        let bottom = TOP + bars as f64 * BAR + rows.len() as f64 * GAP;
        let height = bottom + 34.0;

        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
             viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n<title>{}</title>\n<style>{STYLE}</style>\n",
            self.title
        );
        let better = if unit.lower_is_better() { "lower is better" } else { "higher is better" };
        let log = if scale.is_log() { ", logarithmic" } else { "" };
        let unit = unit.name();
        text(&mut svg, MARGIN, 18.0, "title", "start", self.title);
        text(&mut svg, MARGIN, 38.0, "small", "start", &format!("{unit}{log}; {better}"));
        if self.cases.len() > 1 {
            self.legend(&mut svg, &rows);
        }
        for tick in scale.ticks() {
            let x = scale.x(tick);
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\"/>",
                TOP - 6.0
            );
            text(&mut svg, x, bottom + 15.0, "small", "middle", &label(tick));
        }
        let mut y = TOP;
        for row in &rows {
            y = row.draw(&mut svg, &scale, y) + GAP;
        }
        svg.push_str("</svg>\n");
        Some(svg)
    }

    /// The systems that have a figure, best first.
    fn rows(&self, systems: &[&System], figures: &Figures) -> Vec<Row> {
        let shown = |figure: &Figure| if self.p99 { figure.p99 } else { figure.median };
        let row = |system: &&System| Row {
            system: system.name,
            is_ours: system.is_ours,
            values: self
                .cases
                .iter()
                .map(|(case, _)| figures.get(case, system.name).map(shown))
                .collect(),
        };
        let mut rows: Vec<Row> = systems.iter().map(row).collect();
        rows.retain(|row| row.values.iter().any(Option::is_some));
        let lower_is_better = self
            .cases
            .iter()
            .find_map(|(case, _)| Case::named(case))
            .is_none_or(|case| case.unit.lower_is_better());
        rows.sort_by(|a, b| {
            // Compare the first case that either system has. A system without it comes last.
            let both = a.values.iter().zip(&b.values).find(|(a, b)| a.is_some() || b.is_some());
            match both {
                Some((Some(a), Some(b))) if lower_is_better => a.total_cmp(b),
                Some((Some(a), Some(b))) => b.total_cmp(a),
                Some((a, b)) => b.is_some().cmp(&a.is_some()),
                None => std::cmp::Ordering::Equal,
            }
        });
        rows
    }

    /// Draws the legend from right to left: each name with its colour in front.
    fn legend(&self, svg: &mut String, rows: &[Row]) {
        let family = if rows.iter().any(|row| row.is_ours) { 'o' } else { 'n' };
        let mut x = WIDTH - MARGIN;
        for (at, (_, name)) in self.cases.iter().enumerate().rev() {
            if rows.iter().all(|row| row.values[at].is_none()) {
                continue;
            }
            // 6.2 is about the average width of a character of this size.
            x -= 6.2 * name.chars().count() as f64;
            text(svg, x, 38.0, "small", "start", name);
            x -= 15.0;
            rect(svg, x, 29.0, 10.0, 10.0, &format!("{family}{at}"));
            x -= 14.0;
        }
    }
}

/// The bars of one system.
struct Row {
    system: &'static str,
    is_ours: bool,
    values: Vec<Option<f64>>,
}

impl Row {
    /// Draws the row. Returns its lower end.
    fn draw(&self, svg: &mut String, scale: &Scale, top: f64) -> f64 {
        let family = if self.is_ours { 'o' } else { 'n' };
        let mut y = top;
        for (at, value) in self.values.iter().enumerate() {
            let Some(value) = *value else { continue };
            let end = scale.x(value);
            rect(svg, LEFT, y + 0.5, (end - LEFT).max(1.0), BAR - 1.0, &format!("{family}{at}"));
            text(svg, end + 5.0, y + BAR - 2.5, "small", "start", &number(value));
            y += BAR;
        }
        let class = if self.is_ours { "ours" } else { "other" };
        text(svg, LEFT - 8.0, f64::midpoint(top, y) + 4.5, class, "end", self.system);
        y
    }
}

/// Maps figures to coordinates.
enum Scale {
    Linear {
        max: f64,
    },
    /// Logarithmic, with powers of ten as ticks.
    Log {
        from: i32,
        to: f64,
    },
}

impl Scale {
    fn of(values: &[f64]) -> Option<Self> {
        let positive = || values.iter().copied().filter(|value| *value > 0.0);
        let (min, max) = (positive().reduce(f64::min)?, positive().reduce(f64::max)?);
        if max <= min * LINEAR_MAX {
            return Some(Self::Linear { max });
        }
        // The lower end leaves a visible length for the shortest bar.
        Some(Self::Log { from: (min.log10() - 0.1).floor() as i32, to: max.log10() })
    }

    fn is_log(&self) -> bool {
        matches!(self, Self::Log { .. })
    }

    fn x(&self, value: f64) -> f64 {
        let part = match *self {
            Self::Linear { max } => value / max,
            Self::Log { from, to } => (value.log10() - f64::from(from)) / (to - f64::from(from)),
        };
        LEFT + part.clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    fn ticks(&self) -> Vec<f64> {
        match *self {
            Self::Linear { max } => {
                // Use four to eight steps of 1, 2 or 5 times a power of ten.
                let power = 10_f64.powf((max / 4.0).log10().floor());
                let steps = [5.0, 2.0, 1.0].map(|step| step * power);
                let step = steps.into_iter().find(|step| max / step >= 4.0).unwrap_or(power);
                (0..=(max / step) as usize).map(|at| at as f64 * step).collect()
            }
            Self::Log { from, to } => {
                (from..=to.floor() as i32).map(|power| 10_f64.powi(power)).collect()
            }
        }
    }
}

/// The short label of a tick.
fn label(value: f64) -> String {
    let (part, unit) = match value {
        value if value >= 1e6 => (value / 1e6, " M"),
        value if value >= 1e4 => (value / 1e3, " k"),
        value => (value, ""),
    };
    let digits = format!("{part:.3}");
    format!("{}{unit}", digits.trim_end_matches('0').trim_end_matches('.'))
}

fn text(svg: &mut String, x: f64, y: f64, class: &str, anchor: &str, content: &str) {
    // Writing to a string never fails.
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{content}</text>"
    );
}

fn rect(svg: &mut String, x: f64, y: f64, width: f64, height: f64, class: &str) {
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
         rx=\"1.5\" class=\"{class}\"/>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::Unit;
    use crate::process::Round;
    use crate::systems;

    fn figures(all: &[(&str, &'static str, f64)]) -> Figures {
        let figure = |&(case, system, median): &(&str, _, _)| {
            Figure::from_rounds(
                case,
                system,
                Unit::Micros,
                &[Round { median, p99: None, p999: None }],
            )
        };
        Figures { all: all.iter().filter_map(figure).collect(), ..Figures::default() }
    }

    fn systems() -> Vec<&'static System> {
        systems::ALL.iter().collect()
    }

    #[test]
    fn the_cases_of_a_chart_exist_and_have_one_unit() {
        for chart in ALL {
            let units: Vec<Unit> =
                chart.cases.iter().map(|(case, _)| Case::named(case).expect(case).unit).collect();
            assert!(units.windows(2).all(|pair| pair[0] == pair[1]), "{}", chart.file);
            assert!(chart.cases.len() <= 4, "there are only four shades");
        }
    }

    #[test]
    fn the_best_system_comes_first_and_systems_without_the_case_last() {
        let figures = figures(&[
            ("set_rtt@same", "meshage-rust", 16.0),
            ("set_rtt@same", "raw-std", 12.0),
            ("set_rtt", "zenoh", 5.0),
        ]);
        let rows = ALL[0].rows(&systems(), &figures);
        let order: Vec<&str> = rows.iter().map(|row| row.system).collect();
        assert_eq!(order, ["raw-std", "meshage-rust", "zenoh"]);
    }

    #[test]
    fn figures_far_apart_use_a_logarithmic_scale() {
        assert!(!Scale::of(&[1.0, 30.0]).expect("values").is_log());
        let scale = Scale::of(&[2.0, 61.0]).expect("values");
        assert_eq!(scale.ticks(), [1.0, 10.0]);
        assert!(scale.x(2.0) > LEFT && scale.x(61.0) <= RIGHT);
        assert!(Scale::of(&[]).is_none());
    }

    #[test]
    fn ticks_are_round_numbers() {
        let ticks = |max| Scale::Linear { max }.ticks();
        assert_eq!(ticks(45.0), [0.0, 10.0, 20.0, 30.0, 40.0]);
        assert_eq!(ticks(8_190.0), [0.0, 2000.0, 4000.0, 6000.0, 8000.0]);
        assert_eq!([label(0.5), label(2000.0), label(1.5e6)], ["0.5", "2000", "1.5 M"]);
    }

    #[test]
    fn a_chart_without_figures_is_not_drawn() {
        assert_eq!(ALL[0].svg(&systems(), &Figures::default()), None);
        let svg = ALL[0].svg(&systems(), &figures(&[("set_rtt", "raw-std", 12.0)]));
        assert!(svg.expect("a figure").contains(">raw-std</text>"));
    }
}
