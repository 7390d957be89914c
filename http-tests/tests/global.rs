//! The layers with what is global. To set that is why this is a test binary of its own, and one test.

use std::{collections::BTreeSet, convert::Infallible};

use bytes::Bytes;
use ctxhop::{
    Propagate,
    propagation::TraceContextPropagator,
    testing::TraceRecorder,
    tower::{Client, Server, TraceLayer},
};
use http::{Request, Response};
use http_body_util::Empty;
use opentelemetry::{
    Context, TraceFlags, global,
    trace::{SpanContext, TraceContextExt, TraceState},
};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use tower::{Layer, ServiceExt};

/// Sends a request through both layers, and gives the span that is current in the service.
async fn current_in(
    client: &TraceLayer<Client>,
    server: &TraceLayer<Server>,
    cx: Context,
    request: Request<()>,
) -> SpanContext {
    let service = tower::service_fn(async |_: Request<()>| {
        let mut response = Response::new(Empty::<Bytes>::new());
        response.extensions_mut().insert(Context::current());
        Ok::<_, Infallible>(response)
    });
    let both = client.layer(server.layer(service));
    let response = both.oneshot(request).with_context(cx).await.unwrap();
    response.extensions().get::<Context>().unwrap().span().span_context().clone()
}

#[tokio::test]
async fn what_is_global_is_looked_up_at_the_first_request() {
    let (client, server) = (TraceLayer::client(), TraceLayer::server());
    global::set_text_map_propagator(TraceContextPropagator::new());

    // Nobody makes spans: what is current at the client flows on, through both.
    let current = SpanContext::new(7.into(), 7.into(), TraceFlags::SAMPLED, true, TraceState::NONE);
    let cx = Context::new().with_remote_span_context(current.clone());
    assert_eq!(current_in(&TraceLayer::client(), &TraceLayer::server(), cx, Request::new(())).await, current);

    let recorder = TraceRecorder::new();
    recorder.install_global();
    let exporter = InMemoryMetricExporter::default();
    let meters = SdkMeterProvider::builder().with_reader(PeriodicReader::builder(exporter.clone()).build()).build();
    global::set_meter_provider(meters.clone());
    let seen = current_in(&client, &server, Context::new(), Request::new(())).await;

    let tree = recorder.tree();
    assert_eq!(tree.display().durations(false).to_string(), "GET [client]\n└─ GET [server]");
    assert_eq!(seen.span_id(), tree.assert_single_trace().children()[0].span().span_context.span_id());

    let grpc = Request::builder().header("content-type", "application/grpc").body(()).unwrap();
    current_in(&client, &server, Context::new(), grpc).await;
    meters.force_flush().unwrap();
    let metrics = exporter.get_finished_metrics().unwrap();
    let scopes = metrics.iter().flat_map(|resource| resource.scope_metrics());
    let names: BTreeSet<_> = scopes.flat_map(|scope| scope.metrics()).map(|metric| metric.name().to_owned()).collect();
    assert_eq!(
        Vec::from_iter(names),
        [
            "http.client.request.duration",
            "http.server.active_requests",
            "http.server.request.duration",
            "rpc.client.call.duration",
            "rpc.server.call.duration",
        ]
    );
}
