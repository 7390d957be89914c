//! An axum server whose handler spawns a task: the task's span is in the request's trace. The README shows the part between
//! the marks.

use axum::{
    Router,
    extract::{MatchedPath, Path},
    routing::get,
};
use ctxhop::{propagation::TraceContextPropagator, testing::TraceRecorder, tower::TraceLayer};
use opentelemetry::trace::Tracer;
use tokio::net::TcpListener;

// README
async fn order(Path(id): Path<u64>) -> String {
    // The span of `price` is a child of the request's span.
    ctxhop::tokio::spawn(price(id)).await.unwrap()
}

async fn serve(listener: TcpListener) -> std::io::Result<()> {
    let layer = TraceLayer::server()
        // Names the span after the route.
        .route(|it| it.get::<MatchedPath>().map(MatchedPath::as_str));
    axum::serve(listener, Router::new().route("/orders/{id}", get(order)).layer(layer)).await
}
// README

async fn price(id: u64) -> String {
    opentelemetry::global::tracer("shop").in_span("price", |_| format!("order {id}: two apples"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let recorder = TraceRecorder::new();
    recorder.install_global();
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let (listener, address) = ctxhop_http_tests::listen().await;
    tokio::spawn(serve(listener));

    assert_eq!(reqwest::get(format!("{address}/orders/7")).await?.text().await?, "order 7: two apples");
    let ended = |tree: &ctxhop::testing::TraceTree| tree.open_spans().is_empty() && !tree.roots().is_empty();
    let tree = recorder.wait_until_async(std::time::Duration::from_secs(10), ended).await;
    println!("{}", tree.display().durations(false));
    assert_eq!(tree.display().durations(false).to_string(), "GET /orders/{id} [server]\n└─ price");
    Ok(())
}
