//! Sends a batch of notifications through every hop there is inside a process, and over HTTP, and draws the trace that they leave.
//!
//! ```text
//! cargo run --example notifications                # one trace, from the batch to every delivery
//! cargo run --example notifications -- --html trace.html    # to look at in a browser
//! cargo run --example notifications -- --broken    # the same without ctxhop: hundreds of them
//! cargo run --example notifications --features strict -- --broken --strict    # and the lines that lost them
//! ```
//!
//! `README.md` says how to put a broker between the parts, and how to run each as a process of its own.
//!
//! Start reading in `pipeline.rs`; `hops.rs` has each hop with the context and without.

mod batch;
mod broker;
mod hops;
mod input;
mod notify;
mod page;
mod pipeline;
mod render;
mod signal;
mod tally;
mod telemetry;
mod worker;

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::OnceLock,
};

use clap::Parser;

use hops::{Bare, Carried, Hops};
use indicatif::{ProgressBar, ProgressStyle};
use input::Lines;
use page::Page;
use pipeline::{NotStarted, Run, Summary};
use tally::Receipts;
use telemetry::{Service, Telemetry};

const SAMPLE: &[u8] = include_bytes!("notifications.jsonl");

/// Sends a batch of notifications through tasks, threads and channels, and draws the trace that they leave.
#[derive(Parser)]
#[command(
    name = "notifications",
    after_help = "\
Each line of FILE is a JSON object, with strings for `id`, `channel` (\"email\" or \"push\"), `to` and
`body`; other members are ignored. Blank lines are skipped. A line that is no notification, or longer
than 1 MiB, is reported on stderr and counted, and the others go on. Nothing is really sent: the
server is simulated, and refuses addresses that it cannot make sense of. Those are tried once more,
then parked, and reported, too.

Without --service, all of it is in one process. The workers and the server, as processes of their own,
run until they are interrupted or terminated; the workers print the table then.

