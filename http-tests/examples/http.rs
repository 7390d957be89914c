//! An axum server and a reqwest client, in one trace. The manual shows the part between the marks.

use axum::{Router, extract::MatchedPath, routing::get};
use ctxhop::{propagation::TraceContextPropagator, testing::TraceRecorder, tower::TraceLayer};
use http::Request;
use tower::{ServiceBuilder, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let recorder = TraceRecorder::new();
    recorder.install_global();
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let (listener, address) = ctxhop_http_tests::listen().await;

    // README
    let shop = Router::new()
        .route("/orders/{id}", get(async || "two apples"))
        .layer(TraceLayer::server().route(|it| it.get::<MatchedPath>().map(MatchedPath::as_str)));
    tokio::spawn(async { axum::serve(listener, shop).await });

    let client = ServiceBuilder::new()
        .layer(TraceLayer::client())
        .map_response(http::Response::<reqwest::Body>::from)
        .filter(|request: Request<reqwest::Body>| reqwest::Request::try_from(request))
        .service(reqwest::Client::new());
    let order = client.oneshot(Request::get(format!("{address}/orders/7")).body("".into())?).await?;
    // README

    let order = http_body_util::BodyExt::collect(order.into_body()).await?.to_bytes();
    assert_eq!(order, "two apples");
    let tree = recorder.tree();
    println!("{}", tree.display().durations(false));
    tree.assert_single_trace();
    assert_eq!(tree.display().durations(false).to_string(), "GET [client]\n└─ GET /orders/{id} [server]");
    Ok(())
}
