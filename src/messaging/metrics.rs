use std::time::Duration;

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter},
};
use opentelemetry_semantic_conventions::metric::{
    MESSAGING_CLIENT_CONSUMED_MESSAGES, MESSAGING_CLIENT_OPERATION_DURATION, MESSAGING_CLIENT_SENT_MESSAGES,
    MESSAGING_PROCESS_DURATION,
};

/// The conventions' advice, in seconds.
const BOUNDARIES: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

#[derive(Clone)]
pub(super) struct Metrics {
    operation_duration: Histogram<f64>,
    process_duration: Histogram<f64>,
    sent: Counter<u64>,
    consumed: Counter<u64>,
}

impl Metrics {
    pub(super) fn new(meter: &Meter) -> Self {
        let seconds = |name: &'static str, description: &'static str| {
            let histogram = meter.f64_histogram(name).with_unit("s").with_description(description);
            histogram.with_boundaries(BOUNDARIES.to_vec()).build()
        };
        let messages = |name: &'static str, description: &'static str| {
            meter.u64_counter(name).with_unit("{message}").with_description(description).build()
        };
        Self {
            operation_duration: seconds(
                MESSAGING_CLIENT_OPERATION_DURATION,
                "Duration of messaging operation initiated by a producer or consumer client.",
            ),
            process_duration: seconds(MESSAGING_PROCESS_DURATION, "Duration of processing operation."),
            sent: messages(
                MESSAGING_CLIENT_SENT_MESSAGES,
                "Number of messages producer attempted to send to the broker.",
            ),
            consumed: messages(
                MESSAGING_CLIENT_CONSUMED_MESSAGES,
                "Number of messages that were delivered to the application.",
            ),
        }
    }

    pub(super) fn operation(&self, duration: Duration, attributes: &[KeyValue]) {
        self.operation_duration.record(duration.as_secs_f64(), attributes);
    }

    pub(super) fn process(&self, duration: Duration, attributes: &[KeyValue]) {
        self.process_duration.record(duration.as_secs_f64(), attributes);
    }

    pub(super) fn sent(&self, messages: u64, attributes: &[KeyValue]) {
        self.sent.add(messages, attributes);
    }

    pub(super) fn consumed(&self, messages: u64, attributes: &[KeyValue]) {
        self.consumed.add(messages, attributes);
    }
}
