//! The service `notify`: delivers a notification, or says why not. It is simulated: it sends nothing, and always answers the same.

use std::{
    convert::Infallible,
    fmt, io,
    net::SocketAddr,
    pin::{Pin, pin},
    task::{self, Poll},
    time::Duration,
};

use ctxhop::{
    Propagate,
    tower::{Trace, TraceLayer},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use serde::{Deserialize, Serialize};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_layer::Layer;
use tower_service::Service as _;

use crate::{
    complain,
    hops::Hops,
    input::{Channel, Notification},
    telemetry::Service,
};

const PATH: &str = "/notify";

/// Room for a line of the input, twice: as its summary and page, escaped.
const MAX_BODY: usize = 8 << 20;

/// How long requests may take to come and to be answered, once the server is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// The body of a request.
#[derive(Deserialize, Serialize)]
struct Call {
    channel: Channel,
    to: String,
    summary: String,
    page: String,
}

// ---- The server ------------------------------------------------------------------------------------------------------

/// Answers requests until `stop`, and then finishes those that it has. A client that does not send all of its request in time gets no
/// answer.
pub(crate) async fn serve<H: Hops>(listener: TcpListener, stop: CancellationToken) {
    let layer = TraceLayer::server()
        .with_tracer_provider(&Service::Notify.telemetry().provider)
        .with_propagator(H::propagator())
        .route(|_| Some(PATH));
    let connections = TaskTracker::new();
    let accepting = async {
        loop {
            let stream = match accept_from(&listener).await {
                Ok(stream) => stream,
                Err(error) => {
                    complain(format_args!("notify: no connection: {error}"));
                    // For instance, because there are too many, and then the next one fails, too.
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let service = layer.clone().layer(Deliveries);
            // A connection belongs to no request, so it carries no context.
            connections.spawn(serve_connection(stream, service, stop.clone()).detached());
        }
    };
    let _: Option<Infallible> = stop.run_until_cancelled(accepting).await;
    connections.close();
    if timeout(GRACE, connections.wait()).await.is_err() {
        complain(format_args!("notify: {} connections are not done within {GRACE:?}", connections.len()));
    }
}

async fn accept_from(listener: &TcpListener) -> io::Result<TcpStream> {
    let (stream, _) = listener.accept().await?;
    // Small answers go at once.
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn serve_connection(stream: TcpStream, service: Trace<Deliveries>, stop: CancellationToken) {
    let service = service_fn(move |request| service.clone().call(request));
    let mut connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        complain(format_args!("notify: {error}"));
    }
}

#[derive(Clone)]
struct Deliveries;

impl tower_service::Service<Request<Incoming>> for Deliveries {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        Box::pin(async {
            let (status, reason) = match read(request).await {
                Ok(call) => match accept(&call) {
                    Ok(()) => (StatusCode::ACCEPTED, String::new()),
                    Err(reason) => (StatusCode::UNPROCESSABLE_ENTITY, reason.to_owned()),
                },
                Err(reason) => (StatusCode::BAD_REQUEST, reason),
            };
            let mut response = Response::new(Full::from(reason));
            *response.status_mut() = status;
            Ok(response)
        })
    }
}

async fn read(request: Request<Incoming>) -> Result<Call, String> {
    let body = Limited::new(request.into_body(), MAX_BODY).collect().await.map_err(|error| error.to_string())?;
    serde_json::from_slice(&body.to_bytes()).map_err(|error| error.to_string())
}

fn accept(call: &Call) -> Result<(), &'static str> {
    match call.channel {
        _ if call.summary.trim().is_empty() => Err("nothing to say"),
        Channel::Email => accept_email(&call.to),
        Channel::Push => accept_token(&call.to),
    }
}

fn accept_email(address: &str) -> Result<(), &'static str> {
    let is_mailbox = |mailbox: &str| {
        !mailbox.is_empty() && !mailbox.contains(|c: char| c.is_whitespace() || c.is_control() || c == '@')
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_domain = |domain: &str| domain.contains('.') && domain.split('.').all(is_label);
    match address.rsplit_once('@') {
        Some((mailbox, domain)) if is_mailbox(mailbox) && is_domain(domain) => Ok(()),
        _ => Err("invalid address"),
    }
}

fn accept_token(token: &str) -> Result<(), &'static str> {
    let is_token = token.len() == 64 && token.bytes().all(|b| b.is_ascii_hexdigit());
    if is_token { Ok(()) } else { Err("invalid token") }
}

// ---- The client ------------------------------------------------------------------------------------------------------

/// What the workers call the server with. A clone shares the connections.
#[derive(Clone)]
pub(crate) struct Client {
    server: SocketAddr,
    client: Trace<legacy::Client<HttpConnector, Full<Bytes>>>,
}

impl Client {
    pub(crate) fn new<H: Hops>(server: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = TraceLayer::client()
            .with_tracer_provider(&Service::Worker.telemetry().provider)
            .with_propagator(H::propagator())
            .layer(legacy::Client::builder(TokioExecutor::new()).build(connector));
        Self { server, client }
    }

    /// Has a notification delivered; or says why that is not done.
    pub(crate) async fn notify(
        &self,
        notification: &Notification,
        summary: String,
        page: String,
    ) -> Result<(), String> {
        let call = Call { channel: notification.channel, to: notification.to.clone(), summary, page };
        let body = serde_json::to_vec(&call).map_err(|error| error.to_string())?;
        let request = Request::post(format!("http://{}{PATH}", self.server))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body))
            .map_err(|error| error.to_string())?;
        let unreachable = |error: &dyn fmt::Display| format!("no answer from {}: {error}", self.server);
        let response = self.client.clone().call(request).await.map_err(|error| unreachable(&error))?;
        let status = response.status();
        let reason = response.into_body().collect().await.map_err(|error| unreachable(&error))?.to_bytes();
        if status.is_success() { Ok(()) } else { Err(String::from_utf8_lossy(&reason).into_owned()) }
    }
}
