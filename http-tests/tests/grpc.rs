//! Each ending of a call over gRPC: tonic's server and client, on real sockets.

use std::time::Duration;

use bytes::Bytes;
use ctxhop::{
    Propagate,
    tower::{Client, Messages, ResponseBody, Server, TraceLayer},
};
use ctxhop_http_tests::{
    Task,
    grpc::{Echo, call, read},
    listen,
    probe::Probed,
    rig::{Rig, get, propagator},
};
use futures::{Stream, StreamExt, stream};
use opentelemetry::{
    Context, KeyValue, SpanId, TraceFlags, TraceId,
    baggage::BaggageExt,
    trace::{SpanContext, SpanKind, Status as SpanStatus, TraceContextExt, TraceState, Tracer},
};
use opentelemetry_sdk::trace::{Sampler, SpanData};
use tonic::{
    Code, Request,
    client::GrpcService,
    transport::{Channel, Endpoint, server::TcpIncoming},
};
use tower::{Layer, ServiceBuilder};

async fn serve(rig: &Rig, layer: TraceLayer<Server>) -> (Task, Channel) {
    let (listener, address) = listen().await;
    let server = tonic::transport::Server::builder().layer(layer).add_service(Echo(rig.probe.clone()));
    let serving = async { server.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap() };
    (Task(tokio::spawn(serving)), Endpoint::from_shared(address).unwrap().connect_lazy())
}

/// tonic's channel, looked at from inside of the layer.
fn client(
    rig: &Rig,
    channel: Channel,
) -> impl GrpcService<tonic::body::Body, ResponseBody = ResponseBody<Probed<tonic::body::Body>>, Error: std::fmt::Debug>
{
    let probe = rig.probe.clone();
    ServiceBuilder::new()
        .layer(rig.client())
        .map_response(move |response: http::Response<_>| response.map(|body| Probed::new(body, &probe)))
        .service(channel)
}

fn apples(count: usize) -> impl Stream<Item = Bytes> + Send {
    stream::iter(vec![Bytes::from_static(b"apple"); count])
}

/// Calls the method, reads all, and checks both spans.
async fn check(method: &str, result: Result<usize, Code>, server: &str, client_line: &str, places: &[&str]) -> Rig {
    let rig = Rig::new();
    let (_serving, channel) = serve(&rig, rig.server()).await;
    let sent = if matches!(method, "Unary" | "Invalid" | "Internal") { 1 } else { 2 };
    let said = read(call(client(&rig, channel), method, apples(sent)).await).await;
    assert_eq!(said.map_err(|status| status.code()), result);
    let servers = rig.check(SpanKind::Server, &[server]).await;
    let clients = rig.check(SpanKind::Client, &[client_line]).await;
    assert_eq!(servers[0].parent_span_id, clients[0].span_context.span_id());
    rig.check_places(servers.first(), clients.first(), places);
    assert_eq!(get(&servers[0].attributes, "rpc.system.name").as_deref(), Some("grpc"));
    rig
}

#[tokio::test]
async fn unary() {
    let line = "test.Echo/Unary OK";
    check("Unary", Ok(1), line, line, &["handler", "client: frame", "client: drop of body"]).await;
}

#[tokio::test]
async fn streams() {
    let places = ["handler", "message", "chunk", "drop of chunks", "client: frame", "client: drop of body"];
    check("Stream", Ok(3), "test.Echo/Stream OK", "test.Echo/Stream OK", &places).await;
    check("Bidi", Ok(3), "test.Echo/Bidi OK", "test.Echo/Bidi OK", &["handler", "chunk", "drop of chunks"]).await;
}

#[tokio::test]
async fn fails_in_the_trailers() {
    let line = "test.Echo/Late DATA_LOSS (DATA_LOSS: the apples rot)";
    check("Late", Err(Code::DataLoss), line, line, &["handler", "chunk", "drop of chunks"]).await;
}

#[tokio::test]
async fn fails_by_trailers_only() {
    let client = "test.Echo/Invalid INVALID_ARGUMENT (INVALID_ARGUMENT: no such apple)";
    let server = "test.Echo/Invalid INVALID_ARGUMENT";
    check("Invalid", Err(Code::InvalidArgument), server, client, &["handler"]).await;
    let line = "test.Echo/Internal INTERNAL (INTERNAL: the cellar is flooded)";
    check("Internal", Err(Code::Internal), line, line, &["handler"]).await;
}

