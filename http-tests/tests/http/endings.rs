//! Each ending of a request, as its server and its client see it.

use std::time::Duration;

use bytes::Bytes;
use ctxhop_http_tests::rig::{Rig, get as attribute};
use futures::StreamExt;
use http::Method;
use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use opentelemetry::trace::SpanKind;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower::{ServiceBuilder, ServiceExt};

use crate::{app, client, client_of, request, serve};

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
