//! Measures the targets, of one size or of many, and draws how they grow with the mesh.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use meshage::sim::{Scale, Target, measure};

/// What `--report` writes, from the root of the tree.
const PAGE: &str = "docs/scale.md";
const TIMES: &str = "docs/scale-times.svg";
const TRAFFIC: &str = "docs/scale-traffic.svg";
/// The sizes of a report, up to the one that is given.
const SIZES: [usize; 6] = [32, 100, 320, 1000, 3200, 10_000];

/// The targets of one size, and how long it took to measure them.
struct Measured {
    nodes: usize,
    targets: Vec<Target>,
    seconds: f64,
    megabytes: Option<u64>,
}

/// Measures one mesh, or for a report all sizes up to that one.
pub(crate) fn run(scale: Scale, report: bool) -> ExitCode {
    let sizes = match report {
        true => SIZES.into_iter().filter(|size| *size <= scale.nodes).collect(),
        false => vec![scale.nodes],
    };
    let mut all = Vec::new();
    for nodes in sizes {
        let start = Instant::now();
        let targets = measure(Scale { nodes, ..scale }, |target| println!("{target}"));
        let met = targets.iter().filter(|target| target.is_met()).count();
        let (seconds, megabytes) = (start.elapsed().as_secs_f64(), peak_memory());
        let memory = megabytes.map_or(String::new(), |megabytes| format!(", {megabytes} MB"));
        println!("sim: {met} of {} targets met, {seconds:.1} s{memory}", targets.len());
        all.push(Measured { nodes, targets, seconds, megabytes });
    }
    let files = [
        (PAGE, page(&all, scale)),
        (TIMES, chart(&all, "Time until every node knows", "seconds", &TIME_SERIES)),
        (TRAFFIC, chart(&all, "What one node sends to keep the mesh", "bytes", &TRAFFIC_SERIES)),
    ];
    for (path, text) in files.iter().filter(|_| report) {
        if let Err(error) = std::fs::write(path, text) {
            println!("sim: cannot write {path}: {error}");
            return ExitCode::FAILURE;
        }
    }
    let met = all.iter().flat_map(|measured| &measured.targets).all(Target::is_met);
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The largest memory of this process so far, where the system tells it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes / 1024)
}

fn page(all: &[Measured], scale: Scale) -> String {
    let mut page = format!(
        "# How the mesh grows\n\nWritten by `cargo xtask sim --targets --degree {} --seed {} --nodes {} \
         --report`: simulated meshes with links of 5 ms\n(±1 ms) and 1 Gbit/s. Each cell has the measured \
         value, and in parentheses the bytes of control frames and\nkeep-alives that a node sent in that phase, \
         on average.\n\n![times](scale-times.svg)\n\n![traffic](scale-traffic.svg)\n\n| |",
        scale.degree, scale.seed, scale.nodes
    );
    for measured in all {
        let _ = write!(page, " {} nodes |", measured.nodes);
    }
    let _ = writeln!(page, " target |\n|---|{}---|", "---|".repeat(all.len()));
    let keys = all.first().map_or(&[][..], |measured| &measured.targets);
    for key in keys.iter().filter(|target| target.key != "first contact") {
        let _ = write!(page, "| {} |", key.key);
        for measured in all {
            let target = find(measured, key.key);
            let cell = target.map_or("–".into(), |target| match target.measured {
                None => "never".into(),
                Some(value) if target.unit == "s" => {
                    format!("{value:.3} s ({:.0})", target.traffic.bytes)
                }
                Some(value) => format!("{value:.0} {}", target.unit),
            });
            let _ = write!(page, " {cell} |");
        }
        let _ = writeln!(page, " ≤ {} {} |", key.limit, key.unit);
    }
    let _ = write!(page, "| real time, memory |");
    for measured in all {
        let memory = measured.megabytes.map_or(String::new(), |size| format!(", {size} MB"));
        let _ = write!(page, " {:.0} s{memory} |", measured.seconds);
    }
    page.push_str(" |\n");
    page
}

fn find<'a>(measured: &'a Measured, key: &str) -> Option<&'a Target> {
    measured.targets.iter().find(|target| target.key == key)
}

/// A line of a chart: its name, the target, and the figure of that.
type Series = (&'static str, &'static str, fn(&Target) -> Option<f64>);

