//! What a hop costs: with ctxhop, without, by hand, and with those who do something alike; all in one run, in turn.
//!
//! ```sh
//! cargo bench --bench compare               # prints the tables
//! cargo bench --bench compare -- --report   # and writes target/overhead: report.md, and a chart of each hop
//! cargo bench --bench compare -- --quick    # fewer rounds
//! cargo bench --bench compare -- poll       # the hops of this name alone
//! ```

#[path = "../by_hand/mod.rs"]
mod by_hand;
mod chart;
mod competitors;
mod growth;
mod hops;
#[path = "../measure/mod.rs"]
mod measure;
mod report;
#[path = "../twin/mod.rs"]
mod twin;

use std::{env, error::Error, fs, path::Path, process::Command};

use competitors::Competitor;
use measure::Spread;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let is_flag = |arg: &&String| arg.starts_with('-');
    if let Some(unknown) = args.iter().filter(is_flag).find(|arg| !["--report", "--quick"].contains(&arg.as_str())) {
        return Err(format!("{unknown} is neither --report nor --quick").into());
    }
    let names: Vec<_> = args.iter().filter(|arg| !is_flag(arg)).collect();
    let rounds = if has("--quick") { 51 } else { 1_001 };
    competitors::install();
    let mut hops = hops::all();
    hops.retain(|hop| names.is_empty() || names.iter().any(|name| hop.name.contains(name.as_str())));
    let count = hops.len();
    let hops: Vec<_> = (1..)
        .zip(&hops)
        .map(|(at, hop)| {
            eprintln!("hop {at} of {count}: {}, {rounds} rounds", hop.name);
            measured(hop, rounds)
        })
        .collect();
    let (growth, memory) =
        if names.is_empty() { (growth::all((rounds / 20).max(11)), memory()?) } else { (Vec::new(), String::new()) };
    let report = report::markdown(&hops, &growth, &memory, rounds);
    print!("{report}");
    if has("--report") {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/overhead");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("report.md"), report)?;
        for hop in &hops {
            chart::draw(hop, &folder.join(format!("{}.svg", hop.slug())))?;
        }
        println!("\nwritten to {}", folder.display());
    }
    Ok(())
}

/// A hop, as measured.
struct Measured {
    name: &'static str,
    body: &'static str,
    cells: Vec<Cell>,
}

struct Cell {
    competitor: Competitor,
    /// Nanoseconds a hop.
    time: Spread,
    /// To each of the cells.
    ratios: Vec<Spread>,
}

impl Measured {
    fn cell(&self, competitor: Competitor) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.competitor == competitor)
    }

    fn ratio(&self, of: Competitor, to: Competitor) -> Option<Spread> {
        let to = self.cells.iter().position(|cell| cell.competitor == to)?;
        Some(self.cell(of)?.ratios[to])
    }

    fn slug(&self) -> String {
        self.name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
    }
}

fn measured(hop: &hops::Hop, rounds: usize) -> Measured {
    let mut runs: Vec<_> = hop
        .cells
        .iter()
        .map(|&(competitor, run)| (competitor.to_string(), move || competitor.in_request(&mut || run(hop.count))))
        .collect();
    let mut variants: Vec<measure::Variant<'_>> =
        runs.iter_mut().map(|(name, run)| (name.as_str(), run as _)).collect();
    let times = measure::measure(rounds, &mut variants);
    let cell = |at: usize| Cell {
        competitor: hop.cells[at].0,
        time: times.time(at).scaled(1.0 / f64::from(hop.count)),
        ratios: (0..hop.cells.len()).map(|to| times.ratio(at, to)).collect(),
    };
    Measured { name: hop.name, body: hop.body, cells: (0..hop.cells.len()).map(cell).collect() }
}

/// Counted in a process of its own, as it takes another allocator, which would be in the times.
fn memory() -> Result<String, Box<dyn Error>> {
    eprintln!("memory, in a process of its own");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // By the same profile, so that nothing is built twice. What is counted is the same in each.
    let command = if cfg!(debug_assertions) { "test" } else { "bench" };
    let output = Command::new(cargo)
        .args([command, "--locked", "--quiet", "--bench", "memory"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
