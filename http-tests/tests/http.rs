//! Each ending of a request over plain HTTP: axum's server and hyper's client, on real sockets.

use std::{
    convert::Infallible,
    fmt,
    future::{Ready, pending},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{
        MatchedPath, State,
        ws::{WebSocket, WebSocketUpgrade},
    },
    http::{StatusCode, header},
    response::Redirect,
    routing::get,
};
use bytes::Bytes;
use ctxhop::{
    BaggagePolicy, Propagate, Trust,
    executor::Propagating,
    tower::{ResendLayer, Server, TraceLayer},
};
use ctxhop_http_tests::{
    Task, listen,
    probe::{Chunks, Last, Probed},
    rig::{Rig, get as attribute, line},
};
use futures::{FutureExt, StreamExt};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::{
    client::legacy::{Client, Error, connect::HttpConnector},
    rt::TokioExecutor,
};
use opentelemetry::{
    Context,
    baggage::BaggageExt,
    trace::{SpanKind, TraceContextExt, Tracer},
};
use opentelemetry_sdk::trace::Sampler;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, util::BoxCloneService};

type HttpClient = BoxCloneService<Request<Empty<Bytes>>, Response<ClientBody>, Error>;
type ClientBody = ctxhop::tower::ResponseBody<Probed<hyper::body::Incoming>>;

/// hyper's client, looked at from inside of the layer.
fn client(rig: &Rig) -> HttpClient {
    client_of(rig, Client::builder(TokioExecutor::new()).build(HttpConnector::new()))
}

fn client_of(rig: &Rig, inner: Client<HttpConnector, Empty<Bytes>>) -> HttpClient {
    let probe = rig.probe.clone();
    ServiceBuilder::new()
        .layer(BoxCloneService::layer())
        .layer(rig.client())
        .map_response(move |response: Response<_>| {
            probe.note("client: response");
            response.map(|body| Probed::new(body, &probe))
        })
        .service(inner)
}

fn chunks(rig: &Rig, count: u32, last: Last) -> Body {
    let spans = rig.clone();
    Body::from_stream(Chunks::new(&rig.probe, count, last, move || {
        spans.span("chunk");
        Bytes::from_static(b"apple ")
    }))
}

fn app(rig: &Rig, layer: TraceLayer<Server>) -> Router {
    let route = layer.route(|extensions| extensions.get::<MatchedPath>().map(MatchedPath::as_str));
    Router::new()
        .route("/orders/{id}", get(async |State(rig): State<Rig>| note(&rig, "two apples")))
        .route("/stream", get(async |State(rig): State<Rig>| note(&rig, chunks(&rig, 3, Last::Nothing))))
        .route(
            "/length",
            get(async |State(rig): State<Rig>| {
                // More than it says: nobody polls the body to its end.
                note(&rig, ([(header::CONTENT_LENGTH, "12")], chunks(&rig, 2, Last::Chunk)))
            }),
        )
        .route("/error", get(async |State(rig): State<Rig>| note(&rig, chunks(&rig, 1, Last::Error))))
        .route(
            "/flooded/error",
            get(async |State(rig): State<Rig>| {
                note(&rig, (StatusCode::SERVICE_UNAVAILABLE, chunks(&rig, 1, Last::Error)))
            }),
        )
        .route(
            "/panic",
            get(async |State(rig): State<Rig>| {
                rig.probe.note("handler");
                if true {
                    panic!("on purpose, in a handler");
                }
            }),
        )
        .route("/panic/body", get(async |State(rig): State<Rig>| note(&rig, chunks(&rig, 1, Last::Panic))))
        .route("/endless", get(async |State(rig): State<Rig>| note(&rig, chunks(&rig, 0, Last::Chunk))))
        .route(
            "/hangs",
            get(async |State(rig): State<Rig>| {
                let _drop = rig.probe.on_drop("drop of handler");
                rig.span("handler");
                pending::<()>().await
            }),
        )
        .route("/flooded", get(async |State(rig): State<Rig>| note(&rig, StatusCode::SERVICE_UNAVAILABLE)))
        .route("/moved", get(async |State(rig): State<Rig>| note(&rig, Redirect::temporary("/orders/7"))))
        .route(
            "/socket",
            get(async |State(rig): State<Rig>, upgrade: WebSocketUpgrade| {
                rig.probe.note("handler");
                let cx = Context::current();
                upgrade.on_upgrade(move |socket| echo(rig, socket).with_context(cx))
            }),
        )
        .layer(route)
        .with_state(rig.clone())
}

