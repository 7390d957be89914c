//! A service for the conformance tests of W3C Trace Context, <https://github.com/w3c/trace-context/tree/main/test>:
//!
//! ```sh
//! cargo run --example w3c_service -- 5000 &
//! STRICT_LEVEL=2 SPEC_LEVEL=2 python3 test/test.py http://127.0.0.1:5000/test
//! ```
//!
//! It takes `POST /test` with a list of calls to make, `[{"url": …, "arguments": …}]`, and makes each, a `POST` of its
//! arguments, in the context of the request. Only the tests' own host should ever be able to reach it.

use std::{env, error::Error, net::Ipv4Addr};

use ctxhop::{Propagate, carrier, propagation::TraceContextPropagator};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use opentelemetry::{
    Context, global,
    trace::{SpanKind, TraceContextExt, Tracer},
};
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::Deserialize;
use tokio::net::TcpListener;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

#[derive(Deserialize)]
struct Call {
    url: String,
    arguments: serde_json::Value,
}

#[tokio::main]
async fn main() -> Result<()> {
    let port = env::args().nth(1).map_or(Ok(5000), |port| port.parse())?;
    global::set_text_map_propagator(TraceContextPropagator::new());
    global::set_tracer_provider(SdkTracerProvider::default());

    let client = Client::builder(TokioExecutor::new()).build_http();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("listening on http://{}/test", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let client = client.clone();
        let service = service_fn(move |request| serve(client.clone(), request));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(
            async move {
                if let Err(error) = connection.await {
                    eprintln!("connection: {error}");
                }
            }
            .detached(),
        );
    }
}

/// Runs the request in a span of its own, which continues the caller's trace if there is one.
async fn serve(
    client: Client<HttpConnector, Full<Bytes>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>> {
    let cx = carrier::extract(request.headers());
    let cx = start("serve", SpanKind::Server, &cx);
    let (status, body) = match make_calls(client, request).with_context(cx).await {
        Ok(()) => (StatusCode::OK, String::new()),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()),
    };
    Ok(Response::builder().status(status).body(body.into())?)
}

async fn make_calls(client: Client<HttpConnector, Full<Bytes>>, request: Request<Incoming>) -> Result<()> {
    let body = request.into_body().collect().await?.to_bytes();
    let calls: Vec<Call> = serde_json::from_slice(&body)?;
    for call in calls {
        let cx = start("call", SpanKind::Client, &Context::current());
        let mut request = Request::post(call.url)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(serde_json::to_vec(&call.arguments)?))?;
        carrier::inject(&cx, request.headers_mut());
        client.request(request).with_context(cx).await?;
    }
    Ok(())
}

fn start(name: &'static str, kind: SpanKind, parent: &Context) -> Context {
    let tracer = global::tracer("w3c_service");
    parent.with_span(tracer.build_with_context(tracer.span_builder(name).with_kind(kind), parent))
}
