//! What the services tell each other: the same order is JSON over HTTP and in a message, and protobuf over gRPC.

use prost::Message;
use serde::{Deserialize, Serialize};

include!(concat!(env!("OUT_DIR"), "/shop.Checkout.rs"));

/// The header that has the trace id of each answer of the gateway.
pub(crate) const TRACE_ID: &str = "x-trace-id";

/// The routing key of an order that the checkout has processed.
pub(crate) const PROCESSED: &str = "checkout.processed";

#[derive(Clone, PartialEq, Deserialize, Message, Serialize)]
pub(crate) struct Order {
    /// The shopper chooses it.
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) items: Vec<Item>,
}

#[derive(Clone, PartialEq, Deserialize, Message, Serialize)]
pub(crate) struct Item {
    #[prost(string, tag = "1")]
    pub(crate) sku: String,
    #[prost(uint32, tag = "2")]
    pub(crate) quantity: u32,
}

#[derive(Clone, PartialEq, Deserialize, Message, Serialize)]
pub(crate) struct Receipt {
    #[prost(string, tag = "1")]
    pub(crate) order: String,
    #[prost(uint64, tag = "2")]
    pub(crate) total_cents: u64,
}
