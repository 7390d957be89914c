//! Every name that this crate writes into telemetry.
//!
//! The names of OpenTelemetry's semantic conventions come from their registry, version 1.42.0 ([`SCHEMA_URL`]). The
//! messaging ones are in development, and those of RPC a release candidate: a later version may rename them, and this
//! file is the place to change. Names that the registry does not have begin with `ctxhop.`, or say where they come from.

// Each feature uses its own of them; with both, none may be left over.
#![cfg_attr(not(all(feature = "messaging", feature = "tower")), allow(dead_code, unused_imports))]

#[cfg(feature = "google-cloud-pubsub-1")]
pub(crate) use opentelemetry_semantic_conventions::attribute::MESSAGING_GCP_PUBSUB_MESSAGE_ORDERING_KEY;
#[cfg(any(feature = "messaging", feature = "tower"))]
use opentelemetry_semantic_conventions::attribute::{
    MESSAGING_GCP_PUBSUB_MESSAGE_DELIVERY_ATTEMPT, MESSAGING_SERVICEBUS_MESSAGE_DELIVERY_COUNT,
};
#[cfg(feature = "rdkafka-0_39")]
pub(crate) use opentelemetry_semantic_conventions::attribute::{
    MESSAGING_KAFKA_MESSAGE_KEY, MESSAGING_KAFKA_MESSAGE_TOMBSTONE, MESSAGING_KAFKA_OFFSET,
};
#[cfg(feature = "lapin-4")]
pub(crate) use opentelemetry_semantic_conventions::attribute::{
    MESSAGING_RABBITMQ_DESTINATION_ROUTING_KEY, MESSAGING_RABBITMQ_MESSAGE_DELIVERY_TAG,
};
#[cfg(any(feature = "messaging", feature = "tower"))]
pub(crate) use opentelemetry_semantic_conventions::{
    SCHEMA_URL,
    attribute::{
        ERROR_TYPE, HTTP_REQUEST_METHOD, HTTP_REQUEST_METHOD_ORIGINAL, HTTP_REQUEST_RESEND_COUNT,
        HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE, MESSAGING_BATCH_MESSAGE_COUNT, MESSAGING_CLIENT_ID,
        MESSAGING_CONSUMER_GROUP_NAME, MESSAGING_DESTINATION_ANONYMOUS, MESSAGING_DESTINATION_NAME,
        MESSAGING_DESTINATION_PARTITION_ID, MESSAGING_DESTINATION_SUBSCRIPTION_NAME, MESSAGING_DESTINATION_TEMPLATE,
        MESSAGING_DESTINATION_TEMPORARY, MESSAGING_MESSAGE_BODY_SIZE, MESSAGING_MESSAGE_CONVERSATION_ID,
        MESSAGING_MESSAGE_ENVELOPE_SIZE, MESSAGING_MESSAGE_ID, MESSAGING_OPERATION_NAME, MESSAGING_OPERATION_TYPE,
        MESSAGING_SYSTEM, NETWORK_PROTOCOL_VERSION, RPC_METHOD, RPC_METHOD_ORIGINAL, RPC_RESPONSE_STATUS_CODE,
        RPC_SYSTEM_NAME, SERVER_ADDRESS, SERVER_PORT, URL_FULL, URL_PATH, URL_QUERY, URL_SCHEME, USER_AGENT_ORIGINAL,
    },
    metric::{
        HTTP_CLIENT_REQUEST_DURATION, HTTP_SERVER_ACTIVE_REQUESTS, HTTP_SERVER_REQUEST_DURATION,
        MESSAGING_CLIENT_CONSUMED_MESSAGES, MESSAGING_CLIENT_OPERATION_DURATION, MESSAGING_CLIENT_SENT_MESSAGES,
        MESSAGING_PROCESS_DURATION, RPC_CLIENT_CALL_DURATION, RPC_SERVER_CALL_DURATION,
    },
};

/// The advice of the conventions for every duration, in seconds.
pub(crate) const BOUNDARIES: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

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
pub(crate) const TIME_IN_QUEUE: &str = "ctxhop.time_in_queue";

/// The `error.type` of a publish that RabbitMQ did not take, and of one that it could route nowhere.
#[cfg(feature = "lapin-4")]
pub(crate) const NACK: &str = "nack";
#[cfg(feature = "lapin-4")]
pub(crate) const RETURNED: &str = "returned";

/// The `error.type` of an `XADD` that Redis did not do.
#[cfg(feature = "redis-1")]
pub(crate) const NOT_ADDED: &str = "not_added";

/// What MQTT tells of a message: its quality of service, that it was retained, that it may have been delivered before.
#[cfg(feature = "rumqttc-0_25")]
pub(crate) const MQTT_QOS: &str = "ctxhop.mqtt.qos";
#[cfg(feature = "rumqttc-0_25")]
pub(crate) const MQTT_RETAINED: &str = "ctxhop.mqtt.retained";
#[cfg(feature = "rumqttc-0_25")]
pub(crate) const MQTT_DUPLICATE: &str = "ctxhop.mqtt.duplicate";

/// What is wrong with a payload that begins like an envelope.
#[cfg(feature = "rumqttc-0_25")]
pub(crate) const ENVELOPE_FLAW: &str = "ctxhop.envelope_flaw";

/// The event for headers that cannot be read, the one for a message that has no room for a header, and what is wrong.
pub(crate) const CONTEXT_REJECTED: &str = "ctxhop.context_rejected";
pub(crate) const CONTEXT_REFUSED: &str = "ctxhop.context_refused";
pub(crate) const REASON: &str = "ctxhop.reason";

/// What a method is called that is not known.
pub(crate) const OTHER: &str = "_OTHER";

/// The attributes for headers that the user has asked for; the header's name follows.
#[cfg(any(feature = "messaging", feature = "tower"))]
pub(crate) mod headers {
    pub(crate) const HTTP_REQUEST: &str = opentelemetry_semantic_conventions::attribute::HTTP_REQUEST_HEADER;
    pub(crate) const HTTP_RESPONSE: &str = opentelemetry_semantic_conventions::attribute::HTTP_RESPONSE_HEADER;
    pub(crate) const RPC_REQUEST: &str = opentelemetry_semantic_conventions::attribute::RPC_REQUEST_METADATA;
    pub(crate) const RPC_RESPONSE: &str = opentelemetry_semantic_conventions::attribute::RPC_RESPONSE_METADATA;
}

/// The messages of gRPC's streams, as OpenTelemetry's instrumentation for Java calls them. The registry has no names for
/// them any more.
pub(crate) mod message {
    pub(crate) const SENT_COUNT: &str = "grpc.sent.message_count";
    pub(crate) const RECEIVED_COUNT: &str = "grpc.received.message_count";
    pub(crate) const EVENT: &str = "message";
    pub(crate) const TYPE: &str = "message.type";
    pub(crate) const ID: &str = "message.id";
}

/// The delivery count of a message. The registry has a name for two systems.
#[cfg(any(feature = "messaging", feature = "tower"))]
pub(crate) fn delivery_count(system: &str) -> &'static str {
    match system {
        "gcp_pubsub" => MESSAGING_GCP_PUBSUB_MESSAGE_DELIVERY_ATTEMPT,
        "servicebus" => MESSAGING_SERVICEBUS_MESSAGE_DELIVERY_COUNT,
        _ => "ctxhop.delivery_count",
    }
}
