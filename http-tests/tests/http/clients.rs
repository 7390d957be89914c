//! Clients: what they add to a request, what they send again, and what they leave behind.

use std::{
    convert::Infallible,
    fmt,
    future::Ready,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

use bytes::Bytes;
use ctxhop::{
    Propagate,
    executor::Propagating,
    tower::{ResendLayer, TraceLayer},
};
use ctxhop_http_tests::rig::{Rig, get as attribute};
use futures::FutureExt;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use opentelemetry::{
    Context,
    baggage::BaggageExt,
    trace::{SpanKind, TraceContextExt, Tracer},
};
use opentelemetry_sdk::trace::Sampler;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

use crate::{app, client, mirror, request, serve};

/// reqwest's client, which follows redirects itself.
fn reqwest_client(
    rig: &Rig,
) -> impl Service<
    Request<reqwest::Body>,
    Response = Response<ctxhop::tower::ResponseBody<reqwest::Body>>,
    Error: fmt::Debug,
    Future: Send,
> + Clone {
    ServiceBuilder::new()
        .layer(rig.client())
        .map_response(Response::<reqwest::Body>::from)
        .filter(|request: Request<reqwest::Body>| reqwest::Request::try_from(request))
        .service(reqwest::Client::new())
}

#[tokio::test]
async fn reqwest_sends() {
    let rig = Rig::new();
    let (_serving, address) = serve(app(&rig, rig.server())).await;
    let client = reqwest_client(&rig);
    let request = |path: &str| Request::get(format!("{address}{path}")).body(reqwest::Body::default()).unwrap();
    let response = client.clone().oneshot(request("/stream")).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "apple apple apple ");
    let mut body = client.oneshot(request("/endless")).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    let servers = rig.check(SpanKind::Server, &["GET /stream 200", "GET /endless 200 (cancelled: cancelled)"]).await;
    let clients = rig.check(SpanKind::Client, &["GET 200"; 2]).await;
    let ids = |span: &opentelemetry_sdk::trace::SpanData| span.span_context.span_id();
    assert_eq!(
        servers.iter().map(|it| it.parent_span_id).collect::<Vec<_>>(),
        clients.iter().map(ids).collect::<Vec<_>>()
    );
}

/// The redirect is a request of its own, and counted as one that is sent again.
#[tokio::test]
async fn follows_a_redirect() {
    let rig = Rig::new();
    let (_serving, address) = serve(app(&rig, rig.server())).await;
    let client = ServiceBuilder::new()
        .layer(ResendLayer::new())
        .layer(tower_http::follow_redirect::FollowRedirectLayer::new())
        .service(client(&rig));
    let response = client.oneshot(request(Method::GET, &address, "/moved")).await.unwrap();
    response.into_body().collect().await.unwrap();
    rig.check(SpanKind::Server, &["GET /moved 307", "GET /orders/{id} 200"]).await;
    let clients = rig.check(SpanKind::Client, &["GET 307", "GET 200"]).await;
    let resends: Vec<_> = clients.iter().map(|it| attribute(&it.attributes, "http.request.resend_count")).collect();
    assert_eq!(resends, [None, Some("1".to_owned())]);
}

#[tokio::test]
async fn a_client_that_follows_redirects_itself_has_one_span() {
    let rig = Rig::new();
    let (_serving, address) = serve(app(&rig, rig.server())).await;
    let request = Request::get(format!("{address}/moved")).body(reqwest::Body::default()).unwrap();
    reqwest_client(&rig).oneshot(request).await.unwrap().into_body().collect().await.unwrap();
    rig.check(SpanKind::Client, &["GET 200"]).await;
    rig.check(SpanKind::Server, &["GET /moved 307", "GET /orders/{id} 200"]).await;
}

#[tokio::test]
async fn tries_again() {
    #[derive(Clone)]
    struct Twice(u32);

    impl<T, E> tower::retry::Policy<Request<Empty<Bytes>>, Response<T>, E> for Twice {
        type Future = std::future::Ready<()>;

        fn retry(
            &mut self,
            _: &mut Request<Empty<Bytes>>,
            result: &mut Result<Response<T>, E>,
        ) -> Option<Self::Future> {
            let failed = result.as_ref().is_ok_and(|response| response.status().is_server_error());
            self.0 = self.0.checked_sub(1)?;
            failed.then(|| std::future::ready(()))
        }

        fn clone_request(&mut self, request: &Request<Empty<Bytes>>) -> Option<Request<Empty<Bytes>>> {
            Some(request.clone())
        }
    }

    let rig = Rig::new();
    let (_serving, address) = serve(app(&rig, rig.server())).await;
    let client = ServiceBuilder::new().layer(ResendLayer::new()).retry(Twice(2)).service(client(&rig));
    client.oneshot(request(Method::GET, &address, "/flooded")).await.unwrap().into_body().collect().await.unwrap();
    let clients = rig.check(SpanKind::Client, &["GET 503 (503: )"; 3]).await;
    let resends: Vec<_> = clients.iter().map(|it| attribute(&it.attributes, "http.request.resend_count")).collect();
    assert_eq!(resends, [None, Some("1".to_owned()), Some("2".to_owned())]);
}

