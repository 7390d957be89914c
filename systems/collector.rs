//! Takes in what services export over OTLP, and draws it at the end, in the terminal:
//!
//! ```sh
//! cargo run --manifest-path systems/Cargo.toml --bin collector
//! OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 …    # each of the services
//! ```

#[path = "../examples/notifications/page.rs"]
mod page;

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;
use ctxhop::testing::TraceNode;
use ctxhop_systems::{Collector, until_told_to_stop};
use tokio::runtime::Runtime;

use page::Page;

/// Takes in what services export over OTLP, with HTTP and protobuf, until it is interrupted or terminated, and then draws it.
///
/// Set OTEL_EXPORTER_OTLP_ENDPOINT of the services to http://ADDRESS. Stop them first, because they export the last spans at their end.
#[derive(Parser)]
#[command(name = "collector")]
struct Args {
    /// Where it listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4318")]
    listen: SocketAddr,

    /// Write the traces to FILE as a web page, too; it must not exist yet
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, reason)) => {
            eprintln!("collector: {reason}");
            ExitCode::from(code)
        }
    }
}

/// An error is the exit status and a line that says why.
fn run(args: &Args) -> Result<(), (u8, String)> {
    let page = args.html.as_deref().map(Page::create).transpose().map_err(|reason| (2, reason))?;
    let collector = Collector::listen(args.listen);
    let collector = collector.map_err(|error| (2, format!("cannot listen on {}: {error}", args.listen)))?;
    eprintln!("collector: {} is ready", collector.endpoint());
    let told = Runtime::new().and_then(|runtime| runtime.block_on(until_told_to_stop()));
    told.map_err(|error| (1, format!("no signal can be waited for: {error}")))?;

    let tree = collector.spans().tree();
    let label = |node: &TraceNode| format!("@{}", node.service());
    let drawing = tree.display().folded(true).label(&label);
    // Nobody may be there to read it.
    let _ = writeln!(io::stdout(), "{drawing}\n\n{:#}\n\n{} traces", tree.services(), tree.trace_count());
    if let Some(page) = page {
        let said = page.write(tree.html()).map_err(|reason| (1, reason))?;
        let _ = writeln!(io::stdout(), "{said}");
    }
    Ok(())
}
