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
#[path = "../../examples/notifications/page.rs"]
mod page;
mod shopper;
mod stock;
mod telemetry;

use std::{
    collections::HashSet,
    error::Error,
    fmt,
    future::pending,
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
use ctxhop_systems::until_told_to_stop;
use futures::future::select_all;
use indicatif::ProgressBar;
use opentelemetry::global;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::{
    net::TcpListener,
    runtime::Runtime,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::Endpoint;

use broker::Broker;
use page::Page;
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

A process without the shopper runs until it is interrupted or terminated, and then finishes what it has in hand. A client that has
sent half of its request then is left after 15 seconds.

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

    /// Write the traces to FILE as a web page; it must not exist yet
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Trace the first N checkouts (0 to 100000)
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(..=100_000))]
    keep: u64,
}

/// The stock does something within this time.
const PATIENCE: Duration = Duration::from_secs(30);

/// The gateway and the checkout each finish within this time, which is longer than a call takes. The stock is given all the time that
/// it needs, because its orders have been accepted.
const GRACE: Duration = Duration::from_secs(15);

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
        match page.map(|page| page.write(tree.html())) {
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
    let (drawn, dropped) = (tree.trace_count(), telemetry.dropped());
    let traces = drawn as u64 + dropped;
    let which = if dropped == 0 { "all" } else { "the first" };
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

    if args.broker.is_none() && args.has(Service::Checkout) && !args.has(Service::Stock) {
        complain(format_args!(
            "warning: no stock can take the orders, because they stay in this process; it takes a --broker"
        ));
    }

    let mut running = Vec::new();
    // Nothing is current here, and so each service starts without a context.
    if let Some(provider) = provider(Service::Checkout) {
        let listener = listen(Service::Checkout, &mut checkout_at).await?;
        let publisher = broker.publisher(&provider).await.map_err(Failure::Start)?;
        running.push(Part::start(Service::Checkout, |stop| checkout::serve(listener, publisher, provider, stop)));
    }
    let (done, mut handled) = unbounded_channel();
    if let Some(provider) = provider(Service::Stock) {
        let consumer = broker.consumer(&provider).await.map_err(Failure::Start)?;
        let handle = async |stop| stock::run(consumer, done, stop).await.map(drop);
        running.push(Part::start(Service::Stock, handle));
    }
    if let Some(provider) = provider(Service::Gateway) {
        let listener = listen(Service::Gateway, &mut gateway_at).await?;
        let checkout = Endpoint::from_shared(format!("http://{checkout_at}"))
            .map_err(|error| Failure::Start(error.to_string()))?;
        running.push(Part::start(Service::Gateway, |stop| gateway::serve(listener, checkout, provider, stop)));
    }

    let work = async {
        match provider(Service::Shopper) {
            Some(provider) => go_shopping(args, Shopper::new(gateway_at, &provider), &mut handled).await,
            None => serve_until_told(args, &mut handled).await,
        }
    };
    let mut result = tokio::select! {
        result = work => result,
        reason = first(&mut running) => Err(Failure::Run(reason)),
    };
    // In the order of their calls, so that each still finds the one behind it. What was accepted gets to the stock, which is the last.
    for service in [Service::Gateway, Service::Checkout, Service::Stock] {
        for part in running.extract_if(.., |part| part.service == service) {
            if let Err(reason) = part.stop().await {
                result = result.and(Err(Failure::Run(reason)));
            }
        }
    }
    while !args.has(Service::Shopper)
        && let Ok(order) = handled.try_recv()
    {
        say_handled(&order);
    }
    result
}

/// A service that runs in this process.
struct Part {
    service: Service,
    stop: CancellationToken,
    task: JoinHandle<Result<()>>,
}

impl Part {
    /// `serve`: gets what it has to wait for, to know when to stop.
    fn start<F>(service: Service, serve: impl FnOnce(WaitForCancellationFutureOwned) -> F) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(stop.clone().cancelled_owned()));
        Self { service, stop, task }
    }

    /// Waits until it has finished what it has in hand, or for as long as it is worth.
    async fn stop(mut self) -> Result<(), String> {
        self.stop.cancel();
        let name = self.service.name();
        let ended = match self.service {
            Service::Stock => self.task.await,
            _ => match timeout(GRACE, &mut self.task).await {
                Ok(ended) => ended,
                Err(_) => {
                    complain(format_args!("the {name} has left requests that were not done within {GRACE:?}"));
                    self.task.abort();
                    return Ok(());
                }
            },
        };
        let ended = ended.unwrap_or_else(|error| panic::resume_unwind(error.into_panic()));
        ended.map_err(|error| format!("the {name} has failed: {error}"))
    }
}

/// Waits for the first that ends, which it does too early, and says how. Waits forever if there are none.
async fn first(running: &mut Vec<Part>) -> String {
    if running.is_empty() {
        return pending().await;
    }
    let (ended, index, _) = select_all(running.iter_mut().map(|part| &mut part.task)).await;
    let name = running.swap_remove(index).service.name();
    match ended.unwrap_or_else(|error| panic::resume_unwind(error.into_panic())) {
        Ok(()) => format!("the {name} has ended"),
        Err(error) => format!("the {name} has failed: {error}"),
    }
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
            Some(order) = handled.recv() => say_handled(&order),
            result = &mut told => return result.map_err(|error| Failure::Run(format!("no signal can be waited for: {error}"))),
        }
    }
}

/// A broker's order may come from anybody, so its id is one line, whatever it is.
fn say_handled(order: &str) {
    say(format!("{} is handled\n", order.escape_debug()));
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