/// What strangers ask for is in no name and on no metric.
#[tokio::test]
async fn there_is_no_such_method() {
    let server = "grpc UNIMPLEMENTED (UNIMPLEMENTED: )";
    let client = "test.Echo/4711 UNIMPLEMENTED (UNIMPLEMENTED: )";
    let rig = check("4711", Err(Code::Unimplemented), server, client, &[]).await;
    let span = &rig.ended(SpanKind::Server, 1).await[0];
    let said = |key| span.attributes.iter().filter(|it| it.key.as_str() == key).count();
    assert_eq!((said("rpc.method"), said("rpc.method_original")), (1, 1));
    assert_eq!(get(&span.attributes, "rpc.method_original").as_deref(), Some("test.Echo/4711"));
    let servers: Vec<_> = rig.points().into_iter().filter(|it| it.metric.contains("server")).collect();
    assert!(!format!("{servers:?}").contains("4711"), "{servers:#?}");
}

#[tokio::test]
async fn methods_can_be_named() {
    let rig = Rig::new();
    let (_serving, channel) = serve(&rig, rig.server().rpc_methods(["test.Echo/Unary"])).await;
    read(call(channel.clone(), "Unary", apples(1)).await).await.unwrap();
    read(call(channel, "Stream", apples(1)).await).await.unwrap();
    let spans = rig.check(SpanKind::Server, &["test.Echo/Unary OK", "grpc OK"]).await;
    // The metrics say the same as the spans.
    let methods = spans.iter().map(|span| get(&span.attributes, "rpc.method").unwrap());
    assert_eq!(methods.collect::<Vec<_>>(), ["test.Echo/Unary", "_OTHER"]);
}

