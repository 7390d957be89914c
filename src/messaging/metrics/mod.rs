#[cfg(feature = "bound-metrics")]
mod bound;
#[cfg(not(feature = "bound-metrics"))]
mod unbound;

use std::time::Duration;

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter},
};

#[cfg(feature = "bound-metrics")]
pub(super) use self::bound::Series;
#[cfg(not(feature = "bound-metrics"))]
pub(super) use self::unbound::Series;
use super::action::Action;
use crate::conventions::{
    BOUNDARIES, MESSAGING_CLIENT_CONSUMED_MESSAGES, MESSAGING_CLIENT_OPERATION_DURATION,
    MESSAGING_CLIENT_SENT_MESSAGES, MESSAGING_PROCESS_DURATION,
};

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

    /// `attributes` end with the operation's type, which only the duration of a client's operation has.
    pub(super) fn record(&self, action: Action, duration: Duration, messages: u64, attributes: &[KeyValue]) {
        if let Some(counter) = self.counter(action).filter(|_| messages > 0) {
            counter.add(messages, common(attributes));
        }
        let (histogram, attributes) = self.histogram(action, attributes);
        histogram.record(duration.as_secs_f64(), attributes);
    }

    fn counter(&self, action: Action) -> Option<&Counter<u64>> {
        match action {
            Action::Send => Some(&self.sent),
            Action::Receive | Action::Process => Some(&self.consumed),
            Action::Create | Action::Settle(_) => None,
        }
    }

    fn histogram<'a>(&self, action: Action, attributes: &'a [KeyValue]) -> (&Histogram<f64>, &'a [KeyValue]) {
        match action {
            Action::Process => (&self.process_duration, common(attributes)),
            _ => (&self.operation_duration, attributes),
        }
    }
}

/// Without the operation's type.
fn common(attributes: &[KeyValue]) -> &[KeyValue] {
    attributes.split_last().map_or(&[], |(_, common)| common)
}