async fn echo(rig: Rig, mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        rig.span("message");
        socket.send(message).await.ok();
    }
}

fn note<T>(rig: &Rig, response: T) -> T {
    rig.probe.note("handler");
    response
}

async fn serve(app: Router) -> (Task, String) {
    let (listener, address) = listen().await;
    (Task(tokio::spawn(async { axum::serve(listener, app).await.unwrap() })), address)
}

fn request(method: Method, address: &str, path: &str) -> Request<Empty<Bytes>> {
    Request::builder().method(method).uri(format!("{address}{path}")).body(Empty::new()).unwrap()
}

/// How a client fails whose server has broken off: before or after the head of the response has come through.
const FAILS: &str = "fails";

/// Sends one request, reads its body to the end or the error, and checks both spans: over HTTP/2, and then HTTP/1.1.
async fn check(method: Method, path: &str, server: &str, client_line: &str, places: &[&str]) -> Rig {
    check_over(true, method.clone(), path, server, client_line, places).await;
    check_over(false, method, path, server, client_line, places).await
}

async fn check_over(http2: bool, method: Method, path: &str, server: &str, client_line: &str, places: &[&str]) -> Rig {
    let rig = Rig::new();
    let (_serving, address) = serve(app(&rig, rig.server())).await;
    let inner = Client::builder(TokioExecutor::new()).http2_only(http2).build(HttpConnector::new());
    let response = client_of(&rig, inner).oneshot(request(method, &address, path)).await;
    if let Ok(response) = response {
        response.into_body().collect().await.ok();
    }
    let servers = rig.check(SpanKind::Server, &[server]).await;
    let clients = match client_line {
        FAILS => rig.ended(SpanKind::Client, 1).await,
        line => rig.check(SpanKind::Client, &[line]).await,
    };
    if client_line == FAILS {
        let error_type = attribute(&clients[0].attributes, "error.type").unwrap();
        assert!(error_type.starts_with("hyper"), "{error_type}");
    }
    let version = attribute(&servers[0].attributes, "network.protocol.version");
    assert_eq!(version.as_deref(), Some(if http2 { "2" } else { "1.1" }));
    assert_eq!(servers[0].parent_span_id, clients[0].span_context.span_id());
    assert_eq!(servers[0].span_context.trace_id(), clients[0].span_context.trace_id());
    for inner in rig.spans().iter().filter(|span| span.span_kind == SpanKind::Internal) {
        assert_eq!(inner.parent_span_id, servers[0].span_context.span_id(), "{}", inner.name);
    }
    rig.check_places(servers.first(), clients.first(), places);
    rig
}

const HEAD_AND_BODY: [&str; 3] = ["handler", "client: response", "client: drop of body"];

#[tokio::test]
async fn completes() {
    let rig = check(Method::GET, "/orders/7", "GET /orders/{id} 200", "GET 200", &HEAD_AND_BODY).await;
    let [server] = &rig.ended(SpanKind::Server, 1).await[..] else { panic!() };
    let [client] = &rig.ended(SpanKind::Client, 1).await[..] else { panic!() };
    let said = |key| attribute(&server.attributes, key);
    assert_eq!(said("http.route").as_deref(), Some("/orders/{id}"));
    assert_eq!(said("url.path").as_deref(), Some("/orders/7"));
    assert_eq!(said("url.scheme").as_deref(), Some("http"));
    assert_eq!(said("network.protocol.version").as_deref(), Some("1.1"));
    assert_eq!(said("server.address").as_deref(), Some("127.0.0.1"));
    let url = attribute(&client.attributes, "url.full").unwrap();
    assert!(url.ends_with("/orders/7") && url.starts_with("http://127.0.0.1:"), "{url}");
    assert_eq!(attribute(&client.attributes, "server.port"), said("server.port"));
}

