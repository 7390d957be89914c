//! The gateway: takes orders over HTTP and hands them to the checkout over gRPC. Each answer says the trace id, errors too.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{MatchedPath, State, rejection::JsonRejection},
    http::{HeaderName, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use ctxhop::tower::{Trace, TraceLayer};
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde_json::json;
use tokio::{net::TcpListener, time::timeout};
use tonic::{Code, Status, transport::Endpoint};
use tower_layer::Layer;

use crate::{
    Result,
    api::{Order, Receipt, TRACE_ID, checkout_client::CheckoutClient},
};

type Checkout = CheckoutClient<Trace<tonic::transport::Channel>>;

/// A checkout that does not answer for so long is not there. It waits for its broker itself, and gives up before.
const PATIENCE: Duration = Duration::from_secs(12);

/// Serves until `shutdown`, and then finishes the requests that it has.
pub(crate) async fn serve(
    listener: TcpListener,
    checkout: Endpoint,
    provider: SdkTracerProvider,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let address = checkout.uri().clone();
    let client = TraceLayer::client()
        .with_tracer_provider(&provider)
        .server_address(address.host().unwrap_or_default(), address.port_u16());
    let server = TraceLayer::server()
        .with_tracer_provider(&provider)
        .route(|extensions| extensions.get::<MatchedPath>().map(MatchedPath::as_str))
        .trace_id_header(HeaderName::from_static(TRACE_ID));

    let routes = Router::new()
        .route("/api/checkout", post(check_out))
        .with_state(Checkout::new(client.layer(checkout.connect_lazy())))
        .layer(server);
    axum::serve(listener, routes).with_graceful_shutdown(shutdown).await?;
    Ok(())
}

async fn check_out(
    State(mut checkout): State<Checkout>,
    order: Result<Json<Order>, JsonRejection>,
) -> Result<(StatusCode, Json<Receipt>), Refusal> {
    let Json(order) = order?;
    let receipt = timeout(PATIENCE, checkout.process(order))
        .await
        .map_err(|_| Status::deadline_exceeded(format!("the checkout has not answered within {PATIENCE:?}")))?;
    let receipt = receipt?.into_inner();
    Ok((StatusCode::ACCEPTED, Json(receipt)))
}

/// An answer that is no receipt.
struct Refusal {
    status: StatusCode,
    reason: String,
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        Self { status: rejection.status(), reason: rejection.body_text() }
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        let code = match status.code() {
            Code::InvalidArgument => StatusCode::UNPROCESSABLE_ENTITY,
            Code::ResourceExhausted | Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        };
        Self { status: code, reason: status.message().to_owned() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.reason }))).into_response()
    }
}
