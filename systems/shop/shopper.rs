//! The shopper: sends orders to the gateway, a few at a time, and tells of each answer.

use std::{fmt, net::SocketAddr, pin::pin};

use ctxhop::{
    Propagate,
    tower::{Trace, TraceLayer},
};
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, body::Bytes, header::CONTENT_TYPE};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use opentelemetry::{
    Context, KeyValue,
    trace::{Status, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    Result,
    api::{Item, Order, TRACE_ID},
};

/// How many orders are on the way at the same time.
const AT_ONCE: usize = 8;

#[derive(Clone)]
pub(crate) struct Shopper {
    gateway: SocketAddr,
    client: Trace<Client<HttpConnector, Full<Bytes>>>,
    tracer: SdkTracer,
}

impl Shopper {
    pub(crate) fn new(gateway: SocketAddr, provider: &SdkTracerProvider) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let client = TraceLayer::client().with_tracer_provider(provider).layer(client);
        Self { gateway, client, tracer: provider.tracer("shopper") }
    }

    /// Sends so many orders, and gives the answers to `tell` in the order in which they were sent.
    pub(crate) async fn shop(&self, orders: u64, mut tell: impl FnMut(Answer)) {
        let mut answers = pin!(stream::iter(1..=orders).map(|number| self.buy(order(number))).buffered(AT_ONCE));
        while let Some(answer) = answers.next().await {
            tell(answer);
        }
    }

    /// Sends one order, in a span and a trace of its own.
    async fn buy(&self, order: Order) -> Answer {
        let span = self.tracer.span_builder("buy").with_attributes([KeyValue::new("order.id", order.id.clone())]);
        let asking = async {
            let reply = self.post(&order).await.map_err(|error| error.to_string());
            if let Err(reason) = &reply {
                Context::map_current(|cx| cx.span().set_status(Status::error(reason.clone())));
            }
            reply
        };
        let reply = asking.with_context(Context::current_with_span(self.tracer.build(span))).await;
        Answer { order: order.id, reply }
    }

    async fn post(&self, order: &Order) -> Result<Reply> {
        let request = Request::post(format!("http://{}/api/checkout", self.gateway))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(serde_json::to_vec(order)?))?;
        let response = self.client.clone().call(request).await?;
        let status = response.status();
        let trace = response.headers().get(TRACE_ID).and_then(|trace| trace.to_str().ok()).unwrap_or("-").to_owned();
        let body = response.into_body().collect().await?.to_bytes();
        Ok(Reply { status, trace, body })
    }
}

/// The order with this number: each fourth has pears, which the stock has to count first, and each eighth has what the shop does
/// not have.
fn order(number: u64) -> Order {
    let items: &[(&str, u32)] = match number % 8 {
        0 => &[("kiwi", 1)],
        2 | 6 => &[("pear", 1), ("apple", 2)],
        3 | 7 => &[("melon", 1)],
        _ => &[("apple", 3)],
    };
    let item = |&(sku, quantity): &(&str, u32)| Item { sku: sku.to_owned(), quantity };
    Order { id: format!("order-{number}"), items: items.iter().map(item).collect() }
}

/// What became of an order, as far as the shopper knows.
pub(crate) struct Answer {
    order: String,
    /// An error if the gateway gave no answer.
    reply: Result<Reply, String>,
}

struct Reply {
    status: StatusCode,
    trace: String,
    body: Bytes,
}

impl Answer {
    /// The order's id, if it was accepted.
    pub(crate) fn accepted(&self) -> Option<&str> {
        self.reply.as_ref().is_ok_and(|reply| reply.status.is_success()).then_some(&self.order)
    }

    pub(crate) const fn is_answer(&self) -> bool {
        self.reply.is_ok()
    }
}

/// One line: the order, the status, the trace id, and what the gateway said.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<10} ", self.order)?;
        match &self.reply {
            Ok(reply) => {
                write!(f, "{} {} ", reply.status.as_u16(), reply.trace)?;
                f.write_str(String::from_utf8_lossy(&reply.body).trim_end())
            }
            Err(reason) => write!(f, "no answer: {reason}"),
        }
    }
}