#[tokio::test]
async fn streams() {
    let places = ["handler", "chunk", "drop of chunks", "client: frame", "client: drop of body"];
    let rig = check(Method::GET, "/stream", "GET /stream 200", "GET 200", &places).await;
    assert_eq!(rig.spans().iter().filter(|span| span.name == "chunk").count(), 3);
}

#[tokio::test]
async fn ends_by_its_length() {
    // Over HTTP/2 hyper polls on, and the response is malformed.
    let places = ["chunk", "drop of chunks"];
    check_over(false, Method::GET, "/length", "GET /length 200", "GET 200", &places).await;
}

#[tokio::test]
async fn body_fails() {
    let server = "GET /error 200 (axum_core::error::Error: no more apples)";
    check(Method::GET, "/error", server, FAILS, &["chunk", "drop of chunks"]).await;
    // It comes before the status.
    let server = "GET /flooded/error 503 (axum_core::error::Error: no more apples)";
    check(Method::GET, "/flooded/error", server, FAILS, &["chunk", "drop of chunks"]).await;
}

#[tokio::test]
async fn head_has_no_body() {
    check(Method::HEAD, "/stream", "HEAD /stream 200", "HEAD 200", &HEAD_AND_BODY).await;
}

#[tokio::test]
async fn there_is_no_such_route() {
    let rig = check(Method::GET, "/nowhere/4711", "GET 404", "GET 404 (404: )", &["client: response"]).await;
    assert!(!format!("{:?}", rig.points()).contains("4711"));
}

#[tokio::test]
async fn strangers_methods_have_one_name() {
    let method = Method::from_bytes(b"HARVEST").unwrap();
    let rig = check(method, "/orders/7", "HTTP /orders/{id} 405", "HTTP 405 (405: )", &[]).await;
    assert!(!format!("{:?}", rig.points()).contains("HARVEST"));
    let server = &rig.ended(SpanKind::Server, 1).await[0];
    assert_eq!(attribute(&server.attributes, "http.request.method").as_deref(), Some("_OTHER"));
    assert_eq!(attribute(&server.attributes, "http.request.method_original").as_deref(), Some("HARVEST"));
}

#[tokio::test]
async fn fails_by_its_status() {
    check(Method::GET, "/flooded", "GET /flooded 503 (503: )", "GET 503 (503: )", &HEAD_AND_BODY).await;
}

#[tokio::test]
async fn handler_panics() {
    let client = "GET (hyper_util::client::legacy::client::Error: client error (SendRequest))";
    check(Method::GET, "/panic", "GET /panic (panic: panicked)", client, &["handler"]).await;
}

#[tokio::test]
async fn body_panics() {
    let server = "GET /panic/body 200 (panic: panicked)";
    check(Method::GET, "/panic/body", server, FAILS, &["chunk", "drop of chunks"]).await;
}

/// The client gives up before there is a response: no failure of its own, and the server's is that it could not answer.
#[tokio::test]
async fn client_gives_up() {
    let rig = Rig::new();
    let (_serving, address) = serve(app(&rig, rig.server())).await;
    let mut waiting = Box::pin(client(&rig).oneshot(request(Method::GET, &address, "/hangs")));
    // The handler makes a span when it is there.
    tokio::select! {
        _ = &mut waiting => unreachable!("the handler hangs"),
        _ = rig.ended(SpanKind::Internal, 1) => {}
    }
    drop(waiting);
    let servers = rig.check(SpanKind::Server, &["GET /hangs (cancelled: cancelled)"]).await;
    let clients = rig.check(SpanKind::Client, &["GET"]).await;
    rig.check_places(servers.first(), clients.first(), &["drop of handler"]);
}

#[tokio::test]
async fn client_has_a_time_limit() {
    let rig = Rig::new();
    let (_serving, address) = serve(app(&rig, rig.server())).await;
    let inner = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(HttpConnector::new());
    let client = ServiceBuilder::new().layer(rig.client()).timeout(Duration::from_millis(50)).service(inner);
    assert!(client.oneshot(request(Method::GET, &address, "/hangs")).await.is_err());
    let spans = rig.ended(SpanKind::Client, 1).await;
    let error_type = attribute(&spans[0].attributes, "error.type").unwrap();
    assert!(error_type.starts_with("alloc::boxed::Box<dyn core::error::Error"), "{error_type}");
    rig.check(SpanKind::Server, &["GET /hangs (cancelled: cancelled)"]).await;
}

