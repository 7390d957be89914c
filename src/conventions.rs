//! Every name that this crate writes into telemetry.
//!
//! The names of OpenTelemetry's semantic conventions come from their registry, version 1.42.0 ([`SCHEMA_URL`]). The
//! messaging ones are in development: a later version may rename them, and this file is the place to change. Names that the
//! registry does not have begin with `ctxhop.`, or say where they come from.

use opentelemetry::Key;
use opentelemetry_semantic_conventions::attribute::{
    MESSAGING_GCP_PUBSUB_MESSAGE_DELIVERY_ATTEMPT, MESSAGING_SERVICEBUS_MESSAGE_DELIVERY_COUNT,
};
pub(crate) use opentelemetry_semantic_conventions::{
    SCHEMA_URL,
    attribute::{
        ERROR_TYPE, MESSAGING_BATCH_MESSAGE_COUNT, MESSAGING_CLIENT_ID, MESSAGING_CONSUMER_GROUP_NAME,
        MESSAGING_DESTINATION_ANONYMOUS, MESSAGING_DESTINATION_NAME, MESSAGING_DESTINATION_PARTITION_ID,
        MESSAGING_DESTINATION_SUBSCRIPTION_NAME, MESSAGING_DESTINATION_TEMPLATE, MESSAGING_DESTINATION_TEMPORARY,
        MESSAGING_MESSAGE_BODY_SIZE, MESSAGING_MESSAGE_CONVERSATION_ID, MESSAGING_MESSAGE_ENVELOPE_SIZE,
        MESSAGING_MESSAGE_ID, MESSAGING_OPERATION_NAME, MESSAGING_OPERATION_TYPE, MESSAGING_SYSTEM, SERVER_ADDRESS,
        SERVER_PORT,
    },
    metric::{
        MESSAGING_CLIENT_CONSUMED_MESSAGES, MESSAGING_CLIENT_OPERATION_DURATION, MESSAGING_CLIENT_SENT_MESSAGES,
        MESSAGING_PROCESS_DURATION,
    },
};

/// The system of queues in this process. The registry has no name for it.
pub(crate) const IN_MEMORY: &str = "in_memory";

/// The `error.type` of work that panicked, was dropped before it was done, or took too long.
pub(crate) const PANIC: &str = "panic";
pub(crate) const CANCELLED: &str = "cancelled";
pub(crate) const TIMEOUT: &str = "timeout";

/// On a link, says where it leads.
pub(crate) const LINK: &str = "ctxhop.link";
pub(crate) const PREVIOUS_ATTEMPT: &str = "previous attempt";

/// How long a message was in an in-memory queue and in hand before it was processed, in seconds.
#[cfg(feature = "queue")]
pub(crate) const TIME_IN_QUEUE: &str = "ctxhop.time_in_queue";

/// The event for headers that are of no use, and what is wrong with them.
pub(crate) const CONTEXT_REJECTED: &str = "ctxhop.context_rejected";
pub(crate) const REASON: &str = "ctxhop.reason";

/// The delivery count of a message. The registry has a name for two systems; the others follow the second.
pub(crate) fn delivery_count(system: &str) -> Key {
    match system {
        "gcp_pubsub" => Key::from_static_str(MESSAGING_GCP_PUBSUB_MESSAGE_DELIVERY_ATTEMPT),
        "servicebus" => Key::from_static_str(MESSAGING_SERVICEBUS_MESSAGE_DELIVERY_COUNT),
        IN_MEMORY => Key::from_static_str("messaging.in_memory.message.delivery_count"),
        _ => Key::from(std::sync::Arc::<str>::from(format!("messaging.{system}.message.delivery_count"))),
    }
}
