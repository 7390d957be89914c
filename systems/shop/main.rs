//! A shop of three services and a shopper, in one trace for each checkout:
//!
//! ```text
//! shopper ──HTTP──▶ gateway ──gRPC──▶ checkout ──message──▶ stock
//! ```
//!
//! ```sh
//! cargo run --manifest-path systems/Cargo.toml --bin shop
//! ```
//!
//! Each service is in the file of its name. Read `gateway.rs` for HTTP, `checkout.rs` for gRPC, and `broker/` for the messages.

mod api;
mod broker;
mod checkout;
mod gateway;
mod shopper;
mod stock;
mod telemetry;

use std::{
    collections::HashSet,
    error::Error,
    fmt,
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr},
    panic,
    path::PathBuf,
    pin::pin,
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, ValueEnum};
use ctxhop::{
    propagation::TraceContextPropagator,
    testing::{TraceNode, TraceTree},
};
use ctxhop_systems::{Page, until_told_to_stop};
use indicatif::ProgressBar;
use opentelemetry::global;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::{
    net::TcpListener,
    runtime::Runtime,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;

use broker::Broker;
use shopper::{Answer, Shopper};
use telemetry::Telemetry;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Service {
    Gateway,
    Checkout,
    Stock,
    Shopper,
}

impl Service {
    const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Checkout => "checkout",
            Self::Stock => "stock",
            Self::Shopper => "shopper",
        }
    }
}

/// Runs a shop of three services, sends orders to it, and draws the traces that they leave.
#[derive(Parser)]
#[command(
    name = "shop",
    after_help = "\
Without options all services are in this process, and the orders wait for the stock in its memory. Each can be a process of its own:

    shop --service stock    --broker amqp://guest:guest@localhost
    shop --service checkout --broker amqp://guest:guest@localhost
    shop --service gateway
    shop --service shopper --orders 100

A process without the shopper runs until it is interrupted or terminated, and then finishes what it has in hand.

With OTEL_EXPORTER_OTLP_ENDPOINT set (to http://localhost:4318, for instance), each service exports its spans, over OTLP with HTTP and
protobuf.

Exit status: 0 when each order was answered, also where the answer is a refusal; 1 when a service or an answer failed half-way;
2 when nothing was done, because an argument is wrong, an address is in use or the broker cannot be reached."
)]
struct Args {
    /// The services that run in this process [default: all]
    #[arg(long = "service", value_name = "SERVICE", value_enum, value_delimiter = ',')]
    services: Vec<Service>,

    /// What takes the orders from checkout to stock: amqp://USER:PASSWORD@HOST [default: a queue of this process]
    #[arg(long, value_name = "URL")]
    broker: Option<String>,

    /// The exchange of the shop; its queue is NAME.stock
    #[arg(long, value_name = "NAME", default_value = "shop")]
    exchange: String,

    /// Where the gateway is [default: 127.0.0.1:8080; a free port, if the shopper is in the same process]
    #[arg(long, value_name = "ADDRESS")]
    gateway: Option<SocketAddr>,

    /// Where the checkout is [default: 127.0.0.1:50051; a free port, if the gateway is in the same process]
    #[arg(long, value_name = "ADDRESS")]
    checkout: Option<SocketAddr>,

    /// How many orders the shopper sends
    #[arg(long, value_name = "N", default_value_t = 8)]
    orders: u64,

    /// How many orders wait for the stock at most; more are refused
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=32_767))]
    queue_limit: u16,

    /// Write the traces to FILE as a web page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Trace the first N checkouts
    #[arg(long, value_name = "N", default_value_t = 1000)]
    keep: u64,
}

/// The stock does something within this time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a run is no success.
enum Failure {
    /// Nothing was done.
    Start(String),
    /// It stopped half-way.
    Run(String),
}