#[tokio::test]
async fn reader_leaves_early() {
    let rig = Rig::new();
    let (_serving, address) = serve(app(&rig, rig.server())).await;
    let response = client(&rig).oneshot(request(Method::GET, &address, "/endless")).await.unwrap();
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    let servers = rig.check(SpanKind::Server, &["GET /endless 200 (cancelled: cancelled)"]).await;
    let clients = rig.check(SpanKind::Client, &["GET 200"]).await;
    rig.check_places(servers.first(), clients.first(), &["drop of chunks", "client: drop of body"]);
}

#[tokio::test]
async fn connection_is_reset() {
    let rig = Rig::new();
    let (_serving, address) = serve(app(&rig, rig.server())).await;
    let mut stream = TcpStream::connect(address.trim_start_matches("http://")).await.unwrap();
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: shop\r\n\r\n").await.unwrap();
    stream.read_exact(&mut [0; 64]).await.unwrap();
    stream.set_zero_linger().unwrap();
    drop(stream);
    let servers = rig.check(SpanKind::Server, &["GET /endless 200 (cancelled: cancelled)"]).await;
    rig.check_places(servers.first(), None, &["drop of chunks"]);
}

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

/// The span is that of the handshake; what comes over the socket then is in its trace.
#[tokio::test]
async fn switches_protocols() {
    let rig = Rig::new();
    let (_serving, address) = serve(app(&rig, rig.server())).await;
    let stream = TcpStream::connect(address.trim_start_matches("http://")).await.unwrap();
    let address = address.replace("http://", "ws://");
    let (mut socket, _) = tokio_tungstenite::client_async(format!("{address}/socket"), stream).await.unwrap();
    let servers = rig.check(SpanKind::Server, &["GET /socket 101"]).await;
    futures::SinkExt::send(&mut socket, "apples".into()).await.unwrap();
    socket.next().await.unwrap().unwrap();
    let inner = rig.ended(SpanKind::Internal, 1).await;
    assert_eq!(inner[0].parent_span_id, servers[0].span_context.span_id());
}

// ---- Where a request comes from --------------------------------------------------------------------------------------

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
async fn a_proxy_in_front_says_which_scheme_the_client_used() {
    let shop = "https://shop.example/";
    for (forwarded, uri, expected) in [
        (None, "/", "http"),
        (None, shop, "https"),
        (Some("https"), "/", "https"),
        (Some("HTTPS"), "/", "https"),
        (Some("https, http"), "/", "https"),
        (Some("http"), shop, "http"),
        (Some("gopher"), "/", "http"),
        (Some("gopher, https"), "/", "http"),
        (Some(""), shop, "https"),
    ] {
        let rig = Rig::new();
        let service =
            tower::service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())));
        let mut request = Request::builder().uri(uri);
        if let Some(forwarded) = forwarded {
            request = request.header("x-forwarded-proto", forwarded);
        }
        let server = ServiceBuilder::new().layer(rig.server()).service(service);
        drop(server.oneshot(request.body(()).unwrap()).await.unwrap());
        let span = rig.check(SpanKind::Server, &["GET 200"]).await.remove(0);
        assert_eq!(attribute(&span.attributes, "url.scheme").as_deref(), Some(expected), "{forwarded:?} {uri}");
        let point = rig.points().remove(0);
        assert_eq!(point.get("url.scheme").as_deref(), Some(expected), "{forwarded:?} {uri}");
    }
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