With OTEL_EXPORTER_OTLP_ENDPOINT set (to http://localhost:4318, for instance), the spans that are kept
are also exported, over OTLP with HTTP and protobuf.

Exit status: 0 when all lines were read, whatever became of them; 1 when reading, sending or writing
stopped half-way; 2 when nothing was done, because an argument is wrong, a file cannot be opened, an
address is in use or the broker cannot be reached."
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

    /// The part that this process is [default: all of them]
    #[arg(long, value_enum)]
    service: Option<Service>,

    /// What is between the parts: amqp://, kafka://, mqtt://, nats:// or redis:// [default: queues of this process]
    #[arg(long, value_name = "URL")]
    broker: Option<String>,

    /// Where the notify server is [default: 127.0.0.1:8025; a free port, if all parts are in this process]
    #[arg(long, value_name = "ADDRESS")]
    notify: Option<SocketAddr>,

    /// Keep and draw the spans of the first N notifications (1 to 100000); traces are counted over all
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    keep: u32,

    /// Write what became of each notification to FILE, as JSON Lines; it must not exist yet
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Write the trace to FILE as a web page, to look at in a browser; it must not exist yet
    #[arg(long, value_name = "FILE", conflicts_with = "service")]
    html: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(summary) => {
            for error in &summary.errors {
                complain(format_args!("{error}"));
            }
            if summary.errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(NotStarted(reason)) => {
            complain(format_args!("{reason}"));
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<Summary, NotStarted> {
    if args.strict && cfg!(not(feature = "strict")) {
        return Err(NotStarted("--strict takes a build with `--features strict`".to_owned()));
    }
    if args.broker.is_none() && matches!(args.service, Some(Service::Batch | Service::Worker)) {
        return Err(NotStarted("a part in another process than the others needs a --broker".to_owned()));
    }
    let lines = Lines::new(open(args.file.as_deref()).map_err(NotStarted)?);
    let receipts = args.out.as_deref().map(Receipts::create).transpose().map_err(NotStarted)?;
    let page = args.html.as_deref().map(Page::create).transpose().map_err(NotStarted)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| NotStarted(format!("cannot start: {error}")))?;

    let telemetry = Telemetry::install(args.service, args.keep, args.strict);
    let run = Run { runtime: &runtime, broker: args.broker.as_deref(), notify: args.notify, lines, receipts };
    let run =
        if args.broken { of_service::<Bare>(args.service, run) } else { of_service::<Carried>(args.service, run) };
    telemetry.finish();
    if let Some(bar) = PROGRESS.get() {
        bar.finish_and_clear();
    }
    let mut summary = run?;

    // Nobody may be there to read it: `notifications | head`.
    let _ = io::stdout().write_all(report(args, &telemetry, &summary).as_bytes());
    match page.map(|page| page.write(telemetry.recorder.tree().html().title("notifications"))) {
        None => {}
        Some(Ok(said)) => _ = writeln!(io::stdout(), "\n{said}"),
        Some(Err(reason)) => summary.errors.push(reason),
    }
    #[cfg(feature = "strict")]
    if let Some(strict) = telemetry.strict {
        let _ = writeln!(io::stdout(), "\n{}", strict.report());
    }
    Ok(summary)
}

fn of_service<H: Hops>(service: Option<Service>, run: Run<'_, impl BufRead>) -> Result<Summary, NotStarted> {
    match service {
        None => run.all::<H>(),
        Some(Service::Batch) => run.batch::<H>(),
        Some(Service::Worker) => run.worker::<H>(),
        Some(Service::Notify) => run.notify::<H>(),
    }
}

/// Opens what to read, so far that reading has begun.
fn open(file: Option<&Path>) -> Result<Box<dyn BufRead>, String> {
    let Some(path) = file else { return Ok(Box::new(SAMPLE)) };
    let open = || {
        let mut reader: Box<dyn BufRead> = if path.as_os_str() == "-" {
            Box::new(io::stdin().lock())
        } else {
            let file = File::open(path)?;
            let length = file.metadata()?.len();
            if length < LONG {
                Box::new(BufReader::new(file))
            } else {
                Box::new(BufReader::new(progress(length).wrap_read(file)))
            }
        };
        // A directory, for one, can be opened but not read.
        reader.fill_buf()?;
        io::Result::Ok(reader)
    };
    open().map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// A file of so many bytes shows how far it is read.
const LONG: u64 = 1 << 20;

/// It is on stderr, and draws nothing where that is no terminal.
static PROGRESS: OnceLock<ProgressBar> = OnceLock::new();

fn progress(length: u64) -> &'static ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes}, {eta} left");
    PROGRESS.get_or_init(|| ProgressBar::new(length).with_style(style.expect("a template that is right")))
}

fn report(args: &Args, telemetry: &Telemetry, summary: &Summary) -> String {
    let mut report = String::new();
    if args.service.is_none() {
        report += &drawing(args, telemetry, summary);
    }
    if let Some(tally) = &summary.tally {
        report += &tally.to_string();
    }
    if let Some(sent) = &summary.sent {
        if args.service.is_some() {
            report += &format!("sent{:>18}\n", sent.notifications);
        }
        report += &format!("invalid lines{:>9}\n", sent.invalid);
    }
    report
}

fn drawing(args: &Args, telemetry: &Telemetry, summary: &Summary) -> String {
    let tree = telemetry.recorder.tree();
    let traces = telemetry.sampler.traces();
    let sent = summary.sent.as_ref().map_or(0, |sent| sent.notifications);
    let drawn = sent.min(args.keep.into());
    let which = if drawn == sent { format!("all {sent}") } else { format!("the first {drawn} of {sent}") };
    let counted = if traces == 1 { "1 trace".to_owned() } else { format!("{traces} traces") };
    format!(
        "{drawing}\n\n{services:#}\n\n{counted}\nDrawn above: {which} notifications.\n\n",
        drawing = tree.display().folded(true),
        services = tree.services(),
    )
}

/// Writes a line to stderr; if that is closed, nobody wants to know.
fn complain(message: fmt::Arguments<'_>) {
    let complain = || _ = writeln!(io::stderr(), "notifications: {message}");
    match PROGRESS.get() {
        Some(bar) => bar.suspend(complain),
        None => complain(),
    }
}
