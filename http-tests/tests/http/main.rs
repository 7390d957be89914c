//! Plain HTTP: axum's server and hyper's client, on real sockets. Here are the server and what calls it.

mod clients;
mod endings;
mod origin;
mod said;
mod services;

use std::{convert::Infallible, future::pending};

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
    Propagate,
    tower::{Server, TraceLayer},
};
use ctxhop_http_tests::{
    Task, listen,
    probe::{Chunks, Last, Probed},
    rig::Rig,
};
use http::{Method, Request, Response};
use http_body_util::Empty;
use hyper_util::{
    client::legacy::{Client, Error, connect::HttpConnector},
    rt::TokioExecutor,
};
use opentelemetry::Context;
use tower::{ServiceBuilder, util::BoxCloneService};

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

/// Answers with the headers that it was sent.
async fn mirror(request: Request<()>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let mut response = Response::new(Empty::new());
    *response.headers_mut() = request.headers().clone();
    Ok(response)
}
