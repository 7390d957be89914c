//! What goes on in a service and in its response, without a connection.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use ctxhop::tower::{RequestBody, TraceLayer};
use ctxhop_http_tests::{
    probe::Last,
    rig::{Rig, line},
};
use futures::FutureExt;
use http::{Method, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full};
use opentelemetry::trace::SpanKind;
use tower::{Layer, Service, ServiceExt};

use crate::{chunks, mirror};

/// A request over HTTP, and one over gRPC, with the beginning of its span's line.
fn requests() -> [(Request<()>, &'static str); 2] {
    let request = || Request::builder().uri("/test.Echo/Unary");
    [
        (request().body(()).unwrap(), "GET"),
        (request().header("content-type", "application/grpc").body(()).unwrap(), "test.Echo/Unary"),
    ]
}

/// Calls the layer around a service that panics in this place, and gives the lines of the spans that have ended by then. What has
/// panicked is still there.
fn panic_in<K>(rig: &Rig, layer: &TraceLayer<K>, place: &str, request: &Request<()>) -> Vec<String> {
    let unwound = |work: &mut dyn FnMut()| {
        let panicked = catch_unwind(AssertUnwindSafe(work)).is_err();
        panicked.then(|| rig.spans().iter().map(line).collect::<Vec<_>>())
    };
    let layer = layer.clone().request_body(|body| {
        assert_ne!(place, "request body", "on purpose");
        body
    });
    let mut service = layer.layer(tower::service_fn(|_: Request<RequestBody<()>>| {
        assert_ne!(place, "call", "on purpose");
        async {
            assert_ne!(place, "future", "on purpose");
            Ok::<_, Infallible>(Response::new(chunks(rig, 0, Last::Panic)))
        }
    }));
    let mut future = None;
    if let Some(lines) = unwound(&mut || future = Some(Box::pin(service.call(request.clone())))) {
        return lines;
    }
    let mut future = future.unwrap();
    let mut response = None;
    if let Some(lines) = unwound(&mut || response = future.as_mut().now_or_never()) {
        return lines;
    }
    assert!(unwound(&mut || _ = future.as_mut().now_or_never()).is_some(), "polled again after it was ready");
    let mut body = response.unwrap().unwrap().into_body();
    unwound(&mut || drop(body.frame().now_or_never())).expect("a panic in the body")
}

#[tokio::test]
async fn a_panic_goes_on_after_the_span_has_ended() {
    for (request, name) in requests() {
        for place in ["request body", "call", "future", "body"] {
            let status = if place == "body" && name == "GET" { " 200" } else { "" };
            let expected = format!("{name}{status} (panic: panicked)");
            let rig = Rig::new();
            assert_eq!(panic_in(&rig, &rig.server(), place, &request), [&*expected], "a server's {place}");
            rig.check(SpanKind::Server, &[&expected]).await;
            let rig = Rig::new();
            assert_eq!(panic_in(&rig, &rig.client(), place, &request), [&*expected], "a client's {place}");
            rig.check(SpanKind::Client, &[&expected]).await;
        }
    }
}

/// Gives one frame, and panics when it is asked whether that was the last one.
struct PanicsAtTheEnd(Full<Bytes>);

impl Body for PanicsAtTheEnd {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(task)
    }

    fn is_end_stream(&self) -> bool {
        assert!(!self.0.is_end_stream(), "on purpose");
        false
    }
}

#[tokio::test]
async fn a_panic_about_the_end_of_a_body_ends_the_span() {
    for (request, name) in requests() {
        let rig = Rig::new();
        let service = tower::service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Response::new(PanicsAtTheEnd(Full::from("apples"))))
        });
        let mut body = rig.server().layer(service).oneshot(request).await.unwrap().into_body();
        catch_unwind(AssertUnwindSafe(|| drop(body.frame().now_or_never()))).unwrap_err();
        let status = if name == "GET" { " 200" } else { "" };
        // The body is still there.
        assert_eq!(rig.spans().len(), 1, "{name}");
        rig.check(SpanKind::Server, &[&format!("{name}{status} (panic: panicked)")]).await;
        drop(body);
    }
}

#[tokio::test]
async fn a_service_that_fails_is_a_failure() {
    for (request, name) in requests() {
        let rig = Rig::new();
        let fails = tower::service_fn(async |_: Request<()>| {
            Err::<Response<Empty<Bytes>>, _>(std::io::Error::other("no more apples"))
        });
        assert!(rig.client().layer(rig.server().layer(fails)).oneshot(request).await.is_err());
        let expected = format!("{name} (std::io::error::Error: no more apples)");
        rig.check(SpanKind::Server, &[&expected]).await;
        rig.check(SpanKind::Client, &[&expected]).await;
    }
}

/// A server drops the body without a poll where the protocol has none.
#[tokio::test]
async fn a_response_whose_body_is_not_sent_is_complete() {
    for (method, status, expected) in [
        (Method::HEAD, 200, "HEAD 200"),
        (Method::GET, 204, "GET 204"),
        (Method::GET, 304, "GET 304"),
        (Method::GET, 200, "GET 200 (cancelled: cancelled)"),
    ] {
        let rig = Rig::new();
        let service = tower::service_fn(async |_: Request<()>| {
            let body = chunks(&rig, 1, Last::Nothing);
            Ok::<_, Infallible>(Response::builder().status(status).body(body).unwrap())
        });
        let request = Request::builder().method(method).body(()).unwrap();
        drop(rig.server().layer(service).oneshot(request).await.unwrap());
        rig.check(SpanKind::Server, &[expected]).await;
    }
}

/// A server writes a `content-length` by it.
#[tokio::test]
async fn what_goes_around_a_body_knows_its_size_and_its_end() {
    let rig = Rig::new();
    let sizes =
        |body: &dyn http_body::Body<Data = Bytes, Error = Infallible>| (body.size_hint().exact(), body.is_end_stream());
    let service = tower::service_fn(async |request: Request<RequestBody<Full<Bytes>>>| {
        assert_eq!(sizes(request.body()), (Some(6), false));
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"apples"))))
    });
    let mut service = rig.server().request_body(|body| body).layer(service);
    let response = service.call(Request::new(Full::new(Bytes::from_static(b"apples")))).await.unwrap();
    let mut body = response.into_body();
    assert_eq!(sizes(&body), (Some(6), false));
    body.frame().await.unwrap().unwrap();
    assert_eq!(sizes(&body), (Some(0), true));
}

#[tokio::test]
async fn spans_of_tracing_in_a_handler_are_children_of_the_requests() {
    use tracing_subscriber::layer::SubscriberExt;
    let rig = Rig::new();
    let layer = tracing_opentelemetry::layer().with_tracer(rig.tracer());
    let _default = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    let service = tower::service_fn(|request: Request<()>| {
        drop(tracing::info_span!("in the call"));
        async {
            tracing::info_span!("in the future").in_scope(|| ());
            mirror(request).await
        }
    });
    drop(rig.server().layer(service).oneshot(Request::new(())).await.unwrap());
    let server = rig.check(SpanKind::Server, &["GET 200"]).await.remove(0);
    let parents: Vec<_> = rig.ended(SpanKind::Internal, 2).await.iter().map(|span| span.parent_span_id).collect();
    assert_eq!(parents, [server.span_context.span_id(); 2]);
}