/// A service that never has room.
struct Busy;

impl Service<Request<()>> for Busy {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        panic!("called before it was ready")
    }
}

#[tokio::test]
async fn resending_waits_until_the_service_is_ready() {
    let mut service = ResendLayer::new().layer(Busy);
    assert!(service.ready().now_or_never().is_none());
}

/// Sends a request in a context, and counts who holds that afterwards. The connection stays in the pool.
async fn held_by<S, B, T>(rig: &Rig, client: S, request: Request<B>) -> usize
where
    S: Service<Request<B>, Response = Response<T>, Error: fmt::Debug> + Clone,
    T: http_body::Body,
{
    let held = Arc::new("held");
    let cx = Context::new().with_value(held.clone());
    let response = client.clone().oneshot(request).with_context(cx).await.unwrap();
    assert!(response.into_body().collect().await.is_ok());
    // It has ended, whoever holds it.
    rig.check(SpanKind::Client, &["GET 200"]).await;
    Arc::strong_count(&held) - 1
}

async fn held_by_the_pool<E>(executor: E) -> usize
where
    E: hyper::rt::Executor<Pin<Box<dyn Future<Output = ()> + Send>>> + Clone + Send + Sync + 'static,
{
    let rig = Rig::new();
    let (_serving, address) = serve(app(&rig, rig.server())).await;
    let pool = Client::builder(executor).build::<_, Empty<Bytes>>(HttpConnector::new());
    held_by(&rig, rig.client().layer(pool), request(Method::GET, &address, "/orders/7")).await
}

#[tokio::test]
async fn a_pooled_connection_holds_nothing() {
    assert_eq!(held_by_the_pool(TokioExecutor::new()).await, 0);
    // As `Propagating` warns.
    assert_ne!(held_by_the_pool(Propagating::new(TokioExecutor::new())).await, 0);

    let rig = Rig::new();
    let (_serving, address) = serve(app(&rig, rig.server())).await;
    let request = Request::get(format!("{address}/orders/7")).body(reqwest::Body::default()).unwrap();
    assert_eq!(held_by(&rig, reqwest_client(&rig), request).await, 0);
}

/// The headers that a client adds to a request in this context.
async fn sent_in(layer: TraceLayer<ctxhop::tower::Client>, cx: &Context) -> http::HeaderMap {
    let sent = layer.layer(tower::service_fn(mirror)).oneshot(Request::new(()));
    sent.with_context(cx.clone()).await.unwrap().headers().clone()
}

#[tokio::test]
async fn a_client_goes_on_with_what_is_current() {
    let rig = Rig::new();
    let cx = Context::new().with_span(rig.tracer().start("caller"));
    let caller = cx.span().span_context().clone();
    let sent = sent_in(rig.client(), &cx).await;
    let client = rig.check(SpanKind::Client, &["GET 200"]).await.remove(0);
    assert_eq!(client.parent_span_id, caller.span_id());
    let traceparent = |span, flags| format!("00-{}-{span}-{flags}", caller.trace_id());
    assert_eq!(sent["traceparent"], traceparent(client.span_context.span_id(), "01"));

    // There is no span, and what is current flows on.
    let sent = sent_in(rig.client(), &cx.with_telemetry_suppressed()).await;
    assert_eq!(sent["traceparent"], traceparent(caller.span_id(), "01"));
    rig.check(SpanKind::Client, &["GET 200"]).await;

    // The sampler drops the span, and all that follows.
    let sent = sent_in(Rig::sampled(Sampler::AlwaysOff).client(), &cx).await;
    let sent = sent["traceparent"].to_str().unwrap();
    assert!(sent.starts_with(&format!("00-{}-", caller.trace_id())) && sent.ends_with("-00"), "{sent}");
}

#[tokio::test]
async fn a_client_adds_no_more_than_its_limit() {
    let members = (0..60).map(|n| opentelemetry::KeyValue::new(format!("key{n:02}"), "x".repeat(124)));
    let state = (0..31).map(|n| (format!("vendor{n:02}"), "y".repeat(248)));
    let state = opentelemetry::trace::TraceState::from_key_value(state).unwrap();
    let span = opentelemetry::trace::SpanContext::new(
        7_u128.into(),
        7_u64.into(),
        opentelemetry::TraceFlags::SAMPLED,
        true,
        state,
    );
    let cx = Context::new().with_remote_span_context(span).with_baggage(members);
    let rig = Rig::new();
    for (layer, limit) in [(rig.client(), 8_192), (rig.client().header_bytes(2_000), 2_000)] {
        let sent = sent_in(layer, &cx).await;
        let bytes: usize = sent.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        assert!((limit - 300..=limit).contains(&bytes), "{bytes} of {limit}");
        assert!(sent.contains_key("traceparent"), "{sent:?}");
    }
}