#[tokio::test]
async fn metadata_is_recorded_if_asked_for() {
    let rig = Rig::new();
    let name = http::HeaderName::from_static("x-shop");
    let layer = rig.server().record_request_headers([name.clone()]).record_response_headers([name]);
    let answer = |_| async {
        let answer = http::Response::builder().header("grpc-status", "0").header("x-shop", "north");
        let answer = answer.header("x-other", "secret").body(tonic::body::Body::empty()).unwrap();
        Ok::<_, std::convert::Infallible>(answer)
    };
    let request = http::Request::post("/test.Echo/Unary").header("content-type", "application/grpc+proto");
    let request = request.header("x-shop", "south").header("authorization", "secret");
    let mut service = ServiceBuilder::new().layer(layer).service_fn(answer);
    drop(tower::Service::call(&mut service, request.body(tonic::body::Body::empty()).unwrap()).await.unwrap());
    let span = rig.check(SpanKind::Server, &["test.Echo/Unary OK"]).await.remove(0);
    let said = |key| get(&span.attributes, key);
    assert_eq!(said("rpc.request.metadata.x-shop").as_deref(), Some(r#"["south"]"#));
    assert_eq!(said("rpc.response.metadata.x-shop").as_deref(), Some(r#"["north"]"#));
    assert!(!format!("{span:?}").contains("secret"), "{span:?}");
}

#[tokio::test]
async fn handler_panics() {
    let rig = Rig::new();
    let (_serving, channel) = serve(&rig, rig.server()).await;
    read(call(client(&rig, channel), "Panics", apples(1)).await).await.unwrap_err();
    rig.check(SpanKind::Server, &["test.Echo/Panics (panic: panicked)"]).await;
    let client = rig.ended(SpanKind::Client, 1).await;
    assert!(matches!(client[0].status, SpanStatus::Error { .. }));
}

/// Both sides know the deadline, and say so, however they come to hear of its end.
#[tokio::test]
async fn deadline_is_exceeded() {
    let rig = Rig::new();
    let (_serving, channel) = serve(&rig, rig.server()).await;
    let mut request = Request::new(apples(1));
    request.set_timeout(Duration::from_millis(50));
    read(call(client(&rig, channel), "Hangs", request).await).await.unwrap_err();
    let servers = rig.check(SpanKind::Server, &["test.Echo/Hangs DEADLINE_EXCEEDED (DEADLINE_EXCEEDED: )"]).await;
    let clients = rig.ended(SpanKind::Client, 1).await;
    assert_eq!(get(&clients[0].attributes, "rpc.response.status_code").as_deref(), Some("DEADLINE_EXCEEDED"));
    assert_eq!(get(&clients[0].attributes, "error.type").as_deref(), Some("DEADLINE_EXCEEDED"));
    rig.check_places(servers.first(), clients.first(), &["drop of handler"]);
}

#[tokio::test]
async fn client_gives_up() {
    let rig = Rig::new();
    let (_serving, channel) = serve(&rig, rig.server()).await;
    let mut messages = call(client(&rig, channel), "Endless", apples(1)).await.unwrap().into_inner();
    messages.message().await.unwrap().unwrap();
    drop(messages);
    let servers = rig.check(SpanKind::Server, &["test.Echo/Endless CANCELLED"]).await;
    let clients = rig.check(SpanKind::Client, &["test.Echo/Endless CANCELLED"]).await;
    rig.check_places(servers.first(), clients.first(), &["drop of chunks", "client: drop of body"]);
}

/// No server: the call fails before it has a status.
#[tokio::test]
async fn nobody_answers() {
    let rig = Rig::new();
    let (listener, address) = listen().await;
    drop(listener);
    let channel = Endpoint::from_shared(address).unwrap().connect_lazy();
    read(call(client(&rig, channel), "Unary", apples(1)).await).await.unwrap_err();
    rig.check(SpanKind::Client, &["test.Echo/Unary (tonic::transport::error::Error: transport error)"]).await;
}

/// The client is, and records nothing; the server is another program.
#[tokio::test]
async fn suppressed() {
    let rig = Rig::new();
    let (_serving, channel) = serve(&rig, rig.server()).await;
    let cx = Context::new().with_telemetry_suppressed();
    let called = async { read(call(client(&rig, channel), "Unary", apples(1)).await).await };
    called.with_context(cx).await.unwrap();
    let servers = rig.check(SpanKind::Server, &["test.Echo/Unary OK"]).await;
    assert_eq!(servers[0].parent_span_id.to_string(), "0000000000000000");
    assert!(rig.spans().iter().all(|span| span.span_kind == SpanKind::Server));
}

#[tokio::test]
async fn dropped_by_the_sampler() {
    let rig = Rig::sampled(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)));
    let (_serving, channel) = serve(&rig, rig.server()).await;
    read(call(client(&rig, channel), "Unary", apples(1)).await).await.unwrap();
    assert!(rig.spans().is_empty());
}

/// Each side counts what it sends and receives, and numbers it.
#[tokio::test]
async fn messages_are_counted() {
    let rig = Rig::new();
    let (_serving, channel) = serve(&rig, rig.server().messages(Messages::Count)).await;
    let client = rig.client().messages(Messages::Events).request_body(tonic::body::Body::new).layer(channel);
    read(call(client, "Stream", apples(2)).await).await.unwrap();
    let counts = |span: &SpanData| {
        ["grpc.sent.message_count", "grpc.received.message_count"].map(|key| get(&span.attributes, key).unwrap())
    };
    let server = rig.check(SpanKind::Server, &["test.Echo/Stream OK"]).await.remove(0);
    // The request's body is not the layer's there.
    assert_eq!(counts(&server), ["3", "0"]);
    let client = rig.check(SpanKind::Client, &["test.Echo/Stream OK"]).await.remove(0);
    assert_eq!(counts(&client), ["2", "3"]);
    let number = |attributes: &[KeyValue]| ["message.type", "message.id"].map(|key| get(attributes, key).unwrap());
    let mut events: Vec<_> = client.events.iter().map(|it| number(&it.attributes).join(" ")).collect();
    events.sort();
    assert_eq!(events, ["RECEIVED 1", "RECEIVED 2", "RECEIVED 3", "SENT 1", "SENT 2"]);
}

/// tonic's connection polls a client's stream: `with_current_context` has it run in the caller's context, and the layer's
/// `request_body` in the call's own span.
#[tokio::test]
async fn request_streams_run_in_their_context() {
    let rig = Rig::new();
    let (_serving, channel) = serve(&rig, rig.server()).await;
    let recording = || {
        let rig = rig.clone();
        stream::iter(0..2).map(move |_| {
            rig.span("sent");
            Bytes::from_static(b"apple")
        })
    };
    let sent = || {
        let spans = rig.spans();
        spans.iter().filter(|it| it.name == "sent").map(|it| it.parent_span_id).collect::<Vec<_>>()
    };

    let caller = Context::new().with_span(rig.tracer().start("caller"));
    let id = caller.span().span_context().span_id();
    let bound =
        async { read(call(client(&rig, channel.clone()), "Stream", recording().with_current_context()).await).await };
    bound.with_context(caller).await.unwrap();
    assert_eq!(sent(), [id; 2]);

    let inside = rig.client().request_body(tonic::body::Body::new).layer(channel.clone());
    read(call(inside, "Stream", recording()).await).await.unwrap();
    let clients = rig.ended(SpanKind::Client, 2).await;
    assert_eq!(sent()[2..], [clients[1].span_context.span_id(); 2]);
}

/// What came in within our limits would be refused by the next server.
#[tokio::test]
async fn headers_keep_to_a_budget() {
    let members = (0..62).map(|n| KeyValue::new(format!("key{n:02}"), "x".repeat(124)));
    let tracestate = (0..31).map(|n| (format!("vendor{n:02}"), "y".repeat(248)));
    let tracestate = TraceState::from_key_value(tracestate).unwrap();
    let ids = (TraceId::from(7_u128), SpanId::from(7_u64));
    let span_context = SpanContext::new(ids.0, ids.1, TraceFlags::SAMPLED, true, tracestate);
    let cx = Context::new().with_remote_span_context(span_context).with_baggage(members);
    let call_with = async |layer: TraceLayer<Client>| {
        let rig = Rig::new();
        let (_serving, channel) = serve(&rig, rig.server()).await;
        let client = layer.with_tracer_provider(&rig.provider).with_propagator(propagator()).layer(channel);
        async { read(call(client, "Unary", apples(1)).await).await }.with_context(cx.clone()).await
    };
    assert!(call_with(TraceLayer::client().header_bytes(usize::MAX)).await.is_err(), "all of it is refused");
    call_with(TraceLayer::client()).await.unwrap();
}

/// What answers is no gRPC service: a fallback or a middleware. The path is a stranger's.
#[tokio::test]
async fn a_refusal_without_a_status_of_grpc_shows_no_path() {
    let rig = Rig::new();
    let refuse = |_| async {
        let refusal = http::Response::builder().status(404).body(tonic::body::Body::empty()).unwrap();
        Ok::<_, std::convert::Infallible>(refusal)
    };
    let mut service = ServiceBuilder::new().layer(rig.server()).service_fn(refuse);
    let request = http::Request::post("/random/stranger4711").header("content-type", "application/grpc");
    let response = tower::Service::call(&mut service, request.body(tonic::body::Body::empty()).unwrap()).await.unwrap();
    drop(response);
    let span = rig.spans().pop().unwrap();
    assert!(!span.name.contains("stranger"), "{}", span.name);
    assert_eq!(get(&span.attributes, "rpc.method").as_deref(), Some("_OTHER"));
}

/// A proxy answers in the service's place. By <https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>.
#[tokio::test]
async fn a_status_of_http_is_mapped_as_grpc_has_it() {
    for (status, expected) in [
        (400, "INTERNAL"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "UNIMPLEMENTED"),
        (429, "UNAVAILABLE"),
        (502, "UNAVAILABLE"),
        (503, "UNAVAILABLE"),
        (504, "UNAVAILABLE"),
        (200, "UNKNOWN"),
        (500, "UNKNOWN"),
    ] {
        let rig = Rig::new();
        let refuse = move |_| async move {
            let refusal = http::Response::builder().status(status).body(tonic::body::Body::empty()).unwrap();
            Ok::<_, std::convert::Infallible>(refusal)
        };
        let mut service = ServiceBuilder::new().layer(rig.client()).service_fn(refuse);
        let request = http::Request::post("/test.Echo/Unary").header("content-type", "application/grpc");
        drop(tower::Service::call(&mut service, request.body(()).unwrap()).await.unwrap());
        let span = rig.spans().pop().unwrap();
        assert_eq!(get(&span.attributes, "rpc.response.status_code").as_deref(), Some(expected), "{status}");
    }
}

/// Servers do not poll further.
#[tokio::test]
async fn a_drop_after_the_trailers_is_the_end() {
    let rig = Rig::new();
    let answer = |_| async {
        let trailers = http::HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        let frames = [http_body::Frame::data(Bytes::from_static(b"apple")), http_body::Frame::trailers(trailers)];
        let frames = frames.map(Ok::<_, std::convert::Infallible>);
        Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::StreamBody::new(stream::iter(frames))))
    };
    let mut service = ServiceBuilder::new().layer(rig.server()).service_fn(answer);
    let request = http::Request::post("/test.Echo/Unary").header("content-type", "application/grpc").body(()).unwrap();
    let mut body = tower::Service::call(&mut service, request).await.unwrap().into_body();
    for _ in 0..2 {
        http_body_util::BodyExt::frame(&mut body).await.unwrap().unwrap();
    }
    drop(body);
    rig.check(SpanKind::Server, &["test.Echo/Unary OK"]).await;
}
