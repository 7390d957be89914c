//! Takes in what services export over OTLP, and draws it at the end, in the terminal:
//!
//! ```sh
//! cargo run --manifest-path systems/Cargo.toml --bin collector
//! OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 …    # each of the services
//! ```

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    process::ExitCode,
};

use clap::Parser;
use ctxhop::testing::TraceNode;
use ctxhop_systems::{Collector, until_told_to_stop};
use tokio::runtime::Runtime;

/// Takes in what services export over OTLP, with HTTP and protobuf, until it is interrupted or terminated, and then draws it.
///
/// Set OTEL_EXPORTER_OTLP_ENDPOINT of the services to http://ADDRESS. Stop them first, because they export the last spans at their end.
#[derive(Parser)]
#[command(name = "collector")]
struct Args {
    /// Where it listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4318")]
    listen: SocketAddr,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let collector = match Collector::listen(args.listen) {
        Ok(collector) => collector,
        Err(error) => {
            eprintln!("collector: cannot listen on {}: {error}", args.listen);
            return ExitCode::from(2);
        }
    };
    eprintln!("collector: {} takes spans", collector.endpoint());
    if let Err(error) = Runtime::new().and_then(|runtime| runtime.block_on(until_told_to_stop())) {
        eprintln!("collector: no signal can be waited for: {error}");
        return ExitCode::FAILURE;
    }
    let tree = collector.spans().tree();
    let label = |node: &TraceNode| format!("@{}", node.service());
    let drawing = tree.display().folded(true).label(&label);
    // Nobody may be there to read it.
    let _ = writeln!(io::stdout(), "{drawing}\n\n{:#}\n\n{} traces", tree.services(), tree.trace_count());
    ExitCode::SUCCESS
}
