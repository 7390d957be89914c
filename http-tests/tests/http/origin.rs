//! Where a request comes from: what a server makes of the headers.

use std::convert::Infallible;

use bytes::Bytes;
use ctxhop::{
    BaggagePolicy, Propagate, Trust,
    tower::{Server, TraceLayer},
};
use ctxhop_http_tests::rig::Rig;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use opentelemetry::{
    Context,
    baggage::BaggageExt,
    trace::{SpanKind, TraceContextExt, Tracer},
};
use opentelemetry_sdk::trace::Sampler;
use tower::{Service, ServiceBuilder, ServiceExt};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Calls the layer around a service that tells what is current, from inside of a stranger's span.
async fn current_in(rig: &Rig, layer: TraceLayer<Server>) -> (Context, Response<Bytes>) {
    let slot = ctxhop_http_tests::rig::Slot::default();
    let left = slot.clone();
    let mut service = ServiceBuilder::new().layer(layer).service_fn(move |_: Request<()>| {
        *left.lock().unwrap() = Some(Context::current());
        std::future::ready(Ok::<_, Infallible>(Response::new(http_body_util::Full::new(Bytes::new()))))
    });
    let request = Request::builder()
        .uri("/")
        .header("traceparent", TRACEPARENT)
        .header("baggage", "tenant=acme,secret=42")
        .body(())
        .unwrap();
    let current = Context::current();
    let stranger = current.with_span(rig.tracer().start_with_context("stranger", &current));
    let response = service.call(request).with_context(stranger).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let seen = slot.lock().unwrap().take().unwrap();
    (seen, Response::from_parts(head, body))
}

#[tokio::test]
async fn the_parent_is_what_the_headers_say() {
    let rig = Rig::new();
    let name = http::HeaderName::from_static("x-trace-id");
    let (seen, response) = current_in(&rig, rig.server().trace_id_header(name)).await;
    let server = rig.check(SpanKind::Server, &["GET 200"]).await.remove(0);
    assert_eq!(server.parent_span_id.to_string(), "00f067aa0ba902b7");
    assert_eq!(seen.span().span_context(), &server.span_context);
    assert_eq!(seen.baggage().len(), 2);
    assert_eq!(response.headers()["x-trace-id"], "4bf92f3577b34da6a3ce929d0e0e4736");
}

#[tokio::test]
async fn the_trace_id_replaces_what_the_service_says() {
    let rig = Rig::new();
    let name = http::HeaderName::from_static("x-trace-id");
    let service = tower::service_fn(async |_: Request<()>| {
        let response = Response::builder().header("x-trace-id", "mine").header("x-trace-id", "and mine");
        Ok::<_, Infallible>(response.body(Empty::<Bytes>::new()).unwrap())
    });
    let layer = rig.server().trace_id_header(name);
    let response = ServiceBuilder::new().layer(layer).service(service).oneshot(Request::new(())).await.unwrap();
    let said: Vec<_> =
        response.headers().get_all("x-trace-id").iter().map(|id| id.to_str().unwrap().to_owned()).collect();
    drop(response);
    let server = rig.check(SpanKind::Server, &["GET 200"]).await.remove(0);
    assert_eq!(said, [server.span_context.trace_id().to_string()]);
}

#[tokio::test]
async fn strangers_are_linked_to() {
    let rig = Rig::new();
    let layer = rig.server().trust(Trust::LinkOnly).baggage(BaggagePolicy::allow(["tenant"]));
    let (seen, _) = current_in(&rig, layer).await;
    let server = rig.check(SpanKind::Server, &["GET 200"]).await.remove(0);
    assert_eq!(server.parent_span_id.to_string(), "0000000000000000");
    assert_ne!(server.span_context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    let linked: Vec<_> = server.links.iter().map(|link| link.span_context.span_id().to_string()).collect();
    assert_eq!(linked, ["00f067aa0ba902b7"]);
    assert_eq!(seen.baggage().get("tenant").map(|it| it.as_str().to_owned()).as_deref(), Some("acme"));
    assert_eq!(seen.baggage().len(), 1);
}

#[tokio::test]
async fn strangers_are_ignored() {
    let rig = Rig::new();
    let (seen, _) = current_in(&rig, rig.server().trust(Trust::Ignore)).await;
    let server = rig.check(SpanKind::Server, &["GET 200"]).await.remove(0);
    assert_eq!(server.parent_span_id.to_string(), "0000000000000000");
    assert!(server.links.is_empty() && seen.baggage().is_empty());
}

/// No span and no metric; the remote context flows on.
#[tokio::test]
async fn suppressed() {
    let rig = Rig::new();
    let suppressed = Context::new().with_telemetry_suppressed();
    let (seen, _) = current_in(&rig, rig.server()).with_context(suppressed).await;
    assert!(rig.spans().iter().all(|span| span.span_kind != SpanKind::Server));
    assert!(rig.points().is_empty());
    assert!(seen.is_telemetry_suppressed());
    assert_eq!(seen.span().span_context().trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
}

/// No span is recorded; the trace goes on with the sampler's decision, and the metrics are there.
#[tokio::test]
async fn dropped_by_the_sampler() {
    let rig = Rig::sampled(Sampler::AlwaysOff);
    let (seen, _) = current_in(&rig, rig.server()).await;
    assert!(rig.spans().is_empty());
    assert!(!seen.span().span_context().is_sampled());
    assert_eq!(seen.span().span_context().trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    let durations = rig.points().into_iter().filter(|it| it.metric == "http.server.request.duration").count();
    assert_eq!(durations, 1);
}

#[tokio::test]
async fn broken_headers_are_an_event() {
    let rig = Rig::new();
    let service = tower::service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Response::new(http_body_util::Full::new(Bytes::new())))
    });
    let request = Request::builder().header("traceparent", "00-0-0-01").body(()).unwrap();
    drop(ServiceBuilder::new().layer(rig.server()).service(service).oneshot(request).await.unwrap());
    let server = rig.check(SpanKind::Server, &["GET 200"]).await;
    assert_eq!(server[0].events.iter().map(|it| &*it.name).collect::<Vec<_>>(), ["ctxhop.context_rejected"]);
}