#[tokio::test]
async fn headers_and_secrets_are_recorded_if_asked_for() {
    let rig = Rig::new();
    let name = http::HeaderName::from_static("x-shop");
    let layer = rig.server().record_request_headers([name.clone()]).record_response_headers([name]);
    let service = tower::service_fn(async |_: Request<()>| {
        let response = Response::builder().header("x-shop", "north").header("set-cookie", "secret");
        Ok::<_, Infallible>(response.body(Empty::<Bytes>::new()).unwrap())
    });
    let request = Request::builder()
        .uri("https://user:password@shop.example/a?b=1&sig=secret")
        .header("x-shop", "south")
        .header("x-shop", "east")
        .header("authorization", "secret")
        .body(())
        .unwrap();
    let client = ServiceBuilder::new().layer(rig.client()).layer(layer).service(service);
    client.oneshot(request).await.unwrap();
    let spans = [rig.check(SpanKind::Server, &["GET 200"]).await, rig.check(SpanKind::Client, &["GET 200"]).await];
    let all = format!("{spans:?}");
    assert!(!all.contains("secret") && !all.contains("password"), "{all}");
    let server = &spans[0][0].attributes;
    assert_eq!(attribute(server, "http.request.header.x-shop").as_deref(), Some(r#"["south","east"]"#));
    assert_eq!(attribute(server, "http.response.header.x-shop").as_deref(), Some(r#"["north"]"#));
    assert_eq!(attribute(server, "url.query").as_deref(), Some("b=1&sig=REDACTED"));
    let url = attribute(&spans[1][0].attributes, "url.full");
    assert_eq!(url.as_deref(), Some("https://REDACTED:REDACTED@shop.example/a?b=1&sig=REDACTED"));
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

// ---- Without a connection --------------------------------------------------------------------------------------------

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
    let mut service = layer.layer(tower::service_fn(|_: Request<()>| {
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
        for place in ["call", "future", "body"] {
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

/// Answers with the headers that it was sent.
async fn mirror(request: Request<()>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let mut response = Response::new(Empty::new());
    *response.headers_mut() = request.headers().clone();
    Ok(response)
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

#[tokio::test]
async fn methods_and_addresses_can_be_named() {
    for (method, expected) in [("HARVEST", "HARVEST 200"), ("GET", "HTTP 200")] {
        let rig = Rig::new();
        let server = rig.server().http_methods(["HARVEST"]).server_address("shop.internal", 8443);
        let client = rig.client().http_methods(["HARVEST"]).server_address("shop.internal", 8443);
        let request = Request::builder().method(method).uri("http://shop.example/").body(()).unwrap();
        drop(client.layer(server.layer(tower::service_fn(mirror))).oneshot(request).await.unwrap());
        for kind in [SpanKind::Server, SpanKind::Client] {
            let span = rig.check(kind, &[expected]).await.remove(0);
            let said = ["server.address", "server.port"].map(|key| attribute(&span.attributes, key).unwrap());
            assert_eq!(said, ["shop.internal", "8443"]);
        }
        let measured = |point: &ctxhop_http_tests::rig::Point| {
            point.metric.starts_with("http.client.") && point.get("server.address").as_deref() == Some("shop.internal")
        };
        assert!(rig.points().iter().any(measured));
    }
}

#[tokio::test]
async fn versions_and_default_ports_are_said() {
    for (version, scheme, expected) in [
        (http::Version::HTTP_09, "http", ["0.9", "80"]),
        (http::Version::HTTP_10, "https", ["1.0", "443"]),
        (http::Version::HTTP_11, "http", ["1.1", "80"]),
        (http::Version::HTTP_2, "https", ["2", "443"]),
        (http::Version::HTTP_3, "https", ["3", "443"]),
    ] {
        let rig = Rig::new();
        let service = tower::service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Response::builder().version(version).body(Empty::<Bytes>::new()).unwrap())
        });
        let request = Request::builder().uri(format!("{scheme}://shop.example/")).body(()).unwrap();
        drop(rig.client().layer(service).oneshot(request).await.unwrap());
        let span = rig.check(SpanKind::Client, &["GET 200"]).await.remove(0);
        assert_eq!(
            ["network.protocol.version", "server.port"].map(|key| attribute(&span.attributes, key).unwrap()),
            expected
        );
        assert_eq!(span.instrumentation_scope.name(), "ctxhop");
    }
}

/// A server writes a `content-length` by it.
#[tokio::test]
async fn what_goes_around_a_body_knows_its_size_and_its_end() {
    let rig = Rig::new();
    let sizes =
        |body: &dyn http_body::Body<Data = Bytes, Error = Infallible>| (body.size_hint().exact(), body.is_end_stream());
    let service = tower::service_fn(async |request: Request<ctxhop::tower::RequestBody<Full<Bytes>>>| {
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
