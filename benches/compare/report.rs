//! What was measured, in words and tables.

use std::{fmt::Write as _, fs, process::Command, thread};

use crate::{
    Measured,
    competitors::Competitor::{self, Bare, ByHand, Ctxhop, OpenTelemetry, Twin, TwinOfSdk},
    growth::Growth,
    measure::Spread,
};

/// What is promised: a hop, whose time, of whose, and how much of it at most.
const TARGETS: [(&str, Competitor, f64); 8] = [
    ("poll", OpenTelemetry, 1.02),
    ("spawn + join", ByHand, 1.02),
    ("channel", ByHand, 1.05),
    ("parallel map", Bare, 1.02),
    ("inject + extract", ByHand, 0.22),
    ("publish + process", ByHand, 1.0),
    ("publish + process", TwinOfSdk, 1.0),
    ("publish + process", Twin, 1.15),
];

pub(crate) fn markdown(hops: &[Measured], growth: &[Growth], memory: &str, rounds: usize) -> String {
    let mut report = format!("# What a hop costs\n\n{}\n", setting(rounds));
    if cfg!(debug_assertions) {
        report += "**Built without optimization: the times say nothing.**\n\n";
    }
    report += &table(hops);
    report += "\nWhat each of them is:\n\n";
    for hop in hops {
        _ = writeln!(report, "- {}: {}.", hop.name, hop.body);
    }
    report += "\n## Targets\n\nMedians of the ratios of one round, with their quarters. A target is met or missed only where both quarters \
               say so; otherwise it lies within the noise.\n\n";
    report += "| hop | ctxhop takes | of | target |\n|---|---|---|---|\n";
    for (name, of, target) in TARGETS {
        let ratio = hops.iter().find(|hop| hop.name == name).and_then(|hop| hop.ratio(Ctxhop, of));
        if let Some(ratio) = ratio {
            let verdict = match () {
                () if ratio.high <= target => "met",
                () if ratio.low > target => "**missed**",
                () => "within the noise",
            };
            let (low, median, high) = (ratio.low, ratio.median, ratio.high);
            _ = writeln!(report, "| {name} | {median:.3} ({low:.3} to {high:.3}) | {of} | {target} {verdict} |");
        }
    }
    report += "\n## Growth\n";
    for Growth { what, unit, rounds, ways, rows } in growth {
        _ = writeln!(
            report,
            "\nBy {what}; for each {unit}, medians of {rounds} rounds with their quarters:\n\n| | {} |",
            ways.join(" | ")
        );
        _ = writeln!(report, "|---:|{}", "---:|".repeat(ways.len()));
        for (size, times) in rows {
            let times: Vec<_> = times.iter().map(|time| quarters(*time)).collect();
            _ = writeln!(report, "| {size} | {} |", times.join(" | "));
        }
    }
    _ = write!(report, "\n## Memory\n\n{memory}");
    report
}

/// A row for each competitor, a column for each hop. What one has no way to do is left empty.
fn table(hops: &[Measured]) -> String {
    let names: Vec<_> = hops.iter().map(|hop| hop.name).collect();
    let mut table = format!("| | {} |\n|---|{}\n", names.join(" | "), "---:|".repeat(hops.len()));
    for competitor in Competitor::ALL {
        let times = hops.iter().map(|hop| hop.cell(competitor).map(|cell| quarters(cell.time)));
        let times: Vec<_> = times.map(Option::unwrap_or_default).collect();
        _ = writeln!(table, "| {competitor} | {} |", times.join(" | "));
    }
    let counts = hops.iter().map(|hop| instructions(hop.name).map(|count| format!("{count:.0}")).unwrap_or_default());
    _ = writeln!(table, "| ctxhop, instructions | {} |", counts.collect::<Vec<_>>().join(" | "));
    table
}

/// What the instruction counter has on record for the hop. A clock tells less, on a busy machine.
fn instructions(hop: &str) -> Option<f64> {
    const RECORD: &str = include_str!("../instructions/record.txt");
    let recorded = |name: &str| {
        let line =
            RECORD.lines().find(|line| line.split("; ").next().is_some_and(|it| it.ends_with(&format!(" {name}"))))?;
        line.split(' ').next()?.parse::<f64>().ok()
    };
    match hop {
        "spawn + join" => recorded("spawn and join"),
        "inject + extract" => Some(recorded("inject")? + recorded("extract")?),
        _ => recorded(hop),
    }
}

/// A median, and the quarters that half of the rounds lie between.
fn quarters(time: Spread) -> String {
    format!("{} ({} to {})", nanoseconds(time.median), nanoseconds(time.low), nanoseconds(time.high))
}

pub(crate) fn nanoseconds(time: f64) -> String {
    match time {
        ..10.0 => format!("{time:.1} ns"),
        ..1_000.0 => format!("{time:.0} ns"),
        ..10_000.0 => format!("{:.2} µs", time / 1e3),
        _ => format!("{:.1} µs", time / 1e3),
    }
}

fn setting(rounds: usize) -> String {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let processor = processor.map_or("an unknown processor", |(_, name)| name);
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let rustc = Command::new("rustc").arg("--version").current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let rustc = rustc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    format!(
        "{processor}, {cores} cores; {rustc}; {}. Hops: medians of {rounds} rounds, in each of which all took their turn, with the \
         quarters that half of the rounds lie between. Growth names its rounds at each table.\n",
        versions()
    )
}

/// Of those who are compared, as they are locked.
fn versions() -> String {
    const CRATES: [&str; 8] = [
        "ctxhop",
        "opentelemetry",
        "opentelemetry_sdk",
        "tracing",
        "tracing-opentelemetry",
        "fastrace",
        "dcontext",
        "tokio",
    ];
    let lock = include_str!("../../Cargo.lock");
    let version = |name: &str| {
        let (_, package) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
        Some(format!("{name} {}", package.split_once('"')?.0))
    };
    CRATES.iter().filter_map(|name| version(name)).collect::<Vec<_>>().join(", ")
}