const TIME_SERIES: [Series; 6] = [
    ("cold start", "cold start", |target| target.measured),
    ("join", "join", |target| target.measured),
    ("leave", "leave", |target| target.measured),
    ("kill", "kill", |target| target.measured),
    ("silent death", "silent death", |target| target.measured),
    ("heal", "heal", |target| target.measured),
];
const TRAFFIC_SERIES: [Series; 5] = [
    ("cold start", "cold start", |target| Some(target.traffic.bytes)),
    ("join", "join", |target| Some(target.traffic.bytes)),
    ("kill", "kill", |target| Some(target.traffic.bytes)),
    ("heal", "heal", |target| Some(target.traffic.bytes)),
    ("idle, a second", "idle", |target| target.measured),
];
const COLOURS: [&str; 6] = ["#0969da", "#1a7f37", "#9a6700", "#cf222e", "#8250df", "#59636e"];
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 380.0;
/// The edges of the diagram.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 580.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 340.0;

/// Draws lines over the number of nodes, both axes logarithmic.
fn chart(all: &[Measured], title: &str, unit: &str, series: &[Series]) -> String {
    let points = |(_, key, figure): &Series| -> Vec<(f64, f64)> {
        let point = |measured: &Measured| {
            let value = figure(find(measured, key)?)?;
            (value > 0.0).then_some((measured.nodes as f64, value))
        };
        all.iter().filter_map(point).collect()
    };
    let values: Vec<f64> = series.iter().flat_map(points).map(|(_, value)| value).collect();
    let decade = |value: f64| value.log10();
    let low = values.iter().copied().map(decade).fold(f64::MAX, f64::min).floor();
    let high = values.iter().copied().map(decade).fold(f64::MIN, f64::max).ceil().max(low + 1.0);
    let (first, last) = (1.5, 4.0);
    let x = |nodes: f64| LEFT + (RIGHT - LEFT) * (decade(nodes) - first) / (last - first);
    let y = |value: f64| BOTTOM - (BOTTOM - TOP) * (decade(value) - low) / (high - low);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 \
         {WIDTH} {HEIGHT}\" role=\"img\">\n<title>{title}</title>\n<style>text {{ font: 12px system-ui, \
         sans-serif; fill: #1f2328 }} .grid {{ stroke: #d1d9e0 }} polyline {{ fill: none; stroke-width: 2 }}\n\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #f0f6fc }} .grid {{ stroke: #3d444d }} }}</style>\n\
         <text x=\"{LEFT}\" y=\"20\" font-weight=\"600\">{title}</text>\n<text x=\"{LEFT}\" y=\"38\">{unit}, over \
         the number of nodes; both logarithmic</text>\n"
    );
    let mut line = |x1: f64,
                    y1: f64,
                    x2: f64,
                    y2: f64,
                    label: &str,
                    at: (f64, f64),
                    anchor: &str| {
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/><text x=\"{:.1}\" \
             y=\"{:.1}\" text-anchor=\"{anchor}\">{label}</text>",
            at.0, at.1
        );
    };
    for exponent in low as i32..=high as i32 {
        let value = 10_f64.powi(exponent);
        let at = y(value);
        line(LEFT, at, RIGHT, at, &value.to_string(), (LEFT - 6.0, at + 4.0), "end");
    }
    for nodes in SIZES {
        let at = x(nodes as f64);
        line(at, TOP, at, BOTTOM, &nodes.to_string(), (at, BOTTOM + 18.0), "middle");
    }
    for (number, (series, colour)) in series.iter().zip(COLOURS).enumerate() {
        let points = points(series);
        let corners: Vec<String> = points
            .iter()
            .map(|(nodes, value)| format!("{:.1},{:.1}", x(*nodes), y(*value)))
            .collect();
        let row = TOP + 10.0 + 20.0 * number as f64;
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" stroke=\"{colour}\"/><line x1=\"{:.1}\" y1=\"{row:.1}\" x2=\"{:.1}\" \
             y2=\"{row:.1}\" stroke=\"{colour}\" stroke-width=\"2\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            corners.join(" "),
            RIGHT + 14.0,
            RIGHT + 34.0,
            RIGHT + 40.0,
            row + 4.0,
            series.0
        );
        for (nodes, value) in points {
            let _ = writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>",
                x(nodes),
                y(value)
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}
