//! Sends a batch of notifications through every hop there is inside a process, and draws the trace that they leave.
//!
//! ```text
//! cargo run --example notifications                # one trace, from the batch to every delivery
//! cargo run --example notifications -- --broken    # the same without ctxhop: hundreds of them
//! cargo run --example notifications --features strict -- --broken --strict    # and the lines that lost them
//! ```
//!
//! Start reading in `pipeline.rs`; `hops.rs` has each hop with the context and without.

mod hops;
mod input;
mod pipeline;
mod service;
mod tally;
mod telemetry;

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;

use hops::{Bare, Carried};
use input::Lines;
use pipeline::Summary;
use tally::Receipts;
use telemetry::Telemetry;

const SAMPLE: &[u8] = include_bytes!("notifications.jsonl");

/// Sends a batch of notifications through tasks, threads and channels, and draws the trace that they leave.
#[derive(Parser)]
#[command(
    name = "notifications",
    after_help = "\
Each line of FILE is a JSON object, with strings for `id`, `channel` (\"email\" or \"push\"), `to` and
`body`; other members are ignored. Blank lines are skipped. A line that is no notification, or longer
than 1 MiB, is reported on stderr and counted, and the others go on. Nothing is really sent: the
service is simulated, and refuses addresses that it cannot make sense of. Those are tried once more,
then parked, and reported, too.

With OTEL_EXPORTER_OTLP_ENDPOINT set (to http://localhost:4318, for instance), the spans that are kept
are also exported, over OTLP with HTTP and protobuf.

Exit status: 0 when all lines were read, whatever became of them; 1 when reading or writing stopped
half-way; 2 when nothing was done, as an argument is wrong or a file cannot be opened."
)]
struct Args {
    /// JSON Lines to read; "-" is stdin [default: the 200 lines that come with this example]
    file: Option<PathBuf>,

    /// The same run, but with bare spawns and sends: see what becomes of the trace
    #[arg(long)]
    broken: bool,

    /// Print what strict mode finds, too: the lines that lost the trace (build with `--features strict`)
    #[arg(long)]
    strict: bool,

    /// Keep and draw the spans of the first N notifications (1 to 100000); traces are counted over all
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    keep: u32,

    /// Write what became of each notification to FILE, as JSON Lines; it must not exist yet
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.strict && cfg!(not(feature = "strict")) {
        complain(format_args!("--strict takes a build with `--features strict`"));
        return ExitCode::from(2);
    }
    let opened = open(args.file.as_deref())
        .and_then(|reader| Ok((Lines::new(reader), args.out.as_deref().map(Receipts::create).transpose()?)));
    let (lines, receipts) = match opened {
        Ok(files) => files,
        Err(error) => {
            complain(format_args!("{error}"));
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(format_args!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };

    let telemetry = Telemetry::install(args.keep, args.strict);
    let run = if args.broken { pipeline::run::<Bare> } else { pipeline::run::<Carried> };
    let summary = run(&runtime, lines, receipts);
    telemetry.finish();

    for error in &summary.errors {
        complain(format_args!("{error}"));
    }
    // Nobody may be there to read it: `notifications | head`.
    let _ = io::stdout().write_all(report(&args, &telemetry, &summary).as_bytes());
    #[cfg(feature = "strict")]
    if let Some(strict) = telemetry.strict {
        let _ = writeln!(io::stdout(), "\n{}", strict.report());
    }
    if summary.errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Opens what to read, so far that reading has begun.
fn open(file: Option<&Path>) -> Result<Box<dyn BufRead>, String> {
    let Some(path) = file else { return Ok(Box::new(SAMPLE)) };
    let open = || {
        let mut reader: Box<dyn BufRead> = match path.as_os_str() == "-" {
            true => Box::new(io::stdin().lock()),
            false => Box::new(BufReader::new(File::open(path)?)),
        };
        // A directory, for one, can be opened but not read.
        reader.fill_buf()?;
        io::Result::Ok(reader)
    };
    open().map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn report(args: &Args, telemetry: &Telemetry, summary: &Summary) -> String {
    let tree = telemetry.recorder.tree();
    let traces = telemetry.sampler.traces();
    let sent = summary.tally.notifications();
    let drawn = sent.min(args.keep.into());
    let which = if drawn == sent { format!("all {sent}") } else { format!("the first {drawn} of {sent}") };
    let counted = if traces == 1 { "1 trace".to_owned() } else { format!("{traces} traces") };

    format!(
        "{tree}\n\n{counted}\nDrawn above: {which} notifications.\n\n{tally}invalid lines{invalid:>9}\n",
        tree = tree.display().folded(true),
        tally = summary.tally,
        invalid = summary.invalid,
    )
}

/// Writes a line to stderr; if that is closed, nobody wants to know.
fn complain(message: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "notifications: {message}");
}
