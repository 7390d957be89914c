//! A service on `tracing` and tracing-opentelemetry, whose handlers fan out over every kind of hop:
//!
//! ```sh
//! cargo run --example tracing_service
//! ```
//!
//! It sends itself a few requests at a time, logs one line of JSON per hop, with the trace id and the spans' fields that it
//! sees there, and then draws one tree per request. The adoption is the `use ctxhop::tracing::…` below, the channel's
//! `TracingSnapshot`, `send_with_current_span`, `inside_current_span`, and `spawn_detached` for what outlives a request: the
//! accept loop, its connections and the auditor. They are started in a span, as services do, and hold none of it: at the end no
//! span is open.

use std::{error::Error, fmt, net::Ipv4Addr, net::SocketAddr, thread, time::Duration};

use ::rayon::prelude::*;
use ctxhop::{
    WithContext, carrier,
    propagation::TraceContextPropagator,
    testing::TraceRecorder,
    tracing::{
        prelude::*,
        rayon,
        tokio::{spawn, spawn_blocking, spawn_detached},
    },
};
use futures::future::try_join_all;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use opentelemetry::{Context, global, trace::TraceContextExt};
use serde_json::{Map, Value, json};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};
use tracing::{
    Event, Instrument, Subscriber,
    field::{Field, Visit},
    info, info_span,
    span::{Attributes, Id},
};
use tracing_subscriber::{
    Layer, filter::filter_fn, layer, layer::SubscriberExt, registry::LookupSpan, util::SubscriberInitExt,
};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

const REQUESTS: u32 = 3;

#[tokio::main]
async fn main() -> Result<()> {
    let recorder = TraceRecorder::new();
    let otel = tracing_opentelemetry::layer().with_tracer(recorder.tracer("service")).with_location(false);
    let ours = filter_fn(|metadata| metadata.target().starts_with("tracing_service"));
    tracing_subscriber::registry().with(ours).with(JsonLines).with(otel).try_init()?;
    global::set_text_map_propagator(TraceContextPropagator::new());

    let start = async {
        let (audits, queue) = mpsc::channel(8);
        spawn_detached(audit(queue));
        serve(audits).await
    };
    let address = start.instrument(info_span!("start")).await?;
    assert!(recorder.open_spans().is_empty(), "what lives as long as the service holds no span");

    try_join_all((1..=REQUESTS).map(|id| request(address, id))).await?;

    // A client has its response a moment before the server's task lets go of the span.
    let tree = recorder.wait_until_async(Duration::from_secs(10), |tree| tree.open_spans().is_empty()).await;
    println!("\n{}", tree.display().durations(false));
    assert!(tree.open_spans().is_empty(), "still open: {:?}", tree.open_spans());
    assert_eq!(tree.assert_traces(1 + REQUESTS as usize)[0].name(), "start", "and one tree per request");
    Ok(())
}

async fn request(address: SocketAddr, id: u32) -> Result<()> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let response = client.get(format!("http://{address}/orders/{id}").parse()?).await?;
    if !response.status().is_success() {
        return Err(format!("order {id}: {}", response.status()).into());
    }
    response.into_body().collect().await?;
    Ok(())
}

// ---- The service -----------------------------------------------------------------------------------------------------

/// What the auditor gets: an order's total, and whom to tell that it has seen it.
struct Audit {
    total: u64,
    seen: oneshot::Sender<()>,
}

type Audits<T> = mpsc::Sender<WithContext<T, TracingSnapshot>>;

async fn serve(audits: Audits<Audit>) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let accept = async move {
        while let Ok((stream, _)) = listener.accept().await {
            let audits = audits.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                // Nothing but the parent is needed from the headers, and the current context is the parent.
                let span = carrier::extract(request.headers())
                    .run(|| info_span!("request", otel.kind = "server", path = request.uri().path()));
                handle(request, audits.clone()).with_context(span)
            });
            spawn_detached(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    };
    spawn_detached(accept);
    Ok(address)
}

async fn handle(request: Request<Incoming>, audits: Audits<Audit>) -> Result<Response<Full<Bytes>>> {
    let id: u64 = request.uri().path().rsplit('/').next().unwrap_or_default().parse()?;

    let stock = spawn(reserve(id));
    let total = spawn_blocking(move || price(id));
    stock.await?;
    let total = total.await?;

    let (seen, is_seen) = oneshot::channel();
    audits.send_with_current_span(Audit { total, seen }).await.map_err(|error| error.to_string())?;
    is_seen.await?;
    Ok(Response::new(Full::from(format!("order {id} costs {total}"))))
}

#[tracing::instrument]
async fn reserve(order: u64) {
    info!(hop = "tokio::spawn", "reserving");
}

/// On a blocking thread, and from there on rayon's.
#[tracing::instrument]
fn price(order: u64) -> u64 {
    info!(hop = "tokio::spawn_blocking", "pricing");
    let (net, tax) = rayon::join(|| net(order), || tax(order));
    net + tax
}

#[tracing::instrument]
fn tax(order: u64) -> u64 {
    info!(hop = "rayon::join", "taxing");
    order
}

#[tracing::instrument]
fn net(order: u64) -> u64 {
    let items = [1, 2].into_par_iter().with_max_len(1);
    let prices = items.inside_current_span(|items| {
        items.map(|item| {
            info_span!("item", item).in_scope(|| {
                info!(hop = "ParallelIterator", "looking up");
                10 * item * order
            })
        })
    });
    prices.sum()
}

async fn audit(mut queue: mpsc::Receiver<WithContext<Audit, TracingSnapshot>>) {
    while let Some(message) = queue.recv().await {
        let done = message.run_async(|audit| async move {
            info!(hop = "mpsc", "auditing");
            info_span!("audit", audit.total).in_scope(|| ());
            audit.seen
        });
        // By then the request's span is let go.
        let seen = done.await;
        // Nobody waits where the request was cancelled.
        let _ = seen.send(());
    }
}

// ---- The log ---------------------------------------------------------------------------------------------------------

/// Writes each event as a line of JSON, with the current trace id and the fields of the spans that it is in.
struct JsonLines;

struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for JsonLines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, cx: layer::Context<'_, S>) {
        let Some(span) = cx.span(id) else { return };
        let mut fields = Fields(Map::new());
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_event(&self, event: &Event<'_>, cx: layer::Context<'_, S>) {
        let mut line = Fields(Map::new());
        event.record(&mut line);
        let spans: Vec<_> = cx
            .event_scope(event)
            .into_iter()
            .flat_map(|scope| scope.from_root())
            .map(|span| json!({ span.name(): span.extensions().get::<Fields>().map(|fields| &fields.0) }))
            .collect();
        let trace_id = Context::map_current(|cx| cx.span().span_context().trace_id());
        line.0.insert("trace_id".to_owned(), trace_id.to_string().into());
        line.0.insert("spans".to_owned(), spans.into());
        line.0.insert("thread".to_owned(), format!("{:?}", thread::current().id()).into());
        println!("{}", Value::Object(line.0));
    }
}
