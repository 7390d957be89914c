//! What a layer adds to a request with a body of three chunks, beside those that others have: bare, ours and theirs in turns,
//! in one run, with the SDK's spans and metrics and nothing that exports them.
//!
//! ```sh
//! cargo bench --manifest-path http-tests/Cargo.toml --target-dir target/http-tests
//! ```

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    pin::Pin,
    task::{self, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use ctxhop::{propagation::TraceContextPropagator, tower::TraceLayer};
use futures::executor::block_on;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty};
use opentelemetry::{Context, global};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider},
    trace::{SdkTracerProvider, Span, SpanData, SpanProcessor},
};
use tower::{Layer, Service};
use tracing::Level;
use tracing_subscriber::layer::SubscriberExt;

const ROUNDS: usize = 301;
const REQUESTS: u32 = 200;

/// So many chunks, and trailers if it is gRPC's.
struct Chunks {
    left: u32,
    trailers: Option<HeaderMap>,
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"\0\0\0\0\x05apple")))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 && self.trailers.is_none()
    }
}

#[derive(Clone)]
struct Shop(u32);

impl Service<Request<Empty<Bytes>>> for Shop {
    type Response = Response<Chunks>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Chunks>, Infallible>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Empty<Bytes>>) -> Self::Future {
        let grpc = request.headers().contains_key("te");
        let trailers =
            grpc.then(|| HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]));
        ready(Ok(Response::new(Chunks { left: self.0, trailers })))
    }
}

fn request(grpc: bool) -> Request<Empty<Bytes>> {
    let request = Request::builder()
        .uri(if grpc { "http://shop.example/shop.Orders/Get" } else { "/orders/7?by=apple" })
        .header("host", "shop.example")
        .header("user-agent", "bench")
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let request =
        if grpc { request.header("content-type", "application/grpc").header("te", "trailers") } else { request };
    request.body(Empty::new()).unwrap()
}

type Row = (&'static str, Box<dyn FnMut()>);

fn row<S, B>(name: &'static str, grpc: bool, mut service: S) -> Row
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>> + 'static,
    B: Body<Data = Bytes>,
{
    let send = move || {
        block_on(async {
            let Ok(response) = service.call(request(grpc)).await else { unreachable!() };
            let mut body = Box::pin(response.into_body());
            // As hyper does it.
            while !body.is_end_stream() {
                let Some(Ok(frame)) = body.as_mut().frame().await else { break };
                black_box(frame);
            }
        });
    };
    (name, Box::new(send))
}

/// Medians of each row's time a request, in nanoseconds, measured in turns.
fn measure(mut rows: Vec<Row>) {
    // `-- name` leaves out all others but the bare service and ours.
    let wanted: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let mut index = 0;
    rows.retain(|(name, _)| {
        index += 1;
        index <= 2 || wanted.is_empty() || wanted.iter().any(|wanted| name.contains(wanted))
    });
    let mut times = vec![Vec::new(); rows.len()];
    for round in 0..ROUNDS {
        for (index, (_, send)) in rows.iter_mut().enumerate() {
            let start = Instant::now();
            (0..REQUESTS).for_each(|_| send());
            if round > 0 {
                times[index].push(start.elapsed().as_nanos() as u64 / u64::from(REQUESTS));
            }
        }
    }
    let medians: Vec<_> = times
        .iter_mut()
        .map(|times| {
            times.sort_unstable();
            times[times.len() / 2]
        })
        .collect();
    for ((name, _), median) in rows.iter().zip(&medians) {
        let added = median - medians[0].min(*median);
        let ours = (medians[1] - medians[0]).max(1);
        println!("{name:<50} {median:>6} ns   adds {added:>6} ns   {:>5.2} of ours", added as f64 / ours as f64);
    }
}

/// Takes spans, and does nothing with them.
#[derive(Debug)]
struct Nowhere;

impl SpanProcessor for Nowhere {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        black_box(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

fn main() {
    let tracers = SdkTracerProvider::builder().with_span_processor(Nowhere).build();
    let reader =
        PeriodicReader::builder(InMemoryMetricExporter::default()).with_interval(Duration::from_secs(3600)).build();
    let meters = SdkMeterProvider::builder().with_reader(reader).build();
    global::set_tracer_provider(tracers.clone());
    global::set_meter_provider(meters);
    global::set_text_map_propagator(TraceContextPropagator::new());
    let otel =
        tracing_opentelemetry::layer().with_tracer(opentelemetry::trace::TracerProvider::tracer(&tracers, "bench"));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(otel)).unwrap();
    let meter = global::meter("bench");

    for (title, shop) in [("HTTP server, one chunk", Shop(1)), ("HTTP server, streamed in three chunks", Shop(3))] {
        println!("{title}");
        let instrumentation = opentelemetry_instrumentation_tower::http::server::Layer::new();
        let tower_http = tower_http_opentelemetry::http::server::HttpServerTelemetryLayer::new();
        let tower_otel = tower_otel::trace::HttpLayer::server(Level::INFO);
        let metrics = tower_otel::metrics::HttpLayer::server(&meter);
        measure(vec![
            row("bare", false, shop.clone()),
            row("ctxhop: span, metrics, body", false, TraceLayer::server().layer(shop.clone())),
            row("opentelemetry-instrumentation-tower: span, metrics", false, instrumentation.layer(shop.clone())),
            row("tower-http-opentelemetry: span, metrics", false, tower_http.layer(shop.clone())),
            row("tower-otel: span", false, tower_otel.layer(shop.clone())),
            row("tower-otel: span, metrics", false, tower_otel.layer(metrics.layer(shop))),
        ]);
        println!();
    }

    println!("gRPC server, three messages");
    measure(vec![
        row("bare", true, Shop(3)),
        row("ctxhop: span, metrics, body", true, TraceLayer::server().layer(Shop(3))),
        row("tower-otel: span", true, tower_otel::trace::GrpcLayer::server(Level::INFO).layer(Shop(3))),
        row(
            "tonic-tracing-opentelemetry: span",
            true,
            tonic_tracing_opentelemetry::middleware::server::OtelGrpcLayer::default().layer(Shop(3)),
        ),
    ]);
}
