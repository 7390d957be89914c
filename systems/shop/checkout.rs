//! The checkout: takes an order over gRPC, adds it up, and publishes it for whoever has to know.

use ctxhop::tower::TraceLayer;
use opentelemetry::{Context, KeyValue, trace::TraceContextExt};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

use crate::{
    Result,
    api::{
        Item, Order, Receipt,
        checkout_server::{Checkout, CheckoutServer},
    },
    broker::{PublishError, Publisher},
};

/// Serves until `shutdown`, and then finishes the calls that it has.
pub(crate) async fn serve(
    listener: TcpListener,
    publisher: Publisher,
    provider: SdkTracerProvider,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let checkout = CheckoutServer::new(Till { publisher });
    let layer = TraceLayer::server().with_tracer_provider(&provider);
    // Small answers go at once.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = Server::builder().layer(layer).add_service(checkout);
    server.serve_with_incoming_shutdown(incoming, shutdown).await?;
    Ok(())
}

struct Till {
    publisher: Publisher,
}

#[tonic::async_trait]
impl Checkout for Till {
    async fn process(&self, request: Request<Order>) -> Result<Response<Receipt>, Status> {
        let order = request.into_inner();
        check_id(&order.id).map_err(Status::invalid_argument)?;
        let total_cents = total_cents(&order.items).map_err(Status::invalid_argument)?;
        self.publisher.publish(&order).await.map_err(|error| match error {
            PublishError::Full => Status::resource_exhausted("the stock has too many orders to handle"),
            PublishError::Failed(reason) => Status::unavailable(reason),
        })?;

        // The current span is that of this call.
        let answer = vec![KeyValue::new("order.total_cents", i64::try_from(total_cents).unwrap_or(i64::MAX))];
        Context::map_current(|cx| cx.span().add_event("response", answer));
        Ok(Response::new(Receipt { order: order.id, total_cents }))
    }
}

/// A message id of RabbitMQ is not longer than this.
const MAX_ID: usize = 255;

fn check_id(id: &str) -> Result<(), String> {
    if id.len() > MAX_ID {
        return Err(format!("the order's id has {} bytes, and {MAX_ID} are the limit", id.len()));
    }
    if id.contains(char::is_control) {
        return Err(format!("the order's id has control characters: {id:?}"));
    }
    Ok(())
}

fn total_cents(items: &[Item]) -> Result<u64, String> {
    if items.is_empty() {
        return Err("the order has no items".to_owned());
    }
    let prices = items.iter().map(|item| Ok(u64::from(item.quantity) * price_cents(&item.sku)?));
    prices.sum()
}

fn price_cents(sku: &str) -> Result<u64, String> {
    match sku {
        "apple" => Ok(40),
        "melon" => Ok(310),
        "pear" => Ok(55),
        _ => Err(format!("there is no {sku:?} in this shop")),
    }
}