fn main() -> ExitCode {
    let mut args = Args::parse();
    if args.services.is_empty() {
        args.services = Service::value_variants().to_vec();
    }
    let page = match args.html.as_deref().map(Page::create).transpose() {
        Ok(page) => page,
        Err(reason) => return ended(Err(Failure::Start(reason))),
    };
    let mut telemetry = Telemetry::new(args.keep, args.has(Service::Shopper) || page.is_some());
    global::set_text_map_propagator(TraceContextPropagator::new());
    // Out here, because an exporter's client must not start inside of a runtime.
    let services: Vec<_> = args.services.iter().map(|&service| (service, telemetry.provider(service))).collect();
    let mut result = match Runtime::new() {
        Ok(runtime) => runtime.block_on(run(&args, services)),
        Err(error) => Err(Failure::Start(format!("cannot start: {error}"))),
    };
    telemetry.finish();
    if let Some(tree) = telemetry.tree().filter(|tree| !tree.roots().is_empty()) {
        say(report(&tree, &telemetry));
        match page.map(|page| page.write(&tree)) {
            None => {}
            Some(Ok(said)) => say(format!("{said}\n")),
            Some(Err(reason)) => result = result.and(Err(Failure::Run(reason))),
        }
    }
    ended(result)
}

fn ended(result: Result<(), Failure>) -> ExitCode {
    let (code, reason) = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Run(reason)) => (1, reason),
        Err(Failure::Start(reason)) => (2, reason),
    };
    complain(format_args!("{reason}"));
    ExitCode::from(code)
}

fn report(tree: &TraceTree, telemetry: &Telemetry) -> String {
    let label = |node: &TraceNode| format!("@{}", node.service());
    let drawing = tree.display().folded(true).label(&label);
    let (drawn, traces) = (tree.trace_count(), telemetry.traces());
    let which = if drawn as u64 == traces { "all" } else { "the first" };
    format!("\n{drawing}\n\n{:#}\n\n{traces} traces; drawn above: {which} {drawn}\n", tree.services())
}

async fn run(args: &Args, services: Vec<(Service, SdkTracerProvider)>) -> Result<(), Failure> {
    let provider = |service| services.iter().find(|(it, _)| *it == service).map(|(_, provider)| provider.clone());
    let mut gateway_at = args.address(args.gateway, 8080, [Service::Shopper, Service::Gateway]);
    let mut checkout_at = args.address(args.checkout, 50_051, [Service::Gateway, Service::Checkout]);
    let mut broker = Broker::new(args.broker.as_deref(), &args.exchange, args.queue_limit).map_err(Failure::Start)?;
    if args.broker.is_none() && args.has(Service::Stock) && !args.has(Service::Checkout) {
        return Err(Failure::Start("a stock in another process than the checkout needs a --broker".to_owned()));
    }

    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    // Nothing is current here, and so each service starts without a context.
    if let Some(provider) = provider(Service::Checkout) {
        let listener = listen(Service::Checkout, &mut checkout_at).await?;
        let publisher = broker.publisher(&provider).await.map_err(Failure::Start)?;
        let serving = checkout::serve(listener, publisher, provider, stop.clone().cancelled_owned());
        running.spawn(async { (Service::Checkout, serving.await) });
    }
    let (done, mut handled) = unbounded_channel();
    if let Some(provider) = provider(Service::Stock) {
        let consumer = broker.consumer(&provider).await.map_err(Failure::Start)?;
        let handling = stock::run(consumer, done, stop.clone().cancelled_owned());
        running.spawn(async { (Service::Stock, handling.await.map(drop)) });
    }
    if let Some(provider) = provider(Service::Gateway) {
        let listener = listen(Service::Gateway, &mut gateway_at).await?;
        let checkout = Endpoint::from_shared(format!("http://{checkout_at}"))
            .map_err(|error| Failure::Start(error.to_string()))?;
        let serving = gateway::serve(listener, checkout, provider, stop.clone().cancelled_owned());
        running.spawn(async { (Service::Gateway, serving.await) });
    }

    let work = async {
        match provider(Service::Shopper) {
            Some(provider) => go_shopping(args, Shopper::new(gateway_at, &provider), &mut handled).await,
            None => serve_until_told(args, &mut handled).await,
        }
    };
    let mut result = tokio::select! {
        result = work => result,
        Some(ended) = running.join_next() => Err(Failure::Run(match ended {
            Ok((service, Ok(()))) => format!("the {} has ended", service.name()),
            Ok((service, Err(error))) => format!("the {} has failed: {error}", service.name()),
            Err(panic) => panic::resume_unwind(panic.into_panic()),
        })),
    };
    stop.cancel();
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok((_, Ok(()))) => {}
            Ok((service, Err(error))) if result.is_ok() => {
                result = Err(Failure::Run(format!("the {} has failed: {error}", service.name())));
            }
            Ok((_, Err(_))) => {}
            Err(panic) => panic::resume_unwind(panic.into_panic()),
        }
    }
    result
}

