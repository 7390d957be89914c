//! A span around each request over HTTP or gRPC. The whole request and the body of the response run in it.
//!
//! [`TraceLayer`] is a layer of tower's, for services that take an [`http::Request`](::http::Request):
//!
//! | at | the layer goes into |
//! |---|---|
//! | an axum server | `Router::layer(TraceLayer::server().route(…))` |
//! | a hyper server | `TowerToHyperService::new(TraceLayer::server().layer(service))` |
//! | a tonic server | `Server::builder().layer(TraceLayer::server())` |
//! | a tonic client | `OrdersClient::new(TraceLayer::client().layer(channel))` |
//! | hyper's client | `TraceLayer::client().layer(client)` |
//! | reqwest | `ServiceBuilder::new().layer(TraceLayer::client()).map_response(…).filter(…).service(client)`, as in [the manual](crate::manual::http) |
//!
//! A server and a client, in one process and without sockets:
//!
//! ```
//! use ctxhop::{propagation::TraceContextPropagator, testing::TraceRecorder, tower::TraceLayer};
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use hyper::body::Bytes;
//! use tower_layer::Layer;
//! use tower_service::Service;
//! # use std::{convert::Infallible, future::{Ready, ready}, task::{Context, Poll}};
//! # struct Shop;
//! # impl<B> Service<Request<B>> for Shop {
//! #     type Response = Response<Full<Bytes>>;
//! #     type Error = Infallible;
//! #     type Future = Ready<Result<Response<Full<Bytes>>, Infallible>>;
//! #     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> { Poll::Ready(Ok(())) }
//! #     fn call(&mut self, _: Request<B>) -> Self::Future { ready(Ok(Response::new(Full::from("two apples")))) }
//! # }
//!
//! # futures::executor::block_on(async {
//! let recorder = TraceRecorder::new();
//! let server = TraceLayer::server()
//!     .with_tracer_provider(recorder.provider())
//!     .with_propagator(TraceContextPropagator::new());
//! let client = TraceLayer::client()
//!     .with_tracer_provider(recorder.provider())
//!     .with_propagator(TraceContextPropagator::new());
//!
//! let mut shop = client.layer(server.layer(Shop));
//! let response = shop.call(Request::get("http://shop.example/orders/7").body(()).unwrap()).await.unwrap();
//! response.into_body().collect().await.unwrap();
//! assert_eq!(recorder.tree().display().durations(false).to_string(), "\
//! GET [client]
//! └─ GET [server]");
//! # });
//! ```
//!
//! # Conventions
//!
//! Names, kinds, attributes and metrics are those of OpenTelemetry's semantic conventions
//! [for HTTP](https://opentelemetry.io/docs/specs/semconv/http/), which are stable, and
//! [for gRPC](https://opentelemetry.io/docs/specs/semconv/rpc/grpc/), a release candidate. The metrics are
//! `http.server.request.duration`, `http.server.active_requests`, `http.client.request.duration`,
//! `rpc.server.call.duration` and `rpc.client.call.duration`.
//!
//! No name and no metric has anything that strangers choose: a path without a route, or an unknown method. There is one exception:
//! a gRPC call that is dropped, or that a middleware refuses with a `grpc-status`, shows its path, unless
//! [`rpc_methods`](TraceLayer::rpc_methods) lists the methods. `REDACTED` replaces
//! passwords and the secrets of signed URLs. Headers are recorded only if you ask for them by name.
//!
//! # With `tracing`
//!
//! The layer's span is OpenTelemetry's own. Spans that `tracing` makes in the handler are its children, because
//! tracing-opentelemetry takes the current context for the parent of a new span.
//!
//! # Pooled connections
//!
//! A client opens connections on the way, in a request's context, and keeps them. hyper's and reqwest's bind nothing of it
//! to the connection's task. With an executor that does, such as [`Propagating`](crate::executor::Propagating), the
//! connection would hold the request's context for as long as it is open: give the client a bare one.

mod body;
mod call;
mod exchange;
mod grpc;
mod http;
mod layer;
mod messages;
mod metrics;
mod resend;
mod service;
mod settings;
mod side;
mod url;

pub use body::{AsItIs, Inside, PrepareBody, RequestBody, ResponseBody};
pub use layer::{Client, Server, TraceLayer};
pub use messages::Messages;
pub use resend::{Resend, ResendLayer};
pub use service::{ResponseFuture, Trace};
