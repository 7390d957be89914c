//! A tonic server and client, in one trace. The manual shows the part between the marks; `Echo` and `call` stand for what
//! is generated.

use bytes::Bytes;
use ctxhop::{Propagate, propagation::TraceContextPropagator, testing::TraceRecorder, tower::TraceLayer};
use ctxhop_http_tests::{
    grpc::{Echo, call, read},
    probe::Probe,
};
use futures::stream;
use tonic::transport::{Endpoint, Server, server::TcpIncoming};
use tower::Layer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let recorder = TraceRecorder::new();
    recorder.install_global();
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let (listener, address) = ctxhop_http_tests::listen().await;
    let incoming = TcpIncoming::from(listener);
    let echo = Echo(Probe::default());
    let apples = stream::iter([Bytes::from("apple")]);

    // README
    let server = Server::builder().layer(TraceLayer::server()).add_service(echo);
    tokio::spawn(async { server.serve_with_incoming(incoming).await });

    let channel = Endpoint::from_shared(address)?.connect().await?;
    let client = TraceLayer::client().layer(channel); // for `EchoClient::new(client)`
    // The connection polls what you stream; this has it run in the caller's context.
    let answer = call(client, "Stream", apples.with_current_context()).await;
    // README

    read(answer).await?;
    let tree = recorder.tree();
    println!("{}", tree.display().durations(false));
    tree.assert_single_trace();
    Ok(())
}