/// Sends the orders, and waits until the stock has handled those that were accepted, if it is in this process.
async fn go_shopping(args: &Args, shopper: Shopper, handled: &mut UnboundedReceiver<String>) -> Result<(), Failure> {
    let mut accepted = HashSet::new();
    let (mut refused, mut unanswered) = (0, 0);
    // It is on stderr, and draws nothing where that is no terminal.
    let bar = ProgressBar::new(args.orders);
    let tell = |answer: Answer| {
        bar.suspend(|| say(format!("{answer}\n")));
        bar.inc(1);
        match answer.accepted() {
            Some(order) => _ = accepted.insert(order.to_owned()),
            None if answer.is_answer() => refused += 1,
            None => unanswered += 1,
        }
    };
    shopper.shop(args.orders, tell).await;
    bar.finish_and_clear();
    say(format!("\n{} orders: {} accepted, {refused} refused, {unanswered} unanswered\n", args.orders, accepted.len()));
    if args.has(Service::Stock) {
        while !accepted.is_empty() {
            match timeout(PATIENCE, handled.recv()).await {
                Ok(Some(order)) => _ = accepted.remove(&order),
                Ok(None) => return Err(Failure::Run("the stock has ended".to_owned())),
                Err(_) => {
                    let reason =
                        format!("the stock has done nothing for {PATIENCE:?}, and {} orders wait", accepted.len());
                    return Err(Failure::Run(reason));
                }
            }
        }
    }
    match unanswered {
        0 => Ok(()),
        _ => Err(Failure::Run(format!("{unanswered} orders have no answer"))),
    }
}

/// Tells what the stock has handled, until somebody says that it is enough.
async fn serve_until_told(args: &Args, handled: &mut UnboundedReceiver<String>) -> Result<(), Failure> {
    for service in &args.services {
        complain(format_args!("the {} is ready", service.name()));
    }
    let mut told = pin!(until_told_to_stop());
    loop {
        tokio::select! {
            biased;
            Some(order) = handled.recv() => say(format!("{order} is handled\n")),
            result = &mut told => return result.map_err(|error| Failure::Run(format!("no signal can be waited for: {error}"))),
        }
    }
}

/// Listens, and puts the port there if it was any.
async fn listen(service: Service, address: &mut SocketAddr) -> Result<TcpListener, Failure> {
    let listen = async {
        let listener = TcpListener::bind(*address).await?;
        *address = listener.local_addr()?;
        io::Result::Ok(listener)
    };
    let listener = listen.await;
    listener.map_err(|error| Failure::Start(format!("the {} cannot listen on {address}: {error}", service.name())))
}

/// Writes to stdout. Nobody may be there to read it: `shop | head`.
fn say(text: String) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Writes a line to stderr; if that is closed, nobody wants to know.
fn complain(message: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "shop: {message}");
}

impl Args {
    fn has(&self, service: Service) -> bool {
        self.services.contains(&service)
    }

    /// Where a service listens, or is found by the one that calls it.
    fn address(&self, given: Option<SocketAddr>, port: u16, ends: [Service; 2]) -> SocketAddr {
        let together = ends.into_iter().all(|service| self.has(service));
        given.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, if together { 0 } else { port }).into())
    }
}
